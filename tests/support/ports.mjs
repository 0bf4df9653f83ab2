// A TCP port of the loopback address that nobody listens on: below those that the kernel hands out by itself, so that no
// connection of a neighbour gets it meanwhile.
import net from 'node:net';

const kLowest = 20_000;
const kHighest = 32_000;
const kTriesMax = 50;

function canListen(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

export async function unusedPort() {
  for (let i = 0; i < kTriesMax; ++i) {
    const port = kLowest + Math.floor(Math.random() * (kHighest - kLowest));
    if (await canListen(port)) return port;
  }
  throw new Error('no free port was found');
}

// Listens there and says nothing, until it is closed.
export function occupy(port) {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve({ close: () => new Promise((done) => server.close(done)) }));
  });
}

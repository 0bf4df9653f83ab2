// A process that asks one gateway for a short answer, waits, asks again, until it is told to stop: so that what else a
// benchmark does (start programs, read long answers) is not taken for the gateway's time.
//
//   const stop = await startAsking(port, everyMs);   …   const milliseconds = await stop();
import { fork } from 'node:child_process';
import http from 'node:http';
import { fileURLToPath } from 'node:url';

const kPath = fileURLToPath(import.meta.url);
const kWarmAnswers = 20;

export function startAsking(port, everyMs) {
  return new Promise((resolve, reject) => {
    const asker = fork(kPath, [String(port), String(everyMs)]);
    asker.once('error', reject);
    asker.once('exit', (code) => reject(new Error(`the asker ended early (${code})`)));
    asker.once('message', () => resolve(() => new Promise((give, fail) => {
      asker.removeAllListeners('exit').once('exit', () => fail(new Error('the asker ended without its figures')));
      asker.once('message', give);
      asker.send('stop');
    })));
  });
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

// Milliseconds.
function ask(port) {
  const body = JSON.stringify({ prompt: 'Hello [[text=hi]]' });
  const options = { host: '127.0.0.1', port, path: '/api/generate', method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': body.length } };
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const sent = http.request(options, (answer) => {
      answer.resume();
      answer.on('end', () => (answer.statusCode === 200 ? resolve(performance.now() - begun) : reject(new Error(`status ${answer.statusCode}`))));
      answer.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function run(port, everyMs) {
  let isOver = false;
  process.once('message', () => { isOver = true; });
  for (let i = 0; i < kWarmAnswers; ++i) await ask(port);
  process.send('ready');
  const taken = [];
  while (!isOver) {
    taken.push(await ask(port));
    await new Promise((resolve) => { setTimeout(resolve, everyMs); });
  }
  process.send(taken, () => process.exit(0));
}

if (process.argv[1] === kPath) await run(Number(process.argv[2]), Number(process.argv[3]));

// Where the gateway listens: several addresses of all kinds at once, and sockets that a service manager hands over.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { afterEach, describe, test } from 'node:test';

import { Authority } from '../support/certificates.mjs';
import { kGateway, kServiceLauncher, portOf, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { request } from '../support/http.mjs';
import { unusedPort } from '../support/ports.mjs';
import { kPatience, waitUntil, within } from '../support/wait.mjs';

let gateway;
let folder;
const socketFile = () => path.join(folder, 'gateway.sock');
const start = async (options) => (gateway = await startScripted({ roles: { technical: null, documentation: null, vision: null }, ready: false, ...options }));
afterEach(async () => {
  await gateway?.dispose();
  gateway = undefined;
  if (folder) fs.rmSync(folder, { recursive: true, force: true });
  folder = undefined;
});

const isAnswered = async (port, to) => (await request(port, 'GET', '/health/live', { to })).status === 200;
// Runs a gateway that is to end by itself, and returns what it said.
function startInVain(...flags) {
  const ended = spawnSync(kGateway, ['serve', '--data', path.join(folder, 'other'), ...flags], { timeout: 20_000 * kPatience });
  assert.ok(ended.status > 0, `status ${ended.status} ${ended.signal} ${ended.stderr}`);
  return ended.stderr.toString();
}

describe('several addresses', () => {
  test('of IPv4, IPv6 and Unix sockets answer at once, and their ends are told', async () => {
    folder = temporaryFolder();
    await start({ listen: ['127.0.0.1:0', '[::1]:0', `unix:${socketFile()}`, 'http://127.0.0.2:0'] });
    const [four, six, unix, other] = gateway.addresses;
    assert.match(four, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.match(six, /^http:\/\/\[::1\]:\d+$/);
    assert.equal(unix, `unix:${socketFile()}`);
    for (let i = 0; i < 4; ++i) {
      assert.ok(await isAnswered(portOf(four)));
      assert.ok(await isAnswered(portOf(six), { host: '::1' }));
      assert.ok(await isAnswered(undefined, { socketPath: socketFile() }));
      assert.ok(await isAnswered(portOf(other), { host: '127.0.0.2' }));
    }
    await gateway.stop();
    const peers = gateway.output.map((line) => /peer=(\S+) .*path=\/health\/live/.exec(line)?.[1]).filter(Boolean);
    for (const end of [/^127\.0\.0\.1:\d+$/, /^\[::1\]:\d+$/, /^unix:\d+$/]) assert.ok(peers.some((peer) => end.test(peer)), `${end}: ${peers.join()}`);
    await assert.rejects(isAnswered(portOf(four)));
    await assert.rejects(isAnswered(portOf(six), { host: '::1' }));
    assert.ok(!fs.existsSync(socketFile()));
  });

  test('may be all of IPv4 and all of IPv6 on one port', async () => {
    const port = await unusedPort();
    await start({ listen: [`0.0.0.0:${port}`, `[::]:${port}`], flags: ['--insecure'] });
    assert.ok(await isAnswered(port));
    assert.ok(await isAnswered(port, { host: '::1' }));
  });

  test('of which one is taken end the start with a sentence', async () => {
    folder = temporaryFolder();
    await start();
    assert.match(startInVain('--listen', `unix:${socketFile()},127.0.0.1:${gateway.port}`), new RegExp(`127\\.0\\.0\\.1:${gateway.port} is taken`));
    assert.ok(!fs.existsSync(socketFile()), 'the socket of a start in vain stays behind');
    assert.match(startInVain('--listen', '127.0.0.1:0,http://unix:/x'), /not an address to listen on/);
  });
});

describe('a Unix socket', () => {
  const onUnix = (more) => start({ listen: ['127.0.0.1:0', `unix:${socketFile()}`], ...more });
  const there = { get socketPath() { return socketFile(); } };

  test('is for the owner and the group, whatever the mask', async () => {
    folder = temporaryFolder();
    await onUnix({ under: () => ['sh', '-c', 'umask 0; exec "$@"', 'sh'] });
    assert.equal(fs.statSync(socketFile()).mode & 0o777, 0o660);
  });

  test('of a gateway that was killed is no obstacle', async () => {
    folder = temporaryFolder();
    await onUnix();
    await gateway.kill();
    assert.ok(fs.existsSync(socketFile()));
    await gateway.launch({ listen: ['127.0.0.1:0', `unix:${socketFile()}`] });
    assert.ok(await isAnswered(undefined, there));
  });

  test('of a gateway that lives is left alone, and so is a file that is none', async () => {
    folder = temporaryFolder();
    await onUnix();
    assert.match(startInVain('--listen', `unix:${socketFile()}`), /is taken/);
    assert.ok(await isAnswered(undefined, there));
    const notes = path.join(folder, 'notes.txt');
    fs.writeFileSync(notes, 'notes');
    assert.match(startInVain('--listen', `unix:${notes}`), /is taken/);
    assert.equal(fs.readFileSync(notes, 'utf8'), 'notes');
  });
});

describe('sockets of a service manager', () => {
  const launcher = (...sockets) => () => [kServiceLauncher, ...sockets, '--'];
  const notified = (what) => gateway.output.some((line) => line === `notified: ${what}`);

  test('take the place of the addresses, and all threads accept on them', async () => {
    folder = temporaryFolder();
    await start({
      more: { threads: 4 },
      listen: ['127.0.0.1:0', '127.0.0.3:0'],
      under: launcher('--tcp', 'http', '127.0.0.1', '--tcp', 'six', '::1', '--unix', 'file', socketFile()),
      inherited: 3,
    });
    const [four, six] = gateway.addresses;
    assert.ok(!gateway.addresses.some((address) => address.includes('127.0.0.3')));
    assert.equal(gateway.addresses[2], `unix:${socketFile()}`);
    const answers = await Promise.all(Array.from({ length: 64 }, (_, i) => [
      () => isAnswered(portOf(four)), () => isAnswered(portOf(six), { host: '::1' }), () => isAnswered(undefined, { socketPath: socketFile() }),
    ][i % 3]()));
    assert.ok(answers.every(Boolean));
    await gateway.stop();
    assert.ok(fs.existsSync(socketFile()), 'the file is the service manager’s, who listens on');
  });

  test('serve TLS when their name is https', async () => {
    folder = temporaryFolder();
    const authority = new Authority(folder);
    const pair = authority.sign('server');
    const sockets = launcher('--tcp', 'plain', '127.0.0.1', '--tcp', 'https', '127.0.0.1');
    await start({ flags: ['--tls-certificate', pair.certificate, '--tls-key', pair.key], under: sockets, inherited: 2 });
    assert.match(gateway.addresses[1], /^https:/);
    assert.ok(await isAnswered(portOf(gateway.addresses[0])));
    assert.ok(await isAnswered(portOf(gateway.addresses[1]), { ca: authority.certificate }));
  });

  test('are nothing that a worker inherits, nor are the words about them', async () => {
    folder = temporaryFolder();
    await start({ ready: true, under: launcher('--tcp', 'http', '127.0.0.1', '--unix', 'file', socketFile()), inherited: 2 });
    const listening = /^ *\d+: \S+:(\S+) \S+ 0A .*? (\d+) 1 /;
    const tcp = fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => listening.exec(line))
      .filter((found) => found && parseInt(found[1], 16) === gateway.port).map((found) => `socket:[${found[2]}]`);
    const files = (pid) => fs.readdirSync(`/proc/${pid}/fd`).map((name) => {
      try {
        return fs.readlinkSync(`/proc/${pid}/fd/${name}`);
      } catch {
        return undefined;  // It was the folder's own.
      }
    });
    assert.equal(tcp.length, 1);
    assert.ok(files(gateway.pid).includes(tcp[0]));
    const [worker] = gateway.workers();
    assert.ok(!files(worker).includes(tcp[0]));
    assert.doesNotMatch(fs.readFileSync(`/proc/${worker}/environ`, 'utf8'), /LISTEN_|NOTIFY_SOCKET/);
  });

  test('and the manager hears when the gateway is ready and when it stops', async () => {
    await start({ under: launcher('--tcp', 'http', '127.0.0.1'), inherited: 1 });
    await waitUntil('it says that it is ready', () => notified('READY=1'));
    assert.ok(!notified('STOPPING=1'));
    await gateway.stop();
    await waitUntil('it says that it stops', () => notified('STOPPING=1'));
  });

  test('that are for another process are none of ours', async () => {
    await start({ under: () => [...launcher('--tcp', 'http', '127.0.0.9')(), 'sh', '-c', 'LISTEN_PID=1 exec "$@"', 'sh'] });
    assert.match(gateway.addresses[0], /127\.0\.0\.1/);
  });

  test('that others reach need --insecure as well', () => {
    folder = temporaryFolder();
    const ended = spawnSync(kServiceLauncher, ['--tcp', 'http', '0.0.0.0', '--', kGateway, 'serve', '--data', path.join(folder, 'data')], { timeout: 20_000 * kPatience });
    assert.ok(ended.status > 0);
    assert.match(ended.stderr.toString(), /--insecure/);
  });

  test('that are no such sockets end the start with a sentence', () => {
    folder = temporaryFolder();
    for (const sockets of [['--datagram', 'http']]) {
      const ended = spawnSync(kServiceLauncher, [...sockets, '--', kGateway, 'serve', '--data', path.join(folder, 'data')], { timeout: 20_000 * kPatience });
      assert.equal(ended.status, 1);
      assert.match(ended.stderr.toString(), /file descriptor 3 .*ListenStream=/);
    }
  });
});

test('connections that are kept on every kind of address are let go at the end', async () => {
  folder = temporaryFolder();
  await start({ listen: ['127.0.0.1:0', '[::1]:0', `unix:${socketFile()}`] });
  const agent = new http.Agent({ keepAlive: true });
  const kept = await Promise.all([{ host: '127.0.0.1', port: portOf(gateway.addresses[0]) }, { host: '::1', port: portOf(gateway.addresses[1]) }, { socketPath: socketFile() }]
    .map((to) => new Promise((done, failed) => {
      http.get({ path: '/health/live', agent, ...to }, (response) => {
        const { socket } = response;
        response.resume().on('end', () => done(socket));
      }).on('error', failed);
    })));
  const closed = kept.map((socket) => new Promise((done) => socket.once('close', done)));
  const stopped = gateway.stop();
  await within('the end of all of them', Promise.all(closed));
  await stopped;
});

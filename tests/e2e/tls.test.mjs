// TLS on the listening side, as clients and the one who runs it meet it: everything that plain HTTP can, and the certificates.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';

import { Authority } from '../support/certificates.mjs';
import { assertError, kGateway, portOf, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { exchange, openStream, RawConnection, request } from '../support/http.mjs';
import { contentType, kUnknownBinaries, largeUpload, sha256 } from '../support/uploads.mjs';
import { kPatience, waitUntil, within } from '../support/wait.mjs';

const kMegabyte = 1024 * 1024;

const folder = temporaryFolder();
const authority = new Authority(folder);
let gateway;
let port;
let pair;
const to = () => ({ ca: authority.certificate });
const secure = () => ({ ca: authority.certificate });
const ask = (method, target, options = {}) => request(port, method, target, { to: to(), ...options });

async function startSecure(options) {
  gateway = await startScripted({
    listen: ['127.0.0.1:0', 'https://127.0.0.1:0'],
    flags: ['--tls-certificate', pair.certificate, '--tls-key', pair.key],
    limits: { queue_max: 1000, queue_wait_ms_max: 'off' },
    more: kUnknownBinaries,
    ...options,
  });
  port = portOf(gateway.addresses[1]);
}

before(async () => {
  pair = authority.sign('server', 'first');
  await startSecure();
});
after(async () => {
  await gateway?.dispose();
  fs.rmSync(folder, { recursive: true, force: true });
});

test('the gateway says where it speaks https', () => {
  assert.match(gateway.addresses[0], /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.match(gateway.addresses[1], /^https:\/\/127\.0\.0\.1:\d+$/);
});

describe('a client over TLS', () => {
  test('checks the certificate and gets its answers', async () => {
    const health = await ask('GET', '/health');
    assert.equal(health.status, 200);
    assert.equal((await ask('POST', '/api/generate', { body: { prompt: 'Hello [[text=hi]]' } })).json().response, 'hi');
    assertError(await ask('GET', '/nothing'), 404);
    await assert.rejects(request(port, 'GET', '/health', { to: { ca: fs.readFileSync(authority.key) } }), 'another authority is not enough');
  });

  test('gets a stream piece by piece', async () => {
    const stream = await openStream(port, '/api/generate', { prompt: 'Hello [[tokens=5 stall_after=3 tag=piecewise]]', stream: true }, { to: to() });
    const lines = stream.lines();
    // The engine stands still after the third, so this one did not wait for the end.
    assert.match((await within('the first piece', lines.next())).value.response, /token/);
    stream.cut();
    await gateway.engineLog.waitFor('peer_closed', { tag: 'piecewise' });
  });

  test('gets every piece of a stream that it reads late', async () => {
    const body = JSON.stringify({ model: 'coordinator', prompt: '[[tokens=30000 tag=late]]', stream: true });
    const connection = await RawConnection.open(port, { secure: secure() });
    connection.pause();
    connection.send(`POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await gateway.engineLog.waitFor('request_begin', { tag: 'late' });
    connection.resume();
    const answer = await connection.readResponse();
    assert.equal(answer.text.match(/"text":/g).length >= 30_000, true);
    assert.match(answer.text, /data: \[DONE\]\n\n$/);
    connection.cut();
  });

  test('uploads 20 MB and gets the same bytes back', async () => {
    const large = largeUpload(20 * kMegabyte);
    const answer = await ask('POST', '/api/upload/file', { body: large.body(), headers: { ...contentType(), 'content-length': large.length } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json().upload.sha256, large.sha256);
    assert.equal(sha256((await ask('GET', `/api/uploads/${answer.json().upload.id}/content`)).body), large.sha256);
  });

  test('hears its 413 while it still sends', async () => {
    const tooMuch = largeUpload(101 * kMegabyte);
    const answer = await ask('POST', '/api/upload/file', { body: tooMuch.body(), headers: contentType() });
    assertError(answer, 413);
  });

  test('sends many requests on one connection, also together and byte by byte', async () => {
    const connection = await RawConnection.open(port, { secure: secure() });
    try {
      const slow = '{"prompt":"Hello [[tokens=10 delay_ms=5]]"}';
      connection.send(`POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: ${slow.length}\r\n\r\n${slow}GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n`);
      assert.equal((await connection.readResponse()).json().eval_count, 10);
      assert.equal((await connection.readResponse()).json().version, gateway.version);
      for (const byte of 'GET /api/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n') await connection.sendAll(byte);
      assert.equal((await connection.readResponse()).json().version, gateway.version);
      await connection.closed();
    } finally {
      connection.cut();
    }
  });

  for (const [how, leave] of [['closes', (connection) => connection.cut()], ['says goodbye', (connection) => connection.halfClose()]]) {
    test(`that ${how} at any time is noticed, and the engine hears of it`, async () => {
      for (const [when, directives] of [['waits', 'head_delay_ms=100000'], ['reads', 'prefill_ms=100000'], ['speaks', 'tokens=100000 delay_ms=5'], ['is-silent', 'stall_after=1']]) {
        const tag = `${how.replaceAll(' ', '-')}-${when}`;
        const body = JSON.stringify({ prompt: `[[${directives} tag=${tag}]]`, stream: true });
        const connection = await RawConnection.open(port, { secure: secure() });
        connection.send(`POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        await gateway.engineLog.waitFor('request_begin', { tag });
        leave(connection);
        await gateway.engineLog.waitFor('peer_closed', { tag });
        connection.cut();
      }
      await gateway.allSlotsFree();
    });
  }

  test('is one of many, and each gets its own answer', async () => {
    const marks = Array.from({ length: 200 }, (_, i) => `mark-${i}-of-200`);
    const answers = await Promise.all(marks.map((mark, i) =>
      ask('POST', '/api/generate', { body: { prompt: `Hello [[text="${mark} and on" delay_ms=1]]`, model: 'coordinator', stream: i % 2 === 0 } })));
    answers.forEach((answer, i) => {
      assert.equal(answer.status, 200, answer.text);
      const text = answer.text.trimEnd().split('\n').map((line) => JSON.parse(line).response).join('');
      assert.equal(text, `${marks[i]} and on`);
    });
  });

  test('is a page of this gateway when its Origin is the https address', async () => {
    const origin = { origin: `https://localhost:${port}`, host: `localhost:${port}` };
    assert.equal((await ask('GET', '/health', { headers: origin })).status, 200);
  });

  test('may speak TLS 1.2 and 1.3, and is offered http/1.1 only', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const socket = tls.connect({ host: '127.0.0.1', port, ca: authority.certificate, minVersion: version, maxVersion: version, ALPNProtocols: ['h2', 'http/1.1'] });
      await within('a handshake', new Promise((done, failed) => socket.once('secureConnect', done).once('error', failed)));
      assert.equal(socket.getProtocol(), version);
      assert.equal(socket.alpnProtocol, 'http/1.1');
      socket.destroy();
    }
  });

  test('that speaks plain HTTP is told to use https', async () => {
    for (const plain of ['GET /health HTTP/1.1\r\nHost: x\r\n\r\n', 'POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{"a":']) {
      const error = assertError(await exchange(port, plain), 400, 'https_expected');
      assert.match(error.message, /https/);
    }
  });

  test('that never finishes its handshake does not hold the others up', async () => {
    const silent = await Promise.all(Array.from({ length: 50 }, () => RawConnection.open(port)));
    for (const connection of silent) connection.send(Buffer.from('1603010200010001fc', 'hex'));
    assert.equal((await ask('GET', '/health')).status, 200);
    await waitUntil('they are counted', async () => await gateway.metric('gbgreg_connections') >= 50);
    for (const connection of silent) connection.cut();
    await waitUntil('their connections are closed', async () => (await gateway.metric('gbgreg_connections')) <= 2);
  });
});

describe('the certificate', () => {
  const shownNow = () => new Promise((done, failed) => {
    const socket = tls.connect({ host: '127.0.0.1', port, ca: authority.certificate }, () => {
      done(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.once('error', failed);
  });

  test('that changes is used for new connections, and the old ones go on', async () => {
    const kept = await RawConnection.open(port, { secure: secure() });
    const version = async () => {
      kept.send('GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n');
      return (await kept.readResponse()).status;
    };
    assert.equal(await version(), 200);
    assert.equal(await shownNow(), 'first');

    fs.writeFileSync(`${pair.key}.new`, 'nothing of use');
    fs.renameSync(`${pair.key}.new`, pair.key);
    await waitUntil('the log says that it is no good', () => gateway.output.some((line) => line.includes('not taken') && line.includes(pair.key)), { deadlineMs: 20_000 });
    assert.equal(await shownNow(), 'first');

    authority.sign('server', 'second');
    await waitUntil('new connections show it', async () => await shownNow() === 'second', { deadlineMs: 20_000 });
    assert.equal(await version(), 200);
    kept.cut();
  });

  test('never leaves a trace of its key in the log', () => {
    const key = fs.readFileSync(pair.key, 'latin1').split('\n').filter((line) => line.length > 20 && !line.startsWith('-----'));
    assert.ok(key.length > 0);
    for (const line of key) assert.ok(!gateway.output.some((said) => said.includes(line)));
    assert.ok(!gateway.output.some((said) => said.includes('PRIVATE KEY')));
  });
});

describe('the end', () => {
  test('waits for an answer under way and says goodbye to the rest', async () => {
    const idle = await RawConnection.open(port, { secure: secure() });
    idle.send('GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal((await idle.readResponse()).status, 200);
    const answer = ask('POST', '/api/generate', { body: { prompt: 'Hello [[tokens=40 delay_ms=50 tag=last]]', stream: false } });
    await gateway.engineLog.waitFor('request_begin', { tag: 'last' });
    const stopped = gateway.stop();
    await idle.closed();
    assert.equal((await answer).json().eval_count, 40);
    await stopped;
  });
});

describe('the start', () => {
  const start = (flags) => {
    const ended = spawnSync(kGateway, ['serve', '--data', path.join(folder, 'data'), ...flags], { timeout: 20_000 * kPatience });
    return { status: ended.status, said: ended.stderr.toString() };
  };
  const tlsFlags = (files) => ['--listen', 'https://127.0.0.1:0', '--tls-certificate', files.certificate, '--tls-key', files.key];

  test('with a pair that is no good ends with a sentence that names the file', () => {
    const good = authority.sign('good');
    const other = authority.sign('other');
    for (const [files, atFault, says] of [
      [{ certificate: '/nonexistent.pem', key: good.key }, '/nonexistent.pem', /No such file/],
      [{ certificate: good.certificate, key: '/nonexistent.key' }, '/nonexistent.key', /No such file/],
      [{ certificate: good.key, key: good.key }, good.key, /no certificate/],
      [{ certificate: good.certificate, key: good.certificate }, good.certificate, /no private key/],
      [{ certificate: good.certificate, key: other.key }, other.key, /does not belong/],
      [{ certificate: good.certificate, key: authority.encrypted(good, 'secret') }, `${good.key}.encrypted`, /passphrase/],
    ]) {
      const { status, said } = start(tlsFlags(files));
      assert.equal(status, 1, said);
      assert.ok(said.includes(atFault), said);
      assert.match(said, says);
      assert.doesNotMatch(said, /PRIVATE KEY/);
    }
  });

  test('says what is missing when only half of it is configured', () => {
    const good = authority.sign('good');
    for (const [flags, says] of [
      [['--listen', 'https://127.0.0.1:0'], /--tls-certificate/],
      [['--listen', 'https://127.0.0.1:0', '--tls-key', good.key], /both/],
      [['--listen', '127.0.0.1:0', '--tls-certificate', good.certificate, '--tls-key', good.key], /nothing listens with it/],
      [tlsFlags(good).map((word) => word.replace('127.0.0.1', '0.0.0.0')), /--insecure/],
    ]) {
      const { status, said } = start(flags);
      assert.ok(status > 0, said);
      assert.match(said, says);
    }
  });

  test('warns of a key that others may read', async () => {
    fs.chmodSync(pair.key, 0o644);
    await startSecure({ ready: false });
    await waitUntil('it warns', () => gateway.output.some((line) => line.includes(pair.key) && line.includes('chmod')));
    await gateway.stop();
    fs.chmodSync(pair.key, 0o600);
    await startSecure({ ready: false });
    assert.ok(!gateway.output.some((line) => line.includes('chmod')), gateway.tail());
  });
});

// HTTP/1.1 as RFC 9112 says it, on raw sockets: what must work, and what must be refused.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertError, startScripted } from '../support/gateway.mjs';
import { exchange, RawConnection } from '../support/http.mjs';
import { contentType, fileBody } from '../support/uploads.mjs';
import { waitUntil } from '../support/wait.mjs';

let gateway;
before(async () => {
  gateway = await startScripted();
});
after(() => gateway?.dispose());

const open = () => RawConnection.open(gateway.port);
const get = (target, more = '') => `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;
const kAsk = '{"prompt":"Hello [[text=hi]]"}';

async function use(work) {
  const connection = await open();
  try {
    return await work(connection);
  } finally {
    connection.cut();
  }
}

describe('a connection', () => {
  test('takes many requests, of all kinds, one after the other', () => use(async (connection) => {
    const upload = fileBody('content', 'a.txt');
    for (let round = 0; round < 3; ++round) {
      connection.send(get('/api/version'));
      assert.equal((await connection.readResponse()).status, 200);
      connection.send(`POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: ${kAsk.length}\r\n\r\n${kAsk}`);
      assert.equal((await connection.readResponse()).json().response, 'hi');
      const streamed = '{"prompt":"Hello [[tokens=3]]","stream":true}';
      connection.send(`POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: ${streamed.length}\r\n\r\n${streamed}`);
      assert.match((await connection.readResponse()).text, /"done":true/);
      connection.send(get('/nothing'));
      assertError(await connection.readResponse(), 404);
      connection.send(`POST /api/upload/file HTTP/1.1\r\nHost: x\r\nContent-Type: ${contentType()['content-type']}\r\nContent-Length: ${upload.length}\r\n\r\n`);
      connection.send(upload);
      assert.equal((await connection.readResponse()).status, 200);
      connection.send(`HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n`);
      assert.equal((await connection.readResponse({ head: true })).status, 200);
    }
    assert.equal(connection.bytes.length, 0, 'nothing was sent that was not asked for');
  }));

  test('takes requests that come together, and answers in their order', () => use(async (connection) => {
    const slow = '{"prompt":"Hello [[tokens=10 delay_ms=10]]"}';
    connection.send(`POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: ${slow.length}\r\n\r\n${slow}${get('/api/version')}${get('/nothing')}${get('/health/live')}`);
    assert.equal((await connection.readResponse()).json().eval_count, 10);
    assert.equal((await connection.readResponse()).json().version, gateway.version);
    assertError(await connection.readResponse(), 404);
    assert.equal((await connection.readResponse()).status, 200);
  }));

  test('takes a request byte by byte', () => use(async (connection) => {
    for (const byte of `POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: ${kAsk.length}\r\n\r\n${kAsk}`) await connection.sendAll(byte);
    assert.equal((await connection.readResponse()).json().response, 'hi');
  }));

  test('ends when the client says so, and stays otherwise', () => use(async (connection) => {
    connection.send(get('/health/live', 'Connection: close\r\n'));
    const answer = await connection.readResponse();
    assert.equal(answer.status, 200);
    assert.match(answer.headers.connection, /close/i);
    await connection.closed();
  }));

  test('may pass empty lines before a request', async () => {
    assert.equal((await exchange(gateway.port, `\r\n\r\n${get('/health/live')}`)).status, 200);
  });

  test('may have an empty line come in two halves', () => use(async (connection) => {
    await connection.sendAll('\r');
    await connection.sendAll('\n');
    await connection.sendAll(get('/health/live'));
    assert.equal((await connection.readResponse()).status, 200);
  }));

  test('may not pass empty lines for ever', () => use(async (connection) => {
    connection.send(`${'\r\n'.repeat(1000)}${get('/health/live')}`);
    assertError(await connection.readResponse(), 400);
    await connection.closed();
  }));

  test('has the bound on heads behind a body as well', () => use(async (connection) => {
    const upload = fileBody('x'.repeat(500_000), 'a.txt');
    connection.send(Buffer.concat([
      Buffer.from(`POST /api/upload/file HTTP/1.1\r\nHost: x\r\nContent-Type: ${contentType()['content-type']}\r\nContent-Length: ${upload.length}\r\n\r\n`),
      upload,
      Buffer.from(get('/health/live', `X-A: ${'b'.repeat(40_000)}\r\n`)),
    ]));
    assert.equal((await connection.readResponse()).status, 200);
    assertError(await connection.readResponse(), 431);
    await connection.closed();
  }));

  test('of HTTP/1.0 gets an answer that it can read, and is closed', async () => {
    for (const [request, wanted] of [
      ['GET /health/live HTTP/1.0\r\n\r\n', 200],
      [`POST /api/generate HTTP/1.0\r\nContent-Length: ${kAsk.length}\r\n\r\n${kAsk}`, 200],
    ]) {
      await use(async (connection) => {
        connection.send(request);
        const answer = await connection.readResponse();
        assert.equal(answer.status, wanted);
        assert.ok(!('transfer-encoding' in answer.headers), 'HTTP/1.0 knows no chunks');
        await connection.closed();
      });
    }
    await use(async (connection) => {
      const streamed = '{"prompt":"Hello [[tokens=3]]","stream":true}';
      connection.send(`POST /api/generate HTTP/1.0\r\nContent-Length: ${streamed.length}\r\n\r\n${streamed}`);
      const answer = await connection.readResponse();
      assert.ok(!('transfer-encoding' in answer.headers));
      assert.equal(answer.text.trimEnd().split('\n').map((line) => JSON.parse(line)).at(-1).done, true);
    });
  });

  test('that only half closes still gets its answer', () => use(async (connection) => {
    connection.send(get('/api/version'));
    connection.halfClose();
    assert.equal((await connection.readResponse()).status, 200);
    await connection.closed();
  }));
});

describe('a body', () => {
  const post = (headers, body) => exchange(gateway.port, `POST /api/generate HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`);

  test('may come in chunks, with extensions and trailers', async () => {
    const half = kAsk.length >> 1;
    const chunks = `${half.toString(16)};name=value\r\n${kAsk.slice(0, half)}\r\n${(kAsk.length - half).toString(16).toUpperCase()}\r\n${kAsk.slice(half)}\r\n0\r\nX-Trailer: 1\r\n\r\n`;
    assert.equal((await post('Transfer-Encoding: chunked\r\n', chunks)).json().response, 'hi');
  });

  test('may wait for 100 Continue', () => use(async (connection) => {
    connection.send(`POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: ${kAsk.length}\r\nExpect: 100-continue\r\n\r\n`);
    assert.equal((await connection.readResponse()).status, 100);
    connection.send(kAsk);
    assert.equal((await connection.readResponse()).json().response, 'hi');
  }));

  test('that nobody will read is not asked for', async () => {
    const answer = await exchange(gateway.port, 'POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
    assertError(answer, 404);
  });

  test('of a request that was refused is not taken for the next request', () => use(async (connection) => {
    const smuggled = get('/api/version');
    connection.send(`POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}${get('/health/live')}`);
    assertError(await connection.readResponse(), 404);
    // Either the body was passed over and the next answer is that of /health/live, or the connection was closed.
    const next = await connection.readResponse().catch(() => undefined);
    if (next) assert.ok(!('version' in next.json()));
  }));

  for (const [name, headers, body, statuses] of [
    ['with both lengths', `Content-Length: ${kAsk.length}\r\nTransfer-Encoding: chunked\r\n`, `${kAsk.length.toString(16)}\r\n${kAsk}\r\n0\r\n\r\n`, [400]],
    ['with two different lengths', `Content-Length: ${kAsk.length}\r\nContent-Length: 5\r\n`, kAsk, [400]],
    ['with two equal lengths', `Content-Length: ${kAsk.length}\r\nContent-Length: ${kAsk.length}\r\n`, kAsk, [400]],
    ['with a list of lengths', `Content-Length: ${kAsk.length}, ${kAsk.length}\r\n`, kAsk, [400]],
    ['with a negative length', 'Content-Length: -1\r\n', kAsk, [400]],
    ['with a signed length', `Content-Length: +${kAsk.length}\r\n`, kAsk, [400]],
    ['with a hexadecimal length', 'Content-Length: 0x10\r\n', kAsk, [400]],
    ['with a length beyond 64 bits', 'Content-Length: 99999999999999999999999\r\n', kAsk, [400, 413]],
    ['with an empty length', 'Content-Length: \r\n', kAsk, [400]],
    ['with an unknown coding', 'Transfer-Encoding: gzip\r\n', kAsk, [400, 501]],
    ['with chunked not last', 'Transfer-Encoding: chunked, gzip\r\n', kAsk, [400, 501]],
    ['with chunked twice', 'Transfer-Encoding: chunked, chunked\r\n', `${kAsk.length.toString(16)}\r\n${kAsk}\r\n0\r\n\r\n`, [400, 501]],
    ['with a disguised coding', 'Transfer-Encoding: xchunked\r\n', kAsk, [400, 501]],
    ['with a chunk size that is no number', 'Transfer-Encoding: chunked\r\n', `zz\r\n${kAsk}\r\n0\r\n\r\n`, [400]],
    ['with a negative chunk size', 'Transfer-Encoding: chunked\r\n', `-5\r\n${kAsk}\r\n0\r\n\r\n`, [400]],
    ['with a chunk size beyond 64 bits', 'Transfer-Encoding: chunked\r\n', `fffffffffffffffff\r\n${kAsk}\r\n0\r\n\r\n`, [400, 413]],
    ['with a chunk that is longer than its size', 'Transfer-Encoding: chunked\r\n', `3\r\n${kAsk}\r\n0\r\n\r\n`, [400]],
    ['with bare line feeds around chunks', 'Transfer-Encoding: chunked\r\n', `${kAsk.length.toString(16)}\n${kAsk}\n0\n\n`, [400]],
    ['with something behind a chunk size', 'Transfer-Encoding: chunked\r\n', `${kAsk.length.toString(16)} 9\r\n${kAsk}\r\n0\r\n\r\n`, [400]],
    ['with blanks behind a chunk size', 'Transfer-Encoding: chunked\r\n', `${kAsk.length.toString(16)} \r\n${kAsk}\r\n0\r\n\r\n`, [400]],
    ['with endless blanks behind a chunk size', 'Transfer-Encoding: chunked\r\n', `5${' '.repeat(10_000)}`, [400]],
    ['with an endless chunk extension', 'Transfer-Encoding: chunked\r\n', `5;${'x'.repeat(10_000)}\r\n`, [400]],
  ]) {
    test(`${name} is refused and the connection closed`, () => use(async (connection) => {
      connection.send(`POST /api/generate HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`);
      const answer = await connection.readResponse();
      assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
      assertError(answer, answer.status);
      await connection.closed();
    }));
  }

  test('that HTTP/1.0 cannot have is refused', async () => {
    const answer = await exchange(gateway.port, `POST /api/generate HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`);
    assert.ok([400, 501].includes(answer.status));
  });
});

describe('a head', () => {
  for (const [name, request, statuses] of [
    ['with a blank in a name', get('/health', 'Bad Name: x\r\n'), [400]],
    ['with a blank before the colon', get('/health', 'Name : x\r\n'), [400]],
    ['with an empty name', get('/health', ': x\r\n'), [400]],
    ['without a colon', get('/health', 'nothing\r\n'), [400]],
    ['with a NUL in a value', get('/health', 'X-A: a\0b\r\n'), [400]],
    ['with a bare CR in a value', get('/health', 'X-A: a\rb\r\n'), [400]],
    ['with a folded line', get('/health', 'X-A: a\r\n b\r\n'), [400]],
    ['with a non-ASCII name', get('/health', 'Größe: x\r\n'), [400]],
    ['without Host', 'GET /health HTTP/1.1\r\n\r\n', [400]],
    ['with two Hosts', get('/health', 'Host: other\r\n'), [400]],
    ['of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [505]],
    ['with an address inside its target', 'GET evil?x=http://h/api/version HTTP/1.1\r\nHost: h\r\n\r\n', [400]],
    ['with an address that is not of HTTP', 'GET ftp://h/api/version HTTP/1.1\r\nHost: h\r\n\r\n', [400]],
    ['with an address and without Host', 'GET http://h/api/version HTTP/1.1\r\n\r\n', [400]],
    ['with a Host that has a bad port', 'GET /health HTTP/1.1\r\nHost: x:y\r\n\r\n', [400]],
    ['with a bad version', 'GET /health HTTP/3.7\r\nHost: x\r\n\r\n', [400, 505]],
    ['with no version', 'GET /health\r\nHost: x\r\n\r\n', [400]],
    ['with a method that is no token', 'G(T /health HTTP/1.1\r\nHost: x\r\n\r\n', [400]],
    ['with an unknown method', 'BREW /health HTTP/1.1\r\nHost: x\r\n\r\n', [405, 501]],
    ['with CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n', [400, 404, 405, 501]],
    ['with a control character in the path', 'GET /hea\x01lth HTTP/1.1\r\nHost: x\r\n\r\n', [400]],
    ['with two blanks in the request line', 'GET  /health HTTP/1.1\r\nHost: x\r\n\r\n', [400]],
    ['with more fields than 100', get('/health', 'X-A: b\r\n'.repeat(120)), [400, 431]],
    ['larger than 32 KB', get('/health', `X-A: ${'b'.repeat(40_000)}\r\n`), [431]],
    ['with a path larger than 8 KB', get(`/${'a'.repeat(9_000)}`), [414]],
    ['with a path larger than 32 KB', get(`/${'a'.repeat(40_000)}`), [414]],
    ['of TLS', Buffer.from('160301020001000', 'hex'), [400]],
  ]) {
    test(`${name} is refused`, () => use(async (connection) => {
      connection.send(typeof request === 'string' ? Buffer.from(request, name.includes('non-ASCII') ? 'utf8' : 'latin1') : request);
      // What is not even a line waits for more; its end must be waited for no longer than for ours.
      if (Buffer.isBuffer(request)) connection.halfClose();
      const answer = await connection.readResponse().catch((error) => {
        // Bytes without a line may be hung up on without an answer.
        if (Buffer.isBuffer(request)) return undefined;
        throw error;
      });
      if (!answer) return;
      assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
      assertError(answer, answer.status);
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
      if ([400, 414, 431, 505].includes(answer.status)) await connection.closed();
    }));
  }

  test('that is never finished does not hold the others up', async () => {
    const idle = await Promise.all(Array.from({ length: 50 }, open));
    for (const connection of idle) connection.send('POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Le');
    assert.equal((await gateway.get('/health')).status, 200);
    assert.equal((await gateway.generate('Hello')).status, 200);
    for (const connection of idle) connection.cut();
    await waitUntil('their connections are closed', async () => (await gateway.metric('gbgreg_connections')) <= 2);
  });

  test('takes the absolute form', async () => {
    assert.equal((await exchange(gateway.port, 'GET http://localhost/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n')).status, 200);
  });

  test('of the answer says what the body is', async () => {
    for (const target of ['/health', '/metrics', '/nothing', '/api/uploads']) {
      const { headers } = await gateway.get(target);
      assert.ok(headers['content-type']);
      assert.ok('content-length' in headers || headers['transfer-encoding'] === 'chunked');
      assert.equal(headers['x-content-type-options'], 'nosniff');
    }
  });
});

test('HEAD has the head of GET and no body', async () => {
  for (const target of ['/health/live', '/api/version', '/metrics', '/nothing', '/api/uploads']) {
    await use(async (connection) => {
      connection.send(`HEAD ${target} HTTP/1.1\r\nHost: x\r\n\r\n${get('/api/version')}`);
      const head = await connection.readResponse({ head: true });
      const whole = await exchange(gateway.port, get(target));
      assert.equal(head.status, whole.status);
      assert.equal(head.headers['content-type'], whole.headers['content-type']);
      // What follows is the answer to the next request and not the body of this one.
      assert.equal((await connection.readResponse()).json().version, gateway.version);
    });
  }
});

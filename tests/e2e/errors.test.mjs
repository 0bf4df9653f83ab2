// What a client does wrong is answered with the right status, in one shape, with an id.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertError, startScripted } from '../support/gateway.mjs';
import { exchange } from '../support/http.mjs';

const kJsonLimit = 16_384;

let gateway;
before(async () => {
  gateway = await startScripted({ limits: { json_bytes_max: kJsonLimit } });
});
after(() => gateway?.dispose());

const post = (body, target = '/api/generate') => gateway.request('POST', target, { body, headers: { 'content-type': 'application/json' } });

describe('JSON', () => {
  for (const target of ['/api/generate', '/api/route']) {
    for (const [name, body] of [
      ['cut off', '{"prompt":"Hello"'],
      ['empty', ''],
      ['not JSON', 'prompt=Hello'],
      ['something after it', '{"prompt":"Hello"} trailing'],
      ['an array', '["Hello"]'],
      ['a bare string', '"Hello"'],
      ['invalid UTF-8', Buffer.from('{"prompt":"\xff\xfe"}', 'latin1')],
      ['a lone surrogate', '{"prompt":"\\ud800"}'],
      ['a control character', '{"prompt":"a\u0001b"}'],
      ['too deep', `{"prompt":"x","options":${'{"a":'.repeat(200)}1${'}'.repeat(200)}}`],
    ]) {
      test(`${target}: ${name} is 400`, async () => {
        assertError(await post(body, target), 400);
      });
    }
  }

  for (const [name, body] of [
    ['prompt', { prompt: 5 }],
    ['prompt', { prompt: ['Hello'] }],
    ['model', { prompt: 'Hello', model: 7 }],
    ['stream', { prompt: 'Hello', stream: 'yes' }],
    ['options', { prompt: 'Hello', options: [] }],
    ['temperature', { prompt: 'Hello', options: { temperature: 'hot' } }],
    ['images', { prompt: 'Hello', images: 'abc' }],
    ['images', { prompt: 'Hello', images: ['%%%'] }],
    ['system', { prompt: 'Hello', system: {} }],
    ['deadline_ms', { prompt: 'Hello', deadline_ms: -5 }],
    ['priority', { prompt: 'Hello', priority: 'urgent' }],
    ['format', { prompt: 'Hello', format: 'xml' }],
  ]) {
    test(`a wrong ${name} is 400 and named: ${JSON.stringify(body).slice(0, 60)}`, async () => {
      const error = assertError(await post(JSON.stringify(body)), 400);
      assert.ok(`${error.message} ${JSON.stringify(error.details ?? {})}`.includes(name), error.message);
    });
  }

  test('a body over the limit is 413 and names the limit', async () => {
    const error = assertError(await post(JSON.stringify({ prompt: 'x'.repeat(kJsonLimit) })), 413);
    assert.ok(`${error.message} ${JSON.stringify(error.details ?? {})}`.includes(String(kJsonLimit)), error.message);
  });

  test('a declared length over the limit is refused before the body is sent', async () => {
    const answer = await exchange(gateway.port, `POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: ${kJsonLimit + 1}\r\n\r\n`);
    assertError(answer, 413);
  });

  test('a chunked body over the limit is 413 too', async () => {
    async function* pieces() {
      for (let i = 0; i < 8; ++i) yield Buffer.alloc(4096, 'x');
    }
    assertError(await gateway.request('POST', '/api/generate', { body: pieces() }), 413);
  });

  test('an image that is none is 422', async () => {
    assertError(await post(JSON.stringify({ prompt: 'Hello', images: [Buffer.from('only text').toString('base64')] })), 422);
  });
});

describe('paths and methods', () => {
  for (const target of ['/nothing', '/api/', '/api/generate/more', '/api/uploads/0/1/2', '/%2e%2e/etc/passwd', '/..', '//health']) {
    test(`${target} is 404`, async () => {
      assertError(await gateway.get(target), 404);
    });
  }

  for (const [method, target, allowed] of [
    ['GET', '/api/generate', 'POST'],
    ['DELETE', '/api/generate', 'POST'],
    ['POST', '/health', 'GET'],
    ['POST', '/metrics', 'GET'],
    ['PUT', '/api/upload/file', 'POST'],
    ['POST', '/api/uploads', 'GET'],
    ['PATCH', '/api/uploads/018f0000-0000-7000-8000-000000000000', 'DELETE'],
  ]) {
    test(`${method} ${target} is 405 and says ${allowed}`, async () => {
      const answer = await gateway.request(method, target);
      assertError(answer, 405);
      assert.ok(answer.headers.allow.split(/, */).includes(allowed), answer.headers.allow);
    });
  }

  test('a query does not change the route', async () => {
    assert.equal((await gateway.get('/api/version?x=1')).status, 200);
  });
});

describe('request ids', () => {
  test('every answer has one, and no two the same', async () => {
    const ids = new Set();
    for (const target of ['/health', '/nothing', '/metrics', '/api/version', '/api/uploads']) {
      ids.add((await gateway.get(target)).headers['x-request-id']);
    }
    assert.equal(ids.size, 5);
    assert.ok(!ids.has(undefined));
  });

  test('a valid one of the client’s own is kept', async () => {
    for (const id of ['abc-123', '0190d1f0-7a55-7c3e-8f3e-000000000001']) {
      assert.equal((await gateway.get('/health', { headers: { 'x-request-id': id } })).headers['x-request-id'], id);
      const error = assertError(await gateway.get('/nothing', { headers: { 'x-request-id': id } }), 404);
      assert.equal(error.request_id, id);
    }
    const answer = await gateway.generate({ prompt: 'Hello' }, { headers: { 'x-request-id': 'mine-1' } });
    assert.equal(answer.json().gbgreg.request_id, 'mine-1');
  });

  test('one that is not valid is replaced and never sent back', async () => {
    for (const id of ['', 'a b', 'x'.repeat(500), '<script>', '"quoted"', 'a;b\tc']) {
      const back = (await gateway.get('/health', { headers: { 'x-request-id': id } })).headers['x-request-id'];
      assert.ok(back && back !== id, JSON.stringify(id));
      assert.match(back, /^[\w.-]{8,64}$/);
    }
  });
});

test('no error names a path, a type or SQL', async () => {
  for (const answer of [
    await post('{'), await gateway.get('/nothing'), await gateway.get('/api/uploads/not-an-id'),
    await gateway.get("/api/uploads/'%20OR%201=1--"), await gateway.get('/api/uploads?limit=x'), await gateway.get('/api/uploads?cursor=%00'),
  ]) {
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`);
    assert.doesNotMatch(answer.text, /\/tmp\/|std::|SELECT|sqlite|terminate|0x[0-9a-f]{6}/i);
  }
});

describe('a web page', () => {
  const kOwn = 'http://127.0.0.1:5173';
  for (const [name, headers, code] of [
    ['of another site', { origin: 'http://evil.example' }, 'origin_not_allowed'],
    ['without an origin of its own', { origin: 'null' }, 'origin_not_allowed'],
    ['that loads a picture from here', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, 'origin_not_allowed'],
    ['whose name points here by DNS rebinding', { host: 'evil.example:3333' }, 'host_not_allowed'],
  ]) {
    test(`${name} may not use the gateway`, async () => {
      for (const [method, target] of [['POST', '/api/generate'], ['GET', '/api/uploads'], ['GET', '/health'], ['GET', '/nowhere']]) {
        const answer = await gateway.request(method, target, { body: method === 'POST' ? '{"prompt":"Hello"}' : undefined, headers });
        assertError(answer, 403, code);
      }
    });
  }

  test('of this machine may', async () => {
    assert.equal((await gateway.request('POST', '/api/generate', { body: '{"prompt":"Hello"}', headers: { origin: kOwn } })).status, 200);
  });
});

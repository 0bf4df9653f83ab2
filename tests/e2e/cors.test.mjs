// Web pages: which may use the gateway, and what their browsers are told, so that a page's script can read its answers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertError, startScripted } from '../support/gateway.mjs';
import { exchange } from '../support/http.mjs';

const kApp = 'https://app.example.org';
const kLoopback = 'http://localhost:5173';
const kCorsFields = ['access-control-allow-origin', 'access-control-expose-headers', 'access-control-allow-methods', 'access-control-allow-headers'];

let gateway;
before(async () => {
  gateway = await (await startScripted({ environment: { GBGREG_ORIGINS: kApp } })).allReady();
});
after(() => gateway?.dispose());

function preflight(target, { origin = kApp, method = 'POST', fields = 'authorization,content-type', more = {} } = {}) {
  const headers = { origin, 'access-control-request-method': method, ...more };
  if (fields) headers['access-control-request-headers'] = fields;
  return gateway.request('OPTIONS', target, { headers });
}

const namesIn = (field) => (field ?? '').split(', ').map((name) => name.toLowerCase());

// What a browser checks before it lets the page see anything.
function assertReadable(answer, origin) {
  assert.equal(answer.headers['access-control-allow-origin'], origin);
  assert.match(answer.headers.vary, /\bOrigin\b/);
  assert.equal(answer.headers['access-control-allow-credentials'], undefined);
  const exposed = namesIn(answer.headers['access-control-expose-headers']);
  for (const name of ['x-request-id', 'request-id', 'retry-after', 'x-gbgreg-role', 'x-gbgreg-reason']) assert.ok(exposed.includes(name), name);
}

function assertClosed(answer) {
  for (const name of kCorsFields) assert.equal(answer.headers[name], undefined, name);
}

describe('a preflight', () => {
  for (const [target, method, methods] of [
    ['/v1/chat/completions', 'POST', ['post']],
    ['/v1/messages', 'POST', ['post']],
    ['/api/generate', 'POST', ['post']],
    ['/v1/models', 'GET', ['get', 'head']],
    ['/v1/models/some/model', 'GET', ['get', 'head']],
    ['/api/uploads/018f0000-0000-7000-8000-000000000000', 'DELETE', ['get', 'head', 'delete']],
  ]) {
    test(`of ${method} ${target} is answered with that path's methods`, async () => {
      const answer = await preflight(target, { method });
      assert.equal(answer.status, 204);
      assert.equal(answer.text, '');
      assertReadable(answer, kApp);
      assert.deepEqual(namesIn(answer.headers['access-control-allow-methods']), methods);
      assert.match(answer.headers['access-control-max-age'], /^\d+$/);
    });
  }

  test('names every field that the official clients send, for "*" does not cover Authorization', async () => {
    const wanted = ['authorization', 'content-type', 'x-api-key', 'anthropic-version', 'anthropic-beta', 'anthropic-dangerous-direct-browser-access',
      'x-request-id', ...['arch', 'lang', 'os', 'package-version', 'retry-count', 'runtime', 'runtime-version', 'timeout', 'helper-method'].map((name) => `x-stainless-${name}`)];
    const answer = await preflight('/v1/messages', { fields: wanted.join(',') });
    const allowed = answer.headers['access-control-allow-headers'];
    assert.deepEqual(namesIn(allowed), wanted);
    assert.ok(!allowed.includes('*'));
  });

  test('says back no name that is none', async () => {
    const answer = await preflight('/v1/messages', { fields: 'x-ok, bad name, <script>, "quoted", x:y' });
    assert.equal(answer.headers['access-control-allow-headers'], 'x-ok');
  });

  test('into a private network is answered when the browser asks for it', async () => {
    const asked = await preflight('/health', { method: 'GET', more: { 'access-control-request-private-network': 'true' } });
    assert.equal(asked.headers['access-control-allow-private-network'], 'true');
    assert.equal((await preflight('/health', { method: 'GET' })).headers['access-control-allow-private-network'], undefined);
  });

  test('of a page that may not ask is refused and tells it nothing', async () => {
    for (const origin of ['https://evil.example', 'null', 'http://app.example.org', `${kApp}:8443`, `${kApp}.evil.example`]) {
      const answer = await preflight('/api/generate', { origin, more: { 'access-control-request-private-network': 'true' } });
      assertError(answer, 403, 'origin_not_allowed');
      assertClosed(answer);
      assert.equal(answer.headers['access-control-allow-private-network'], undefined);
      // In the words of the route's dialect.
      const other = (await preflight('/v1/messages', { origin })).json();
      assert.deepEqual([other.type, other.error.type, other.error.code], ['error', 'permission_error', 'origin_not_allowed']);
    }
  });

  test('leaves the connection to the request that follows it', async () => {
    const answer = await exchange(gateway.port, `OPTIONS /api/version HTTP/1.1\r\nHost: x\r\nOrigin: ${kApp}\r\nAccess-Control-Request-Method: GET\r\n\r\n`);
    assert.equal(answer.status, 204);
    assert.equal(answer.headers['content-length'], undefined);
    assert.equal(answer.headers.connection, undefined);
  });
});

describe('a page that may ask', () => {
  for (const origin of [kApp, kLoopback, 'http://[::1]:8080']) {
    test(`of ${origin} reads whole answers, streams and errors`, async () => {
      const headers = { origin };
      const model = 'coordinator';
      const messages = [{ role: 'user', content: 'Hello [[tokens=3]]' }];
      const answers = [
        [200, await gateway.generate('Hello', { headers })],
        [200, await gateway.get('/health', { headers })],
        [200, await gateway.generate({ prompt: 'Hello [[tokens=3]]', stream: true }, { headers })],
        [200, await gateway.request('POST', '/v1/chat/completions', { headers, body: { model, messages, stream: true } })],
        [200, await gateway.request('POST', '/v1/messages', { headers, body: { model, messages, max_tokens: 5, stream: true } })],
        [400, await gateway.request('POST', '/api/generate', { headers, body: '{' })],
        [400, await gateway.request('POST', '/v1/messages', { headers, body: { model, messages } })],
        [404, await gateway.get('/nothing', { headers })],
        [404, await gateway.request('POST', '/v1/chat/completions', { headers, body: { model: 'unknown', messages } })],
        [405, await gateway.get('/api/generate', { headers })],
        [502, await gateway.generate({ prompt: 'Hello [[status=500]]', model }, { headers })],
      ];
      for (const [status, answer] of answers) {
        assert.equal(answer.status, status, answer.text);
        assertReadable(answer, origin);
      }
    });
  }

  test('is not told of by an answer to a program', async () => {
    for (const target of ['/health', '/nothing']) {
      const answer = await gateway.get(target);
      assertClosed(answer);
      assert.equal(answer.headers.vary, undefined);
    }
  });

  test('is refused like anybody where its own address is not the gateway’s', async () => {
    const answer = await gateway.get('/health', { headers: { origin: kApp, host: 'evil.example' } });
    assertError(answer, 403, 'host_not_allowed');
    assertClosed(answer);
  });
});

describe('the gateway’s own page', () => {
  // What a page of http://box.lan sends through a proxy in front of the gateway: both write the address as they like.
  for (const [host, origin, status] of [
    ['box.lan', 'http://box.lan', 200],
    ['Box.LAN.', 'http://box.lan:80', 200],
    ['box.lan:443', 'https://box.lan', 200],
    ['box.lan:8080', 'http://box.lan', 403],
  ]) {
    test(`at ${host} may be called ${origin}: ${status}`, async () => {
      assert.equal((await gateway.get('/health', { headers: { host, origin } })).status, status);
    });
  }
});

describe('OPTIONS from a program', () => {
  for (const [target, allow] of [['/v1/models', 'GET, HEAD, OPTIONS'], ['/api/chat', 'POST, OPTIONS'], ['/api/uploads/x', 'GET, HEAD, DELETE, OPTIONS']]) {
    test(`at ${target} is answered with Allow: ${allow}`, async () => {
      const answer = await gateway.request('OPTIONS', target);
      assert.equal(answer.status, 204);
      assert.equal(answer.headers.allow, allow);
      assertClosed(answer);
    });
  }

  test('at * is answered, and where there is nothing it is 404', async () => {
    assert.equal((await exchange(gateway.port, 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n')).status, 204);
    assertError(await gateway.request('OPTIONS', '/nothing'), 404);
  });
});

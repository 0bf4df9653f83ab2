// In a real browser: pages of this machine and configured ones use the gateway, with everything their clients send; pages of
// others neither read an answer nor have anything done.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Pages } from '../support/browser.mjs';
import { startScripted } from '../support/gateway.mjs';

let pages;
let gateway;
before(async () => {
  pages = await Pages.open();
  gateway = await startScripted({ environment: { GBGREG_ORIGINS: pages.origin('app.example') } });
});
after(async () => {
  await gateway?.dispose();
  await pages?.close();
});

// What an official client's browser build sends, and what its page wants to read.
const asks = (url) => `
  const answer = await fetch('${url}/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer none', 'x-stainless-lang': 'js', 'x-stainless-retry-count': '0' },
    body: JSON.stringify({ model: 'coordinator', messages: [{ role: 'user', content: 'Hello [[text=well tag=page]]' }] }),
  });
  const body = await answer.json();
  return { status: answer.status, text: body.choices?.[0].message.content, role: answer.headers.get('x-gbgreg-role'), id: answer.headers.get('x-request-id') };`;

const streams = (url) => `
  const answer = await fetch('${url}/api/generate', { method: 'POST', body: JSON.stringify({ prompt: 'Hello [[tokens=5]]', model: 'coordinator' }) });
  let lines = 0;
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) lines += piece.split('\\n').length - 1;
  return { status: answer.status, lines };`;

for (const host of ['localhost', '127.0.0.1', 'app.example']) {
  test(`a page of ${host} asks, reads the answer and its fields, and streams`, async () => {
    const found = await pages.run(host, asks(gateway.url));
    assert.equal(found.failed, undefined);
    assert.deepEqual({ ...found, id: undefined }, { status: 200, text: 'well', role: 'coordinator', id: undefined });
    assert.match(found.id, /^[0-9a-f-]{36}$/);
    const streamed = await pages.run(host, streams(gateway.url));
    assert.equal(streamed.status, 200, JSON.stringify(streamed));
    assert.ok(streamed.lines >= 6, JSON.stringify(streamed));
  });
}

test('a page of a stranger reads nothing, and nothing is done for it', async () => {
  const before = gateway.engineLog.find('request_begin').length;
  for (const script of [asks(gateway.url), streams(gateway.url), `return { status: (await fetch('${gateway.url}/health')).status };`]) {
    const found = await pages.run('evil.example', script);
    assert.match(found.failed ?? JSON.stringify(found), /TypeError: Failed to fetch/);
  }
  // Without a preflight, as a form would: the page sees nothing of it, and no model does either.
  const blind = await pages.run('evil.example', `
    const answer = await fetch('${gateway.url}/api/generate', { method: 'POST', mode: 'no-cors', body: JSON.stringify({ prompt: 'Hello', model: 'coordinator' }) });
    return { type: answer.type, status: answer.status };`);
  assert.deepEqual(blind, { type: 'opaque', status: 0 });
  assert.equal(gateway.engineLog.find('request_begin').length, before);
});

test('a page that a name of its own leads here is a stranger all the same', async () => {
  // DNS rebinding: the page is of evil.example, which has become this machine's address.
  const port = gateway.port;
  const found = await pages.run('evil.example', `
    const answer = await fetch('http://evil.example:${port}/health', { mode: 'no-cors' });
    return { type: answer.type };`);
  assert.equal(found.type, 'opaque');
  const answer = await gateway.get('/health', { headers: { host: `evil.example:${port}` } });
  assert.equal(answer.status, 403);
});

test('no page gets an answer with credentials', async () => {
  const found = await pages.run('app.example', `return { status: (await fetch('${gateway.url}/health', { credentials: 'include' })).status };`);
  assert.match(found.failed ?? JSON.stringify(found), /TypeError: Failed to fetch/);
});

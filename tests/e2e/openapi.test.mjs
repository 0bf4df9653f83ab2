// The OpenAPI document is true: what the gateway answers is validated against it, for every operation, well and badly asked.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { zip } from '../support/archives.mjs';
import { importClient } from '../support/clients.mjs';
import { emptyModel, kEmbedding, startReal, startScripted } from '../support/gateway.mjs';
import { exchange, openStream, request } from '../support/http.mjs';
import { bearer, isKnown, makeKey } from '../support/keys.mjs';
import { png } from '../support/images.mjs';
import { ModelServer } from '../support/model_server.mjs';
import { contentType, fileBody, multipart } from '../support/multipart.mjs';
import { Contract } from '../support/openapi.mjs';
import { kCallsWeather, kPng, kWeatherSchema, kWeatherTool } from '../support/protocols.mjs';
import { kUnknownBinaries } from '../support/uploads.mjs';
import { waitUntil } from '../support/wait.mjs';

const kStranger = { origin: 'https://evil.example' };
const kNoImage = Buffer.from('this is no image of any kind').toString('base64');

// How each route that asks a model is asked the same things. `bad` are bodies that the document forbids, too.
const kAskers = {
  '/api/generate': {
    ask: (prompt, more = {}) => ({ prompt, ...more }),
    model: 'coordinator',
    image: (data) => ({ images: [data] }),
    tools: { tools: [kWeatherTool] },
    good: [
      { prompt: 'Hello' }, { prompt: 'Hello', stream: true }, { prompt: 'Hello', model: 'auto' }, { prompt: '', model: 'coordinator' }, { prompt: '', model: 'coordinator', keep_alive: 0 },
      { prompt: 'Hello', model: 'coordinator', stream: false, system: 'Be brief.', format: kWeatherSchema, keep_alive: '5m', priority: 'batch', deadline_ms: 60_000,
        options: { temperature: 0, seed: -1, num_predict: 4, num_ctx: 512, stop: ['x'], top_k: null } },
      { prompt: 'Hello [[thinking=hm text=well]]', model: 'coordinator', think: true }, { prompt: '', model: 'coordinator', stream: false },
    ],
    bad: [{ prompt: 5 }, { prompt: 'x', options: { temperature: 9 } }, { prompt: 'x', priority: 'soon' }, { prompt: 'x', raw: true }, { prompt: 'x', upload_ids: ['x'] }, { prompt: 'x', model: 'coordinator', format: 'xml' }],
  },
  '/api/chat': {
    ask: (content, more = {}) => ({ messages: [{ role: 'user', content }], ...more }),
    model: 'coordinator',
    image: (data) => ({ messages: [{ role: 'user', content: 'Look', images: [data] }] }),
    tools: { tools: [kWeatherTool] },
    good: [
      { messages: [{ role: 'user', content: 'Hello' }] }, { messages: [{ role: 'user', content: 'Hello' }], stream: false }, { messages: [], model: 'coordinator' }, { messages: [], model: 'coordinator', keep_alive: '0s', stream: false },
      { messages: [{ role: 'user', content: 'Hello [[thinking=hm text=well]]' }], think: 'high', stream: false },
      { messages: [{ role: 'assistant', content: '', tool_calls: [{ function: { name: 'get_weather', arguments: { city: 'Oslo' } } }] }, { role: 'tool', content: 'cold', tool_name: 'get_weather' }] },
    ],
    bad: [{ messages: [{ content: 'x' }] }, { messages: 'x' }, { messages: [{ role: 'robot', content: 'x' }] }, { messages: [{ role: 'user', content: 'x' }], think: 'harder' }, { messages: [{ role: 'user', content: 'x' }], upload_ids: 'x' }],
  },
  '/v1/chat/completions': {
    ask: (content, more = {}) => ({ model: 'auto', messages: [{ role: 'user', content }], ...more }),
    model: 'coordinator',
    image: (data) => ({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } }] }] }),
    tools: { tools: [kWeatherTool], tool_choice: 'auto' },
    good: [
      { messages: [{ role: 'user', content: 'Hello' }] },
      { messages: [{ role: 'developer', content: [{ type: 'text', text: 'Be brief.' }] }, { role: 'user', content: 'Hello' }], stream: true, stream_options: { include_usage: true } },
      { messages: [{ role: 'user', content: 'Hello' }], logprobs: true, top_logprobs: 2, max_completion_tokens: 4, n: 1, stop: 'x', temperature: null, seed: 3, response_format: { type: 'text' } },
      { messages: [{ role: 'user', content: 'Hello' }], logprobs: true, stream: true, max_tokens: 4 },
      { messages: [{ role: 'user', content: 'Hello [[thinking=hm text=well]]' }] }, { messages: [{ role: 'user', content: 'Hello [[thinking=hm text=well]]' }], stream: true },
    ],
    bad: [{ messages: [] }, { messages: [{ role: 'user', content: 'x' }], n: 2 }, { messages: [{ role: 'user', content: 'x' }], temperature: 3 }, { messages: [{ role: 'user', content: 'x' }], functions: [] },
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'http://evil.example/x.png' } }] }] }],
  },
  '/v1/completions': {
    ask: (prompt, more = {}) => ({ model: 'auto', prompt, ...more }),
    model: 'coordinator',
    good: [{ prompt: 'Hello' }, { prompt: ['Hello'], stream: true, stream_options: { include_usage: true } }, { prompt: 'Hello', logprobs: 1, max_tokens: 3 }, { prompt: 'Hello', logprobs: 1, stream: true, max_tokens: 3 }],
    bad: [{}, { prompt: ['a', 'b'] }, { prompt: 'x', echo: true }, { prompt: 'x', best_of: 3 }],
  },
  '/v1/responses': {
    ask: (input, more = {}) => ({ model: 'auto', input, ...more }),
    model: 'coordinator',
    image: (data) => ({ input: [{ role: 'user', content: [{ type: 'input_image', image_url: `data:image/png;base64,${data}` }] }] }),
    tools: { tools: [{ type: 'function', name: 'get_weather', parameters: kWeatherSchema }], tool_choice: 'auto' },
    good: [
      { input: 'Hello' }, { input: 'Hello', stream: true, instructions: 'Be brief.', metadata: { a: 'b' } }, { input: 'Hello', max_output_tokens: 2 },
      { input: 'Hello [[thinking=hm text=well]]' }, { input: 'Hello [[thinking=hm text=well]]', stream: true }, { input: 'Hello [[thinking=hm text=well]]', stream: true, reasoning: { effort: 'low', summary: 'auto' } },
      { input: [{ role: 'user', content: 'Weather?' }, { type: 'function_call', call_id: 'c1', name: 'get_weather', arguments: '{}' }, { type: 'function_call_output', call_id: 'c1', output: 'cold' }], text: { format: { type: 'text' } } },
    ],
    bad: [{}, { input: [] }, { input: 'x', previous_response_id: 'resp_1' }, { input: 'x', background: true }, { input: 'x', tools: [{ type: 'web_search' }] }, { input: 'x', temperature: 3 }],
  },
  '/v1/messages': {
    ask: (content, more = {}) => ({ model: 'auto', max_tokens: 16, messages: [{ role: 'user', content }], ...more }),
    model: 'coordinator',
    image: (data) => ({ max_tokens: 8, messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data } }] }] }),
    tools: { tools: [{ name: 'get_weather', input_schema: kWeatherSchema }] },
    good: [
      { max_tokens: 4, messages: [{ role: 'user', content: 'Hello' }] }, { max_tokens: 4, messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }], stream: true, system: [{ type: 'text', text: 'Be brief.' }] },
      { max_tokens: 9, messages: [{ role: 'user', content: 'Hello [[text="one two"]]' }], stop_sequences: ['two'] },
      { max_tokens: 9, messages: [{ role: 'user', content: 'Hello [[thinking=hm text=well]]' }], thinking: { type: 'enabled', budget_tokens: 1024 } },
      { max_tokens: 9, messages: [{ role: 'user', content: 'Hello [[thinking=hm text=well]]' }], stream: true },
    ],
    bad: [{ messages: [{ role: 'user', content: 'x' }] }, { max_tokens: 0, messages: [{ role: 'user', content: 'x' }] }, { max_tokens: 4, messages: [] }, { max_tokens: 4, messages: [{ role: 'user', content: 'x' }], temperature: 1.5 },
      { max_tokens: 4, messages: [{ role: 'user', content: 'x' }], thread: 'th_1' }],
  },
  '/v1/messages/count_tokens': {
    ask: (content, more = {}) => ({ model: 'auto', messages: [{ role: 'user', content }], ...more }),
    model: 'coordinator',
    image: (data) => ({ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data } }] }] }),
    good: [{ messages: [{ role: 'user', content: 'Hello' }] }],
    bad: [{ messages: [] }, { messages: [{ role: 'robot', content: 'x' }] }],
    isCounted: true,  // The engine answers nothing to the prompt.
  },
};

// Nothing of these can be brought about in a test: a fault of ours, more reloads at once than the gateway is quick to do, a client that is slow for half a minute, a deadline in
// a dialect that has no word for one, an upload that finds all places taken, a database that is away, two that
// ask at once for what has never been looked at, a disk that is full (models.test.mjs has that), a process that does not end
// even when it is killed.
const kNeverExercised = [
  / (500|408)$/, /^reload (429|503)$/, /^unloadRole 503$/, /^(createMessage|countTokens) 504$/, /^countTokens 502$/, /^uploadFile (429|503)$/, /^(listUploads|getUpload|deleteUpload|getUploadContent|createFile|listFiles|retrieveFile|deleteFile|downloadFile) 503$/, /^(createEmbedding|embed|embeddings) (429|503)$/, /^showModel 503$/, /^route 503$/, /^(listKeys|createKey|revokeKey|listAudit) 503$/, /^createKey 409$/, /^(summariseRequests|seriesOfRequests|listRequests|getRequest|watchRequests) 503$/,
  /^(pullModel|pullStoredModel|deleteModel) 503$/, /^uploadScreenshot (404|429|503)$/, /^(listScreenshots|getScreenshot|watchScreenshot) 503$/,
  /^(uploadProject|uploadArchive) (429|503)$/, /^(listProjects|getProject|deleteProject|listProjectFiles|getProjectFile) (429|503)$/,
];

let document;
let contract;
let gateway;

before(async () => {
  gateway = await startScripted({ more: kUnknownBinaries, limits: { archive_entries_max: 100 } });
  document = (await gateway.get('/openapi.json')).json();
  contract = new Contract(document);
});
after(() => gateway?.dispose());

// Asks, and holds the answer to what the document says.
async function checked(method, target, { status, at = gateway, ...options } = {}) {
  const answer = await request(at.port, method, target, options);
  contract.check(method, target, answer);
  if (status) assert.equal(answer.status, status, `${method} ${target}: ${answer.text.slice(0, 500)}`);
  return answer;
}
const post = (target, body, status, more = {}) => checked('POST', target, { body, status, ...more });

async function isTooLarge(target, headers = '') {
  const answer = await exchange(gateway.port, `POST ${target} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: 99999999999\r\n\r\n`);
  contract.check('POST', target, answer);
  assert.equal(answer.status, 413);
}

test('the document is OpenAPI 3.1, as somebody else reads it', async () => {
  const { Validator } = await importClient('@seriousme/openapi-schema-validator');
  const result = await new Validator().validate(structuredClone(document));
  assert.ok(result.valid, JSON.stringify(result.errors, null, 1));
  assert.equal(document.openapi, '3.1.0');
  assert.equal(document.info.version, gateway.version);
});

test('a judge that finds nothing wrong would be none', async () => {
  const strange = new Contract(structuredClone(document));
  const health = await gateway.get('/health');
  const wrong = (change) => ({ ...health, json: () => change(health.json()) });
  strange.check('GET', '/health', health);
  for (const change of [
    (body) => ({ ...body, more: 1 }),
    ({ version, ...body }) => body,
    (body) => ({ ...body, status: 'well' }),
    (body) => ({ ...body, models: { ...body.models, roles: body.models.roles.map((role) => ({ ...role, mood: 'good' })) } }),
  ]) assert.throws(() => strange.check('GET', '/health', wrong(change)), /is not as/);
  assert.throws(() => strange.check('GET', '/health', { ...health, status: 418 }), /is not described/);
  for (const [target, asked, from, to] of [
    ['/api/generate', { prompt: 'Hello', stream: true }, '"done":false', '"done":false,"more":1'],
    ['/api/generate', { prompt: 'Hello', stream: true }, '"done":true', '"done":1'],
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hello' }], stream: true }, '"delta":{', '"delta":{"more":1,'],
    ['/v1/messages', { messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4, stream: true }, '"text_delta",', '"text_delta","more":1,'],
    ['/v1/messages', { messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4, stream: true }, 'event: ping', 'event: pong'],
  ]) {
    const stream = await gateway.request('POST', target, { body: asked });
    strange.check('POST', target, stream);
    assert.ok(stream.text.includes(from), stream.text);
    assert.throws(() => strange.check('POST', target, { ...stream, text: stream.text.replace(from, to) }), /is not as|is its type/);
  }
  assert.throws(() => strange.check('GET', '/health', { ...health, headers: { ...health.headers, 'x-strange': '1' } }), /x-strange/);
  assert.throws(() => strange.check('GET', '/health', { ...health, headers: { ...health.headers, 'x-request-id': undefined } }), /./);
});

for (const [target, asker] of Object.entries(kAskers)) {
  describe(`POST ${target}`, () => {
    test('well asked', async () => {
      for (const body of asker.good) {
        assert.ok(contract.takesRequest('POST', target, body), `the document forbids ${JSON.stringify(body)}`);
        await post(target, body, 200);
      }
      if (asker.tools) {
        for (const stream of [false, true]) await post(target, { ...asker.ask(kCallsWeather), model: asker.model, ...asker.tools, stream }, 200);
      }
      if (asker.image) await post(target, asker.image(kPng), 200);
    });

    test('badly asked', async () => {
      for (const body of asker.bad) {
        assert.ok(!contract.takesRequest('POST', target, body), `the document allows ${JSON.stringify(body)}`);
        const answer = await post(target, body);
        assert.ok(answer.status === 400 || answer.status === 422, `${JSON.stringify(body)}: ${answer.status}`);
      }
      await post(target, '{', 400);
      await post(target, asker.ask('Hello', { model: 'unknown' }), 404);
      if (asker.image) await post(target, asker.image(kNoImage), 422);
      await post(target, asker.ask('Hello'), 403, { headers: kStranger });
      await isTooLarge(target);
    });

    if (asker.isCounted) return;
    test('of a worker that does badly', async () => {
      await post(target, asker.ask('Hello [[status=500]]', { model: asker.model, stream: false }), 502);
      const broken = await post(target, asker.ask('Hello [[tokens=5 close_after=2]]', { model: asker.model, stream: true }), 200);
      assert.match(broken.text, /error/);
    });
  });
}

test('POST /api/route', async () => {
  for (const body of [{ prompt: 'Write a sort in C++' }, { messages: [{ role: 'user', content: 'Hello' }] }, { prompt: 'Look', images: [kPng] }]) {
    assert.ok(contract.takesRequest('POST', '/api/route', body));
    await post('/api/route', body, 200);
  }
  for (const body of [{ prompt: 5 }, { messages: [] }]) {
    assert.ok(!contract.takesRequest('POST', '/api/route', body));
    await post('/api/route', body, 400);
  }
  await post('/api/route', { prompt: 'x', model: 'unknown' }, 404);
  await post('/api/route', { prompt: 'x', images: [kNoImage] }, 422);
  await post('/api/route', { prompt: 'x' }, 403, { headers: kStranger });
  await isTooLarge('/api/route');
});

test('a deadline that passes', async () => {
  for (const target of ['/api/generate', '/api/chat', '/v1/chat/completions', '/v1/completions', '/v1/responses']) {
    const { ask, model } = kAskers[target];
    await post(target, ask('Hello [[head_delay_ms=60000]]', { model, stream: false, deadline_ms: 100 }), 504);
  }
});

test('workers that are busy', async () => {
  const busy = await startScripted({ roles: { technical: null, documentation: null, vision: null, coordinator: { slots: 1 } }, limits: { queue_max: 0 } });
  try {
    const held = await openStream(busy.port, '/api/generate', { prompt: 'Hello [[tokens=2 stall_after=1 tag=held]]', model: 'coordinator' });
    await busy.engineLog.waitFor('request_begin', { tag: 'held' });
    for (const [target, { ask, model }] of Object.entries(kAskers)) await post(target, ask('Hello', { model }), 429, { at: busy });
    held.cut();
  } finally {
    await busy.dispose();
  }
});

test('workers that cannot be started', async () => {
  const down = await startScripted({ engine: '/nonexistent/engine', ready: false });
  try {
    for (const [target, { ask, model }] of Object.entries(kAskers)) await post(target, ask('Hello', { model }), 503, { at: down });
    await checked('GET', '/health', { at: down, status: 200 });
    await checked('GET', '/health/ready', { at: down, status: 503 });
  } finally {
    await down.dispose();
  }
});

test('models', async () => {
  for (const target of ['/v1/models', '/v1/models/auto', '/v1/models/demo-technical', '/api/tags', '/api/ps']) {
    await checked('GET', target, { status: 200 });
    await checked('GET', target, { status: 403, headers: kStranger });
  }
  await checked('GET', '/v1/models/some/model:latest', { status: 404 });
  await checked('GET', '/v1/models/%zz', { status: 400 });
  for (const body of [{ model: 'demo-vision' }, { name: 'coordinator' }]) {
    assert.ok(contract.takesRequest('POST', '/api/show', body));
    await post('/api/show', body, 200);
  }
  assert.ok(!contract.takesRequest('POST', '/api/show', {}));
  await post('/api/show', {}, 400);
  await post('/api/show', { model: 'unknown' }, 404);
  await post('/api/show', { model: 'coordinator' }, 403, { headers: kStranger });
  await isTooLarge('/api/show');
});

test('models on the disk', async () => {
  const server = await ModelServer.start();
  const name = server.add('library/demo:tiny', { models: emptyModel() });
  const more = { registries: [server.authority], model_stores: [] };
  const roles = { technical: { model: name, file: undefined }, documentation: null, vision: null };
  const stored = await startScripted({ roles, more, ready: false, limits: { pull_stall_seconds: 1 } });
  const at = { at: stored };
  try {
    const none = `${server.authority}/library/none:x`;
    for (const target of ['/api/pull', '/api/models/pull']) {
      for (const body of [{ model: name }, { name }, { model: name, stream: false }]) {
        assert.ok(contract.takesRequest('POST', target, body));
        await post(target, body, 200, at);
      }
      for (const body of [{}, { model: 5 }, { model: name, stream: 'no' }]) {
        assert.ok(!contract.takesRequest('POST', target, body));
        await post(target, body, 400, at);
      }
      await post(target, { model: name }, 403, { ...at, headers: kStranger });
      await post(target, { model: 'somewhere.example/a/b' }, 403, at);
      await post(target, { model: none }, 404, at);
      await isTooLarge(target);
      server.fault({ path: /manifests/, kind: 'status', status: 418 });
      await post(target, { model: name }, 502, at);
    }
    // Nothing of it comes, however often it is asked; and no more than four may ask at once.
    const held = server.fault({ path: /manifests/, kind: 'hold', after: 0, times: 1000 });
    const late = ['/api/pull', '/api/pull', '/api/models/pull', '/api/models/pull'].map((target) => post(target, { model: name, stream: false }, 504, at));
    await waitUntil('four ask', () => server.asked(/manifests/).filter(({ isClosed }) => !isClosed).length === 4);
    for (const target of ['/api/pull', '/api/models/pull']) await post(target, { model: name }, 429, at);
    await Promise.all(late);
    server.clear();
    held.release();
    for (const target of ['/api/models', '/api/tags']) {
      await checked('GET', target, { status: 200, ...at });
      await checked('GET', target, { status: 403, headers: kStranger, ...at });
    }
    const remove = (body, status, options = {}) => checked('DELETE', '/api/delete', { body, status, ...at, ...options });
    await remove({ model: name }, 409);
    await post('/api/pull', { model: `${server.authority}/library/demo:tiny` }, 200, at);
    const other = server.add('library/other:x', { models: emptyModel(), texts: { license: 'MIT', system: 'Be brief.', template: '{{ .Prompt }}' } });
    await post('/api/pull', { model: other }, 200, at);
    await post('/api/show', { model: other }, 200, at);
    await remove({ model: other }, 200);
    await remove({ model: other }, 404);
    await remove({}, 400);
    await remove({ model: other }, 403, { headers: kStranger });
    const answer = await exchange(gateway.port, 'DELETE /api/delete HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n');
    contract.check('DELETE', '/api/delete', answer);
  } finally {
    await stored.dispose();
    await server.stop();
  }
});

test('the doctor', async () => {
  for (const target of ['/api/doctor', '/api/doctor?quick=1']) await checked('GET', target, { status: 200 });
  await checked('GET', '/api/doctor?quick=%zz', { status: 400 });
  await checked('GET', '/api/doctor', { status: 403, headers: kStranger });
  await checked('POST', '/api/reload', { status: 200 });
  await checked('POST', '/api/reload', { status: 403, headers: kStranger });
  const good = fs.readFileSync(gateway.configFile);
  fs.writeFileSync(gateway.configFile, 'roles: 5\n');
  await checked('POST', '/api/reload', { status: 422 });
  fs.writeFileSync(gateway.configFile, good);
});

test('keys', async () => {
  await checked('GET', '/api/keys', { status: 401 });
  const locked = await startScripted({ ready: false });
  try {
    const admin = await makeKey(locked.data, 'admin', '--admin'), plain = await makeKey(locked.data, 'plain'), used = await makeKey(locked.data, 'used', '--requests-per-minute', '1');
    await isKnown(locked, used.secret);
    const by = (key, more = {}) => ({ at: locked, headers: { ...bearer(key.secret), ...more } });
    for (const { method, path, id } of contract.operations) {
      const target = path.replace(/\{\w+\}/g, 'x');
      const isOpen = ['/', '/health/live', '/health/ready'].includes(path);
      await checked(method.toUpperCase(), target, isOpen ? { at: locked } : { at: locked, status: 401 });
      if (!isOpen) await checked(method.toUpperCase(), target, { ...by(used), status: 429 });
      if (['listKeys', 'createKey', 'revokeKey', 'listAudit', 'summariseRequests', 'seriesOfRequests', 'listRequests', 'getRequest', 'watchRequests'].includes(id)) await checked(method.toUpperCase(), target, { ...by(plain), status: 403 });
    }
    const wanted = { name: 'bob', roles: ['technical'], requests_per_minute: 5, tokens_per_minute: 6, tokens_per_day: 7, expires_at: '2099-01-01T00:00:00Z', admin: true };
    for (const body of [wanted, { name: 'x' }, { name: 'x', roles: null, expires_at: null, tokens_per_day: null }]) {
      assert.ok(contract.takesRequest('POST', '/api/keys', body));
      await post('/api/keys', body, 200, by(admin));
    }
    for (const body of [{}, { name: '' }, { name: 'x', requests_per_minute: 0 }, { name: 'x', unknown: 1 }, { name: 'x', roles: [] }]) {
      assert.ok(!contract.takesRequest('POST', '/api/keys', body), JSON.stringify(body));
      await post('/api/keys', body, 400, by(admin));
    }
    await checked('GET', '/api/keys', { status: 200, ...by(admin) });
    await checked('GET', '/api/keys', { status: 403, ...by(admin, kStranger) });
    await checked('DELETE', `/api/keys/${plain.id}`, { status: 200, ...by(admin) });
    await checked('DELETE', '/api/keys/x', { status: 404, ...by(admin) });
    await checked('DELETE', '/api/keys/%zz', { status: 400, ...by(admin) });
    const { audit } = (await checked('GET', '/api/audit?actor=command%20line', { status: 200, ...by(admin) })).json();
    assert.deepEqual(new Set(audit.map((deed) => deed.target.name)), new Set(['admin', 'plain', 'used']));
    await checked('GET', `/api/audit?limit=1&action=key.create&actor=${admin.id}`, { status: 200, ...by(admin) });
    for (const query of ['limit=x', 'limit=0', 'cursor=x', 'action=%zz']) await checked('GET', `/api/audit?${query}`, { status: 400, ...by(admin) });
    const answer = await exchange(locked.port, `POST /api/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin.secret}\r\nContent-Length: 99999999999\r\n\r\n`);
    contract.check('POST', '/api/keys', answer);
    assert.equal(answer.status, 413);
  } finally {
    await locked.dispose();
  }
});

test('what is on record', async () => {
  const answered = await post('/api/generate', { prompt: 'Hello' }, 200);
  const events = await fetch(`http://127.0.0.1:${gateway.port}/api/analytics/events`);
  const reader = events.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value;
  await post('/api/generate', { prompt: 'Hello again' }, 200);
  while (!/event: request\ndata: .*\n\n/.test(text)) text += (await reader.read()).value;
  await reader.cancel();
  contract.check('GET', '/api/analytics/events', { status: events.status, headers: Object.fromEntries(events.headers), text: text.slice(text.indexOf('event:'), text.lastIndexOf('\n\n') + 2) });
  await checked('GET', '/api/analytics/events', { status: 403, headers: kStranger });

  // It is told of before it is written.
  const requests = await waitUntil('it is on record', async () => {
    const { requests: rows } = (await checked('GET', '/api/analytics/requests?limit=1000&status=2xx&role=coordinator', { status: 200 })).json();
    return rows.some((row) => row.request_id === answered.headers['x-request-id']) && rows;
  });
  await checked('GET', '/api/analytics/requests?format=csv', { status: 200 });
  assert.equal((await checked('GET', `/api/analytics/requests/${requests[0].id}`, { status: 200 })).json().prompt, null);
  await checked('GET', '/api/analytics/requests/x', { status: 404 });
  await checked('GET', '/api/analytics/requests/%zz', { status: 400 });
  await checked('GET', '/api/analytics/requests/x', { status: 403, headers: kStranger });
  for (const [what, good, bad] of [['summary', ['', '?window=1h', '?window=30d'], ['?window=2h']],
    ['timeseries', ['', '?by=role&metric=total_p95&window=7d', '?by=status', '?by=key&metric=tokens_per_second'], ['?metric=x', '?by=x', '?window=x']],
    ['requests', ['', '?limit=1'], ['?limit=0', '?limit=x', '?status=x', '?status=700', '?cursor=x', '?format=xml']]]) {
    for (const query of good) await checked('GET', `/api/analytics/${what}${query}`, { status: 200 });
    for (const query of bad) await checked('GET', `/api/analytics/${what}${query}`, { status: 400 });
    await checked('GET', `/api/analytics/${what}`, { status: 403, headers: kStranger });
  }
});

test('uploads', async () => {
  const form = { headers: contentType() };
  const code = (await post('/api/upload/file', fileBody('int main() {}\n', 'hello.cc', [{ name: 'description', content: 'A program.' }]), 200, form)).json().upload;
  const again = (await post('/api/upload/file', fileBody('int main() {}\n', 'again.cc'), 200, form)).json().upload;
  assert.equal(again.duplicate_of, code.id);
  const binary = (await post('/api/upload/file', fileBody(Buffer.from([0, 1, 2, 255]), 'x.bin'), 200, form)).json().upload;
  for (const [target, body] of [['/api/generate', { prompt: 'What is it?', upload_ids: [code.id] }], ['/api/chat', { messages: [{ role: 'user', content: 'What is it?' }], upload_ids: [code.id], stream: false }]]) {
    const { sources } = (await post(target, body, 200)).json().gbgreg;
    assert.deepEqual(sources, [{ upload_id: code.id, path: 'hello.cc', lines: [1, 1] }]);
    await post(target, { ...body, upload_ids: [binary.id] }, 422);
  }
  await post('/api/upload/file', multipart([{ name: 'other', content: 'x' }]), 400, form);
  await post('/api/upload/file', '{}', 415, { headers: { 'content-type': 'application/json' } });
  await post('/api/upload/file', fileBody('x'), 403, { headers: { ...contentType(), ...kStranger } });
  await isTooLarge('/api/upload/file', `Content-Type: ${contentType()['content-type']}\r\n`);

  await checked('GET', '/api/uploads', { status: 200 });
  assert.ok((await checked('GET', '/api/uploads?limit=1&kind=code&q=.cc', { status: 200 })).json().next_cursor);
  await checked('GET', '/api/uploads?limit=0', { status: 400 });
  await checked('GET', '/api/uploads', { status: 403, headers: kStranger });

  const one = `/api/uploads/${code.id}`;
  const none = '/api/uploads/01890000-0000-7000-8000-000000000000';
  await checked('GET', one, { status: 200 });
  const whole = await checked('GET', `${one}/content`, { status: 200 });
  await checked('GET', `/api/uploads/${binary.id}/content`, { status: 200 });
  await checked('GET', `${one}/content`, { status: 206, headers: { range: 'bytes=1-3' } });
  await checked('GET', `${one}/content`, { status: 304, headers: { 'if-none-match': whole.headers.etag } });
  await checked('GET', `${one}/content`, { status: 416, headers: { range: 'bytes=1000-' } });
  for (const [method, suffix] of [['GET', ''], ['DELETE', ''], ['GET', '/content']]) {
    await checked(method, none + suffix, { status: 404 });
    await checked(method, `/api/uploads/%zz${suffix}`, { status: 400 });
    await checked(method, one + suffix, { status: 403, headers: kStranger });
  }
  await checked('DELETE', one, { status: 200 });
});

test('projects', async () => {
  const form = { headers: contentType() };
  const files = (names) => multipart(names.map((filename) => ({ name: 'files', filename, content: `${filename}\n` })));
  const [project, archive] = ['/api/upload/project', '/api/upload/zip'];
  const one = (await post(project, files(['src/a.cc', 'src/b.md', '../up']), 200, form)).json();
  assert.equal(one.rejected.length, 1);
  const other = (await post(archive, fileBody(zip([{ name: 'a.py', content: 'x = 1\n' }, { name: '/b', content: '' }]), 'a.zip', [{ name: 'description', content: 'One file.' }]), 200, form)).json();
  assert.equal(other.extraction.entries_total, 2);
  await post(project, multipart([{ name: 'name', content: 'x' }]), 400, form);
  await post(archive, multipart([{ name: 'name', content: 'x' }]), 400, form);
  await post(archive, fileBody('no archive', 'a.zip'), 422, form);
  await post(project, files(Array.from({ length: 101 }, (_, i) => `${i}`)), 422, form);
  for (const target of [project, archive]) {
    await post(target, '{}', 415, { headers: { 'content-type': 'application/json' } });
    await post(target, files(['a']), 403, { headers: { ...contentType(), ...kStranger } });
    await isTooLarge(target, `Content-Type: ${contentType()['content-type']}\r\n`);
  }

  await checked('GET', '/api/projects', { status: 200 });
  assert.ok((await checked('GET', '/api/projects?limit=1', { status: 200 })).json().next_cursor);
  await checked('GET', '/api/projects?limit=0', { status: 400 });
  await checked('GET', '/api/projects', { status: 403, headers: kStranger });
  const there = `/api/projects/${one.project.id}`;
  const none = '/api/projects/01890000-0000-7000-8000-000000000000';
  await checked('GET', `/api/projects/${other.project.id}`, { status: 200 });
  assert.ok((await checked('GET', `${there}/files?limit=1`, { status: 200 })).json().next_after);
  await checked('GET', `${there}/files?limit=0`, { status: 400 });
  const whole = await checked('GET', `${there}/files/src/a.cc`, { status: 200 });
  await checked('GET', `${there}/files/src/a.cc`, { status: 206, headers: { range: 'bytes=1-3' } });
  await checked('GET', `${there}/files/src/a.cc`, { status: 304, headers: { 'if-none-match': whole.headers.etag } });
  await checked('GET', `${there}/files/src/a.cc`, { status: 416, headers: { range: 'bytes=1000-' } });
  for (const [method, suffix] of [['GET', ''], ['GET', '/files'], ['GET', '/files/src%2Fa.cc'], ['DELETE', '']]) {
    await checked(method, none + suffix, { status: 404 });
    await checked(method, `/api/projects/%zz${suffix}`, { status: 400 });
    await checked(method, there + suffix, { status: 403, headers: kStranger });
  }
  await checked('GET', there, { status: 200 });
  await checked('DELETE', there, { status: 200 });
});

test('screenshots', async () => {
  const target = '/api/upload/screenshot';
  const form = { headers: contentType() };
  const field = (name, content) => [{ name, content }];
  const done = (await post(target, fileBody(png(), 'a.png', field('prompt', 'What is red?')), 200, form)).json();
  const failed = (await post(target, fileBody(png(), 'a.png', field('prompt', 'What is red? [[status=400]]')), 200, form)).json();
  assert.deepEqual([done.analysis.status, failed.analysis.status], ['done', 'failed']);
  const queued = (await post(target, fileBody(png(33, 33), 'a.png', field('wait', 'false')), 202, form)).json();
  await post(target, fileBody(png(), 'a.png', field('wait', 'perhaps')), 400, form);
  await post(target, fileBody('no image', 'a.png'), 415, form);
  await post(target, fileBody(png().subarray(0, 50), 'a.png'), 422, form);
  await post(target, fileBody(png()), 403, { headers: { ...contentType(), ...kStranger } });
  await isTooLarge(target, `Content-Type: ${contentType()['content-type']}\r\n`);

  assert.ok((await checked('GET', '/api/screenshots?limit=1&q=red', { status: 200 })).json().next_cursor);
  await checked('GET', '/api/screenshots?limit=0', { status: 400 });
  await checked('GET', '/api/screenshots', { status: 403, headers: kStranger });
  await checked('GET', `/api/screenshots/${queued.analysis.id}/events`, { status: 200 });
  for (const suffix of ['', '/events']) {
    await checked('GET', `/api/screenshots/${done.analysis.id}${suffix}`, { status: 200 });
    await checked('GET', `/api/screenshots/01890000-0000-7000-8000-000000000000${suffix}`, { status: 404 });
    await checked('GET', `/api/screenshots/%zz${suffix}`, { status: 400 });
    await checked('GET', `/api/screenshots/${done.analysis.id}${suffix}`, { status: 403, headers: kStranger });
  }
});

test('embeddings', async () => {
  const embedder = await startScripted({ roles: { embedding: kEmbedding } });
  const at = { at: embedder };
  const model = 'demo-embedding';
  try {
    await checked('GET', '/health', { status: 200, ...at });
    await post('/api/show', { model }, 200, at);
    for (const [target, key, good, bad] of [
      ['/v1/embeddings', 'input', [{ input: 'x' }, { input: ['x', 'y'], encoding_format: 'base64' }, { input: [1, 2] }, { input: [[1], [2, 3]] }], [{ input: '' }, { input: [] }, { input: 'x', encoding_format: 'hex' }, {}]],
      ['/api/embed', 'input', [{ input: 'x' }, { input: ['x', 'y'], truncate: false }, { input: '' }], [{ input: 5 }, { input: 'x', dimensions: 0 }]],
      ['/api/embeddings', 'prompt', [{ prompt: 'x' }, { prompt: '' }], [{ prompt: ['x'] }]],
    ]) {
      for (const body of good) {
        assert.ok(contract.takesRequest('POST', target, { model, ...body }), JSON.stringify(body));
        await post(target, { model, ...body }, 200, at);
      }
      for (const body of bad) {
        assert.ok(!contract.takesRequest('POST', target, { model, ...body }), `the document allows ${JSON.stringify(body)}`);
        await post(target, { model, ...body }, 400, at);
      }
      await post(target, { model: 'unknown', [key]: 'x' }, 404, at);
      await post(target, { model: 'coordinator', [key]: 'x' }, 400, at);
      if (target !== '/v1/embeddings') await post(target, { model, [key]: '', keep_alive: 0 }, 200, at);
      await post(target, { model, [key]: 'x' }, 403, { headers: kStranger, ...at });
      await post(target, { model, [key]: '[[status=500]]' }, 502, at);
      await post(target, { model, [key]: '[[head_delay_ms=60000]]', deadline_ms: 100 }, 504, at);
      await isTooLarge(target);
    }
  } finally {
    await embedder.dispose();
  }
});

test('the fleet', async () => {
  await checked('GET', '/api/fleet', { status: 200 });
  await checked('GET', '/api/fleet', { status: 403, headers: kStranger });
  for (const word of ['load', 'unload', 'restart']) {
    const target = `/api/fleet/technical/${word}`;
    for (const body of [{}, { model: null }, { model: 'demo-technical' }]) {
      assert.ok(contract.takesRequest('POST', target, body));
      await post(`${target}?wait=true`, body, 200);
    }
    for (const body of [{ model: 5 }, { model: '' }, []]) {
      assert.ok(!contract.takesRequest('POST', target, body), JSON.stringify(body));
      await post(target, body, 400);
    }
    await post(`${target}?wait=perhaps`, {}, 400);
    await post('/api/fleet/nobody/' + word, {}, 404);
    await post(target, {}, 403, { headers: kStranger });
    await isTooLarge(target);
  }
  // While it answers it neither goes nor comes, so what is ordered is under way.
  const held = await openStream(gateway.port, '/api/generate', { prompt: 'Hello [[tokens=2 stall_after=1 tag=fleet]]', model: 'technical' });
  await gateway.engineLog.waitFor('request_begin', { tag: 'fleet' });
  for (const word of ['restart', 'unload', 'load']) {
    await post(`/api/fleet/technical/${word}`, {}, 202);
    await post(`/api/fleet/technical/${word}?wait=true&deadline_ms=1`, {}, 504);
  }
  await checked('GET', '/api/fleet', { status: 200 });
  held.cut();
  await post('/api/fleet/technical/load?wait=1', {}, 200);
});

test('a fleet that does badly', async () => {
  const far = { model: 'far', server: 'den' };
  const more = { servers: { den: { kind: 'openai', url: 'http://127.0.0.1:9' } } };
  const roles = { technical: null, documentation: null, vision: null, elsewhere: null };
  const down = await startScripted({
    roles, more, ready: false, start: 'exit1',
    prepare: (one) => one.configure((config) => {
      config.roles.elsewhere = { models: [far] };
      config.roles.vectors = { models: [{ ...far, model: 'far-vectors', embeddings: true }] };
    }),
  });
  const at = { at: down };
  try {
    await waitUntil('it has failed', async () => (await down.role('coordinator')).state === 'failed');
    await checked('GET', '/api/fleet', { status: 200, ...at });
    for (const word of ['load', 'unload', 'restart']) await post(`/api/fleet/elsewhere/${word}`, {}, 409, at);
    for (const word of ['load', 'restart']) await post(`/api/fleet/coordinator/${word}?wait=true`, {}, 503, at);
    await post('/api/generate', { model: 'far', prompt: '', keep_alive: 0 }, 409, at);
    await post('/api/chat', { model: 'far', messages: [], keep_alive: 0 }, 409, at);
    await post('/api/embed', { model: 'far-vectors', input: '', keep_alive: 0 }, 409, at);
    await post('/api/embeddings', { model: 'far-vectors', prompt: '', keep_alive: 0 }, 409, at);
  } finally {
    await down.dispose();
  }
});

test('responses are not kept', async () => {
  for (const [method, suffix] of [['GET', ''], ['DELETE', ''], ['GET', '/input_items'], ['POST', '/cancel']]) {
    await checked(method, `/v1/responses/resp_1${suffix}`, { status: 404 });
    await checked(method, `/v1/responses/%zz${suffix}`, { status: 400 });
    await checked(method, `/v1/responses/resp_1${suffix}`, { status: 403, headers: kStranger });
  }
});

test('files', async () => {
  const purpose = { name: 'purpose', content: 'user_data' };
  const form = { headers: contentType() };
  const file = (await post('/v1/files', fileBody('some text\n', 'notes.txt', [purpose]), 200, form)).json();
  await post('/v1/files', fileBody('some text\n'), 400, form);
  await post('/v1/files', '{}', 415, { headers: { 'content-type': 'application/json' } });
  await post('/v1/files', fileBody('x', 'x', [purpose]), 403, { headers: { ...contentType(), ...kStranger } });
  await isTooLarge('/v1/files', `Content-Type: ${contentType()['content-type']}\r\n`);
  await post('/v1/responses', { input: [{ role: 'user', content: [{ type: 'input_file', file_id: file.id }] }] }, 200);
  await checked('GET', '/v1/files', { status: 200 });
  await checked('GET', '/v1/files?purpose=batch&limit=1&order=asc', { status: 200 });
  await checked('GET', '/v1/files?order=up', { status: 400 });
  await checked('GET', '/v1/files', { status: 403, headers: kStranger });
  const one = `/v1/files/${file.id}`;
  await checked('GET', one, { status: 200 });
  const whole = await checked('GET', `${one}/content`, { status: 200 });
  await checked('GET', `${one}/content`, { status: 206, headers: { range: 'bytes=1-3' } });
  await checked('GET', `${one}/content`, { status: 304, headers: { 'if-none-match': whole.headers.etag } });
  await checked('GET', `${one}/content`, { status: 416, headers: { range: 'bytes=1000-' } });
  for (const [method, suffix] of [['GET', ''], ['DELETE', ''], ['GET', '/content']]) {
    await checked(method, `/v1/files/file-01890000-0000-7000-8000-000000000000${suffix}`, { status: 404 });
    await checked(method, `/v1/files/%zz${suffix}`, { status: 400 });
    await checked(method, one + suffix, { status: 403, headers: kStranger });
  }
  await checked('DELETE', one, { status: 200 });
});

test('how it goes', async () => {
  for (const target of ['/', '/health', '/health/live', '/health/ready', '/metrics', '/api/version', '/openapi.json']) {
    await checked('GET', target, { status: 200 });
    await checked('GET', target, { status: 403, headers: kStranger });
  }
});

test('the real engine answers as the document says, too', async () => {
  const real = await startReal();
  try {
    for (const [target, asker] of Object.entries(kAskers)) {
      for (const body of asker.good) await post(target, { ...body, ...(asker.ask('x').max_tokens ? { max_tokens: 8 } : {}) }, 200, { at: real });
      if (asker.tools) await post(target, { ...asker.ask('Hello'), ...asker.tools, max_tokens: 8, options: { num_predict: 8 } }, 200, { at: real });
      if (asker.image) await post(target, { ...asker.image(kPng), options: { num_predict: 8 } }, 200, { at: real });
    }
    for (const target of ['/health', '/v1/models', '/api/tags', '/api/ps']) await checked('GET', target, { status: 200, at: real });
    await post('/api/show', { model: 'vision' }, 200, { at: real });
  } finally {
    await real.dispose();
  }
});

test('every operation was called, well and badly, and so was nearly every status', () => {
  const { described, exercised, never } = contract.coverage();
  console.log(`exercised: ${contract.operations.length} operations, ${exercised} of their ${described} answers; never: ${never.join(', ')}`);
  for (const { id } of contract.operations) {
    const statuses = [...contract.seen.keys()].filter((key) => key.startsWith(`${id} `)).map((key) => Number(key.split(' ')[1]));
    const { operation } = contract.operations.find((known) => known.id === id);
    const canDoWell = '200' in operation.responses;
    assert.equal(statuses.some((status) => status < 300), canDoWell, `${id} was never asked well`);
    assert.ok(statuses.some((status) => status >= 400 && status < 500), `${id} was never asked badly`);
  }
  assert.deepEqual(never.filter((key) => !kNeverExercised.some((pattern) => pattern.test(key))), []);
  assert.deepEqual(kNeverExercised.filter((pattern) => !never.some((key) => pattern.test(key))), [], 'these are exercised by now');
});

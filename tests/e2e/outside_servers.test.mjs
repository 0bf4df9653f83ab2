// Outside servers as backends: real llama-servers, another gbgreg by both of its dialects, and a server that misbehaves.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { startReal, startScripted } from '../support/gateway.mjs';
import { LlamaServer, ScriptedServer, answerWell, chunk, startBefore, status } from '../support/outside.mjs';
import { waitUntil } from '../support/wait.mjs';

const kKey = 'sk-very-secret-0123456789';
const open = [];
after(async () => {
  for (const one of open.reverse()) await (one.dispose?.() ?? one.close?.() ?? one.kill?.());
});
const keep = (one) => (open.push(one), one);
const scripted = async (behave) => keep(await ScriptedServer.start(behave));
const before = async (servers, models, options) => keep(await startBefore(servers, models, options));
const chat = (gateway, more = {}) => gateway.request('POST', '/v1/chat/completions', { body: { model: 'technical', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 8, ...more } });
const one = (server, kind = 'openai') => [{ out: { kind, url: server.url, slots: 8 } }, [{ model: 'm', server: 'out', served_as: 'theirs' }]];

test('a real llama-server answers in every dialect, streamed and whole, and its key never shows', async () => {
  const llama = keep(await LlamaServer.start({ key: kKey }));
  const gateway = await before({ den: { kind: 'llama-server', url: llama.url, key_env: 'DEN_KEY' } }, [{ model: 'big', server: 'den' }], { environment: { DEN_KEY: kKey } });
  const whole = await chat(gateway);
  assert.equal(whole.status, 200, whole.text);
  assert.ok(whole.json().usage.completion_tokens > 0);
  const streamed = await chat(gateway, { stream: true, stream_options: { include_usage: true } });
  assert.match(streamed.text, /data: \[DONE\]\n\n$/);
  const { lines } = await gateway.lines({ prompt: 'Hello', model: 'big', options: { num_predict: 6 } });
  assert.equal(lines.at(-1).done, true);
  assert.ok(lines.at(-1).eval_count > 0);
  const anthropic = await gateway.request('POST', '/v1/messages', { body: { model: 'big', max_tokens: 6, messages: [{ role: 'user', content: 'Hello' }] } });
  assert.equal(anthropic.status, 200, anthropic.text);
  const probable = await chat(gateway, { logprobs: true, top_logprobs: 2 });
  assert.ok(probable.json().choices[0].logprobs.content.length > 0);
  const health = await gateway.get('/health');
  assert.equal(health.json().models.roles[0].state, 'ready');
  assert.ok(!(health.text + gateway.tail(400)).includes(kKey));
});

test('another gbgreg answers as an OpenAI-compatible and as an Ollama server', async () => {
  const other = keep(await startReal({ roles: { documentation: null, vision: null } }));
  for (const kind of ['openai', 'ollama']) {
    const gateway = await before({ other: { kind, url: other.url } }, [{ model: 'far', server: 'other', served_as: 'demo-technical' }]);
    assert.equal((await chat(gateway)).status, 200);
    const { lines } = await gateway.lines({ prompt: 'Hello', model: 'far', options: { num_predict: 4 } });
    assert.equal(lines.at(-1).done, true);
  }
});

test('blanks in a server\'s JSON, its own name of the model and tools come through', async () => {
  const server = await scripted();
  const gateway = await before(...one(server));
  const whole = await chat(gateway);
  assert.equal(whole.json().choices[0].message.content, 'one two');
  assert.equal(server.asked.at(-1).model, 'theirs');
  const streamed = await chat(gateway, { stream: true });
  assert.match(streamed.text, /"content":" two"/);
  assert.match(streamed.text, /data: \[DONE\]\n\n$/);
  server.behave = (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(chunk({ role: 'assistant', tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'look', arguments: '{"a": 1}' } }] }) + chunk({}, 'tool_calls') + 'data: [DONE]\n\n');
  };
  const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }];
  const called = await gateway.request('POST', '/api/chat', { body: { model: 'm', stream: false, messages: [{ role: 'user', content: 'x' }], tools } });
  assert.deepEqual(called.json().message.tool_calls[0].function, { index: 0, name: 'look', arguments: { a: 1 } });
  assert.equal(server.asked.at(-1).tools[0].function.name, 'look');
  assert.ok(!('cache_prompt' in server.asked.at(-1)));
});

test('an image reaches the server', async () => {
  const server = await scripted();
  const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
  const gateway = await before({ out: { kind: 'openai', url: server.url } }, [{ model: 'm', server: 'out', sees_images: true }]);
  const answer = await gateway.generate({ prompt: 'What is it?', images: [png], model: 'm', stream: false });
  assert.equal(answer.status, 200, answer.text);
  assert.match(JSON.stringify(server.asked.at(-1).messages), /data:image\/png;base64,iVBOR/);
});

test('a server that refuses the key is the owner\'s business: 502, and /health says what to do', async () => {
  const server = await scripted(status(401, {}, { error: { message: `Incorrect API key provided: ${kKey}` } }));
  const [servers, models] = one(server);
  servers.out.key_env = 'OUT_KEY';
  const gateway = await before(servers, models, { environment: { OUT_KEY: kKey } });
  for (let i = 0; i < 2; ++i) {
    const refused = await chat(gateway);
    assert.equal(refused.status, 502, refused.text);
    assert.equal(refused.json().error.code, 'backend_key_refused');
  }
  const role = await gateway.role('technical');
  assert.equal(role.state, 'unreachable');
  assert.match(role.detail, /refuses the gateway's key/);
  assert.deepEqual([...server.keys], [`Bearer ${kKey}`]);
  assert.ok(!(JSON.stringify(role) + gateway.tail(400)).includes(kKey));
});

test('a server that is too busy is left alone for as long as it says', async () => {
  const server = await scripted(status(429, { 'retry-after': '7' }));
  const gateway = await before(...one(server));
  const refused = await chat(gateway);
  assert.equal(refused.status, 429, refused.text);
  assert.equal(refused.headers['retry-after'], '7');
  const again = await chat(gateway);
  assert.equal(again.status, 429);
  assert.ok(Number(again.headers['retry-after']) <= 7);
  assert.equal(server.asked.length, 1);
});

test('garbage and failures are 502, and a stream that breaks says so and is not begun again', async () => {
  const bad = { 500: status(500), garbage: (request, response) => response.end('<html>'), cut: (request, response) => response.destroy() };
  for (const behave of Object.values(bad)) {
    const server = await scripted(behave);
    const gateway = await before(...one(server));
    const answer = await chat(gateway);
    assert.equal(answer.status, 502, answer.text);
  }
  const server = await scripted((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunk({ role: 'assistant', content: 'begun' }), () => response.destroy());
  });
  const spare = await scripted();
  const gateway = await before({ out: { kind: 'openai', url: server.url }, spare: { kind: 'openai', url: spare.url } }, [{ model: 'm', server: 'out' }, { model: 'n', server: 'spare' }]);
  const broken = await chat(gateway, { stream: true });
  assert.match(broken.text, /begun/);
  assert.match(broken.text, /"error":/);
  assert.equal(spare.asked.length, 0);
});

test('every fault before the first byte goes to the next model of the role', async () => {
  const faults = {
    500: status(500), 429: status(429, { 'retry-after': '30' }), 401: status(401), 404: status(404),
    garbage: (request, response) => response.end('{"nothing":1}'), cut: (request, response) => response.destroy(),
  };
  for (const [name, behave] of Object.entries(faults)) {
    const server = await scripted(behave);
    const spare = await scripted();
    const gateway = await before({ out: { kind: 'openai', url: server.url }, spare: { kind: 'openai', url: spare.url } }, [{ model: 'm', server: 'out' }, { model: 'n', server: 'spare' }]);
    const answer = await chat(gateway);
    assert.equal(answer.status, 200, `${name}: ${answer.text}`);
    assert.equal(server.asked.length, 1);
    assert.equal(spare.asked.length, 1);
    const { lines } = await gateway.lines({ prompt: 'Hello', model: 'technical' });
    assert.equal(lines.map((line) => line.response).join(''), 'one two', name);
  }
});

test('a client that leaves closes the connection to the server that hangs', async () => {
  const server = await scripted(() => {});
  const gateway = await before(...one(server));
  const left = new AbortController();
  const asked = fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', signal: left.signal, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x' }] }) }).catch(() => {});
  await waitUntil('the server was asked', () => server.asked.length === 1);
  left.abort();
  await asked;
  await waitUntil('its connection was closed', () => server.closed === 1);
  await gateway.allSlotsFree();
});

test('its slots are a bound, over all of its models, and more wait their turn', async () => {
  const waiting = [];
  const server = await scripted((...all) => waiting.push(all));
  const gateway = await before({ out: { kind: 'openai', url: server.url, slots: 2 } }, [{ model: 'm', server: 'out' }, { model: 'n', server: 'out' }]);
  const answers = ['m', 'n', 'm', 'n'].map((model) => chat(gateway, { model }));
  await waitUntil('two are asked and two wait', async () => waiting.length === 2 && await gateway.metric('gbgreg_worker_queued', { model: 'm' }) === 2);
  for (let i = 0; i < 4; ++i) {
    await waitUntil('the next is asked', () => waiting.length > 0);
    assert.ok(waiting.length <= 2);
    answerWell(...waiting.shift());
  }
  for (const answer of await Promise.all(answers)) assert.equal(answer.status, 200);
});

test('of two real servers that share a model one is killed during 1,000 requests, and none fails', async () => {
  const servers = [keep(await LlamaServer.start()), keep(await LlamaServer.start())];
  const gateway = await before(
    { a: { kind: 'llama-server', url: servers[0].url, slots: 4 }, b: { kind: 'llama-server', url: servers[1].url, slots: 4 } },
    [{ model: 'shared', server: ['a', 'b'] }], { limits: { queue_wait_ms_max: 'off' } });
  let next = 0;
  const seen = {};
  const statuses = {};
  const client = async () => {
    while (next < 1000) {
      const number = next++;
      if (number === 500) servers[0].process.kill('SIGKILL');
      const answer = await gateway.generate({ prompt: `Hello ${number}`, model: 'shared', stream: false, options: { num_predict: 2 } });
      statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
      const backend = answer.json().gbgreg?.backend;
      if (number < 500) seen[backend] = (seen[backend] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  assert.deepEqual(statuses, { 200: 1000 });
  assert.ok(Object.values(seen).every((count) => count > 100), `the work was not shared: ${JSON.stringify(seen)}`);
  assert.equal(Object.keys(seen).length, 2);
  const dead = (await gateway.health()).models.roles.find((role) => role.state !== 'ready');
  assert.equal(dead.state, 'unreachable');
  const port = servers[0].port;
  keep(await LlamaServer.start({ port }));
  await gateway.allReady();
});

test('a worker of our own gives way to an outside server when its engine is missing', async () => {
  const server = await scripted();
  const gateway = keep(await startScripted({
    roles: { coordinator: null, technical: null, documentation: null, vision: null }, ready: false,
    more: { servers: { out: { kind: 'openai', url: server.url } }, roles: { technical: { models: [{ model: 'own', file: '/nowhere.gguf' }, { model: 'm', server: 'out' }] } } },
  }));
  await waitUntil('the server is ready', async () => (await gateway.health()).models.roles.some((role) => role.state === 'ready'));
  assert.equal((await chat(gateway)).status, 200);
  assert.equal((await chat(gateway, { model: 'auto' })).status, 200);
});

test('texts become vectors on another server when the first fails', async () => {
  const real = keep(await startReal({ roles: { coordinator: null, technical: null, documentation: null, vision: null, embedding: { embeddings: true } } }));
  const bad = await scripted(status(500));
  const gateway = await before({ bad: { kind: 'openai', url: bad.url }, real: { kind: 'openai', url: real.url } }, [{ model: 'e', server: ['bad', 'real'], served_as: 'demo-embedding', embeddings: true }]);
  for (let i = 0; i < 6; ++i) {
    const answer = await gateway.request('POST', '/v1/embeddings', { body: { model: 'e', input: ['one', 'two'] } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json().data.length, 2);
  }
  assert.ok(bad.asked.length > 0);
});

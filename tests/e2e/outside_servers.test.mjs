// Outside servers as backends: real llama-servers, another gbgreg by both of its dialects, and a server that misbehaves.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';

import { Authority } from '../support/certificates.mjs';
import { startReal, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { LlamaServer, ScriptedServer, answerWell, chunk, startBefore, status, strictly } from '../support/outside.mjs';
import { waitUntil } from '../support/wait.mjs';

const kKey = 'sk-very-secret-0123456789';
const open = [];
after(async () => {
  for (const one of open.reverse()) await (one.dispose?.() ?? one.close?.() ?? one.kill?.());
});
const keep = (one) => (open.push(one), one);
const scripted = async (behave, options) => keep(await ScriptedServer.start(behave, options));
const folder = () => {
  const made = temporaryFolder();
  keep({ close: () => fs.rmSync(made, { recursive: true }) });
  return made;
};
const authority = () => new Authority(folder());
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
  server.health = 401;  // Or a check that goes well would call it ready again.
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

test('503 with a Retry-After is busy, too: nothing is broken, and it is asked again when that time is over', async () => {
  const server = await scripted(status(503, { 'retry-after': '1' }));
  const gateway = await before(...one(server));
  assert.equal((await chat(gateway)).status, 429);
  assert.equal(await gateway.metric('gbgreg_server_breaker', { server: 'out', state: 'closed' }), 1);
  server.behave = answerWell;
  await waitUntil('it is asked again', async () => (await chat(gateway)).status === 200);
  const inAnHour = new Date(Date.now() + 3_600_000).toUTCString();
  server.behave = status(429, { 'retry-after': inAnHour });
  const dated = await chat(gateway);
  assert.equal(dated.headers['retry-after'], '60');  // A minute at most.
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
    500: status(500), 429: status(429, { 'retry-after': '30' }), 503: status(503, { 'retry-after': '30' }), 401: status(401), 404: status(404),
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
    assert.ok(await gateway.metric('gbgreg_failovers_total', { role: 'technical', from: 'technical/m@out' }) >= 1, name);
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

test('https: the certificate must be for the host in the url and by whom the owner, or the system, trusts', async () => {
  const trusted = authority();
  const server = await scripted(answerWell, { tls: trusted.sign('den') });
  const at = (host, more = {}) => ({ out: { kind: 'openai', url: `https://${host}:${server.port}`, ...more } });
  const models = [{ model: 'm', server: 'out' }];
  for (const host of ['localhost', '127.0.0.1']) {
    const gateway = await before(at(host, { ca_file: trusted.file }), models);
    for (let i = 0; i < 3; ++i) assert.equal((await chat(gateway)).status, 200);
    const streamed = await chat(gateway, { stream: true });
    assert.match(streamed.text, /data: \[DONE\]\n\n$/);
    assert.ok(server.hosts.has(`${host}:${server.port}`));
  }
  const bySystem = await before(at('localhost'), models, { environment: { SSL_CERT_FILE: trusted.file } });
  assert.equal((await chat(bySystem)).status, 200);

  const asked = server.asked.length;
  const refused = {
    'a stranger\'s authority': [at('localhost', { ca_file: authority().file }), /signed by nobody whom this machine trusts: name .*`ca_file`/],
    'the system, which does not know it': [at('localhost'), /`ca_file`/],
    'plain HTTP': [{ out: { kind: 'openai', url: `http://localhost:${server.port}` } }, undefined],
  };
  for (const [name, [servers, says]] of Object.entries(refused)) {
    const gateway = await before(servers, models, { ready: false });
    await waitUntil(`${name} is refused`, async () => (await gateway.role('technical')).state === 'unreachable');
    if (says) assert.match((await gateway.role('technical')).detail, says);
    assert.equal((await chat(gateway)).status >= 502, true, name);
    assert.equal(await gateway.metric('gbgreg_server_breaker', { server: 'out', state: 'open' }), 1);
  }
  assert.equal(server.asked.length, asked, 'nobody was asked without being trusted');
});

test('a certificate that is for another host is refused with a sentence', async () => {
  const trusted = authority();
  const files = trusted.sign('den');
  const server = await scripted(answerWell, { tls: files });
  const gateway = await before({ out: { kind: 'openai', url: `https://[::ffff:127.0.0.1]:${server.port}`, ca_file: trusted.file } }, [{ model: 'm', server: 'out' }], { ready: false });
  await waitUntil('it is refused', async () => (await gateway.role('technical')).state === 'unreachable');
  const { detail } = await gateway.role('technical');
  assert.match(detail, /certificate is for another host/);
  assert.ok(!detail.includes(String(server.port)));
  assert.equal(server.asked.length, 0);
});

test('a name that nobody knows makes its server unreachable, with a sentence, and no other', async () => {
  const server = await scripted();
  const gateway = await before({ far: { kind: 'openai', url: 'http://no-such-host.invalid:8000' }, out: { kind: 'openai', url: server.url } },
    [{ model: 'm', server: 'far' }, { model: 'n', server: 'out' }], { ready: false });
  await waitUntil('one is ready and the other is not', async () => {
    const states = (await gateway.health()).models.roles.map((role) => role.state);
    return states[0] === 'unreachable' && states[1] === 'ready';
  });
  const { detail } = await gateway.role('technical');
  assert.match(detail, /name in the `url` of the model's server/);
  assert.ok(!detail.includes('no-such-host'));
  assert.equal((await chat(gateway)).status, 200);
});

test('what a server does not have is said, with what it has, and it is asked once it has it', async () => {
  const tags = (...names) => ({ models: names.map((name) => ({ name })) });
  const server = await scripted(answerWell, { list: tags('qwen3:4b', 'gemma3:latest'), show: { parameters: 'stop "x"\nnum_ctx 12288', model_info: { 'llama.context_length': 131072 } } });
  const gateway = await before({ den: { kind: 'ollama', url: server.url } }, [{ model: 'llama3.1:8b', server: 'den' }, { model: 'small', server: 'den', served_as: 'Gemma3' }], { ready: false });
  await waitUntil('the other is ready', async () => (await gateway.health()).models.roles[1].state === 'ready');
  const [missing] = (await gateway.health()).models.roles;
  assert.equal(missing.state, 'unreachable');
  assert.equal(missing.detail, 'den does not have llama3.1:8b; it has qwen3:4b, gemma3:latest: run `ollama pull llama3.1:8b` there, or correct `served_as`.');
  assert.equal((await chat(gateway)).json().model, 'small');
  server.list = tags('llama3.1:8b', 'gemma3');
  await gateway.allReady();
  const shown = await gateway.request('POST', '/api/show', { body: { model: 'llama3.1:8b' } });
  assert.match(shown.json().parameters, /num_ctx 12288/);
});

test('how long prompts may be is what the server says, unless it is configured', async () => {
  const list = { data: [{ id: 'a', max_model_len: 32768 }, { id: 'b', max_model_len: 32768 }] };
  const server = await scripted(answerWell, { list });
  const gateway = await before({ out: { kind: 'vllm', url: server.url } }, [{ model: 'a', server: 'out' }, { model: 'b', server: 'out', context: 1000 }]);
  const context = async (model) => (await gateway.request('POST', '/api/show', { body: { model } })).json().parameters;
  assert.equal(await context('a'), 'num_ctx 32768');
  assert.equal(await context('b'), 'num_ctx 1000');
  const llama = keep(await LlamaServer.start());
  const other = await before({ den: { kind: 'llama-server', url: llama.url } }, [{ model: 'big', server: 'den' }]);
  assert.equal((await other.request('POST', '/api/show', { body: { model: 'big' } })).json().parameters, 'num_ctx 2048');
});

test('a server that takes the request and says nothing is given up for another before the client\'s deadline, once', async () => {
  for (const stream of [false, true]) {
    const hangs = (request, response) => (stream ? response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders() : undefined);
    const server = await scripted(hangs);
    const spare = await scripted();
    const gateway = await before({ out: { kind: 'openai', url: server.url }, spare: { kind: 'openai', url: spare.url } }, [{ model: 'm', server: 'out' }, { model: 'n', server: 'spare' }]);
    const answer = await chat(gateway, { stream, deadline_ms: 6_000 });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['x-gbgreg-model'], 'n');
    assert.equal(answer.text.match(/"content":\s?"one/g).length, 1);
    assert.deepEqual([server.asked.length, spare.asked.length], [1, 1]);
    await waitUntil('the one that hangs has been left', () => server.closed === 1);
    assert.equal(await gateway.metric('gbgreg_failovers_total', { from: 'technical/m@out' }), 1);
  }
});

test('a server that says nothing when it is asked how it is becomes unreachable', async () => {
  const server = await scripted(answerWell, { hangs: true });
  const gateway = await before(...one(server), { ready: false });
  await waitUntil('it is unreachable', async () => (await gateway.role('technical')).state === 'unreachable', { deadlineMs: 20_000 });
  assert.match((await gateway.role('technical')).detail, /takes connections and then says nothing/);
  server.hangs = false;
  await gateway.allReady();
});

test('a key shows nowhere, whatever the server does with it', async () => {
  const file = path.join(folder(), 'key');
  fs.writeFileSync(file, `${kKey}\n`, { mode: 0o644 });
  const tells = (text) => ({ error: { message: `${text} ${kKey} ${'.'.repeat(460)} ${kKey}`, type: kKey, code: kKey } });
  const streams = (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${chunk({ role: 'assistant', content: 'one' })}data: ${JSON.stringify(tells('Failed with'))}\n\n`);
  };
  const faults = {
    400: status(400, {}, tells('Wrong key')), 422: status(422, {}, tells('context length exceeded')), 429: status(429, { 'retry-after': '1' }, tells('Quota of')),
    404: status(404, {}, tells('None for')), 500: status(500, {}, tells('Crashed with')), 401: status(401, {}, tells('Incorrect key')), streams,
    garbage: (request, response) => response.end(`<html>${kKey}`), text: (request, response) => response.end(JSON.stringify(tells('Under 200'))),
  };
  const messages = [{ role: 'user', content: 'x' }];
  const dialects = [
    ['/v1/chat/completions', { model: 'm', messages, stream: true }], ['/v1/chat/completions', { model: 'm', messages }], ['/api/chat', { model: 'm', messages }],
    ['/v1/messages', { model: 'm', max_tokens: 5, messages }], ['/api/generate', { prompt: 'x' }], ['/v1/embeddings', { model: 'e', input: 'x' }],
  ];
  for (const [name, behave] of Object.entries(faults)) {
    const servers = await Promise.all(dialects.map(() => scripted((request, response, body) => behave(request, response, body))));
    // Each dialect has a server of its own, which so is well until it is asked.
    await Promise.all(dialects.map(async ([target, body], i) => {
      const server = servers[i];
      const gateway = await startScripted({
        roles: { coordinator: null, technical: null, documentation: null, vision: null },
        more: {
          log_level: 'trace', servers: { out: { kind: 'openai', url: server.url, key_file: file } },
          roles: { technical: { models: [{ model: 'm', server: 'out' }] }, embedding: { models: [{ model: 'e', server: 'out', embeddings: true }] } },
        },
      });
      try {
        const answer = await gateway.request('POST', target, { body });
        assert.ok(server.asked.length > 0, `${name} ${target}`);
        const shown = await Promise.all(['/health', '/metrics', '/api/doctor', '/v1/models', '/api/tags'].map((path) => gateway.get(path)));
        const told = [answer, ...shown].map((one) => `${JSON.stringify(one.headers)} ${one.text}`).join('\n');
        assert.match(gateway.tail(400), /other users may read or write its key in/);
        assert.deepEqual([...server.keys], [`Bearer ${kKey}`]);
        for (const secret of [kKey, kKey.slice(0, 8)]) {
          assert.ok(!told.includes(secret), `${name} ${target}: the key was told: ${told}`);
          assert.ok(!gateway.tail(400).includes(secret), `${name} ${target}: the key is in the log: ${gateway.tail(400)}`);
        }
        assert.ok(!told.includes(server.url) && !told.includes(`:${server.port}`), `${name} ${target}: the server's address was told: ${told}`);
        for (const entry of fs.readdirSync(gateway.data, { recursive: true })) {
          const stored = path.join(gateway.data, entry);
          if (fs.statSync(stored).isFile()) assert.ok(!fs.readFileSync(stored).includes(kKey), `the key is in ${entry}`);
        }
      } finally {
        await gateway.dispose();
      }
    }));
  }
});

test('strict servers get only what they know, and what was left out is said', async () => {
  const kinds = {
    openai: { server: await scripted(strictly()), options: 'top_k, min_p, typical_p, repeat_penalty, repeat_last_n, think', passed: 'top_k, min_p, typical_p, repeat_penalty, reasoning_effort' },
    vllm: {
      server: await scripted(strictly(['top_k', 'min_p', 'repetition_penalty', 'chat_template_kwargs', 'reasoning_content', 'name']), { list: { data: [{ id: 'm' }] } }),
      options: 'typical_p, repeat_last_n', passed: 'typical_p',
    },
  };
  for (const [kind, { server, options, passed }] of Object.entries(kinds)) {
    const gateway = await before({ out: { kind, url: server.url } }, [{ model: 'm', server: 'out' }]);
    const all = { temperature: 0.5, top_k: 40, top_p: 0.9, min_p: 0.05, typical_p: 0.9, repeat_penalty: 1.1, repeat_last_n: 64, presence_penalty: 0.1, frequency_penalty: 0.1, seed: 7, num_predict: 5, stop: ['x'], num_ctx: 4096 };
    const ignored = ['num_ctx', ...options.split(', ')];
    const native = await gateway.request('POST', '/api/chat', { body: { model: 'm', stream: false, think: true, options: all, messages: [{ role: 'user', content: 'x' }] } });
    assert.equal(native.status, 200, `${kind}: ${native.text}`);
    assert.equal(native.headers['x-gbgreg-options-ignored'], ignored.join(', '));
    assert.deepEqual(native.json().gbgreg.ignored_options, ignored);
    const sent = server.asked.at(-1);
    assert.equal(sent.top_k, kind === 'vllm' ? 40 : undefined);
    assert.equal(sent.repetition_penalty, kind === 'vllm' ? 1.1 : undefined);
    for (const stream of [false, true]) {
      const relayed = await chat(gateway, { stream, top_k: 40, min_p: 0.05, typical_p: 0.9, repeat_penalty: 1.1, reasoning_effort: 'high', seed: 7, stop: ['x'], logit_bias: { 5: 1 }, response_format: { type: 'json_object' }, unheard_of: 1 });
      assert.equal(relayed.status, 200, `${kind}: ${relayed.text}`);
      assert.equal(relayed.headers['x-gbgreg-options-ignored'], passed);
      assert.equal(server.asked.at(-1).min_p, kind === 'vllm' ? 0.05 : undefined);
      assert.equal(server.asked.at(-1).repetition_penalty, kind === 'vllm' ? 1.1 : undefined);
    }
    const tools = [{ name: 'look', input_schema: { type: 'object' } }];
    const anthropic = await gateway.request('POST', '/v1/messages', { body: { model: 'm', max_tokens: 5, top_k: 3, tools, messages: [
      { role: 'user', content: 'x' }, { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'look', input: {} }] }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: 'y' }] }] } });
    assert.equal(anthropic.status, 200, `${kind}: ${anthropic.text}`);
    const responses = await gateway.request('POST', '/v1/responses', { body: { model: 'm', input: 'x', max_output_tokens: 16 } });
    assert.equal(responses.status, 200, `${kind}: ${responses.text}`);
    const plain = await chat(gateway);
    assert.equal(plain.headers['x-gbgreg-options-ignored'], undefined);
  }
});

test('an answer has the name of the model that the client knows, and one id', async () => {
  const server = await scripted();
  const gateway = await before(...one(server));
  for (const model of ['m', 'technical']) {
    const whole = await chat(gateway, { model });
    assert.equal(whole.json().model, 'm');
    const streamed = await chat(gateway, { model, stream: true, stream_options: { include_usage: true } });
    const events = streamed.text.split('\n\n').filter((line) => line.startsWith('data: {')).map((line) => JSON.parse(line.slice(6)));
    assert.ok(events.length >= 4);
    assert.deepEqual([...new Set(events.map((event) => event.model))], ['m']);
    assert.equal(new Set(events.map((event) => event.id)).size, 1);
    assert.ok(!(whole.text + streamed.text).includes('theirs'));
  }
});

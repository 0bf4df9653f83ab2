// The scripted engine is only worth something while it has the real engine's shapes: the same requests go to both, and
// what comes back must have the same status, the same head, and JSON with the same keys and types.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { EngineLog } from '../support/engine_log.mjs';
import { kDemoModels, kRealEngine, kScriptedEngine, requireRealEngine, temporaryFolder } from '../support/gateway.mjs';
import { RawConnection } from '../support/http.mjs';
import { kPatience, monotonicNs, waitUntil, within } from '../support/wait.mjs';

const kKey = 'a-test-key';

class Engine {
  static started = [];

  static async start(program, folder, name, { environment = {}, ready = true, model = 'coordinator', more = [] } = {}) {
    const engine = new Engine();
    engine.socket = path.join(folder, `${name}.sock`);
    engine.words = [];
    engine.log = new EngineLog(path.join(folder, `${name}.log`));
    engine.process = spawn(program, [
      '-m', path.join(kDemoModels, `demo-${model}.gguf`), '--alias', 'demo-x', '--host', engine.socket, '-c', '2048', '-np', '2', '-t', '1',
      '-cram', '0', '-lv', '4', '--log-jsonl', '--no-ui', '--offline', '--api-key', kKey, ...more,
    ], { env: { ...process.env, LLAMA_SERVER_ROUTER_PORT: '1', SCRIPTED_ENGINE_LOG: engine.log.file, ...environment }, stdio: ['pipe', 'pipe', 'pipe'] });
    Engine.started.push(engine);
    engine.exited = new Promise((resolve) => engine.process.once('exit', (code, signal) => resolve({ code, signal })));
    let rest = '';
    engine.process.stdout.on('data', (text) => {
      rest += text;
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
        if (rest.startsWith('cmd_child_to_router:state:')) engine.words.push(JSON.parse(rest.slice(26, end)));
        rest = rest.slice(end + 1);
      }
    });
    engine.process.stderr.resume();
    if (ready) await waitUntil('the engine is ready', () => engine.words.some((word) => word.state === 'ready'));
    return engine;
  }

  // Node connects to a Unix socket by path; the raw connection only needs a socket.
  async open() {
    const socket = net.connect(this.socket);
    await within('a connection', new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject)));
    return new RawConnection(socket);
  }

  async ask(method, target, body, headers = { Authorization: `Bearer ${kKey}` }) {
    const connection = await this.open();
    const bytes = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    const fields = Object.entries({ Host: 'x', 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(bytes), ...headers });
    connection.send(`${method} ${target} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${bytes}`);
    try {
      return await connection.readResponse();
    } finally {
      connection.cut();
    }
  }

  // Whatever a failed test left running.
  static endAll() {
    for (const engine of Engine.started) engine.process.kill('SIGKILL');
  }

  async end() {
    if (this.process.exitCode === null) this.process.stdin.write('cmd_router_to_child:exit\n');
    return within('the end of the engine', this.exited);
  }
}

after(() => Engine.endAll());

// The type of everything, with the keys in order. A number is a number and an array has the shape of its first element.
function shape(value, depth = 0) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0], depth + 1)];
  if (typeof value !== 'object') return typeof value;
  const out = {};
  for (const key of Object.keys(value).sort()) out[key] = kOpaque.has(key) ? 'any' : shape(value[key], depth + 1);
  return out;
}
// Settings and an empty token list say nothing that a gateway reads.
const kOpaque = new Set(['generation_settings', 'tokens']);

const events = (text) => text.split('\n\n').filter(Boolean).map((event) => {
  assert.ok(event.startsWith('data: '), event);
  return event === 'data: [DONE]' ? 'DONE' : JSON.parse(event.slice(6));
});

// The order of events without how often a token comes.
function eventShapes(text) {
  const seen = [];
  for (const event of events(text)) {
    const text = JSON.stringify(shape(event));
    if (seen.at(-1) !== text) seen.push(text);
  }
  return seen;
}

const head = (answer) => {
  const { 'content-length': length, date, ...rest } = answer.headers;
  return { status: answer.status, ...rest };
};

const kChat = { messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4 };

describe('the scripted engine answers in the shape of the real one', () => {
  let folder, real, scripted;
  before(async () => {
    requireRealEngine();
    folder = temporaryFolder();
    [real, scripted] = await Promise.all([Engine.start(kRealEngine, folder, 'real'), Engine.start(kScriptedEngine, folder, 'scripted')]);
  });
  after(async () => {
    if (folder) fs.rmSync(folder, { recursive: true, force: true });
  });

  const both = (...request) => Promise.all([real.ask(...request), scripted.ask(...request)]);

  test('while it loads and when it is ready it says the same to its parent', () => {
    // How often progress is told depends on the speed of the disk, so a run of equal words counts once.
    const story = (engine) => engine.words.map((word) => `${word.state} ${JSON.stringify(shape(word.payload))}`)
      .filter((word, index, words) => word !== words[index - 1]);
    assert.deepEqual(story(scripted), story(real));
  });

  for (const [name, method, target, body, headers] of [
    ['health', 'GET', '/health'],
    ['no key', 'POST', '/v1/chat/completions', kChat, {}],
    ['a wrong key', 'POST', '/v1/chat/completions', kChat, { Authorization: 'Bearer wrong' }],
    ['an unknown path', 'POST', '/nothing', {}],
    ['a whole chat', 'POST', '/v1/chat/completions', kChat],
    ['a whole chat with probabilities', 'POST', '/v1/chat/completions', { ...kChat, logprobs: true, top_logprobs: 2 }],
    ['a whole chat that says everything', 'POST', '/v1/chat/completions', { ...kChat, verbose: true }],
    ['a count of tokens', 'POST', '/v1/chat/completions/input_tokens', kChat],
    ['a whole text', 'POST', '/v1/completions', { prompt: 'Hello', max_tokens: 3 }],
    ['a whole text with probabilities', 'POST', '/v1/completions', { prompt: 'Hello', max_tokens: 3, logprobs: 2 }],
    ['a whole completion', 'POST', '/completion', { prompt: 'Hello', n_predict: 3 }],
    ['broken JSON', 'POST', '/v1/chat/completions', '{"a"'],
    ['no messages', 'POST', '/v1/chat/completions', {}],
    ['a prompt that is too long', 'POST', '/v1/chat/completions', { messages: [{ role: 'user', content: 'Hello '.repeat(3000) }] }],
  ]) {
    test(name, async () => {
      const [wanted, got] = await both(method, target, body, headers);
      assert.deepEqual(head(got), head(wanted));
      assert.deepEqual(shape(got.json()), shape(wanted.json()));
    });
  }

  const usage = { stream_options: { include_usage: true } };
  for (const [name, body, target = '/v1/chat/completions'] of [
    ['a streamed chat', { ...kChat, stream: true }],
    ['a streamed chat with usage', { ...kChat, stream: true, ...usage }],
    ['a streamed chat with probabilities', { ...kChat, stream: true, logprobs: true, top_logprobs: 2 }],
    ['a streamed text', { prompt: 'Hello', max_tokens: 3, stream: true, ...usage }, '/v1/completions'],
    ['a streamed text with probabilities', { prompt: 'Hello', max_tokens: 3, stream: true, logprobs: 1 }, '/v1/completions'],
  ]) {
    test(name, async () => {
      const [wanted, got] = await both('POST', target, body);
      assert.deepEqual(head(got), head(wanted));
      assert.deepEqual(eventShapes(got.text), eventShapes(wanted.text));
      assert.equal(events(got.text).at(-1), 'DONE');
    });
  }

  test('a stop sequence that is met, streamed and whole', async () => {
    // Every word of the demo model begins with a blank, so the first word ends the answer before it has begun.
    for (const stream of [true, false]) {
      const [wanted, got] = await both('POST', '/v1/chat/completions', { ...kChat, messages: [{ role: 'user', content: '[[text=" Hello"]]' }], stream, stop: [' '], verbose: true });
      const words = (answer) => (stream ? events(answer.text) : [answer.json()]).map((event) => event.__verbose?.stopping_word).filter((word) => word !== undefined);
      assert.deepEqual(words(wanted).at(-1), ' ');
      assert.deepEqual(words(got), [' ']);
      if (!stream) assert.deepEqual(shape(got.json()), shape(wanted.json()));
    }
  });

  test('a streamed completion', async () => {
    const [wanted, got] = await both('POST', '/completion', { prompt: 'Hello', n_predict: 3, stream: true });
    assert.deepEqual(head(got), head(wanted));
    assert.deepEqual(eventShapes(got.text), eventShapes(wanted.text));
  });

  test('texts that become vectors, and what is refused', async () => {
    const options = { model: 'embedding', more: ['--embeddings', '--pooling', 'mean', '-b', '64', '-ub', '64'] };
    const engines = await Promise.all([Engine.start(kRealEngine, folder, 'embedding-real', options), Engine.start(kScriptedEngine, folder, 'embedding-scripted', options)]);
    const requests = [
      ['/v1/embeddings', { input: ['Hello', 'Hello there'] }],
      ['/v1/embeddings', { input: ['Hello', [1, 99, 2]], encoding_format: 'base64' }],
      ['/v1/embeddings', { input: ['Hello', 'Hello '.repeat(100)] }],
      ['/v1/embeddings', { input: [[1, 2_000_000]] }],
      ['/v1/embeddings', { input: [[]] }],
      ['/tokenize', { content: 'Hello there', add_special: true }],
      ['/tokenize', { content: '', add_special: true }],
    ];
    for (const [target, body] of requests) {
      const [wanted, got] = await Promise.all(engines.map((engine) => engine.ask('POST', target, body)));
      assert.deepEqual(head(got), head(wanted), JSON.stringify(body));
      assert.deepEqual(shape(got.json()), shape(wanted.json()), JSON.stringify(body));
    }
    const none = await both('POST', '/v1/embeddings', { input: ['Hello'] });
    assert.deepEqual(none.map((answer) => answer.status), [501, 501]);
    await Promise.all(engines.map((engine) => engine.end()));
  });

  test('a model file that is not there ends it with status 1', async () => {
    const spawned = [kRealEngine, kScriptedEngine].map((program) =>
      spawn(program, ['-m', '/nonexistent/model.gguf', '--host', path.join(folder, 'none.sock')], { stdio: 'ignore' }));
    const ends = await Promise.all(spawned.map((child) => within('its end', new Promise((resolve) => child.once('exit', resolve)))));
    assert.deepEqual(ends, [1, 1]);
  });

  test('its parent ends it by a line on stdin with status 0, and by closing stdin with status 1', async () => {
    const told = await Promise.all([Engine.start(kRealEngine, folder, 'told-real'), Engine.start(kScriptedEngine, folder, 'told-scripted')]);
    // The real one says "ready" a moment before its loop runs, and forgets an exit that comes in between: an answer
    // proves that the loop runs.
    for (const engine of told) await engine.ask('POST', '/v1/chat/completions', kChat);
    assert.deepEqual(await Promise.all(told.map((engine) => engine.end())), [{ code: 0, signal: null }, { code: 0, signal: null }]);
    const orphans = await Promise.all([Engine.start(kRealEngine, folder, 'orphan-real'), Engine.start(kScriptedEngine, folder, 'orphan-scripted')]);
    for (const engine of orphans) engine.process.stdin.end();
    const ends = await Promise.all(orphans.map((engine) => within('its end', engine.exited)));
    assert.deepEqual(ends.map((end) => end.code), [1, 1]);
  });
});

describe('the scripted engine does what the prompt says', () => {
  let folder, engine;
  before(async () => {
    folder = temporaryFolder();
    engine = await Engine.start(kScriptedEngine, folder, 'told');
  });
  after(async () => {
    if (folder) fs.rmSync(folder, { recursive: true, force: true });
  });

  const chat = (content, more = {}) => ({ messages: [{ role: 'user', content }], stream: true, ...more });
  const textOf = (answer) => events(answer.text).map((event) => event.choices?.[0]?.delta?.content ?? '').join('');

  test('tokens, text and the limit of tokens', async () => {
    assert.equal(textOf(await engine.ask('POST', '/v1/chat/completions', chat('[[tokens=3]]'))), 'token0 token1 token2');
    const limited = await engine.ask('POST', '/v1/chat/completions', chat('[[text="one two three"]]', { max_tokens: 2 }));
    assert.equal(textOf(limited), 'one two');
    assert.ok(events(limited.text).some((event) => event.choices?.[0]?.finish_reason === 'length'));
  });

  test('tools are called by pieces of their arguments, and thoughts come before', async () => {
    const directives = `[[thinking="a thought" tool=get_weather;get_time tool_args='{"city":"São Paulo"};{}']]`;
    const streamed = events((await engine.ask('POST', '/v1/chat/completions', chat(directives))).text).filter((event) => event.choices?.[0]);
    const deltas = streamed.map((event) => event.choices[0].delta);
    assert.deepEqual(deltas[0], { role: 'assistant', content: null });
    assert.equal(deltas.map((delta) => delta.reasoning_content ?? '').join(''), 'a thought');
    const pieces = deltas.flatMap((delta) => delta.tool_calls ?? []);
    const heads = pieces.filter((piece) => piece.id);
    assert.deepEqual(heads.map(({ index, type, function: { name } }) => ({ index, type, name })), [{ index: 0, type: 'function', name: 'get_weather' }, { index: 1, type: 'function', name: 'get_time' }]);
    const argumentsOf = (index) => pieces.filter((piece) => piece.index === index).map((piece) => piece.function.arguments ?? '').join('');
    assert.deepEqual([argumentsOf(0), argumentsOf(1)], ['{"city":"São Paulo"}', '{}']);
    assert.ok(pieces.filter((piece) => piece.index === 0).length > 3, 'the arguments come in pieces');
    assert.equal(streamed.at(-1).choices[0].finish_reason, 'tool_calls');

    const [whole] = (await engine.ask('POST', '/v1/chat/completions', chat(directives, { stream: false }))).json().choices;
    assert.equal(whole.finish_reason, 'tool_calls');
    assert.equal(whole.message.reasoning_content, 'a thought');
    assert.deepEqual(whole.message.tool_calls.map((call) => call.function.arguments), ['{"city":"São Paulo"}', '{}']);
  });

  test('an answer ends before the first stop sequence and says which it was', async () => {
    const answer = await engine.ask('POST', '/v1/chat/completions', chat('[[text="one two three four"]]', { stop: ['four', ' three'], verbose: true }));
    assert.equal(textOf(answer), 'one two');
    assert.deepEqual(events(answer.text).map((event) => event.__verbose?.stopping_word).filter(Boolean), [' three']);
    const silent = await engine.ask('POST', '/v1/chat/completions', chat('[[text="one two three"]]', { stop: 'two' }));
    assert.equal(textOf(silent), 'one ');
    assert.doesNotMatch(silent.text, /__verbose/);
  });

  test('a body is recorded under the name that it was given', async () => {
    const body = chat('[[record=mine]]', { temperature: 0.25 });
    await engine.ask('POST', '/v1/chat/completions', body);
    assert.deepEqual((await engine.log.waitFor('request_body', { record: 'mine' })).body, body);
  });

  test('the time may change inside a stream, and tokens may have been in the cache', async () => {
    const answer = events((await engine.ask('POST', '/v1/chat/completions', chat('one two [[restamp=1 cached=2]]', { stream_options: { include_usage: true } }))).text);
    assert.ok(new Set(answer.filter((event) => event.created).map((event) => event.created)).size > 1);
    assert.equal(answer.at(-2).usage.prompt_tokens_details.cached_tokens, 2);
  });

  test('an echo carries the whole body', async () => {
    const body = chat(`ünïcödé ${'x'.repeat(5000)} [[echo=1]]`, { temperature: 0.25 });
    assert.deepEqual(JSON.parse(textOf(await engine.ask('POST', '/v1/chat/completions', body))), body);
  });

  test('a misspelt directive is an error', async () => {
    const answer = await engine.ask('POST', '/v1/chat/completions', chat('[[tokns=3]]'));
    assert.equal(answer.status, 400);
    assert.match(answer.json().error.message, /tokns/);
  });

  test('bytes may come one by one and characters in halves, and mean the same', async () => {
    const plain = textOf(await engine.ask('POST', '/v1/chat/completions', chat('[[text="größe 🙂 ende"]]')));
    for (const way of ['dribble=1', 'split_utf8=1']) {
      assert.equal(textOf(await engine.ask('POST', '/v1/chat/completions', chat(`[[text="größe 🙂 ende" ${way}]]`))), plain);
    }
  });

  test('an error answer has the status that was asked for', async () => {
    for (const status of [400, 429, 500, 503]) {
      const answer = await engine.ask('POST', '/v1/chat/completions', chat(`[[status=${status}]]`));
      assert.equal(answer.status, status);
      assert.equal(answer.json().error.code, status);
    }
  });

  test('what is broken is broken at the point that was named', async () => {
    const broken = async (directives, bytesMin = 0) => {
      const connection = await engine.open();
      const body = JSON.stringify(chat(directives));
      connection.send(`POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${kKey}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      await connection.closed(30_000);
      assert.ok(connection.bytes.length > bytesMin);
      return connection.bytes.toString('latin1');
    };
    assert.doesNotMatch(await broken('[[garbage=1]]'), /HTTP\/1/);
    assert.equal((await broken('[[tokens=9 close_after=2]]')).match(/token\d/g).length, 2);
    assert.ok(!(await broken('[[tokens=9 close_after=2]]')).endsWith('0\r\n\r\n'));
    assert.match(await broken('[[garbage_after=1]]'), /data: \{not json/);
    assert.match(await broken('[[bad_length=1]]'), /Content-Length: 100000000/);
    assert.match(await broken('[[half_event=1]]'), /0\r\n\r\n$/);
    assert.doesNotMatch(await broken('[[half_event=1]]'), /DONE/);
    assert.doesNotMatch(await broken('[[no_done=1]]'), /DONE|"stop"/);
    assert.ok((await broken('[[endless_line=1]]', 64 * 1024 * 1024)).indexOf('\n\n') < 0);
  });

  test('it sees in the moment in which its peer leaves, streaming or stalling', async () => {
    for (const directives of ['tokens=1000 delay_ms=1000 tag=slow', 'stall_after=1 tag=stalled', 'head_delay_ms=100000 tag=silent']) {
      const tag = /tag=(\w+)/.exec(directives)[1];
      const connection = await engine.open();
      const body = JSON.stringify(chat(`[[${directives}]]`));
      connection.send(`POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${kKey}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      await engine.log.waitFor('request_begin', { tag });
      const cut = monotonicNs();
      connection.cut();
      const seen = await engine.log.waitFor('peer_closed', { tag });
      assert.ok(Number(BigInt(seen.t_ns) - cut) < 1e9 * kPatience, 'within a second');
    }
  });

  test('it starts slowly, never, or not at all', async () => {
    const begun = monotonicNs();
    const slow = await Engine.start(kScriptedEngine, folder, 'slow', { environment: { SCRIPTED_ENGINE_START: 'slow:300' }, ready: false });
    await waitUntil('it is ready', async () => (await slow.ask('GET', '/health')).status === 200);
    assert.ok(Number(monotonicNs() - begun) >= 300e6, 'it was ready too soon');
    await slow.end();
    const hung = await Engine.start(kScriptedEngine, folder, 'hung', { environment: { SCRIPTED_ENGINE_START: 'demo-x@hang' }, ready: false });
    await waitUntil('it listens and is not ready', async () => (await hung.ask('GET', '/health')).status === 503);
    await hung.end();
    const failed = await Engine.start(kScriptedEngine, folder, 'failed', { environment: { SCRIPTED_ENGINE_START: 'exit1' }, ready: false });
    assert.equal((await within('its end', failed.exited)).code, 1);
  });

  test('it dies when told to, before any byte, once, or mid-stream', async () => {
    const mark = path.join(folder, 'die-once');
    for (const directives of ['die_after=0', 'tokens=9 die_after=3', 'die_after_head=1', `die_once=${mark}`]) {
      fs.writeFileSync(mark, '');
      const mortal = await Engine.start(kScriptedEngine, folder, 'mortal');
      mortal.ask('POST', '/v1/chat/completions', chat(`[[${directives}]]`)).catch(() => {});
      assert.equal((await within('its end', mortal.exited)).code, 134, directives);
    }
    assert.ok(!fs.existsSync(mark));
  });
});

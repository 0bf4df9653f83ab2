// Ollama's own client against the gateway: whole, streamed, with tools, with its errors.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { client } from '../support/clients.mjs';
import { startReal, startScripted } from '../support/gateway.mjs';
import { kCallsWeather, kCityArguments, kPng, kWeatherTool, recorded } from '../support/protocols.mjs';

const { Ollama } = client('ollama');

const connect = (to) => new Ollama({ host: to.url });
const asked = (content, more = {}) => ({ model: 'coordinator', messages: [{ role: 'user', content }], ...more });
async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}
const hasStatus = (status, message) => (error) => {
  assert.equal(error.name, 'ResponseError');
  assert.equal(error.status_code, status);
  assert.match(error.message, message);
  return true;
};

let gateway, ollama;
before(async () => {
  gateway = await startScripted({ roles: { technical: { model: 'coder:latest' } } });
  ollama = connect(gateway);
});
after(() => gateway?.dispose());

describe('Ollama’s client', () => {
  test('chats, whole and streamed, with the same text and counts', async () => {
    for (const [content, options] of [['[[text="größe 🙂 ende" split_utf8=1]]', {}], ['[[tokens=9]]', { num_predict: 2 }]]) {
      const whole = await ollama.chat(asked(content, { options }));
      const parts = await all(await ollama.chat(asked(content, { options, stream: true })));
      assert.equal(parts.map((part) => part.message.content).join(''), whole.message.content);
      for (const field of ['done', 'done_reason', 'prompt_eval_count', 'eval_count', 'model']) assert.equal(parts.at(-1)[field], whole[field], field);
    }
  });

  test('generates, whole and streamed', async () => {
    const ask = { model: 'coordinator', prompt: '[[text="one two"]]', system: 'Be short.' };
    const whole = await ollama.generate(ask);
    assert.equal(whole.response, 'one two');
    const parts = await all(await ollama.generate({ ...ask, stream: true }));
    assert.equal(parts.map((part) => part.response).join(''), 'one two');
    assert.equal(parts.at(-1).eval_count, whole.eval_count);
  });

  test('calls tools and tells what they said', async () => {
    const messages = [{ role: 'user', content: kCallsWeather }];
    const parts = await all(await ollama.chat({ model: 'coordinator', messages, tools: [kWeatherTool], stream: true }));
    const streamed = parts.flatMap((part) => part.message.tool_calls ?? []);
    const whole = await ollama.chat({ model: 'coordinator', messages, tools: [kWeatherTool] });
    for (const calls of [streamed, whole.message.tool_calls]) {
      assert.deepEqual(calls.map((call) => [call.function.name, call.function.arguments]), [['get_weather', JSON.parse(kCityArguments)]]);
    }
    messages.push(whole.message, { role: 'tool', tool_name: 'get_weather', content: 'It rains. [[text="It rains." record=ollama-tools]]' });
    assert.equal((await ollama.chat({ model: 'coordinator', messages, tools: [kWeatherTool] })).message.content, 'It rains.');
    const sent = (await recorded(gateway, 'ollama-tools')).messages;
    assert.deepEqual(sent.map((message) => message.role), ['user', 'assistant', 'tool']);
    assert.deepEqual(JSON.parse(sent[1].tool_calls[0].function.arguments), JSON.parse(kCityArguments));
  });

  test('sees thoughts apart from the answer', async () => {
    const ask = asked('[[thinking="well then" text="one two"]]', { think: true });
    const whole = await ollama.chat(ask);
    assert.deepEqual([whole.message.thinking, whole.message.content], ['well then', 'one two']);
    const parts = await all(await ollama.chat({ ...ask, stream: true }));
    assert.equal(parts.map((part) => part.message.thinking ?? '').join(''), 'well then');
    assert.equal(parts.map((part) => part.message.content).join(''), 'one two');
  });

  test('sends images as bytes or as base64', async () => {
    for (const image of [Buffer.from(kPng, 'base64'), new Uint8Array(Buffer.from(kPng, 'base64')), kPng]) {
      const answer = await ollama.chat({ model: 'auto', messages: [{ role: 'user', content: 'What is this? [[tokens=1]]', images: [image] }] });
      assert.equal(answer.model, 'demo-vision');
    }
  });

  test('asks for JSON and for a schema', async () => {
    const schema = kWeatherTool.function.parameters;
    await ollama.chat(asked('[[tokens=1 record=ollama-json]]', { format: 'json' }));
    await ollama.chat(asked('[[tokens=1 record=ollama-schema]]', { format: schema, keep_alive: '5m', options: { temperature: 0 } }));
    assert.equal((await recorded(gateway, 'ollama-json')).response_format.type, 'json_object');
    assert.deepEqual((await recorded(gateway, 'ollama-schema')).response_format.json_schema.schema, schema);
  });

  test('finds the models, what runs, and what a model is', async () => {
    const names = (await ollama.list()).models.map((model) => model.name);
    assert.ok(names.includes('coder:latest') && names.includes('demo-coordinator'));
    assert.equal((await ollama.ps()).models.length, 4);
    const shown = await ollama.show({ model: 'coder' });
    assert.ok(shown.capabilities.includes('completion') && shown.details.format === 'gguf');
    assert.equal((await ollama.version()).version, gateway.version);
    assert.equal((await ollama.chat(asked('[[tokens=1]]', { model: 'coder' }))).model, 'coder:latest');
  });

  test('loads a model by asking nothing', async () => {
    assert.equal((await ollama.generate({ model: 'coordinator', prompt: '' })).done_reason, 'load');
    assert.equal((await ollama.chat({ model: 'coordinator', messages: [] })).done_reason, 'load');
  });

  test('shows errors by their texts', async () => {
    await assert.rejects(ollama.chat(asked('Hello', { model: 'none' })), hasStatus(404, /none/));
    await assert.rejects(ollama.chat(asked('Hello', { options: { temperature: -1 } })), hasStatus(400, /temperature/));
    await assert.rejects(ollama.generate({ model: 'coordinator', prompt: 'Hello', options: { temperature: -1 } }), hasStatus(400, /temperature/));
    await assert.rejects(ollama.generate({ model: 'coordinator', prompt: 'Hello', raw: true }), hasStatus(422, /raw/));
    await assert.rejects(ollama.chat(asked('word '.repeat(3000), { stream: true })), hasStatus(400, /context/));
    await assert.rejects(ollama.chat(asked('[[status=500]]')), hasStatus(502, /./));
    await assert.rejects(ollama.show({ model: 'none' }), hasStatus(404, /none/));
  });

  test('hears of an error in the middle of a stream', async () => {
    await assert.rejects(async () => all(await ollama.chat(asked('[[tokens=9 error_after=3]]', { stream: true }))), /worker/);
    await assert.rejects(async () => all(await ollama.generate({ model: 'coordinator', prompt: '[[tokens=9 error_after=3]]', stream: true })), /worker/);
  });

  test('that leaves is noticed by the engine', async () => {
    const stream = await connect(gateway).chat(asked('[[tokens=100000 delay_ms=5 tag=ollama-leaves]]', { stream: true }));
    await assert.rejects(async () => {
      for await (const part of stream) if (part.message.content) stream.abort();
    }, /abort/i);
    await gateway.engineLog.waitFor('peer_closed', { tag: 'ollama-leaves' });
  });
});

describe('Ollama’s client before the real engine', () => {
  let real, realOllama;
  before(async () => {
    real = await startReal({ roles: { technical: null, documentation: null } });
    realOllama = connect(real);
  });
  after(() => real?.dispose());

  test('gets the same whole and streamed, JSON that fits, and an image seen', async () => {
    const ask = asked('Hello', { options: { temperature: 0, seed: 1, num_predict: 8 } });
    const whole = await realOllama.chat(ask);
    const parts = await all(await realOllama.chat({ ...ask, stream: true }));
    assert.equal(parts.map((part) => part.message.content).join(''), whole.message.content);
    assert.equal(parts.at(-1).eval_count, whole.eval_count);
    const format = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
    const made = await realOllama.chat(asked('JSON, please.', { format, options: { num_predict: 100 } }));
    assert.equal(typeof JSON.parse(made.message.content).ok, 'boolean');
    const seen = await realOllama.chat({ model: 'auto', messages: [{ role: 'user', content: 'What is this?', images: [kPng] }], options: { num_predict: 4 } });
    assert.equal(seen.model, 'demo-vision');
  });
});

// OpenAI's own client against the gateway: whole, streamed, with tools, with its helpers, with its errors.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { client } from '../support/clients.mjs';
import { startReal, startScripted } from '../support/gateway.mjs';
import { kCallsWeather, kCityArguments, kPng, kWeatherTool, recorded } from '../support/protocols.mjs';
import { waitUntil } from '../support/wait.mjs';

const { OpenAI } = client('openai');
const { zodResponseFormat } = client('openai/helpers/zod');
const { z } = client('zod');

const connect = (to) => new OpenAI({ baseURL: `${to.url}/v1`, apiKey: 'none' });
const asked = (content, more = {}) => ({ model: 'coordinator', messages: [{ role: 'user', content }], ...more });
async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

let gateway, openai;
before(async () => {
  gateway = await startScripted({ roles: { technical: { model: 'org/coder:6.7b' } } });
  openai = connect(gateway);
});
after(() => gateway?.dispose());

const requests = (status) => gateway.metric('gbgreg_http_requests_total', { route: '/v1/chat/completions', status });

describe('OpenAI’s client', () => {
  test('gets a whole answer, its headers and its id', async () => {
    const { data, response, request_id } = await openai.chat.completions.create(asked('[[text="one two"]]')).withResponse();
    assert.equal(data.choices[0].message.content, 'one two');
    assert.equal(data._request_id, request_id);
    assert.equal(response.headers.get('x-gbgreg-role'), 'coordinator');
  });

  test('streams, with usage when it asks', async () => {
    const chunks = await all(await openai.chat.completions.create(asked('[[text="größe 🙂 ende" split_utf8=1]]', { stream: true, stream_options: { include_usage: true } })));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), 'größe 🙂 ende');
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  });

  test('puts a stream together to what the whole answer is', async () => {
    for (const [content, more] of [['[[text="one two"]]', {}], ['[[tokens=9]]', { max_completion_tokens: 2 }], [`[[text="Let me see." tool=get_weather;get_weather tool_args='${kCityArguments};{}']]`, { tools: [kWeatherTool] }],
      ['[[text="one two"]]', { logprobs: true, top_logprobs: 1 }]]) {
      const helper = openai.chat.completions.stream({ ...asked(content, more), stream_options: { include_usage: true } });
      const [streamed] = (await helper.finalChatCompletion()).choices;
      const whole = await openai.chat.completions.create(asked(content, more));
      assert.equal(streamed.finish_reason, whole.choices[0].finish_reason);
      assert.equal(streamed.message.content, whole.choices[0].message.content);
      assert.deepEqual(streamed.logprobs?.content?.map((entry) => entry.token), whole.choices[0].logprobs?.content.map((entry) => entry.token));
      assert.deepEqual(streamed.message.tool_calls?.map((call) => call.function.arguments), whole.choices[0].message.tool_calls?.map((call) => call.function.arguments));
      const usage = await helper.totalUsage();
      for (const count of ['prompt_tokens', 'completion_tokens', 'total_tokens']) assert.equal(usage[count], whole.usage[count]);
    }
  });

  test('hears of each tool call as it grows', async () => {
    const seen = [];
    const helper = openai.chat.completions.stream(asked(kCallsWeather, { tools: [kWeatherTool] }));
    helper.on('tool_calls.function.arguments.delta', (event) => seen.push(event.arguments_delta));
    let done;
    helper.on('tool_calls.function.arguments.done', (event) => { done = event; });
    await helper.done();
    assert.ok(seen.length > 3);
    assert.equal(seen.join(''), kCityArguments);
    assert.equal(done.name, 'get_weather');
    assert.equal(done.arguments, kCityArguments);
  });

  for (const stream of [false, true]) {
    test(`runs tools until there is an answer, ${stream ? 'streamed' : 'whole'}`, async () => {
      const calledWith = [];
      const getWeather = (given) => {
        calledWith.push(given);
        return `It rains. [[text="It rains in ${given.city}." record=runner-${stream}]]`;
      };
      const runner = openai.chat.completions.runTools({ ...asked(kCallsWeather), stream, tools: [{ type: 'function', function: { ...kWeatherTool.function, function: getWeather, parse: JSON.parse } }] });
      assert.equal(await runner.finalContent(), 'It rains in São Paulo.');
      assert.deepEqual(calledWith, [JSON.parse(kCityArguments)]);
      const { messages } = await recorded(gateway, `runner-${stream}`);
      assert.deepEqual(messages.map((message) => message.role), ['user', 'assistant', 'tool']);
      assert.equal(messages[2].tool_call_id, messages[1].tool_calls[0].id);
    });
  }

  test('parses what it asked for by a schema', async () => {
    const schema = z.object({ city: z.string(), days: z.array(z.number()) });
    const more = { response_format: zodResponseFormat(schema, 'weather') };
    const content = `[[text='${kCityArguments}' record=zod]]`;
    assert.deepEqual((await openai.chat.completions.parse(asked(content, more))).choices[0].message.parsed, JSON.parse(kCityArguments));
    const helper = openai.chat.completions.stream(asked(content, more));
    assert.deepEqual((await helper.finalChatCompletion()).choices[0].message.parsed, JSON.parse(kCityArguments));
    assert.equal((await recorded(gateway, 'zod')).response_format.json_schema.name, 'weather');
  });

  test('gets each error as its own class, and does not send again what was its own mistake', async () => {
    const before = await requests('400') ?? 0;
    await assert.rejects(openai.chat.completions.create(asked('Hello', { temperature: 9 })), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, 'temperature');
      assert.equal(error.code, 'invalid_field');
      assert.ok(error.requestID);
      return true;
    });
    await waitUntil('one request, and no other, is counted', async () => await requests('400') === before + 1);
    await assert.rejects(openai.chat.completions.create(asked('Hello', { model: 'gpt-4o' })), OpenAI.NotFoundError);
    await assert.rejects(openai.chat.completions.create(asked('word '.repeat(3000), { stream: true })), OpenAI.BadRequestError);
    await assert.rejects(connect(gateway).chat.completions.create(asked('[[status=500]]'), { maxRetries: 0 }), OpenAI.InternalServerError);
  });

  test('hears of an error in the middle of a stream', async () => {
    await assert.rejects(async () => all(await openai.chat.completions.create(asked('[[tokens=9 error_after=3]]', { stream: true }))), OpenAI.APIError);
  });

  test('that leaves is noticed by the engine', async () => {
    const stream = await openai.chat.completions.create(asked('[[tokens=100000 delay_ms=5 tag=openai-leaves]]', { stream: true }));
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content) break;
    }
    await gateway.engineLog.waitFor('peer_closed', { tag: 'openai-leaves' });
  });

  test('finds the models', async () => {
    const ids = (await all(await openai.models.list())).map((model) => model.id);
    assert.ok(ids.includes('auto') && ids.includes('org/coder:6.7b'));
    assert.equal((await openai.models.retrieve('org/coder:6.7b')).id, 'org/coder:6.7b');
    await assert.rejects(openai.models.retrieve('none'), OpenAI.NotFoundError);
  });

  test('gets the older completions, whole and streamed', async () => {
    assert.equal((await openai.completions.create({ model: 'coordinator', prompt: '[[text="one two"]]' })).choices[0].text, 'one two');
    const chunks = await all(await openai.completions.create({ model: 'coordinator', prompt: '[[text="one two"]]', stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? '').join(''), 'one two');
    assert.equal(chunks.at(-1).usage.completion_tokens, 2);
  });
});

describe('OpenAI’s client before the real engine', () => {
  let real, realOpenai;
  before(async () => {
    real = await startReal({ roles: { technical: null, documentation: null } });
    realOpenai = connect(real);
  });
  after(() => real?.dispose());

  test('gets the same whole and streamed, and an image seen', async () => {
    const ask = asked('Hello', { seed: 1, temperature: 0, max_completion_tokens: 8 });
    const whole = await realOpenai.chat.completions.create(ask);
    const helper = realOpenai.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
    assert.equal((await helper.finalChatCompletion()).choices[0].message.content, whole.choices[0].message.content);
    assert.equal((await helper.totalUsage()).total_tokens, whole.usage.total_tokens);
    const seen = await realOpenai.chat.completions.create(asked([{ type: 'text', text: 'What is this?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${kPng}` } }], { model: 'auto', max_completion_tokens: 4 }));
    assert.equal(seen.model, 'demo-vision');
  });

  test('parses what it asked for by a schema', async () => {
    const schema = z.object({ ok: z.boolean() });
    const answer = await realOpenai.chat.completions.parse(asked('JSON, please.', { max_completion_tokens: 100, response_format: zodResponseFormat(schema, 'answer') }));
    assert.equal(typeof answer.choices[0].message.parsed.ok, 'boolean');
  });
});

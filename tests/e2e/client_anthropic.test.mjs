// Anthropic's own client against the gateway: whole, streamed, with tools, with its helpers, with its errors.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { client } from '../support/clients.mjs';
import { startReal, startScripted } from '../support/gateway.mjs';
import { kCallsWeather, kCityArguments, kPng, kWeatherSchema, recorded } from '../support/protocols.mjs';

const { Anthropic } = client('@anthropic-ai/sdk');
const { zodOutputFormat } = client('@anthropic-ai/sdk/helpers/zod');
const { z } = client('zod');

const kTool = { name: 'get_weather', description: 'How the weather is.', input_schema: kWeatherSchema };
const connect = (to, more) => new Anthropic({ baseURL: to.url, apiKey: 'none', ...more });
const asked = (content, more = {}) => ({ model: 'coordinator', max_tokens: 100, messages: [{ role: 'user', content }], ...more });
const withoutIds = (content) => content.map(({ id, ...block }) => block);

let gateway, anthropic;
before(async () => {
  gateway = await startScripted();
  anthropic = connect(gateway);
});
after(() => gateway?.dispose());

describe('Anthropic’s client', () => {
  test('gets a whole answer and its id', async () => {
    const { data, response, request_id } = await anthropic.messages.create(asked('[[text="one two"]]')).withResponse();
    assert.deepEqual(withoutIds(data.content), [{ type: 'text', text: 'one two' }]);
    assert.ok(request_id);
    assert.equal(data._request_id, request_id);
    assert.equal(response.headers.get('x-gbgreg-role'), 'coordinator');
  });

  test('may give its key in either way', async () => {
    for (const more of [{ apiKey: 'sk-ant-x' }, { apiKey: null, authToken: 'x' }]) {
      assert.equal((await connect(gateway, more).messages.create(asked('[[tokens=1]]'))).stop_reason, 'end_turn');
    }
  });

  test('puts a stream together to what the whole answer is', async () => {
    for (const [content, more] of [
      ['[[text="größe 🙂 ende" split_utf8=1]]', {}],
      ['[[tokens=9]]', { max_tokens: 2 }],
      ['[[text="one two three"]]', { stop_sequences: [' three'] }],
      ['[[thinking="well then" text="one two"]]', { thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 2000 }],
      [`[[text="Let me see." tool=get_weather;get_weather tool_args='${kCityArguments};{}']]`, { tools: [kTool] }],
    ]) {
      const streamed = await anthropic.messages.stream(asked(content, more)).finalMessage();
      const whole = await anthropic.messages.create(asked(content, more));
      assert.deepEqual(withoutIds(streamed.content), withoutIds(whole.content));
      for (const field of ['stop_reason', 'stop_sequence', 'model', 'role', 'type']) assert.equal(streamed[field], whole[field], field);
      for (const count of ['input_tokens', 'output_tokens']) assert.equal(streamed.usage[count], whole.usage[count], count);
    }
  });

  test('drops no event of a stream', async () => {
    const types = [];
    for await (const event of await anthropic.messages.create(asked('[[text="one two"]]', { stream: true }))) types.push(event.type);
    assert.deepEqual(types, ['message_start', 'content_block_start', 'content_block_delta', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop'], 'all but the ping, which it keeps to itself');
  });

  test('sees the input of a tool grow to an object', async () => {
    const pieces = [];
    const stream = anthropic.messages.stream(asked(kCallsWeather, { tools: [kTool] }));
    let last;
    stream.on('inputJson', (piece, snapshot) => { pieces.push(piece); last = snapshot; });
    const { content, stop_reason } = await stream.finalMessage();
    assert.equal(stop_reason, 'tool_use');
    assert.ok(pieces.length > 3);
    assert.equal(pieces.join(''), kCityArguments);
    assert.deepEqual(last, JSON.parse(kCityArguments));
    assert.deepEqual(content[0].input, JSON.parse(kCityArguments));
  });

  for (const stream of [false, true]) {
    test(`runs tools until there is an answer, ${stream ? 'streamed' : 'whole'}, by its beta route`, async () => {
      const calledWith = [];
      const run = (given) => {
        calledWith.push(given);
        return `It rains. [[text="It rains in ${given.city}." record=runner-${stream}]]`;
      };
      const runner = anthropic.beta.messages.toolRunner({ ...asked(kCallsWeather), stream, tools: [{ ...kTool, type: 'custom', run, parse: (given) => given }] });
      const last = await runner.runUntilDone();
      assert.deepEqual(withoutIds(last.content), [{ type: 'text', text: 'It rains in São Paulo.' }]);
      assert.deepEqual(calledWith, [JSON.parse(kCityArguments)]);
      const { messages } = await recorded(gateway, `runner-${stream}`);
      assert.deepEqual(messages.map((message) => message.role), ['user', 'assistant', 'tool']);
      assert.equal(messages[2].tool_call_id, messages[1].tool_calls[0].id);
    });
  }

  test('is told that no conversation is held here, and its tool runner sends all of it', async () => {
    const first = { ...asked('Hello [[tokens=1]]'), thread: { type: 'create' } };
    await assert.rejects(anthropic.beta.messages.create(first), (error) => error instanceof Anthropic.BadRequestError && error.errorCode === 'thread_unsupported_request');
  });

  test('parses what it asked for by a schema', async () => {
    const schema = z.object({ city: z.string(), days: z.array(z.number()) });
    const ask = asked(`[[text='${kCityArguments}' record=schema]]`, { output_config: { format: zodOutputFormat(schema) } });
    assert.deepEqual((await anthropic.messages.parse(ask)).parsed_output, JSON.parse(kCityArguments));
    const { response_format } = await recorded(gateway, 'schema');
    assert.equal(response_format.type, 'json_schema');
    assert.deepEqual(response_format.json_schema.schema.required, ['city', 'days']);
  });

  test('counts the tokens that the message then has', async () => {
    const { max_tokens: unused, ...body } = asked('one two [[tokens=1 cached=1]]', { system: 'Be short.', tools: [kTool] });
    const { input_tokens } = await anthropic.messages.countTokens(body);
    assert.equal(input_tokens, (await anthropic.messages.create({ ...body, max_tokens: 5 })).usage.input_tokens);
  });

  test('gets each error as its own class', async () => {
    await assert.rejects(anthropic.messages.create(asked('Hello', { temperature: 9 })), (error) => {
      assert.ok(error instanceof Anthropic.BadRequestError);
      assert.equal(error.type, 'invalid_request_error');
      assert.match(error.message, /temperature/);
      assert.ok(error.requestID);
      return true;
    });
    await assert.rejects(anthropic.messages.create(asked('Hello', { model: 'claude-sonnet-4-5' })), Anthropic.NotFoundError);
    await assert.rejects(anthropic.messages.create(asked('word '.repeat(3000), { stream: true })), Anthropic.BadRequestError);
    await assert.rejects(anthropic.messages.create(asked('[[status=500]]'), { maxRetries: 0 }), Anthropic.InternalServerError);
  });

  test('hears of an error in the middle of a stream', async () => {
    await assert.rejects(anthropic.messages.stream(asked('[[tokens=9 error_after=3]]')).finalMessage(), Anthropic.APIError);
  });

  test('that leaves is noticed by the engine', async () => {
    const stream = anthropic.messages.stream(asked('[[tokens=100000 delay_ms=5 tag=anthropic-leaves]]', { max_tokens: 100_000 }));
    await new Promise((resolve) => stream.once('text', resolve));
    const ended = assert.rejects(stream.done(), Anthropic.APIUserAbortError);
    stream.abort();
    await ended;
    await gateway.engineLog.waitFor('peer_closed', { tag: 'anthropic-leaves' });
  });
});

describe('Anthropic’s client before the real engine', () => {
  let real, realAnthropic;
  before(async () => {
    real = await startReal({ roles: { technical: null, documentation: null } });
    realAnthropic = connect(real);
  });
  after(() => real?.dispose());

  test('gets the same whole and streamed, with the tokens that were counted', async () => {
    const ask = asked('Hello', { temperature: 0, max_tokens: 8 });
    const whole = await realAnthropic.messages.create(ask);
    const streamed = await realAnthropic.messages.stream(ask).finalMessage();
    assert.deepEqual(streamed.content, whole.content);
    assert.equal(streamed.stop_reason, 'max_tokens');
    assert.deepEqual({ ...streamed.usage }, { ...whole.usage });
    const { max_tokens: unused, temperature, ...counted } = ask;
    assert.equal((await realAnthropic.messages.countTokens(counted)).input_tokens, whole.usage.input_tokens);
  });

  test('parses what it asked for by a schema', async () => {
    const answer = await realAnthropic.messages.parse(asked('JSON, please.', { output_config: { format: zodOutputFormat(z.object({ ok: z.boolean() })) } }));
    assert.equal(typeof answer.parsed_output.ok, 'boolean');
  });

  test('gets an image seen', async () => {
    const seen = await realAnthropic.messages.create(asked([{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: kPng } }, { type: 'text', text: 'What is this?' }], { model: 'auto', max_tokens: 4 }));
    assert.equal(seen.model, 'demo-vision');
  });
});

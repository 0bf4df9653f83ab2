// OpenAI's own client against the gateway: whole, streamed, with tools, with its helpers, with its errors.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { client } from '../support/clients.mjs';
import { startReal, startScripted } from '../support/gateway.mjs';
import { kCallsWeather, kCityArguments, kPng, kWeatherSchema, kWeatherTool, recorded } from '../support/protocols.mjs';
import { waitUntil } from '../support/wait.mjs';

const { OpenAI, toFile } = client('openai');
const { zodResponseFormat, zodResponsesFunction, zodTextFormat } = client('openai/helpers/zod');
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

describe('OpenAI’s client, asking for responses,', () => {
  const ask = (input, more = {}) => ({ model: 'coordinator', input, ...more });
  const kTool = { type: 'function', name: 'get_weather', description: 'How the weather is.', strict: false, parameters: kWeatherSchema };

  test('gets a whole one, its text and its id', async () => {
    const { data, response, request_id } = await openai.responses.create(ask('[[text="one two"]]', { instructions: 'Be brief.' })).withResponse();
    assert.equal(data.output_text, 'one two');
    assert.equal(data.status, 'completed');
    assert.equal(data._request_id, request_id);
    assert.equal(response.headers.get('x-gbgreg-role'), 'coordinator');
  });

  test('gets a stream of events', async () => {
    const events = await all(await openai.responses.create(ask('[[text="größe 🙂 ende" split_utf8=1]]', { stream: true })));
    assert.equal(events.filter(({ type }) => type === 'response.output_text.delta').map(({ delta }) => delta).join(''), 'größe 🙂 ende');
    assert.equal(events.at(-1).type, 'response.completed');
    assert.ok(events.at(-1).response.usage.total_tokens > 0);
  });

  test('puts a stream together to what the whole one is', async () => {
    for (const [input, more] of [['[[text="one two"]]', {}], ['[[tokens=9]]', { max_output_tokens: 2 }], ['[[thinking="well then" text="one two"]]', { reasoning: { effort: 'low' } }], ['[[thinking="well then" text="one two"]]', { reasoning: { effort: 'low', summary: 'auto' } }],
      [`[[thinking="I ask" text="Let me see." tool=get_weather;get_weather tool_args='${kCityArguments};{}']]`, { tools: [kTool] }]]) {
      const streamed = await openai.responses.stream(ask(input, more)).finalResponse();
      const whole = await openai.responses.create(ask(input, more));
      assert.equal(streamed.output_text, whole.output_text);
      for (const key of ['status', 'incomplete_details', 'usage', 'model']) assert.deepEqual(streamed[key], whole[key], key);
      const said = ({ output }) => output.map((item) => [item.type, item.status, item.arguments, item.summary, item.content?.map((part) => part.text)]);
      assert.deepEqual(said(streamed), said(whole));
    }
  });

  test('hears of each call as it grows', async () => {
    const helper = openai.responses.stream(ask(kCallsWeather, { tools: [kTool] }));
    const snapshots = [];
    helper.on('response.function_call_arguments.delta', ({ snapshot }) => snapshots.push(snapshot));
    await helper.done();
    assert.ok(snapshots.length > 3);
    assert.equal(snapshots.at(-1), kCityArguments);
  });

  for (const way of ['whole', 'streamed']) {
    test(`runs tools until there is an answer, ${way}`, async () => {
      const tool = zodResponsesFunction({ name: 'get_weather', parameters: z.object({ city: z.string(), days: z.array(z.number()) }) });
      const parse = (params) => (way === 'whole' ? openai.responses.parse(params) : openai.responses.stream(params).finalResponse());
      const input = [{ role: 'user', content: kCallsWeather }];
      const asking = await parse(ask(input, { tools: [tool] }));
      const [call] = asking.output;
      assert.deepEqual(call.parsed_arguments, JSON.parse(kCityArguments));
      input.push(...asking.output, { type: 'function_call_output', call_id: call.call_id, output: `It rains. [[text=Rain. record=responses-${way}]]` });
      assert.equal((await parse(ask(input, { tools: [tool] }))).output_text, 'Rain.');
      const { messages } = await recorded(gateway, `responses-${way}`);
      assert.deepEqual(messages.map((message) => message.role), ['user', 'assistant', 'tool']);
      assert.equal(messages[2].tool_call_id, messages[1].tool_calls[0].id);
    });
  }

  test('parses what it asked for by a schema', async () => {
    const format = zodTextFormat(z.object({ city: z.string(), days: z.array(z.number()) }), 'weather');
    const params = ask(`[[text='${kCityArguments}' record=zod-text]]`, { text: { format } });
    assert.deepEqual((await openai.responses.parse(params)).output_parsed, JSON.parse(kCityArguments));
    assert.deepEqual((await openai.responses.stream(params).finalResponse()).output_parsed, JSON.parse(kCityArguments));
    assert.equal((await recorded(gateway, 'zod-text')).response_format.type, 'json_schema');
  });

  test('gets each error as its own class, before the first token and behind it', async () => {
    await assert.rejects(openai.responses.create(ask('x', { previous_response_id: 'resp_1' })), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, 'previous_response_id');
      return true;
    });
    await assert.rejects(openai.responses.create(ask('x', { model: 'gpt-5' })), OpenAI.NotFoundError);
    await assert.rejects(openai.responses.retrieve('resp_1'), OpenAI.NotFoundError);
    await assert.rejects(openai.responses.delete('resp_1'), OpenAI.NotFoundError);
    await assert.rejects(openai.responses.create(ask('word '.repeat(3000), { stream: true })), OpenAI.BadRequestError);
    await assert.rejects(async () => all(await openai.responses.create(ask('[[tokens=9 error_after=3]]', { stream: true }))), OpenAI.APIError);
    await assert.rejects(openai.responses.stream(ask('[[tokens=9 error_after=3]]')).finalResponse(), OpenAI.APIError);
  });

  test('that leaves is noticed by the engine', async () => {
    for await (const event of await openai.responses.create(ask('[[tokens=100000 delay_ms=5 tag=responses-leaves]]', { stream: true }))) {
      if (event.type === 'response.output_text.delta') break;
    }
    await gateway.engineLog.waitFor('peer_closed', { tag: 'responses-leaves' });
  });
});

describe('OpenAI’s client, with files,', () => {
  test('gives one from a stream and from memory, gets it back, asks about it and deletes it', async () => {
    const local = path.join(gateway.folder, 'notes.md');
    fs.writeFileSync(local, '# Notes\n');
    for (const file of [fs.createReadStream(local), await toFile(Buffer.from('# Notes\n'), 'notes.md')]) {
      const made = await openai.files.create({ file, purpose: 'user_data' });
      assert.deepEqual([made.object, made.bytes, made.filename, made.purpose, made.status], ['file', 8, 'notes.md', 'user_data', 'processed']);
      assert.deepEqual(await openai.files.retrieve(made.id), made);
      assert.equal(await (await openai.files.content(made.id)).text(), '# Notes\n');
      assert.equal((await openai.files.waitForProcessing(made.id)).id, made.id);
      const input = [{ role: 'user', content: [{ type: 'input_file', file_id: made.id }, { type: 'input_text', text: '[[text=ok record=file-of-client]]' }] }];
      assert.equal((await openai.responses.create({ model: 'coordinator', input })).output_text, 'ok');
      assert.match((await recorded(gateway, 'file-of-client')).messages[0].content, /# Notes/);
      const gone = await openai.files.delete(made.id);
      assert.deepEqual([gone.id, gone.object, gone.deleted], [made.id, 'file', true]);
      await assert.rejects(openai.files.retrieve(made.id), OpenAI.NotFoundError);
    }
  });

  test('turns the pages of the list, by purpose and in both orders', async () => {
    const made = [];
    for (let i = 0; i < 5; ++i) made.push((await openai.files.create({ file: await toFile(Buffer.from(`${i}`), `${i}.txt`), purpose: 'batch' })).id);
    made.sort();  // Ids sort by their time, to the millisecond.
    const ids = async (query) => (await all(openai.files.list({ purpose: 'batch', ...query }))).map(({ id }) => id);
    assert.deepEqual(await ids({ limit: 2 }), made.toReversed());
    assert.deepEqual(await ids({ limit: 2, order: 'asc' }), made);
    assert.deepEqual(await ids({ after: made[2] }), [made[1], made[0]]);
    assert.deepEqual(await ids({ purpose: 'evals' }), []);
    for (const id of made) await openai.files.delete(id);
  });

  test('hears what was wrong with one', async () => {
    await assert.rejects(openai.files.create({ file: await toFile(Buffer.from('x'), 'x'), purpose: 'fun' }), (error) => error instanceof OpenAI.BadRequestError && error.param === 'purpose');
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

  test('gets the same response whole and streamed, and parses one', async () => {
    const ask = { model: 'coordinator', input: 'Hello', temperature: 0, max_output_tokens: 8 };
    const whole = await realOpenai.responses.create(ask);
    const streamed = await realOpenai.responses.stream(ask).finalResponse();
    assert.equal(streamed.output_text, whole.output_text);
    assert.equal(streamed.usage.total_tokens, whole.usage.total_tokens);
    const format = zodTextFormat(z.object({ ok: z.boolean() }), 'answer');
    const parsed = await realOpenai.responses.parse({ model: 'coordinator', input: 'JSON, please.', max_output_tokens: 100, text: { format } });
    assert.equal(typeof parsed.output_parsed.ok, 'boolean');
  });

  test('parses what it asked for by a schema', async () => {
    const schema = z.object({ ok: z.boolean() });
    const answer = await realOpenai.chat.completions.parse(asked('JSON, please.', { max_completion_tokens: 100, response_format: zodResponseFormat(schema, 'answer') }));
    assert.equal(typeof answer.choices[0].message.parsed.ok, 'boolean');
  });
});

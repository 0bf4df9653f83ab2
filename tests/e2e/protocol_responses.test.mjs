// OpenAI's responses as its clients read them: items, events in their order, and what is not kept. Raw HTTP, because the
// official client forgives some of it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { parseEvents } from '../support/events.mjs';
import { startReal, startScripted } from '../support/gateway.mjs';
import { assertIsText, assertOpenAiError, bodiesThatAreNone, kCallsWeather, kCityArguments, kPng, kWeatherSchema, recorded } from '../support/protocols.mjs';
import { upload } from '../support/uploads.mjs';

const kTool = { type: 'function', name: 'get_weather', description: 'How the weather is.', strict: false, parameters: kWeatherSchema };

let gateway;
before(async () => {
  gateway = await startScripted();
});
after(() => gateway?.dispose());

const asked = (input, more = {}) => ({ model: 'coordinator', input, ...more });
const post = (body, { target = '/v1/responses', headers, to = gateway } = {}) => to.request('POST', target, { body, headers });
const say = (input, more, options) => post(asked(input, more), options);

async function whole(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
}

// The events of a stream: each has the name that its data has, and the number behind the one before.
async function streamed(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers['content-type'], /^text\/event-stream/);
  assert.ok(!('content-length' in answer.headers) && !('content-encoding' in answer.headers));
  return parseEvents(answer.text).map(({ event, data }, number) => {
    assert.equal(data.type, event);
    assert.equal(data.sequence_number, number);
    return data;
  });
}
const stream = (input, more, options) => streamed(say(input, { stream: true, ...more }, options));

// Follows a stream as a client does, and fails at the first event out of order. Returns the last response, whose output
// must be what the events before it came to.
function follow(events) {
  assert.deepEqual(events.slice(0, 2).map(({ type }) => type), ['response.created', 'response.in_progress']);
  for (const { response } of events.slice(0, 2)) {
    assert.deepEqual([response.status, response.output, response.usage], ['in_progress', [], null]);
  }
  const output = [];
  let item, part, done;
  const parts = (type) => (type.includes('summary') ? 'summary' : 'content');
  for (const event of events.slice(2, -1)) {
    assert.equal(event.output_index, output.length - (item ? 1 : 0), `${event.type}: one item at a time, in order`);
    const [, what] = /^response\.(.*)$/.exec(event.type);
    if (what === 'output_item.added') {
      assert.equal(item, undefined);
      assert.equal(event.item.status, 'in_progress');
      item = structuredClone(event.item);
      output.push(item);
      done = false;
      continue;
    }
    assert.ok(item, `${event.type} outside of an item`);
    if (what === 'output_item.done') {
      assert.ok(done && part === undefined);
      assert.notEqual(event.item.status, 'in_progress');
      assert.deepEqual(event.item, { ...item, status: event.item.status }, 'the item is what its events came to');
      output[output.length - 1] = event.item;
      item = undefined;
      continue;
    }
    assert.equal(event.item_id, item.id);
    if (what.endsWith('part.added')) {
      assert.equal(event.part.text, '');
      part = structuredClone(event.part);
      item[parts(what)].push(part);
    } else if (what.endsWith('part.done')) {
      assert.ok(done);
      assert.deepEqual(event.part, part);
      part = undefined;
    } else if (what === 'function_call_arguments.delta') {
      item.arguments += event.delta;
    } else if (what === 'function_call_arguments.done') {
      done = true;
      assert.equal(event.name, item.name);
      assert.equal(event.arguments, item.arguments || '{}');
      item.arguments = event.arguments;
    } else if (what.endsWith('_text.delta')) {
      assert.notEqual(event.delta, '');
      part.text += event.delta;
    } else {
      assert.match(what, /_text\.done$/);
      done = true;
      assert.equal(event.text, part.text);
    }
  }
  assert.equal(item, undefined, 'every item ends');
  const { type, response } = events.at(-1);
  assert.equal(type, `response.${response.status}`);
  assert.deepEqual(response.output, output);
  for (const key of ['id', 'created_at', 'model']) assert.equal(response[key], events[0].response[key], key);
  return response;
}

// What differs between two answers to one question.
function without(response) {
  const rest = structuredClone(response);
  for (const key of ['id', 'created_at', 'completed_at']) delete rest[key];
  for (const item of rest.output) {
    assert.ok(item.id);
    delete item.id;
    if (item.type !== 'function_call') continue;
    assert.ok(item.call_id);
    delete item.call_id;
  }
  return rest;
}

const text = (response) => response.output.filter(({ type }) => type === 'message').flatMap(({ content }) => content).map((part) => part.text).join('');

describe('a stream', () => {
  test('has its events in order, with names and numbers, and no [DONE]', async () => {
    const answer = await say('[[text="one two"]]', { stream: true });
    assert.doesNotMatch(answer.text, /\[DONE\]/);
    assert.deepEqual(parseEvents(answer.text).map(({ event }) => event.replace('response.', '')), ['created', 'in_progress', 'output_item.added', 'content_part.added', 'output_text.delta', 'output_text.delta', 'output_text.done', 'content_part.done', 'output_item.done', 'completed']);
  });

  test('of a call has its arguments piece by piece', async () => {
    const events = await stream(kCallsWeather, { tools: [kTool] });
    const pieces = events.filter(({ type }) => type === 'response.function_call_arguments.delta').map(({ delta }) => delta);
    assert.ok(pieces.length > 3);
    assert.equal(pieces.join(''), kCityArguments);
    assert.equal(follow(events).output[0].arguments, kCityArguments);
  });

  test('comes to the same response as the whole answer, whatever it holds', async () => {
    for (const [input, more] of [
      ['[[text="one two"]]', { instructions: 'Be brief.', metadata: { a: 'b' }, temperature: 0.5 }],
      ['[[tokens=9]]', { max_output_tokens: 2 }],
      ['[[tokens=0]]', {}],
      ['[[thinking="well then" text="one two"]]', { reasoning: { effort: 'low' } }],
      ['[[thinking="well then" text="one two"]]', { reasoning: { effort: 'low', summary: 'auto' } }],
      [kCallsWeather, { tools: [kTool] }],
      [`[[thinking="I ask" text="Let me see." tool=get_weather;get_weather tool_args='${kCityArguments};{}']]`, { tools: [kTool], tool_choice: 'auto', parallel_tool_calls: true }],
      [`[[text='${kCityArguments}']]`, { text: { format: { type: 'json_schema', name: 'weather', schema: kWeatherSchema } } }],
    ]) {
      assert.deepEqual(without(follow(await stream(input, more))), without(await whole(say(input, more))), input);
    }
  });

  test('has whole characters, though the worker cuts them in two', async () => {
    for (const way of ['split_utf8=1', 'dribble=1']) {
      assert.equal(text(follow(await stream(`[[text="größe 🙂 ende" ${way}]]`))), 'größe 🙂 ende');
    }
  });

  test('that fails before its first token is an error with a status', async () => {
    for (const [directives, status] of [['status=500', 502], ['garbage=1', 502], ['close_after=0', 502], ['status=400', 400]]) {
      assertOpenAiError(await say(`[[${directives}]]`, { stream: true }), status);
    }
  });

  test('that fails later ends with an error and a response that failed', async () => {
    const events = await stream('[[tokens=5 error_after=2]]');
    const [error, failed] = events.slice(-2);
    assert.equal(error.type, 'error');
    for (const said of [error, error.error]) assert.ok(said.code && said.message && said.param === null);
    assert.equal(failed.type, 'response.failed');
    assert.equal(failed.response.status, 'failed');
    assert.equal(failed.response.error.message, error.message);
    assert.equal(failed.response.output[0].status, 'incomplete');
    assert.ok(text(failed.response).length > 0, 'what there was of the answer');
    assert.ok(events.every(({ type }) => type !== 'response.completed'));
  });
});

describe('a response', () => {
  test('has why it is not complete', async () => {
    for (const response of [await whole(say('[[tokens=9]]', { max_output_tokens: 2 })), follow(await stream('[[tokens=9]]', { max_output_tokens: 2 }))]) {
      assert.equal(response.status, 'incomplete');
      assert.deepEqual(response.incomplete_details, { reason: 'max_output_tokens' });
      assert.equal(response.output.at(-1).status, 'incomplete');
      assert.equal(response.usage.output_tokens, 2);
    }
  });

  test('counts its tokens, those in the cache among the input', async () => {
    const { usage } = await whole(say('one two three [[tokens=2 cached=2]]'));
    assert.deepEqual(usage, { input_tokens: usage.input_tokens, input_tokens_details: { cached_tokens: 2 }, output_tokens: 2, output_tokens_details: { reasoning_tokens: 0 }, total_tokens: usage.input_tokens + 2 });
    assert.ok(usage.input_tokens > 2);
    assert.deepEqual(follow(await stream('one two three [[tokens=2 cached=2]]')).usage, usage);
  });

  test('says what was asked, which model answered, and that it is not kept', async () => {
    const more = { instructions: 'Be kind.', temperature: 0.5, top_p: 0.25, max_output_tokens: 9, metadata: { k: 'v' }, tools: [kTool], tool_choice: { type: 'function', name: 'get_weather' }, parallel_tool_calls: false, reasoning: { effort: 'low', summary: null }, store: true };
    const response = await whole(say(kCallsWeather, more));
    for (const [key, value] of Object.entries(more)) assert.deepEqual(response[key], key === 'store' ? false : value, key);
    assert.equal(response.model, 'demo-coordinator');
    assert.match(response.id, /^resp_\w+$/);
    assert.ok(Math.abs(response.created_at - Date.now() / 1000) < 600);
  });

  test('cannot be looked up, deleted or cancelled', async () => {
    const { id } = await whole(say('[[tokens=1]]'));
    for (const [method, target] of [['GET', `/v1/responses/${id}`], ['GET', `/v1/responses/${id}?stream=true`], ['DELETE', `/v1/responses/${id}`], ['GET', `/v1/responses/${id}/input_items`], ['POST', `/v1/responses/${id}/cancel`]]) {
      const error = assertOpenAiError(await gateway.request(method, target), 404, { code: 'response_not_found' });
      assert.match(error.message, /not kept/);
    }
    assertOpenAiError(await gateway.get('/v1/responses'), 405);
  });

  test('tells the routing decision in its headers', async () => {
    for (const more of [{}, { stream: true }]) {
      const answer = await say('Hello [[tokens=1]]', { ...more, model: 'auto' });
      assert.equal(answer.headers['x-gbgreg-role'], 'coordinator');
      assert.ok(answer.headers['x-gbgreg-reason'] && answer.headers['x-request-id']);
    }
  });
});

describe('a request', () => {
  test('puts thoughts, words and calls of one turn into one message', async () => {
    await whole(say([
      { role: 'developer', content: 'D' },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'How is it?' }] },
      { type: 'reasoning', id: 'rs_1', summary: [], content: [{ type: 'reasoning_text', text: 'I ask' }] },
      { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'Let me see.', annotations: [], logprobs: [] }] },
      { type: 'function_call', id: 'fc_1', call_id: 'c1', name: 'get_weather', arguments: kCityArguments, status: 'completed' },
      { type: 'function_call', id: 'fc_2', call_id: 'c2', name: 'get_weather', arguments: '{}', status: 'completed' },
      { type: 'function_call_output', call_id: 'c1', output: 'It rains.' },
      { type: 'function_call_output', call_id: 'c2', output: [{ type: 'input_text', text: 'It snows. [[text=ok record=items]]' }] },
    ], { tools: [kTool], instructions: 'I' }));
    const { messages, tools } = await recorded(gateway, 'items');
    assert.deepEqual(messages.map(({ role }) => role), ['system', 'system', 'user', 'assistant', 'tool', 'tool']);
    assert.deepEqual(messages[3], { role: 'assistant', content: 'Let me see.', reasoning_content: 'I ask', tool_calls: [{ type: 'function', id: 'c1', function: { name: 'get_weather', arguments: kCityArguments } }, { type: 'function', id: 'c2', function: { name: 'get_weather', arguments: '{}' } }] });
    assert.deepEqual([messages[4].tool_call_id, messages[4].content], ['c1', 'It rains.']);
    assert.deepEqual(tools[0].function, { name: 'get_weather', description: kTool.description, parameters: kWeatherSchema });
  });

  test('is passed on with its settings', async () => {
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } } };
    await whole(say('[[text=ok record=settings]]', { temperature: 0.25, top_p: 0.5, max_output_tokens: 77, text: { format: { type: 'json_schema', name: 'n', strict: true, schema } }, tools: [kTool], tool_choice: 'required', parallel_tool_calls: false, reasoning: { effort: 'none' } }));
    const body = await recorded(gateway, 'settings');
    assert.deepEqual([body.temperature, body.top_p, body.max_tokens], [0.25, 0.5, 77]);
    assert.deepEqual(body.response_format.json_schema.schema, schema);
    assert.deepEqual([body.tool_choice, body.parallel_tool_calls], ['required', false]);
    assert.deepEqual(body.chat_template_kwargs, { enable_thinking: false });
    await whole(say('[[text={} record=json]]', { text: { format: { type: 'json_object' } } }));
    assert.deepEqual((await recorded(gateway, 'json')).response_format, { type: 'json_object' });
  });

  test('with null for every field is one that does not set it', async () => {
    const fields = ['instructions', 'temperature', 'top_p', 'max_output_tokens', 'tools', 'tool_choice', 'parallel_tool_calls', 'text', 'reasoning', 'metadata', 'include', 'store', 'previous_response_id', 'conversation', 'background', 'prompt', 'top_logprobs', 'truncation', 'user', 'service_tier', 'stream', 'stream_options'];
    assert.equal(text(await whole(say('[[text=ok]]', Object.fromEntries(fields.map((name) => [name, null]))))), 'ok');
  });

  test('may have fields that nobody knows, and some that change nothing', async () => {
    assert.equal(text(await whole(say('[[text=ok]]', { frobnicate: { deep: [1] }, truncation: 'auto', service_tier: 'flex', user: 'u', prompt_cache_key: 'k', safety_identifier: 's', include: ['reasoning.encrypted_content'], stream_options: { include_obfuscation: true } }))), 'ok');
  });

  test('that needs something to be kept is 400 and says which field', async () => {
    for (const [field, value] of [['previous_response_id', 'resp_1'], ['conversation', 'conv_1'], ['conversation', { id: 'conv_1' }], ['background', true]]) {
      for (const streams of [false, true]) {
        assertOpenAiError(await say('x', { [field]: value, stream: streams }), 400, { param: field, code: 'not_kept' });
      }
    }
    const error = assertOpenAiError(await say([{ type: 'item_reference', id: 'msg_1' }]), 400, { param: 'input[0]' });
    assert.match(error.message, /not kept/);
  });

  for (const [field, value] of [['temperature', 3], ['temperature', 'hot'], ['top_p', -1], ['max_output_tokens', 0], ['input', 7], ['input', []], ['tools', [{ type: 'web_search' }]], ['tools', [{ type: 'mcp', server_label: 'x', server_url: 'http://127.0.0.1/' }]], ['tool_choice', 'required'], ['text', { format: { type: 'json_schema' } }], ['reasoning', { effort: 'much' }], ['top_logprobs', 2], ['include', ['message.output_text.logprobs']], ['metadata', { a: 1 }]]) {
    test(`with ${field} ${JSON.stringify(value)} is 400, because a 500 would be sent three times`, async () => {
      const { param } = assertOpenAiError(await say('x', { [field]: value }), 400);
      assert.ok(param.startsWith(field), param);
    });
  }

  for (const [name, body] of bodiesThatAreNone((input) => asked(input))) {
    test(`whose body is ${name} is 400`, async () => {
      const answer = await post(body);
      assertOpenAiError(answer, 400);
      assertIsText(answer);
    });
  }

  test('longer than the context is 400, and for a model that nobody has 404', async () => {
    for (const more of [{}, { stream: true }, { truncation: 'auto' }]) {
      assertOpenAiError(await say('word '.repeat(3000), more), 400, { code: 'prompt_too_long' });
    }
    assertOpenAiError(await say('x', { model: 'gpt-5' }), 404);
  });
});

describe('an image', () => {
  const image = (url) => [{ role: 'user', content: [{ type: 'input_text', text: 'What is this? [[text=ok record=image]]' }, { type: 'input_image', detail: 'auto', image_url: url }] }];

  test('that is a data URL goes to the model that sees', async () => {
    const response = await whole(say(image(`data:image/png;base64,${kPng}`), { model: 'auto' }));
    assert.equal(response.model, 'demo-vision');
    const { messages } = await recorded(gateway, 'image');
    assert.equal(messages[0].content.find(({ type }) => type === 'image_url').image_url.url, `data:image/png;base64,${kPng}`);
  });

  test('that names a file or a host is refused and never fetched', async () => {
    for (const url of [`${gateway.url}/health`, 'file:///etc/passwd', '/etc/passwd', 'https://example.com/x.png']) {
      assertOpenAiError(await say(image(url)), 400, { param: 'input[0].content[1].image_url' });
    }
  });

  test('that a tool gave is shown by the user, once all tools have answered', async () => {
    await whole(say([
      { role: 'user', content: 'Look. [[text=ok record=tool-image]]' },
      { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' },
      { type: 'function_call', call_id: 'c2', name: 'look', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c1', output: [{ type: 'input_image', image_url: `data:image/png;base64,${kPng}` }] },
      { type: 'function_call_output', call_id: 'c2', output: 'dark' },
    ], { model: 'vision' }));
    const { messages } = await recorded(gateway, 'tool-image');
    assert.deepEqual(messages.map(({ role }) => role), ['user', 'assistant', 'tool', 'tool', 'user']);
    assert.equal(messages[4].content[0].type, 'image_url');
  });
});

describe('a file', () => {
  const named = (file_id, note) => [{ role: 'user', content: [{ type: 'input_text', text: 'Sum up:' }, { type: 'input_file', file_id }, { type: 'input_text', text: `[[text=ok record=${note}]]` }] }];

  test('that was uploaded stands in the prompt where it was named, under its name and fenced', async () => {
    const { id } = await upload(gateway, 'line ```\nünd 猫\n', 'notes.md');
    assert.equal(text(await whole(say(named(`file-${id}`, 'file')))), 'ok');
    const { messages } = await recorded(gateway, 'file');
    assert.equal(messages[0].content, 'Sum up:\nFile notes.md:\n````\nline ```\nünd 猫\n````\n[[text=ok record=file]]');
  });

  test('that is not there, is no text, or is anywhere else is the client’s mistake', async () => {
    const param = 'input[0].content[1].file_id';
    for (const none of ['file-1', '../../etc/passwd', 'file-0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f']) {
      assertOpenAiError(await say(named(none, 'none')), 400, { param, code: 'file_not_found' });
    }
    const { id } = await upload(gateway, Buffer.from(kPng, 'base64'), 'p.png');
    assertOpenAiError(await say(named(`file-${id}`, 'none'), { stream: true }), 400, { param, code: 'file_not_text' });
    for (const part of [{ file_url: `${gateway.url}/health` }, { file_data: 'data:text/plain;base64,eA==', filename: 'x' }]) {
      assertOpenAiError(await say([{ role: 'user', content: [{ type: 'input_file', ...part }] }]), 400, { param: 'input[0].content[0]' });
    }
  });

  test('that is longer than the context is 400 and not cut', async () => {
    const { id } = await upload(gateway, 'word '.repeat(3000), 'long.txt');
    assertOpenAiError(await say(named(`file-${id}`, 'long')), 400, { code: 'prompt_too_long' });
  });
});

describe('the real engine behind it', () => {
  let real;
  before(async () => {
    real = await startReal({ roles: { technical: null, documentation: null } });
  });
  after(() => real?.dispose());

  test('answers the same whole and streamed, with the same counts', async () => {
    const more = { temperature: 0, max_output_tokens: 12, instructions: 'Be brief.' };
    const response = await whole(say('Hello', more, { to: real }));
    assert.ok(text(response).length > 0);
    const rest = (answer) => {
      const { usage, ...other } = without(answer);
      delete usage.input_tokens_details;  // The second time more of the prompt is in the cache.
      return { ...other, usage };
    };
    assert.deepEqual(rest(follow(await stream('Hello', more, { to: real }))), rest(response));
  });

  test('obeys a schema and sees an image', async () => {
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
    const made = await whole(say('JSON, please.', { max_output_tokens: 100, text: { format: { type: 'json_schema', name: 'n', schema } } }, { to: real }));
    assert.equal(typeof JSON.parse(text(made)).ok, 'boolean');
    const seen = await whole(say([{ role: 'user', content: [{ type: 'input_text', text: 'What is this?' }, { type: 'input_image', image_url: `data:image/png;base64,${kPng}` }] }], { model: 'auto', max_output_tokens: 4 }, { to: real }));
    assert.equal(seen.model, 'demo-vision');
  });

  test('is never blamed for what a client sent', async () => {
    for (const body of [asked('word '.repeat(9000)), asked([{ role: 'user', content: [{ type: 'input_image', image_url: `data:image/png;base64,${kPng}` }] }]), asked('x', { text: { format: { type: 'json_schema', name: 'n', schema: { type: 'nonsense' } } } })]) {
      assertOpenAiError(await post(body, { to: real }), 400);
    }
  });
});

// Anthropic's protocol as its clients read it: what implementers commonly get wrong, each a test. Raw HTTP, because the
// official client forgives some of it.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { parseEvents } from '../support/events.mjs';
import { startReal, startScripted } from '../support/gateway.mjs';
import { assertIsText, bodiesThatAreNone, kCallsWeather, kCityArguments, kPng, kWeatherSchema, recorded } from '../support/protocols.mjs';

const kTool = { name: 'get_weather', description: 'How the weather is.', input_schema: kWeatherSchema };

let gateway;
before(async () => {
  gateway = await startScripted();
});
after(() => gateway?.dispose());

const asked = (content, more = {}) => ({ model: 'coordinator', max_tokens: 100, messages: [{ role: 'user', content }], ...more });
const post = (body, { target = '/v1/messages', headers, to = gateway } = {}) => to.request('POST', target, { body, headers });
const say = (content, more, options) => post(asked(content, more), options);

async function whole(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
}

// The events of a stream, of which each has the name that its data has, too.
async function streamed(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers['content-type'], /^text\/event-stream/);
  assert.ok(!('content-length' in answer.headers) && !('content-encoding' in answer.headers));
  return parseEvents(answer.text).map(({ event, data }) => {
    assert.equal(data.type, event, 'the official client drops events without a name');
    return data;
  });
}
const stream = (content, more) => streamed(say(content, { stream: true, ...more }));

function assertAnthropicError(answer, status, type) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'], /^application\/json/);
  const body = answer.json();
  assert.equal(body.type, 'error');
  assert.match(body.error.type, /^[a-z_]+_error$|^request_too_large$/);
  assert.ok(body.error.message.length > 5);
  assert.equal(body.request_id, answer.headers['request-id']);
  if (type) assert.equal(body.error.type, type);
  return body.error;
}

// Follows a stream as a client does, and fails at the first event out of order. Returns what the message came to.
function follow(events) {
  const [first, ...rest] = events;
  assert.equal(first.type, 'message_start');
  const message = structuredClone(first.message);
  assert.deepEqual(message.content, []);
  assert.deepEqual([message.type, message.role, message.stop_reason, message.stop_sequence], ['message', 'assistant', null, null]);
  let open;
  let ended = false;
  let stopped = false;
  let pings = 0;
  for (const event of rest) {
    assert.ok(!stopped, `${event.type} after message_stop`);
    if (event.type === 'ping') {
      ++pings;
    } else if (event.type === 'content_block_start') {
      assert.equal(open, undefined, 'one block at a time');
      assert.equal(event.index, message.content.length);
      open = { ...event.content_block, json: '' };
      message.content.push(open);
    } else if (event.type === 'content_block_delta') {
      assert.equal(event.index, message.content.length - 1);
      const { delta } = event;
      assert.equal({ text_delta: 'text', thinking_delta: 'thinking', signature_delta: 'thinking', input_json_delta: 'tool_use' }[delta.type], open.type);
      if (delta.type === 'text_delta') open.text += delta.text;
      if (delta.type === 'thinking_delta') open.thinking += delta.thinking;
      if (delta.type === 'input_json_delta') open.json += delta.partial_json;
    } else if (event.type === 'content_block_stop') {
      assert.equal(event.index, message.content.length - 1);
      if (open.type === 'tool_use') {
        assert.deepEqual(open.input, {}, 'the input comes by deltas');
        open.input = open.json === '' ? {} : JSON.parse(open.json);
      }
      delete open.json;
      open = undefined;
    } else if (event.type === 'message_delta') {
      assert.ok(open === undefined && !ended);
      ended = true;
      Object.assign(message, event.delta);
      Object.assign(message.usage, event.usage);
    } else {
      assert.equal(event.type, 'message_stop');
      assert.ok(ended);
      stopped = true;
    }
  }
  assert.ok(stopped, 'the last event is message_stop');
  assert.ok(pings > 0, 'a ping');
  return message;
}

describe('a stream', () => {
  test('has its events in order, blocks with their numbers, a ping, and no [DONE]', async () => {
    const answer = await say('[[text="one two"]]', { stream: true });
    assert.doesNotMatch(answer.text, /\[DONE\]/);
    assert.deepEqual(parseEvents(answer.text).map(({ event }) => event), ['message_start', 'ping', 'content_block_start', 'content_block_delta', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop']);
    assert.deepEqual(follow(await stream('[[text="one two"]]')).content, [{ type: 'text', text: 'one two' }]);
  });

  test('comes to the same message as the whole answer, whatever it holds', async () => {
    for (const [content, more] of [
      ['[[text="one two"]]', {}],
      ['[[tokens=9]]', { max_tokens: 2 }],
      ['[[thinking="well then" text="one two"]]', { thinking: { type: 'enabled', budget_tokens: 1024 } }],
      [kCallsWeather, { tools: [kTool] }],
      [`[[thinking="I ask" text="Let me see." tool=get_weather;get_weather tool_args='${kCityArguments};{}']]`, { tools: [kTool] }],
      ['[[text="one two three"]]', { stop_sequences: [' three'] }],
    ]) {
      const { id, ...message } = follow(await stream(content, more));
      const { id: other, ...body } = await whole(say(content, more));
      for (const block of [...message.content, ...body.content].filter(({ type }) => type === 'tool_use')) {
        assert.ok(block.id);
        delete block.id;  // Another one each time.
      }
      assert.deepEqual(message, body);
      assert.match(id, /^msg_\w+$/);
      assert.match(other, /^msg_\w+$/);
    }
  });

  test('has whole characters, though the worker cuts them in two', async () => {
    for (const way of ['split_utf8=1', 'dribble=1']) {
      assert.equal(follow(await stream(`[[text="größe 🙂 ende" ${way}]]`)).content[0].text, 'größe 🙂 ende');
    }
  });

  test('that fails before its first token is an error with a status', async () => {
    for (const [directives, status] of [['status=500', 502], ['garbage=1', 502], ['close_after=0', 502], ['status=400', 400]]) {
      assertAnthropicError(await say(`[[${directives}]]`, { stream: true }), status);
    }
  });

  test('that fails later ends with an event named error', async () => {
    const answer = await say('[[tokens=5 error_after=2]]', { stream: true });
    assert.equal(answer.status, 200);
    const last = parseEvents(answer.text).at(-1);
    assert.equal(last.event, 'error');
    assert.equal(last.data.type, 'error');
    assert.match(last.data.error.type, /_error$/);
    assert.doesNotMatch(answer.text, /message_stop/);
  });
});

describe('an answer', () => {
  test('has why it ended', async () => {
    for (const [content, more, wanted] of [
      ['[[tokens=3]]', {}, { stop_reason: 'end_turn', stop_sequence: null }],
      ['[[tokens=9]]', { max_tokens: 2 }, { stop_reason: 'max_tokens', stop_sequence: null }],
      [kCallsWeather, { tools: [kTool] }, { stop_reason: 'tool_use', stop_sequence: null }],
      ['[[text="one two three"]]', { stop_sequences: ['zzz', ' three', ' two'] }, { stop_reason: 'stop_sequence', stop_sequence: ' two' }],
      ['[[text="one two three"]]', { stop_sequences: ['zzz'] }, { stop_reason: 'end_turn', stop_sequence: null }],
      ['[[text="one two three"]]', { stop_sequences: [' three'], max_tokens: 1 }, { stop_reason: 'max_tokens', stop_sequence: null }],
    ]) {
      for (const message of [await whole(say(content, more)), follow(await stream(content, more))]) {
        assert.deepEqual({ stop_reason: message.stop_reason, stop_sequence: message.stop_sequence }, wanted, content);
      }
    }
  });

  test('has no part of a stop sequence in it', async () => {
    assert.deepEqual((await whole(say('[[text="one two three"]]', { stop_sequences: [' three'] }))).content, [{ type: 'text', text: 'one two' }]);
  });

  test('has the input of a tool as an object', async () => {
    const { content } = await whole(say(kCallsWeather, { tools: [kTool] }));
    assert.deepEqual(content.map(({ id, ...block }) => block), [{ type: 'tool_use', name: 'get_weather', input: JSON.parse(kCityArguments) }]);
    assert.ok(content[0].id);
  });

  test('counts the tokens that were in the cache among the input', async () => {
    const message = await whole(say('one two three [[tokens=2 cached=2]]'));
    const counted = await whole(say('one two three [[tokens=2 cached=2]]', {}, { target: '/v1/messages/count_tokens' }));
    const { usage } = message;
    assert.equal(usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens, counted.input_tokens);
    assert.deepEqual(follow(await stream('one two three [[tokens=2 cached=2]]')).usage, usage);
  });

  test('has request-id in its head, the client’s own if it sent one', async () => {
    for (const body of [asked('[[tokens=1]]'), asked('[[tokens=1]]', { stream: true }), '{']) {
      for (const target of ['/v1/messages', '/v1/messages/count_tokens']) {
        const answer = await post(body, { target });
        assert.match(answer.headers['request-id'], /^[0-9a-f-]{36}$/);
        assert.equal(answer.headers['x-request-id'], answer.headers['request-id']);
        assert.equal((await post(body, { target, headers: { 'x-request-id': 'mine' } })).headers['request-id'], 'mine');
      }
    }
    for (const [method, target] of [['GET', '/v1/messages'], ['POST', '/v1/messages/batches']]) {
      assert.ok((await gateway.request(method, target)).headers['request-id'], `${method} ${target}`);
    }
  });
});

describe('a count of tokens', () => {
  test('is the input of the same message, and needs no max_tokens', async () => {
    for (const more of [{}, { system: 'Be short, please.' }, { tools: [kTool] }, { system: [{ type: 'text', text: 'Be' }, { type: 'text', text: 'short.' }] }]) {
      const { max_tokens: unused, ...body } = asked('one two [[tokens=1]]', more);
      const counted = await whole(post(body, { target: '/v1/messages/count_tokens' }));
      assert.deepEqual(Object.keys(counted), ['input_tokens']);
      assert.equal(counted.input_tokens, (await whole(say('one two [[tokens=1]]', more))).usage.input_tokens);
    }
  });

  test('is refused as the message would be', async () => {
    assertAnthropicError(await post({ model: 'coordinator', messages: [] }, { target: '/v1/messages/count_tokens' }), 400, 'invalid_request_error');
    assertAnthropicError(await post({ model: 'none', messages: [{ role: 'user', content: 'x' }] }, { target: '/v1/messages/count_tokens' }), 404, 'not_found_error');
  });
});

describe('a request', () => {
  test('must say max_tokens', async () => {
    const { max_tokens: unused, ...body } = asked('Hello');
    assert.match(assertAnthropicError(await post(body), 400, 'invalid_request_error').message, /max_tokens/);
    assertAnthropicError(await post({ ...body, stream: true }), 400);
  });

  test('may have its system prompt as a text or as blocks', async () => {
    for (const [name, system, wanted] of [['text', 'Be short.', 'Be short.'], ['blocks', [{ type: 'text', text: 'Be short.', cache_control: { type: 'ephemeral' } }, { type: 'text', text: 'Be kind.' }], 'Be short.\n\nBe kind.']]) {
      await whole(say(`[[tokens=1 record=system-${name}]]`, { system }));
      const { messages } = await recorded(gateway, `system-${name}`);
      assert.deepEqual(messages[0], { role: 'system', content: wanted });
      assert.equal(messages.length, 2);
    }
  });

  test('may speak of caches, of beta and of versions', async () => {
    const answer = await post(
      asked([{ type: 'text', text: '[[tokens=1]]', cache_control: { type: 'ephemeral', ttl: '1h' } }], { tools: [{ ...kTool, cache_control: { type: 'ephemeral' } }], metadata: { user_id: 'u' }, service_tier: 'auto', a_field_of_tomorrow: [1] }),
      { target: '/v1/messages?beta=true', headers: { 'anthropic-version': '2023-06-01', 'anthropic-beta': 'prompt-caching-2024-07-31,tools-2024-04-04', 'x-api-key': 'anything' } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal((await say('[[tokens=1]]', {}, { target: '/v1/messages/count_tokens?beta=true' })).status, 200);
  });

  test('may come with a key in x-api-key or as a Bearer', async () => {
    for (const headers of [{ 'x-api-key': 'sk-ant-x' }, { authorization: 'Bearer sk-ant-x' }]) {
      assert.equal((await say('[[tokens=1]]', {}, { headers })).status, 200);
    }
  });

  test('with null for what it does not set is one without it', async () => {
    const answer = await say('[[tokens=1]]', Object.fromEntries(['system', 'temperature', 'top_p', 'top_k', 'stop_sequences', 'stream', 'tools', 'tool_choice', 'thinking', 'metadata'].map((field) => [field, null])));
    assert.equal(answer.status, 200, answer.text);
  });

  test('may tell what a tool said, and the model hears all of it in order', async () => {
    const { content } = await whole(post({ model: 'coordinator', max_tokens: 50, tools: [kTool], messages: [
      { role: 'user', content: 'How is it?' },
      { role: 'assistant', content: [{ type: 'thinking', thinking: 'I ask.', signature: '' }, { type: 'text', text: 'Let me see.' }, { type: 'tool_use', id: 'call_1', name: 'get_weather', input: JSON.parse(kCityArguments) }, { type: 'tool_use', id: 'call_2', name: 'get_weather', input: {} }] },
      { role: 'user', content: [
        { type: 'tool_result', tool_use_id: 'call_1', content: 'It rains.' },
        { type: 'tool_result', tool_use_id: 'call_2', is_error: true, content: [{ type: 'text', text: 'no city' }] },
        { type: 'text', text: 'Well? [[text="It rains." record=results]]' },
      ] },
    ] }));
    assert.deepEqual(content, [{ type: 'text', text: 'It rains.' }]);
    const { messages } = await recorded(gateway, 'results');
    assert.deepEqual(messages.map((message) => message.role), ['user', 'assistant', 'tool', 'tool', 'user']);
    assert.equal(typeof messages[1].tool_calls[0].function.arguments, 'string');
    assert.deepEqual(JSON.parse(messages[1].tool_calls[0].function.arguments), JSON.parse(kCityArguments));
    assert.equal(messages[1].content, 'Let me see.');
    assert.equal(messages[1].reasoning_content, 'I ask.');
    assert.deepEqual([messages[2].tool_call_id, messages[2].content], ['call_1', 'It rains.']);
    assert.match(messages[3].content, /^Error: no city$/);
  });

  test('may choose its tools, and what it chose is passed on', async () => {
    const other = { name: 'other', input_schema: { type: 'object', properties: {} } };
    for (const [choice, wanted, names] of [[{ type: 'auto' }, 'auto', 2], [{ type: 'any' }, 'required', 2], [{ type: 'none' }, 'none', 2], [{ type: 'tool', name: 'get_weather' }, 'required', 1], [{ type: 'auto', disable_parallel_tool_use: true }, 'auto', 2]]) {
      const name = `choice-${choice.type}-${'disable_parallel_tool_use' in choice}`;
      await whole(say(`[[tokens=1 record=${name}]]`, { tools: [kTool, { type: 'custom', ...other }], tool_choice: choice }));
      const body = await recorded(gateway, name);
      assert.equal(body.tool_choice, wanted);
      assert.equal(body.tools.length, names);
      assert.deepEqual(body.tools[0].function.parameters, kWeatherSchema);
      if (choice.disable_parallel_tool_use) assert.equal(body.parallel_tool_calls, false);
    }
  });

  test('may show an image, which goes to the model that sees', async () => {
    const answer = await say([{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: kPng } }, { type: 'text', text: 'What is this? [[tokens=1]]' }], { model: 'auto' });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['x-gbgreg-role'], 'vision');
  });

  test('with an image somewhere else is refused, and nothing is fetched', async () => {
    let visits = 0;
    const server = http.createServer((request, response) => { ++visits; response.end(); });
    await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
    try {
      for (const source of [{ type: 'url', url: `http://127.0.0.1:${server.address().port}/x.png` }, { type: 'url', url: 'file:///etc/passwd' }, { type: 'file', file_id: '../../etc/passwd' }, { type: 'base64', media_type: 'image/png', data: '/etc/passwd' }]) {
        const answer = await say([{ type: 'image', source }], { model: 'vision' });
        assert.ok(answer.status === 400 || answer.status === 422, answer.text);
        assertAnthropicError(answer, answer.status);
      }
      assert.equal(visits, 0);
    } finally {
      server.close();
    }
  });

  for (const [field, value] of [
    ['max_tokens', 0], ['max_tokens', 'many'], ['messages', []], ['messages', 'Hello'], ['messages', [{ role: 'nobody', content: 'x' }]], ['messages', [{ role: 'user', content: [{ type: 'video' }] }]],
    ['temperature', 1.5], ['top_p', 2], ['top_k', -1], ['stop_sequences', [5]], ['stream', 'yes'], ['system', 5], ['tools', [{ input_schema: {} }]], ['tools', [{ type: 'web_search_20250305', name: 'web_search' }]],
    ['tool_choice', { type: 'sometimes' }], ['tool_choice', { type: 'tool', name: 'none of them' }], ['thinking', { type: 'hard' }], ['model', 7], ['thread', { type: 'create' }], ['tools', [{ name: 'x', input_schema: 5 }]], ['output_config', { format: { type: 'xml' } }],
  ]) {
    test(`with ${field} ${JSON.stringify(value)} is 400`, async () => {
      const error = assertAnthropicError(await say('Hello', { [field]: value }), 400, 'invalid_request_error');
      assert.ok(error.message.includes(field.replace(/s$/, '')), error.message);
    });
  }

  for (const [name, body] of bodiesThatAreNone((content) => asked(content))) {
    test(`whose body is ${name} is 400`, async () => {
      for (const target of ['/v1/messages', '/v1/messages/count_tokens']) {
        const answer = await post(body, { target });
        assertAnthropicError(answer, 400, 'invalid_request_error');
        assertIsText(answer);
      }
    });
  }

  test('that cannot be served has an error of Anthropic’s shape', async () => {
    assertAnthropicError(await say('Hello', { model: 'claude-sonnet-4-5' }), 404, 'not_found_error');
    assertAnthropicError(await say('word '.repeat(3000)), 400, 'invalid_request_error');
    assertAnthropicError(await say('[[status=500]]'), 502, 'api_error');
    const wrong = await gateway.request('GET', '/v1/messages');
    assertAnthropicError(wrong, 405);
    assert.equal(wrong.headers.allow, 'POST');
    assertAnthropicError(await gateway.request('POST', '/v1/messages/batches', { body: {} }), 404, 'not_found_error');
  });
});

describe('the real engine behind it', () => {
  let real;
  before(async () => {
    real = await startReal({ roles: { technical: null, documentation: null, vision: null } });
  });
  after(() => real?.dispose());
  const ask = (more, options) => post(asked('Tell me a story.', { temperature: 0, max_tokens: 8, ...more }), { to: real, ...options });

  test('answers the same whole and streamed, with the same counts as before', async () => {
    const { id, ...message } = await whole(ask());
    assert.equal(message.stop_reason, 'max_tokens');
    assert.equal(message.usage.output_tokens, 8);
    const { id: other, ...followed } = follow(await streamed(ask({ stream: true })));
    assert.deepEqual(followed, message);
    const { max_tokens: unused, ...counted } = asked('Tell me a story.');
    assert.deepEqual(await whole(post(counted, { to: real, target: '/v1/messages/count_tokens' })), { input_tokens: message.usage.input_tokens });
  });

  test('ends at a stop sequence, and says at which', async () => {
    const [{ text }] = (await whole(ask())).content;
    const stop = ` ${text.trim().split(' ')[2]}`;
    for (const message of [await whole(ask({ stop_sequences: ['zzz', stop] })), follow(await streamed(ask({ stop_sequences: ['zzz', stop], stream: true })))]) {
      assert.deepEqual([message.stop_reason, message.stop_sequence], ['stop_sequence', stop]);
      assert.equal(message.content[0].text, text.slice(0, text.indexOf(stop)));
    }
  });
});

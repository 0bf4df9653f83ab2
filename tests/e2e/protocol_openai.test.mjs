// OpenAI's protocol as its clients read it: what implementers commonly get wrong, each a test. Raw HTTP, because the
// official client forgives some of it.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';

import { parseEvents } from '../support/events.mjs';
import { startReal, startScripted } from '../support/gateway.mjs';
import { assertIsText, assertOpenAiError, bodiesThatAreNone, kCallsWeather, kCityArguments, kPng, kWeatherTool, recorded } from '../support/protocols.mjs';

let gateway;
before(async () => {
  gateway = await startScripted({ roles: { technical: { model: 'org/coder:6.7b' } } });
});
after(() => gateway?.dispose());

const asked = (content, more = {}) => ({ model: 'coordinator', messages: [{ role: 'user', content }], ...more });
const post = (target, body) => gateway.request('POST', target, { body });
const chat = (content, more) => post('/v1/chat/completions', asked(content, more));
const complete = (prompt, more) => post('/v1/completions', { model: 'coordinator', prompt, ...more });

async function streamed(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers['content-type'], /^text\/event-stream/);
  assert.ok(!('content-length' in answer.headers) && !('content-encoding' in answer.headers));
  const events = parseEvents(answer.text);
  for (const { event } of events) assert.equal(event, undefined, 'OpenAI’s events have no names');
  assert.equal(events.at(-1).data, '[DONE]', 'the last event');
  return events.slice(0, -1).map(({ data }) => data);
}
const stream = (content, more) => streamed(chat(content, { stream: true, ...more }));

async function whole(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
}

describe('a stream', () => {
  test('has no usage unless it was asked for', async () => {
    for (const more of [{}, { stream_options: null }, { stream_options: {} }, { stream_options: { include_usage: false } }]) {
      for (const chunk of await stream('[[tokens=3]]', more)) {
        assert.ok(!chunk.usage && chunk.choices.length === 1, JSON.stringify(chunk));
      }
    }
  });

  test('that was asked for usage has it in one last chunk without choices', async () => {
    const chunks = await stream('[[tokens=3]]', { stream_options: { include_usage: true } });
    const { usage } = chunks.at(-1);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    assert.ok(chunks.slice(0, -1).every((chunk) => !chunk.usage && chunk.choices.length === 1));
  });

  test('counts the same as the whole answer', async () => {
    for (const more of [{}, { max_tokens: 2 }]) {
      const chunks = await stream('one two three [[tokens=5]]', { ...more, stream_options: { include_usage: true } });
      assert.deepEqual(chunks.at(-1).usage, (await whole(chat('one two three [[tokens=5]]', more))).usage);
    }
  });

  test('has exactly one finish reason, which is null until then', async () => {
    for (const [content, more, wanted] of [['[[tokens=3]]', {}, 'stop'], ['[[tokens=3]]', { max_tokens: 2 }, 'length'], [kCallsWeather, { tools: [kWeatherTool] }, 'tool_calls']]) {
      const reasons = (await stream(content, more)).map((chunk) => chunk.choices[0].finish_reason);
      assert.deepEqual(reasons.slice(0, -1), reasons.slice(0, -1).map(() => null));
      assert.equal(reasons.at(-1), wanted);
      assert.equal((await whole(chat(content, more))).choices[0].finish_reason, wanted);
    }
  });

  test('begins with the role, which comes once', async () => {
    for (const [content, more] of [['[[tokens=3]]', {}], [kCallsWeather, { tools: [kWeatherTool] }], ['[[text="stop here"]]', { stop: ['stop'] }]]) {
      const roles = (await stream(content, more)).map((chunk) => chunk.choices[0].delta.role);
      assert.deepEqual(roles, ['assistant', ...roles.slice(1).map(() => undefined)]);
    }
  });

  test('keeps its id, its model and its time', async () => {
    const chunks = await stream('[[tokens=5 restamp=1]]', { stream_options: { include_usage: true } });
    for (const key of ['id', 'created', 'model', 'object']) assert.equal(new Set(chunks.map((chunk) => chunk[key])).size, 1, key);
    assert.equal(chunks[0].object, 'chat.completion.chunk');
    assert.equal(chunks[0].model, 'demo-coordinator');
    assert.ok(Math.abs(chunks[0].created - Date.now() / 1000) < 3600);
  });

  test('has the key logprobs even when there are none', async () => {
    for (const chunk of await stream('[[tokens=3]]')) assert.equal(chunk.choices[0].logprobs, null);
  });

  test('of tool calls has an index in every delta, id and name once, and arguments that join to JSON', async () => {
    const chunks = await stream(`[[tool=get_weather;get_weather tool_args='${kCityArguments};{"city":"Oslo"}']]`, { tools: [kWeatherTool] });
    const pieces = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
    for (const piece of pieces) assert.ok(Number.isInteger(piece.index), JSON.stringify(piece));
    for (const [index, wanted] of [kCityArguments, '{"city":"Oslo"}'].entries()) {
      const own = pieces.filter((piece) => piece.index === index);
      assert.ok(own[0].id && own[0].type === 'function' && own[0].function.name === 'get_weather');
      assert.ok(own.slice(1).every((piece) => !piece.id && !piece.function.name));
      assert.equal(own.map((piece) => piece.function.arguments ?? '').join(''), wanted);
    }
    assert.notEqual(pieces[0].id, pieces.at(-1).id);
  });

  test('has whole characters, though the worker cuts them in two', async () => {
    for (const way of ['split_utf8=1', 'dribble=1']) {
      const chunks = await stream(`[[text="größe 🙂 ende" ${way}]]`);
      assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join(''), 'größe 🙂 ende');
    }
  });

  test('that fails before its first token is an error with a status', async () => {
    for (const [directives, status] of [['status=500', 502], ['garbage=1', 502], ['close_after=0', 502], ['status=400', 400]]) {
      const answer = await chat(`[[${directives}]]`, { stream: true });
      assertOpenAiError(answer, status);
    }
  });

  test('that fails later ends with an error event and without [DONE]', async () => {
    const answer = await chat('[[tokens=5 error_after=2]]', { stream: true });
    assert.equal(answer.status, 200);
    const events = parseEvents(answer.text);
    assert.ok(events.at(-1).data.error.message, answer.text);
    assert.doesNotMatch(answer.text, /\[DONE\]/);
  });

  test('may follow another on the same connection', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const once = () => new Promise((resolve, reject) => {
      const sent = http.request({ port: gateway.port, host: '127.0.0.1', method: 'POST', path: '/v1/chat/completions', agent }, (response) => {
        let text = '';
        response.on('data', (piece) => { text += piece; }).on('end', () => resolve({ text, reused: sent.reusedSocket }));
      });
      sent.on('error', reject).end(JSON.stringify(asked('[[tokens=2]]', { stream: true })));
    });
    try {
      for (let i = 0; i < 20; ++i) {
        const { text, reused } = await once();
        assert.match(text, /\[DONE\]\n\n$/);
        assert.equal(reused, i > 0);
      }
    } finally {
      agent.destroy();
    }
  });
});

describe('a whole answer', () => {
  test('has the keys refusal and logprobs even when they are null', async () => {
    const [choice] = (await whole(chat('[[tokens=2]]'))).choices;
    assert.equal(choice.message.refusal, null);
    assert.equal(choice.logprobs, null);
    assert.deepEqual(Object.keys(choice).sort(), ['finish_reason', 'index', 'logprobs', 'message']);
  });

  test('has arguments of tool calls as a JSON string', async () => {
    const { message } = (await whole(chat(kCallsWeather, { tools: [kWeatherTool] }))).choices[0];
    assert.equal(typeof message.tool_calls[0].function.arguments, 'string');
    assert.equal(message.tool_calls[0].function.arguments, kCityArguments);
    assert.ok(message.tool_calls[0].id && message.tool_calls[0].type === 'function');
  });

  test('has no part of a stop sequence in it, nor has a stream', async () => {
    for (const stop of [[' three'], ['zzz', ' thr'], [' th'], [' three four']]) {
      const content = '[[text="one two three four"]]';
      const { choices: [choice] } = await whole(chat(content, { stop }));
      assert.equal(choice.message.content, 'one two');
      assert.equal(choice.finish_reason, 'stop');
      const chunks = await stream(content, { stop });
      assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join(''), 'one two');
    }
    const { choices: [choice] } = await whole(chat('[[text="one two three"]]', { stop: ' two' }));
    assert.equal(choice.message.content, 'one', 'a single string');
  });

  test('never shows what the worker was only asked for by the gateway', async () => {
    for (const more of [{ stop: ['x'] }, { verbose: true }]) {
      assert.doesNotMatch((await chat('[[tokens=2]]', more)).text, /__verbose/);
      assert.doesNotMatch((await chat('[[tokens=2]]', { ...more, stream: true })).text, /__verbose/);
    }
  });

  test('has probabilities when they were asked for, whole and streamed', async () => {
    for (const [more, others] of [[{ logprobs: true }, undefined], [{ logprobs: true, top_logprobs: 0 }, undefined], [{ logprobs: true, top_logprobs: 2 }, 2]]) {
      const inWhole = (await whole(chat('[[text="one two"]]', more))).choices[0].logprobs;
      const inStream = (await stream('[[text="one two"]]', more)).flatMap((chunk) => chunk.choices[0].logprobs?.content ?? []);
      for (const content of [inWhole?.content, inStream]) {
        assert.deepEqual(content?.map((entry) => entry.token), ['one', ' two'], JSON.stringify(more));
        for (const entry of content) {
          assert.ok(entry.logprob <= 0 && Array.isArray(entry.bytes) && Array.isArray(entry.top_logprobs));
          if (others) assert.equal(entry.top_logprobs.length, others);
        }
      }
    }
  });
});

describe('a request', () => {
  test('for more than one answer is refused and not ignored', async () => {
    assertOpenAiError(await chat('Hello', { n: 2 }), 400, { param: 'n' });
    assertOpenAiError(await complete('Hello', { n: 3 }), 400, { param: 'n' });
    assert.equal((await chat('[[tokens=1]]', { n: 1 })).status, 200);
  });

  test('may say max_completion_tokens, which counts before max_tokens', async () => {
    for (const more of [{ max_completion_tokens: 2 }, { max_tokens: 2 }, { max_tokens: 4, max_completion_tokens: 2 }]) {
      const { usage, choices } = await whole(chat('[[tokens=5]]', more));
      assert.equal(usage.completion_tokens, 2, JSON.stringify(more));
      assert.equal(choices[0].finish_reason, 'length');
    }
  });

  test('with null for every field is one that does not set it', async () => {
    const fields = ['temperature', 'top_p', 'n', 'stream', 'stream_options', 'stop', 'max_tokens', 'max_completion_tokens', 'presence_penalty', 'frequency_penalty', 'logit_bias',
      'logprobs', 'top_logprobs', 'user', 'seed', 'tools', 'tool_choice', 'parallel_tool_calls', 'response_format', 'reasoning_effort', 'modalities', 'functions', 'function_call',
      'metadata', 'store', 'service_tier', 'prediction', 'audio', 'web_search_options'];
    const answer = await chat('[[tokens=2 record=nulls]]', Object.fromEntries(fields.map((field) => [field, null])));
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(Object.keys(await recorded(gateway, 'nulls')).sort(), ['messages', 'model']);
  });

  test('may have its content as an array of parts', async () => {
    const parts = [{ type: 'text', text: 'one ' }, { type: 'text', text: 'two [[echo=1]]' }];
    const { choices: [choice] } = await whole(chat(parts));
    assert.deepEqual(JSON.parse(choice.message.content).messages[0].content, parts);
  });

  test('may speak as developer, as a tool and as an assistant that called it', async () => {
    const calls = [{ id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: kCityArguments } }];
    const { choices: [choice] } = await whole(post('/v1/chat/completions', { model: 'coordinator', tools: [kWeatherTool], messages: [
      { role: 'developer', content: 'Be short.' },
      { role: 'user', content: 'How is it in São Paulo?' },
      { role: 'assistant', content: null, tool_calls: calls },
      { role: 'tool', tool_call_id: 'call_1', content: 'It rains. [[text="It rains." record=roles]]' },
    ] }));
    assert.equal(choice.message.content, 'It rains.');
    const { messages } = await recorded(gateway, 'roles');
    assert.deepEqual(messages.map((message) => message.role), ['system', 'user', 'assistant', 'tool'], 'chat templates know no developers');
    assert.deepEqual(messages[2].tool_calls, calls);
    assert.equal(messages[3].tool_call_id, 'call_1');
  });

  test('may choose its tools, and what it chose is passed on', async () => {
    const other = { type: 'function', function: { name: 'other', parameters: { type: 'object', properties: {} } } };
    for (const [choice, wanted, names] of [['auto', 'auto', 2], ['none', 'none', 2], ['required', 'required', 2], [{ type: 'function', function: { name: 'get_weather' } }, 'required', 1]]) {
      const name = `choice-${JSON.stringify(choice).replaceAll(/\W/g, '')}`;
      await whole(chat(`[[tokens=1 record=${name}]]`, { tools: [kWeatherTool, other], tool_choice: choice, parallel_tool_calls: false }));
      const body = await recorded(gateway, name);
      assert.equal(body.tool_choice, wanted);
      assert.equal(body.tools.length, names);
      assert.deepEqual(body.tools[0], kWeatherTool);
      assert.equal(body.parallel_tool_calls, false);
    }
  });

  test('for JSON or a schema is passed on as it is', async () => {
    const schema = { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema: kWeatherTool.function.parameters } };
    for (const [name, format] of [['json', { type: 'json_object' }], ['schema', schema]]) {
      await whole(chat(`[[tokens=1 record=format-${name}]]`, { response_format: format }));
      assert.deepEqual((await recorded(gateway, `format-${name}`)).response_format, format);
    }
  });

  test('is passed on with every setting that it has', async () => {
    const settings = { temperature: 1, top_p: 0.5, presence_penalty: -1, frequency_penalty: 0.25, logit_bias: { 5: -100 }, seed: 7, max_tokens: 3, stop: ['zzz'], top_k: 40, min_p: 0, typical_p: 1, repeat_penalty: 1.1 };
    await whole(chat('[[tokens=1 record=settings]]', settings));
    const { model, messages, ...passed } = await recorded(gateway, 'settings');
    assert.deepEqual(passed, settings);
    for (const [name, value] of Object.entries(settings)) {
      await whole(chat(`[[tokens=1 record=setting-${name}]]`, { [name]: value }));
      assert.deepEqual((await recorded(gateway, `setting-${name}`))[name], value);
    }
  });

  test('may have fields that nobody knows', async () => {
    const answer = await chat('[[tokens=1 record=unknown]]', { a_field_of_tomorrow: { x: [1] }, user: 'u', metadata: { a: 'b' }, store: true, service_tier: 'auto', safety_identifier: 's', prompt_cache_key: 'k' });
    assert.equal(answer.status, 200, answer.text);
    assert.ok(!('a_field_of_tomorrow' in await recorded(gateway, 'unknown')));
  });

  for (const [field, value] of [
    ['temperature', 2.1], ['temperature', '1'], ['top_p', -0.1], ['top_p', 1.5], ['max_tokens', 0], ['max_tokens', -1], ['max_tokens', 1.5], ['max_completion_tokens', 'many'],
    ['presence_penalty', 3], ['frequency_penalty', -2.5], ['stop', 5], ['stop', [1]], ['seed', 'x'], ['stream', 'yes'], ['messages', []], ['messages', 'Hello'], ['messages', [{ content: 'x' }]],
    ['messages', [{ role: 'nobody', content: 'x' }]], ['messages', [{ role: 'user' }]], ['messages', [{ role: 'user', content: 5 }]], ['messages', [{ role: 'user', content: [{ type: 'video' }] }]],
    ['tools', [{ type: 'function' }]], ['tools', 'all'], ['tool_choice', 'sometimes'], ['tool_choice', { type: 'function', function: { name: 'none of them' } }], ['response_format', { type: 'xml' }], ['logprobs', 1],
    ['top_logprobs', 50], ['logit_bias', 3], ['model', 7], ['n', 0], ['functions', [{ name: 'f' }]], ['modalities', ['audio']], ['reasoning_effort', 'extreme'],
  ]) {
    test(`with ${field} ${JSON.stringify(value)} is 400, because a 500 would be sent three times`, async () => {
      const answer = await chat('Hello', { [field]: value });
      const error = assertOpenAiError(answer, 400);
      assert.ok(`${error.param} ${error.message}`.includes(field), answer.text);
    });
  }

  for (const [name, body] of bodiesThatAreNone((content) => asked(content))) {
    for (const target of ['/v1/chat/completions', '/v1/completions']) {
      test(`whose body is ${name} is 400 on ${target}`, async () => {
        const answer = await post(target, body);
        assertOpenAiError(answer, 400);
        assertIsText(answer);
      });
    }
  }

  test('is read whatever its content type says', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'text/plain']) {
      const answer = await gateway.request('POST', '/v1/chat/completions', { body: JSON.stringify(asked('[[tokens=1]]')), headers: { 'content-type': type } });
      assert.equal(answer.status, 200, answer.text);
    }
  });

  test('longer than the context is 400', async () => {
    const error = assertOpenAiError(await chat('word '.repeat(3000)), 400);
    assert.match(error.message, /context/);
    assertOpenAiError(await chat('word '.repeat(3000), { stream: true }), 400);
  });

  test('for a model that nobody has is 404', async () => {
    for (const model of ['gpt-4o', 'none/of:these']) {
      assertOpenAiError(await chat('Hello', { model }), 404, { code: 'model_not_found' });
      assertOpenAiError(await chat('Hello', { model, stream: true }), 404);
    }
  });

  test('by a wrong method is 405 and says which are right', async () => {
    for (const [method, target, allow] of [['GET', '/v1/chat/completions', 'POST'], ['PUT', '/v1/completions', 'POST'], ['POST', '/v1/models', 'GET, HEAD'], ['DELETE', '/v1/models/x', 'GET, HEAD']]) {
      const answer = await gateway.request(method, target);
      assertOpenAiError(answer, 405);
      assert.equal(answer.headers.allow, allow);
    }
  });

  test('for a path that is not there is an error of OpenAI’s shape', async () => {
    assertOpenAiError(await post('/v1/audio/speech', {}), 404);
  });

  test('has x-request-id on every answer, the client’s own if it sent one', async () => {
    const own = { 'x-request-id': 'my-own-id-1' };
    for (const ask of [['POST', '/v1/chat/completions', { body: asked('[[tokens=1]]') }], ['POST', '/v1/chat/completions', { body: asked('[[tokens=1]]', { stream: true }) }],
      ['POST', '/v1/chat/completions', { body: '{' }], ['GET', '/v1/models', {}], ['GET', '/v1/nothing', {}], ['PUT', '/v1/models', {}]]) {
      const [method, target, options] = ask;
      assert.match((await gateway.request(method, target, options)).headers['x-request-id'], /^[0-9a-f-]{36}$/);
      assert.equal((await gateway.request(method, target, { ...options, headers: own })).headers['x-request-id'], 'my-own-id-1');
    }
  });

  test('tells the routing decision in its headers', async () => {
    const { headers } = await chat('[[tokens=1]]', { model: 'auto' });
    for (const name of ['role', 'model', 'backend', 'complexity', 'reason']) assert.ok(headers[`x-gbgreg-${name}`], name);
  });
});

describe('an image', () => {
  const image = (url) => [{ type: 'text', text: 'What is this? [[tokens=2]]' }, { type: 'image_url', image_url: url }];

  test('that is a data URL goes to the model that sees', async () => {
    const answer = await chat(image({ url: `data:image/png;base64,${kPng}`, detail: 'low' }), { model: 'auto' });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['x-gbgreg-role'], 'vision');
  });

  test('that names a file or a host is refused and never fetched', async () => {
    let visits = 0;
    const server = http.createServer((request, response) => { ++visits; response.end(); });
    await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
    const { port } = server.address();
    try {
      for (const url of [`http://127.0.0.1:${port}/image.png`, `https://127.0.0.1:${port}/x`, 'file:///etc/passwd', '/etc/passwd', `//127.0.0.1:${port}/x`, 'data:image/png,plain', 'ftp://x/y', '']) {
        for (const value of [{ url }, url]) assertOpenAiError(await chat(image(value), { model: 'vision' }), 400);
      }
      assert.equal(visits, 0);
    } finally {
      server.close();
    }
  });

  test('to a model that does not see is the client’s mistake', async () => {
    const answer = await chat(image({ url: `data:image/png;base64,${kPng}` }), { model: 'coordinator' });
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.text}`);
    assertOpenAiError(answer, answer.status);
  });

  test('that is none is the client’s mistake', async () => {
    const answer = await chat(image({ url: `data:image/png;base64,${Buffer.from('only text').toString('base64')}` }), { model: 'vision' });
    assert.ok(answer.status === 400 || answer.status === 422, `${answer.status} ${answer.text}`);
  });
});

describe('the older completions', () => {
  test('answer with text, whole and streamed, and the same counts', async () => {
    const prompt = 'Say it. [[text="one two" restamp=1]]';
    const body = await whole(complete(prompt));
    assert.equal(body.object, 'text_completion');
    assert.deepEqual(body.choices, [{ text: 'one two', index: 0, logprobs: null, finish_reason: 'stop' }]);
    const chunks = await streamed(complete(prompt, { stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? '').join(''), 'one two');
    assert.equal(new Set(chunks.map((chunk) => `${chunk.id} ${chunk.created} ${chunk.object}`)).size, 1);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.deepEqual(chunks.at(-1).usage, body.usage);
  });

  test('have ids of their own', async () => {
    assert.match((await whole(complete('[[tokens=1]]'))).id, /^cmpl-\w+$/);
    for (const chunk of await streamed(complete('[[tokens=2]]', { stream: true, stream_options: { include_usage: true } }))) assert.match(chunk.id, /^cmpl-\w+$/);
    assert.match((await whole(chat('[[tokens=1]]'))).id, /^chatcmpl-\w+$/);
  });

  test('have probabilities in a shape of their own, whole and streamed', async () => {
    for (const [top, others] of [[0, 1], [1, 1], [3, 3]]) {
      const { choices: [{ logprobs }] } = await whole(complete('[[text="one two"]]', { logprobs: top }));
      assert.deepEqual([logprobs.tokens, logprobs.text_offset], [['one', ' two'], [0, 3]]);
      for (const [i, token] of logprobs.tokens.entries()) {
        assert.ok(logprobs.token_logprobs[i] <= 0);
        assert.equal(logprobs.top_logprobs[i][token], logprobs.token_logprobs[i]);
        assert.equal(Object.keys(logprobs.top_logprobs[i]).length, others);
      }
      const parts = (await streamed(complete('[[text="one two"]]', { logprobs: top, stream: true }))).map((chunk) => chunk.choices[0].logprobs).filter(Boolean);
      const joined = Object.fromEntries(Object.keys(logprobs).map((key) => [key, parts.flatMap((part) => part[key])]));
      assert.deepEqual(joined, logprobs);
    }
  });

  test('have no usage in a stream unless it was asked for', async () => {
    for (const chunk of await streamed(complete('[[tokens=3]]', { stream: true }))) {
      assert.ok(!chunk.usage && chunk.choices.length === 1, JSON.stringify(chunk));
    }
  });

  test('stop, end at a length, and say so once', async () => {
    for (const [more, text, reason] of [[{ stop: ' two' }, 'one', 'stop'], [{ max_tokens: 1 }, 'one', 'length'], [{}, 'one two', 'stop']]) {
      const [choice] = (await whole(complete('[[text="one two"]]', more))).choices;
      assert.deepEqual([choice.text, choice.finish_reason], [text, reason]);
      const chunks = await streamed(complete('[[text="one two"]]', { ...more, stream: true }));
      assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), text);
      assert.deepEqual(chunks.map((chunk) => chunk.choices[0].finish_reason).filter(Boolean), [reason]);
    }
  });

  test('take one prompt, also in an array, and refuse what they cannot do', async () => {
    assert.equal((await complete(['[[tokens=1]]'])).status, 200);
    for (const [prompt, more] of [[['a', 'b'], {}], [[1, 2], {}], [5, {}], [undefined, {}], ['x', { echo: true }], ['x', { suffix: 'y' }], ['x', { best_of: 2 }], ['x', { logprobs: 50 }]]) {
      assertOpenAiError(await complete(prompt, more), 400);
    }
  });
});

describe('the list of models', () => {
  test('has every name that a request may give, and each can be looked up', async () => {
    const list = (await gateway.get('/v1/models')).json();
    assert.equal(list.object, 'list');
    const ids = list.data.map((model) => model.id);
    for (const id of ['auto', 'coordinator', 'demo-coordinator', 'technical', 'org/coder:6.7b']) assert.ok(ids.includes(id), id);
    assert.equal(new Set(ids).size, ids.length);
    for (const model of list.data) {
      assert.deepEqual(Object.keys(model).sort(), ['created', 'id', 'object', 'owned_by']);
      assert.equal(model.object, 'model');
      assert.ok(Number.isInteger(model.created));
      assert.deepEqual((await gateway.get(`/v1/models/${encodeURIComponent(model.id)}`)).json(), model);
    }
  });

  test('finds names with a slash and a colon, escaped or not', async () => {
    for (const path of ['org/coder:6.7b', 'org%2Fcoder%3A6.7b', 'org/coder%3A6.7b']) {
      const answer = await gateway.get(`/v1/models/${path}`);
      assert.equal(answer.status, 200, `${path} ${answer.text}`);
      assert.equal(answer.json().id, 'org/coder:6.7b');
    }
    assert.equal((await chat('[[tokens=1]]', { model: 'org/coder:6.7b' })).status, 200);
  });

  test('says 404 for a name that is not there', async () => {
    assertOpenAiError(await gateway.get('/v1/models/none'), 404, { code: 'model_not_found' });
    assertOpenAiError(await gateway.get('/v1/models/..%2f..%2fetc%2fpasswd'), 404);
  });

  test('answers HEAD as GET without a body', async () => {
    for (const path of ['/v1/models', '/v1/models/auto']) {
      const head = await gateway.request('HEAD', path);
      assert.equal(head.status, 200);
      assert.equal(head.text, '');
      assert.equal(head.headers['content-length'], (await gateway.get(path)).headers['content-length']);
    }
  });
});

describe('the real engine behind it', () => {
  let real;
  before(async () => {
    real = await startReal({ roles: { technical: null, documentation: null } });
  });
  after(() => real?.dispose());
  const ask = (body, target = '/v1/chat/completions') => real.request('POST', target, { body: { seed: 1, temperature: 0, max_tokens: 8, ...body } });

  test('answers the same whole and streamed, with the same counts', async () => {
    for (const [target, body, textOf] of [
      ['/v1/chat/completions', asked('Hello'), (choice) => (choice.message ?? choice.delta).content ?? ''],
      ['/v1/completions', { model: 'coordinator', prompt: 'Hello' }, (choice) => choice.text],
    ]) {
      const answer = await whole(ask(body, target));
      const chunks = await streamed(ask({ ...body, stream: true, stream_options: { include_usage: true } }, target));
      assert.equal(chunks.map((chunk) => (chunk.choices[0] ? textOf(chunk.choices[0]) : '')).join(''), textOf(answer.choices[0]));
      assert.deepEqual(chunks.at(-1).choices, []);
      const { prompt_tokens_details: details, ...counts } = chunks.at(-1).usage;
      assert.deepEqual(counts, Object.fromEntries(Object.keys(counts).map((key) => [key, answer.usage[key]])));
      assert.equal(counts.completion_tokens, 8);
    }
  });

  test('has probabilities when they were asked for', async () => {
    for (const more of [{ logprobs: true }, { logprobs: true, top_logprobs: 2 }]) {
      const { content } = (await whole(ask(asked('Hello', more)))).choices[0].logprobs ?? {};
      assert.equal(content?.length, 8, JSON.stringify(more));
      const inStream = (await streamed(ask(asked('Hello', { ...more, stream: true })))).flatMap((chunk) => chunk.choices[0].logprobs?.content ?? []);
      assert.deepEqual(inStream.map((entry) => entry.token), content.map((entry) => entry.token));
    }
  });

  test('has the older completions’ probabilities, the same whole and streamed', async () => {
    const more = { model: 'coordinator', prompt: 'Hello', max_tokens: 6, temperature: 0, logprobs: 2 };
    const completion = await whole(real.request('POST', '/v1/completions', { body: more }));
    assert.match(completion.id, /^cmpl-/);
    const [{ text, logprobs }] = completion.choices;
    // A random model may end in half a character, so the tokens need not join to the text.
    for (const key of ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset']) assert.equal(logprobs[key].length, 6, key);
    assert.ok(text.startsWith(logprobs.tokens[0]) && logprobs.text_offset[0] === 0 && logprobs.text_offset[1] > 0);
    const parts = (await streamed(real.request('POST', '/v1/completions', { body: { ...more, stream: true } }))).map((chunk) => chunk.choices[0].logprobs).filter(Boolean);
    assert.deepEqual(parts.flatMap((part) => part.tokens), logprobs.tokens);
    assert.deepEqual(parts.flatMap((part) => part.text_offset), logprobs.text_offset);
  });

  test('obeys a schema and stops where it is told to', async () => {
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'], additionalProperties: false };
    const made = await whole(ask({ ...asked('JSON, please.'), max_tokens: 100, response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }));
    assert.equal(typeof JSON.parse(made.choices[0].message.content).ok, 'boolean');
    const text = (await whole(ask(asked('Hello')))).choices[0].message.content;
    const stop = ` ${text.trim().split(' ')[2]}`;
    const { choices: [choice] } = await whole(ask(asked('Hello', { stop: [stop] })));
    assert.equal(choice.message.content, text.slice(0, text.indexOf(stop)));
    assert.equal(choice.finish_reason, 'stop');
  });

  test('sees an image', async () => {
    const answer = await ask({ model: 'auto', messages: [{ role: 'user', content: [{ type: 'text', text: 'What is this?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${kPng}` } }] }] });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['x-gbgreg-role'], 'vision');
  });

  test('is never blamed for what a client sent', async () => {
    for (const [body, statuses] of [[asked('word '.repeat(9000)), [400]], [{ ...asked('x'), model: 'gpt-4o' }, [404]], [asked('x', { temperature: 9 }), [400]],
      [asked('x', { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'nonsense' } } } }), [400]],
      ...[0, 40, 100_000].map((top_k) => [asked('x', { top_k, max_tokens: 2 }), [200]]),
      ...[{ 1: -100 }, { 999999999: 5 }, [[1, 2]], { x: 'y' }].map((logit_bias) => [asked('x', { logit_bias, max_tokens: 2 }), [200, 400]]),
      [asked('x', { seed: -1, temperature: 0, top_p: 0, min_p: 1, max_tokens: 2 }), [200]],
      [asked([{ type: 'image_url', image_url: { url: `data:image/png;base64,${kPng}` } }], { model: 'coordinator' }), [400, 422]]]) {
      const answer = await real.request('POST', '/v1/chat/completions', { body });
      assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
    }
  });
});

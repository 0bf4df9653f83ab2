// Ollama's protocol as its clients read it: what implementers commonly get wrong, each a test. /api/generate has more
// tests of its own in generate.test.mjs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startReal, startScripted } from '../support/gateway.mjs';
import { parseLines } from '../support/http.mjs';
import { assertIsText, bodiesThatAreNone, kCallsWeather, kCityArguments, kPng, kWeatherTool, recorded } from '../support/protocols.mjs';

const kCounts = ['total_duration', 'load_duration', 'prompt_eval_count', 'prompt_eval_duration', 'eval_count', 'eval_duration'];

let gateway;
before(async () => {
  gateway = await startScripted({ roles: { technical: { model: 'coder:latest' }, documentation: { model: 'writer:7b' } } });
});
after(() => gateway?.dispose());

const asked = (content, more = {}) => ({ model: 'coordinator', messages: [{ role: 'user', content }], ...more });
const post = (target, body, to = gateway) => to.request('POST', target, { body });
const chat = (content, more) => post('/api/chat', asked(content, more));

async function whole(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers['content-type'], /^application\/json/);
  return answer.json();
}

// The lines of a stream of /api/chat, after a look at what all of them have.
async function streamed(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers['content-type'], /^application\/x-ndjson/);
  assert.ok(!('content-length' in answer.headers) && !('content-encoding' in answer.headers));
  const lines = parseLines(answer.text);
  for (const [i, line] of lines.entries()) {
    const isLast = i === lines.length - 1;
    assert.equal(line.done, isLast, 'done on the last line and on no other');
    assert.equal(typeof line.message.content, 'string', 'every line has message.content');
    assert.equal(line.message.role, 'assistant');
    assert.ok(!Number.isNaN(Date.parse(line.created_at)) && line.model);
    for (const count of kCounts) assert.equal(count in line, isLast, `${count} on the last line only`);
    assert.equal('done_reason' in line, isLast);
  }
  return lines;
}
const textOf = (lines) => lines.map((line) => line.message.content).join('');

function assertOllamaError(answer, status) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'], /^application\/json/);
  const { error } = answer.json();
  assert.equal(typeof error, 'string', answer.text);
  return error;
}

describe('/api/chat', () => {
  test('streams unless it is told not to', async () => {
    for (const more of [{}, { stream: null }, { stream: true }]) assert.equal(textOf(await streamed(chat('[[text="one two"]]', more))), 'one two');
    const body = await whole(chat('[[text="one two"]]', { stream: false }));
    assert.equal(body.done, true);
    assert.deepEqual(body.message, { role: 'assistant', content: 'one two' });
  });

  test('counts the same whole and streamed, and the final line is never missing', async () => {
    for (const [content, more, reason] of [['[[tokens=5]]', {}, 'stop'], ['[[tokens=5]]', { options: { num_predict: 2 } }, 'length'], [kCallsWeather, { tools: [kWeatherTool] }, 'stop'], ['[[text="one two"]]', { options: { stop: ['one'] } }, 'stop']]) {
      const last = (await streamed(chat(content, more))).at(-1);
      const body = await whole(chat(content, { ...more, stream: false }));
      for (const line of [last, body]) assert.equal(line.done_reason, reason, content);
      for (const count of ['prompt_eval_count', 'eval_count']) assert.equal(last[count], body[count]);
    }
  });

  test('has durations in nanoseconds that the wall clock can believe', async () => {
    const begun = process.hrtime.bigint();
    const body = await whole(chat('[[tokens=5 delay_ms=10 prefill_ms=30]]', { stream: false }));
    const took = Number(process.hrtime.bigint() - begun);
    for (const name of ['total_duration', 'load_duration', 'prompt_eval_duration', 'eval_duration']) assert.ok(Number.isInteger(body[name]) && body[name] >= 0, `${name}: ${body[name]}`);
    assert.ok(body.total_duration <= took, 'no longer than it took');
    assert.ok(body.total_duration >= 30e6 + 4 * 10e6, 'no shorter than the engine was told to take');
    assert.ok(body.load_duration + body.prompt_eval_duration + body.eval_duration <= body.total_duration, JSON.stringify(body));
  });

  test('has arguments of tool calls as an object, in one piece, whole and streamed', async () => {
    const content = `[[text="Let me see." tool=get_weather;get_weather tool_args='${kCityArguments};{}']]`;
    const lines = await streamed(chat(content, { tools: [kWeatherTool] }));
    const body = await whole(chat(content, { tools: [kWeatherTool], stream: false }));
    for (const calls of [lines.flatMap((line) => line.message.tool_calls ?? []), body.message.tool_calls]) {
      assert.deepEqual(calls.map((call) => call.function.name), ['get_weather', 'get_weather']);
      assert.deepEqual(calls.map((call) => call.function.arguments), [JSON.parse(kCityArguments), {}]);
    }
    assert.equal(textOf(lines), 'Let me see.');
    assert.equal(body.message.content, 'Let me see.');
    assert.equal(lines.at(-1).message.tool_calls, undefined, 'clients that stop at done have seen them before');
  });

  test('hears what a tool said, by its name or by the id of the call', async () => {
    const calls = [{ id: 'call_1', function: { name: 'get_weather', arguments: JSON.parse(kCityArguments) } }];
    await whole(post('/api/chat', { model: 'coordinator', stream: false, tools: [kWeatherTool], messages: [
      { role: 'user', content: 'How is it?' },
      { role: 'assistant', content: '', tool_calls: calls },
      { role: 'tool', tool_name: 'get_weather', tool_call_id: 'call_1', content: 'It rains. [[tokens=1 record=tool]]' },
    ] }));
    const { messages } = await recorded(gateway, 'tool');
    assert.equal(typeof messages[1].tool_calls[0].function.arguments, 'string', 'the engine wants a JSON string');
    assert.deepEqual(JSON.parse(messages[1].tool_calls[0].function.arguments), JSON.parse(kCityArguments));
    assert.equal(messages[2].role, 'tool');
  });

  test('thinks in a field of its own, and only if it may', async () => {
    const content = '[[thinking="well then" text="one two"]]';
    const lines = await streamed(chat(content, { think: true }));
    assert.equal(lines.map((line) => line.message.thinking ?? '').join(''), 'well then');
    assert.equal(textOf(lines), 'one two');
    assert.equal((await whole(chat(content, { think: true, stream: false }))).message.thinking, 'well then');
    for (const [think, wanted] of [[true, true], [false, false], ['high', true]]) {
      await whole(chat(`[[tokens=1 record=think-${think}]]`, { think, stream: false }));
      assert.deepEqual((await recorded(gateway, `think-${think}`)).chat_template_kwargs, { enable_thinking: wanted });
    }
    assertOllamaError(await chat('Hello', { think: 'extremely' }), 400);
  });

  test('has whole characters, though the worker cuts them in two', async () => {
    for (const way of ['split_utf8=1', 'dribble=1']) assert.equal(textOf(await streamed(chat(`[[text="größe 🙂 ende" ${way}]]`))), 'größe 🙂 ende');
  });

  test('takes JSON or a schema as format, and nothing else', async () => {
    const schema = kWeatherTool.function.parameters;
    for (const [name, format, wanted] of [['json', 'json', { type: 'json_object' }], ['schema', schema, { type: 'json_schema', schema }], ['none', '', undefined]]) {
      await whole(chat(`[[tokens=1 record=format-${name}]]`, { format, stream: false }));
      const sent = (await recorded(gateway, `format-${name}`)).response_format;
      assert.equal(sent?.type, wanted?.type);
      assert.deepEqual(sent?.json_schema?.schema, wanted?.schema);
    }
    for (const format of ['xml', 5, ['json']]) assertOllamaError(await chat('Hello', { format }), 400);
  });

  test('takes images as bare base64, and refuses anything that would have to be fetched', async () => {
    const ask = (images) => post('/api/chat', { stream: false, messages: [{ role: 'user', content: 'What is this? [[tokens=1]]', images }], model: 'auto' });
    const answer = await ask([kPng]);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['x-gbgreg-role'], 'vision');
    for (const image of [`data:image/png;base64,${kPng}`, 'http://127.0.0.1:1/x.png', '/etc/passwd', './image.png', '']) {
      const refused = await ask([image]);
      assert.ok(refused.status === 400 || refused.status === 422, `${image}: ${refused.status}`);
      assertOllamaError(refused, refused.status);
    }
  });

  test('takes keep_alive in every form that Ollama does', async () => {
    for (const keep_alive of ['5m', '1h30m', '300ms', '24h', '-1', '-1s', '0', 300, 0.5, -1, 0, null]) {
      const answer = await chat('[[tokens=1]]', { keep_alive, stream: false });
      assert.equal(answer.status, keep_alive === '-1' ? 400 : 200, `${keep_alive}: ${answer.text}`);
    }
    for (const keep_alive of ['soon', '5', '5x', {}, true]) assertOllamaError(await chat('Hello', { keep_alive }), 400);
  });

  test('of nothing loads the model and says so', async () => {
    for (const [target, body] of [['/api/chat', { messages: [] }], ['/api/chat', {}], ['/api/generate', {}], ['/api/generate', { prompt: '' }]]) {
      for (const stream of [true, false]) {
        const answer = await post(target, { model: 'coordinator', stream, ...body });
        assert.equal(answer.status, 200, answer.text);
        const line = JSON.parse(answer.text);
        assert.equal(line.done, true);
        assert.equal(line.done_reason, 'load');
        if (target === '/api/chat') assert.equal(line.message.content, '');
        if (target === '/api/generate') assert.equal(line.response, '');
      }
    }
  });

  test('passes the options on, and knows which are out of range', async () => {
    await whole(chat('[[tokens=1 record=options]]', { stream: false, options: { temperature: 0.5, top_k: 40, top_p: 0.9, min_p: 0.1, seed: 42, num_predict: 10, stop: ['END'], repeat_penalty: 1.1, num_ctx: 8192, an_option_of_tomorrow: 1 } }));
    const body = await recorded(gateway, 'options');
    for (const [name, value] of Object.entries({ temperature: 0.5, top_k: 40, top_p: 0.9, min_p: 0.1, seed: 42, max_tokens: 10, repeat_penalty: 1.1 })) assert.equal(body[name], value, name);
    assert.deepEqual(body.stop, ['END']);
    assert.ok(!('num_ctx' in body) && !('an_option_of_tomorrow' in body));
    for (const options of [{ temperature: -1 }, { temperature: 'hot' }, { top_p: 2 }, { top_k: -5 }, { num_predict: -7 }, { stop: 5 }, []]) assertOllamaError(await chat('Hello', { options }), 400);
  });

  test('refuses raw prompts instead of ignoring that they were asked for', async () => {
    assertOllamaError(await post('/api/generate', { model: 'coordinator', prompt: 'x', raw: true }), 422);
    assert.equal((await post('/api/generate', { model: 'coordinator', prompt: '[[tokens=1]]', raw: false })).status, 200);
  });

  test('may have fields that nobody knows, and null for those that it does not set', async () => {
    const answer = await chat('[[tokens=1]]', { a_field_of_tomorrow: [1], options: null, format: null, tools: null, think: null, stream: false });
    assert.equal(answer.status, 200, answer.text);
  });

  for (const [name, body] of bodiesThatAreNone((content) => asked(content))) {
    test(`with a body that is ${name} is 400, and the error a text`, async () => {
      for (const target of ['/api/chat', '/api/show']) {
        const answer = await post(target, body);
        assertOllamaError(answer, 400);
        assertIsText(answer);
      }
    });
  }

  test('that cannot be served is an error with a text', async () => {
    assert.match(assertOllamaError(await chat('Hello', { model: 'none' }), 404), /none/);
    assertOllamaError(await chat('word '.repeat(3000)), 400);
    assertOllamaError(await chat('[[status=500]]'), 502);
    assertOllamaError(await chat('[[garbage=1]]'), 502);
    for (const messages of ['Hello', [{ content: 'x' }], [{ role: 'nobody', content: 'x' }], [{ role: 'user', content: 5 }]]) assertOllamaError(await chat('', { messages }), 400);
  });

  test('by a wrong method is 405 and says which are right', async () => {
    for (const [method, target, allow] of [['GET', '/api/chat', 'POST'], ['POST', '/api/tags', 'GET, HEAD'], ['DELETE', '/api/ps', 'GET, HEAD'], ['GET', '/api/show', 'POST']]) {
      const answer = await gateway.request(method, target);
      assertOllamaError(answer, 405);
      assert.equal(answer.headers.allow, allow);
    }
  });

  test('that breaks off ends with a line that has an error', async () => {
    const answer = await chat('[[tokens=5 error_after=2]]');
    assert.equal(answer.status, 200);
    const lines = parseLines(answer.text);
    assert.equal(typeof lines.at(-1).error, 'string');
    assert.ok(lines.slice(0, -1).every((line) => line.done === false));
  });
});

describe('a model', () => {
  test('without a tag is the one that is the latest', async () => {
    for (const [name, wanted] of [['coder', 'coder:latest'], ['coder:latest', 'coder:latest'], ['writer:7b', 'writer:7b'], ['demo-coordinator', 'demo-coordinator'], ['demo-coordinator:latest', 'demo-coordinator']]) {
      assert.equal((await whole(chat('[[tokens=1]]', { model: name, stream: false }))).model, wanted, name);
    }
    for (const name of ['writer', 'writer:latest', 'coder:7b']) assertOllamaError(await chat('Hello', { model: name }), 404);
  });

  test('is listed with what clients look for', async () => {
    const { models } = (await gateway.get('/api/tags')).json();
    assert.deepEqual(models.map((model) => model.name).sort(), ['coder:latest', 'demo-coordinator', 'demo-vision', 'writer:7b']);
    for (const model of models) {
      assert.equal(model.model, model.name);
      assert.ok(model.size > 0 && !Number.isNaN(Date.parse(model.modified_at)));
      assert.equal(typeof model.digest, 'string');
      assert.equal(model.details.format, 'gguf');
      assert.ok(Array.isArray(model.details.families));
    }
  });

  test('that is loaded says how much of it is on a card', async () => {
    const { models } = (await gateway.get('/api/ps')).json();
    assert.equal(models.length, 4);
    for (const model of models) {
      assert.equal(typeof model.size_vram, 'number');
      assert.ok(model.size_vram >= 0 && model.size_vram <= model.size);
      assert.ok(!Number.isNaN(Date.parse(model.expires_at)));
    }
  });

  test('is shown by {model} and by {name}', async () => {
    for (const body of [{ model: 'demo-vision' }, { name: 'demo-vision' }, { model: 'vision' }]) {
      const shown = await whole(post('/api/show', body));
      assert.ok(shown.capabilities.includes('completion') && shown.capabilities.includes('vision'));
      assert.ok(shown.details && shown.model_info['general.architecture']);
    }
    assert.ok(!(await whole(post('/api/show', { model: 'demo-coordinator' }))).capabilities.includes('vision'));
    assert.ok((await whole(post('/api/show', { name: 'coder' }))).details);
    assertOllamaError(await post('/api/show', { model: 'none' }), 404);
    assertOllamaError(await post('/api/show', {}), 400);
  });

  test('that is asked for by {name} in a chat answers, too', async () => {
    const { model, ...body } = asked('[[tokens=1]]', { stream: false, name: 'vision' });
    assert.equal((await whole(post('/api/chat', body))).done, true);
  });
});

test('GET and HEAD / say that somebody is there', async () => {
  const got = await gateway.get('/');
  assert.equal(got.status, 200);
  assert.match(got.text, /is running/);
  const head = await gateway.request('HEAD', '/');
  assert.equal(head.status, 200);
  assert.equal(head.text, '');
  for (const path of ['/api/tags', '/api/ps', '/api/version']) {
    const answer = await gateway.request('HEAD', path);
    assert.equal(answer.status, 200, path);
    assert.equal(answer.text, '');
  }
});

describe('the real engine behind it', () => {
  let real;
  before(async () => {
    real = await startReal({ roles: { technical: null, documentation: null } });
  });
  after(() => real?.dispose());
  const options = { temperature: 0, seed: 1, num_predict: 8 };
  const ask = (more, content = 'Hello') => post('/api/chat', asked(content, { options, ...more }), real);

  test('answers the same whole and streamed, with the same counts', async () => {
    const body = await whole(ask({ stream: false }));
    const lines = await streamed(ask());
    assert.equal(textOf(lines), body.message.content);
    assert.equal(lines.at(-1).done_reason, 'length');
    for (const count of ['prompt_eval_count', 'eval_count']) assert.equal(lines.at(-1)[count], body[count]);
    assert.equal(body.eval_count, 8);
  });

  test('has durations that the wall clock can believe', async () => {
    const begun = process.hrtime.bigint();
    const body = await whole(ask({ stream: false, options: { ...options, num_predict: 100 } }, 'Tell me a story about durations.'));
    const took = Number(process.hrtime.bigint() - begun);
    assert.ok(body.total_duration <= took);
    assert.ok(body.eval_duration > 0 && body.prompt_eval_duration > 0);
    assert.ok(body.prompt_eval_duration + body.eval_duration <= body.total_duration, JSON.stringify(body));
  });

  test('obeys a schema, stops where it is told to, and sees', async () => {
    const format = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
    assert.equal(typeof JSON.parse((await whole(ask({ format, stream: false, options: { num_predict: 100 } }))).message.content).ok, 'boolean');
    const { message: { content } } = await whole(ask({ stream: false }));
    const stop = ` ${content.trim().split(' ')[2]}`;
    const stopped = await whole(ask({ stream: false, options: { ...options, stop: [stop] } }));
    assert.equal(stopped.message.content, content.slice(0, content.indexOf(stop)));
    assert.equal(stopped.done_reason, 'stop');
    const seen = await post('/api/chat', { model: 'auto', stream: false, options, messages: [{ role: 'user', content: 'What is this?', images: [kPng] }] }, real);
    assert.equal(seen.status, 200, seen.text);
    assert.equal(seen.headers['x-gbgreg-role'], 'vision');
  });

  test('lists its models with their sizes', async () => {
    const { models } = (await real.get('/api/ps')).json();
    for (const model of models) assert.ok(model.size > 0 && model.size_vram === 0, JSON.stringify(model));
  });
});

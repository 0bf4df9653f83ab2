// POST /api/generate before the scripted engine: both forms, both dialects of it, routing, and what reaches the engine.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { openRawStream } from '../support/cut_streams.mjs';
import { assertError, startScripted } from '../support/gateway.mjs';
import { png } from '../support/images.mjs';
import { waitUntil } from '../support/wait.mjs';

let gateway;
before(async () => {
  gateway = await startScripted();
});
after(() => gateway?.dispose());

// The answer's text is the body that the gateway sent to the engine.
async function sentToEngine(ask) {
  const answer = await gateway.generate({ stream: false, ...ask, prompt: `${ask.prompt ?? 'Hello'} [[echo=1]]` });
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.json().response);
}

function assertFinal(last, { response } = {}) {
  assert.equal(last.done, true);
  assert.match(last.done_reason, /^(stop|length)$/);
  for (const name of ['total_duration', 'load_duration', 'prompt_eval_count', 'prompt_eval_duration', 'eval_count', 'eval_duration']) {
    assert.ok(Number.isInteger(last[name]) && last[name] >= 0, `${name} is ${last[name]}`);
  }
  assert.ok(last.total_duration > 0);
  if (response !== undefined) assert.equal(last.response, response);
  assertNotes(last.gbgreg);
}

function assertNotes(notes) {
  for (const name of ['request_id', 'role', 'model', 'backend', 'device', 'reason']) {
    assert.ok(typeof notes[name] === 'string' && notes[name].length > 0, `gbgreg.${name} is ${notes[name]}`);
  }
  assert.ok(Number.isInteger(notes.complexity.level) && notes.complexity.level >= 1 && notes.complexity.level <= 5);
  assert.ok(notes.complexity.score >= 0 && notes.complexity.score <= 1);
  for (const name of ['queue_ms', 'ttft_ms', 'total_ms']) assert.ok(notes[name] >= 0, `gbgreg.${name} is ${notes[name]}`);
  assert.ok(notes.ttft_ms <= notes.total_ms);
  assert.equal(notes.truncated.dropped_tokens, 0);
  assert.ok(Number.isInteger(notes.truncated.kept_tokens));
  assert.deepEqual(notes.sources, []);
}

const kTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

describe('a whole answer', () => {
  test('has Ollama’s fields and the gbgreg block', async () => {
    const answer = await gateway.generate({ prompt: 'Hello [[text="Hi there"]]', stream: false });
    assert.equal(answer.status, 200);
    assert.match(answer.headers['content-type'], /^application\/json/);
    const body = answer.json();
    assert.match(body.created_at, kTime);
    assertFinal(body, { response: 'Hi there' });
    assert.equal(body.model, body.gbgreg.model);
    assert.equal(body.eval_count, 2);
    assert.ok(body.prompt_eval_count > 0);
    assert.equal(body.gbgreg.request_id, answer.headers['x-request-id']);
  });

  test('is the default when no model is named', async () => {
    const answer = await gateway.generate('Hello');
    assert.match(answer.headers['content-type'], /^application\/json/);
    assertFinal(answer.json());
  });

  test('carries the decision in headers too', async () => {
    const answer = await gateway.generate('Hello');
    const { headers } = answer;
    const notes = answer.json().gbgreg;
    assert.equal(headers['x-gbgreg-role'], notes.role);
    assert.equal(headers['x-gbgreg-model'], notes.model);
    assert.equal(headers['x-gbgreg-backend'], notes.backend);
    assert.ok(headers['x-gbgreg-reason'].length > 0);
    assert.equal(Number(headers['x-gbgreg-complexity']), notes.complexity.level);
  });

  test('says when the limit of tokens ended it', async () => {
    const answer = await gateway.generate({ prompt: 'Hello [[tokens=50]]', options: { num_predict: 3 }, stream: false });
    const body = answer.json();
    assert.equal(body.done_reason, 'length');
    assert.equal(body.eval_count, 3);
  });

  test('with no text at all is an answer all the same', async () => {
    assertFinal((await gateway.generate({ prompt: 'Hello [[tokens=0]]', stream: false })).json(), { response: '' });
  });

  test('works with a JSON body that says nothing of its type, as curl -d sends it', async () => {
    const answer = await gateway.request('POST', '/api/generate', {
      body: '{"prompt":"Hello"}',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    assert.equal(answer.status, 200);
  });
});

describe('a streamed answer', () => {
  test('is NDJSON in Ollama’s shape', async () => {
    const { status, headers, lines } = await gateway.lines({ prompt: 'Hello [[text="one two three"]]' });
    assert.equal(status, 200);
    assert.match(headers['content-type'], /^application\/x-ndjson/);
    for (const line of lines) {
      assert.equal(typeof line.model, 'string');
      assert.match(line.created_at, kTime);
      assert.equal(typeof line.response, 'string');
      assert.equal(typeof line.done, 'boolean');
    }
    assert.ok(lines.slice(0, -1).every((line) => line.done === false && !('total_duration' in line)));
    assert.equal(lines.map((line) => line.response).join(''), 'one two three');
    assertFinal(lines.at(-1), { response: '' });
    assert.equal(lines.at(-1).eval_count, 3);
  });

  test('is the default when a model is named', async () => {
    const answer = await gateway.generate({ prompt: 'Hello', model: 'coordinator' });
    assert.match(answer.headers['content-type'], /^application\/x-ndjson/);
    const whole = await gateway.generate({ prompt: 'Hello', model: 'coordinator', stream: false });
    assert.match(whole.headers['content-type'], /^application\/json/);
    assertFinal(whole.json());
  });

  test('gives each token as it comes', async () => {
    const stream = await gateway.stream({ prompt: 'Hello [[tokens=3 stall_after=2]]' });
    const seen = [];
    for await (const line of stream.lines()) {
      seen.push(line.response);
      if (seen.join('') === 'token0 token1') break;  // The engine says no more until we leave: nothing was held back.
    }
    stream.cut();
  });

  test('joins characters that were cut in two, and bytes that came one by one', async () => {
    for (const way of ['split_utf8=1', 'dribble=1']) {
      const { lines } = await gateway.lines({ prompt: `Hello [[text="größe 🙂 日本語 ende" ${way}]]` });
      assert.equal(lines.map((line) => line.response).join(''), 'größe 🙂 日本語 ende');
    }
  });

  test('carries a long answer whole', async () => {
    const { lines } = await gateway.lines({ prompt: 'Hello [[tokens=3000]]' });
    assert.equal(lines.at(-1).eval_count, 3000);
    assert.ok(lines.map((line) => line.response).join('').endsWith(' token2999'));
  });
});

describe('routing', () => {
  const code = 'Why does this not compile?\n```cpp\nint main() { std::vector<int> v; return v.size(; }\n```\nerror: expected primary-expression before ‘;’ token';
  for (const [prompt, role] of [
    ['Hello', 'coordinator'],
    ['What is the capital of France?', 'coordinator'],
    [code, 'technical'],
    ['Write a Python function that reverses a linked list', 'technical'],
  ]) {
    test(`${JSON.stringify(prompt.slice(0, 40))} goes to ${role}`, async () => {
      const body = (await gateway.generate(prompt)).json();
      assert.equal(body.gbgreg.role, role, body.gbgreg.reason);
      assert.equal(body.model, `demo-${role}`);
    });
  }

  test('a request with an image goes to vision, and the image reaches the engine', async () => {
    const image = png().toString('base64');
    const answer = await gateway.generate({ prompt: 'What is this? [[echo=1]]', images: [image], stream: false });
    assert.equal(answer.json().gbgreg.role, 'vision');
    assert.ok(answer.json().response.includes(`data:image/png;base64,${image}`));
  });

  test('a role, a concrete name and "auto" are taken', async () => {
    for (const [model, role] of [['documentation', 'documentation'], ['demo-technical', 'technical'], ['auto', 'coordinator']]) {
      const body = (await gateway.generate({ prompt: 'Hello', model, stream: false })).json();
      assert.equal(body.gbgreg.role, role);
      assert.equal(body.model, `demo-${role}`);
    }
  });

  test('an unknown model is 404 and the known ones are listed', async () => {
    for (const stream of [false, true]) {
      const error = assertError(await gateway.generate({ prompt: 'Hello', model: 'gpt-nothing', stream }), 404, 'model_not_found');
      const listed = JSON.stringify(error.details);
      for (const name of ['demo-coordinator', 'technical', 'vision']) assert.ok(listed.includes(name), listed);
    }
  });

  test('POST /api/route decides without generating', async () => {
    const eventsBefore = gateway.engineLog.find('request_begin').length;
    const answer = await gateway.request('POST', '/api/route', { body: { prompt: 'Write a Python function that sorts a list' } });
    assert.equal(answer.status, 200);
    const decision = answer.json();
    assert.equal(decision.role, 'technical');
    assert.equal(decision.model, 'demo-technical');
    assert.equal(typeof decision.backend, 'string');
    assert.ok(decision.complexity.level >= 1 && decision.complexity.level <= 5);
    assert.ok(decision.confidence >= 0 && decision.confidence <= 1);
    assert.ok(decision.signals.length > 0);
    for (const signal of decision.signals) {
      assert.equal(typeof signal.name, 'string');
      assert.ok('value' in signal && 'weight' in signal);
    }
    for (const name of ['queue_ms', 'ttft_ms', 'total_ms', 'tokens']) assert.ok(name in decision.predicted, name);
    assert.ok(decision.alternatives.some((other) => other.role === 'coordinator' && other.why_not.length > 0));
    assert.ok(decision.reason.length > 0);
    const messages = await gateway.request('POST', '/api/route', { body: { messages: [{ role: 'user', content: 'Hello' }] } });
    assert.equal(messages.json().role, 'coordinator');
    assert.equal(gateway.engineLog.find('request_begin').length, eventsBefore);
  });
});

describe('what reaches the engine', () => {
  test('the prompt and the system text, as messages', async () => {
    const sent = await sentToEngine({ prompt: 'Wie groß ist "das"? \\ \n🙂', system: 'Be brief.' });
    assert.deepEqual(sent.messages.map((message) => message.role), ['system', 'user']);
    assert.equal(sent.messages[0].content, 'Be brief.');
    assert.equal(sent.messages[1].content, 'Wie groß ist "das"? \\ \n🙂 [[echo=1]]');
  });

  test('Ollama’s options, each under the engine’s name', async () => {
    const sent = await sentToEngine({
      options: { temperature: 0.25, top_p: 0.5, top_k: 7, min_p: 0.125, seed: 42, num_predict: 77, stop: ['END', 'STOP'], repeat_penalty: 1.5 },
    });
    assert.equal(sent.temperature, 0.25);
    assert.equal(sent.top_p, 0.5);
    assert.equal(sent.top_k, 7);
    assert.equal(sent.min_p, 0.125);
    assert.equal(sent.seed, 42);
    assert.equal(sent.max_tokens ?? sent.n_predict, 77);
    assert.deepEqual(sent.stop, ['END', 'STOP']);
    assert.equal(sent.repeat_penalty, 1.5);
  });

  test('nothing that was not asked for', async () => {
    const sent = await sentToEngine({});
    for (const name of ['temperature', 'seed', 'stop', 'max_tokens', 'n_predict', 'response_format']) assert.ok(!(name in sent), `${name} was sent`);
  });

  test('a format: JSON or a schema', async () => {
    assert.equal((await sentToEngine({ format: 'json' })).response_format.type, 'json_object');
    const schema = { type: 'object', properties: { age: { type: 'integer' } }, required: ['age'] };
    const { response_format: format } = await sentToEngine({ format: schema });
    assert.equal(format.type, 'json_schema');
    assert.ok(JSON.stringify(format).includes(JSON.stringify(schema)));
  });

  test('no header of the client’s, its key least of all', async () => {
    const answer = await gateway.generate({ prompt: 'Hello [[echo=head]]', stream: false }, {
      headers: { authorization: 'Bearer clients-own-secret', cookie: 'session=1', 'x-forwarded-for': '1.2.3.4' },
    });
    const head = answer.json().response;
    assert.doesNotMatch(head, /clients-own-secret|session=1|1\.2\.3\.4/);
    assert.match(head, /^POST \/v1\/chat\/completions HTTP\/1\.1\r\n/);
  });

  test('an empty prompt only loads the model', async () => {
    const eventsBefore = gateway.engineLog.find('request_begin').length;
    const answer = await gateway.generate({ model: 'coordinator', stream: false });
    assert.equal(answer.status, 200);
    assert.equal(answer.json().done, true);
    assert.equal(answer.json().done_reason, 'load');
    assert.equal(gateway.engineLog.find('request_begin').length, eventsBefore);
  });

  test('never more requests at once than the worker has slots', async () => {
    const held = await Promise.all(Array.from({ length: 4 }, () =>
      openRawStream(gateway, { prompt: 'Hello [[tokens=3 stall_after=2 tag=held]]', model: 'coordinator' })));
    await waitUntil('four run', () => gateway.engineLog.find('request_begin', { tag: 'held' }).length === 4);
    const next = gateway.generate({ prompt: 'Hello [[text=next tag=fifth]]', model: 'coordinator', stream: false });
    await waitUntil('the fifth waits', async () => (await gateway.metric('gbgreg_worker_queued', { role: 'coordinator' })) === 1);
    assert.equal(gateway.engineLog.find('request_begin', { tag: 'fifth' }).length, 0);
    held[0].cut();
    const answer = await next;
    assert.equal(answer.json().response, 'next');
    assert.ok(answer.json().gbgreg.queue_ms > 0);
    for (const stream of held) stream.cut();
    await gateway.allSlotsFree();
  });
});

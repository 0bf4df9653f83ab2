// Texts to vectors by OpenAI's and by Ollama's protocol: what implementers commonly get wrong, each a test, before the
// scripted engine and before the real one.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { kEmbedding, startReal, startScripted } from '../support/gateway.mjs';
import { RawConnection } from '../support/http.mjs';
import { assertIsText, bodiesThatAreNone, recorded } from '../support/protocols.mjs';
import { waitUntil } from '../support/wait.mjs';

const kTokensMax = 64;
const kNumbers = 8;

let gateway, real;
before(async () => {
  const embedding = { ...kEmbedding, model: 'embedder:latest', context: kTokensMax };
  [gateway, real] = await Promise.all([
    startScripted({ roles: { embedding, shorter: { ...kEmbedding, model: 'shorter', dimensions_min: 4 } } }),
    startReal({ roles: { technical: null, documentation: null, vision: null, embedding: kEmbedding } }),
  ]);
});
after(async () => {
  await gateway?.dispose();
  await real?.dispose();
});

const post = (target, body, to = gateway) => to.request('POST', target, { body });
const openai = (body, to) => post('/v1/embeddings', body, to);
const embed = (body, to) => post('/api/embed', { model: 'embedding', ...body }, to);
const legacy = (body, to) => post('/api/embeddings', { model: 'embedding', ...body }, to);

async function whole(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text.slice(0, 500));
  assert.match(answer.headers['content-type'], /^application\/json/);
  return answer.json();
}
const vectorsOf = (list) => list.data.map((one) => one.embedding);
const vectors = async (input, to) => vectorsOf(await whole(openai({ input }, to)));
const vector = async (text, to) => (await vectors([text], to))[0];

const floatsOf = (base64) => {
  const bytes = Buffer.from(base64, 'base64');
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4));
};
const product = (a, b) => a.reduce((sum, number, i) => sum + number * b[i], 0);
function assertUnit(one) {
  assert.ok(one.every(Number.isFinite));
  assert.ok(Math.abs(product(one, one) - 1) < 1e-5, `its length is ${Math.sqrt(product(one, one))}`);
}
// The sums of a batch are made in another order than those of a single text.
function assertSame(one, other) {
  assert.equal(one.length, other.length);
  assert.ok(product(one, other) > 1 - 1e-5, `the cosine is ${product(one, other)}`);
}
const words = (count, from = 0) => Array.from({ length: count }, (_, i) => `word${from + i}`).join(' ');

function assertOpenAiError(answer, status, param, code) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'], /^application\/json/);
  const { error } = answer.json();
  assert.deepEqual([error.param, error.code], [param, code], answer.text);
  assert.equal(error.type, status < 500 ? 'invalid_request_error' : 'server_error');
  return error;
}
function assertOllamaError(answer, status, says) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(typeof answer.json().error, 'string');
  assert.match(answer.json().error, says);
}

for (const [name, to] of [['the scripted engine', () => gateway], ['the real engine', () => real]]) {
  describe(`vectors before ${name}`, () => {
    test('have the shape of OpenAI’s protocol, and say who made them', async () => {
      const answer = await openai({ model: 'embedding', input: ['Hello', 'Hello there'], user: 'u' }, to());
      const list = await whole(answer);
      assert.deepEqual(Object.keys(list), ['object', 'data', 'model', 'usage']);
      assert.equal(list.object, 'list');
      assert.deepEqual(list.data.map((one) => [one.object, one.index, Object.keys(one).length]), [['embedding', 0, 3], ['embedding', 1, 3]]);
      assert.ok(list.usage.prompt_tokens > 2);
      assert.equal(list.usage.total_tokens, list.usage.prompt_tokens);
      assert.equal(answer.headers['x-gbgreg-role'], 'embedding');
      assert.equal(answer.headers['x-gbgreg-model'], list.model);
      assert.equal(answer.headers['x-gbgreg-backend'], `embedding/${list.model}`);
      assert.ok(answer.headers['x-gbgreg-reason'] && answer.headers['x-gbgreg-complexity'] && answer.headers['x-request-id']);
      vectorsOf(list).forEach(assertUnit);
    });

    test('are the same for the same text, and others for others', async () => {
      const [one, other, again] = await vectors(['the cat sat', 'stock prices fell', 'the cat sat'], to());
      assertSame(one, again);
      assertSame(one, await vector('the cat sat', to()));
      assert.ok(product(one, other) < 0.99);
    });

    test('are the same in base64, as little-endian floats', async () => {
      const input = ['größe 🙂', 'Hello'];
      const numbers = vectorsOf(await whole(openai({ input, encoding_format: 'float' }, to())));
      const unset = vectorsOf(await whole(openai({ input, encoding_format: null, dimensions: null, model: null }, to())));
      const base64 = vectorsOf(await whole(openai({ input, encoding_format: 'base64' }, to())));
      assert.deepEqual(base64.map(floatsOf), numbers);
      assert.deepEqual(unset, numbers);
    });

    test('of many texts of all lengths keep their order', async () => {
      const texts = Array.from({ length: 100 }, (_, i) => words(1 + (i * 37) % 50, i));
      const many = await whole(openai({ input: texts }, to()));
      assert.deepEqual(many.data.map((one) => one.index), texts.map((_, i) => i));
      const all = vectorsOf(many);
      let tokens = 0;
      for (const [i, text] of texts.entries()) {
        const single = await whole(openai({ input: text }, to()));
        assertSame(all[i], single.data[0].embedding);
        tokens += single.usage.prompt_tokens;
      }
      assert.equal(many.usage.prompt_tokens, tokens);
      const ollamas = (await whole(embed({ input: texts }, to()))).embeddings;
      ollamas.forEach((one, i) => assertSame(one, all[i]));
    });

    test('are the same by Ollama’s routes, with its figures', async () => {
      const [one] = await vectors('Hello there', to());
      const answer = await embed({ input: 'Hello there', options: { num_ctx: 4096 }, keep_alive: '5m' }, to());
      const said = await whole(answer);
      assertSame(said.embeddings[0], one);
      assertUnit(said.embeddings[0]);
      assert.equal(said.model, answer.headers['x-gbgreg-model']);
      assert.ok(said.total_duration > 0 && said.total_duration < 60e9 && Number.isInteger(said.total_duration));
      assert.ok(Number.isInteger(said.load_duration) && said.prompt_eval_count > 2);
      assert.deepEqual(said.gbgreg.truncated, { kept_tokens: said.prompt_eval_count, dropped_tokens: 0 });
      assert.deepEqual(said.gbgreg.ignored_options, ['num_ctx']);
      const older = await whole(legacy({ prompt: 'Hello there' }, to()));
      assertSame(older.embedding, one);
      assert.ok(!('embeddings' in older));
    });

    test('of tokens are made as well, one list or several', async () => {
      const [list, single] = [await whole(openai({ input: [[1, 400, 500], [1, 600]] }, to())), await whole(openai({ input: [1, 400, 500] }, to()))];
      assertSame(list.data[0].embedding, single.data[0].embedding);
      assert.equal(single.usage.prompt_tokens, 3);
      assertOpenAiError(await openai({ input: [[1, 2_000_000_000]] }, to()), 400, null, 'unknown_tokens');
    });

    test('of texts as long as the context are made; longer ones are refused, or cut and said to be', async () => {
      const tokensMax = to() === real ? 512 : kTokensMax;
      const count = async (text) => (await whole(openai({ input: text }, to()))).usage.prompt_tokens;
      // "a" is one token a time, and what stands around a text comes on top.
      const around = (await count('a a')) - 2;
      const longest = Array(tokensMax - around).fill('a').join(' ');
      assert.equal(await count(longest), tokensMax);
      for (const longer of [`${longest} a`, `${longest} ${'b '.repeat(3000)}`]) {
        const error = assertOpenAiError(await openai({ input: ['short', longer] }, to()), 400, 'input', 'prompt_too_long');
        assert.match(error.message, new RegExp(`${tokensMax} tokens`));
        assertOllamaError(await embed({ input: longer, truncate: false }, to()), 400, new RegExp(`${tokensMax} tokens`));
        const cut = await whole(embed({ input: ['short', longer] }, to()));
        assertSame(cut.embeddings[1], await vector(longest, to()));
        assertSame(cut.embeddings[0], await vector('short', to()));
        assert.ok(cut.gbgreg.truncated.dropped_tokens >= 1);
        assert.equal(cut.gbgreg.truncated.kept_tokens, cut.prompt_eval_count);
      }
      const exactly = await whole(legacy({ prompt: `${longest} a a a` }, to()));
      assert.deepEqual(exactly.gbgreg.truncated, { kept_tokens: tokensMax, dropped_tokens: 3 });
    });

    test('are shown as what the model is for', async () => {
      const shown = await whole(post('/api/show', { model: 'embedding' }, to()));
      assert.deepEqual(shown.capabilities, ['embedding']);
      const name = (await whole(openai({ input: 'x' }, to()))).model;
      for (const target of ['/api/tags', '/api/ps']) assert.ok((await whole(to().get(target))).models.some((model) => model.name === name), target);
      const ids = (await whole(to().get('/v1/models'))).data.map((model) => model.id);
      assert.ok(ids.includes('embedding') && ids.includes(name));
      const { models } = await to().health();
      assert.equal(models.operational, models.total);
      for (const role of models.roles) assert.equal(role.embeddings, ['embedding', 'shorter'].includes(role.role), role.role);
    });
  });
}

describe('before the real engine', () => {
  test('the model is what its file says', async () => {
    const shown = await whole(post('/api/show', { model: 'demo-embedding' }, real));
    assert.equal(shown.details.family, 'bert');
    assert.deepEqual(shown.model_info, { 'general.architecture': 'bert', 'bert.context_length': 512, 'bert.embedding_length': 64 });
  });

  test('texts that share words are alike', async () => {
    const [one, near, far] = await vectors(['the cat sat on the mat', 'a cat on a mat', 'stock markets fell sharply today'], real);
    assert.ok(product(one, near) > product(one, far));
  });
});

describe('who is asked', () => {
  test('by a role, a model, a model without its tag, by auto or by nothing', async () => {
    for (const model of ['embedding', 'embedder:latest', 'embedder', 'auto', '', undefined]) {
      assert.equal((await whole(openai({ model, input: 'x' }))).model, 'embedder:latest');
      assert.equal((await whole(post('/api/embed', { model, input: 'x' }))).model, 'embedder:latest');
      assert.equal((await whole(post('/api/embed', { name: model, input: 'x' }))).model, 'embedder:latest');
    }
    assert.equal((await whole(openai({ model: 'shorter', input: 'x' }))).model, 'shorter');
  });

  test('a model that answers makes no vectors, and the error lists those that do', async () => {
    for (const model of ['technical', 'demo-vision']) {
      const error = assertOpenAiError(await openai({ model, input: 'x' }), 400, 'model', 'model_cannot_embed');
      assert.deepEqual(error.details.embedding_models, ['embedder:latest', 'shorter']);
      assertOllamaError(await post('/api/embed', { model, input: 'x' }), 400, /embedder:latest/);
      assertOllamaError(await post('/api/embeddings', { model, prompt: 'x' }), 400, /embedder:latest/);
      assertOllamaError(await post('/api/embed', { model }), 400, /embedder:latest/);
    }
  });

  test('a model that makes vectors answers nothing, whoever asks', async () => {
    const messages = [{ role: 'user', content: 'Hello' }];
    for (const model of ['embedding', 'embedder']) {
      for (const [target, body] of [
        ['/v1/chat/completions', { messages }], ['/v1/completions', { prompt: 'x' }], ['/v1/messages', { messages, max_tokens: 3 }],
        ['/v1/messages/count_tokens', { messages }], ['/api/chat', { messages }], ['/api/generate', { prompt: 'x' }], ['/api/generate', { prompt: '' }], ['/api/route', { prompt: 'x' }],
      ]) {
        const answer = await post(target, { model, ...body });
        assert.equal(answer.status, 400, `${target} ${answer.text}`);
        assert.match(answer.text, /only makes embeddings/);
      }
    }
    for (const prompt of ['Hello', 'embedding', 'Make an embedding of this text', words(300)]) {
      const route = (await post('/api/route', { prompt })).json();
      assert.ok(!['embedding', 'shorter'].includes(route.role));
      assert.ok(route.alternatives.every((other) => !['embedding', 'shorter'].includes(other.role)));
    }
  });

  test('an unknown name is 404', async () => {
    assertOpenAiError(await openai({ model: 'text-embedding-3-small', input: 'x' }), 404, null, 'model_not_found');
    assertOllamaError(await post('/api/embed', { model: 'none', input: 'x' }), 404, /none/);
  });

  test('where no model is configured for it, the error says what to configure', async () => {
    const other = await startScripted({ roles: { technical: null, documentation: null, vision: null } });
    try {
      for (const model of ['auto', 'coordinator']) {
        assert.match(assertOpenAiError(await openai({ model, input: 'x' }, other), 422, null, 'no_embedding_model').message, /embeddings: true/);
      }
      assertOllamaError(await post('/api/embed', { input: 'x' }, other), 422, /embeddings: true/);
    } finally {
      await other.dispose();
    }
  });
});

describe('requests', () => {
  test('that are none are refused in the protocol’s own words', async () => {
    for (const [name, body] of bodiesThatAreNone((text) => ({ input: text }))) {
      for (const target of ['/v1/embeddings', '/api/embed']) {
        const answer = await post(target, body);
        assert.equal(answer.status, 400, `${name}: ${answer.text}`);
        assertIsText(answer);
        assert.equal(typeof answer.json().error, target === '/api/embed' ? 'string' : 'object');
      }
    }
    const get = await gateway.get('/v1/embeddings');
    assert.equal(get.status, 405);
    assert.equal(get.headers.allow, 'POST');
  });

  test('with wrong fields name the field', async () => {
    for (const [body, param] of [
      [{}, 'input'], [{ input: null }, 'input'], [{ input: '' }, 'input'], [{ input: [] }, 'input'], [{ input: ['x', ''] }, 'input'], [{ input: [[]] }, 'input'],
      [{ input: {} }, 'input'], [{ input: 7 }, 'input'], [{ input: ['x', 7] }, 'input'], [{ input: [7, 'x'] }, 'input'], [{ input: [-1] }, 'input[0]'], [{ input: [[1, 2.5]] }, 'input[0][1]'],
      [{ input: 'x', encoding_format: 'int8' }, 'encoding_format'], [{ input: 'x', dimensions: 0 }, 'dimensions'], [{ input: 'x', dimensions: '8' }, 'dimensions'], [{ input: 'x', model: 7 }, 'model'],
    ]) {
      assertOpenAiError(await openai(body), 400, param, 'invalid_field');
    }
    assertOllamaError(await embed({ input: 7 }), 400, /"input"/);
    assertOllamaError(await embed({ input: ['x', 7] }), 400, /"input\[1\]"/);
    assertOllamaError(await embed({ input: 'x', truncate: 'no' }), 400, /"truncate"/);
    assertOllamaError(await legacy({ prompt: ['x'] }), 400, /"prompt"/);
  });

  test('of Ollama’s that ask for nothing load the model, and for no time unload it', async () => {
    for (const body of [{}, { input: '' }, { input: [] }]) assert.deepEqual((await whole(embed(body))).embeddings, []);
    assert.deepEqual((await whole(legacy({ prompt: '' }))).embedding, []);
    assertOllamaError(await post('/api/embed', {}), 400, /"input"/);
    assert.deepEqual((await whole(embed({ keep_alive: 0 }))).embeddings, []);
    const embedder = async () => (await gateway.health()).models.roles.find((one) => one.model.startsWith('embedder'));
    await waitUntil('it sleeps', async () => (await embedder()).state === 'sleeping');
    assert.equal((await whole(embed({ input: 'x' }))).embeddings.length, 1);
  });

  test('for shorter vectors are honoured where the model is made for it, and nowhere else', async () => {
    const [all] = vectorsOf(await whole(openai({ model: 'shorter', input: 'x' })));
    const [cut] = vectorsOf(await whole(openai({ model: 'shorter', input: 'x', dimensions: 4 })));
    assert.equal(cut.length, 4);
    assertUnit(cut);
    const length = Math.sqrt(product(all.slice(0, 4), all.slice(0, 4)));
    cut.forEach((number, i) => assert.ok(Math.abs(number - all[i] / length) < 1e-6));
    assert.equal((await whole(embed({ model: 'shorter', input: ['x'], dimensions: 5 }))).embeddings[0].length, 5);
    assertOpenAiError(await openai({ model: 'shorter', input: 'x', dimensions: 3 }), 400, 'dimensions', 'invalid_field');
    assert.equal((await vectorsOf(await whole(openai({ input: 'x', dimensions: kNumbers }))))[0].length, kNumbers);
    for (const dimensions of [kNumbers - 1, kNumbers + 1]) assertOpenAiError(await openai({ input: 'x', dimensions }), 400, 'dimensions', 'invalid_field');
    assertOllamaError(await embed({ input: 'x', dimensions: 4 }), 400, /dimensions/);
  });

  test('of as many texts as are allowed are answered, in pieces; of one more refused', async () => {
    // Each portion asks for long vectors in its first text: the answer has some 40 MB.
    const texts = Array.from({ length: 2048 }, (_, i) => (i % 32 === 0 ? `[[numbers=1024]] ${i}` : `text ${i}`));
    const answer = await openai({ input: texts });
    const list = await whole(answer);
    assert.equal(list.data.length, 2048);
    assert.ok(!('content-length' in answer.headers));
    list.data.forEach((one, i) => assert.equal(one.index, i));
    for (const i of [0, 31, 32, 1000, 2047]) assertSame(list.data[i].embedding, vectorsOf(await whole(openai({ input: [texts[i - (i % 32)], texts[i]] })))[i % 32 === 0 ? 0 : 1]);
    const { message } = assertOpenAiError(await openai({ input: [...texts, 'x'] }), 400, 'input', 'invalid_field');
    assert.match(message, /2048/);
  });

  test('with a text beyond any model are refused before a worker sees them', async () => {
    assertOpenAiError(await openai({ input: 'x'.repeat(1024 * 1024 + 1) }), 413, null, 'input_too_large');
  });

  test('reach the worker in small portions', async () => {
    const texts = Array.from({ length: 40 }, (_, i) => `text ${i}`);
    texts[0] = '[[record=first-portion]]';
    texts[39] = '[[record=second-portion]]';
    await whole(openai({ input: texts }));
    assert.deepEqual((await recorded(gateway, 'first-portion')).input, texts.slice(0, 32));
    assert.deepEqual((await recorded(gateway, 'second-portion')).input, texts.slice(32));
  });
});

describe('a worker', () => {
  test('may answer in another order', async () => {
    const texts = ['one [[backwards=1]]', 'two', 'three'];
    const all = await vectors(texts);
    for (const [i, text] of texts.entries()) assertSame(all[i], await vector(text));
  });

  for (const fault of ['vector=nan', 'vector=inf', 'vector=zero', 'vector=short', 'vector=missing', 'vector=twice', 'half_event=1', 'garbage_after=1', 'garbage=1', 'bad_length=1', 'status=500', 'close_after=0']) {
    test(`that answers with ${fault} is never believed`, async () => {
      const answer = await openai({ input: ['x', `y [[${fault}]]`], encoding_format: 'float' });
      assertOpenAiError(answer, 502, null, 'backend_failed_again');
      assertOllamaError(await embed({ input: ['x', `y [[${fault}]]`] }), 502, /./);
      await gateway.allSlotsFree();
    });
  }

  test('that dies is replaced, and nobody hears of it', async () => {
    const deadly = path.join(gateway.folder, 'embed-die-once');
    fs.writeFileSync(deadly, '');
    const texts = Array.from({ length: 40 }, (_, i) => `text ${i}`);
    texts[39] = `[[die_once=${deadly}]]`;
    const all = await vectors(texts);
    assert.equal(all.length, 40);
    assertSame(all[3], await vector('text 3'));
    assert.ok(!fs.existsSync(deadly));
  });

  test('is left in peace when the client leaves, in the first portion or a later one', async () => {
    for (const [tag, at] of [['leaves-at-once', 0], ['leaves-later', 39]]) {
      const texts = Array.from({ length: 40 }, (_, i) => `text ${i}`);
      texts[at] = `[[stall_after=0 tag=${tag}]]`;
      const body = JSON.stringify({ input: texts });
      const connection = await RawConnection.open(gateway.port);
      connection.send(`POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      await gateway.engineLog.waitFor('request_begin', { tag });
      connection.cut();
      await gateway.engineLog.waitFor('peer_closed', { tag });
      await gateway.allSlotsFree();
    }
  });

  test('that is busy has a queue with a bound', async () => {
    const other = await startScripted({ roles: { technical: null, documentation: null, vision: null, embedding: { ...kEmbedding, slots: 1 } }, limits: { queue_max: 1 } });
    try {
      const held = await RawConnection.open(other.port);
      const body = JSON.stringify({ input: '[[stall_after=0 tag=held]]' });
      held.send(`POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      await other.engineLog.waitFor('request_begin', { tag: 'held' });
      const waiting = openai({ input: 'next' }, other);
      await waitUntil('one waits', async () => (await other.metric('gbgreg_worker_queued', { role: 'embedding' })) === 1);
      const refused = await openai({ input: 'x' }, other);
      assert.equal(refused.status, 429, refused.text);
      assert.match(refused.headers['retry-after'], /^\d+$/);
      held.cut();
      assert.equal((await waiting).status, 200);
    } finally {
      await other.dispose();
    }
  });
});

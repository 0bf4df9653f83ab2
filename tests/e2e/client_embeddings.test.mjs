// The official clients ask for vectors: OpenAI's, which wants base64 unless it is told otherwise, Ollama's, LangChain by
// both protocols, the AI SDK. Each gets the same vectors as the others, before the scripted engine and the real one.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { client } from '../support/clients.mjs';
import { kEmbedding, startReal, startScripted } from '../support/gateway.mjs';

const { OpenAI } = client('openai');
const { Ollama } = client('ollama');
const { OpenAIEmbeddings } = client('@langchain/openai');
const { OllamaEmbeddings } = client('@langchain/ollama');
const { cosineSimilarity, embed, embedMany } = client('ai');
const { createOpenAICompatible } = client('@ai-sdk/openai-compatible');

const kModel = 'demo-embedding';
const kTexts = ['the cat sat on the mat', 'größe 🙂', 'stock prices fell', 'the cat sat on the mat', `a much longer text ${'with many words '.repeat(20)}`, 'x'];

let scripted, real;
before(async () => {
  const others = { technical: null, documentation: null, vision: null };
  [scripted, real] = await Promise.all([startScripted({ roles: { ...others, embedding: { ...kEmbedding, dimensions_min: 2 } } }), startReal({ roles: { ...others, embedding: kEmbedding } })]);
});
after(async () => {
  await scripted?.dispose();
  await real?.dispose();
});

function assertSame(one, other) {
  assert.equal(one.length, other.length);
  assert.ok(Math.abs(cosineSimilarity(one, other) - 1) < 1e-5);
}

for (const [name, to] of [['the scripted engine', () => scripted], ['the real engine', () => real]]) {
  describe(`before ${name}`, () => {
    const openai = () => new OpenAI({ baseURL: `${to().url}/v1`, apiKey: 'none', maxRetries: 0 });
    const ollama = () => new Ollama({ host: to().url });
    const vectors = async (input, more) => (await openai().embeddings.create({ model: kModel, input, ...more })).data.map((one) => one.embedding);

    test('OpenAI’s client gets the same floats by base64, which it asks for itself, and by numbers', async () => {
      const list = await openai().embeddings.create({ model: kModel, input: kTexts });
      assert.deepEqual(list.data.map((one) => one.index), kTexts.map((_, i) => i));
      assert.equal(list.model, kModel);
      assert.equal(list.usage.prompt_tokens, list.usage.total_tokens);
      const numbers = await vectors(kTexts, { encoding_format: 'float' });
      const base64 = await vectors(kTexts, { encoding_format: 'base64' });
      assert.deepEqual(list.data.map((one) => one.embedding), numbers);
      assert.ok(base64.every((one) => typeof one === 'string'));
      assertSame(numbers[0], numbers[3]);
      assert.ok(cosineSimilarity(numbers[0], numbers[2]) < 0.99);
      for (const [i, text] of kTexts.entries()) assertSame((await vectors(text))[0], numbers[i]);
    });

    test('OpenAI’s client shows errors', async () => {
      await assert.rejects(vectors(''), (error) => error.status === 400 && error.param === 'input' && error.code === 'invalid_field');
      await assert.rejects(vectors('x', { model: 'coordinator' }), (error) => error.status === 400 && error.code === 'model_cannot_embed');
      await assert.rejects(vectors('x', { model: 'none' }), (error) => error.status === 404);
      await assert.rejects(vectors('word '.repeat(3000)), (error) => error.status === 400 && error.code === 'prompt_too_long');
      await assert.rejects(vectors('x', { dimensions: 1 }), (error) => error.status === 400 && error.param === 'dimensions');
    });

    test('Ollama’s client gets them by its new and its old way', async () => {
      const wanted = await vectors(kTexts);
      const answer = await ollama().embed({ model: kModel, input: kTexts, truncate: false, keep_alive: '5m' });
      assert.equal(answer.model, kModel);
      assert.ok(answer.total_duration > 0 && answer.prompt_eval_count > 0);
      for (const [i, one] of answer.embeddings.entries()) {
        assertSame(one, wanted[i]);
        assert.ok(Math.abs(Math.hypot(...one) - 1) < 1e-5);
      }
      const single = await ollama().embed({ model: kModel, input: kTexts[1] });
      assertSame(single.embeddings[0], wanted[1]);
      assertSame((await ollama().embeddings({ model: kModel, prompt: kTexts[1] })).embedding, wanted[1]);
      assert.deepEqual((await ollama().embed({ model: kModel, input: '' })).embeddings, []);
    });

    test('Ollama’s client gets a long text cut, unless it says no', async () => {
      const long = 'word '.repeat(3000);
      assert.equal((await ollama().embed({ model: kModel, input: long })).embeddings.length, 1);
      await assert.rejects(ollama().embed({ model: kModel, input: long, truncate: false }), (error) => error.status_code === 400);
      await assert.rejects(ollama().embed({ model: 'none', input: 'x' }), (error) => error.status_code === 404);
    });

    test('Ollama’s client sees what the model can do', async () => {
      assert.deepEqual((await ollama().show({ model: kModel })).capabilities, ['embedding']);
      assert.ok((await ollama().ps()).models.some((model) => model.name === kModel));
    });

    test('LangChain gets them by both protocols', async () => {
      const wanted = await vectors(kTexts);
      for (const model of [
        new OpenAIEmbeddings({ model: kModel, apiKey: 'none', maxRetries: 0, configuration: { baseURL: `${to().url}/v1` } }),
        new OllamaEmbeddings({ model: kModel, baseUrl: to().url, maxRetries: 0 }),
      ]) {
        const documents = await model.embedDocuments(kTexts);
        documents.forEach((one, i) => assertSame(one, wanted[i]));
        assertSame(await model.embedQuery(kTexts[2]), wanted[2]);
      }
    });

    test('the AI SDK gets one and many', async () => {
      const wanted = await vectors(kTexts);
      const model = createOpenAICompatible({ name: 'gbgreg', baseURL: `${to().url}/v1`, apiKey: 'none' }).embeddingModel(kModel);
      const one = await embed({ model, value: kTexts[1], maxRetries: 0 });
      assertSame(one.embedding, wanted[1]);
      assert.ok(one.usage.tokens > 0);
      const many = await embedMany({ model, values: kTexts, maxRetries: 0 });
      many.embeddings.forEach((each, i) => assertSame(each, wanted[i]));
      await assert.rejects(embed({ model, value: 'word '.repeat(3000), maxRetries: 0 }), (error) => error.statusCode === 400);
    });
  });
}

test('OpenAI’s and LangChain’s clients get shorter vectors where the model is made for it', async () => {
  const openai = new OpenAI({ baseURL: `${scripted.url}/v1`, apiKey: 'none', maxRetries: 0 });
  const { data } = await openai.embeddings.create({ model: kModel, input: 'x', dimensions: 4 });
  assert.equal(data[0].embedding.length, 4);
  assert.ok(Math.abs(Math.hypot(...data[0].embedding) - 1) < 1e-5);
  const model = new OpenAIEmbeddings({ model: kModel, dimensions: 4, apiKey: 'none', maxRetries: 0, configuration: { baseURL: `${scripted.url}/v1` } });
  assertSame(await model.embedQuery('x'), data[0].embedding);
});

test('a client that leaves is noticed by the engine', async () => {
  const openai = new OpenAI({ baseURL: `${scripted.url}/v1`, apiKey: 'none', maxRetries: 0 });
  const leaving = new AbortController();
  const asked = openai.embeddings.create({ model: kModel, input: '[[stall_after=0 tag=openai-embeds]]' }, { signal: leaving.signal });
  const seen = assert.rejects(asked, /abort/i);
  await scripted.engineLog.waitFor('request_begin', { tag: 'openai-embeds' });
  leaving.abort();
  await seen;
  await scripted.engineLog.waitFor('peer_closed', { tag: 'openai-embeds' });
});

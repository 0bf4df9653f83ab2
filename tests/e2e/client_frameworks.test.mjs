// What people build with: the AI SDK with its OpenAI-compatible provider and with OpenAI's own, which asks for responses,
// and LangChain by OpenAI's two protocols and by Ollama's. Each gets text, streams, tools, and answers in a schema.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { client } from '../support/clients.mjs';
import { startReal, startScripted } from '../support/gateway.mjs';
import { kCallsWeather, kCityArguments, kPng, recorded } from '../support/protocols.mjs';
import { waitUntil } from '../support/wait.mjs';

const { generateText, Output, stepCountIs, streamText, tool: aiTool } = client('ai');
const { createOpenAI } = client('@ai-sdk/openai');
const { createOpenAICompatible } = client('@ai-sdk/openai-compatible');
const { ChatOpenAI } = client('@langchain/openai');
const { ChatOllama } = client('@langchain/ollama');
const { HumanMessage, ToolMessage } = client('@langchain/core/messages');
const { tool: langchainTool } = client('@langchain/core/tools');
const { z } = client('zod');

const kWeather = z.object({ city: z.string(), days: z.array(z.number()) });
const kArguments = JSON.parse(kCityArguments);
const kAnswersJson = `[[text='${kCityArguments}']]`;

let gateway, real;
before(async () => {
  [gateway, real] = await Promise.all([startScripted(), startReal({ roles: { technical: null, documentation: null } })]);
});
after(async () => {
  await gateway?.dispose();
  await real?.dispose();
});

const kProviders = [
  {
    way: 'chat',
    route: '/v1/chat/completions',
    provider: (to, name) => createOpenAICompatible({ name: 'gbgreg', baseURL: `${to.url}/v1`, apiKey: 'none', includeUsage: true, supportsStructuredOutputs: true })(name),
    takesStops: true,
  },
  {
    way: 'responses',
    route: '/v1/responses',
    provider: (to, name) => createOpenAI({ baseURL: `${to.url}/v1`, apiKey: 'none' }).responses(name),
    // Unless it is told that nothing is kept, it refers to what it takes to be kept instead of sending it.
    providerOptions: { openai: { store: false } },
    thinking: { openai: { store: false, forceReasoning: true, reasoningSummary: 'auto' } },
  },
];
for (const { way, route, provider, providerOptions, thinking, takesStops } of kProviders) {
  describe(`the AI SDK, asking for ${way},`, () => {
    const model = (to = gateway, name = 'coordinator') => provider(to, name);
    async function streamed(options) {
      const errors = [];
      const result = streamText({ ...options, onError: ({ error }) => errors.push(error) });
      const parts = [];
      for await (const part of result.fullStream) parts.push(part);
      assert.deepEqual(errors, []);
      return { parts, text: await result.text, usage: await result.totalUsage, finishReason: await result.finishReason, steps: await result.steps };
    }

    test('gets text, whole and streamed, with the same counts', async () => {
      for (const [prompt, more, reason] of [['[[text="größe 🙂 ende" split_utf8=1]]', {}, 'stop'], ['[[tokens=9]]', { maxOutputTokens: 2 }, 'length'], ...(takesStops ? [['[[text="one two"]]', { stopSequences: [' two'] }, 'stop']] : [])]) {
        const whole = await generateText({ model: model(), prompt, ...more });
        const stream = await streamed({ model: model(), prompt, ...more });
        assert.equal(stream.text, whole.text);
        assert.deepEqual([stream.finishReason, whole.finishReason], [reason, reason]);
        for (const count of ['inputTokens', 'outputTokens', 'totalTokens']) assert.equal(stream.usage[count], whole.usage[count], count);
        assert.ok(whole.usage.totalTokens > 0);
      }
    });

    test('sees thoughts apart from the answer', async () => {
      const prompt = '[[thinking="well then" text="one two"]]';
      assert.equal((await generateText({ model: model(), prompt, providerOptions: thinking })).reasoningText, 'well then');
      const { parts, text } = await streamed({ model: model(), prompt, providerOptions: thinking });
      assert.equal(parts.filter((part) => part.type === 'reasoning-delta').map((part) => part.text).join(''), 'well then');
      assert.equal(text, 'one two');
    });

    for (const delivery of ['whole', 'streamed']) {
      test(`runs tools until there is an answer, ${delivery}`, async () => {
        const calledWith = [];
        const execute = async (given) => {
          calledWith.push(given);
          return `It rains. [[text=Rain. record=ai-${delivery}${route}]]`;
        };
        const options = { model: model(), prompt: kCallsWeather, tools: { get_weather: aiTool({ description: 'How the weather is.', inputSchema: kWeather, execute }) }, providerOptions, stopWhen: stepCountIs(3) };
        const result = await (delivery === 'whole' ? generateText(options) : streamed(options));
        assert.equal(result.text, 'Rain.');
        assert.deepEqual(calledWith, [kArguments]);
        assert.deepEqual(result.steps.map((step) => step.finishReason), ['tool-calls', 'stop']);
        const { messages } = await recorded(gateway, `ai-${delivery}${route}`);
        assert.deepEqual(messages.map((message) => message.role), ['user', 'assistant', 'tool']);
        assert.equal(messages[2].tool_call_id, messages[1].tool_calls[0].id);
      });
    }

    test('gets an answer in a schema', async () => {
      const { output } = await generateText({ model: model(), prompt: kAnswersJson, output: Output.object({ schema: kWeather }) });
      assert.deepEqual(output, kArguments);
      const made = await generateText({ model: model(real), prompt: 'JSON, please.', maxOutputTokens: 100, output: Output.object({ schema: z.object({ ok: z.boolean() }) }) });
      assert.equal(typeof made.output.ok, 'boolean');
    });

    test('shows an image to the model that sees', async () => {
      for (const to of [gateway, real]) {
        const { response } = await generateText({ model: model(to, 'auto'), maxOutputTokens: 4, messages: [{ role: 'user', content: [{ type: 'text', text: 'What is this?' }, { type: 'image', image: Buffer.from(kPng, 'base64') }] }] });
        assert.equal(response.modelId, 'demo-vision');
      }
    });

    test('shows errors, and does not try again what was its own mistake', async () => {
      const requests = () => gateway.metric('gbgreg_http_requests_total', { route, status: '404' });
      const before = await requests() ?? 0;
      await assert.rejects(generateText({ model: model(gateway, 'none'), prompt: 'Hello' }), (error) => error.statusCode === 404 && /none/.test(error.message));
      await waitUntil('one request, and no other, is counted', async () => await requests() === before + 1);
    });

    test('that leaves is noticed by the engine', async () => {
      const leaving = new AbortController();
      const result = streamText({ model: model(), prompt: `[[tokens=100000 delay_ms=5 tag=ai-leaves${route}]]`, abortSignal: leaving.signal });
      for await (const part of result.fullStream) if (part.type === 'text-delta') leaving.abort();
      await gateway.engineLog.waitFor('peer_closed', { tag: `ai-leaves${route}` });
    });

    test('hears of an answer that broke off', async () => {
      const errors = [];
      const result = streamText({ model: model(), prompt: '[[tokens=9 error_after=3]]', onError: ({ error }) => errors.push(error) });
      for await (const part of result.fullStream) if (part.type === 'finish') assert.equal(part.finishReason, 'error');
      assert.equal(errors.length, 1);
    });
  });
}

const kLangchains = [
  ['OpenAI’s chat', (to, more) => new ChatOpenAI({ model: 'coordinator', apiKey: 'none', useResponsesApi: false, maxRetries: 0, configuration: { baseURL: `${to.url}/v1` }, ...more }), { maxTokens: 2 }],
  ['OpenAI’s responses', (to, more) => new ChatOpenAI({ model: 'coordinator', apiKey: 'none', useResponsesApi: true, maxRetries: 0, configuration: { baseURL: `${to.url}/v1` }, ...more }), { maxTokens: 2 }],
  ['Ollama’s protocol', (to, more) => new ChatOllama({ model: 'coordinator', baseUrl: to.url, maxRetries: 0, ...more }), { numPredict: 2 }],
];
for (const [name, model, twoTokens] of kLangchains) {
  describe(`LangChain by ${name}`, () => {
    async function streamed(runnable, input) {
      let whole;
      let pieces = 0;
      for await (const chunk of await runnable.stream(input)) {
        whole = whole ? whole.concat(chunk) : chunk;
        ++pieces;
      }
      assert.ok(pieces > 1);
      return whole;
    }

    test('gets text, whole and streamed, with the same counts', async () => {
      for (const [prompt, more] of [['[[text="größe 🙂 ende" split_utf8=1]]', {}], ['[[tokens=9]]', twoTokens]]) {
        const whole = await model(gateway, more).invoke(prompt);
        const stream = await streamed(model(gateway, more), prompt);
        assert.equal(stream.text, whole.text);
        for (const count of ['input_tokens', 'output_tokens', 'total_tokens']) assert.equal(stream.usage_metadata[count], whole.usage_metadata[count], count);
        assert.ok(whole.usage_metadata.total_tokens > 0);
      }
    });

    test('calls tools, whole and streamed, and tells what they said', async () => {
      const calledWith = [];
      const getWeather = langchainTool(async (given) => {
        calledWith.push(given);
        return 'It rains. [[text=Rain.]]';
      }, { name: 'get_weather', description: 'How the weather is.', schema: kWeather });
      const bound = model(gateway).bindTools([getWeather]);
      const question = new HumanMessage(kCallsWeather);
      for (const said of [await bound.invoke([question]), await streamed(bound, [question])]) {
        assert.deepEqual(said.tool_calls.map((call) => [call.name, call.args]), [['get_weather', kArguments]]);
        const result = await getWeather.invoke(said.tool_calls[0]);
        assert.ok(result instanceof ToolMessage);
        assert.equal((await bound.invoke([question, said, result])).text, 'Rain.');
      }
      assert.deepEqual(calledWith, [kArguments, kArguments]);
    });

    test('gets an answer in a schema', async () => {
      assert.deepEqual(await model(gateway).withStructuredOutput(kWeather, { method: 'jsonSchema' }).invoke(kAnswersJson), kArguments);
      assert.deepEqual(await model(gateway).withStructuredOutput(kWeather, { name: 'get_weather', method: 'functionCalling' }).invoke(kCallsWeather), kArguments);
      const made = await model(real).withStructuredOutput(z.object({ ok: z.boolean() }), { method: 'jsonSchema' }).invoke('JSON, please.');
      assert.equal(typeof made.ok, 'boolean');
    });

    test('shows an image to the model that sees', async () => {
      const question = new HumanMessage({ content: [{ type: 'text', text: 'What is this?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${kPng}` } }] });
      for (const to of [gateway, real]) assert.ok((await model(to, { model: 'vision', ...twoTokens }).invoke([question])).text.length > 0);
    });

    test('gets the same from the real engine, whole and streamed', async () => {
      const same = { temperature: 0, ...twoTokens };
      const whole = await model(real, same).invoke('Hello');
      assert.equal((await streamed(model(real, same), 'Hello')).text, whole.text);
    });

    test('shows errors', async () => {
      await assert.rejects(model(gateway, { model: 'none' }).invoke('Hello'), /none/);
      await assert.rejects(model(gateway).invoke('[[status=500]]'));
    });
  });
}

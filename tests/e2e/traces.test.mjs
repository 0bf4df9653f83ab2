// Traces: which one a request belongs to, what a collector gets of it, and what a backend is told.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { Authority } from '../support/certificates.mjs';
import { Collector } from '../support/collector.mjs';
import { kEmbedding, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { bearer, isKnown, makeKey } from '../support/keys.mjs';
import { answerWell, ScriptedServer, status } from '../support/outside.mjs';
import { unusedPort } from '../support/ports.mjs';
import { waitUntil } from '../support/wait.mjs';

const kTrace = '4bf92f3577b34da6a3ce929d0e0e4736';
const kSpan = '00f067aa0ba902b7';
const kSampled = `00-${kTrace}-${kSpan}-01`;
const kUnsampled = `00-${kTrace}-${kSpan}-00`;
const kFew = { vision: null, documentation: null };
const kSecretPrompt = 'the-words-of-a-prompt';

let requests = 0;
const headersOf = (traceparent, more = {}) => ({ 'x-request-id': `traced-${++requests}`, ...(traceparent ? { traceparent } : {}), ...more });
const ask = (gateway, headers, body = {}) => gateway.generate({ prompt: `${kSecretPrompt} [[tokens=5]]`, model: 'technical', stream: false, ...body }, { headers });
const told = (gateway, path = '/v1/chat/completions') => gateway.engineLog.find('traced', { path });
const read = (traceparent) => {
  const [, trace, span, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent);
  return { trace, span, flags };
};
const named = (spans, name) => spans.find((span) => span.name === name);

describe('a gateway with a collector', () => {
  let collector, gateway, ada;

  before(async () => {
    collector = await Collector.start();
    gateway = await startScripted({ roles: { ...kFew, embedding: kEmbedding }, more: { tracing: { endpoint: collector.url, service_name: 'den' } } });
    ada = await makeKey(gateway.data, 'ada');
    await isKnown(gateway, ada.secret);
  });
  after(async () => {
    await gateway?.dispose();
    await collector?.close();
  });

  test('has a span for the request, the wait and the backend, in the trace of who asks', async () => {
    const headers = headersOf(kSampled, { tracestate: 'a=1,b=2', ...bearer(ada.secret) });
    assert.equal((await ask(gateway, headers)).status, 200);
    const spans = await collector.request(headers['x-request-id']);
    assert.equal(spans.length, 3);
    const [whole] = spans;
    const [wait, call] = [named(spans, 'wait for a slot'), named(spans, 'ask demo-technical')];
    assert.equal(whole.name, 'POST /api/generate');
    assert.equal(whole.kind, 2);
    assert.equal(whole.parentSpanId, kSpan);
    const { 'gbgreg.device': device, ...about } = whole.attributes;
    assert.ok(device);
    assert.deepEqual(about, {
      'http.request.method': 'POST', 'http.route': '/api/generate', 'http.response.status_code': 200, 'gbgreg.request_id': headers['x-request-id'], 'gbgreg.key_id': ada.id,
      'gbgreg.role': 'technical', 'gen_ai.request.model': 'demo-technical', 'gbgreg.backend': 'technical/demo-technical',
      'gen_ai.usage.input_tokens': call.attributes['gen_ai.usage.input_tokens'], 'gen_ai.usage.output_tokens': 5,
    });
    assert.equal(wait.kind, 1);
    assert.equal(call.kind, 3);
    assert.ok(wait.start <= call.start && whole.start <= wait.start && call.end <= whole.end);
    for (const span of spans) {
      assert.equal(span.traceId, kTrace);
      assert.equal(span.traceState, 'a=1,b=2');
      assert.equal(span.error, undefined);
      if (span !== whole) assert.equal(span.parentSpanId, whole.spanId);
    }
    const [{ traceparent, tracestate }] = told(gateway).slice(-1);
    assert.deepEqual(read(traceparent), { trace: kTrace, span: call.spanId, flags: '01' });
    assert.equal(tracestate, 'a=1,b=2');
    assert.ok([...collector.services].every((service) => service === `den ${gateway.version}`));
  });

  test('begins one where nobody has, or what was sent is not valid', async () => {
    const traces = new Set();
    for (const sent of [undefined, `${kSampled}-more`, kSampled.toUpperCase(), 'x', `00-${'0'.repeat(32)}-${kSpan}-01`]) {
      const headers = headersOf(sent, { ...bearer(ada.secret), tracestate: 'of-nobody=1' });
      assert.equal((await ask(gateway, headers)).status, 200);
      const [whole] = await collector.request(headers['x-request-id']);
      assert.equal(whole.parentSpanId, undefined);
      assert.notEqual(whole.traceId, kTrace);
      assert.equal(whole.traceState, undefined);
      traces.add(whole.traceId);
      assert.equal(read(told(gateway).at(-1).traceparent).trace, whole.traceId);
      assert.equal(told(gateway).at(-1).tracestate, '');
    }
    assert.equal(traces.size, 5);
  });

  test('passes on, and does not record, what who asks does not record', async () => {
    const headers = headersOf(kUnsampled, bearer(ada.secret));
    assert.equal((await ask(gateway, headers)).status, 200);
    const { trace, span, flags } = read(told(gateway).at(-1).traceparent);
    assert.deepEqual([trace, flags], [kTrace, '00']);
    assert.notEqual(span, kSpan);
    // What comes later is there, so what came before would be, too.
    const later = headersOf(undefined, bearer(ada.secret));
    await ask(gateway, later);
    await collector.request(later['x-request-id']);
    assert.equal(collector.spans.filter(({ attributes }) => attributes['gbgreg.request_id'] === headers['x-request-id']).length, 0);
  });

  test('tells every way of asking', async () => {
    const chat = { model: 'technical', messages: [{ role: 'user', content: `${kSecretPrompt} [[tokens=2]]` }], max_tokens: 9 };
    for (const [target, body, path] of [
      ['/v1/chat/completions', chat], ['/v1/messages', chat], ['/api/chat', chat], ['/v1/responses', { model: 'technical', input: 'Hello' }],
      ['/v1/completions', { model: 'technical', prompt: 'Hello' }, '/v1/completions'], ['/v1/embeddings', { model: 'embedding', input: kSecretPrompt }, '/v1/embeddings'],
    ]) {
      const headers = headersOf(undefined, bearer(ada.secret));
      const answer = await gateway.request('POST', target, { body, headers });
      assert.equal(answer.status, 200, `${target} ${answer.text}`);
      const spans = await collector.request(headers['x-request-id']);
      assert.equal(spans[0].name, `POST ${target}`);
      assert.equal(spans.length, 3, target);
      const call = spans.find(({ kind }) => kind === 3);
      assert.equal(read(told(gateway, path).at(-1).traceparent).span, call.spanId, target);
      assert.ok(spans[0].attributes['gen_ai.usage.input_tokens'] > 0, target);
    }
    const headers = headersOf(undefined, bearer(ada.secret));
    assert.equal((await gateway.request('POST', '/v1/messages/count_tokens', { body: chat, headers })).status, 200);
    const [whole] = await collector.request(headers['x-request-id']);
    assert.equal(read(told(gateway, '/v1/chat/completions/input_tokens').at(-1).traceparent).span, whole.spanId);
  });

  test('says what went wrong, and where', async () => {
    const missing = headersOf(undefined, bearer(ada.secret));
    assert.equal((await gateway.get(`/nothing/${kSecretPrompt}`, { headers: missing })).status, 404);
    const [nothing] = await collector.request(missing['x-request-id']);
    assert.equal(nothing.name, 'HTTP');
    assert.equal(nothing.attributes['http.response.status_code'], 404);
    assert.equal(nothing.error, undefined, 'it is no failure of the gateway');
    assert.equal(nothing.attributes['error.type'], 'unknown_path');

    const keyless = headersOf();
    assert.equal((await ask(gateway, keyless)).status, 401);
    const [refused] = await collector.request(keyless['x-request-id']);
    assert.equal(refused.attributes['error.type'], 'key_missing');
    assert.equal(refused.attributes['gbgreg.key_id'], undefined);

    const failing = headersOf(undefined, bearer(ada.secret));
    assert.equal((await ask(gateway, failing, { prompt: 'Hello [[status=500]]' })).status, 502);
    const spans = await collector.request(failing['x-request-id']);
    assert.ok(spans[0].error);
    const calls = spans.filter(({ kind }) => kind === 3);
    assert.ok(calls.length >= 1 && calls.every(({ error }) => error));
  });

  test('says of a client that left how far it came', async () => {
    const headers = headersOf(undefined, bearer(ada.secret));
    const stream = await gateway.stream({ prompt: 'Hello [[stall_after=1]]', model: 'technical' }, { headers });
    stream.cut();
    const spans = await collector.request(headers['x-request-id']);
    assert.equal(spans[0].attributes['http.response.status_code'], 499);
    assert.ok(spans.find(({ kind }) => kind === 3).error);
  });

  test('has no word of a prompt, and no secret, in any span', () => {
    const all = collector.texts.join('\n');
    assert.ok(all.includes(ada.id));
    assert.ok(!all.includes(kSecretPrompt));
    assert.ok(!all.includes(ada.secret) && !all.includes(ada.secret.slice(4, 20)));
  });

  test('counts what was sent', async () => {
    await waitUntil('all spans are counted', async () => await gateway.metric('gbgreg_spans_sent_total', {}, { headers: bearer(ada.secret) }) === collector.spans.length);
    assert.equal(await gateway.metric('gbgreg_spans_dropped_total', {}, { headers: bearer(ada.secret) }), 0);
  });
});

test('a request that went from one server to another has a call for each', async () => {
  const collector = await Collector.start();
  const seen = [];
  const keep = (then) => (request, ...more) => { seen.push(request.headers.traceparent); return then(request, ...more); };
  const den = await ScriptedServer.start(keep(status(500)));
  const attic = await ScriptedServer.start(keep(answerWell));
  const gateway = await startScripted({
    roles: kFew,
    more: { tracing: { endpoint: `${collector.url}/v1/traces` }, servers: { den: { kind: 'openai', url: den.url }, attic: { kind: 'openai', url: attic.url } } },
    prepare: (prepared) => prepared.configure((config) => {
      config.roles.outside = { models: [{ model: 'm', server: 'den' }, { model: 'n', server: 'attic' }] };
    }),
  });
  try {
    const headers = headersOf(kSampled);
    assert.equal((await ask(gateway, headers, { model: 'outside' })).status, 200);
    const spans = await collector.request(headers['x-request-id']);
    const calls = spans.filter(({ kind }) => kind === 3);
    assert.deepEqual(calls.map(({ attributes }) => attributes['gbgreg.backend']), ['outside/m@den', 'outside/n@attic']);
    assert.ok(calls[0].error);
    assert.equal(calls[1].error, undefined);
    assert.deepEqual(seen.map((sent) => read(sent).span), calls.map(({ spanId }) => spanId));
    assert.equal(spans[0].attributes['gbgreg.backend'], 'outside/n@attic');
  } finally {
    await gateway.dispose();
    for (const server of [den, attic, collector]) await server.close();
  }
});

test('the ratio decides of traces that begin here, and of no others', async () => {
  const collector = await Collector.start();
  const gateway = await startScripted({ roles: kFew, more: { tracing: { endpoint: collector.url, sample_ratio: 0 } } });
  try {
    for (let i = 0; i < 5; ++i) await ask(gateway, headersOf());
    assert.deepEqual(told(gateway).map(({ traceparent }) => read(traceparent).flags), Array(5).fill('00'));
    const headers = headersOf(kSampled);
    await ask(gateway, headers);
    await collector.request(headers['x-request-id']);
    assert.equal(collector.spans.length, 3);
  } finally {
    await gateway.dispose();
    await collector.close();
  }
});

test('a collector that is away, busy or rude hurts nobody, and gets what waits when it is back', async () => {
  const collector = await Collector.start({ port: await unusedPort(), behave: (response) => { response.writeHead(503); response.end(); } });
  const gateway = await startScripted({ roles: kFew, more: { tracing: { endpoint: collector.url } } });
  try {
    const first = headersOf();
    assert.equal((await ask(gateway, first)).status, 200);
    await waitUntil('it was asked', () => collector.posts > 0);
    await collector.close();
    const second = headersOf();
    assert.equal((await ask(gateway, second)).status, 200);
    const back = await Collector.start({ port: collector.port });
    for (const { 'x-request-id': id } of [first, second]) assert.equal((await back.request(id)).length, 3);

    back.behave = (response) => { response.writeHead(400); response.end('no'); };
    assert.equal((await ask(gateway, headersOf())).status, 200);
    await waitUntil('what it does not want is dropped', async () => await gateway.metric('gbgreg_spans_dropped_total', { reason: 'refused' }) >= 3);
    back.behave = () => {};
    const { posts } = back;
    assert.equal((await ask(gateway, headersOf())).status, 200);
    await waitUntil('it hangs', () => back.posts > posts);
    await gateway.stop();
    await back.close();
  } finally {
    await gateway.dispose();
  }
});

test('a collector is spoken to over TLS, when it can prove who it is', async () => {
  const folder = temporaryFolder();
  const authority = new Authority(folder);
  const collector = await Collector.start({ tls: authority.sign('collector') });
  const gateway = await startScripted({ roles: kFew, more: { tracing: { endpoint: collector.url, ca_file: authority.file } } });
  try {
    const headers = headersOf();
    await ask(gateway, headers);
    assert.equal((await collector.request(headers['x-request-id'])).length, 3);
  } finally {
    await gateway.dispose();
    await collector.close();
    fs.rmSync(folder, { recursive: true });
  }
});

test('without a collector what was sent is passed on word for word, and nothing else is', async () => {
  const gateway = await startScripted({ roles: kFew });
  try {
    await ask(gateway, headersOf());
    await ask(gateway, headersOf('00-nonsense'));
    assert.deepEqual(told(gateway), []);
    await ask(gateway, headersOf('01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-later', { tracestate: 'a=1' }));
    assert.deepEqual(told(gateway).map(({ traceparent, tracestate }) => [traceparent, tracestate]), [['01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-later', 'a=1']]);
    assert.equal(await gateway.metric('gbgreg_spans_sent_total'), 0);
  } finally {
    await gateway.dispose();
  }
});

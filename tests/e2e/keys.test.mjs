// Keys: who may ask, and how much; by the program, over HTTP, and as the official clients meet them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { client } from '../support/clients.mjs';
import { assertError, kGateway, portOf, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { bearer, isKnown, keysCommand, makeKey } from '../support/keys.mjs';
import { databaseEnvironment } from '../support/postgres.mjs';
import { kPatience, waitUntil } from '../support/wait.mjs';

const { OpenAI } = client('openai');
const { Anthropic } = client('@anthropic-ai/sdk');
const { Ollama } = client('ollama');

const kFew = { vision: null };
const ask = (gateway, secret, body, more = {}) => gateway.generate({ model: 'coordinator', stream: false, ...body }, { headers: bearer(secret), ...more });

describe('a gateway with keys', () => {
  let gateway, admin, ada;
  const made = async (body) => {
    const answer = await gateway.request('POST', '/api/keys', { body: { name: 'x', ...body }, headers: bearer(admin.secret) });
    assert.equal(answer.status, 200, answer.text);
    return answer.json();
  };
  const keyOf = async (id) => {
    const { keys } = (await gateway.get('/api/keys', { headers: bearer(admin.secret) })).json();
    return keys.find((key) => key.id === id);
  };

  before(async () => {
    gateway = await startScripted({ roles: kFew });
    assert.equal((await gateway.get('/api/version')).status, 200, 'without keys whoever comes is let in');
    assertError(await gateway.request('POST', '/api/keys', { body: { name: 'stranger' } }), 401, 'key_missing');
    admin = await makeKey(gateway.data, 'admin', '--admin');
    ada = await makeKey(gateway.data, 'ada');
    await isKnown(gateway, admin.secret);
    await isKnown(gateway, ada.secret);
  });
  after(() => gateway?.dispose());

  test('turns away who has none that counts, each in the words of its dialect', async () => {
    const native = await gateway.get('/api/fleet');
    assertError(native, 401, 'key_missing');
    assert.match(native.headers['www-authenticate'], /^Bearer/);
    assertError(await gateway.get('/api/fleet', { headers: bearer(`${ada.secret}x`) }), 401, 'key_invalid');
    assert.equal((await gateway.get('/v1/models')).json().error.type, 'authentication_error');
    assert.equal((await gateway.request('POST', '/v1/messages', { body: {} })).json().error.type, 'authentication_error');
    assert.equal(typeof (await gateway.get('/api/tags')).json().error, 'string');
    for (const target of ['/health', '/metrics', '/openapi.json', '/api/uploads', '/api/doctor']) assert.equal((await gateway.get(target)).status, 401, target);
    for (const target of ['/', '/health/live', '/health/ready']) assert.equal((await gateway.get(target)).status, 200, target);
    assert.equal((await gateway.request('OPTIONS', '/api/fleet')).status, 204);
  });

  test('lets in who has one, in either field', async () => {
    for (const headers of [bearer(ada.secret), { 'x-api-key': ada.secret }]) {
      for (const target of ['/health', '/metrics', '/openapi.json', '/api/fleet', '/v1/models', '/api/doctor?quick=1']) assert.equal((await gateway.get(target, { headers })).status, 200, target);
    }
  });

  test('lets only an admin do what changes things for all', async () => {
    for (const [method, target, body] of [['GET', '/api/keys'], ['POST', '/api/keys', { name: 'x' }], ['DELETE', `/api/keys/${ada.id}`], ['POST', '/api/reload'], ['GET', '/api/doctor'],
      ['POST', '/api/fleet/technical/restart'], ['POST', '/api/fleet/technical/load'], ['POST', '/api/fleet/technical/unload'], ['POST', '/api/models/pull', { model: 'x' }],
      ['POST', '/api/pull', { model: 'x' }], ['DELETE', '/api/delete', { model: 'x' }], ['POST', '/api/generate', { model: 'coordinator', prompt: '', keep_alive: 0 }]]) {
      const answer = await gateway.request(method, target, { body, headers: bearer(ada.secret) });
      assert.equal(answer.status, 403, `${method} ${target} ${answer.text}`);
      assert.match(answer.text, /admin/);
    }
    const before = (await gateway.get('/health', { headers: bearer(ada.secret) })).json().models.roles;
    assert.equal((await ask(gateway, ada.secret, { prompt: 'Hello', keep_alive: 0 })).status, 200);
    assert.deepEqual((await gateway.get('/health', { headers: bearer(ada.secret) })).json().models.roles.map((role) => role.state), before.map((role) => role.state));
    assert.equal((await gateway.reload({ headers: bearer(admin.secret) })).status, 200);
  });

  test('makes, lists and revokes them over HTTP', async () => {
    const wanted = { name: 'bob', roles: ['technical'], requests_per_minute: 100, tokens_per_minute: 1000, tokens_per_day: 10_000, expires_at: '2099-01-01T00:00:00Z', admin: false };
    const { key, secret } = await made(wanted);
    assert.match(secret, /^gbg_[0-9A-Za-z]{49}$/);
    const { id, prefix, status, created_at, ...rest } = key;
    assert.deepEqual(rest, { ...wanted, expires_at: '2099-01-01T00:00:00.000Z', requests_today: 0, tokens_today: 0, revoked_at: null, last_used_at: null });
    assert.equal(prefix, secret.slice(0, 8));
    assert.equal(status, 'active');
    assert.equal((await gateway.get('/api/version', { headers: bearer(secret) })).status, 200);
    assert.equal((await keyOf(id)).requests_today, 1);
    const revoked = await gateway.request('DELETE', `/api/keys/${id}`, { headers: bearer(admin.secret) });
    assert.equal(revoked.json().key.status, 'revoked');
    assertError(await gateway.get('/api/version', { headers: bearer(secret) }), 401, 'key_revoked');
    assertError(await gateway.request('DELETE', '/api/keys/nobody', { headers: bearer(admin.secret) }), 404, 'key_not_found');
    assertError(await gateway.request('POST', '/api/keys', { body: { name: 'x', requests_per_minut: 1 }, headers: bearer(admin.secret) }), 400, 'invalid_field');
  });

  test('gives no key more than its maker has', async () => {
    const { secret } = await made({ name: 'lesser', admin: true, tokens_per_day: 100 });
    const wanted = (body) => gateway.request('POST', '/api/keys', { body: { name: 'y', ...body }, headers: bearer(secret) });
    assertError(await wanted({}), 403, 'key_too_strong');
    assert.equal((await wanted({ tokens_per_day: 100, admin: true })).status, 200);
  });

  test('answers only by the roles of the key', async () => {
    const { secret } = await made({ name: 'writer', roles: ['documentation'] });
    const routed = await gateway.generate({ prompt: 'Fix this: for (int i = 0; i < n; ++i) { f(i); }' }, { headers: bearer(secret) });
    assert.equal(routed.json().gbgreg.role, 'documentation', routed.text);
    for (const model of ['technical', 'demo-technical']) {
      const refused = await ask(gateway, secret, { model, prompt: 'x' });
      assert.equal(refused.status, 403);
      assert.match(refused.text, /documentation/);
    }
    const { error } = (await gateway.request('POST', '/v1/chat/completions', { body: { model: 'technical', messages: [{ role: 'user', content: 'x' }] }, headers: bearer(secret) })).json();
    assert.equal(error.type, 'permission_error');
    assertError(await gateway.request('POST', '/api/route', { body: { prompt: 'x', model: 'technical' }, headers: bearer(secret) }), 403, 'role_not_allowed');
  });

  test('settles tokens by what the answer says, of streams as well, and charges one that was broken off', async () => {
    const { key, secret } = await made({ name: 'metered', tokens_per_minute: 100_000 });
    const whole = await ask(gateway, secret, { prompt: '[[text="one two three"]]', options: { num_predict: 500 } });
    assert.equal(whole.headers['x-ratelimit-limit-tokens'], '100000');
    assert.ok(Number(whole.headers['x-ratelimit-remaining-tokens']) <= 99_500, 'what it may take is reserved');
    let spent = whole.json().prompt_eval_count + whole.json().eval_count;
    await waitUntil('the answer is settled', async () => (await keyOf(key.id)).tokens_today === spent);
    const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: secret });
    const messages = [{ role: 'user', content: '[[text="one two three four"]]' }];
    let usage;
    for await (const chunk of await openai.chat.completions.create({ model: 'coordinator', messages, stream: true, stream_options: { include_usage: true } })) usage = chunk.usage ?? usage;
    spent += usage.total_tokens;
    await waitUntil('the stream is settled', async () => (await keyOf(key.id)).tokens_today === spent);

    const stream = await gateway.stream({ model: 'coordinator', prompt: '[[tokens=100000 delay_ms=5]]' }, { headers: bearer(secret) });
    let pieces = 0;
    for await (const _ of stream.lines()) if (++pieces === 20) break;
    stream.cut();
    await waitUntil('what was broken off is charged', async () => (await keyOf(key.id)).tokens_today >= spent + 20);
    assert.ok((await keyOf(key.id)).tokens_today < spent + 50_000);
  });

  test('says 429, when to come back, and what is left', async () => {
    const { secret } = await made({ name: 'seldom', requests_per_minute: 2 });
    const first = await gateway.get('/api/version', { headers: bearer(secret) });
    assert.equal(first.headers['x-ratelimit-limit-requests'], '2');
    assert.equal(first.headers['x-ratelimit-remaining-requests'], '1');
    assert.match(first.headers['x-ratelimit-reset-requests'], /^(30|29\.\d+)s$/);
    assert.equal((await gateway.get('/api/version', { headers: bearer(secret) })).status, 200);
    const refused = await gateway.get('/api/version', { headers: bearer(secret) });
    assertError(refused, 429, 'requests_per_minute_exceeded');
    assert.ok(Number(refused.headers['retry-after']) >= 1 && Number(refused.headers['retry-after']) <= 30);
    const { secret: poor } = await made({ name: 'poor', tokens_per_day: 50 });
    assertError(await gateway.generate({ prompt: 'x', options: { num_predict: 60 } }, { headers: bearer(poor) }), 413, 'request_over_limit');
    assert.equal((await ask(gateway, poor, { prompt: '[[tokens=60]]' })).status, 200);
    // What an answer took is settled just after its last byte.
    const over = await waitUntil('the day is used up', async () => {
      const answer = await gateway.generate({ prompt: 'x' }, { headers: bearer(poor) });
      return answer.status === 429 && answer;
    });
    assertError(over, 429, 'tokens_per_day_exceeded');
  });

  test('is what the official clients know', async () => {
    const limited = (await made({ name: 'limited', requests_per_minute: 1 })).secret;
    const narrow = (await made({ name: 'narrow', roles: ['documentation'] })).secret;
    const messages = [{ role: 'user', content: '[[text="one two"]]' }];
    const byOpenAi = (apiKey) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 }).chat.completions.create({ model: 'coordinator', messages }).withResponse();
    assert.equal((await byOpenAi(ada.secret)).data.choices[0].message.content, 'one two');
    await assert.rejects(byOpenAi('sk-none'), OpenAI.AuthenticationError);
    await assert.rejects(byOpenAi(narrow), OpenAI.PermissionDeniedError);
    assert.equal((await byOpenAi(limited)).response.headers.get('x-ratelimit-remaining-requests'), '0');
    await assert.rejects(byOpenAi(limited), (error) => error instanceof OpenAI.RateLimitError && Number(error.headers.get('retry-after')) > 0 && error.code === 'requests_per_minute_exceeded');

    const byAnthropic = (options) => new Anthropic({ baseURL: gateway.url, maxRetries: 0, apiKey: null, authToken: null, ...options }).messages.create({ model: 'coordinator', max_tokens: 9, messages });
    assert.equal((await byAnthropic({ apiKey: ada.secret })).content[0].text, 'one two');
    assert.equal((await byAnthropic({ authToken: ada.secret })).content[0].text, 'one two');
    await assert.rejects(byAnthropic({ apiKey: 'none' }), Anthropic.AuthenticationError);
    await assert.rejects(byAnthropic({ apiKey: narrow }), Anthropic.PermissionDeniedError);
    await assert.rejects(byAnthropic({ apiKey: limited }), Anthropic.RateLimitError);

    const byOllama = (secret) => new Ollama({ host: gateway.url, headers: secret ? bearer(secret) : {} }).chat({ model: 'coordinator', messages });
    assert.equal((await byOllama(ada.secret)).message.content, 'one two');
    await assert.rejects(byOllama(), { status_code: 401 });
    await assert.rejects(byOllama(limited), { status_code: 429 });
  });

  test('says no secret in its log, and keeps none on the disk', async () => {
    await gateway.get('/api/version', { headers: bearer(ada.secret) });
    await waitUntil('the log says whose a request was', () => gateway.output.some((line) => line.includes(`key=${ada.id}`)));
    const texts = [gateway.output.join('\n')];
    for (const name of fs.readdirSync(gateway.data)) {
      const file = path.join(gateway.data, name);
      if (fs.statSync(file).isFile() && name !== 'reserve') texts.push(fs.readFileSync(file, 'latin1'));
    }
    for (const text of texts) for (const { secret } of [ada, admin]) assert.ok(!text.includes(secret.slice(8)));
  });

  test('refuses within a few seconds what the program revokes', async () => {
    const gone = await makeKey(gateway.data, 'gone');
    await isKnown(gateway, gone.secret);
    assert.equal((await keysCommand(gateway.data, 'revoke', 'gone')).status, 0);
    await isKnown(gateway, gone.secret, 401);
    assert.match((await keysCommand(gateway.data, 'list')).stdout, /gone, revoked/);
    assert.equal((await keysCommand(gateway.data, 'revoke', 'gone')).status, 1);
  });
});

test('limits go on after a restart', async () => {
  const gateway = await startScripted({ roles: { ...kFew, technical: null, documentation: null }, prepare: async (starting) => Object.assign(starting, { key: await makeKey(starting.data, 'ada', '--tokens-per-day', '60', '--requests-per-minute', '1000') }), ready: false });
  try {
    const { secret } = gateway.key;
    await waitUntil('the model answers', async () => (await ask(gateway, secret, { prompt: '[[tokens=60]]' })).status === 200);
    await waitUntil('the day is used up', async () => (await ask(gateway, secret, { prompt: 'x' })).status === 429);
    await gateway.stop();
    await gateway.launch();
    await waitUntil('it is ready', async () => (await gateway.get('/health/ready')).status === 200);
    assertError(await gateway.generate({ prompt: 'x' }, { headers: bearer(secret) }), 429, 'tokens_per_day_exceeded');
    assert.ok(Number((await gateway.get('/api/version', { headers: bearer(secret) })).headers['x-ratelimit-remaining-requests']) < 1000);
  } finally {
    await gateway.dispose();
  }
});

test('a reload changes whether keys are asked for', async () => {
  const gateway = await startScripted({ roles: { ...kFew, technical: null, documentation: null }, more: { auth: { required: 'always' } }, ready: false });
  try {
    assertError(await gateway.get('/api/version'), 401, 'key_missing');
    const admin = await makeKey(gateway.data, 'admin', '--admin');
    await isKnown(gateway, admin.secret);
    gateway.configure((config) => ({ ...config, auth: { required: 'never' } }));
    const report = await gateway.reload({ headers: bearer(admin.secret) });
    assert.match(report.text, /auth\.required/);
    assert.equal((await gateway.get('/api/version')).status, 200);
    assert.equal((await gateway.get('/api/keys')).status, 401);
    gateway.configure((config) => ({ ...config, auth: { required: 'sometimes' } }));
    assert.equal((await gateway.reload()).status, 422);
  } finally {
    await gateway.dispose();
  }
});

test('beyond loopback nothing listens without a key, unless told to', async () => {
  const folder = temporaryFolder();
  const data = path.join(folder, 'data');
  const env = { ...process.env, ...await databaseEnvironment(data) };
  const serve = (...flags) => spawnSync(kGateway, ['serve', '--data', data, '--listen', '0.0.0.0:0', ...flags], { timeout: 20_000 * kPatience, encoding: 'utf8', env });
  let gateway;
  try {
    const refused = serve();
    assert.equal(refused.status, 1, refused.stderr);
    assert.match(refused.stderr, /gbgreg keys create NAME --admin/);
    const { secret } = await makeKey(data, 'expires', '--expires-at', '2099-01-01T00:00:00Z');
    assert.equal((await keysCommand(data, 'revoke', 'expires')).status, 0);
    assert.equal(serve().status, 1, 'a key that does not count is none');
    gateway = await startScripted({ roles: { ...kFew, technical: null, documentation: null }, listen: ['0.0.0.0:0'], prepare: async (starting) => Object.assign(starting, { key: await makeKey(starting.data, 'ada') }), ready: false });
    assert.equal((await gateway.get('/api/version')).status, 401);
    assert.equal((await gateway.get('/api/version', { headers: bearer(secret) })).status, 401);
    assert.equal((await gateway.get('/api/version', { headers: bearer(gateway.key.secret) })).status, 200);
    assert.ok(gateway.output.some((line) => line.includes('goes over the wire')), 'a plain address is warned of');
    assert.ok(portOf(gateway.addresses[0]));
    gateway.configure((config) => ({ ...config, auth: { required: 'never' } }));
    await gateway.stop();
    const open = spawnSync(kGateway, ['serve', '--config', gateway.configFile, '--data', gateway.data, '--listen', '0.0.0.0:0'], { timeout: 20_000 * kPatience, encoding: 'utf8' });
    assert.equal(open.status, 1);
    assert.match(open.stderr, /auth\.required/);
  } finally {
    await gateway?.dispose();
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

// Two gateways on one PostgreSQL keep the limits of a key together: under load, when one of them is killed, and when the
// database goes.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startScripted } from '../support/gateway.mjs';
import { bearer, isKnown, makeKey } from '../support/keys.mjs';
import { PostgresServer } from '../support/postgres.mjs';
import { waitUntil } from '../support/wait.mjs';

const kOneRole = { technical: null, documentation: null, vision: null };
// What others held comes back in that.
const kGoneMs = 30_000;

describe('two gateways on one database', () => {
  let server, url, one, two, admin;
  const ready = (gateway) => waitUntil('it is ready', async () => (await gateway.get('/health/ready')).status === 200);
  const start = () => startScripted({ roles: kOneRole, environment: { GBGREG_DATABASE: url }, ready: false });
  const launch = async (gateway) => ready(await gateway.launch({ environment: { GBGREG_DATABASE: url } }));

  before(async () => {
    server = await PostgresServer.start();
    url = server.newDatabase();
    one = await start();
    process.env.GBGREG_DATABASE = url;
    admin = await makeKey(one.data, 'admin', '--admin');
    delete process.env.GBGREG_DATABASE;
    await isKnown(one, admin.secret);
    two = await start();
    for (const gateway of [one, two]) await ready(gateway);
  });
  after(async () => {
    await two?.dispose();
    await one?.dispose();
  });

  const made = async (limits) => {
    const answer = await one.request('POST', '/api/keys', { body: { name: 'x', ...limits }, headers: bearer(admin.secret) });
    assert.equal(answer.status, 200, answer.text);
    const { key, secret } = answer.json();
    await waitUntil('both know the key', async () => (await two.get('/api/version', { headers: bearer(secret) })).status !== 401);
    return { id: key.id, secret };
  };
  const row = async (gateway, id) => (await gateway.get('/api/keys', { headers: bearer(admin.secret) })).json().keys.find((key) => key.id === id);

  // Asks both gateways, in `lanes` lanes each, until `enough` says so; { answers, ms }.
  async function load(gateways, ask, { lanes = 4, each }) {
    const answers = [];
    const began = performance.now();
    await Promise.all(gateways.flatMap((gateway) => Array.from({ length: lanes }, async () => {
      for (let i = 0; i < each; ++i) answers.push(await ask(gateway));
    })));
    return { answers, ms: performance.now() - began };
  }
  const version = ({ secret }) => (gateway) => gateway.get('/api/version', { headers: bearer(secret) });
  const generate = ({ secret }) => (gateway) => gateway.generate({ model: 'coordinator', stream: false, prompt: '[[tokens=9]]', options: { num_predict: 10 } }, { headers: bearer(secret) });
  const admitted = (answers) => answers.filter((answer) => answer.status === 200);
  const onlyLimits = (answers) => assert.deepEqual([...new Set(answers.map((answer) => answer.status))].filter((status) => status !== 200 && status !== 429), [], answers.find((answer) => ![200, 429].includes(answer.status))?.text);
  const tokensOf = (answers) => admitted(answers).map((answer) => answer.json()).reduce((sum, answer) => sum + answer.prompt_eval_count + answer.eval_count, 0);

  test('admit a minute\'s requests, and not one each', async () => {
    const key = await made({ requests_per_minute: 60 });
    const { answers, ms } = await load([one, two], version(key), { lanes: 8, each: 10 });
    onlyLimits(answers);
    // One was taken when both were asked whether they know it.
    assert.ok(admitted(answers).length >= 59, `${admitted(answers).length} of 60`);
    assert.ok(admitted(answers).length <= 60 + ms / 1000, `${admitted(answers).length} of 60 in ${ms} ms`);
    assert.ok(answers.some((answer) => answer.status === 429 && Number(answer.headers['retry-after']) >= 1));
  });

  test('admit a minute\'s tokens, and no more', async () => {
    const key = await made({ tokens_per_minute: 600 });
    const began = performance.now();
    const brought = () => (performance.now() - began) / 100;
    const { answers } = await load([one, two], generate(key), { each: 20 });
    onlyLimits(answers);
    let tokens = tokensOf(answers);
    assert.ok(tokens <= 600 + brought(), `${tokens} of 600 and ${brought()}`);
    await waitUntil('all but a little is given', async () => {
      for (const gateway of [one, two]) tokens += tokensOf([await generate(key)(gateway)]);
      return tokens > 600 - 30 + brought();
    });
    assert.ok(tokens <= 600 + brought(), `${tokens} of 600 and ${brought()}`);
  });

  test('admit a day\'s tokens exactly, wherever they are asked for', async () => {
    const key = await made({ tokens_per_day: 1000 });
    const { answers } = await load([one, two], generate(key), { each: 25 });
    onlyLimits(answers);
    let tokens = tokensOf(answers);
    assert.ok(tokens <= 1000, `${tokens} of 1000`);
    // What is left is less than one request wants, and whoever asks for no more than that is given it by either.
    // A refusal is believed for a moment, so it is asked again.
    await waitUntil('all but a little is given', async () => {
      for (const gateway of [one, two]) tokens += tokensOf([await generate(key)(gateway)]);
      return tokens > 1000 - 30;
    });
    assert.ok(tokens <= 1000, `${tokens} of 1000`);
    await waitUntil('both have counted all', async () => (await row(one, key.id)).tokens_today === tokens && (await row(two, key.id)).tokens_today === tokens);
  });

  test('what one holds is the other\'s when nobody uses it', async () => {
    const key = await made({ requests_per_minute: 30 });
    assert.equal((await version(key)(one)).status, 200);
    const { answers } = await load([two], version(key), { lanes: 4, each: 10 });
    onlyLimits(answers);
    assert.ok(admitted(answers).length >= 28, `${admitted(answers).length} of what was left`);
  });

  test('when one is killed the day is not overspent, and its restart gives nobody more', async () => {
    const key = await made({ tokens_per_day: 2000 });
    const before = await load([one, two], generate(key), { lanes: 2, each: 5 });
    let tokens = tokensOf(before.answers);
    await two.kill();
    const meanwhile = await load([one], generate(key), { lanes: 2, each: 5 });
    onlyLimits(meanwhile.answers);
    await launch(two);
    const { answers } = await load([one, two], generate(key), { each: 25 });
    onlyLimits(answers);
    tokens += tokensOf(meanwhile.answers) + tokensOf(answers);
    assert.ok(tokens <= 2000, `${tokens} of 2000`);
    // Of what the dead one held nobody knows whether it was used.
    assert.ok(tokens > 1000, `${tokens} of 2000`);
  });

  test('when the database goes nobody fails, each has its part, and all is counted when it is back', async () => {
    const key = await made({ tokens_per_day: 3000 });
    let tokens = tokensOf((await load([one, two], generate(key), { lanes: 2, each: 5 })).answers);
    await server.stop();
    const { answers } = await load([one, two], generate(key), { lanes: 2, each: 150 });
    onlyLimits(answers);
    tokens += tokensOf(answers);
    assert.ok(admitted(answers).length > 0);
    assert.ok(answers.some((answer) => answer.status === 429), 'its part is not endless');
    // What one took shortly before is not known to the other: at most the half of what that one believed to be left.
    assert.ok(tokens <= 3000 + 1500, `${tokens} of 3000`);
    await server.start();
    await waitUntil('all is counted', async () => (await row(one, key.id)).tokens_today === tokens && (await row(two, key.id)).tokens_today === tokens, { deadlineMs: kGoneMs });
  });

  test('the last one counts by itself, until another comes', async () => {
    const began = performance.now();
    const key = await made({ requests_per_minute: 40 });
    let all = 1;  // When it was asked whether the key is known.
    const ask = async (gateways, each) => {
      const { answers } = await load(gateways, version(key), { lanes: 4, each });
      onlyLimits(answers);
      all += admitted(answers).length;
      const brought = (performance.now() - began) * 40 / 60_000;
      assert.ok(all <= 40 + brought, `${all} of 40 and ${brought}`);
    };
    await ask([one, two], 2);
    const told = () => one.output.filter((line) => line.includes('no other gateway uses this database any more')).length;
    const before = told();
    await two.stop();
    await waitUntil('it is alone', () => told() > before);
    await ask([one], 15);
    assert.ok(all >= 39, `${all} of 40`);
    await launch(two);
    await ask([one, two], 5);
  });
});

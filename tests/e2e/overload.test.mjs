// More than the workers can do: who waits, who is refused, and what those are told. How fast is bench/overload.mjs's matter.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertError, startScripted } from '../support/gateway.mjs';
import { openStream } from '../support/http.mjs';
import { kPatience, waitUntil } from '../support/wait.mjs';

const kOnlyCoordinator = { technical: null, documentation: null, vision: null };
const kGreedy = { authorization: 'Bearer greedy' };
const kModest = { 'x-api-key': 'modest' };

function ask(gateway, directives, headers = {}, more = {}) {
  return gateway.generate({ prompt: `Hello [[${directives}]]`, model: 'coordinator', stream: false, ...more }, { headers });
}

// Takes the slot of a worker that has only one, until it is cut.
async function holder(gateway, tag) {
  const stream = await openStream(gateway.port, '/api/generate', { prompt: `Hello [[tokens=2 stall_after=1 tag=${tag}]]`, model: 'coordinator' });
  await gateway.engineLog.waitFor('request_begin', { tag });
  return stream;
}

const queued = (gateway, count) => waitUntil(`${count} wait`, async () => (await gateway.metric('gbgreg_worker_queued')) === count);

describe('of a full queue', () => {
  let gateway;
  before(async () => {
    gateway = await startScripted({ roles: { ...kOnlyCoordinator, coordinator: { slots: 1 } }, limits: { queue_max: 3 } });
  });
  after(() => gateway?.dispose());

  test('everybody has a share: whoever has the most gives up a place, and turns are taken', async () => {
    const held = await holder(gateway, 'held');
    const greedy = [];
    for (let i = 0; i < 3; ++i) {
      greedy.push(ask(gateway, `tokens=1 tag=greedy${i}`, kGreedy));
      await queued(gateway, i + 1);
    }
    const tooMuch = assertError(await ask(gateway, 'tokens=1', kGreedy), 429, 'queue_full');
    assert.match(tooMuch.message, /demo-coordinator/);

    const modest = ask(gateway, 'tokens=1 tag=modest', kModest);
    assertError(await greedy[2], 429, 'queue_full');
    held.cut();
    assert.deepEqual([await greedy[0], await greedy[1], await modest].map((answer) => answer.status), [200, 200, 200]);
    const order = gateway.engineLog.find('request_begin').map((event) => event.tag);
    assert.deepEqual(order.slice(-3), ['greedy0', 'modest', 'greedy1']);
    await gateway.allSlotsFree();
  });

  test('a caller is a key, and without one an address', async () => {
    const held = await holder(gateway, 'held-again');
    const waiting = [ask(gateway, 'tokens=1'), ask(gateway, 'tokens=1'), ask(gateway, 'tokens=1', { 'x-api-key': 'greedy' })];
    await queued(gateway, 3);
    // The key that waits already, in the other field's words: it has one, and would have as many as the address has.
    assertError(await ask(gateway, 'tokens=1', kGreedy), 429, 'queue_full');
    held.cut();
    for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 200);
  });
});

describe('where answers take 1.5 s of an objective of 5 s, and there is one slot', () => {
  let gateway;
  let held;
  before(async () => {
    gateway = await startScripted({ roles: { ...kOnlyCoordinator, coordinator: { slots: 1, objective_ms: 5000 * kPatience } } });
    assert.equal((await ask(gateway, `prefill_ms=${1500 * kPatience}`)).status, 200);
    await waitUntil('it is measured', async () => (await gateway.role('coordinator')).p95_ms >= 1500 * kPatience);
    held = await holder(gateway, 'held');
  });
  after(() => gateway?.dispose());

  test('one may wait, and the next one hears at once that it would be too late, in every dialect', async () => {
    const first = ask(gateway, 'tokens=1');
    await queued(gateway, 1);
    const messages = [{ role: 'user', content: 'Hello' }];
    const refusals = [
      await ask(gateway, 'tokens=1'),
      await gateway.request('POST', '/v1/chat/completions', { body: { model: 'coordinator', messages } }),
      await gateway.request('POST', '/v1/chat/completions', { body: { model: 'coordinator', messages, stream: true } }),
      await gateway.request('POST', '/v1/messages', { body: { model: 'coordinator', max_tokens: 5, messages } }),
      await gateway.request('POST', '/api/chat', { body: { model: 'coordinator', messages } }),
    ];
    const seconds = refusals.map((answer) => Number(answer.headers['retry-after']));
    for (const answer of refusals) {
      assert.equal(answer.status, 429, answer.text);
      assert.match(answer.text, /free for this request in about \d+ s/);
    }
    // Each is told a time of its own, so that they do not all come back in the same moment.
    assert.ok(seconds[0] >= 1 && seconds[0] <= 3 * kPatience, `${seconds}`);
    for (let i = 1; i < seconds.length; ++i) assert.ok(seconds[i] > seconds[i - 1], `${seconds}`);

    const batch = ask(gateway, 'tokens=1', {}, { priority: 'batch' });
    await queued(gateway, 2);
    assertError(await ask(gateway, 'tokens=1', {}, { priority: 'batch', deadline_ms: 1000 }), 429, 'wait_too_long');
    held.cut();
    for (const answer of [await first, await batch]) assert.equal(answer.status, 200, answer.text);
  });
});

test('the owner may turn the look ahead off', async () => {
  const gateway = await startScripted({
    roles: { ...kOnlyCoordinator, coordinator: { slots: 1, objective_ms: 1 } }, limits: { queue_wait_ms_max: 'off' },
  });
  try {
    assert.equal((await ask(gateway, 'prefill_ms=100')).status, 200);
    await waitUntil('it is measured', async () => (await gateway.role('coordinator')).p95_ms >= 100);
    const held = await holder(gateway, 'held');
    const waiting = Array.from({ length: 5 }, () => ask(gateway, 'tokens=1'));
    await queued(gateway, 5);
    held.cut();
    for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 200);
  } finally {
    await gateway.dispose();
  }
});

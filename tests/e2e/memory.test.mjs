// More models than memory: who is asked for takes the place of another, nobody fails, and no more are in memory than fit.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertError, kRoles, startReal } from '../support/gateway.mjs';
import { commandLine } from '../support/processes.mjs';
import { monotonicNs, percentile, waitUntil } from '../support/wait.mjs';

// The demo models take 8 to 10 MB each by what is predicted: two of them fit, three do not.
const kBudget = 21_000_000;
const sleepers = async (gateway) => (await gateway.health()).models.roles.filter((role) => role.state === 'sleeping').map((role) => role.role);

// How many engines run, from now on until it is asked for.
function watchWorkers(gateway) {
  let most = 0;
  // The doctor's probe of drivers is a child, too.
  const engines = () => gateway.workers().filter((pid) => commandLine(pid).includes('-m'));
  const timer = setInterval(() => { most = Math.max(most, engines().length); }, 5);
  return () => {
    clearInterval(timer);
    return most;
  };
}

describe('memory for two of four models', () => {
  let gateway;
  before(async () => {
    gateway = await startReal({ more: { memory: { ram_bytes_max: kBudget } }, limits: { queue_max: 1000, queue_wait_ms_max: 'off' }, ready: false });
    await waitUntil('those that fit are ready', async () => (await sleepers(gateway)).length === 2
      && (await gateway.health()).models.roles.filter((role) => role.state === 'ready').length === 2);
  });
  after(() => gateway?.dispose());

  test('as many as fit are loaded ahead of need; the others sleep, and that is no fault', async () => {
    const health = await gateway.health();
    assert.equal(health.status, 'healthy', JSON.stringify(health.models));
    assert.equal(health.models.operational, 4);
    assert.equal(gateway.workers().length, 2);
    assert.equal((await gateway.get('/health/ready')).status, 200);
  });

  test('one that sleeps answers when it is asked', async () => {
    for (const role of [...await sleepers(gateway)]) {
      const answer = await gateway.generate({ prompt: 'Hello', model: role, stream: false, options: { num_predict: 4 } });
      assert.equal(answer.status, 200, answer.text);
      assert.equal((await gateway.role(role)).state, 'ready');
    }
  });

  test('1,000 requests over four roles: none fails, never more than fit, every wait bounded', async () => {
    const stopWatching = watchWorkers(gateway);
    const restartsBefore = await gateway.metric('gbgreg_worker_loads_total');
    const waits = [];
    let next = 0;
    const client = async () => {
      for (;;) {
        const i = next++;
        if (i >= 1000) return;
        // Mixed, and in no order that a plan could like: A-B-A-A-C and D now and then.
        const role = kRoles[[0, 1, 0, 0, 2, 0, 3, 1, 0, 2][(i * 7) % 10]];
        const asked = monotonicNs();
        const answer = await gateway.generate({ prompt: `Say ${i}`, model: role, stream: false, options: { num_predict: 4, seed: i } });
        assert.equal(answer.status, 200, `${role} ${i}: ${answer.text}`);
        waits.push(Number(monotonicNs() - asked) / 1e6);
      }
    };
    const began = monotonicNs();
    await Promise.all(Array.from({ length: 16 }, client));
    const seconds = Number(monotonicNs() - began) / 1e9;
    const most = stopWatching();
    waits.sort((a, b) => a - b);
    const loads = (await gateway.metric('gbgreg_worker_loads_total')) - restartsBefore;
    console.log(`1,000 requests over four roles with memory for two: ${loads} loads, ${seconds.toFixed(1)} s, an answer after ${percentile(waits, 0.5).toFixed(0)} ms (median), ${percentile(waits, 0.99).toFixed(0)} (p99), ${waits.at(-1).toFixed(0)} (most); at most ${most} models in memory`);
    assert.equal(waits.length, 1000);
    assert.ok(most <= 2, `${most} engines ran at once`);
    assert.ok(loads > 0, 'nothing was swapped, so nothing was tested');
    assert.ok(loads < 500, `${loads} loads for 1,000 requests: every second one waited for a swap`);
    for (const role of (await gateway.health()).models.roles) assert.notEqual(role.state, 'failed');
  });
});

describe('a model that has nothing to do', () => {
  test('leaves memory after the time that it may be idle, and comes back', async () => {
    // Both need not be ready at one moment: the first may sleep before the other is there.
    const gateway = await startReal({ roles: { technical: { keep_alive: 1 }, documentation: null, vision: null }, ready: false });
    try {
      await waitUntil('it was loaded and sleeps, and the others stay', async () => await gateway.metric('gbgreg_worker_loads_total', { role: 'technical' }) === 1
        && (await gateway.role('technical')).state === 'sleeping' && (await gateway.role('coordinator')).state === 'ready', { deadlineMs: 30_000 });
      assert.equal(gateway.workers().length, 1);
      assert.equal((await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false, options: { num_predict: 4 } })).status, 200);
    } finally {
      await gateway.dispose();
    }
  });
});

describe('a model that is larger than all memory that models may have', () => {
  test('is refused with what it needs, and the others answer', async () => {
    const gateway = await startReal({ more: { memory: { ram_bytes_max: 12_000_000 } }, roles: { technical: { context: 65536 }, documentation: null, vision: null }, ready: false });
    try {
      const error = assertError(await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false }), 503);
      assert.match(error.message, /demo-technical needs [\d.]+ GB of memory, and models may have 0\.01 GB.*ram_bytes_max/);
      await waitUntil('/health says so, too', async () => (await gateway.role('technical')).state === 'failed');
      assert.equal((await gateway.generate({ prompt: 'Hello', model: 'coordinator', stream: false, options: { num_predict: 4 } })).status, 200);
    } finally {
      await gateway.dispose();
    }
  });
});

// Running the fleet over HTTP: what GET /api/fleet shows, and load, unload and restart.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertError, emptyModel, kEmbedding, startScripted } from '../support/gateway.mjs';
import { openStream } from '../support/http.mjs';
import { ModelServer } from '../support/model_server.mjs';
import { startBefore } from '../support/outside.mjs';
import { waitUntil } from '../support/wait.mjs';

const kTwoRoles = { documentation: null, vision: null };
const fleet = async (gateway) => (await gateway.get('/api/fleet')).json();
const backends = async (gateway) => (await fleet(gateway)).roles.flatMap((role) => role.backends);
const backend = async (gateway, role) => (await backends(gateway)).find((one) => one.role === role);
const order = (gateway, role, word, body) => gateway.request('POST', `/api/fleet/${role}/${word}`, body === undefined ? {} : { body });
const ask = (gateway, model, more = {}) => gateway.generate({ prompt: 'Hello', model, stream: false, ...more });

// Holds the role's only slot until it is cut.
async function hold(gateway, model) {
  const tag = `held-${model}-${Math.random()}`;
  const stream = await openStream(gateway.port, '/api/generate', { prompt: `Hello [[tokens=3 stall_after=1 tag=${tag}]]`, model, stream: true });
  await gateway.engineLog.waitFor('request_begin', { tag });
  return stream;
}

describe('what the fleet shows', () => {
  let gateway;
  before(async () => {
    gateway = await startScripted({ roles: { ...kTwoRoles, technical: { slots: 1, keep_alive: 300 } }, limits: { queue_wait_ms_max: 'off' }, more: { memory: { ram_bytes_max: 8_000_000_000 } } });
  });
  after(() => gateway?.dispose());

  test('is all that /health says of each backend, and more', async () => {
    const health = await gateway.health();
    const shown = await backends(gateway);
    assert.deepEqual(shown.map(({ id }) => id), ['coordinator/demo-coordinator', 'technical/demo-technical']);
    health.models.roles.forEach((role, i) => {
      for (const [key, value] of Object.entries(role)) assert.deepEqual(shown[i][key], value, `${role.role} ${key}`);
    });
    const [coordinator, technical] = shown;
    assert.equal(technical.pid, await gateway.worker('technical'));
    assert.deepEqual(technical.slots, { total: 1, busy: 0, free: 1 });
    assert.deepEqual(coordinator.slots, { total: 4, busy: 0, free: 4 });
    assert.equal(technical.keep_alive_seconds, 300);
    assert.equal(coordinator.keep_alive_seconds, null);
    assert.equal(technical.generation, 1);
    assert.equal(technical.restarts, 0);
    assert.equal(technical.server, null);
    assert.ok(technical.idle_ms >= 0);
    const { memory, roles } = await fleet(gateway);
    assert.deepEqual(roles.map(({ role, state }) => [role, state]), [['coordinator', 'ready'], ['technical', 'ready']]);
    assert.equal(memory.ram.budget_bytes, 8_000_000_000);
    assert.equal(memory.vram.budget_bytes, null);
  });

  test('is who waits, in the order in which they will be served', async () => {
    const held = await hold(gateway, 'technical');
    const ends = [];
    const wait = async (priority, deadline_ms, length) => {
      ends.push(ask(gateway, 'technical', { priority, deadline_ms }));
      await waitUntil(`${length} wait`, async () => (await backend(gateway, 'technical')).queue.length === length);
    };
    await wait('batch', 100_000, 1);
    await wait('interactive', 50_000, 2);
    await wait('batch', 200_000, 3);
    const { queue, slots, idle_ms } = await backend(gateway, 'technical');
    assert.deepEqual(slots, { total: 1, busy: 1, free: 0 });
    assert.equal(idle_ms, null);
    assert.equal(queue.interactive, 1);
    assert.equal(queue.batch, 2);
    assert.equal(queue.retries, 0);
    assert.deepEqual(queue.waiting.map(({ position, priority }) => [position, priority]), [[1, 'interactive'], [2, 'batch'], [3, 'batch']]);
    const [interactive, batch, last] = queue.waiting;
    assert.ok(batch.waited_ms >= last.waited_ms && batch.waited_ms >= interactive.waited_ms && last.waited_ms >= 0);
    assert.ok(interactive.deadline_in_ms > 0 && interactive.deadline_in_ms <= 50_000);
    assert.ok(last.deadline_in_ms > 100_000);
    held.cut();
    for (const end of ends) assert.equal((await end).status, 200);
  });

  test('is how many times a worker died, and which life this is', async () => {
    process.kill(await gateway.worker('coordinator'), 'SIGKILL');
    await waitUntil('it is back', async () => {
      const { restarts, generation, state } = await backend(gateway, 'coordinator');
      return restarts === 1 && generation === 2 && state === 'ready';
    });
  });
});

describe('a role', () => {
  let gateway;
  before(async () => {
    gateway = await startScripted({ roles: { ...kTwoRoles, technical: { slots: 1 }, embedding: kEmbedding }, limits: { queue_wait_ms_max: 'off' } });
  });
  after(() => gateway?.dispose());

  test('that is unloaded sleeps until somebody asks', async () => {
    const unloaded = await order(gateway, 'technical', 'unload?wait=true');
    assert.equal(unloaded.status, 200, unloaded.text);
    assert.equal(unloaded.json().role, 'technical');
    assert.equal(unloaded.json().state, 'sleeping');
    assert.equal(unloaded.json().backends[0].memory.holds, 'nothing');
    assert.equal(gateway.workers().length, 2);
    // Others at work make the fleet decide anew, and do not wake it.
    for (let i = 0; i < 5; ++i) assert.equal((await ask(gateway, 'coordinator')).status, 200);
    assert.equal((await backend(gateway, 'technical')).state, 'sleeping');
    assert.equal((await ask(gateway, 'technical')).status, 200);
    assert.equal((await backend(gateway, 'technical')).generation, 2);
  });

  test('that is loaded is there before somebody asks, and is left alone when it is there', async () => {
    await order(gateway, 'technical', 'unload?wait=true');
    const under_way = await order(gateway, 'technical', 'load', {});
    assert.ok([200, 202].includes(under_way.status), under_way.text);
    const loaded = await order(gateway, 'technical', 'load?wait=1', { model: 'demo-technical' });
    assert.equal(loaded.status, 200, loaded.text);
    assert.equal(loaded.json().state, 'ready');
    const { pid } = await backend(gateway, 'technical');
    assert.equal((await order(gateway, 'technical', 'load')).status, 200);
    assert.equal((await backend(gateway, 'technical')).pid, pid);
  });

  test('that is restarted answers first what it answers, and those who wait with its next life', async () => {
    const before = await backend(gateway, 'technical');
    const held = await hold(gateway, 'technical');
    const waiting = ask(gateway, 'technical');
    await waitUntil('one waits', async () => (await backend(gateway, 'technical')).queue.length === 1);
    const accepted = await order(gateway, 'technical', 'restart');
    assert.equal(accepted.status, 202, accepted.text);
    assert.equal(accepted.json().backends[0].leaving, true);
    assert.equal((await backend(gateway, 'technical')).pid, before.pid);
    held.cut();
    assert.equal((await waiting).status, 200);
    const now = await backend(gateway, 'technical');
    assert.notEqual(now.pid, before.pid);
    assert.equal(now.generation, before.generation + 1);
    assert.equal(now.restarts, before.restarts, 'nothing broke down');
  });

  test('that is unloaded while somebody waits comes back for who waits', async () => {
    const held = await hold(gateway, 'technical');
    const waiting = ask(gateway, 'technical');
    await waitUntil('one waits', async () => (await backend(gateway, 'technical')).queue.length === 1);
    assert.equal((await order(gateway, 'technical', 'unload')).status, 202);
    held.cut();
    assert.equal((await waiting).status, 200);
  });

  test('that nobody knows is 404 with those that there are, and so is a model that it has not', async () => {
    for (const word of ['load', 'unload', 'restart']) {
      const none = assertError(await order(gateway, 'nobody', word), 404);
      assert.equal(none.code, 'role_not_found');
      assert.deepEqual(none.details, { known: ['coordinator', 'technical', 'embedding'] });
      const other = assertError(await order(gateway, 'technical', word, { model: 'large' }), 404);
      assert.deepEqual(other.details, { known: ['demo-technical'] });
    }
    assertError(await gateway.get('/api/fleet/technical/load'), 405);
  });

  test('that cannot be loaded says why, and does when it can', async () => {
    await order(gateway, 'technical', 'unload?wait=true');
    const file = path.join(gateway.folder, 'demo-technical.gguf');
    fs.rmSync(file);
    const failed = assertError(await order(gateway, 'technical', 'load?wait=true'), 503);
    assert.equal(failed.code, 'model_not_loaded');
    assert.match(failed.message, /demo-technical\.gguf is missing/);
    assert.equal((await backend(gateway, 'technical')).state, 'failed');
    fs.writeFileSync(file, emptyModel());
    const loaded = await order(gateway, 'technical', 'load');
    assert.notEqual(loaded.json().state, 'failed', 'it does not wait for the next try');
    assert.equal((await order(gateway, 'technical', 'load?wait=true')).status, 200);
  });

  test('is waited for no longer than was said', async () => {
    const held = await hold(gateway, 'technical');
    const late = assertError(await order(gateway, 'technical', 'unload?wait=true&deadline_ms=20'), 504);
    assert.equal(late.code, 'unload_timed_out');
    held.cut();
    await waitUntil('it sleeps all the same', async () => (await backend(gateway, 'technical')).state === 'sleeping');
  });

  describe('as Ollama unloads', () => {
    const kAsked = [
      ['/api/generate', 'technical', {}], ['/api/generate', 'technical', { prompt: '' }],
      ['/api/chat', 'technical', { messages: [] }],
      ['/api/embed', 'embedding', { input: '' }], ['/api/embeddings', 'embedding', { prompt: '' }],
    ];
    for (const [target, role, body] of kAsked) {
      test(`${target} ${JSON.stringify(body)} sends the model away and loads it`, async () => {
        const post = (keep_alive) => gateway.request('POST', target, { body: { model: `demo-${role}`, stream: false, ...body, ...keep_alive } });
        assert.equal((await order(gateway, role, 'load?wait=true')).status, 200);
        const gone = await post({ keep_alive: 0 });
        assert.equal(gone.status, 200, gone.text);
        if (role === 'technical') assert.equal(gone.json().done_reason, 'unload');
        await waitUntil('it sleeps', async () => (await backend(gateway, role)).state === 'sleeping');
        const back = await post({});
        assert.equal(back.status, 200, back.text);
        if (role === 'technical') assert.equal(back.json().done_reason, 'load');
        assert.equal((await backend(gateway, role)).state, 'ready');
      });
    }

    test('after an answer, when nobody is left who waits', async () => {
      const { generation } = await backend(gateway, 'technical');
      const held = await hold(gateway, 'technical');
      const answers = [ask(gateway, 'technical', { keep_alive: 0 }), ask(gateway, 'technical'), ask(gateway, 'technical')];
      await waitUntil('three wait', async () => (await backend(gateway, 'technical')).queue.length === 3);
      held.cut();
      for (const answer of answers) assert.equal((await answer).status, 200);
      await waitUntil('it sleeps', async () => (await backend(gateway, 'technical')).state === 'sleeping');
      assert.equal((await backend(gateway, 'technical')).generation, generation, 'it went once');
    });

    test('not what it cannot name', async () => {
      const unload = (model) => gateway.request('POST', '/api/chat', { body: { model, messages: [], keep_alive: 0 } });
      assert.equal((await unload('nobody')).status, 404);
      assert.equal((await unload('auto')).status, 400);
    });
  });
});

test('one of several models of a role is chosen by its name', async () => {
  const gateway = await startScripted({
    roles: kTwoRoles,
    prepare: (one) => one.configure(({ roles }) => {
      const { file } = roles.technical;
      roles.technical = { models: [{ model: 'first', file }, { model: 'second', file }] };
    }),
  });
  try {
    const states = async () => (await backends(gateway)).filter(({ role }) => role === 'technical').map(({ state }) => state);
    const one = await order(gateway, 'technical', 'unload?wait=true', { model: 'second' });
    assert.equal(one.status, 200, one.text);
    assert.equal(one.json().state, 'ready', 'the role is as well as its best model');
    assert.deepEqual(await states(), ['ready', 'sleeping']);
    assert.equal((await order(gateway, 'technical', 'unload?wait=true')).json().state, 'sleeping');
    assert.deepEqual(await states(), ['sleeping', 'sleeping']);
    assert.equal((await order(gateway, 'technical', 'load?wait=true')).status, 200);
    assert.deepEqual(await states(), ['ready', 'ready']);
  } finally {
    await gateway.dispose();
  }
});

test('a model that has just been fetched is loaded at once', async () => {
  const server = await ModelServer.start();
  const name = server.add('library/demo:tiny', { models: emptyModel() });
  const roles = { technical: { model: name, file: undefined }, documentation: null, vision: null };
  const gateway = await startScripted({ roles, more: { registries: [server.authority], model_stores: [] }, ready: false });
  try {
    await waitUntil('it has failed', async () => (await backend(gateway, 'technical')).state === 'failed');
    const pulled = await gateway.request('POST', '/api/pull', { body: { model: name, stream: false } });
    assert.equal(pulled.status, 200, pulled.text);
    // Whoever reads that it is there finds it loading, or ready: it does not wait for the worker's next try.
    assert.notEqual((await backend(gateway, 'technical')).state, 'failed');
    assert.equal((await order(gateway, 'technical', 'load?wait=true')).status, 200);
    assert.equal((await backend(gateway, 'technical')).restarts, 0);
  } finally {
    await gateway.dispose();
    await server.stop();
  }
});

test('an outside server is shown with its breaker, and takes no orders', async () => {
  const gateway = await startBefore({ den: { kind: 'openai', url: 'http://127.0.0.1:9', slots: 3 } }, [{ model: 'far', server: 'den' }], { ready: false });
  try {
    const far = await waitUntil('its breaker is open', async () => {
      const one = await backend(gateway, 'technical');
      return one.server.breaker === 'open' && one.server.last_error && one;
    });
    assert.equal(far.server.name, 'den');
    assert.equal(far.state, 'unreachable');
    assert.ok(far.server.last_error_ago_ms >= 0);
    assert.deepEqual(far.slots, { total: 3, busy: 0, free: 0 });
    assert.equal(far.pid, null);
    assert.equal(far.memory.holds, 'nothing');
    assert.deepEqual(far.log, []);
    for (const word of ['load', 'unload', 'restart']) {
      const refused = assertError(await order(gateway, 'technical', word), 409);
      assert.equal(refused.code, 'no_own_worker');
      assert.match(refused.message, /outside servers only/);
    }
  } finally {
    await gateway.dispose();
  }
});

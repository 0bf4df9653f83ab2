// The fleet with the real llama-server: a worker with a port of its own, loading and unloading, what is shown of it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { startReal } from '../support/gateway.mjs';
import { request } from '../support/http.mjs';
import { occupy, unusedPort } from '../support/ports.mjs';
import { waitUntil } from '../support/wait.mjs';

const kFewRoles = { documentation: null, vision: null };
const ask = (gateway, model) => gateway.generate({ prompt: 'Hello', model, stream: false, options: { num_predict: 4 } });

describe('a worker with a port', () => {
  let gateway;
  let port;
  before(async () => {
    port = await unusedPort();
    gateway = await startReal({ roles: { ...kFewRoles, technical: { port } } });
  });
  after(() => gateway?.dispose());

  test('tells everybody there how it is, and nobody without its key anything else', async () => {
    assert.equal((await gateway.role('technical')).port, port);
    assert.equal((await gateway.role('coordinator')).port, null);
    const health = await request(port, 'GET', '/health');
    assert.equal(health.status, 200, health.text);
    assert.deepEqual(health.json(), { status: 'ok' });
    for (const [method, target, body] of [['GET', '/props'], ['GET', '/slots'], ['GET', '/v1/models'], ['POST', '/completion', { prompt: 'Hello' }], ['POST', '/v1/chat/completions', { messages: [{ role: 'user', content: 'Hello' }] }]]) {
      assert.equal((await request(port, method, target, { body })).status, 401, target);
    }
  });

  test('answers through the gateway, and again on the same port after it was killed', async () => {
    for (let round = 0; round < 3; ++round) {
      assert.equal((await ask(gateway, 'technical')).status, 200);
      process.kill(await gateway.worker('technical'), 'SIGKILL');
      await waitUntil('it is back', async () => (await gateway.metric('gbgreg_worker_restarts_total', { role: 'technical' })) === round + 1
        && (await gateway.role('technical')).state === 'ready');
      assert.equal((await request(port, 'GET', '/health')).status, 200);
    }
  });
});

test('a port that is taken is named, the others answer, and when it is free the worker comes', async () => {
  const port = await unusedPort();
  const other = await occupy(port);
  const gateway = await startReal({ roles: { ...kFewRoles, technical: { port } }, ready: false });
  try {
    await waitUntil('it has failed', async () => (await gateway.role('technical')).state === 'failed');
    assert.match((await gateway.role('technical')).detail, new RegExp(`Port ${port} of the role technical is taken`));
    assert.equal((await ask(gateway, 'coordinator')).status, 200);
    await other.close();
    await waitUntil('it is there', async () => (await gateway.role('technical')).state === 'ready');
    assert.equal((await ask(gateway, 'technical')).status, 200);
  } finally {
    await gateway.dispose();
  }
});

describe('the fleet', () => {
  let gateway;
  // The demo models take 8 to 10 MB each by what is predicted: two of the four fit, three do not.
  before(async () => {
    gateway = await startReal({ more: { memory: { ram_bytes_max: 21_000_000 } }, ready: false });
    await waitUntil('those that fit are ready, and no other', async () => {
      const states = (await backends()).map(({ state }) => state).sort();
      return states.join() === 'ready,ready,sleeping,sleeping';
    });
  });
  after(() => gateway?.dispose());
  const fleet = async () => (await gateway.get('/api/fleet')).json();
  const backends = async () => (await fleet()).roles.flatMap((role) => role.backends);
  const order = (role, word) => gateway.request('POST', `/api/fleet/${role}/${word}?wait=true`);

  test('loads a model into the place of one that has nothing to do', async () => {
    for (let round = 0; round < 3; ++round) {
      const asleep = (await backends()).find(({ state }) => state === 'sleeping').role;
      const loaded = await order(asleep, 'load');
      assert.equal(loaded.status, 200, loaded.text);
      assert.equal(loaded.json().state, 'ready');
      const { roles, memory } = await fleet();
      assert.equal(roles.filter(({ state }) => state === 'ready').length, 2);
      const used = roles.flatMap((role) => role.backends).filter((one) => one.memory.holds === 'used').map((one) => one.memory.ram_bytes);
      assert.equal(memory.ram.used_bytes, used.reduce((sum, bytes) => sum + bytes, 0));
      assert.ok(memory.ram.used_bytes <= memory.ram.budget_bytes);
    }
  });

  test('unloads one, which leaves memory until it is asked', async () => {
    const up = (await backends()).find(({ state }) => state === 'ready');
    const unloaded = await order(up.role, 'unload');
    assert.equal(unloaded.status, 200, unloaded.text);
    assert.ok(!gateway.workers().includes(up.pid));
    assert.equal((await ask(gateway, up.role)).status, 200);
  });

  test('shows what the engine says of its memory and its loading, and nothing of its key', async () => {
    const up = (await backends()).find(({ state }) => state === 'ready');
    assert.ok(Math.abs(up.memory.predicted_bytes - up.memory.reported_bytes) <= 0.05 * up.memory.reported_bytes, JSON.stringify(up.memory));
    assert.ok(up.log.some(({ text }) => text.includes('model buffer size')), JSON.stringify(up.log));
    const environment = fs.readFileSync(`/proc/${up.pid}/environ`, 'utf8').split('\0');
    const key = environment.find((variable) => variable.startsWith('LLAMA_API_KEY=')).split('=')[1];
    assert.equal(key.length, 64);
    const { text } = await gateway.get('/api/fleet');
    assert.ok(!text.includes(key));
    assert.ok(!text.includes(`*${key.slice(-4)}`), 'the engine tells the end of its key in its log');
    assert.ok(!text.includes('/models/'), 'no path');
  });
});

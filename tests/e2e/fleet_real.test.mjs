// The fleet with the real llama-server: a worker with a port of its own.
import assert from 'node:assert/strict';
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

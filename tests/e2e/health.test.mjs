// /health and its small sisters, /metrics, /api/version.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { kRoles, startScripted } from '../support/gateway.mjs';
import { content, upload } from '../support/uploads.mjs';
import { kOnPostgres } from '../support/postgres.mjs';
import { waitUntil } from '../support/wait.mjs';

let gateway;
before(async () => {
  gateway = await startScripted();
});
after(() => gateway?.dispose());

describe('GET /health', () => {
  test('has the shape of the contract', async () => {
    await gateway.generate('Hello');
    const answer = await gateway.get('/health');
    assert.equal(answer.status, 200);
    const health = answer.json();
    assert.equal(health.status, 'healthy');
    assert.equal(health.version, gateway.version);
    assert.ok(health.uptime_seconds >= 0);
    assert.deepEqual([health.models.operational, health.models.total], [4, 4]);
    assert.deepEqual(health.models.roles.map((role) => role.role).sort(), [...kRoles].sort());
    for (const role of health.models.roles) {
      assert.equal(role.model, `demo-${role.role}`);
      assert.equal(role.state, 'ready');
      for (const name of ['port', 'device', 'gpu_layers', 'total_layers', 'projector', 'tokens_per_second', 'objective_ms', 'p95_ms', 'objective_met', 'detail']) {
        assert.ok(name in role, `${role.role}.${name} is missing`);
      }
      assert.equal(role.objective_ms, 5000);
      assert.equal(typeof role.objective_met, 'boolean');
    }
    assert.equal(health.database.kind, kOnPostgres ? 'postgresql' : 'sqlite');
    assert.ok(health.storage.free_bytes > 0);
    assert.ok(['ok', 'absent', 'fault'].includes(health.gpu.status));
    assert.ok(Array.isArray(health.gpu.devices) && Array.isArray(health.gpu.findings));
  });

  // Those that are say so in real_engine.test.mjs.
  test('calls no model a demo for its name alone', async () => {
    for (const role of (await gateway.health()).models.roles) {
      assert.match(role.model, /^demo-/);
      assert.equal(role.demo, false);
      assert.equal(role.detail, null);
    }
  });

  test('says on which device the layers are, from the engine’s own log', async () => {
    assert.equal((await gateway.role('coordinator')).device, 'CPU');
  });

  test('has measured figures after an answer', async () => {
    await gateway.generate({ prompt: 'Hello [[tokens=20 delay_ms=2]]', model: 'technical', stream: false });
    // They are gathered a moment after the answer, so that no answer waits for them.
    const role = await waitUntil('it has figures', async () => {
      const seen = await gateway.role('technical');
      return seen.p95_ms > 0 && seen;
    });
    assert.ok(role.tokens_per_second > 0);
    assert.equal(role.objective_met, true);
  });

  test('answers HEAD without a body', async () => {
    const answer = await gateway.request('HEAD', '/health');
    assert.equal(answer.status, 200);
    assert.equal(answer.body.length, 0);
  });
});

test('/health answers though the storage hangs, and says so', async () => {
  const stuck = await startScripted({ roles: { technical: null, documentation: null, vision: null } });
  const readers = [];
  let pipe;
  try {
    // Whoever opens a pipe waits for its other end, as for a disk that hangs: soon every storage thread does.
    const { id, sha256 } = await upload(stuck, 'hello', 'hello.txt');
    pipe = path.join(stuck.data, 'uploads', sha256.slice(0, 2), sha256);
    fs.rmSync(pipe);
    execFileSync('mkfifo', [pipe]);
    for (let i = 0; i < 8; ++i) readers.push(content(stuck, id).catch(() => {}));
    const health = await waitUntil('it says so', async () => {
      const seen = await stuck.health();
      return seen.storage.status === 'unhealthy' && seen;
    }, { deadlineMs: 30_000 });
    assert.equal(health.database.status, 'unhealthy');
    assert.equal(health.storage.free_bytes, null);
    assert.equal(health.status, 'degraded');
    assert.equal((await stuck.generate('Hello')).status, 200);
  } finally {
    // A writer frees the readers, one after the other.
    const freed = pipe && fs.openSync(pipe, 'r+');
    await Promise.all(readers);
    if (pipe) fs.closeSync(freed);
    if (pipe) await waitUntil('all is well again', async () => (await stuck.health()).status === 'healthy');
    await stuck.dispose();
  }
});

test('/health/live and /health/ready are 200 with a small body', async () => {
  for (const target of ['/health/live', '/health/ready']) {
    const answer = await gateway.get(target);
    assert.equal(answer.status, 200);
    assert.ok(answer.body.length > 0 && answer.body.length < 200);
    assert.equal(typeof answer.json(), 'object');
  }
});

test('/health/ready is 503 while no model is ready, and /health/live is 200', async () => {
  const slow = await startScripted({ start: 'hang', ready: false });
  try {
    assert.equal((await slow.get('/health/live')).status, 200);
    assert.equal((await slow.get('/health/ready')).status, 503);
    const health = await slow.health();
    assert.ok(health.models.roles.every((role) => ['loading', 'stopped'].includes(role.state)));
    await waitUntil('no model is said to be operational', async () => (await slow.health()).models.operational === 0);
    await waitUntil('they are being loaded', async () => (await slow.health()).status === 'degraded');
  } finally {
    await slow.dispose();
  }
});

test('/api/version is the version that the start line says', async () => {
  assert.deepEqual((await gateway.get('/api/version')).json(), { version: gateway.version });
});

describe('GET /metrics', () => {
  test('is Prometheus text', async () => {
    const answer = await gateway.get('/metrics');
    assert.equal(answer.status, 200);
    assert.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/);
    const { types, samples } = await gateway.metrics();
    // What never happened has no line: most combinations of route and status never come.
    assert.ok(samples.get('gbgreg_http_requests_total').every(({ value }) => value > 0));
    assert.ok([...types.keys()].every((name) => name.startsWith('gbgreg_')));
  });

  test('its histograms are cumulative', async () => {
    await gateway.generate('Hello');
    const { types, samples } = await gateway.metrics();
    for (const [name, type] of types) {
      if (type !== 'histogram' || !samples.has(`${name}_bucket`)) continue;
      const series = new Map();
      for (const { labels, value } of samples.get(`${name}_bucket`)) {
        const { le, ...rest } = labels;
        const key = JSON.stringify(rest);
        series.set(key, [...(series.get(key) ?? []), { le, value }]);
      }
      for (const [key, buckets] of series) {
        assert.equal(buckets.at(-1).le, '+Inf');
        buckets.reduce((last, { value }) => (assert.ok(value >= last, name), value), 0);
        const count = samples.get(`${name}_count`).find((sample) => JSON.stringify(sample.labels) === key);
        assert.equal(count.value, buckets.at(-1).value);
      }
    }
  });

  test('its counters grow by what was done', async () => {
    // A route and a role that no other test here asks, so that nothing of theirs is still to be counted.
    const look = async () => ({
      ok: await gateway.metric('gbgreg_http_requests_total', { route: '/api/chat', status: '200' }) ?? 0,
      missing: await gateway.metric('gbgreg_http_requests_total', { route: '/api/chat', status: '404' }) ?? 0,
      tokens: await gateway.metric('gbgreg_completion_tokens_total', { role: 'documentation' }) ?? 0,
    });
    const ask = (model) => gateway.request('POST', '/api/chat', { body: { model, stream: false, messages: [{ role: 'user', content: 'Hello [[tokens=7]]' }] } });
    const earlier = await look();
    for (let i = 0; i < 3; ++i) assert.equal((await ask('documentation')).status, 200);
    assert.equal((await ask('unknown')).status, 404);
    // A request is counted when it is over for the gateway, which may be just after it was over for us.
    await waitUntil('the counters have grown', async () => {
      const later = await look();
      return later.ok === earlier.ok + 3 && later.missing === earlier.missing + 1 && later.tokens === earlier.tokens + 21;
    });
  });

  test('nothing that a client sends becomes a label', async () => {
    await gateway.get('/made-up-path-xyz');
    await gateway.generate({ prompt: 'Hello', model: 'made-up-model-xyz' });
    assert.doesNotMatch((await gateway.get('/metrics')).text, /xyz/);
  });
});

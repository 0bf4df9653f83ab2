// Starting and ending: whatever ends the gateway, nothing is left of it, and what cannot start is said clearly.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, test } from 'node:test';

import { openRawStream } from '../support/cut_streams.mjs';
import { assertError, childrenGone, emptyModel, Gateway, kGateway, kScriptedEngine, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { RawConnection } from '../support/http.mjs';
import { isAlive } from '../support/processes.mjs';
import { kPatience, monotonicNs, waitUntil, within } from '../support/wait.mjs';

const kGoneMsMax = 2000;

let gateway;
const start = async (options) => (gateway = await startScripted(options));
afterEach(async () => {
  await gateway?.dispose();
  gateway = undefined;
});

describe('the end', () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
    test(`${signal}: all workers are gone within 2 s`, async () => {
      await start();
      const workers = gateway.workers();
      assert.equal(workers.length, 4);
      const at = monotonicNs();
      gateway.process.kill(signal);
      const end = await within('the end', gateway.exited);
      await childrenGone(workers, kGoneMsMax);
      console.log(`${signal}: gateway and workers gone after ${(Number(monotonicNs() - at) / 1e6).toFixed(0)} ms`);
      assert.deepEqual(end, signal === 'SIGKILL' ? { code: null, signal } : { code: 0, signal: null });
    });

    test(`${signal} in the middle of streams and of a start: nothing is left either`, async () => {
      await start({ start: 'demo-vision@hang', ready: false });
      await waitUntil('three are ready', async () => (await gateway.health()).models.roles.filter((role) => role.state === 'ready').length === 3);
      const streams = await Promise.all(['coordinator', 'technical'].map((model) =>
        openRawStream(gateway, { prompt: 'Hello [[tokens=10 stall_after=2 tag=open]]', model })));
      await waitUntil('they run', () => gateway.engineLog.find('request_begin', { tag: 'open' }).length === 2);
      const workers = gateway.workers();
      gateway.process.kill(signal);
      // Streams that would never end are cut at the end of the drain time.
      await within('the end', gateway.exited, 20_000);
      await childrenGone(workers, kGoneMsMax);
      for (const stream of streams) await stream.closed();
    });
  }

  test('an answer under way is finished before the gateway ends, and new connections are refused', async () => {
    await start();
    let isAnswered = false;
    const answer = gateway.generate({ prompt: 'Hello [[tokens=40 delay_ms=50 tag=last]]', model: 'coordinator', stream: false })
      .finally(() => { isAnswered = true; });
    await gateway.engineLog.waitFor('request_begin', { tag: 'last' });
    const stopped = gateway.stop();
    await waitUntil('a connection is refused', () => RawConnection.open(gateway.port).then(
      (connection) => { connection.cut(); return false; }, (error) => error.code === 'ECONNREFUSED'));
    assert.ok(!isAnswered, 'connections were refused only when all answers had been given');
    assert.equal((await answer).json().eval_count, 40);
    await stopped;
  });

  test('a worker that does not listen to anybody is killed', async () => {
    await start();
    const pid = await gateway.worker('coordinator');
    process.kill(pid, 'SIGSTOP');
    gateway.process.kill('SIGTERM');
    assert.equal((await within('the end', gateway.exited, 20_000)).code, 0);
    await childrenGone([pid]);
  });

  test('no socket file is left, and stale ones of a killed gateway are no obstacle', async () => {
    await start();
    const sockets = () => fs.readdirSync(gateway.data, { recursive: true }).filter((name) => name.endsWith('.sock'));
    await gateway.kill();
    await gateway.launch();
    await gateway.allReady();
    assert.equal((await gateway.generate('Hello')).status, 200);
    await gateway.stop();
    assert.deepEqual(sockets(), []);
  });
});

describe('the start', () => {
  test('says where it listens and what is ready', async () => {
    await start();
    await waitUntil('the greeting', () => gateway.output.some((line) => line.includes('4 of 4 models are ready')));
    assert.ok(gateway.output.some((line) => line.includes('curl -s http://127.0.0.1:')));
  });

  test('answers before its models are there, and holds requests until they are', async () => {
    await start({ start: 'slow:500', ready: false });
    assert.equal((await gateway.get('/health/live')).status, 200);
    const answer = await gateway.generate('Hello [[text=patience]]');
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json().response, 'patience');
  });

  test('keeps its data folder to itself', async () => {
    await start();
    const second = spawnSync(kGateway, ['serve', '--config', gateway.configFile, '--data', gateway.data, '--listen', '127.0.0.1:0'], { timeout: 20_000 * kPatience });
    assert.notEqual(second.status, 0);
    assert.equal(second.signal, null, 'it did not end by itself');
    assert.match(second.stderr.toString(), /another gbgreg|already|in use/i);
    assert.equal((await gateway.generate('Hello')).status, 200);
  });

  test('leaves the mode of a data folder alone, and refuses one that others may write', () => {
    const folder = temporaryFolder();
    fs.chmodSync(folder, 0o1777);
    const ended = spawnSync(kGateway, ['serve', '--data', folder, '--listen', '127.0.0.1:0'], { timeout: 20_000 * kPatience });
    const mode = fs.statSync(folder).mode & 0o7777;
    const made = fs.readdirSync(folder);
    fs.rmSync(folder, { recursive: true, force: true });
    assert.equal(ended.status, 1, ended.stderr.toString());
    assert.match(ended.stderr.toString(), /others .* may write.*--data/);
    assert.equal(mode, 0o1777);
    assert.deepEqual(made, []);
  });

  test('with the port taken ends with a sentence', async () => {
    await start();
    const folder = temporaryFolder();
    const second = spawnSync(kGateway, ['serve', '--config', gateway.configFile, '--data', folder, '--listen', `127.0.0.1:${gateway.port}`], { timeout: 20_000 * kPatience });
    fs.rmSync(folder, { recursive: true, force: true });
    assert.ok(second.status > 0);
    assert.match(second.stderr.toString(), new RegExp(String(gateway.port)));
  });

  test('does not listen where others reach it unless it is told to', () => {
    const folder = temporaryFolder();
    for (const listen of ['0.0.0.0:0', '[::]:0', '127.0.0.1:0,0.0.0.0:0']) {
      const ended = spawnSync(kGateway, ['serve', '--data', path.join(folder, 'data'), '--listen', listen], { timeout: 20_000 * kPatience });
      assert.ok(ended.status > 0, `status ${ended.status} ${ended.signal}`);
      assert.match(ended.stderr.toString(), /--insecure/);
    }
    fs.rmSync(folder, { recursive: true, force: true });
  });

  for (const [name, text] of [
    ['an unknown key', '{"listne": "127.0.0.1:0"}'],
    ['not YAML', '{{{{'],
    ['a wrong type', '{"limits": {"upload_bytes_max": "much"}}'],
    ['a role without a file, whose model can have no name', '{"roles": {"coordinator": {"model": "a/b/c/d"}}}'],
  ]) {
    test(`with a configuration that is wrong (${name}) ends with a sentence`, () => {
      const folder = temporaryFolder();
      const file = path.join(folder, 'config.yaml');
      fs.writeFileSync(file, text);
      const ended = spawnSync(kGateway, ['serve', '--config', file, '--data', path.join(folder, 'data'), '--listen', '127.0.0.1:0'], { timeout: 20_000 * kPatience });
      fs.rmSync(folder, { recursive: true, force: true });
      assert.ok(ended.status > 0, `status ${ended.status} ${ended.signal}`);
      assert.match(ended.stderr.toString(), /config\.yaml/);
    });
  }

  test('takes its settings from the environment too, and flags go first', async () => {
    const folder = temporaryFolder();
    gateway = new Gateway(folder, undefined);
    const model = path.join(folder, 'demo.gguf');
    fs.writeFileSync(model, emptyModel());
    fs.writeFileSync(gateway.configFile, JSON.stringify({ engine: kScriptedEngine, roles: { coordinator: { model: 'demo-coordinator', file: model } } }));
    await gateway.launch({ environment: { GBGREG_DATA: path.join(folder, 'other'), GBGREG_ENGINE: path.join(folder, 'engine-of-the-environment') } });
    assert.ok(fs.existsSync(gateway.data), 'the flag --data was taken');
    assert.ok(!fs.existsSync(path.join(folder, 'other')));
    const role = await waitUntil('the engine is missing', async () => {
      const seen = await gateway.role('coordinator');
      return seen.state === 'failed' && seen;
    });
    assert.match(role.detail, /engine-of-the-environment/, 'the environment goes before the file');
  });
});

describe('a model that cannot run', () => {
  async function failedRole(name) {
    return waitUntil(`${name} has failed`, async () => {
      const role = await gateway.role(name);
      return role.state === 'failed' && role;
    }, { deadlineMs: 30_000 });
  }

  async function assertUnavailable(model) {
    assertError(await gateway.generate({ prompt: 'Hello', model, stream: false, deadline_ms: 20_000 }), 503);
    assertError(await gateway.generate({ prompt: 'Hello', model, stream: true, deadline_ms: 20_000 }), 503);
  }

  test('because its file is missing: it says so, the others work', async () => {
    await start({ roles: { technical: { file: '/nonexistent/folder/model.gguf' } }, ready: false });
    const role = await failedRole('technical');
    assert.match(role.detail, /model\.gguf/);
    assert.doesNotMatch(role.detail, /\/nonexistent/, 'no path is told');
    await assertUnavailable('technical');
    assert.equal(await gateway.metric('gbgreg_retries_total'), 0, 'no worker was asked, so none was asked again');
    const health = await waitUntil('the others are up', async () => {
      const seen = await gateway.health();
      return seen.models.operational === 3 && seen;
    });
    assert.equal(health.status, 'degraded');
    assert.equal(health.models.total, 4);
    assert.equal((await gateway.generate({ prompt: 'Hello', model: 'coordinator', stream: false })).status, 200);
    // What would have gone there is given to another.
    assert.equal((await gateway.generate('Write a Python function that sorts a list')).status, 200);
  });

  test('because the engine is missing: the gateway runs and says so', async () => {
    await start({ engine: '/nonexistent/llama-server', ready: false });
    const role = await failedRole('coordinator');
    assert.ok(role.detail.length > 20, role.detail);
    await assertUnavailable('coordinator');
    assert.equal((await gateway.health()).status, 'unhealthy');
    assert.equal((await gateway.get('/health/ready')).status, 503);
    assert.equal((await gateway.get('/health/live')).status, 200);
    assert.equal((await gateway.get('/api/uploads')).status, 200, 'what needs no model works');
  });

  test('because the engine ends at once: it says so, and starts when the cause is gone', async () => {
    await start({ start: 'demo-technical@exit1', ready: false });
    const role = await failedRole('technical');
    assert.ok(role.detail.length > 20, role.detail);
    await assertUnavailable('technical');
    gateway.engineStarts(undefined);
    await waitUntil('it is ready', async () => (await gateway.role('technical')).state === 'ready', { deadlineMs: 60_000 });
    assert.equal((await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false })).status, 200);
  });

  test('yet: a request waits for it up to its own deadline', async () => {
    await start({ start: 'demo-technical@hang', ready: false });
    const at = monotonicNs();
    const answer = await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false, deadline_ms: 500 });
    assert.ok([503, 504].includes(answer.status));
    assertError(answer, answer.status);
    assert.ok(Number(monotonicNs() - at) / 1e6 < 5000 * kPatience);
  });
});

describe('few open files', () => {
  const kHard = 400;
  const kSoft = 300;
  const withFewFiles = () => ['sh', '-c', `ulimit -Sn ${kSoft}; ulimit -Hn ${kHard}; exec "$@"`, 'sh'];
  const limitOf = (pid) => /^Max open files +(\d+) +(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/limits`, 'utf8')).slice(1).map(Number);

  test('are raised for the gateway and not for its workers, and some are kept from connections', async () => {
    await start({ roles: { technical: null, documentation: null, vision: null }, under: withFewFiles });
    assert.deepEqual(limitOf(gateway.pid), [kHard, kHard]);
    const [worker] = gateway.workers();
    assert.deepEqual(limitOf(worker), [kSoft, kHard]);
    assert.ok(gateway.output.some((line) => line.includes(`limits.connections_max is ${kHard / 2} instead of 10000`)), gateway.tail());

    const connections = [];
    try {
      for (let i = 0; i < kHard + 100; ++i) connections.push(await RawConnection.open(gateway.port));
      process.kill(worker, 'SIGKILL');
      await waitUntil('the worker was started again', () => gateway.workers().some((pid) => pid !== worker));
    } finally {
      for (const connection of connections) connection.cut();
    }
    await gateway.allReady();
    assert.ok(!gateway.output.some((line) => line.includes('accepting a connection failed')), gateway.tail());
  });
});

test('the workers’ key is on no command line and their sockets are ours alone', async () => {
  await start();
  for (const pid of gateway.workers()) {
    assert.ok(isAlive(pid));
    const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    assert.ok(!words.includes('--api-key'));
    const socket = words[words.indexOf('--host') + 1];
    assert.match(socket, /\.sock$/, 'a worker listens on a Unix socket only');
    assert.equal(fs.statSync(path.dirname(socket)).mode & 0o077, 0);
  }
});

// Another configuration while the gateway runs: POST /api/reload and SIGHUP drop no request and leave alone what is the same.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { emptyModel, kGateway, kRoles, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { parseLines } from '../support/http.mjs';
import { childrenOf, isAlive } from '../support/processes.mjs';
import { kPatience, waitUntil } from '../support/wait.mjs';

const kOwnPage = { origin: 'https://mine.example' };

// A role like those that a gateway of a test has.
function role(gateway, name, more = {}) {
  const file = path.join(gateway.folder, `${name}.gguf`);
  fs.writeFileSync(file, emptyModel());
  return { model: name, file, context: 2048, slots: 4, threads: 1, objective_ms: 5000, ...more };
}

async function reloaded(gateway, change) {
  if (change) gateway.configure(change);
  const answer = await gateway.reload();
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
}

async function processes(gateway) {
  const pids = {};
  for (const name of kRoles) pids[name] = await gateway.worker(name);
  return pids;
}

describe('one gateway', () => {
  let gateway;
  before(async () => {
    gateway = await startScripted({ limits: { queue_wait_ms_max: 'off' } });
  });
  after(() => gateway?.dispose());

  test('the same configuration changes nothing', async () => {
    const pids = await processes(gateway);
    assert.deepEqual(await reloaded(gateway), { reloaded: true, changed: [], unchanged: kRoles, needs_restart: [] });
    assert.deepEqual(await processes(gateway), pids);
  });

  test('a faulty file changes nothing, and the answer says what is wrong and where', async () => {
    const pids = await processes(gateway);
    const good = fs.readFileSync(gateway.configFile, 'utf8');
    for (const [text, message] of [
      ['roles:\n  technical:\n    model: x\n    slot: 4\n', /^config\.yaml: line 4: `slot` is not a key of role `technical`\. It has: model, file, /],
      ['limits:\n  queue_max: many\n', /^config\.yaml: line 2: `queue_max` must be a whole number from 0 to 100000\./],
      ['roles: [', /^config\.yaml: .*line 1/],
    ]) {
      fs.writeFileSync(gateway.configFile, text);
      const answer = await gateway.reload();
      assert.equal(answer.status, 422, answer.text);
      const { error } = answer.json();
      assert.equal(error.code, 'bad_configuration');
      assert.match(error.message, message);
      assert.ok(error.message.endsWith('Nothing has changed; mend that and reload again.'), error.message);
      assert.ok(!answer.text.includes(gateway.folder), 'where the file lies is told to clients');
    }
    fs.rmSync(gateway.configFile);
    assert.equal((await gateway.reload()).status, 422);
    fs.writeFileSync(gateway.configFile, good);
    assert.deepEqual(await processes(gateway), pids);
    assert.deepEqual((await reloaded(gateway)).changed, []);
  });

  test('SIGHUP is the same, and the log says what came of it', async () => {
    const said = (pattern) => waitUntil(`the log says ${pattern}`, () => gateway.output.some((line) => pattern.test(line)));
    gateway.configure((config) => { config.roles.technical.objective_ms = 4321; });
    gateway.process.kill('SIGHUP');
    await said(/reload: technical: demo-technical has objective_ms 4321 instead of 5000\./);
    assert.equal((await gateway.role('technical')).objective_ms, 4321);
    const good = fs.readFileSync(gateway.configFile, 'utf8');
    fs.writeFileSync(gateway.configFile, 'roles: 5\n');
    gateway.process.kill('SIGHUP');
    await said(/error the configuration was not reloaded, and nothing has changed: \/.*config\.yaml: line 1: `roles` must be a map/);
    fs.writeFileSync(gateway.configFile, good);
    await reloaded(gateway, (config) => { config.roles.technical.objective_ms = 5000; });
  });

  test('what only a restart can change is named, each time, and goes on as it was', async () => {
    const pids = await processes(gateway);
    const before = fs.readFileSync(gateway.configFile, 'utf8');
    gateway.configure((config) => {
      config.engine = '/elsewhere/llama-server';
      config.threads = 3;
      config.limits.connections_max = 77;
      config.tls = { certificate: '/a.pem', key: '/b.pem' };
    });
    for (let i = 0; i < 2; ++i) {
      const { needs_restart, changed } = await reloaded(gateway);
      assert.deepEqual(needs_restart, ['tls', 'engine', 'threads', 'limits.connections_max']);
      assert.deepEqual(changed, []);
    }
    assert.deepEqual(await processes(gateway), pids);
    fs.writeFileSync(gateway.configFile, before);
    assert.deepEqual((await reloaded(gateway)).needs_restart, []);
  });

  test('what requests may carry, and who may ask, changes at once', async () => {
    const long = { prompt: 'x'.repeat(3000), stream: false };
    assert.equal((await gateway.generate(long)).status, 200);
    assert.equal((await gateway.get('/health', { headers: kOwnPage })).status, 403);
    assert.equal((await gateway.get('/health', { headers: { host: 'ai.example.org' } })).status, 403);
    const hub = http.createServer((_, response) => response.writeHead(404).end());
    await once(hub.listen(0, '127.0.0.1'), 'listening');
    const registry = `127.0.0.1:${hub.address().port}`;
    const pull = () => gateway.request('POST', '/api/models/pull', { body: { model: `${registry}/library/x:y` } });
    assert.equal((await pull()).json().error.code, 'registry_not_allowed');

    const { changed, unchanged } = await reloaded(gateway, (config) => {
      Object.assign(config, { origins: ['https://mine.example'], hosts: ['ai.example.org'], registries: [registry], log_level: 'debug' });
      config.limits.json_bytes_max = 2048;
      config.limits.upload_bytes_max = 2000;
      config.limits.queue_max = 9;
    });
    assert.deepEqual(unchanged, kRoles);
    assert.equal(changed.length, 7, changed.join('\n'));
    assert.equal((await gateway.generate(long)).status, 413);
    assert.equal((await gateway.get('/health', { headers: kOwnPage })).status, 200);
    assert.equal((await gateway.get('/health', { headers: { host: 'ai.example.org' } })).status, 200);
    assert.equal((await pull()).status, 404);
    hub.close();

    await reloaded(gateway, (config) => {
      for (const key of ['origins', 'hosts', 'registries', 'log_level']) delete config[key];
      config.limits = { queue_wait_ms_max: 'off' };
    });
    assert.equal((await gateway.generate(long)).status, 200);
    assert.equal((await gateway.get('/health', { headers: kOwnPage })).status, 403);
  });

  test('a role that is added answers, and one that is taken out is not known any more', async () => {
    const { changed } = await reloaded(gateway, (config) => { config.roles.extra = role(gateway, 'extra-model'); });
    assert.deepEqual(changed, ['extra: extra-model is new.']);
    const answer = await gateway.generate({ prompt: 'Hello', model: 'extra-model', stream: false });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json().gbgreg.role, 'extra');
    const taken = await reloaded(gateway, (config) => { delete config.roles.extra; });
    assert.deepEqual(taken.changed, ['extra: extra-model was taken out.']);
    assert.equal((await gateway.generate({ prompt: 'Hello', model: 'extra', stream: false })).status, 404);
    await waitUntil('its worker has ended', () => gateway.workers().length === kRoles.length);
  });

  test('who waits for a model that is taken out is told so, and who has a slot has the whole answer', async () => {
    await reloaded(gateway, (config) => { config.roles.extra = role(gateway, 'extra-model', { slots: 1 }); });
    await gateway.generate({ prompt: 'Hello', model: 'extra', stream: false });
    const speaking = await gateway.stream({ prompt: `[[tokens=40 delay_ms=${25 * kPatience}]]`, model: 'extra' });
    const lines = speaking.lines();
    await lines.next();
    const waiting = gateway.generate({ prompt: 'Hello', model: 'extra', stream: false });
    await waitUntil('it waits', async () => (await gateway.metric('gbgreg_worker_queued', { role: 'extra' })) === 1);
    await reloaded(gateway, (config) => { delete config.roles.extra; });
    const told = await waiting;
    assert.equal(told.status, 404, told.text);
    assert.match(told.text, /The model extra-model was taken out of the configuration while this request waited for it/);
    let last;
    for await (const line of lines) last = line;
    assert.ok(last.done && !last.error, JSON.stringify(last));
    assert.equal(last.eval_count, 40);
    await waitUntil('its worker has ended', () => gateway.workers().length === kRoles.length);
  });

  test('several at once come one after the other', async () => {
    gateway.configure((config) => { config.roles.technical.objective_ms = 4000; });
    const answers = await Promise.all(Array.from({ length: 6 }, () => gateway.reload()));
    assert.deepEqual(answers.map(({ status }) => status), Array(6).fill(200));
    assert.equal(answers.filter((answer) => answer.json().changed.length === 1).length, 1);
    await reloaded(gateway, (config) => { config.roles.technical.objective_ms = 5000; });
  });
});

test('no request fails while roles come, change and go, and the file is broken in between', async () => {
  const kRequests = 600;
  const gateway = await startScripted({ limits: { queue_wait_ms_max: 'off' } });
  try {
    const before = await processes(gateway);
    let asked = 0;
    let rounds = 0;
    const failures = [];
    const asks = [
      { model: 'coordinator', stream: false }, { model: 'technical', stream: false }, { model: 'technical', stream: true }, { stream: false },
      { model: 'auto', stream: true }, { model: 'demo-technical', stream: true }, { model: 'vision', stream: false },
    ];
    const prompts = ['Hello [[tokens=8 delay_ms=2]]', 'Write a C++ function that sorts. [[tokens=12 delay_ms=1]]', 'Document this function for the manual. [[tokens=3]]'];
    const client = async (number) => {
      while (asked < kRequests || rounds < 3) {
        const ask = { ...asks[asked % asks.length], prompt: prompts[(asked + number) % prompts.length] };
        asked += 1;
        const answer = await gateway.generate(ask).catch((error) => ({ status: 0, text: String(error) }));
        const last = answer.status === 200 ? parseLines(answer.text).at(-1) : undefined;
        if (!last?.done || last.error) failures.push(`${JSON.stringify(ask)}: ${answer.status} ${answer.text.slice(-300)}`);
      }
    };
    const clients = Array.from({ length: 8 }, (_, number) => client(number));

    const good = () => fs.readFileSync(gateway.configFile, 'utf8');
    while (asked < kRequests || rounds < 3) {
      const round = rounds;
      await reloaded(gateway, (config) => { config.roles.extra = role(gateway, `extra-${round}`); });
      await reloaded(gateway, (config) => { config.roles.technical.slots = 2 + (round % 3); });
      const { documentation } = JSON.parse(good()).roles;
      await reloaded(gateway, (config) => { delete config.roles.documentation; });
      const whole = good();
      fs.writeFileSync(gateway.configFile, whole.slice(0, whole.length / 2));
      assert.equal((await gateway.reload()).status, 422);
      fs.writeFileSync(gateway.configFile, whole);
      await reloaded(gateway, (config) => {
        config.roles.documentation = documentation;
        config.roles.coordinator.objective_ms = 4000 + round;
        config.limits.queue_max = 60 + round;
      });
      await waitUntil('the new technical worker serves', async () => (await gateway.metric('gbgreg_worker_slots', { role: 'technical' })) === 2 + (round % 3));
      rounds += 1;
    }
    await Promise.all(clients);
    assert.deepEqual(failures, []);
    assert.ok(asked >= kRequests);

    // The last technical worker is another one; what was only adjusted, and what was the same, are those of before.
    const now = await processes(gateway);
    assert.equal(now.coordinator, before.coordinator);
    assert.equal(now.vision, before.vision);
    assert.notEqual(now.technical, before.technical);
    await waitUntil('those that left have ended', () => gateway.workers().length === kRoles.length + 1);
    await gateway.allReady();
    await gateway.allSlotsFree();
  } finally {
    await gateway.dispose();
  }
});

test('a changed worker serves until its successor is ready, and one that does not start leaves it in its place', async () => {
  const gateway = await startScripted();
  try {
    const before = await gateway.worker('technical');
    gateway.engineStarts('hang');
    await reloaded(gateway, (config) => { config.roles.technical.slots = 2; });
    await waitUntil('its successor loads', () => gateway.workers().length === kRoles.length + 1);
    const { state, detail } = await gateway.role('technical');
    assert.equal(state, 'ready');
    assert.match(detail, /goes on with its former settings until it is ready/);
    assert.equal((await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false })).status, 200);
    assert.ok(isAlive(before));

    gateway.engineStarts();
    await reloaded(gateway, (config) => { config.roles.technical.file = path.join(gateway.folder, 'missing.gguf'); });
    await waitUntil('it says why', async () => /does not start: The model file missing\.gguf is missing/.test((await gateway.role('technical')).detail));
    assert.equal((await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false })).status, 200);
    fs.writeFileSync(path.join(gateway.folder, 'missing.gguf'), emptyModel());
    await waitUntil('the new one has taken its place', () => !isAlive(before));
    assert.equal((await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false })).status, 200);
  } finally {
    await gateway.dispose();
  }
});

test('a gateway whose terminal is closed ends, though that is the same signal', async () => {
  const folder = temporaryFolder();
  const config = path.join(folder, 'config.yaml');
  fs.writeFileSync(config, JSON.stringify({ roles: { technical: { model: 'none', file: path.join(folder, 'none.gguf') } } }));
  const command = `exec ${kGateway} serve --config ${config} --data ${folder}/data --listen 127.0.0.1:0`;
  const terminal = spawn('script', ['-q', '-e', '-c', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let pid;
  try {
    let output = '';
    terminal.stdout.on('data', (bytes) => { output += bytes; });
    await waitUntil('it listens', () => output.includes('is listening'));
    [pid] = childrenOf(terminal.pid);
    // Of a terminal that is still there it means a reload.
    process.kill(pid, 'SIGHUP');
    await waitUntil('it has reloaded', () => output.includes('the configuration was reloaded'));
    terminal.kill('SIGKILL');
    await waitUntil('it has ended', () => !isAlive(pid));
  } finally {
    terminal.kill('SIGKILL');
    if (pid && isAlive(pid)) process.kill(pid, 'SIGKILL');
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

// What a running gateway does about its GPU: whose memory is on the card, a card that is lost, one whose firmware hangs, and a
// role that would silently run on the processor. The card is played: files, NVIDIA's libraries, and an engine that says where it
// is, all of which change under the gateway.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { assertError, temporaryFolder } from '../support/gateway.mjs';
import { bigModel, startOnCard } from '../support/machines.mjs';
import { isAlive } from '../support/processes.mjs';
import { waitUntil } from '../support/wait.mjs';

const kLossMsMax = 30_000;
const kHangMsMax = 10_000;

const folder = temporaryFolder();
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const onCard = (more) => startOnCard(folder, { ...more, roles: { documentation: null, vision: null, ...more?.roles } });
// Has the doctor look; who comes while it is at work gets what it knew.
async function examine(gateway) {
  return waitUntil('the doctor has time', async () => {
    const answer = await gateway.get('/api/doctor');
    return answer.status === 200 ? answer.json() : undefined;
  });
}
const found = async (gateway, code) => (await gateway.health()).gpu.findings.some((finding) => finding.code === code);

describe('a healthy card', () => {
  let gateway, set;
  before(async () => { ({ gateway, set } = await onCard()); });
  after(() => gateway?.dispose());

  test('is described with each worker’s memory, by its process, and the bound of its bandwidth', async () => {
    const [coordinator, technical] = [await gateway.worker('coordinator'), await gateway.worker('technical')];
    set({ NVIDIA_FAKE_PROCESSES: `${coordinator}:2500000000 ${technical}:4000000000 1:300000000`, NVIDIA_FAKE_CLOCK: 14001, NVIDIA_FAKE_BUS: 256, NVIDIA_FAKE_UTILISATION: 3 });
    assert.deepEqual((await examine(gateway)).findings.filter(({ severity }) => severity === 'error'), []);
    const { gpu, models, status } = await gateway.health();
    assert.equal(status, 'healthy');
    assert.equal(gpu.status, 'ok');
    const [card] = gpu.devices;
    assert.equal(card.name, 'NVIDIA GeForce RTX 5070 Ti');
    assert.equal(card.bandwidth_bytes_per_second, 896_064_000_000);
    assert.equal(card.utilisation_percent, 3);
    assert.deepEqual(card.processes.map(({ role, bytes }) => [role, bytes]), [['coordinator', 2_500_000_000], ['technical', 4_000_000_000], [null, 300_000_000]]);
    const role = (name) => models.roles.find((one) => one.role === name);
    assert.equal(role('coordinator').device, 'CUDA0');
    assert.equal(role('coordinator').gpu_memory_bytes, 2_500_000_000);
    assert.equal(role('technical').gpu_memory_bytes, 4_000_000_000);
    // 896 GB/s over a model file of 24 bytes.
    assert.equal(role('technical').tokens_per_second_bound, 896_064_000_000 / 24);
  });

  test('is seen at work while a model gives an answer', async () => {
    set({ NVIDIA_FAKE_UTILISATION: 97 });
    const stream = await gateway.stream({ model: 'technical', prompt: '[[tokens=100000 delay_ms=5]]' });
    const lines = stream.lines()[Symbol.asyncIterator]();
    await lines.next();
    await waitUntil('its utilisation is known', async () => {
      await examine(gateway);
      return (await gateway.health()).gpu.devices[0].utilisation_decoding_percent === 97;
    });
    stream.cut();
    await gateway.allSlotsFree();
    set({ NVIDIA_FAKE_UTILISATION: 0 });
    await examine(gateway);
    const [card] = (await gateway.health()).gpu.devices;
    assert.deepEqual([card.utilisation_percent, card.utilisation_decoding_percent], [0, 97]);
  });

  test('that is lost is named within 30 seconds, without anybody’s asking, and its coming back is seen', async () => {
    set({ NVIDIA_FAKE_NVML_STATUS: 15, CUDA_FAKE_STATUS: 999 });
    const lostAt = performance.now();
    await waitUntil('it is named', () => found(gateway, 'cuda_does_not_start'), { deadlineMs: kLossMsMax, everyMs: 100 });
    console.log(`a lost card was named after ${((performance.now() - lostAt) / 1000).toFixed(1)} s`);
    const health = await gateway.health();
    assert.equal(health.status, 'degraded');
    assert.equal(health.gpu.status, 'fault');
    await waitUntil('the log says so', () => gateway.output.some((line) => line.includes('doctor: cuda_does_not_start')));
    set({});
    assert.deepEqual((await examine(gateway)).findings.filter(({ severity }) => severity === 'error'), []);
    assert.equal((await gateway.health()).gpu.status, 'ok');
  });
});

describe('a model that is on the card by its engine’s word', () => {
  let gateway, set;
  const kHealthy = { NVIDIA_FAKE_CLOCK: 14001, NVIDIA_FAKE_BUS: 256, NVIDIA_FAKE_UTILISATION: 95 };
  before(async () => {
    ({ gateway, set } = await onCard({ roles: { coordinator: null, technical: { file: bigModel(folder) } }, settings: kHealthy }));
  });
  after(() => gateway?.dispose());
  const codes = async () => (await examine(gateway)).findings.map(({ code }) => code);
  const answer = (tokens, delay) => gateway.generate({ model: 'technical', prompt: `[[tokens=${tokens} delay_ms=${delay}]]`, stream: false });

  test('holds the card’s memory for its weights, by the driver’s word', async () => {
    const pid = await gateway.worker('technical');
    set({ ...kHealthy, NVIDIA_FAKE_PROCESSES: `${pid}:5500000000` });
    assert.deepEqual(await codes(), []);
    set({ ...kHealthy, NVIDIA_FAKE_PROCESSES: `${pid}:2000000000` });
    const { findings } = await examine(gateway);
    assert.deepEqual(findings.map(({ code }) => code), ['card_memory_missing']);
    assert.match(findings[0].evidence.join(), /holds 2\.0 GB.*weights on a card are 4\.\d GB/);
    assert.match(findings[0].fix, /UNIFIED_MEMORY/);
    set(kHealthy);
    assert.deepEqual(await codes(), [], 'of a process that the driver does not know nothing is said');
  });

  test('keeps the card busy while it gives an answer', async () => {
    const look = async (utilisation) => {
      set({ ...kHealthy, NVIDIA_FAKE_UTILISATION: utilisation });
      const stream = await gateway.stream({ model: 'technical', prompt: '[[tokens=100000 delay_ms=5]]' });
      const lines = stream.lines()[Symbol.asyncIterator]();
      await lines.next();
      const found = await codes();
      stream.cut();
      await gateway.allSlotsFree();
      return found;
    };
    assert.deepEqual(await look(2), [], 'once may be between two answers');
    assert.deepEqual(await look(2), ['card_idle']);
    assert.deepEqual(await look(90), []);
  });

  test('is as fast as three fifths of the card’s bandwidth', async () => {
    set(kHealthy);
    assert.equal((await answer(40, 20)).status, 200);
    const slow = await waitUntil('its speed is known', async () => {
      const { findings } = await examine(gateway);
      return findings.length > 0 ? findings : undefined;
    });
    assert.deepEqual(slow.map(({ code, severity }) => [code, severity]), [['below_bandwidth', 'warning']]);
    assert.match(slow[0].evidence.join(), /reads 896\.1 GB a second.*each token reads 4\.\d GB/);
    assert.match(slow[0].fix, /nvidia-smi -q -d PERFORMANCE/);
    assert.equal((await gateway.health()).status, 'healthy', 'it works');
    await waitUntil('a faster answer is known', async () => {
      assert.equal((await answer(400, 2)).status, 200);
      return (await codes()).length === 0;
    }, { deadlineMs: 30_000 });
  });
});

describe('a card whose firmware hangs', () => {
  let gateway, machine, set;
  before(async () => { ({ gateway, machine, set } = await onCard({ roles: { documentation: { device: 'cpu' } } })); });
  after(() => gateway?.dispose());

  test('is named within 10 seconds, and no worker is started on it until it answers again', async () => {
    await examine(gateway);
    const victims = [await gateway.worker('technical'), await gateway.worker('documentation')];
    set({ NVIDIA_FAKE_HANG: 'nvml' });
    machine.kernelLog('NVRM: Xid (PCI:0000:01:00): 119, pid=812, name=llama-server, Timeout after 6s');
    const hungAt = performance.now();
    await waitUntil('it is named', () => found(gateway, 'firmware_hang'), { deadlineMs: kHangMsMax, everyMs: 50 });
    console.log(`a firmware hang was named after ${((performance.now() - hungAt) / 1000).toFixed(1)} s`);

    // The engines die of it: the one that may use the card stays down and says why, the other comes back.
    for (const pid of victims) process.kill(pid, 'SIGKILL');
    await waitUntil('they are gone', () => !victims.some(isAlive));
    const down = await waitUntil('it says why it stays down', async () => {
      const role = await gateway.role('technical');
      return role.detail?.includes('firmware_hang') ? role : undefined;
    }, { deadlineMs: 20_000 });
    assert.notEqual(down.state, 'ready');
    await waitUntil('the other is back', async () => (await gateway.role('documentation')).state === 'ready');
    const starts = () => gateway.engineLog.find('started', { alias: 'demo-technical' }).length;
    const before = starts();
    assert.match(down.detail, /firmware does not answer.*gbgreg doctor/);
    assertError(await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false }), 503);
    assert.equal(starts(), before, 'it was started all the same');

    machine.remove('/dev/kmsg').write('/dev/kmsg', '');
    set({});
    await waitUntil('the doctor sees it well', async () => (await examine(gateway)).status === 'ok', { deadlineMs: 20_000 });
    await waitUntil('it is back', async () => (await gateway.role('technical')).state === 'ready', { deadlineMs: 60_000, everyMs: 100 });
    assert.ok(starts() > before);
  });
});

describe('a role that prefers a GPU, on a machine that has one', () => {
  let gateway;
  before(async () => {
    ({ gateway } = await onCard({ start: 'cpu', ready: false, roles: { technical: { allow_cpu: true }, documentation: { device: 'cpu' } } }));
  });
  after(() => gateway?.dispose());

  test('answers nothing from the processor unless that is allowed, and says so', async () => {
    const role = await waitUntil('it has failed', async () => {
      const seen = await gateway.role('coordinator');
      return seen.state === 'failed' ? seen : undefined;
    }, { deadlineMs: 20_000 });
    assert.match(role.detail, /prefers a GPU.*on the processor.*gbgreg doctor.*allow_cpu: true/);
    assert.match(assertError(await gateway.generate({ prompt: 'Hello', model: 'coordinator', stream: false }), 503).message, /allow_cpu/);
  });

  test('that may, and one that should, answer from it, and every answer and /health say so', async () => {
    for (const model of ['technical', 'documentation']) {
      await waitUntil(`${model} is ready`, async () => (await gateway.role(model)).state === 'ready');
      assert.equal((await gateway.role(model)).device, 'CPU');
      const native = await gateway.generate({ prompt: 'Hello', model, stream: false });
      assert.equal(native.status, 200, native.text);
      assert.equal(native.json().gbgreg.device, 'CPU');
      assert.equal(native.headers['x-gbgreg-device'], 'CPU');
      const messages = [{ role: 'user', content: 'Hello' }];
      for (const route of ['/v1/chat/completions', '/v1/messages', '/api/chat']) {
        const answer = await gateway.request('POST', route, { body: { model, messages, max_tokens: 4, stream: false } });
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.headers['x-gbgreg-device'], 'CPU', route);
      }
    }
  });
});

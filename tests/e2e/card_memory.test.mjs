// More models than a card holds, by the driver's word: two of four are in its memory, the others take turns, and one that the
// card could not hold is refused with the driver's figures. The card is played (files and NVIDIA's libraries), and so is the engine,
// before model files that have a real one's header and holes for weights.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { assertError, kRoles, temporaryFolder } from '../support/gateway.mjs';
import { bigModel, startOnCard } from '../support/machines.mjs';
import { waitUntil } from '../support/wait.mjs';

const kCard = 17_094_934_528;
const kModelMegabytes = 5_500;  // What the engine says that each takes of the card.

const folder = temporaryFolder();
after(() => fs.rmSync(folder, { recursive: true, force: true }));
const model = bigModel(folder);

const inState = async (gateway, state) => (await gateway.health()).models.roles.filter((role) => role.state === state).map((role) => role.role);
async function examine(gateway) {
  return waitUntil('the doctor has time', async () => {
    const answer = await gateway.get('/api/doctor');
    return answer.status === 200 ? answer.json() : undefined;
  });
}

describe('a card that holds two of four models', () => {
  let gateway, set;
  before(async () => {
    const file = { file: model };
    const roles = Object.fromEntries(kRoles.map((role) => [role, { ...file, mmproj: undefined }]));
    ({ gateway, set } = await startOnCard(folder, { start: `gpu:${kModelMegabytes}`, roles, ready: false, settings: { NVIDIA_FAKE_MEMORY: kCard, NVIDIA_FAKE_USED: 400_000_000 } }));
    await waitUntil('those that fit are ready', async () => (await inState(gateway, 'ready')).length === 2 && (await inState(gateway, 'sleeping')).length === 2);
  });
  after(() => gateway?.dispose());

  test('is not filled with more, though nobody has configured how large it is', async () => {
    assert.equal(gateway.workers().length, 2);
    await waitUntil('the log says how much there is', () => gateway.output.some((line) => /the cards have 15\.\d\d GB for models: the driver says 17\.09 GB in all/.test(line)));
  });

  test('is shared by all: who sleeps is loaded in another’s place', async () => {
    for (const role of [...await inState(gateway, 'sleeping')]) {
      const answer = await gateway.generate({ prompt: 'Hello', model: role, stream: false });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(gateway.workers().length, 2);
    }
  });

  test('that another program takes most of holds one, and two again when it has gone', async () => {
    const mine = async () => Promise.all((await inState(gateway, 'ready')).map((role) => gateway.worker(role)));
    const processes = (pids, other) => [...pids.map((pid) => `${pid}:${kModelMegabytes * 1024 * 1024}`), `4321:${other}`].join(' ');
    const pids = await mine();
    const other = 6_000_000_000;
    set({ NVIDIA_FAKE_MEMORY: kCard, NVIDIA_FAKE_PROCESSES: processes(pids, other), NVIDIA_FAKE_USED: pids.length * kModelMegabytes * 1024 * 1024 + other });
    await examine(gateway);
    const wakeOne = async () => {
      const [asleep] = await inState(gateway, 'sleeping');
      const answer = await gateway.generate({ prompt: 'Hello', model: asleep, stream: false });
      assert.equal(answer.status, 200, answer.text);
      return (await inState(gateway, 'ready')).length;
    };
    await waitUntil('only one stays beside the other program', async () => await wakeOne() === 1);
    set({ NVIDIA_FAKE_MEMORY: kCard, NVIDIA_FAKE_USED: kModelMegabytes * 1024 * 1024 });
    await examine(gateway);
    await waitUntil('two are in it again', async () => await wakeOne() === 2);
  });
});

describe('a model that a card does not hold', () => {
  let gateway, set;
  before(async () => {
    ({ gateway, set } = await startOnCard(folder, { start: 'gpu:5500', ready: false, settings: { NVIDIA_FAKE_MEMORY: kCard, NVIDIA_FAKE_PROCESSES: '4321:14000000000', NVIDIA_FAKE_USED: 14_000_000_000 },
      roles: { documentation: null, vision: null, coordinator: { device: 'cpu' }, technical: { file: model, device: 'require_gpu' } } }));
  });
  after(() => gateway?.dispose());

  test('is refused with what it needs and what the driver says, and the others answer', async () => {
    await waitUntil('/health says so', async () => (await gateway.role('technical')).state === 'failed');
    const error = assertError(await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false }), 503);
    assert.match(error.message, /demo-technical needs [\d.]+ GB of the card's memory, and models may have [\d.]+ GB \(the driver says 17\.09 GB in all; other programs hold 14\.00 GB, and 1\.07 GB are kept back\)/);
    assert.equal((await gateway.generate({ prompt: 'Hello', model: 'coordinator', stream: false })).status, 200);
  });

  test('is loaded when the other program has gone, without anybody’s asking', async () => {
    set({ NVIDIA_FAKE_MEMORY: kCard, NVIDIA_FAKE_USED: 0 });
    await examine(gateway);
    await waitUntil('it is ready', async () => (await gateway.role('technical')).state === 'ready');
    assert.equal((await gateway.role('technical')).device, 'CUDA0');
  });
});

describe('what the configuration says of the cards', () => {
  test('counts more than the driver', async () => {
    const { gateway } = await startOnCard(folder, { start: 'gpu:5500', ready: false, more: { memory: { vram_bytes_max: 3_000_000_000 } },
      roles: { documentation: null, vision: null, coordinator: { device: 'cpu' }, technical: { file: model, device: 'require_gpu' } } });
    try {
      await waitUntil('/health says so', async () => (await gateway.role('technical')).state === 'failed');
      assert.match((await gateway.role('technical')).detail, /models may have 3\.00 GB: .*memory\.vram_bytes_max/);
    } finally {
      await gateway.dispose();
    }
  });
});

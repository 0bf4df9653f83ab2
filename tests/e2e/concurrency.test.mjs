// 64 streams at once, half of them cut in the middle: every slot, socket and descriptor comes back, and every cut
// reaches the engine. The promise of 10 ms is measured by bench/cancel.mjs on a quiet machine; here it is only printed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { cutHalf, openRawStream } from '../support/cut_streams.mjs';
import { assertError, startScripted } from '../support/gateway.mjs';
import { memoryOf, openFiles, openSockets } from '../support/processes.mjs';
import { kPatience, kSanitized, median, monotonicNs, summary, waitUntil } from '../support/wait.mjs';

const kStreams = 64;
const kRounds = 4;
const kReachesEngineMsMax = 1000;

let gateway;
before(async () => {
  const slots = { slots: kStreams / 4 };
  gateway = await startScripted({ roles: { coordinator: slots, technical: slots, documentation: slots, vision: slots } });
});
after(() => gateway?.dispose());

test(`${kStreams} streams, half of them cut`, async () => {
  const round = (label) => cutHalf(gateway, { streams: kStreams, tokens: 60, delayMs: 5, label });
  await round('warm');
  await gateway.allSlotsFree();
  const files = await settledFiles(gateway.pid);
  const workerFiles = new Map(gateway.workers().map((pid) => [pid, openFiles(pid)]));
  const memory = memoryOf(gateway.pid).VmRSS;

  const delays = [];
  for (let i = 0; i < kRounds; ++i) delays.push(...(await round(`round${i}`)));
  console.log(`from the client's cut to the engine's notice, ms: ${summary(delays)}`);
  assert.equal(delays.length, (kStreams / 2) * kRounds);
  assert.ok(median(delays) < kReachesEngineMsMax * kPatience, `${delays} ms`);

  await gateway.allSlotsFree();
  await waitUntil(`no more than ${files} descriptors are open`, () => openFiles(gateway.pid) <= files);
  for (const [pid, count] of workerFiles) await waitUntil('the workers closed theirs', () => openFiles(pid) <= count);
  const grownBy = memoryOf(gateway.pid).VmRSS - memory;
  console.log(`resident memory changed by ${(grownBy / 1024).toFixed(0)} KB over ${kRounds * kStreams} streams`);
  if (!kSanitized) assert.ok(grownBy < 8 * 1024 * 1024, `it grew by ${grownBy} bytes`);
  const health = await gateway.health();
  assert.equal(health.status, 'healthy');
});

// Idle connections are closed a moment after they were used; what stays is what counts.
async function settledFiles(pid) {
  let last = -1;
  let same = 0;
  return waitUntil('the descriptors have settled', () => {
    const now = openFiles(pid);
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 20 && now;
  });
}

test('a cut while the engine is silent reaches it too: in its queue, before its head, in the prompt, between tokens', async () => {
  const delays = [];
  for (const [name, directives] of [['before the head', 'head_delay_ms=600000'], ['in the prompt', 'prefill_ms=600000'], ['between tokens', 'stall_after=2']]) {
    for (const way of ['cut', 'reset']) {
      for (const stream of [true, false]) {
        const tag = `silent-${name.replaceAll(' ', '-')}-${way}-${stream}`;
        const connection = await openRawStream(gateway, { prompt: `Hello [[${directives} tag=${tag}]]`, model: 'coordinator', stream });
        await gateway.engineLog.waitFor('request_begin', { tag });
        const at = monotonicNs();
        connection[way]();
        const seen = await gateway.engineLog.waitFor('peer_closed', { tag });
        delays.push(Number(BigInt(seen.t_ns) - at) / 1e6);
      }
    }
  }
  assert.ok(median(delays) < kReachesEngineMsMax * kPatience, `${delays} ms`);
  await gateway.allSlotsFree();
});

test('a client that leaves the queue never reaches the engine', async () => {
  const holders = [];
  for (let i = 0; i < kStreams / 4; ++i) {
    holders.push(await openRawStream(gateway, { prompt: `Hello [[tokens=2 stall_after=1 tag=holder${i}]]`, model: 'technical' }));
  }
  for (let i = 0; i < holders.length; ++i) await gateway.engineLog.waitFor('request_begin', { tag: `holder${i}` });
  const waiting = await openRawStream(gateway, { prompt: 'Hello [[tokens=1 tag=waiting]]', model: 'technical' });
  await waitUntil('it waits', async () => (await gateway.metric('gbgreg_worker_queued', { role: 'technical' })) === 1);
  waiting.cut();
  await waitUntil('it has left', async () => (await gateway.metric('gbgreg_worker_queued', { role: 'technical' })) === 0);
  for (const holder of holders) holder.cut();
  await gateway.allSlotsFree();
  assert.equal(gateway.engineLog.find('request_begin', { tag: 'waiting' }).length, 0);
});

test('a queue that is full says so at once', async () => {
  const small = await startScripted({ roles: { technical: null, documentation: null, vision: null, coordinator: { slots: 1 } }, limits: { queue_max: 1 } });
  try {
    const holder = await openRawStream(small, { prompt: 'Hello [[tokens=2 stall_after=1 tag=holder]]', model: 'coordinator' });
    await small.engineLog.waitFor('request_begin', { tag: 'holder' });
    const queued = await openRawStream(small, { prompt: 'Hello [[tokens=1]]', model: 'coordinator' });
    await waitUntil('one waits', async () => (await small.metric('gbgreg_worker_queued')) === 1);
    assertError(await small.generate({ prompt: 'Hello', model: 'coordinator' }), 429);
    holder.cut();
    assert.equal((await queued.readResponse()).status, 200);
    queued.cut();
  } finally {
    await small.dispose();
  }
});

test('a reader that reads nothing does not make the gateway keep the answer in memory', async () => {
  const memory = memoryOf(gateway.pid).VmRSS;
  const slow = await openRawStream(gateway, { prompt: `Hello [[tokens=400000 tag=unread]]`, model: 'coordinator' });
  slow.pause();
  await gateway.engineLog.waitFor('request_begin', { tag: 'unread' });
  // The engine is held back as soon as the buffers between it and the reader are full, so it cannot have come to its end.
  let last = -1;
  let same = 0;
  await waitUntil('the memory has settled', () => {
    const now = memoryOf(gateway.pid).VmRSS;
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 20;
  });
  assert.equal(gateway.engineLog.find('request_end', { tag: 'unread' }).length, 0, 'the engine was not held back');
  if (!kSanitized) assert.ok(last - memory < 16 * 1024 * 1024, `it grew by ${last - memory} bytes`);
  slow.cut();
  await gateway.engineLog.waitFor('peer_closed', { tag: 'unread' });
  await gateway.allSlotsFree();
  assert.ok(openSockets(gateway.pid) < 64);
});

// What the fleet costs a user: a decision, a swap of two models that do not fit together, a cancelled request, a dead worker.
//
//   node bench/fleet.mjs        after ./test or ./run has built build/release, the engine and the demo models
//
// The demo models are tiny, so a swap here is the cost of the process and of the fleet, without the time that large weights
// take from the disk.
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { startReal } from '../tests/support/gateway.mjs';
import { monotonicNs, percentile, waitUntil } from '../tests/support/wait.mjs';

const programs = path.join(process.env.GBGREG_BUILD ?? path.join(path.dirname(fileURLToPath(import.meta.url)), '../build/release'), 'bin');
const kSwaps = 40;
const kKills = 20;
const kCancels = 40;

const since = (at) => Number(monotonicNs() - at) / 1e6;
const rows = [];
const row = (what, times) => {
  const sorted = times.sort((a, b) => a - b);
  rows.push(`| ${what} | ${sorted.length} | ${percentile(sorted, 0.5).toFixed(1)} | ${percentile(sorted, 0.95).toFixed(1)} | ${sorted.at(-1).toFixed(1)} |`);
};
const ask = async (gateway, model) => {
  const got = await gateway.generate({ prompt: 'Hello', model, stream: false, options: { num_predict: 1 } });
  if (got.status !== 200) throw new Error(`${model}: ${got.status} ${got.text}`);
};

console.log(execFileSync(path.join(programs, 'bench_decisions'), { encoding: 'utf8' }));

// Memory for one of two.
const roles = { documentation: null, vision: null };
const small = await startReal({ roles, more: { memory: { ram_bytes_max: 9_000_000 } }, ready: false });
try {
  await ask(small, 'coordinator');
  const swaps = [], stays = [];
  for (let i = 0; i < kSwaps; ++i) {
    const model = i % 2 === 0 ? 'technical' : 'coordinator';
    let began = monotonicNs();
    await ask(small, model);
    swaps.push(since(began));
    began = monotonicNs();
    await ask(small, model);
    stays.push(since(began));
  }
  row('an answer that needs a swap', swaps);
  row('an answer that needs none', stays);
} finally {
  await small.dispose();
}

const gateway = await startReal({ roles: { documentation: null, vision: null, coordinator: { slots: 1 } } });
try {
  const kills = [];
  for (let i = 0; i < kKills; ++i) {
    process.kill(await gateway.worker('technical'), 'SIGKILL');
    const killed = monotonicNs();
    await ask(gateway, 'technical');
    kills.push(since(killed));
  }
  row('a killed worker’s next answer', kills);
  const cancels = [];
  for (let i = 0; i < kCancels; ++i) {
    const stream = await gateway.stream({ prompt: 'Hello', model: 'coordinator', options: { num_predict: 4000 } });
    const cut = monotonicNs();
    stream.cut();
    await ask(gateway, 'coordinator');  // There is one slot, so it has to be free again.
    cancels.push(since(cut));
  }
  row('from a client’s leaving to the next answer from its slot', cancels);
  await waitUntil('the slot is free', async () => (await gateway.metric('gbgreg_worker_slots_free', { role: 'coordinator' })) === 1);
} finally {
  await gateway.dispose();
}

console.log('| what | n | p50 ms | p95 ms | max ms |\n| --- | --- | --- | --- | --- |');
console.log(rows.join('\n'));

// How fast everything is back: the whole gateway with its four demo models, and a single worker that was killed.
//
//   node bench/restart.mjs        after ./test or ./run has built build/release, the engine and the demo models
import { kRoles, startReal } from '../tests/support/gateway.mjs';
import { monotonicNs, percentile } from '../tests/support/wait.mjs';

const kStarts = 10;
const kKills = 20;

const since = (at) => Number(monotonicNs() - at) / 1e6;
const rows = [
  ['gateway start to its listening line', []],
  ['gateway start to the first answer of a model', []],
  ['gateway start to all four models ready', []],
  ['SIGTERM to the end of everything', []],
  ['SIGKILL of an idle worker to its next answer', []],
];

for (let i = 0; i < kStarts; ++i) {
  const begun = monotonicNs();
  const gateway = await startReal({ ready: false });
  try {
    rows[0][1].push(since(begun));
    await answer(gateway, 'coordinator');
    rows[1][1].push(since(begun));
    await gateway.allReady();
    rows[2][1].push(since(begun));
    // Past its start, in which the engine cannot be asked to end.
    for (const role of kRoles) await answer(gateway, role);
    const told = monotonicNs();
    await gateway.stop();
    rows[3][1].push(since(told));
  } finally {
    await gateway.dispose();
  }
}

const gateway = await startReal();
try {
  for (let i = 0; i < kKills; ++i) {
    const role = kRoles[i % kRoles.length];
    process.kill(await gateway.worker(role), 'SIGKILL');
    const killed = monotonicNs();
    await answer(gateway, role);
    rows[4][1].push(since(killed));
  }
} finally {
  await gateway.dispose();
}

console.log(`\n| what | n | p50 ms | p95 ms | max ms |\n| --- | --- | --- | --- | --- |`);
for (const [name, times] of rows) {
  const sorted = times.sort((a, b) => a - b);
  console.log(`| ${name} | ${sorted.length} | ${percentile(sorted, 0.5).toFixed(0)} | ${percentile(sorted, 0.95).toFixed(0)} | ${sorted.at(-1).toFixed(0)} |`);
}

async function answer(to, model) {
  const got = await to.generate({ prompt: 'Hello', model, stream: false, options: { num_predict: 2 } });
  if (got.status !== 200) throw new Error(`${model}: ${got.status} ${got.text}`);
}

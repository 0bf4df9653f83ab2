// What the first request of a worker costs beside the later ones: as it is started, whose engine warms up by itself, and
// with that turned off.
//
//   node bench/warm_up.mjs [MODEL.gguf]     the demo models, or another one; after ./test or ./run
import fs from 'node:fs';
import path from 'node:path';

import { kRealEngine, startReal, temporaryFolder } from '../tests/support/gateway.mjs';
import { monotonicNs, percentile } from '../tests/support/wait.mjs';

const kRounds = Number(process.env.ROUNDS ?? 15);
const kLater = 4;
const model = process.argv[2];

const since = (at) => Number(monotonicNs() - at) / 1e6;
const folder = temporaryFolder();
const cold = path.join(folder, 'llama-server-cold');
fs.writeFileSync(cold, `#!/bin/sh\nexec '${kRealEngine}' --no-warmup "$@"\n`, { mode: 0o755 });
const roles = { technical: model ? { model: 'demo-technical', file: path.resolve(model) } : {}, coordinator: null, documentation: null, vision: null };

const rows = [];
try {
  for (const [name, engine] of [['as it is started', kRealEngine], ['with --no-warmup', cold]]) {
    const times = { ready: [], first: [], second: [], later: [] };
    for (let round = 0; round < kRounds; ++round) {
      const begun = monotonicNs();
      const gateway = await startReal({ roles, engine, limits: { queue_wait_ms_max: 'off' } });
      try {
        times.ready.push(since(begun));
        times.first.push(await ask(gateway, 0));
        times.second.push(await ask(gateway, 1));
        for (let i = 0; i < kLater; ++i) times.later.push(await ask(gateway, 2 + i));
      } finally {
        await gateway.dispose();
      }
    }
    for (const [what, ms] of Object.entries(times)) rows.push([name, what, ms.sort((a, b) => a - b)]);
  }
} finally {
  fs.rmSync(folder, { recursive: true });
}
console.log('\n| worker | request | n | p50 ms | p95 ms | max ms |\n| --- | --- | --- | --- | --- | --- |');
for (const [name, what, ms] of rows) console.log(`| ${name} | ${what} | ${ms.length} | ${percentile(ms, 0.5).toFixed(1)} | ${percentile(ms, 0.95).toFixed(1)} | ${ms.at(-1).toFixed(1)} |`);

// Never the same prompt, for what an engine has read once it need not read again.
async function ask(gateway, i) {
  const words = ['apple', 'stone', 'river', 'cloud', 'north', 'seven'];
  const prompt = `${words[i]} `.repeat(40);
  const asked = monotonicNs();
  const got = await gateway.generate({ prompt, model: 'technical', stream: false, options: { num_predict: 8, seed: 1 } });
  if (got.status !== 200) throw new Error(got.text);
  return since(asked);
}

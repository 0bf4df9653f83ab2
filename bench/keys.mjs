// What records and keys cost: the same gateway bare, with a record of each request, and with that and a key that has every
// limit (--unlimited: none), in one run.
//
//   node bench/keys.mjs [--rounds 9] [--connections 64] [--requests 40000] [--unlimited]
//
// All stand before mock engines that cost next to nothing (gateway/mock_engine.cc) and are asked by the same clients
// (gateway/load.cc), which check every answer. Rounds are interleaved; printed are medians, and in brackets the median of
// what it was in each round beside the bare one. CPU time is the process's own, read from the kernel's scheduler. Needs a release build.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { parseArgs } from 'node:util';

import { Stage } from './gateway/stage.mjs';

const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '9' }, connections: { type: 'string', default: '64' }, requests: { type: 'string', default: '40000' }, unlimited: { type: 'boolean', default: false } } });
const kLimits = options.unlimited ? [] : ['--requests-per-minute', '1000000000', '--tokens-per-minute', '1000000000', '--tokens-per-day', '1000000000000'];

const stage = new Stage();
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const cpuTime = (pid) => fs.readdirSync(`/proc/${pid}/task`).reduce((sum, task) => sum + Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]), 0);

// What a target still has to write belongs to it, and not to the one that is measured next.
const kPauseMs = 500;

async function measured(target, requests) {
  const before = cpuTime(target.pid);
  const began = process.hrtime.bigint();
  const args = ['--connections', options.connections, '--requests', requests, ...(target.key ? ['--key', target.key] : [])];
  const figures = JSON.parse(execFileSync(stage.program('bench_load'), stage.loadArguments(target.port, args), { encoding: 'utf8' }));
  assert.equal(figures.wrong + figures.lost, 0, `${target.name}: ${JSON.stringify(figures)}`);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  await new Promise((done) => setTimeout(done, kPauseMs));
  return { cpu: (cpuTime(target.pid) - before) / 1000 / figures.requests, rate: figures.requests / seconds };
}

let isWell = false;
try {
  const targets = [
    await stage.startGateway({ name: 'bare', records: { keep_days: 0 } }), await stage.startGateway({ name: 'records' }),
    await stage.startGateway({ name: options.unlimited ? 'records and a key' : 'records and a key with limits', keyFlags: kLimits }),
  ];
  const rows = new Map(targets.map((target) => [target, []]));
  for (const target of targets) await measured(target, Math.ceil(options.requests / 10));  // Warm.
  for (let round = 0; round < options.rounds; ++round) for (const target of targets) rows.get(target).push(await measured(target, options.requests));
  const [bare, ...others] = targets.map((target) => rows.get(target));
  // Of each round by itself, for the machine is not equally fast in all of them.
  const line = (what, unit, name) => {
    const cells = others.map((one) => `${median(one.map((row) => row[name])).toFixed(1)} (${(100 * (median(one.map((row, round) => row[name] / bare[round][name])) - 1)).toFixed(1)} %)`);
    console.log(`| ${what} | ${unit} | ${median(bare.map((row) => row[name])).toFixed(1)} | ${cells.join(' | ')} |`);
  };
  console.log(`\n${options.rounds} rounds of ${options.requests} requests, ${options.connections} connections\n\n| what | unit | ${targets.map((target) => target.name).join(' | ')} |\n| --- | --- | --- | --- | --- |`);
  line('CPU a request', 'µs', 'cpu');
  line('requests a second', '', 'rate');
  isWell = true;
} finally {
  await stage.end(isWell);
}

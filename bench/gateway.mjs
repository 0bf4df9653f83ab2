// What the gateway costs, beside nginx and a raw relay, in one run: CPU time a request and a token, added latency, memory.
//
//   node bench/gateway.mjs [--rounds 5] [--only 16|idle] [--quick]
//
// All stand before the same upstream (gateway/mock_engine.cc), which costs next to nothing, and are asked by the same clients
// (gateway/load.cc), which check every answer. Rounds are interleaved and medians are printed, since machines drift. CPU
// time is the process's own, read from the kernel's scheduler, workers of the gateway not included. nginx keeps its
// connections, writes no log and checks nothing; the gateway does all that it does in earnest. Needs nginx
// (tools/setup.sh bench) and a release build (GBGREG_BUILD: another folder of programs).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { freePort } from './gateway/free_port.mjs';
import { Stage } from './gateway/stage.mjs';

const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, only: { type: 'string' }, quick: { type: 'boolean', default: false } } });
const kRounds = Number(options.rounds);
const kShare = options.quick ? 0.2 : 1;
const stage = new Stage();
const { folder } = stage;

// ---- What is compared. Each has a port and the processes whose time counts.

async function startNginx(upstream) {
  const port = await freePort();
  const config = path.join(folder, 'nginx.conf');
  fs.writeFileSync(config, `
    ${process.getuid() === 0 ? 'user root;' : ''} daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx-error.log; worker_processes ${os.cpus().length}; worker_rlimit_nofile 30000;
    events { worker_connections 12000; }
    http {
      access_log off; keepalive_requests 100000000; client_body_buffer_size 1m; client_max_body_size 32m;
      client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
      upstream engine { server unix:${upstream}; keepalive 600; keepalive_requests 100000000; }
      server {
        listen 127.0.0.1:${port} reuseport backlog=1024;
        location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
      }
    }`);
  const child = stage.start('nginx', ['-c', config, '-p', folder]);
  await stage.until('nginx answers', () => stage.answers(port));
  return { name: 'nginx', port, pids: () => [child.pid, ...childrenOf(child.pid)] };
}

async function startRelay(upstream) {
  const port = await freePort();
  const child = stage.start(stage.program('bench_raw_relay'), [String(port), `unix:${upstream}`]);
  await stage.until('the relay answers', () => stage.answers(port));
  return { name: 'raw relay', port, pids: () => [child.pid] };
}

const childrenOf = (pid) => fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

// Nanoseconds of CPU time so far.
function cpuTime(pids) {
  let sum = 0;
  for (const pid of pids) {
    for (const task of fs.readdirSync(`/proc/${pid}/task`)) sum += Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return sum;
}
// Ticks in the program itself and in the kernel on its behalf, as the kernel's clock saw it.
function ticks(pids) {
  const sum = { user: 0, kernel: 0 };
  for (const pid of pids) {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    sum.user += Number(fields[11]);
    sum.kernel += Number(fields[12]);
  }
  return sum;
}
const residentMb = (pids) => pids.reduce((sum, pid) => sum + stage.residentMb(pid), 0);

// ---- What is measured.

const load = (target, args) => JSON.parse(execFileSync(stage.program('bench_load'), stage.loadArguments(target.port, args), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 24 }));

function measured(target, args, per) {
  const before = cpuTime(target.pids());
  const ticksBefore = ticks(target.pids());
  const figures = load(target, args);
  const cpu = cpuTime(target.pids()) - before;
  const { user, kernel } = ticks(target.pids());
  const inKernel = (kernel - ticksBefore.kernel) / Math.max(1, kernel - ticksBefore.kernel + user - ticksBefore.user);
  assert.equal(figures.wrong + figures.lost, 0, `${target.name}: ${JSON.stringify(figures)}`);
  const cpu_us = cpu / 1000 / (figures.requests * per);
  return { ...figures, cpu_us, kernel_us: cpu_us * inKernel };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

// Every target in turn, round after round.
function compare(targets, args, { per = 1 } = {}) {
  const rows = new Map(targets.map((target) => [target, []]));
  for (const target of targets) load(target, args.map((word, i) => (args[i - 1] === '--requests' ? Math.max(64, Math.ceil(word / 10)) : word)));  // Warm.
  for (let round = 0; round < kRounds; ++round) for (const target of targets) rows.get(target).push(measured(target, args, per));
  return (figure) => targets.map((target) => median(rows.get(target).map((row) => row[figure])));
}

const requests = (count) => Math.ceil(count * kShare);
function report(title, targets, unit, figures) {
  const [gateway, nginx, relay] = figures;
  console.log(`| ${title} | ${targets.map((_, i) => figures[i]?.toFixed(1) ?? '–').join(' | ')} | ${unit} | ${(gateway / nginx).toFixed(2)} | ${relay ? (gateway / relay).toFixed(2) : ''} |`);
}

let isWell = false;
try {
  const upstream = path.join(folder, 'engine.sock');
  stage.start(stage.program('bench_mock_engine'), ['--host', upstream]);
  await stage.until('the upstream listens', () => fs.existsSync(upstream));
  const targets = [await stage.startGateway(), await startNginx(upstream), await startRelay(upstream)];
  const idleMb = targets.map((target) => residentMb(target.pids()));

  console.log(`\n| what | ${targets.map((target) => target.name).join(' | ')} | unit | gbgreg/nginx | gbgreg/raw relay |\n| --- | --- | --- | --- | --- | --- | --- |`);
  report('resident, idle', targets, 'MB', idleMb);
  for (const connections of [1, 16, 64, 256]) {
    if (options.only && Number(options.only) !== connections) continue;
    const count = requests(connections === 1 ? 10_000 : 40_000);
    const row = compare(targets, ['--connections', connections, '--requests', count]);
    report(`CPU a request, ${connections} connections`, targets, 'µs', row('cpu_us'));
    report('… of which the kernel’s', targets, 'µs', row('kernel_us'));
  }
  if (!options.only) {
    const large = compare(targets, ['--connections', 16, '--requests', requests(8_000), '--prompt-bytes', 65536]);
    report('CPU a request, 64 KB prompts, 16 connections', targets, 'µs', large('cpu_us'));
    report('… of which the kernel’s', targets, 'µs', large('kernel_us'));
    const open = compare(targets, ['--connections', 64, '--rate', 2000, '--seconds', Math.ceil(5 * kShare)]);
    report('latency at 2,000 requests a second, p50', targets, 'µs', open('p50_us'));
    report('latency at 2,000 requests a second, p99', targets, 'µs', open('p99_us'));
    for (const [streams, pace] of [[50, 2000], [500, 20_000]]) {
      const tokens = 100;
      const row = compare(targets, ['--stream', '--connections', streams, '--requests', requests(streams * 6), '--tokens', tokens, '--pace-us', pace], { per: tokens });
      report(`CPU a token, ${streams} streams`, targets, 'µs', row('cpu_us'));
      report('… of which the kernel’s', targets, 'µs', row('kernel_us'));
      report(`first byte, ${streams} streams, p50`, targets, 'µs', row('first_byte_p50_us'));
    }
    report('resident, after 500 streams', targets, 'MB', targets.map((target) => residentMb(target.pids())));
  }
  if (!options.only || options.only === 'idle') {
    // The raw relay holds a connection to the upstream for each of its own, so it has no part in this.
    const held = targets.slice(0, 2);
    const before = held.map((target) => residentMb(target.pids()));
    const grown = [];
    for (const [i, target] of held.entries()) {
      const most = await stage.residentWhileIdle(target.port, 10_000, () => residentMb(target.pids()));
      grown.push(((most - before[i]) * 1024) / 10_000);
    }
    report('10,000 idle connections, each', targets, 'KB', grown);
  }
  isWell = true;
} finally {
  await stage.end(isWell);
}

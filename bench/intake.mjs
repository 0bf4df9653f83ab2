// What taking in 100 MB costs, beside what the system's own tools take for the same bytes in the same run, turn by turn:
// an archive of 10,000 source files beside `bsdtar -x` and `sha256sum`, one file beside `sha256sum`; how much memory the
// gateway takes meanwhile, and how long other requests take, beside how long they take while the tools run instead.
//
//   node bench/intake.mjs        after ./test or ./run has built build/release; takes 6 GB below TMPDIR for some minutes
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { startScripted } from '../tests/support/gateway.mjs';
import { memoryOf, resetPeakMemory } from '../tests/support/processes.mjs';
import { startAsking } from './steady_asker.mjs';

const kMegabyte = 1024 * 1024;
const kFiles = 10_000;
const kRounds = 7;
const kAskEveryMs = 20;
const kIdleMs = 3000;
const kWords = ['int', 'return', 'value', 'while', 'struct', 'const', 'auto', 'size', 'buffer', 'string', 'vector', 'template', 'index', 'result', 'error', 'static'];

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gbgreg-bench-intake-'));
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const percentile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
const shell = (command) => execFileSync('sh', ['-c', command], { cwd: folder, maxBuffer: 1 << 26 });
const timed = (command) => new Promise((resolve, reject) => {
  const begun = performance.now();
  const tools = spawn('sh', ['-c', command], { cwd: folder, stdio: 'ignore' });
  tools.on('error', reject);
  tools.on('close', (code) => (code === 0 ? resolve(performance.now() - begun) : reject(new Error(`${command}: ${code}`))));
});

// Another tree for each seed, the same every time: some 10 KB a file, as compressible as code is.
function makeSources(tree, seed) {
  let state = seed;
  const next = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
  let bytes = 0;
  for (let i = 0; i < kFiles; ++i) {
    const file = path.join(folder, tree, `module${i % 100}`, `part${i % 13}`, `file${i}.cc`);
    const lines = [];
    for (let line = 0; line < 170 + next(170); ++line) lines.push(`${Array.from({ length: 6 }, () => kWords[next(16)] + next(1000)).join(' ')};`);
    const text = `${lines.join('\n')}\n`;
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
    bytes += text.length;
  }
  return bytes;
}

// By curl, in a process of its own, so that the client's work is not the gateway's.
function send(gateway, route, file) {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const curl = spawn('curl', ['-sS', '-F', `file=@${file}`, `http://127.0.0.1:${gateway.port}${route}`], { cwd: folder });
    const pieces = [];
    curl.stdout.on('data', (piece) => pieces.push(piece));
    curl.on('error', reject);
    curl.on('close', () => {
      const ms = performance.now() - begun;
      resolve({ ms, text: Buffer.concat(pieces).toString() });
    });
  });
}

// `files`: one for each round.
async function measure({ name, route, files, others, check, remove }) {
  const ours = [], theirs = [], grown = [], idle = [], busy = [], besideTools = [];
  for (const [round, file] of files.entries()) {
    const besideNothing = await startAsking(gateway.port, kAskEveryMs);
    await new Promise((resolve) => { setTimeout(resolve, kIdleMs); });
    idle.push(...(await besideNothing()));
    const beside = await startAsking(gateway.port, kAskEveryMs);
    theirs.push(await timed(others(file, round)));
    besideTools.push(...(await beside()));
    shell('sync');
    const resident = memoryOf(gateway.pid).VmRSS;
    resetPeakMemory(gateway.pid);
    const stop = await startAsking(gateway.port, kAskEveryMs);
    const { ms, text } = await send(gateway, route, file);
    busy.push(...(await stop()));
    ours.push(ms);
    grown.push(memoryOf(gateway.pid).VmHWM - resident);
    const answer = JSON.parse(text);
    check(answer);
    if (remove !== undefined) await gateway.request('DELETE', remove(answer));
    shell('sync');
  }
  const times = (values) => `${percentile(values, 0.5).toFixed(2)} | ${percentile(values, 0.99).toFixed(2)}`;
  console.log(`| ${name} | ${median(theirs).toFixed(0)} | ${median(ours).toFixed(0)} | ${(median(ours) / median(theirs)).toFixed(2)} | ${(Math.max(...grown) / kMegabyte).toFixed(1)} | ${times(idle)} | ${busy.length} | ${times(busy)} | ${times(besideTools)} |`);
}

let gateway;
try {
  // None of the many files is deleted between rounds: an ext4 without a journal looks at every inode that was given back
  // within the last minutes before it gives out another, inside the kernel, and that would be taken for our time.
  const rounds = Array.from({ length: kRounds }, (_, round) => round);
  let bytes = 0;
  for (const round of rounds) {
    bytes = makeSources(`zip${round}`, 2 * round + 1);
    shell(`cd zip${round} && bsdtar -c --format zip -f ../sources${round}.zip .`);
    makeSources(`tar${round}`, 2 * round + 2);
    shell(`cd tar${round} && tar -czf ../sources${round}.tar.gz .`);
  }
  shell(`head -c ${100 * kMegabyte} /dev/urandom > large.bin && openssl enc -base64 -in large.bin 2> /dev/null | head -c ${100 * kMegabyte} > large.txt && sync`);
  gateway = await startScripted();
  console.log(`\n${kFiles} files, ${(bytes / 1e6).toFixed(0)} MB; medians of ${kRounds} rounds, in turn: nothing for ${kIdleMs / 1000} s, the tools, gbgreg.\n`);
  console.log('| what | the tools, ms | gbgreg, ms | ratio | memory grown, MB | a request when idle: p50, ms | p99, ms | requests meanwhile | p50, ms | p99, ms | beside the tools: p50, ms | p99, ms |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |');
  const checkProject = (answer) => {
    if (answer.project?.file_count !== kFiles || answer.files.length !== kFiles) throw new Error(JSON.stringify(answer).slice(0, 300));
  };
  await measure({
    name: 'one file of 100 MB, beside sha256sum', route: '/api/upload/file', files: rounds.map(() => 'large.txt'), others: (file) => `sha256sum ${file}`,
    remove: (answer) => `/api/uploads/${answer.upload.id}`,
    check: (answer) => { if (answer.upload?.size_bytes !== 100 * kMegabyte) throw new Error(JSON.stringify(answer)); },
  });
  for (const kind of ['zip', 'tar.gz']) {
    await measure({
      name: `sources.${kind}, beside bsdtar -x and sha256sum`, route: '/api/upload/zip', files: rounds.map((round) => `sources${round}.${kind}`), check: checkProject,
      others: (file, round) => `mkdir unpacked.${kind}${round} && bsdtar -x -C unpacked.${kind}${round} -f ${file} && find unpacked.${kind}${round} -type f -print0 | xargs -0 sha256sum > sums`,
    });
  }
} finally {
  await gateway?.dispose();
  fs.rmSync(folder, { recursive: true, force: true });
}

// What taking in 100 MB costs, beside what the system's own tools take for the same bytes in the same run, turn by turn:
// an archive of 10,000 source files beside `bsdtar -x` and `sha256sum`, one file beside `sha256sum`; how much memory the
// gateway takes meanwhile, and how long other requests take, beside how long they take while the tools run instead.
//
//   node bench/intake.mjs        after ./test or ./run has built build/release
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { startScripted } from '../tests/support/gateway.mjs';
import { memoryOf, resetPeakMemory } from '../tests/support/processes.mjs';

const kMegabyte = 1024 * 1024;
const kFiles = 10_000;
const kRounds = 7;
const kAskEveryMs = 20;
const kWords = ['int', 'return', 'value', 'while', 'struct', 'const', 'auto', 'size', 'buffer', 'string', 'vector', 'template', 'index', 'result', 'error', 'static'];

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gbgreg-bench-intake-'));
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const percentile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
const shell = (command) => execFileSync('sh', ['-c', command], { cwd: folder, maxBuffer: 1 << 26 });
// The tools run beside this process, so that it goes on asking meanwhile.
const timed = (command) => new Promise((resolve, reject) => {
  const begun = performance.now();
  const tools = spawn('sh', ['-c', command], { cwd: folder, stdio: 'ignore' });
  tools.on('error', reject);
  tools.on('close', (code) => (code === 0 ? resolve(performance.now() - begun) : reject(new Error(`${command}: ${code}`))));
});

// The same every time, some 10 KB a file, as compressible as code is.
function makeSources() {
  let state = 1;
  const next = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
  let bytes = 0;
  for (let i = 0; i < kFiles; ++i) {
    const file = path.join(folder, 'sources', `module${i % 100}`, `part${i % 13}`, `file${i}.cc`);
    const lines = [];
    for (let line = 0; line < 170 + next(170); ++line) lines.push(`${Array.from({ length: 6 }, () => kWords[next(16)] + next(1000)).join(' ')};`);
    const text = `${lines.join('\n')}\n`;
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
    bytes += text.length;
  }
  return bytes;
}

// Asks a model again and again until told to stop; gives back the milliseconds of each answer.
function keepAsking(gateway) {
  const taken = [];
  let isOver = false;
  const asking = (async () => {
    while (!isOver) {
      const begun = performance.now();
      const answer = await gateway.generate('Hello [[text=hi]]');
      if (answer.status !== 200) throw new Error(answer.text);
      taken.push(performance.now() - begun);
      await new Promise((resolve) => { setTimeout(resolve, kAskEveryMs); });
    }
  })();
  return async () => {
    isOver = true;
    await asking;
    return taken;
  };
}

// By curl, in a process of its own, so that the client's work is not the gateway's and node stays free to ask.
function send(gateway, route, file) {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const curl = spawn('curl', ['-sS', '-F', `file=@${file}`, `http://127.0.0.1:${gateway.port}${route}`], { cwd: folder });
    const pieces = [];
    curl.stdout.on('data', (piece) => pieces.push(piece));
    curl.on('error', reject);
    curl.on('close', () => {
      const ms = performance.now() - begun;
      try {
        resolve({ ms, answer: JSON.parse(Buffer.concat(pieces)) });
      } catch (error) {
        reject(error);
      }
    });
  });
}

async function measure(gateway, { name, route, file, others, check, remove }) {
  const ours = [], theirs = [], grown = [], busy = [], besideTools = [];
  for (let round = 0; round < kRounds; ++round) {
    const stopBeside = keepAsking(gateway);
    theirs.push(await timed(others));
    besideTools.push(...(await stopBeside()));
    shell('rm -rf unpacked; sync');
    const resident = memoryOf(gateway.pid).VmRSS;
    resetPeakMemory(gateway.pid);
    const stop = keepAsking(gateway);
    const { ms, answer } = await send(gateway, route, file);
    busy.push(...(await stop()));
    ours.push(ms);
    grown.push(memoryOf(gateway.pid).VmHWM - resident);
    check(answer);
    await gateway.request('DELETE', remove(answer));
    shell('sync');
  }
  const ratio = median(ours) / median(theirs);
  console.log(`| ${name} | ${median(theirs).toFixed(0)} | ${median(ours).toFixed(0)} | ${ratio.toFixed(2)} | ${(Math.max(...grown) / kMegabyte).toFixed(1)} | ${busy.length} | ${percentile(busy, 0.5).toFixed(2)} | ${percentile(busy, 0.99).toFixed(2)} | ${percentile(besideTools, 0.5).toFixed(2)} | ${percentile(besideTools, 0.99).toFixed(2)} |`);
}

let gateway;
try {
  const bytes = makeSources();
  shell('cd sources && bsdtar -c --format zip -f ../sources.zip . && tar -czf ../sources.tar.gz .');
  shell(`head -c ${100 * kMegabyte} /dev/urandom > large.bin && printf '# text' | cat - large.bin | head -c ${100 * kMegabyte} > large.txt && openssl enc -base64 -in large.bin | head -c ${100 * kMegabyte} > large.txt`);
  gateway = await startScripted();
  await gateway.generate('Hello [[text=hi]]');
  const stop = keepAsking(gateway);
  await new Promise((resolve) => { setTimeout(resolve, 10_000); });
  const idle = await stop();
  console.log(`\n${kFiles} files, ${(bytes / 1e6).toFixed(0)} MB; medians of ${kRounds} rounds, in turn. Idle, ${idle.length} requests take p50 ${percentile(idle, 0.5).toFixed(2)} ms and p99 ${percentile(idle, 0.99).toFixed(2)} ms.\n`);
  console.log('| what | the tools, ms | gbgreg, ms | ratio | memory grown, MB | requests meanwhile | p50, ms | p99, ms | beside the tools: p50 | p99 |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |');
  const checkProject = (answer) => {
    if (answer.project?.file_count !== kFiles || answer.files.length !== kFiles) throw new Error(JSON.stringify(answer).slice(0, 300));
  };
  for (const archive of ['sources.zip', 'sources.tar.gz']) {
    await measure(gateway, {
      name: `${archive}, beside bsdtar -x and sha256sum`, route: '/api/upload/zip', file: archive, check: checkProject, remove: (answer) => `/api/projects/${answer.project.id}`,
      others: `mkdir unpacked && bsdtar -x -C unpacked -f ${archive} && find unpacked -type f -print0 | xargs -0 sha256sum > sums`,
    });
  }
  await measure(gateway, {
    name: 'one file of 100 MB, beside sha256sum', route: '/api/upload/file', file: 'large.txt', others: 'sha256sum large.txt', remove: (answer) => `/api/uploads/${answer.upload.id}`,
    check: (answer) => { if (answer.upload?.size_bytes !== 100 * kMegabyte) throw new Error(JSON.stringify(answer)); },
  });
} finally {
  await gateway?.dispose();
  fs.rmSync(folder, { recursive: true, force: true });
}

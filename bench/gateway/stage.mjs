// What a benchmark of the gateway stands on: a folder, the processes that it started, a gateway before mock engines.
import { execFileSync, spawn } from 'node:child_process';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePort } from './free_port.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const programs = process.env.GBGREG_BUILD ?? path.join(root, 'build/release');

// An engine has at most 256 slots.
const kSlots = 256;

export class Stage {
  // Two workers take 512 requests at once. Their names cost other servers nothing.
  constructor({ workers = 2 } = {}) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gbgreg-bench-'));
    this.children = [];
    this.models = Array.from({ length: workers }, (_, i) => `mock-${i}`);
  }

  program(name) {
    return [path.join(programs, 'bin', name), path.join(programs, 'bench', name)].find((file) => fs.existsSync(file))
      ?? assert.fail(`${name} is not in ${programs}: build the release preset first`);
  }

  // Ends with us, whatever happens to us.
  start(command, args) {
    const log = fs.openSync(path.join(this.folder, `${path.basename(command)}-${this.children.length}.log`), 'w');
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], { stdio: ['ignore', log, log] });
    fs.closeSync(log);
    this.children.push(child);
    return child;
  }

  async until(what, look) {
    for (const end = Date.now() + 20_000; Date.now() < end;) {
      if (await look()) return;
      await new Promise((again) => setTimeout(again, 20));
    }
    throw new Error(`in vain: ${what} (logs are in ${this.folder})`);
  }

  answers(port, key) {
    const body = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'marker-x' }] });
    return fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: 'POST', body, headers: key ? { authorization: `Bearer ${key}` } : {} }).then((answer) => answer.status === 200, () => false);
  }

  // With a key that has all limits, which are never met, when `keyFlags` are given: the gateway's `key`.
  async startGateway({ name = 'gbgreg', keyFlags, records } = {}) {
    const folder = path.join(this.folder, name);
    fs.mkdirSync(folder);
    const data = path.join(folder, 'data');
    const key = keyFlags && execFileSync(this.program('gbgreg'), ['keys', 'create', 'bench', '--data', data, ...keyFlags], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    const model = path.join(folder, 'mock.gguf');
    fs.writeFileSync(model, 'GGUF');
    const config = path.join(folder, 'gbgreg.yaml');
    fs.writeFileSync(config, JSON.stringify({
      engine: this.program('bench_mock_engine'), limits: { queue_max: 10_000, connections_max: 20_000 }, ...(records && { records }),
      roles: Object.fromEntries(this.models.map((name) => [`role-${name}`, { model: name, file: model, slots: kSlots, context: 64 }])),
    }));
    const port = await freePort();
    const child = this.start(this.program('gbgreg'), ['serve', '--config', config, '--data', data, '--listen', `127.0.0.1:${port}`]);
    await this.until('the gateway answers', () => this.answers(port, key));
    return { name, port, key, pid: child.pid, pids: () => [child.pid] };
  }

  residentMb(pid) {
    return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
  }

  loadArguments(port, args) {
    return ['--to', String(port), '--models', this.models.join(','), ...args.map(String)];
  }

  // A load that runs while others look on: its figures.
  async load(port, args) {
    const child = spawn(this.program('bench_load'), this.loadArguments(port, args), { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (piece) => { text += piece; });
    const code = await new Promise((done) => child.once('close', done));
    assert.equal(code, 0, 'the load ended badly');
    return JSON.parse(text);
  }

  // The most of `resident()` while so many connections are held that say nothing.
  async residentWhileIdle(port, connections, resident) {
    let most = 0;
    const look = setInterval(() => { most = Math.max(most, resident()); }, 200);
    await this.load(port, ['--connections', 1, '--idle', connections, '--rate', 1, '--seconds', 6]);
    clearInterval(look);
    return most;
  }

  async end(isWell) {
    for (const child of this.children) child.kill('SIGTERM');
    await Promise.all(this.children.map((child) => child.exitCode ?? new Promise((done) => child.once('exit', done))));
    if (isWell) fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

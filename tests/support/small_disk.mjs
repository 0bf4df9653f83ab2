// A disk of a few megabytes, to be filled to the last byte.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { startScripted, temporaryFolder } from './gateway.mjs';
import { waitUntil } from './wait.mjs';

// A small disk in a mount namespace, which a process holds until we close its stdin. Needs root or user namespaces.
export const kSmallDiskMegabytes = 8;
const isRoot = process.getuid() === 0;
const kNamespace = ['unshare', '--mount', ...(isRoot ? [] : ['--map-root-user'])];
export const canMount = spawnSync(kNamespace[0], [...kNamespace.slice(1), 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

export class SmallDisk {
  folder = temporaryFolder();
  data = path.join(this.folder, 'data');

  async mount() {
    const script = `mount -t tmpfs -o size=${kSmallDiskMegabytes}m,mode=700 none "$1" && touch "$1/here" && exec cat`;
    this.holder = spawn(kNamespace[0], [...kNamespace.slice(1), 'sh', '-c', script, 'sh', this.folder], { stdio: ['pipe', 'ignore', 'inherit'] });
    await waitUntil('the small disk is there', () => fs.existsSync(this.seen('here')));
    return this;
  }
  // A path on it, for those who are not in the namespace.
  seen(name) {
    return path.join(`/proc/${this.holder.pid}/root`, this.folder, name);
  }
  // To the last byte.
  fill() {
    const file = fs.openSync(this.seen('filler'), 'w');
    const block = Buffer.alloc(4096);
    assert.throws(() => { for (;;) fs.writeSync(file, block); }, { code: 'ENOSPC' });
    fs.closeSync(file);
  }
  empty() {
    fs.rmSync(this.seen('filler'));
  }
  // The words before a command that is to see it.
  entering() {
    return ['nsenter', `--target=${this.holder.pid}`, '--mount', ...(isRoot ? [] : ['--user', '--preserve-credentials'])];
  }
  // Starts the gateway in the namespace; then gateway.data is what the test sees of its folder.
  async launch(start) {
    const gateway = await start(this.entering());
    gateway.data = this.seen('data');
    return gateway;
  }
  start(options) {
    return this.launch((under) => startScripted({ ...options, prepare: (gateway) => { gateway.data = this.data; }, under: () => under }));
  }
  restart(gateway) {
    gateway.data = this.data;
    return this.launch((under) => gateway.launch({ under }));
  }
  dispose() {
    this.holder?.stdin.end();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

// Machines that are not there: the files by which a program knows an NVIDIA card, its driver and its container, in a folder
// of their own, and the environment that goes with them. `gbgreg doctor --root` reads them.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { kScriptedEngine, startScripted } from './gateway.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const kFakes = process.env.FAKE_GPU ?? path.resolve(here, '../../build/release/fake_gpu');

const kOpenDriver = (version) => `NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  ${version}  Release Build  (root@host)\n`;
const kProprietaryDriver = (version) => `NVRM version: NVIDIA UNIX x86_64 Kernel Module  ${version}  Sun May 12 19:39:15 UTC 2024\n`;

export class Machine {
  // `engine` is the program that stands for llama-server; the engine's modules are put beside it.
  constructor(folder, engine) {
    this.root = path.join(folder, 'root');
    this.engine = path.join(folder, 'engine', 'llama-server');
    fs.mkdirSync(path.dirname(this.engine), { recursive: true });
    fs.symlinkSync(engine, this.engine);
    this.environment = { LD_LIBRARY_PATH: '' };
    this.write('/proc/cpuinfo', 'processor\t: 0\nflags\t\t: fpu avx avx2\n');
    this.write('/proc/meminfo', 'MemTotal:       24600000 kB\n');
    this.write('/proc/modules', '');
    this.write('/proc/devices', 'Character devices:\n  1 mem\n');
  }

  write(file, text) {
    const target = path.join(this.root, file);
    fs.mkdirSync(path.dirname(target), { recursive: true });
    fs.writeFileSync(target, text);
    return this;
  }
  remove(file) {
    fs.rmSync(path.join(this.root, file), { recursive: true, force: true });
    return this;
  }

  libraries(...folders) {
    const all = folders.map((folder) => path.join(kFakes, folder));
    this.environment.LD_LIBRARY_PATH = all.join(':');
    return this;
  }
  module(folder, file) {
    fs.symlinkSync(path.join(kFakes, folder, file), path.join(path.dirname(this.engine), file));
    return this;
  }
  withoutModules() {
    for (const file of ['libggml-cuda.so', 'libggml-vulkan.so']) fs.rmSync(path.join(path.dirname(this.engine), file), { force: true });
    return this;
  }
  set(variables) {
    Object.assign(this.environment, variables);
    return this;
  }

  card(device, driver = 'nvidia') {
    const folder = '/sys/bus/pci/devices/0000:01:00.0';
    this.write(`${folder}/vendor`, '0x10de\n').write(`${folder}/class`, '0x030000\n').write(`${folder}/device`, `${device}\n`);
    if (driver) fs.symlinkSync(`../../../bus/pci/drivers/${driver}`, path.join(this.root, folder, 'driver'));
    return this;
  }
  // A node is a file that says its major number and the error with which it shall not open.
  node(file, major, error = 0) {
    return this.write(`/dev/${file}`, `${major} ${error}\n`);
  }
  nodes(error = 0) {
    return this.node('nvidia0', 195, error).node('nvidiactl', 195, error).node('nvidia-uvm', 511, error);
  }
  withoutNodes() {
    return this.remove('/dev/nvidia0').remove('/dev/nvidiactl').remove('/dev/nvidia-uvm');
  }
  driver(version, { open = true } = {}) {
    return this.write('/proc/driver/nvidia/version', (open ? kOpenDriver : kProprietaryDriver)(version));
  }
  modules(...names) {
    return this.write('/proc/modules', names.map((name) => `${name} 56823808 18 - Live 0x0 (POE)\n`).join(''));
  }
  kernelLog(...lines) {
    return this.write('/dev/kmsg', lines.map((line, i) => `4,${i},${1000 + i},-;${line}\n`).join(''));
  }
  in(container) {
    if (container === 'docker') return this.write('/.dockerenv', '');
    if (container === 'podman') return this.write('/run/.containerenv', '');
    return this.write('/proc/1/environ', `container=${container}\0TERM=linux\0`);
  }

  // An RTX 5070 Ti on which everything works.
  healthyNvidia() {
    return this.card('0x2c05').nodes().driver('580.95.05').modules('nvidia_uvm', 'nvidia')
      .write('/proc/devices', 'Character devices:\n  1 mem\n195 nvidia\n511 nvidia-uvm\n')
      .write('/sys/module/nvidia_uvm/parameters/uvm_disable_hmm', 'N\n')
      .write('/sys/power/suspend_stats/success', '0\n')
      .write('/usr/lib/x86_64-linux-gnu/libcuda.so.1', '')
      .libraries('driver', 'toolkit').module('cuda', 'libggml-cuda.so');
  }
}

// As large as the model whose header it has, and on the disk as large as the header.
export function bigModel(folder) {
  const file = path.join(folder, 'big.gguf');
  fs.copyFileSync(path.resolve(here, '../../src/fleet/recorded_memory/llama-3.1-8b.header'), file);
  fs.truncateSync(file, 4_920_000_000);
  return file;
}

let machines = 0;
// A gateway on a machine with a card, in a folder of its own within `folder`. `settings` are what its libraries say at first, and
// set() changes that; `prepare` may change the machine before.
export async function startOnCard(folder, { roles, start = 'gpu', settings = {}, prepare, environment, ...more } = {}) {
  const place = path.join(folder, `gateway-${++machines}`);
  fs.mkdirSync(place);
  const machine = new Machine(place, kScriptedEngine).healthyNvidia();
  prepare?.(machine);
  const settingsFile = path.join(place, 'settings');
  const set = (changed) => {
    fs.writeFileSync(`${settingsFile}.new`, Object.entries(changed).map(([name, value]) => `${name}=${value}\n`).join(''));
    fs.renameSync(`${settingsFile}.new`, settingsFile);
  };
  set(settings);
  const gateway = await startScripted({
    start, roles, environment: { ...machine.environment, ...environment, NVIDIA_FAKE_SETTINGS: settingsFile }, flags: ['--root', machine.root],
    // The modules are looked for beside the engine.
    prepare: ({ engineScript }) => {
      for (const file of fs.readdirSync(path.dirname(machine.engine)).filter((name) => name.startsWith('libggml-'))) {
        fs.symlinkSync(path.join(path.dirname(machine.engine), file), path.join(path.dirname(engineScript), file));
      }
    },
    ...more,
  });
  return { gateway, machine, set };
}

// `gbgreg doctor` and GET /api/doctor: each known cause of a GPU that is not used is put into a machine that is not there, and
// named with its fix; of machines on which all is well nothing is said. Prints how many of the known causes it named.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertError, emptyModel, kGateway, kScriptedEngine, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { bigModel, Machine, startOnCard } from '../support/machines.mjs';
import { kPatience, waitUntil } from '../support/wait.mjs';

const kErrnoEperm = 1, kErrnoEnxio = 6, kErrnoEacces = 13;
const kPromiseMs = 5_000;

const folder = temporaryFolder();
after(() => fs.rmSync(folder, { recursive: true, force: true }));

let machines = 0;
function newMachine() {
  const place = path.join(folder, `machine-${++machines}`);
  fs.mkdirSync(place);
  const machine = new Machine(place, kScriptedEngine);
  machine.config = path.join(place, 'config.yaml');
  machine.roles = { technical: { model: 'demo-technical', file: path.join(place, 'model.gguf') } };
  fs.writeFileSync(machine.roles.technical.file, emptyModel());
  machine.data = place;
  machine.listen = '127.0.0.1:0';  // Which is always free.
  return machine;
}

// Runs the doctor on a machine. `flags` go behind the others.
function examine(machine, ...flags) {
  fs.writeFileSync(machine.config, JSON.stringify({ engine: machine.engine, roles: machine.roles, ...machine.more }));
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GBGREG_|NVIDIA_|CUDA_|LD_LIBRARY_PATH)/.test(name)));
  const began = performance.now();
  const child = spawn(kGateway, ['doctor', '--config', machine.config, '--data', machine.data, '--listen', machine.listen, '--root', machine.root, ...flags], {
    env: { ...clean, ...machine.environment }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => { output[0] += text; });
  child.stderr.setEncoding('utf8').on('data', (text) => { output[1] += text; });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ exit: status, text: output[0], errors: output[1], ms: performance.now() - began }));
  });
}
async function diagnose(machine) {
  const run = await examine(machine, '--json');
  assert.ok(run.text, `exit ${run.exit}: ${run.errors}`);
  return { ...run, ...JSON.parse(run.text) };
}
const codes = (diagnosis) => diagnosis.findings.map((finding) => finding.code);

// [the cause, its machine, what its fix says and no other's does]
const kFaults = [
  ['no_device_nodes', (m) => m.in('docker').withoutNodes().remove('/usr').libraries(), '--gpus all'],
  ['container_runtime_missing', (m) => m.in('docker').withoutNodes().remove('/usr').libraries().set({ NVIDIA_VISIBLE_DEVICES: 'all' }), 'nvidia-container-toolkit'],
  ['cdi_libcuda_unreachable', (m) => m.in('docker').libraries('toolkit'), 'ldconfig'],
  ['engine_module_unloadable', (m) => m.libraries('driver'), 'gbgreg gpu install'],
  ['driver_capabilities', (m) => {
    // Only the library that looks at the GPU is there.
    const partial = path.join(m.root, 'partial');
    m.in('docker').remove('/usr').write('/partial/x', '');
    fs.symlinkSync(path.join(process.env.FAKE_GPU ?? 'build/release/fake_gpu', 'driver', 'libnvidia-ml.so.1'), path.join(partial, 'libnvidia-ml.so.1'));
    return m.set({ LD_LIBRARY_PATH: partial, NVIDIA_DRIVER_CAPABILITIES: 'utility' });
  }, 'compute,utility'],
  ['uvm_not_loaded', (m) => m.remove('/dev/nvidia-uvm').modules('nvidia').set({ CUDA_FAKE_STATUS: '999' }), 'nvidia-modprobe -u'],
  ['driver_library_mismatch', (m) => m.set({ NVIDIA_FAKE_NVML_STATUS: '18', CUDA_FAKE_STATUS: '803' }), 'Reboot'],
  ['blackwell_needs_open_modules', (m) => m.driver('570.86.16', { open: false }).set({ NVIDIA_FAKE_DRIVER: '570.86.16', NVIDIA_FAKE_DEVICES: '0', CUDA_FAKE_STATUS: '100' }), 'nvidia-open'],
  ['driver_too_old', (m) => m.driver('570.86.16').set({ NVIDIA_FAKE_DRIVER: '570.86.16', CUDA_FAKE_VERSION: '12080' }), 'Upgrade the driver'],
  ['compat_shadows_driver', (m) => m.set({ CUDA_FAKE_STATUS: '803' }), 'LD_LIBRARY_PATH'],
  ['hmm_bug', (m) => m.set({ CUDA_FAKE_STATUS: '3' }), 'uvm_disable_hmm=1'],
  ['visible_devices_wrong', (m) => m.set({ CUDA_VISIBLE_DEVICES: 'GPU-9f9f9f9f', CUDA_FAKE_STATUS: '100' }), 'nvidia-smi -L'],
  ['lxc_passthrough', (m) => m.in('lxc').node('nvidia-uvm', 508, kErrnoEnxio).set({ CUDA_FAKE_STATUS: '999' }), 'lxc.cgroup2.devices.allow'],
  ['permission_denied', (m) => m.nodes(kErrnoEacces).set({ NVIDIA_FAKE_NVML_STATUS: '4', CUDA_FAKE_STATUS: '100' }), 'usermod -aG'],
  ['cpu_type_without_avx', (m) => m.write('/proc/cpuinfo', 'processor\t: 0\nflags\t\t: fpu sse4_2 hypervisor\n'), 'Type: host'],
  ['lost_after_suspend', (m) => m.write('/sys/power/suspend_stats/success', '1\n').set({ CUDA_FAKE_STATUS: '999' }), 'rmmod nvidia_uvm'],
  ['bar_too_small', (m) => m.kernelLog('NVRM: BAR1 is 0M @ 0x0 (PCI:0000:01:00.0)', 'NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x24:0x72:1436)')
    .set({ NVIDIA_FAKE_DEVICES: '0', CUDA_FAKE_STATUS: '100' }), 'Above 4G Decoding'],
  ['firmware_hang', (m) => m.kernelLog('NVRM: Xid (PCI:0000:01:00): 119, pid=812, name=llama-server, Timeout after 6s').set({ NVIDIA_FAKE_HANG: 'nvml' }), '30 seconds'],
];
// As root a container's user may open whatever the container's list of devices allows.
if (process.getuid() === 0) {
  kFaults.push(['devices_revoked', (m) => m.in('docker').nodes(kErrnoEperm).set({ NVIDIA_FAKE_NVML_STATUS: '999', CUDA_FAKE_STATUS: '100' }), 'Recreate the container']);
}

// The causes that only a worker shows, by what its engine says when it loads, and by what else differs of a gateway on a card.
const kDevice = 'info llama_prepare_model_devices: using device CUDA0 (a card) (0000:01:00.0) - 15800 MiB free';
const kLoading = 'info load_tensors: loading model tensors, this can take a while... (load_mode = mmap)';
const kOnCard = 'info load_tensors:        CUDA0 model buffer size =  1403.49 MiB';
const kOnProcessor = 'info load_tensors:   CPU_Mapped model buffer size =  3281.81 MiB';
const offloaded = (layers) => `info load_tensors: offloaded ${layers}/33 layers to GPU`;
const kWorkerFaults = [
  ['arch_not_compiled', {}, ['info system_info: n_threads = 1 | CUDA : ARCHS = 500,610,700,750,800,860,890 | USE_GRAPHS = 1 |', kDevice, kLoading, offloaded(33),
    'error CUDA error: no kernel image is available for execution on the device', 'exit 134'], 'gpu install cuda'],
  ['client_disabled_gpu', { roles: { technical: { gpu_layers: 0 } } }, [kDevice, kLoading, offloaded(0), kOnProcessor], 'gpu_layers'],
  ['context_too_large', { roles: { technical: { context: 16384 } } }, [kDevice, 'warn llama_params_fit: failed to fit params to free device memory', kLoading, offloaded(20), kOnCard, kOnProcessor], 'q8_0'],
  ['vram_held_elsewhere', { settings: { NVIDIA_FAKE_GRAPHICS: '4321:13000000000', NVIDIA_FAKE_USED: 13_000_000_000 } }, [kDevice, kLoading, offloaded(3), kOnCard, kOnProcessor], 'End that program'],
  ['projector_on_cpu', { roles: { technical: { mmproj: 'projector' } } }, [kDevice, kLoading, offloaded(33), kOnCard, 'info clip_ctx: CLIP using CPU backend'], 'smaller context'],
];

// Each row of the list of known causes.
const kKnown = ['no_device_nodes', 'container_runtime_missing', 'cdi_libcuda_unreachable', 'engine_module_unloadable', 'driver_capabilities', 'uvm_not_loaded',
  'devices_revoked', 'driver_library_mismatch', 'blackwell_needs_open_modules', 'arch_not_compiled', 'driver_too_old', 'compat_shadows_driver', 'hmm_bug', 'visible_devices_wrong',
  'client_disabled_gpu', 'context_too_large', 'vram_held_elsewhere', 'lxc_passthrough', 'permission_denied', 'cpu_type_without_avx', 'lost_after_suspend', 'bar_too_small',
  'firmware_hang', 'projector_on_cpu'];
const named = new Set();
const slowest = { ms: 0 };
let healthyRuns = 0, alarms = 0;
function noteNamed(code, ms) {
  assert.ok(kKnown.includes(code), code);
  named.add(code);
  if (ms > slowest.ms) Object.assign(slowest, { ms, code });
}
after(() => {
  const missing = kKnown.filter((code) => !named.has(code));
  console.log(`doctor: ${named.size} of ${kKnown.length} injected faults named, slowest ${(slowest.ms / 1000).toFixed(1)} s (${slowest.code}), ${alarms} alarms in ${healthyRuns} healthy runs `
    + `(CPU-only, software Vulkan, healthy fake NVIDIA)${missing.length ? `; not injected here: ${missing.join(', ')}` : ''}`);
});

describe('a machine with a known fault', () => {
  for (const [code, prepare, fix] of kFaults) {
    test(code, async () => {
      const machine = prepare(newMachine().healthyNvidia());
      const diagnosis = await diagnose(machine);
      assert.deepEqual(codes(diagnosis), [code], JSON.stringify(diagnosis.findings, null, 1));
      const [finding] = diagnosis.findings;
      assert.ok(finding.fix.includes(fix), finding.fix);
      assert.ok(finding.evidence.length > 0);
      assert.equal(diagnosis.status, finding.severity);
      assert.equal(diagnosis.exit, diagnosis.status === 'error' ? 2 : 1);
      assert.ok(diagnosis.duration_ms <= kPromiseMs * kPatience, `${diagnosis.duration_ms} ms`);
      noteNamed(code, diagnosis.ms);
    });
  }
});

describe('a worker with a known fault', () => {
  for (const [code, { roles, settings }, lines, fix] of kWorkerFaults) {
    test(code, async () => {
      const place = fs.mkdtempSync(path.join(folder, 'worker-'));
      const said = path.join(place, 'lines');
      fs.writeFileSync(said, `${lines.join('\n')}\n`);
      const technical = { file: bigModel(place), ...roles?.technical };
      if (technical.mmproj) fs.writeFileSync(technical.mmproj = path.join(place, 'projector.gguf'), emptyModel());
      const { gateway } = await startOnCard(place, { start: `lines:${said}`, ready: false, settings, roles: { coordinator: null, documentation: null, vision: null, technical } });
      try {
        await waitUntil('it has loaded, or given up', async () => ['ready', 'failed'].includes((await gateway.role('technical')).state));
        let ms;
        const diagnosis = await waitUntil('the doctor has time', async () => {
          const began = performance.now();
          const answer = await gateway.get('/api/doctor');
          ms = performance.now() - began;
          return answer.status === 200 ? answer.json() : undefined;
        });
        assert.deepEqual(codes(diagnosis), [code], JSON.stringify(diagnosis.findings, null, 1));
        const [finding] = diagnosis.findings;
        assert.ok(finding.fix.includes(fix), finding.fix);
        assert.ok(finding.evidence.length > 0);
        assert.ok(diagnosis.duration_ms <= kPromiseMs * kPatience, `${diagnosis.duration_ms} ms`);
        noteNamed(code, ms);
      } finally {
        await gateway.dispose();
      }
    });
  }
});

// What it takes beside a card: [the code, what is done to a machine on which all is well, a part of its fix]. A machine's `undo` is
// called when it has been looked at.
const programAt = (file, text) => {
  fs.rmSync(file, { force: true });
  fs.writeFileSync(file, text, { mode: 0o755 });
};
const disk = fs.statfsSync(os.tmpdir());
const kOtherFaults = [
  ['engine_missing', (m) => fs.rmSync(m.engine), './run'],
  ['engine_not_runnable', (m) => programAt(m.engine, '#!/no/such/interpreter\n'), './run'],
  ['model_missing', (m) => fs.rmSync(m.roles.technical.file), 'roles.technical'],
  ['model_broken', (m) => fs.writeFileSync(m.roles.technical.file, '<!DOCTYPE html>'), 'Fetch it again'],
  ['model_truncated', (m) => fs.truncateSync(m.roles.technical.file = bigModel(m.data), 1_000_000_000), 'Fetch it again'],
  ['model_part_missing', (m) => {
    m.roles.technical.file = path.join(m.data, 'x-00001-of-00002.gguf');
    fs.writeFileSync(m.roles.technical.file, emptyModel());
  }, 'all of its parts'],
  ['memory_too_small', (m) => m.write('/proc/meminfo', 'MemTotal:       0 kB\n'), 'smaller models'],
  ['data_not_writable', (m) => { fs.writeFileSync(m.data = path.join(m.data, 'file'), ''); }, 'chown'],
  // No limit is larger than that, so on a larger disk there is nothing to be found.
  ...disk.bavail * disk.bsize >= 2 ** 40 ? [] : [['disk_full', (m) => { m.more = { limits: { upload_bytes_max: 2 ** 40 } }; }, 'DELETE /api/uploads']],
  ['database_broken', (m) => fs.writeFileSync(path.join(m.data, 'gbgreg.sqlite'), 'not a database at all'.repeat(50)), 'last good copy'],
  ['database_unreadable', (m) => fs.mkdirSync(path.join(m.data, 'gbgreg.sqlite')), 'chown'],
  ['database_unreachable', (m) => { m.more = { database: 'postgresql://gbgreg@/x?host=/nowhere' }; }, 'gbgreg db check'],
  ['port_taken', async (m) => {
    const other = net.createServer((socket) => socket.destroy());
    await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
    m.listen = `127.0.0.1:${other.address().port}`;
    m.undo = () => other.close();
  }, 'ss -ltnp'],
  ['address_not_usable', (m) => { m.listen = '192.0.2.1:3333'; }, '--listen'],
];

describe('a machine with a fault that is not the card’s', () => {
  let told = 0;
  for (const [code, damage, fix] of kOtherFaults) {
    test(code, async () => {
      const machine = newMachine();
      await damage(machine);
      try {
        const diagnosis = await diagnose(machine);
        assert.deepEqual(codes(diagnosis), [code], JSON.stringify(diagnosis.findings, null, 1));
        assert.ok(diagnosis.findings[0].fix.includes(fix), diagnosis.findings[0].fix);
        assert.ok(diagnosis.findings[0].evidence.length > 0);
        assert.ok(diagnosis.duration_ms <= kPromiseMs * kPatience, `${diagnosis.duration_ms} ms`);
        ++told;
      } finally {
        machine.undo?.();
      }
    });
  }
  after(() => console.log(`doctor: ${told} of ${kOtherFaults.length} faults beside the card named`));
});

describe('a machine on which all is well', () => {
  const kHealthy = {
    'without a GPU': () => newMachine(),
    'without a GPU, with a container around it': () => newMachine().in('docker'),
    'with software Vulkan': () => newMachine().module('vulkan', 'libggml-vulkan.so'),
    'with an NVIDIA card': () => newMachine().healthyNvidia(),
    'with an NVIDIA card and the Vulkan module': () => newMachine().healthyNvidia().withoutModules().module('vulkan', 'libggml-vulkan.so'),
    'with an NVIDIA card, in a container': () => newMachine().healthyNvidia().in('podman'),
    'with an NVIDIA card that had been reset': () => newMachine().healthyNvidia().kernelLog('NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.'),
    'with an older NVIDIA card': () => newMachine().card('0x2204').nodes().driver('580.95.05', { open: false }).libraries('driver', 'toolkit').module('cuda', 'libggml-cuda.so'),
    'with a card that a virtual machine has': () => newMachine().card('0x2c05', 'vfio-pci'),
    'with an NVIDIA card chosen by its number': () => newMachine().healthyNvidia().set({ CUDA_VISIBLE_DEVICES: '0' }),
  };
  const kRounds = 10;
  test(`is told so, ${kRounds} times ${Object.keys(kHealthy).length}`, async () => {
    for (const [name, make] of Object.entries(kHealthy)) {
      const machine = make();
      for (let round = 0; round < kRounds; ++round) {
        const diagnosis = await diagnose(machine);
        ++healthyRuns;
        if (diagnosis.findings.length > 0) ++alarms;
        assert.deepEqual(codes(diagnosis), [], `${name}: ${JSON.stringify(diagnosis.findings, null, 1)}`);
        assert.equal(diagnosis.status, 'ok');
        assert.equal(diagnosis.exit, 0);
      }
    }
  });

  test('is described', async () => {
    const diagnosis = await diagnose(newMachine().healthyNvidia());
    assert.equal(diagnosis.summary, 'NVIDIA GeForce RTX 5070 Ti, driver 580.95.05.');
    assert.equal(diagnosis.devices[0].memory_total_bytes, 17_094_934_528);
    assert.match((await diagnose(newMachine())).summary, /No NVIDIA card/);
  });
});

describe('what the doctor says', () => {
  test('is for people, unless JSON is asked for', async () => {
    const machine = newMachine().healthyNvidia().set({ CUDA_FAKE_STATUS: '3' });
    const { text, exit } = await examine(machine);
    assert.equal(exit, 2);
    assert.match(text, /^error {4}hmm_bug$/m);
    assert.match(text, /^ {2}seen {3}cuInit: 3/m);
    assert.match(text, /^ {2}do {5}As root/m);
    assert.match(text, /No gateway runs here/);
    for (const line of text.split('\n')) assert.ok(line.length <= 110, line);
  });

  test('goes into a report with all that was read, and without the owner’s folders', async () => {
    const machine = newMachine().healthyNvidia().set({ HOME: folder, CUDA_FAKE_STATUS: '3' });
    const file = path.join(folder, 'report.json');
    const { text, exit } = await examine(machine, '--report', file);
    assert.equal(exit, 2);
    assert.match(text, /The report is in/);
    const written = fs.readFileSync(file, 'utf8');
    assert.ok(!written.includes(folder), 'it names a folder');
    const report = JSON.parse(written);
    assert.equal(report.diagnosis.findings[0].code, 'hmm_bug');
    assert.equal(report.facts.machine.driver.version, '580.95.05');
    assert.equal(report.facts.probe.nvml.devices[0].uuid, 'GPU-1a2b3c4d');
    assert.equal(report.health, null);
    assert.equal((await examine(machine, '--report', '/no/such/folder/report.json')).exit, 2);
  });

  test('is what it knew before the driver hung or crashed', async () => {
    const hung = await diagnose(newMachine().healthyNvidia().set({ CUDA_FAKE_HANG: '1' }));
    assert.deepEqual(codes(hung), ['driver_does_not_answer']);
    assert.equal(hung.devices.length, 1, 'NVML had answered');
    const crashed = await diagnose(newMachine().healthyNvidia().set({ NVIDIA_FAKE_CRASH: 'nvml' }));
    assert.deepEqual(codes(crashed), ['cuda_does_not_start']);
  });

  test('is told with the worst first', async () => {
    const machine = newMachine();
    fs.rmSync(machine.engine);
    machine.write('/proc/meminfo', 'MemTotal:       0 kB\n');
    const diagnosis = await diagnose(machine);
    assert.deepEqual(codes(diagnosis), ['engine_missing', 'memory_too_small']);
    assert.equal(diagnosis.findings.at(-1).severity, 'warning');
  });
});

describe('the doctor of a running gateway', () => {
  let gateway;
  before(async () => { gateway = await startScripted(); });
  after(() => gateway?.dispose());

  test('answers all who ask for its first look at /api/doctor', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => gateway.get(`/api/doctor?quick=${i % 2}`)));
    for (const answer of answers) {
      assert.equal(answer.status, 200, answer.text);
      assert.ok(['ok', 'warning', 'error'].includes(answer.json().status));
    }
  });

  test('is asked by the command line', async () => {
    const listen = `127.0.0.1:${gateway.port}`;
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GBGREG_')));
    const child = spawn(kGateway, ['doctor', '--config', gateway.configFile, '--listen', listen, '--data', '/nonexistent/elsewhere'], { env: clean, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece) => { text += piece; });
    await new Promise((resolve) => child.once('close', resolve));
    assert.doesNotMatch(text, /No gateway runs here/);
    assert.ok(text.length > 0);
  });
});

describe('a role that requires a GPU, on a machine without one', () => {
  let gateway;
  before(async () => { gateway = await startScripted({ roles: { technical: { device: 'require_gpu' } }, ready: false }); });
  after(() => gateway?.dispose());

  test('answers nothing, and says why; the others answer', async () => {
    const role = await waitUntil('it has failed', async () => {
      const found = await gateway.role('technical');
      return found.state === 'failed' ? found : undefined;
    }, { deadlineMs: 20_000 });
    assert.match(role.detail, /requires a GPU.*processor.*gbgreg doctor/);
    const error = assertError(await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false }), 503);
    assert.match(error.message, /requires a GPU/);
    assert.equal((await gateway.generate({ prompt: 'Hello', model: 'coordinator', stream: false })).status, 200);
  });

  test('is one of the doctor’s findings', async () => {
    const diagnosis = (await gateway.get('/api/doctor')).json();
    assert.ok(codes(diagnosis).includes('no_device_nodes'), JSON.stringify(diagnosis));
    const health = await gateway.health();
    assert.equal(health.gpu.status, 'fault');
    assert.equal(health.gpu.findings[0].code, 'no_device_nodes');
    assert.equal(health.gpu.findings[0].evidence, undefined, 'files of this machine are not everybody’s business');
  });
});

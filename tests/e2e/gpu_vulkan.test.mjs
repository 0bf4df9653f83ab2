// `gbgreg gpu install vulkan` and what comes of it, for real and without a GPU: the module of the pinned package, and Mesa's
// Vulkan device in software. Every layer has to be on it by the engine's own word.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { kCache, kDemoModels, kGateway, kRealEngine, requireRealEngine, startReal, temporaryFolder } from '../support/gateway.mjs';
import { png } from '../support/images.mjs';
import { waitUntil } from '../support/wait.mjs';

// The engine leaves a device in software alone unless it is asked for by its number.
const kSoftwareDevice = { GGML_VK_VISIBLE_DEVICES: '0' };
const kModule = 'libggml-vulkan.so';

const folder = temporaryFolder();
after(() => fs.rmSync(folder, { recursive: true, force: true }));

let copies = 0;
// The engine in a folder of its own, without any module for a GPU.
function copyOfEngine() {
  const place = path.join(folder, `engine-${++copies}`);
  fs.cpSync(path.dirname(kRealEngine), place, { recursive: true, filter: (file) => !/libggml-(cuda|vulkan)\.so$/.test(file) });
  return path.join(place, path.basename(kRealEngine));
}
const modulesOf = (engine) => fs.readdirSync(path.dirname(engine)).filter((file) => /libggml-(cuda|vulkan)\.so$/.test(file));
const leftOvers = (engine) => fs.readdirSync(path.dirname(engine)).filter((file) => file.startsWith('.gpu-module.') && file !== '.gpu-module.lock');

async function gpu(engine, words, { environment = {}, cache = kCache } = {}) {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GBGREG_|GGML_|VK_)/.test(name)));
  const child = spawn(kGateway, ['gpu', ...words, '--engine', engine, '--models', kDemoModels], {
    env: { ...clean, GBGREG_CACHE: cache, ...environment }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (piece) => { text += piece; });
  const status = await new Promise((resolve, reject) => { child.once('error', reject).once('close', resolve); });
  return { status, text };
}

before(() => {
  requireRealEngine();
  const missing = '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json';
  assert.ok(fs.existsSync(missing), `${missing} is missing. Run ./test, which installs mesa-vulkan-drivers.`);
});

describe('an installed Vulkan module', () => {
  let engine, gateway;
  before(async () => {
    engine = copyOfEngine();
    const installed = await gpu(engine, ['install', 'vulkan'], { environment: kSoftwareDevice });
    assert.equal(installed.status, 0, installed.text);
    assert.match(installed.text, /vulkan: proven: all 3 layers of a demo model and its vision projector are on Vulkan0, ready after/);
    assert.deepEqual(modulesOf(engine), [kModule]);
    assert.deepEqual(leftOvers(engine), []);
    gateway = await startReal({
      engine, environment: kSoftwareDevice,
      roles: {
        coordinator: { device: 'require_gpu' }, technical: { device: 'prefer_gpu' }, documentation: { device: 'cpu' },
        vision: { device: 'require_gpu' }, embedding: { embeddings: true, device: 'require_gpu' },
      },
    });
  });
  after(() => gateway?.dispose());

  test('holds every layer of the roles that may use it, and the projector, by the engine’s own word', async () => {
    const { models, gpu: devices } = await gateway.health();
    for (const role of models.roles) {
      const isOnDevice = role.role !== 'documentation';
      assert.equal(role.device, isOnDevice ? 'Vulkan0' : 'CPU', role.role);
      assert.equal(role.total_layers, 3);
      assert.equal(role.gpu_layers, isOnDevice ? 3 : 0, role.role);
      assert.equal(role.projector, role.role === 'vision' ? 'Vulkan0' : null);
    }
    assert.equal(devices.status, 'ok');
    assert.deepEqual(devices.devices.map((device) => device.id), ['Vulkan0']);
    console.log(`on Vulkan0: ${models.roles.filter((role) => role.device === 'Vulkan0').map((role) => `${role.role} ${role.gpu_layers}/${role.total_layers}`).join(', ')}`);
  });

  test('answers, and each answer says where it was made', async () => {
    for (const [model, device] of [['coordinator', 'Vulkan0'], ['technical', 'Vulkan0'], ['documentation', 'CPU']]) {
      const answer = await gateway.generate({ prompt: 'Hello', model, stream: false, options: { num_predict: 4 } });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json().gbgreg.device, device);
      assert.ok(answer.json().eval_count > 0);
    }
    const seen = await gateway.generate({ prompt: 'What is on this picture?', images: [png(64, 48).toString('base64')], options: { num_predict: 4 } });
    assert.equal(seen.status, 200, seen.text);
    assert.equal(seen.json().gbgreg.device, 'Vulkan0');
    const vectors = await gateway.request('POST', '/v1/embeddings', { body: { model: 'embedding', input: ['a cat'] } });
    assert.equal(vectors.status, 200, vectors.text);
  });

  test('gives the doctor nothing to complain of', async () => {
    const diagnosis = await waitUntil('the doctor has time', async () => {
      const answer = await gateway.get('/api/doctor');
      return answer.status === 200 ? answer.json() : undefined;
    });
    assert.deepEqual(diagnosis.findings.filter((finding) => finding.severity !== 'info'), [], JSON.stringify(diagnosis.findings));
  });

  test('is listed, taken away, and then a role that requires it answers nothing', async () => {
    const listed = await gpu(engine, ['status'], { environment: kSoftwareDevice });
    assert.equal(listed.status, 0, listed.text);
    assert.match(listed.text, /libggml-vulkan\.so: can be loaded\n {2}Vulkan0: llvmpipe/);
    assert.equal((await gpu(engine, ['remove'])).text, `removed ${kModule}\n`);
    assert.deepEqual(modulesOf(engine), []);
    assert.match((await gpu(engine, ['status'])).text, /has no module for a GPU: gbgreg gpu install/);
    const other = await startReal({
      engine, environment: kSoftwareDevice, ready: false,
      roles: { coordinator: { device: 'require_gpu' }, technical: { device: 'prefer_gpu' }, documentation: null, vision: null },
    });
    try {
      const failed = await waitUntil('it has failed', async () => {
        const role = await other.role('coordinator');
        return role.state === 'failed' ? role : undefined;
      }, { deadlineMs: 30_000 });
      assert.match(failed.detail, /requires a GPU/);
      const answer = await other.generate({ prompt: 'Hello', model: 'technical', stream: false, options: { num_predict: 4 } });
      assert.equal(answer.json().gbgreg.device, 'CPU');
    } finally {
      await other.dispose();
    }
  });
});

describe('a module that cannot be proven', () => {
  // On a machine that has a GPU the first two are no faults.
  const hasGpu = ['/dev/nvidiactl', '/dev/dri/renderD128'].some((node) => fs.existsSync(node));
  // [what is wrong, the words, the settings, what is said]
  const kCases = [
    ['no device', ['install', 'vulkan'], {}, /not installed.*runs a model on the processor(.|\n)*Vulkan sees no GPU(.|\n)*mesa-vulkan-drivers/],
    ['no library', ['install', 'cuda'], {}, /not installed.*needs what this machine does not have(.|\n)*libcudart\.so\.13: apt install cuda-cudart-13-0/],
    ['another package than the pinned one', ['install', 'vulkan'], { npm: 'for word; do where=$word; done; echo junk >"$where/junk.tgz"' }, /not the package that is pinned/],
    ['no network', ['install', 'vulkan'], { npm: 'echo "npm error network getaddrinfo EAI_AGAIN" >&2; exit 1' }, /npm could not fetch(.|\n)*EAI_AGAIN(.|\n)*Is the network up/],
  ];
  for (const [name, words, { npm }, expected] of kCases) {
    const skip = hasGpu && !npm;
    test(`for ${name} is not left beside the engine, and the cause is named`, { skip }, async () => {
      const engine = copyOfEngine();
      let options = {};
      if (npm) {
        const bin = path.join(path.dirname(engine), 'bin');
        fs.mkdirSync(bin);
        fs.writeFileSync(path.join(bin, 'npm'), `#!/bin/sh\n${npm}\n`, { mode: 0o755 });
        options = { environment: { PATH: `${bin}:${process.env.PATH}` }, cache: path.join(path.dirname(engine), 'cache') };
      }
      const run = await gpu(engine, words, options);
      assert.equal(run.status, 1, run.text);
      assert.match(run.text, expected);
      assert.deepEqual(modulesOf(engine), []);
      assert.deepEqual(leftOvers(engine), []);
    });
  }

  test('takes the place of none that was proven', { skip: hasGpu }, async () => {
    const engine = copyOfEngine();
    assert.equal((await gpu(engine, ['install', 'vulkan'], { environment: kSoftwareDevice })).status, 0);
    const again = await gpu(engine, ['install', 'vulkan']);
    assert.equal(again.status, 1, again.text);
    assert.deepEqual(modulesOf(engine), [kModule]);
    assert.match((await gpu(engine, ['status'], { environment: kSoftwareDevice })).text, /Vulkan0/);
  });

  test('is the next one’s turn when none is named', { skip: hasGpu }, async () => {
    const engine = copyOfEngine();
    const run = await gpu(engine, ['install'], { environment: kSoftwareDevice });
    assert.equal(run.status, 0, run.text);
    assert.match(run.text, /The module cuda needs what this machine does not have/);
    assert.match(run.text, /vulkan: proven/);
  });

  test('is no matter of an unknown name', async () => {
    const run = await gpu(copyOfEngine(), ['install', 'metal']);
    assert.equal(run.status, 2);
    assert.match(run.text, /no module called metal, only: cuda cuda12 vulkan/);
  });
});

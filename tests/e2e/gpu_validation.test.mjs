// tools/gpu_validation from end to end with tiny models, on Mesa's Vulkan device in software and on the processor.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { kCache, kGateway, kRealEngine, requireRealEngine, temporaryFolder } from '../support/gateway.mjs';

const kTool = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../tools/gpu_validation');
const folder = temporaryFolder();
after(() => fs.rmSync(folder, { recursive: true, force: true }));

async function validate(flags, environment) {
  const child = spawn(kTool, ['--small', '--work', path.join(folder, 'work'), ...flags], {
    env: { ...process.env, GBGREG_CACHE: kCache, GBGREG_BIN: kGateway, GBGREG_ENGINE: kRealEngine, ...environment }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (piece) => { text += piece; });
  const status = await new Promise((resolve, reject) => { child.once('error', reject).once('close', resolve); });
  return { status, text };
}

test('a report says where each model ran, how fast, and that it was no NVIDIA GPU', async () => {
  requireRealEngine();
  const out = path.join(folder, 'report.md');
  const run = await validate(['--module', 'vulkan', '--only', 'llava-7b', '--out', out], { GGML_VK_VISIBLE_DEVICES: '0' });
  assert.equal(run.status, 0, run.text);
  const report = fs.readFileSync(out, 'utf8');
  assert.match(report, /\*\*Not run on an NVIDIA GPU\.\*\*/);
  assert.match(report, /\| vision \| llava-7b \| \S+ \| gpu \| 5\/5 layers on Vulkan0, projector on Vulkan0 \|/);
  assert.match(report, /\| vision \| llava-7b \| \S+ \| cpu \| 0\/5 layers on CPU, projector on CPU \|/);
  for (const device of ['Vulkan0', 'CPU']) {
    for (const count of [1, 4, 16]) assert.match(report, new RegExp(`\\| llava-7b \\| ${device} \\| ${count} \\| \\d`));
  }
  assert.doesNotMatch(report, /Not measured|NaN|undefined/);
});

test('without a GPU that can be proven there is no report', async () => {
  const out = path.join(folder, 'none.md');
  const run = await validate(['--module', 'vulkan', '--devices', 'gpu', '--out', out], { GGML_VK_VISIBLE_DEVICES: '99' });
  assert.equal(run.status, 1, run.text);
  assert.match(run.text, /no GPU that can be proven to work/);
  assert.ok(!fs.existsSync(out));
});

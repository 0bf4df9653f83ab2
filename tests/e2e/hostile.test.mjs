// What is sent to hurt: every input gets the class of answer that it must, nothing is written outside the data folder, a
// refused one leaves nothing, and the gateway neither ends, hangs nor grows.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startScripted } from '../support/gateway.mjs';
import { hostileForms, hostileTars, hostileZips } from '../support/hostile.mjs';
import { memoryOf } from '../support/processes.mjs';
import { postArchive } from '../support/projects.mjs';
import { contentType, storedFiles, temporaryFiles } from '../support/uploads.mjs';
import { kSanitized, waitUntil } from '../support/wait.mjs';

const kMegabyte = 1024 * 1024;
const kInputsMin = 150;
const kGrowthMax = 48 * kMegabyte;

let gateway;
let outside;
let inputs = 0;
before(async () => {
  gateway = await startScripted({ limits: { upload_bytes_max: 9 * kMegabyte + 100_000, archive_bytes_max: 8 * kMegabyte, archive_entries_max: 300, archive_seconds_max: 20 } });
  outside = everythingOutside();
});
after(() => gateway?.dispose());

// Whatever lies beside the data folder, where "../" would lead.
function everythingOutside() {
  return fs.readdirSync(gateway.folder, { recursive: true }).filter((name) => !name.startsWith(path.basename(gateway.data)) && !name.endsWith('.log') && !name.endsWith('.jsonl')).sort();
}

async function stays(input, answer) {
  ++inputs;
  assert.equal(answer.status, input.status, `${input.name}: ${answer.text.slice(0, 300)}`);
  if (input.code) assert.equal(answer.json().error.code, input.code, input.name);
  if (input.status === 422) assert.match(answer.json().error.code, /^archive_/, input.name);
  if (input.status >= 400) assert.ok(answer.json().error.message.length > 20, input.name);
  assert.equal((await gateway.get('/health/live')).status, 200, input.name);
}

const removeAll = async () => {
  for (const { id } of (await gateway.get('/api/projects?limit=200')).json().projects) assert.equal((await gateway.request('DELETE', `/api/projects/${id}`)).status, 200);
};

describe('archives', () => {
  for (const input of [...hostileZips(), ...hostileTars()]) {
    test(input.name, async () => {
      const before = storedFiles(gateway).length;
      const answer = await postArchive(gateway, input.body, 'hostile');
      await stays(input, answer);
      if (input.rejected) assert.deepEqual(answer.json().rejected.map((entry) => entry.code).filter((code) => code !== 'path_conflict' || input.rejected.includes(code)), input.rejected, answer.text);
      if (answer.status !== 200) assert.equal(storedFiles(gateway).length, before, 'a refused archive leaves nothing');
      await waitUntil('nothing half-done is left', () => temporaryFiles(gateway).length === 0);
    });
  }
});

describe('forms', () => {
  for (const input of hostileForms()) {
    test(input.name, async () => {
      const answer = await gateway.request('POST', '/api/upload/project', { headers: contentType(), body: input.body });
      await stays(input, answer);
      if (input.isRejected) assert.deepEqual([answer.json().files.length, answer.json().rejected.length], [0, 1], answer.text);
      await waitUntil('nothing half-done is left', () => temporaryFiles(gateway).length === 0);
    });
  }
});

test('all of them together were enough, and did no harm', async () => {
  console.log(`hostile inputs: ${inputs}`);
  assert.ok(inputs >= kInputsMin, `${inputs}`);
  assert.deepEqual(everythingOutside(), outside);
  await removeAll();
  assert.deepEqual(storedFiles(gateway), []);
  const { VmRSS, VmHWM } = memoryOf(gateway.pid);
  console.log(`resident memory: ${(VmRSS / kMegabyte).toFixed(1)} MB, at most ${(VmHWM / kMegabyte).toFixed(1)} MB`);
  if (!kSanitized) assert.ok(VmHWM < kGrowthMax, `${VmHWM}`);
});

// The real limit of 100 MB: the gateway's memory does not grow with the upload.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { assertError, startScripted } from '../support/gateway.mjs';
import { memoryOf, resetPeakMemory } from '../support/processes.mjs';
import { content, contentType, kUnknownBinaries, largeUpload, list, postUpload, sha256, temporaryFiles, upload } from '../support/uploads.mjs';
import { kSanitized, waitUntil } from '../support/wait.mjs';

const kMegabyte = 1024 * 1024;
const kLimit = 100 * kMegabyte;
const kGrowthMax = 16 * kMegabyte;

let gateway;
before(async () => {
  gateway = await startScripted({ more: kUnknownBinaries });
});
after(() => gateway?.dispose());

test('100 MB go through 16 MB of memory, and the digest is right in the answer and in the row', async () => {
  // The first small ones fill the pools that stay for good.
  for (let i = 0; i < 8; ++i) await upload(gateway, Buffer.alloc(65_536, `${i}`), `warm-${i}.txt`);
  resetPeakMemory(gateway.pid);
  const earlier = memoryOf(gateway.pid);

  const large = largeUpload(kLimit);
  const answer = await postUpload(gateway, large.body(), { headers: { ...contentType(), 'content-length': large.length } });
  assert.equal(answer.status, 200, answer.text);
  const record = answer.json().upload;
  const grownBy = memoryOf(gateway.pid).VmHWM - earlier.VmRSS;
  console.log(`peak memory grew by ${(grownBy / kMegabyte).toFixed(1)} MB while 100 MB were uploaded`);
  // The sanitizers keep freed memory on purpose, so only a plain build can keep this promise.
  if (!kSanitized) assert.ok(grownBy < kGrowthMax, `it grew by ${grownBy} bytes`);

  assert.equal(record.size_bytes, kLimit);
  assert.equal(record.sha256, large.sha256);
  const row = (await list(gateway, '?q=large.bin')).uploads.find((one) => one.id === record.id);
  assert.equal(row.sha256, large.sha256);

  resetPeakMemory(gateway.pid);
  const got = await content(gateway, record.id);
  assert.equal(sha256(got.body), large.sha256);
  const grownByDownload = memoryOf(gateway.pid).VmHWM - earlier.VmRSS;
  console.log(`peak memory grew by ${(grownByDownload / kMegabyte).toFixed(1)} MB while 100 MB were downloaded`);
  if (!kSanitized) assert.ok(grownByDownload < kGrowthMax, `it grew by ${grownByDownload} bytes`);
});

test('one byte more is 413 and names the limit, declared or not', async () => {
  for (const declared of [true, false]) {
    const large = largeUpload(kLimit + 1);
    const headers = declared ? { ...contentType(), 'content-length': large.length } : contentType();
    const error = assertError(await postUpload(gateway, large.body(), { headers }), 413);
    assert.ok(`${error.message} ${JSON.stringify(error.details ?? {})}`.includes(String(kLimit)), error.message);
  }
  await waitUntil('nothing is left', () => temporaryFiles(gateway).length === 0);
});

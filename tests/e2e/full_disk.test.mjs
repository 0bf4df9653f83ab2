// A full disk: uploads are refused with a reason, models still answer, and all is well again when there is space.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';

import { tar, zip } from '../support/archives.mjs';
import { assertError, startScripted } from '../support/gateway.mjs';
import { postArchive, postProject, projectFile, uploadArchive } from '../support/projects.mjs';
import { canMount, kSmallDiskMegabytes, SmallDisk } from '../support/small_disk.mjs';
import { content, fileBody, list, postUpload, sha256, storedFiles, temporaryFiles, upload } from '../support/uploads.mjs';
import { waitUntil } from '../support/wait.mjs';

const kMegabyte = 1024 * 1024;
const oneRole = { technical: null, documentation: null, vision: null };

// Without any rights: no file may grow over some size, which the kernel tells a program in nearly the same way.
const kFileBlocks = 2 * kMegabyte / 512;
const withSmallFiles = () => ['sh', '-c', `trap '' XFSZ; ulimit -f ${kFileBlocks}; exec "$@"`, 'sh'];

async function refused(gateway, bytes, filename) {
  const error = assertError(await postUpload(gateway, fileBody(bytes, filename)), 503, 'storage_full');
  assert.match(error.message, /disk is full/);
  await waitUntil('nothing half-done is left', () => temporaryFiles(gateway).length === 0);
}

describe('a disk that is full', { skip: !canMount && !process.env.CI && 'this machine lets nobody mount; the file size limit below is tested' }, () => {
  let disk, gateway;
  after(async () => {
    await gateway?.dispose();
    disk?.dispose();
  });

  test('an upload that does not fit is refused, and the rest goes on', async () => {
    disk = await new SmallDisk().mount();
    gateway = await disk.start({ roles: oneRole });
    const kept = Buffer.alloc(kMegabyte, 'kept ');
    const { id } = await upload(gateway, kept, 'kept.txt');

    await refused(gateway, Buffer.alloc(2 * kSmallDiskMegabytes * kMegabyte, 'x'), 'large.bin');
    assert.equal(storedFiles(gateway).length, 1);
    assert.equal((await gateway.generate('Hello')).status, 200);
    assert.equal(sha256((await content(gateway, id)).body), sha256(kept));
    await upload(gateway, 'there is space again', 'small.txt');
    // The largest upload that is allowed would not fit.
    assert.equal((await gateway.health()).storage.status, 'degraded');
  });

  test('a project that does not fit is refused as a whole, and fits when there is space', async () => {
    const before = storedFiles(gateway).length;
    const files = Array.from({ length: 2 * kSmallDiskMegabytes }, (_, i) => ({ name: `f${i}`, content: Buffer.alloc(kMegabyte, `text ${i} `), stored: i === 0 }));
    for (const make of [zip, (entries) => tar(entries.map(({ name, content }) => ({ name, content })))]) {
      const error = assertError(await postArchive(gateway, make(files)), 503, 'storage_full');
      assert.match(error.message, /disk is full/);
      await waitUntil('nothing half-done is left', () => temporaryFiles(gateway).length === 0);
    }
    assertError(await postProject(gateway, files.map(({ name, content: bytes }) => [name, bytes])), 503, 'storage_full');
    await waitUntil('nothing half-done is left', () => temporaryFiles(gateway).length === 0);
    assert.equal(storedFiles(gateway).length, before);
    const { project } = await uploadArchive(gateway, zip(files.slice(0, 2)));
    assert.equal((await projectFile(gateway, project.id, 'f1')).body.length, kMegabyte);
    assert.equal((await gateway.request('DELETE', `/api/projects/${project.id}`)).status, 200);
  });

  test('to the last byte: nothing is stored, nothing is lost, and deleting makes space', async () => {
    const before = await list(gateway);
    disk.fill();

    for (let i = 0; i < 20; ++i) await refused(gateway, `does not fit ${i}`.repeat(1000), `full-${i}.txt`);
    assert.deepEqual(await list(gateway), before);
    assert.equal((await gateway.generate('Hello')).status, 200);
    const health = await gateway.get('/health');
    assert.equal(health.json().storage.free_bytes, 0);
    assert.equal(health.json().storage.status, 'unhealthy', health.text);

    const small = before.uploads.find((one) => one.filename === 'small.txt');
    assert.equal((await gateway.request('DELETE', `/api/uploads/${small.id}`)).status, 200);
    disk.empty();
    const record = await upload(gateway, 'well again', 'after.txt');
    assert.equal((await content(gateway, record.id)).text, 'well again');
    assert.equal((await list(gateway)).uploads.length, before.uploads.length);
  });

  test('the gateway starts on it, and deleting makes space', async () => {
    const reserve = path.join(gateway.data, 'reserve');
    const { id: duplicate } = await upload(gateway, 'well again', 'twice.txt');
    assert.equal((await gateway.request('DELETE', `/api/uploads/${duplicate}`)).status, 200);
    assert.equal(fs.statSync(reserve).size, kMegabyte, 'what was given up before is taken again');
    const before = await list(gateway);

    await gateway.stop();
    disk.fill();
    await disk.restart(gateway);
    assert.deepEqual(await list(gateway), before);
    const large = before.uploads.find((one) => one.filename === 'kept.txt');
    assert.equal((await gateway.request('DELETE', `/api/uploads/${large.id}`)).status, 200);
    await waitUntil('the reserve is taken again', () => fs.statSync(reserve).size === kMegabyte);
    const record = await upload(gateway, 'in its place', 'new.txt');
    assert.equal((await content(gateway, record.id)).text, 'in its place');
    disk.empty();
  });
});

test('a file size limit of the system is said like a full disk, and does not end the gateway', async () => {
  const gateway = await startScripted({ roles: oneRole, under: withSmallFiles });
  try {
    await refused(gateway, Buffer.alloc(4 * kMegabyte, 'x'), 'large.bin');
    await upload(gateway, Buffer.alloc(kMegabyte, 'y'), 'small.bin');
    assert.equal((await gateway.generate('Hello')).status, 200);
  } finally {
    await gateway.dispose();
  }
});

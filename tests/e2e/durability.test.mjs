// Acknowledged means durable: what was answered 200 is there after the gateway was killed in the same moment.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';

import { startScripted } from '../support/gateway.mjs';
import { RawConnection } from '../support/http.mjs';
import { takeDatabaseAway } from '../support/postgres.mjs';
import { content, contentType, fileBody, list, lostFiles, postUpload, sha256, storedFiles, temporaryFiles, upload } from '../support/uploads.mjs';
import { waitUntil } from '../support/wait.mjs';

const kRounds = 50;

let gateway;
after(() => gateway?.dispose());

test(`kill -9 right after the 200, ${kRounds} times`, async () => {
  // One role is enough: what is tested is the storage.
  gateway = await startScripted({ roles: { technical: null, documentation: null, vision: null }, ready: false });
  const acknowledged = new Map();
  for (let round = 0; round < kRounds; ++round) {
    const bytes = Buffer.from(`round ${round} ${'data '.repeat((round * 997) % 30_000)}`);
    const answer = await postUpload(gateway, fileBody(bytes, `round-${round}.txt`));
    const killed = gateway.kill();
    assert.equal(answer.status, 200, answer.text);
    acknowledged.set(answer.json().upload.id, bytes);
    await killed;
    await gateway.launch();
    const { uploads } = await list(gateway, '?limit=1');
    assert.equal(uploads[0].sha256, sha256(bytes), `round ${round} is not listed`);
    assert.deepEqual((await content(gateway, uploads[0].id)).body, bytes);
  }
  for (const [id, bytes] of acknowledged) assert.deepEqual((await content(gateway, id)).body, bytes);
});

test('kill -9 in the middle of an upload leaves nothing half-done', async () => {
  const stored = storedFiles(gateway).length;
  const before = (await list(gateway, '?limit=1')).uploads[0].id;
  const body = fileBody(Buffer.alloc(5_000_000, 'half'), 'half.bin');
  const connection = await RawConnection.open(gateway.port);
  connection.send(`POST /api/upload/file HTTP/1.1\r\nHost: x\r\nContent-Type: ${contentType()['content-type']}\r\nContent-Length: ${body.length}\r\n\r\n`);
  connection.send(body.subarray(0, 4_000_000));
  await waitUntil('the upload has begun', () => temporaryFiles(gateway).length > 0);
  await gateway.kill();
  connection.cut();
  await gateway.launch();
  assert.deepEqual(temporaryFiles(gateway), []);
  assert.equal(storedFiles(gateway).length, stored);
  assert.equal((await list(gateway, '?limit=1')).uploads[0].id, before);
});

test('a database that is away costs no bytes, and gets them back', async () => {
  const roles = { technical: null, documentation: null, vision: null };
  const other = await startScripted({ roles, ready: false });
  try {
    const kept = new Map();
    for (const text of ['first', 'second', 'third']) kept.set((await upload(other, text, `${text}.txt`)).id, text);
    const files = storedFiles(other).sort();

    await other.stop();
    const bringBack = takeDatabaseAway(other.data);
    await other.launch();
    assert.deepEqual((await list(other)).uploads, []);
    assert.deepEqual(lostFiles(other).sort(), files);
    const told = await waitUntil('the log says so', () => other.output.find((line) => line.includes('3 files that no upload uses')));
    assert.match(told, /uploads\/lost/);
    const again = await upload(other, 'first', 'again.txt');
    assert.equal((await content(other, again.id)).text, 'first');

    await other.stop();
    bringBack();
    await other.launch();
    for (const [id, text] of kept) assert.equal((await content(other, id)).text, text);
    assert.deepEqual(storedFiles(other).sort(), files);
  } finally {
    await other.dispose();
  }
});

test('a copy of a stored file in a folder of others harms neither', async () => {
  const roles = { technical: null, documentation: null, vision: null };
  const other = await startScripted({ roles, ready: false });
  try {
    const { id, sha256: digest } = await upload(other, 'precious', 'precious.txt');
    const root = path.join(other.data, 'uploads');
    const stray = path.join(root, digest.startsWith('00') ? '01' : '00');
    fs.mkdirSync(stray);
    fs.copyFileSync(path.join(root, digest.slice(0, 2), digest), path.join(stray, digest));
    await other.stop();
    await other.launch();
    assert.equal((await content(other, id)).text, 'precious');
    assert.ok(fs.existsSync(path.join(stray, digest)));
  } finally {
    await other.dispose();
  }
});

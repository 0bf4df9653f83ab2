// Acknowledged means durable: what was answered 200 is there after the gateway was killed in the same moment.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { startScripted } from '../support/gateway.mjs';
import { RawConnection } from '../support/http.mjs';
import { content, contentType, fileBody, list, postUpload, sha256, storedFiles, temporaryFiles } from '../support/uploads.mjs';
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

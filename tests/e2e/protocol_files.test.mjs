// OpenAI's files over raw HTTP: the uploads of /api/uploads in another shape.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startScripted } from '../support/gateway.mjs';
import { assertOpenAiError } from '../support/protocols.mjs';
import { contentType, kUnknownBinaries, largeUpload, list as listUploads, multipart, storedFiles, temporaryFiles, upload } from '../support/uploads.mjs';

const kLimit = 4 * 1024 * 1024;

let gateway;
before(async () => {
  gateway = await startScripted({ limits: { upload_bytes_max: kLimit }, more: kUnknownBinaries });
});
after(() => gateway?.dispose());

const form = (content, { filename = 'a.txt', purpose = 'user_data', more = [] } = {}) => multipart([{ name: 'file', filename, content }, { name: 'purpose', content: purpose }, ...more]);
const post = (body, headers = contentType()) => gateway.request('POST', '/v1/files', { body, headers });

async function ok(answering) {
  const answer = await answering;
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers['content-type'], /^application\/json/);
  return answer.json();
}
const create = (content, options) => ok(post(form(content, options)));
const list = (query = '') => ok(gateway.get(`/v1/files${query}`));

describe('a file', () => {
  test('has the shape that clients know, and its bytes come back', async () => {
    const file = await create('grüße\n', { filename: 'süß.txt', purpose: 'assistants' });
    assert.match(file.id, /^file-[0-9a-f-]{36}$/);
    const { id, created_at: created, ...rest } = file;
    assert.deepEqual(rest, { object: 'file', bytes: 8, expires_at: null, filename: 'süß.txt', purpose: 'assistants', status: 'processed', status_details: null });
    assert.ok(Math.abs(created - Date.now() / 1000) < 600);
    assert.deepEqual(await ok(gateway.get(`/v1/files/${id}`)), file);
    const content = await gateway.get(`/v1/files/${id}/content`);
    assert.equal(content.text, 'grüße\n');
    assert.equal(content.headers['x-content-type-options'], 'nosniff');
    assert.equal((await gateway.get(`/v1/files/${id}/content`, { headers: { range: 'bytes=0-1' } })).text, 'gr');
    assert.equal((await gateway.request('HEAD', `/v1/files/${id}/content`)).text, '');
  });

  test('is an upload, and every upload is a file', async () => {
    const file = await create('both ways', { purpose: 'batch' });
    const { uploads } = await listUploads(gateway);
    assert.equal(`file-${uploads[0].id}`, file.id);
    assert.equal(uploads[0].size_bytes, 9);
    const other = await upload(gateway, 'from the other side', 'b.txt');
    const found = await ok(gateway.get(`/v1/files/file-${other.id}`));
    assert.deepEqual([found.filename, found.purpose, found.bytes], ['b.txt', 'user_data', 19]);
    assert.ok((await list('?purpose=user_data')).data.some(({ id }) => id === found.id));
    assert.deepEqual(await ok(gateway.request('DELETE', `/v1/files/${found.id}`)), { id: found.id, object: 'file', deleted: true });
    assert.equal((await gateway.get(`/api/uploads/${other.id}`)).status, 404);
    await ok(gateway.request('DELETE', `/api/uploads/${uploads[0].id}`));
    assertOpenAiError(await gateway.get(`/v1/files/${file.id}`), 404, { code: 'file_not_found' });
  });

  test('that is not there is 404 in OpenAI’s shape, whatever its id', async () => {
    for (const id of ['file-1', 'file-0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f', '0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f', '..%2f..%2fetc%2fpasswd']) {
      for (const [method, target] of [['GET', ''], ['GET', '/content'], ['DELETE', '']]) {
        const error = assertOpenAiError(await gateway.request(method, `/v1/files/${id}${target}`), 404, { code: 'file_not_found' });
        assert.match(error.message, /v1\/files/);
      }
    }
    assertOpenAiError(await gateway.request('PUT', '/v1/files'), 405);
  });

  test('of several megabytes is streamed to the disk', async () => {
    const large = largeUpload(kLimit - 1000);
    // The purpose comes first here, as a form may have it.
    const head = multipart([{ name: 'purpose', content: 'fine-tune' }], { close: false });
    const answer = await gateway.request('POST', '/v1/files', { headers: { ...contentType(), 'content-length': head.length + large.length }, body: (async function* body() {
      yield head;
      yield* large.body();
    })() });
    assert.equal(answer.status, 200, answer.text);
    const { id } = answer.json();
    const { upload: row } = (await gateway.get(`/api/uploads/${id.slice(5)}`)).json();
    assert.equal(row.sha256, large.sha256);
    await ok(gateway.request('DELETE', `/v1/files/${id}`));
  });
});

describe('a form', () => {
  test('that is not one file with a purpose is refused and leaves nothing', async () => {
    const stored = storedFiles(gateway).length;
    const file = { name: 'file', filename: 'a.txt', content: 'nothing stays of this' };
    const purpose = { name: 'purpose', content: 'batch' };
    for (const [parts, status, param] of [
      [[file], 400, 'purpose'],
      [[file, { name: 'purpose', content: 'fun' }], 400, 'purpose'],
      [[file, { name: 'purpose', content: '' }], 400, 'purpose'],
      [[file, purpose, purpose], 400, 'purpose'],
      [[file, { name: 'purpose', content: 'x'.repeat(1000) }], 413, 'purpose'],
      [[purpose], 400, 'file'],
      [[file, file, purpose], 400, 'file'],
      [[{ name: 'file', content: 'no name' }, purpose], 400, 'file'],
      [[file, purpose, { name: 'expires_after[anchor]', content: 'created_at' }, { name: 'expires_after[seconds]', content: '3600' }], 400, 'expires_after'],
    ]) {
      assertOpenAiError(await post(multipart(parts)), status, { param });
    }
    assertOpenAiError(await post(multipart([file, purpose], { close: false })), 400);
    assert.equal(storedFiles(gateway).length, stored);
    assert.deepEqual(temporaryFiles(gateway), []);
  });

  test('that is too large is 413 and names the limit, one that is none 415', async () => {
    for (const body of [form('x'.repeat(kLimit + 1)), form('x'.repeat(kLimit + 2 * 1024 * 1024))]) {
      const error = assertOpenAiError(await post(body), 413);
      assert.match(error.message, /limits\.upload_bytes_max/);
    }
    assertOpenAiError(await post('{"purpose":"batch"}', { 'content-type': 'application/json' }), 415);
  });
});

describe('the list', () => {
  test('has pages by purpose, in both orders', async () => {
    const made = [];
    for (let i = 0; i < 3; ++i) made.push((await create(`${i}`, { purpose: 'vision' })).id);
    made.sort();  // Ids sort by their time, to the millisecond.
    const newest = await list('?purpose=vision&limit=2');
    assert.deepEqual([newest.object, newest.data.map(({ id }) => id), newest.first_id, newest.last_id, newest.has_more], ['list', [made[2], made[1]], made[2], made[1], true]);
    const rest = await list(`?purpose=vision&limit=2&after=${newest.last_id}`);
    assert.deepEqual([rest.data.map(({ id }) => id), rest.has_more], [[made[0]], false]);
    assert.deepEqual((await list('?purpose=vision&order=asc')).data.map(({ id }) => id), made);
    assert.deepEqual(await list('?purpose=evals'), { object: 'list', data: [], first_id: null, last_id: null, has_more: false });
  });

  test('refuses what it does not understand, by name', async () => {
    for (const [query, param] of [['limit=0', 'limit'], ['limit=10001', 'limit'], ['limit=many', 'limit'], ['order=up', 'order'], ['purpose=fun', 'purpose'], ['after=file-1', 'after']]) {
      assertOpenAiError(await gateway.get(`/v1/files?${query}`), 400, { param });
    }
  });
});

test('a file that was acknowledged is there after the gateway was killed', async () => {
  const file = await create('kept', { purpose: 'evals' });
  await gateway.kill();
  await gateway.launch();
  assert.deepEqual(await ok(gateway.get(`/v1/files/${file.id}`)), file);
  assert.equal((await gateway.get(`/v1/files/${file.id}/content`)).text, 'kept');
});

// POST /api/upload/file and what can be done with an upload afterwards.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertError, startScripted } from '../support/gateway.mjs';
import { exchange, RawConnection } from '../support/http.mjs';
import { png } from '../support/images.mjs';
import { assertOpenAiError } from '../support/protocols.mjs';
import { content, contentType, fileBody, kBoundary, kUnknownBinaries, kUploadId, list, multipart, postUpload, sha256, storedFiles, temporaryFiles, upload } from '../support/uploads.mjs';
import { waitUntil } from '../support/wait.mjs';

const kLimit = 2 * 1024 * 1024;

let gateway;
before(async () => {
  gateway = await startScripted({ limits: { upload_bytes_max: kLimit }, more: kUnknownBinaries });
});
after(() => gateway?.dispose());

describe('an upload', () => {
  test('is recorded with what it is', async () => {
    const bytes = Buffer.from('# Title\n\nSome *text* with ünïcödé.\n');
    const record = await upload(gateway, bytes, 'notes.md', [{ name: 'description', content: 'my notes' }]);
    assert.match(record.id, kUploadId);
    assert.equal(record.filename, 'notes.md');
    assert.equal(record.original_filename, 'notes.md');
    assert.equal(record.size_bytes, bytes.length);
    assert.equal(record.sha256, sha256(bytes));
    assert.match(record.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    assert.ok(record.text_preview.startsWith('# Title'));
    assert.ok(!record.duplicate_of);
  });

  test('has the kind that its bytes say, not its name', async () => {
    for (const [bytes, filename, kind, mediaType] of [
      [png(), 'picture.txt', 'image', /^image\/png/],
      ['#include <vector>\nint main() { return 0; }\n', 'main.cc', 'code', /^text\//],
      ['Just a few words.\n', 'words.txt', 'text', /^text\/plain/],
      [Buffer.from('504b0506000000000000000000000000000000000000', 'hex'), 'empty.zip', 'archive', /zip/],
      [Buffer.from('%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n', 'latin1'), 'paper.pdf', 'document', /^application\/pdf/],
      [Buffer.from([0, 1, 2, 3, 255, 254, 0, 9]), 'blob.bin', 'data', /^application\/octet-stream/],
    ]) {
      const record = await upload(gateway, bytes, filename);
      assert.equal(record.kind, kind, filename);
      assert.match(record.media_type, mediaType, filename);
      if (filename === 'main.cc') assert.equal(record.language, 'C++');
    }
  });

  test('may be empty', async () => {
    const record = await upload(gateway, '', 'empty.txt');
    assert.equal(record.size_bytes, 0);
    assert.equal(record.sha256, sha256(''));
    assert.equal((await content(gateway, record.id)).body.length, 0);
  });

  test('of the same bytes is a duplicate, stored once, and outlives the first', async () => {
    const bytes = Buffer.from(`twice ${Math.random()}`);
    const first = await upload(gateway, bytes, 'first.txt');
    const second = await upload(gateway, bytes, 'second.txt');
    assert.equal(second.duplicate_of, first.id);
    assert.notEqual(second.id, first.id);
    assert.equal(storedFiles(gateway).filter((name) => name === sha256(bytes)).length, 1);
    assert.ok([200, 204].includes((await gateway.request('DELETE', `/api/uploads/${first.id}`)).status));
    assert.deepEqual((await content(gateway, second.id)).body, bytes);
    await gateway.request('DELETE', `/api/uploads/${second.id}`);
    await waitUntil('the bytes are gone', () => !storedFiles(gateway).includes(sha256(bytes)));
  });

  test('may contain what looks like its own boundary', async () => {
    const bytes = Buffer.from(`--${kBoundary}x\r\n\r\n--${kBoundary.slice(0, -1)}\r\n-- --\r\n--${kBoundary}`.slice(0, -1) + '\r\n');
    const record = await upload(gateway, bytes, 'tricky.txt');
    assert.deepEqual((await content(gateway, record.id)).body, bytes);
  });

  test('survives being sent byte by byte and in chunks', async () => {
    const bytes = Buffer.from('slow\r\n--slow\r\n');
    const body = fileBody(bytes, 'slow.txt');
    async function* single() {
      for (const byte of body) yield Buffer.from([byte]);
    }
    const answer = await postUpload(gateway, single());
    assert.equal(answer.json().upload.sha256, sha256(bytes));
  });

  test('comes back whole from many at once', async () => {
    const files = Array.from({ length: 24 }, (_, i) => Buffer.alloc(10_000 + i, String.fromCharCode(65 + i)));
    const records = await Promise.all(files.map((bytes, i) => upload(gateway, bytes, `many-${i}.txt`)));
    assert.equal(new Set(records.map((record) => record.id)).size, files.length);
    for (const [i, record] of records.entries()) assert.deepEqual((await content(gateway, record.id)).body, files[i]);
  });
});

describe('a filename is data', () => {
  for (const [sent, safe] of [
    ['../../etc/passwd', /^[^/\\]*passwd$/],
    ['/etc/shadow', /^[^/\\]*shadow$/],
    ['..\\..\\windows\\system.ini', /^[^/\\]*system\.ini$/],
    ['größe 日本語 🙂.txt', /^größe 日本語 🙂\.txt$/],
    ['a\u202Etxt.exe', /^[^\u202E]+$/],
    ['.', /./],
    ['..', /^(?!\.\.?$)./],
    ['CON', /./],
    ["o'hara; drop table.sql", /./],
    ['<script>alert(1)</script>.html', /./],
    [`${'x'.repeat(600)}.txt`, /^.{1,255}$/],
  ]) {
    test(JSON.stringify(sent.slice(0, 40)), async () => {
      const record = await upload(gateway, `content of ${sent}`, sent);
      assert.match(record.filename, safe);
      assert.doesNotMatch(record.filename, /[\u0000-\u001f/\\]/);
      const got = await content(gateway, record.id);
      assert.equal(got.text, `content of ${sent}`);
      assert.doesNotMatch(got.headers['content-disposition'] ?? '', /[\r\n]/);
      assert.ok(!fs.existsSync(path.join(gateway.folder, 'etc')));
    });
  }

  test('a NUL or a line break in it does no harm', async () => {
    const body = Buffer.from(`--${kBoundary}\r\nContent-Disposition: form-data; name="file"; filename="a\0b.txt"\r\n\r\nx\r\n--${kBoundary}--\r\n`);
    const answer = await postUpload(gateway, body);
    assert.ok([200, 400].includes(answer.status));
    if (answer.status === 200) assert.doesNotMatch(answer.json().upload.filename, /\0/);
  });
});

describe('what is uploaded can be', () => {
  test('fetched as one', async () => {
    const record = await upload(gateway, 'one', 'one.txt');
    const answer = await gateway.get(`/api/uploads/${record.id}`);
    assert.equal(answer.status, 200);
    const body = answer.json();
    assert.deepEqual(body.upload ?? body, record);
  });

  test('listed, newest first, by page, kind and word', async () => {
    const word = `word${Date.now()}`;
    const made = [];
    for (let i = 0; i < 5; ++i) made.push(await upload(gateway, `${word} ${i}`, `${word}-${i}.txt`));
    await upload(gateway, png(3, 3), `${word}.png`);

    const texts = await list(gateway, `?q=${word}&kind=text`);
    assert.deepEqual(texts.uploads.map((one) => one.id), made.map((one) => one.id).reverse());
    assert.equal((await list(gateway, `?q=${word}&kind=image`)).uploads.length, 1);
    assert.equal((await list(gateway, `?q=${word.toUpperCase()}`)).uploads.length, 6);
    assert.equal((await list(gateway, '?q=no-such-word-anywhere')).uploads.length, 0);
    assert.equal((await list(gateway, `?q=${word}%25_`)).uploads.length, 0, 'no wildcard of SQL works');

    const seen = [];
    let cursor = '';
    do {
      const page = await list(gateway, `?q=${word}&limit=2${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      assert.ok(page.uploads.length <= 2);
      seen.push(...page.uploads.map((one) => one.id));
      cursor = page.next_cursor;
    } while (cursor);
    assert.equal(seen.length, 6);
    assert.equal(new Set(seen).size, 6);
  });

  for (const query of ['?limit=0', '?limit=-1', '?limit=abc', '?limit=99999999', '?cursor=not-a-cursor', '?kind=nonsense', '?q=%ff']) {
    test(`not listed with ${query}`, async () => {
      const answer = await gateway.get(`/api/uploads${query}`);
      // A limit that is too high may be cut down to the highest; everything else is a mistake that is named.
      if (query === '?limit=99999999' && answer.status === 200) return;
      assertError(answer, 400);
    });
  }

  test('downloaded with headers that keep a browser from running it', async () => {
    const record = await upload(gateway, '<html><script>alert(1)</script></html>', 'page.html');
    const answer = await content(gateway, record.id);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    // As a file, or as what is shown and never run.
    const shown = /^text\/plain/.test(answer.headers['content-type']);
    assert.ok(shown || answer.headers['content-disposition'].startsWith('attachment'));
    assert.doesNotMatch(answer.headers['content-type'], /html|xml|script/);
    const picture = await content(gateway, (await upload(gateway, png(), 'größe.png')).id);
    assert.match(picture.headers['content-type'], /^image\/png/);
    assert.match(picture.headers['content-disposition'], /filename\*=UTF-8''gr%C3%B6%C3%9Fe\.png/i);
    assert.equal(Number(picture.headers['content-length']), png().length);
  });

  test('downloaded in parts', async () => {
    const bytes = Buffer.from('0123456789');
    const { id } = await upload(gateway, bytes, 'digits.txt');
    const part = async (range) => content(gateway, id, { headers: { range } });
    for (const [range, wanted, header] of [
      ['bytes=0-3', '0123', 'bytes 0-3/10'],
      ['bytes=4-', '456789', 'bytes 4-9/10'],
      ['bytes=-2', '89', 'bytes 8-9/10'],
      ['bytes=5-999', '56789', 'bytes 5-9/10'],
      ['bytes=9-9', '9', 'bytes 9-9/10'],
    ]) {
      const answer = await part(range);
      assert.equal(answer.status, 206, range);
      assert.equal(answer.text, wanted);
      assert.equal(answer.headers['content-range'], header);
      assert.equal(answer.headers['content-length'], String(wanted.length));
    }
    const beyond = await part('bytes=10-');
    assert.deepEqual(assertError(beyond, 416, 'range_not_satisfiable').details, { size_bytes: 10 });
    assert.equal(beyond.headers['content-range'], 'bytes */10');
    // A range that is not understood is as if there were none (RFC 9110, 14.2).
    for (const range of ['lines=1-2', 'bytes=x-y', 'bytes=5-2', 'bytes=0-1,3-4', 'bytes=99999999999999999999-']) {
      const answer = await part(range);
      assert.ok([200, 206, 416].includes(answer.status), `${range}: ${answer.status}`);
      if (answer.status === 200) assert.deepEqual(answer.body, bytes);
    }
    assert.equal((await content(gateway, id)).headers['accept-ranges'], 'bytes');
    const head = await gateway.request('HEAD', `/api/uploads/${id}/content`);
    assert.equal(head.headers['content-length'], '10');
  });

  test('deleted, and is then gone', async () => {
    const record = await upload(gateway, `short life ${Math.random()}`, 'gone.txt');
    assert.ok([200, 204].includes((await gateway.request('DELETE', `/api/uploads/${record.id}`)).status));
    assertError(await gateway.get(`/api/uploads/${record.id}`), 404);
    assertError(await content(gateway, record.id), 404);
    assertError(await gateway.request('DELETE', `/api/uploads/${record.id}`), 404);
    assert.ok(!(await list(gateway, '?q=gone.txt')).uploads.some((one) => one.id === record.id));
  });

  for (const id of ['not-an-id', '018f0000-0000-7000-8000-000000000000', '..%2f..%2fetc%2fpasswd', '%00', 'a'.repeat(300)]) {
    test(`not found under ${id.slice(0, 40)}`, async () => {
      for (const [method, tail] of [['GET', ''], ['GET', '/content'], ['DELETE', '']]) {
        const answer = await gateway.request(method, `/api/uploads/${id}${tail}`);
        assert.ok([400, 404].includes(answer.status), `${answer.status}`);
        assertError(answer, answer.status);
      }
    });
  }
});

describe('limits', () => {
  test('exactly the limit is taken', async () => {
    assert.equal((await upload(gateway, Buffer.alloc(kLimit, 'x'), 'full.txt')).size_bytes, kLimit);
  });

  test('one byte more is 413 and names the limit', async () => {
    const error = assertError(await postUpload(gateway, fileBody(Buffer.alloc(kLimit + 1, 'x'))), 413);
    assert.ok(`${error.message} ${JSON.stringify(error.details ?? {})}`.includes(String(kLimit)), error.message);
    await waitUntil('nothing is left', () => temporaryFiles(gateway).length === 0);
  });

  test('one byte more in a chunked body is 413 too', async () => {
    async function* pieces() {
      const body = fileBody(Buffer.alloc(kLimit + 1, 'x'));
      for (let at = 0; at < body.length; at += 65_536) yield body.subarray(at, at + 65_536);
    }
    assertError(await postUpload(gateway, pieces()), 413);
  });

  test('a client that has sent far too much still reads its 413', async () => {
    const answer = await postUpload(gateway, fileBody(Buffer.alloc(kLimit * 8, 'x')));
    assertError(answer, 413);
  });

  test('a declared length far over the limit is refused before 100 Continue', async () => {
    const answer = await exchange(gateway.port,
      `POST /api/upload/file HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${kLimit * 100}\r\nExpect: 100-continue\r\n\r\n`);
    assertError(answer, 413);
  });

  test('a part head that does not end is refused', async () => {
    const body = Buffer.concat([Buffer.from(`--${kBoundary}\r\nContent-Disposition: form-data; name="file"; filename="`), Buffer.alloc(100_000, 'n'), Buffer.from('"\r\n\r\nx\r\n')]);
    const answer = await postUpload(gateway, Buffer.concat([body, Buffer.from(`--${kBoundary}--\r\n`)]));
    assert.ok([400, 413, 431].includes(answer.status), `${answer.status}`);
  });
});

describe('multipart that is wrong is 400', () => {
  for (const [name, body, headers] of [
    ['no boundary', fileBody('x'), { 'content-type': 'multipart/form-data' }],
    ['an empty boundary', fileBody('x'), { 'content-type': 'multipart/form-data; boundary=' }],
    ['a boundary that is too long', fileBody('x'), { 'content-type': `multipart/form-data; boundary=${'b'.repeat(71)}` }],
    ['another boundary', fileBody('x'), contentType('something-else')],
    ['no closing boundary', multipart([{ name: 'file', filename: 'a.txt', content: 'x' }], { close: false }), contentType()],
    ['cut in the head of a part', fileBody('x').subarray(0, 50), contentType()],
    ['no part named file', multipart([{ name: 'other', filename: 'a.txt', content: 'x' }]), contentType()],
    ['no parts at all', multipart([]), contentType()],
    ['an empty body', Buffer.alloc(0), contentType()],
    ['a file without a name', multipart([{ name: 'file', filename: '', content: 'x' }]), contentType()],
    ['a field instead of a file', multipart([{ name: 'file', content: 'x' }]), contentType()],
    ['two files', multipart([{ name: 'file', filename: 'a', content: 'x' }, { name: 'file', filename: 'b', content: 'y' }]), contentType()],
  ]) {
    test(name, async () => {
      const stored = storedFiles(gateway).length;
      assertError(await postUpload(gateway, body, { headers }), 400);
      await waitUntil('nothing is left', () => temporaryFiles(gateway).length === 0 && storedFiles(gateway).length === stored);
    });
  }
});

test('another content type is 415', async () => {
  for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/mixed; boundary=b']) {
    assertError(await postUpload(gateway, fileBody('x'), { headers: { 'content-type': type } }), 415);
  }
  assertError(await postUpload(gateway, fileBody('x'), { headers: {} }), 415);
});

test('a binary that nobody knows is 415 unless the configuration allows it', async () => {
  const strict = await startScripted({ roles: { technical: null, documentation: null, vision: null }, ready: false });
  try {
    const noise = Buffer.from([0, 1, 2, 3, 255, 254, 0, 9]);
    const program = Buffer.concat([Buffer.from('\x7fELF\x02\x01\x01', 'latin1'), Buffer.alloc(9), Buffer.from([2, 0, 0x3e, 0, 1, 0, 0, 0]), Buffer.alloc(40)]);
    for (const [bytes, name, type] of [[noise, 'blob.bin', 'application/octet-stream'], [program, 'tool.txt', 'application/x-executable'], [Buffer.concat([noise, Buffer.alloc(1_000_000, 255)]), 'large.bin', 'application/octet-stream']]) {
      const error = assertError(await postUpload(strict, fileBody(bytes, name)), 415, 'file_type_not_accepted');
      assert.deepEqual(error.details, { media_type: type, setting: 'uploads.allow_unknown_binaries' });
      const file = multipart([{ name: 'file', filename: name, content: bytes }, { name: 'purpose', content: 'user_data' }]);
      assertOpenAiError(await strict.request('POST', '/v1/files', { body: file, headers: contentType() }), 415, { code: 'file_type_not_accepted' });
    }
    await waitUntil('nothing is left', () => temporaryFiles(strict).length === 0);
    assert.deepEqual(storedFiles(strict), []);
    assert.deepEqual((await list(strict)).uploads, []);
    // What is of use to somebody is not.
    for (const [bytes, name] of [['text\n', 'a.bin'], [png(), 'a.png'], [Buffer.from('SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20', 'latin1'), 'a.db'], ['', 'empty']]) await upload(strict, bytes, name);

    strict.configure((config) => ({ ...config, ...kUnknownBinaries }));
    assert.deepEqual((await strict.reload()).json().changed, ['uploads.allow_unknown_binaries is now true.']);
    assert.equal((await upload(strict, noise, 'blob.bin')).kind, 'data');
  } finally {
    await strict.dispose();
  }
});

test('a client that leaves in the middle leaves nothing behind', async () => {
  const stored = storedFiles(gateway).length;
  for (const leave of ['cut', 'reset', 'halfClose']) {
    const connection = await RawConnection.open(gateway.port);
    const body = fileBody(Buffer.alloc(1_900_000, 'x'));
    connection.send(`POST /api/upload/file HTTP/1.1\r\nHost: x\r\nContent-Type: ${contentType()['content-type']}\r\nContent-Length: ${body.length}\r\n\r\n`);
    await connection.sendAll(body.subarray(0, 1_800_000));
    await waitUntil('the upload has begun', () => temporaryFiles(gateway).length > 0);
    connection[leave]();
    await waitUntil(`nothing is left after ${leave}`, () => temporaryFiles(gateway).length === 0);
    connection.cut();
  }
  assert.equal(storedFiles(gateway).length, stored);
  assert.equal((await gateway.get('/health')).status, 200);
});

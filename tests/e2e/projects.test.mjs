import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import zlib from 'node:zlib';

import { kPackers, packedBy, pax, tar, zip } from '../support/archives.mjs';
import { assertError, startScripted } from '../support/gateway.mjs';
import { paths, postArchive, postProject, projectFile, reasons, uploadArchive, uploadProject } from '../support/projects.mjs';
import { content, kUploadId, list, multipart, contentType, sha256, storedFiles, temporaryFiles, upload } from '../support/uploads.mjs';
import { waitUntil } from '../support/wait.mjs';

let gateway;
before(async () => {
  gateway = await startScripted({ limits: { upload_bytes_max: 4 * 1024 * 1024, archive_bytes_max: 8 * 1024 * 1024, archive_entries_max: 500, archive_depth_max: 6 } });
});
after(() => gateway?.dispose());

const kFiles = {
  'src/main.cc': '#include <vector>\nint main() { return 0; }\n',
  'src/net/ünïcödé name.hpp': '#pragma once\n',
  'README.md': '# Title\n',
  'empty.txt': '',
  'deep/er/and/er/x.py': 'import os\n',
  'picture.dat': Buffer.from('89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de', 'hex'),
};

describe('an archive', () => {
  for (const [format, packer] of Object.entries(kPackers)) {
    test(`${format} becomes a project with every path and every byte`, async () => {
      const bytes = packedBy(kFiles, packer);
      const made = await uploadArchive(gateway, bytes, 'My Code.tar.gz', [{ name: 'description', content: 'all of it' }]);
      assert.deepEqual(paths(made.files).sort(), Object.keys(kFiles).sort());
      assert.deepEqual(made.rejected, []);
      assert.match(made.project.id, kUploadId);
      assert.equal(made.project.name, 'My Code');
      assert.equal(made.project.description, 'all of it');
      assert.equal(made.project.status, 'ready');
      assert.equal(made.project.file_count, 6);
      assert.deepEqual(made.project.languages, { 'C++': 2, Markdown: 1, Python: 1 });
      const size = Object.values(kFiles).reduce((sum, each) => sum + Buffer.byteLength(each), 0);
      assert.equal(made.project.size_bytes, size);
      assert.equal(made.extraction.bytes_extracted, size);
      assert.equal(made.extraction.entries_rejected, 0);
      assert.equal(made.extraction.entries_total, made.extraction.entries_extracted);
      for (const file of made.files) {
        assert.equal(file.sha256, sha256(kFiles[file.path]), file.path);
        const got = await projectFile(gateway, made.project.id, file.path);
        assert.equal(got.status, 200);
        assert.ok(got.body.equals(Buffer.from(kFiles[file.path])), file.path);
      }
      const archive = (await gateway.get(`/api/uploads/${made.extraction.archive_upload_id}`)).json().upload;
      assert.equal(archive.kind, 'archive');
      assert.ok((await content(gateway, archive.id)).body.equals(bytes));
      assert.equal((await gateway.request('DELETE', `/api/projects/${made.project.id}`)).status, 200);
    });
  }

  test('of nothing is a project of nothing', async () => {
    for (const bytes of [zip([]), tar([])]) {
      const made = await uploadArchive(gateway, bytes, 'nothing.zip', [{ name: 'name', content: 'Nothing' }]);
      assert.equal(made.project.name, 'Nothing');
      assert.equal(made.project.file_count, 0);
    }
  });

  test('that holds what is no good names it, and the rest is taken', async () => {
    const made = await uploadArchive(gateway, tar([
      { name: 'good.txt', content: 'good' }, { name: '../../evil.txt', content: 'evil' }, { name: '/etc/evil', content: 'evil' }, { name: 'link', type: '2', link: '/etc/passwd' },
      { name: 'hard', type: '1', link: 'good.txt' }, { name: 'pipe', type: '6' }, { name: 'tty', type: '3' }, { name: 'GOOD.TXT', content: 'other' }, { name: 'good.txt/below', content: 'x' },
      { name: 'C:\\windows\\evil', content: 'x' }, { name: 'a\x1b[31m', content: 'x' }, { name: '1/2/3/4/5/6/7', content: 'x' }, { name: Buffer.from([0x61, 0xc0, 0xaf]), content: 'x' },
      { name: 'windows\\style.txt', content: 'good too' },
    ]), 'mixed.tar');
    assert.deepEqual(paths(made.files), ['good.txt', 'windows/style.txt']);
    const codes = reasons(made);
    assert.deepEqual(codes, {
      '../../evil.txt': 'name_traversal', '/etc/evil': 'name_absolute', link: 'link_not_taken', hard: 'link_not_taken', pipe: 'special_not_taken', tty: 'special_not_taken', 'GOOD.TXT': 'name_conflict',
      'good.txt/below': 'path_conflict', 'C:\\windows\\evil': 'name_absolute', 'a\x1b[31m': 'name_hidden_characters', '1/2/3/4/5/6/7': 'name_too_deep', 'a\ufffd\ufffd': 'name_not_utf8',
    });
    assert.equal(made.extraction.entries_total, 14);
    assert.equal(made.extraction.entries_extracted, 2);
    assert.equal(made.extraction.entries_rejected, 12);
    for (const entry of made.rejected) assert.ok(entry.message.length > 10);
  });

  test('from an old program of Windows has its names read as it meant them', async () => {
    const made = await uploadArchive(gateway, zip([{ name: Buffer.from('M\x81ller.txt', 'latin1'), content: 'x', flags: 0 }, { name: Buffer.from('u\u0308.txt'), content: 'y' }]));
    assert.deepEqual(paths(made.files), ['Müller.txt', 'ü.txt']);
  });

  test('in it stays what it is', async () => {
    const inner = zip([{ name: 'x', content: 'y' }]);
    const made = await uploadArchive(gateway, zip([{ name: 'inner.zip', content: inner, stored: true }]));
    assert.deepEqual(made.files.map((file) => [file.path, file.kind]), [['inner.zip', 'archive']]);
  });

  test('with one damaged file gives the others', async () => {
    const made = await uploadArchive(gateway, zip([{ name: 'a', content: 'fine' }, { name: 'b', content: 'broken', stored: true, local: { crc: 7 }, central: { crc: 7 } }, { name: 'c', content: 'fine too' }]));
    assert.deepEqual(paths(made.files), ['a', 'c']);
    assert.deepEqual(reasons(made), { b: 'entry_damaged' });
  });

  test('with files that do not decompress gives the others, whole', async () => {
    const half = zlib.deflateRawSync(crypto.randomBytes(300_000).toString('hex'), { level: 9 });
    half.fill(0xff, 200_000, 200_100);
    const last = crypto.randomBytes(100_000).toString('hex');
    const made = await uploadArchive(gateway, zip([
      { name: 'a', content: 'fine' }, { name: 'b', content: 'garbage', packedBytes: Buffer.alloc(7, 0xff) }, { name: 'c/d', content: 'fine too' },
      { name: 'e', content: 'x'.repeat(600_000), packedBytes: half }, { name: 'f', content: last },
    ]));
    assert.deepEqual(paths(made.files), ['a', 'c/d', 'f']);
    assert.deepEqual(reasons(made), { b: 'entry_damaged', e: 'entry_damaged' });
    assert.equal(made.extraction.entries_rejected, 2);
    assert.equal((await projectFile(gateway, made.project.id, 'f')).text, last);
  });

  test('with a name of 1,000 bytes keeps it', async () => {
    const name = `${'d'.repeat(200)}/${'e'.repeat(200)}/${'f'.repeat(200)}/${'g'.repeat(200)}/${'h'.repeat(190)}`;
    const made = await uploadArchive(gateway, tar([{ name: 'x', type: 'x', content: pax('path', name) }, { name: 'short', content: 'long' }]), 'a.tar');
    assert.deepEqual(paths(made.files), [name]);
  });
});

describe('many files', () => {
  test('become a project, in whatever order the form has its parts', async () => {
    const answer = await gateway.request('POST', '/api/upload/project', {
      headers: contentType(),
      body: multipart([{ name: 'files', filename: 'app/a.cc', content: 'int a;\n' }, { name: 'name', content: 'Mine' }, { name: 'files', filename: 'app/b/c.py', content: 'x = 1\n' }, { name: 'description', content: 'two files' }]),
    });
    assert.equal(answer.status, 200, answer.text);
    const made = answer.json();
    assert.equal(made.project.name, 'Mine');
    assert.equal(made.project.description, 'two files');
    assert.deepEqual(paths(made.files), ['app/a.cc', 'app/b/c.py']);
    assert.ok(!('extraction' in made));
    assert.equal((await projectFile(gateway, made.project.id, 'app/b/c.py')).text, 'x = 1\n');
  });

  test('are named by the folder that all of them are in', async () => {
    assert.equal((await uploadProject(gateway, [['app/a', 'x'], ['app/b', 'y']])).project.name, 'app');
    assert.equal((await uploadProject(gateway, [['app/a', 'x'], ['b', 'y']])).project.name, 'project');
  });

  test('of 400 keep their paths and their order', async () => {
    const files = Array.from({ length: 400 }, (_, i) => [`dir${i % 7}/file${i}.txt`, `content ${i}\n`.repeat(i % 50)]);
    const made = await uploadProject(gateway, files);
    assert.deepEqual(paths(made.files), files.map(([path]) => path));
    for (const [i, file] of made.files.entries()) assert.equal(file.sha256, sha256(files[i][1]));
  });

  test('with names that are no good are named, and the rest is taken', async () => {
    const made = await uploadProject(gateway, [['ok.txt', 'x'], ['../up.txt', 'y'], ['ok.txt', 'again'], ['/abs.txt', 'z']]);
    assert.deepEqual(paths(made.files), ['ok.txt']);
    assert.deepEqual(reasons(made), { '../up.txt': 'name_traversal', 'ok.txt': 'name_conflict', '/abs.txt': 'name_absolute' });
  });

  test('that are none, or too many, or too large, leave nothing', async () => {
    const before = [storedFiles(gateway).length, (await gateway.get('/api/projects')).json().projects.length];
    assertError(await postProject(gateway, []), 400, 'files_missing');
    assertError(await gateway.request('POST', '/api/upload/project', { headers: contentType(), body: multipart([{ name: 'files', content: 'no filename' }]) }), 400, 'file_without_name');
    assertError(await postProject(gateway, [['a', Buffer.alloc(3 * 1024 * 1024)], ['b', Buffer.alloc(3 * 1024 * 1024)]]), 413, 'files_too_large');
    assertError(await postProject(gateway, Array.from({ length: 501 }, (_, i) => [`f${i}`, 'x'])), 422, 'archive_too_many_entries');
    assertError(await postProject(gateway, [['a', 'x']], [{ name: 'name', content: 'x'.repeat(201) }]), 413, 'name_too_large');
    assert.deepEqual([storedFiles(gateway).length, (await gateway.get('/api/projects')).json().projects.length], before);
    await waitUntil('nothing is left', () => temporaryFiles(gateway).length === 0);
  });
});

describe('a project', () => {
  test('is listed, shown and read, with its tree', async () => {
    const made = await uploadProject(gateway, [['src/a.cc', 'int a;\n'], ['src/b/c.cc', 'int c;\n'], ['z.txt', '0123456789']]);
    const { id } = made.project;
    const shown = (await gateway.get(`/api/projects/${id}`)).json();
    assert.deepEqual(shown, { project: made.project });
    assert.deepEqual((await gateway.get('/api/projects?limit=1')).json().projects, [made.project]);
    const files = (await gateway.get(`/api/projects/${id}/files`)).json();
    assert.deepEqual(files, { files: made.files, next_after: null });
    assert.deepEqual(paths((await gateway.get(`/api/projects/${id}/files?folder=src/b/`)).json().files), ['src/b/c.cc']);
    const page = (await gateway.get(`/api/projects/${id}/files?limit=2`)).json();
    assert.equal(page.next_after, 'src/b/c.cc');
    assert.deepEqual(paths((await gateway.get(`/api/projects/${id}/files?after=${encodeURIComponent(page.next_after)}`)).json().files), ['z.txt']);

    const part = await projectFile(gateway, id, 'z.txt', { headers: { range: 'bytes=2-4' } });
    assert.equal(part.status, 206);
    assert.equal(part.text, '234');
    assert.match(part.headers['content-disposition'], /filename="z.txt"/);
    const code = await projectFile(gateway, id, 'src/a.cc');
    assert.equal(code.headers['content-type'], 'text/plain; charset=utf-8');
    assert.equal(code.headers['x-content-type-options'], 'nosniff');
    for (const target of [`/api/projects/${id}/files/src`, `/api/projects/${id}/files/..%2Fz.txt`, `/api/projects/${id}/files/nothing`]) assertError(await gateway.get(target), 404, 'project_file_not_found');
    assertError(await gateway.get('/api/projects/nobody'), 404, 'project_not_found');
    assertError(await gateway.get('/api/projects/nobody/files/x'), 404, 'project_not_found');
    assertError(await gateway.get(`/api/projects/${id}/files?limit=0`), 400, 'limit_out_of_bounds');
    assertError(await gateway.get(`/api/projects/${id}/files?limit=x`), 400, 'limit_malformed');
  });

  test('goes with its rows and with the bytes that nothing else has', async () => {
    const unique = `only here ${Math.random()}`;
    const shared = `here and elsewhere ${Math.random()}`;
    const other = await upload(gateway, shared, 'other.txt');
    const bytes = zip([{ name: 'unique.txt', content: unique }, { name: 'shared.txt', content: shared }]);
    const one = await uploadArchive(gateway, bytes);
    const two = await uploadProject(gateway, [['again.txt', shared]]);
    for (const text of [unique, shared, bytes]) assert.ok(storedFiles(gateway).includes(sha256(text)));

    assert.equal((await gateway.request('DELETE', `/api/projects/${one.project.id}`)).status, 200);
    assertError(await gateway.get(`/api/projects/${one.project.id}`), 404);
    assertError(await gateway.get(`/api/uploads/${one.extraction.archive_upload_id}`), 404);
    assert.deepEqual([unique, bytes, shared].map((text) => storedFiles(gateway).includes(sha256(text))), [false, false, true]);
    assertError(await gateway.request('DELETE', `/api/projects/${one.project.id}`), 404, 'project_not_found');

    assert.equal((await gateway.request('DELETE', `/api/uploads/${other.id}`)).status, 200);
    assert.equal((await projectFile(gateway, two.project.id, 'again.txt')).text, shared);
    assert.equal((await gateway.request('DELETE', `/api/projects/${two.project.id}`)).status, 200);
    assert.ok(!storedFiles(gateway).includes(sha256(shared)));
  });

  test('is there after a restart, with all of its bytes', async () => {
    const made = await uploadArchive(gateway, zip([{ name: 'a/b.txt', content: 'kept' }]));
    await gateway.kill();
    await gateway.launch();
    assert.equal((await projectFile(gateway, made.project.id, 'a/b.txt')).text, 'kept');
    assert.equal((await list(gateway)).uploads.some((each) => each.id === made.extraction.archive_upload_id), true);
  });
});

test('what is no archive is refused as one', async () => {
  for (const [bytes, code] of [['', 'archive_unreadable'], ['just text', 'archive_unreadable'], ['PK', 'archive_unreadable'], ['PK\x03\x04', 'archive_damaged']]) {
    assertError(await postArchive(gateway, bytes), 422, code);
  }
  await waitUntil('nothing is left', () => temporaryFiles(gateway).length === 0);
});

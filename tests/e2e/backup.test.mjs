// gbgreg storage verify, backup and restore: beside a gateway at work, and without one.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { kGateway, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { databaseEnvironment, kOnPostgres, takeDatabaseAway } from '../support/postgres.mjs';
import { canMount, SmallDisk } from '../support/small_disk.mjs';
import { content, list, lostFiles, sha256, storedFiles, upload } from '../support/uploads.mjs';
import { kPatience, within } from '../support/wait.mjs';

// One role is enough: what is tested is the storage.
const kOneRole = { technical: null, documentation: null, vision: null };

// { status, out, err } of a command on a data folder.
async function run(words, data, { under = [] } = {}) {
  const command = [...under, kGateway, ...words, '--data', data];
  const env = { ...process.env, ...await databaseEnvironment(data) };
  const child = spawn(command[0], command.slice(1), { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '', err: '' };
  child.stdout.on('data', (text) => { said.out += text; });
  child.stderr.on('data', (text) => { said.err += text; });
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal }));
  });
  try {
    return { ...await within(`gbgreg ${words.join(' ')}`, ended, 60_000), ...said };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

async function verify(data, status = 0) {
  const said = await run(['storage', 'verify', '--json'], data);
  assert.equal(said.status, status, said.out + said.err);
  return JSON.parse(said.out);
}

const fileOf = (data, digest) => path.join(data, 'uploads', digest.slice(0, 2), digest);

describe('a backup', () => {
  let gateway, folder, file;
  before(async () => {
    gateway = await startScripted({ roles: kOneRole });
    folder = temporaryFolder();
    file = path.join(folder, 'backup.tar');
  });
  after(async () => {
    await gateway?.dispose();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test('that is made while uploads come and go has every one that was acknowledged before', async () => {
    const kept = new Map();
    for (let i = 0; i < 30; ++i) {
      const bytes = Buffer.from(`kept ${i} ${'data '.repeat(i * 997)}`);
      kept.set((await upload(gateway, bytes, `kept-${i}.txt`)).id, bytes);
    }
    // Others come and go all the while.
    let isOver = false;
    const passing = Array.from({ length: 2 }, async (_, who) => {
      let count = 0;
      while (!isOver) {
        const { id } = await upload(gateway, `passing ${who} ${++count}`, 'passing.txt');
        // Now and then: a backup is given up where something is deleted each time between its rows and its bytes.
        if (count % 2 === 0) await gateway.request('DELETE', `/api/uploads/${id}`);
        await new Promise((again) => setTimeout(again, 100 * kPatience));
      }
      return count;
    });
    try {
      const backed = await run(['backup', file], gateway.data);
      assert.equal(backed.status, 0, backed.err);
      const verified = await verify(gateway.data);
      assert.equal(verified.gateway_runs, true);
      assert.equal(verified.fault_count, 0);
      assert.ok(verified.files_checked >= kept.size);
    } finally {
      isOver = true;
    }
    assert.ok((await Promise.all(passing)).every((count) => count > 0));
    await gateway.kill();

    const data = path.join(folder, 'elsewhere');
    const restored = await run(['restore', file], data);
    assert.equal(restored.status, 0, restored.err);
    const verified = await verify(data);
    assert.deepEqual([verified.fault_count, verified.unused_count, verified.gateway_runs], [0, 0, false]);

    const first = gateway.data;
    gateway.data = data;
    await gateway.launch();
    for (const [id, bytes] of kept) assert.deepEqual((await content(gateway, id)).body, bytes);
    assert.deepEqual(lostFiles(gateway), []);
    await gateway.stop();
    gateway.data = first;
    await gateway.launch();
  });

  test('is a tar that any tar lists', async () => {
    const listing = spawn('tar', ['tf', file]);
    let out = '';
    listing.stdout.on('data', (text) => { out += text; });
    await new Promise((resolve) => listing.once('close', resolve));
    const names = out.trim().split('\n');
    assert.deepEqual(names.slice(-2), ['gbgreg.sqlite', 'manifest.json']);
    assert.ok(names.slice(0, -2).every((name) => /^uploads\/([0-9a-f]{2})\/\1[0-9a-f]{62}$/.test(name)));
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  });

  test('is not put where a gateway runs, nor over what is there', async () => {
    const running = await run(['restore', file, '--replace'], gateway.data);
    assert.equal(running.status, 1);
    assert.match(running.err, /Another gbgreg is running on the data folder/);
    await gateway.stop();
    const before = storedFiles(gateway);
    const present = await run(['restore', file], gateway.data);
    assert.equal(present.status, 1);
    assert.match(present.err, kOnPostgres ? /has rows already/ : /has data already.*--replace/);
    assert.deepEqual(storedFiles(gateway), before);
    if (kOnPostgres) {
      // Nobody moves the rows of a server aside: an empty database is what it wants.
      const refused = await run(['restore', file, '--replace'], gateway.data);
      assert.equal(refused.status, 1);
      assert.match(refused.err, /make a new, empty database/);
      assert.deepEqual(storedFiles(gateway), before);
      takeDatabaseAway(gateway.data);
    }

    const replaced = await run(['restore', file, '--replace'], gateway.data);
    assert.equal(replaced.status, 0, replaced.err);
    const aside = /What was there is in (.*)\.\n/.exec(replaced.out)[1];
    assert.equal(fs.existsSync(path.join(aside, 'gbgreg.sqlite')), !kOnPostgres);
    assert.deepEqual(storedFiles({ data: aside }).sort(), before.sort());
    await gateway.launch();
    assert.ok((await list(gateway)).uploads.length > 0);
  });

  test('that is damaged is refused, and nothing is left of it', async () => {
    const bytes = fs.readFileSync(file);
    const at = bytes.indexOf('kept 0 ');
    assert.ok(at > 0);
    const damaged = path.join(folder, 'damaged.tar');
    const data = path.join(folder, 'for-damaged');
    for (const [what, change, message] of [
      ['a flipped byte', () => { const other = Buffer.from(bytes); other[at] ^= 1; return other; }, new RegExp(sha256('kept 0 '))],
      ['cut short', () => bytes.subarray(0, bytes.length / 2), /is damaged/],
      ['no tar at all', () => Buffer.from('this is no tar'), /is damaged/],
    ]) {
      fs.writeFileSync(damaged, change());
      const refused = await run(['restore', damaged], data);
      assert.equal(refused.status, 1, what);
      assert.match(refused.err, message, what);
      assert.match(refused.err, /Nothing was restored/, what);
      assert.deepEqual(fs.readdirSync(path.join(data, 'uploads')), [], what);
      assert.equal(fs.existsSync(path.join(data, 'restore.partial')), false, what);
    }
    assert.equal((await run(['restore', path.join(folder, 'none.tar')], data)).status, 1);
  });
});

describe('storage verify', () => {
  let gateway;
  before(async () => {
    gateway = await startScripted({ roles: kOneRole });
  });
  after(() => gateway?.dispose());

  test('finds a flipped byte, a missing file and an unused one, beside the gateway and without it', async () => {
    const well = await upload(gateway, 'all is well', 'well.txt');
    const flipped = await upload(gateway, 'not to be flipped', 'flipped.txt');
    const missing = await upload(gateway, 'not to be missed', 'missing.txt');
    const clean = await run(['storage', 'verify'], gateway.data);
    assert.equal(clean.status, 0, clean.err);
    assert.match(clean.out, /^3 files \(44 B\): all are as they came\.$/m);

    const bytes = fs.readFileSync(fileOf(gateway.data, flipped.sha256));
    bytes[4] ^= 1;
    fs.writeFileSync(fileOf(gateway.data, flipped.sha256), bytes);
    fs.rmSync(fileOf(gateway.data, missing.sha256));
    const unused = sha256('nobody has this');
    fs.mkdirSync(path.dirname(fileOf(gateway.data, unused)), { recursive: true });
    fs.writeFileSync(fileOf(gateway.data, unused), 'nobody has this');
    // A file that is older than any upload on its way.
    fs.utimesSync(fileOf(gateway.data, unused), new Date(0), new Date(0));

    for (const isRunning of [true, false]) {
      const report = await verify(gateway.data, 1);
      assert.equal(report.gateway_runs, isRunning);
      assert.equal(report.status, 'faulty');
      assert.deepEqual(new Map(report.faults.map(({ sha256: digest, fault }) => [digest, fault])), new Map([[flipped.sha256, 'damaged'], [missing.sha256, 'missing']]));
      assert.deepEqual(report.faults.find(({ fault }) => fault === 'missing').named_by, [`missing.txt (upload ${missing.id})`]);
      assert.deepEqual(report.unused, [unused]);
      assert.equal(report.faults.some(({ sha256: digest }) => digest === well.sha256), false);
      const said = await run(['storage', 'verify'], gateway.data);
      assert.equal(said.status, 1);
      assert.match(said.out, new RegExp(`^damaged +${flipped.sha256} `, 'm'));
      assert.match(said.out, new RegExp(`^unused +${unused}$`, 'm'));
      if (isRunning) await gateway.stop();
    }
    const refused = await run(['backup', path.join(gateway.folder, 'b.tar')], gateway.data);
    assert.equal(refused.status, 1);
    assert.match(refused.err, /storage verify/);
    assert.deepEqual(fs.readdirSync(gateway.folder).filter((name) => name.startsWith('b.tar')), []);
  });

  test('without data says so', async () => {
    const said = await run(['storage', 'verify'], path.join(gateway.folder, 'nothing'));
    assert.equal(said.status, 1);
    assert.match(said.err, /no gateway has run here/);
    assert.equal(fs.existsSync(path.join(gateway.folder, 'nothing')), false);
  });
});

describe('a disk that is full', { skip: !canMount && !process.env.CI && 'this machine lets nobody mount' }, () => {
  let disk, gateway;
  after(async () => {
    await gateway?.dispose();
    disk?.dispose();
  });

  test('has no half backup on it, and no half restoration', async () => {
    disk = await new SmallDisk().mount();
    gateway = await startScripted({ roles: kOneRole });
    for (let i = 0; i < 5; ++i) await upload(gateway, Buffer.alloc(2_000_000, `${i} `), `large-${i}.txt`);
    const on = (name) => path.join(disk.folder, name);
    const names = () => fs.readdirSync(disk.seen('.')).filter((name) => name !== 'here').sort();

    const refused = await run(['backup', on('b.tar')], gateway.data, { under: disk.entering() });
    assert.equal(refused.status, 1);
    assert.match(refused.err, /disk of the backup is full/);
    assert.deepEqual(names(), []);

    const file = path.join(gateway.folder, 'b.tar');
    assert.equal((await run(['backup', file], gateway.data)).status, 0);
    const unrestored = await run(['restore', file], on('data'), { under: disk.entering() });
    assert.equal(unrestored.status, 1);
    assert.match(unrestored.err, /disk of the data folder is full/);
    assert.deepEqual(fs.readdirSync(disk.seen('data/uploads')), []);
    assert.equal(fs.existsSync(disk.seen('data/restore.partial')), false);
  });
});

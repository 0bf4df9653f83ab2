// A gateway on PostgreSQL whose server goes and comes back, and the commands that move from SQLite to it and back.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Authority } from '../support/certificates.mjs';
import { assertError, kGateway, startScripted, temporaryFolder } from '../support/gateway.mjs';
import { kPassword, PostgresServer } from '../support/postgres.mjs';
import { postProject, projectFile } from '../support/projects.mjs';
import { content, fileBody, list, postUpload, upload } from '../support/uploads.mjs';
import { kPatience, waitUntil } from '../support/wait.mjs';

const kOneRole = { technical: null, documentation: null, vision: null };

let server;
before(async () => { server = await PostgresServer.start(); });

// { status, stdout, stderr } of gbgreg db …
function db(words, environment = {}) {
  const said = spawnSync(kGateway, ['db', ...words], { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: '/nonexistent', ...environment }, timeout: 60_000 });
  assertNoPassword(said.stdout + said.stderr);
  return said;
}

function assertNoPassword(text) {
  for (const form of [kPassword, encodeURIComponent(kPassword)]) assert.ok(!text.includes(form), `the password is shown: ${text}`);
}

const startOn = (url, options = {}) => startScripted({ roles: kOneRole, environment: { GBGREG_DATABASE: url }, ...options });

describe('a gateway whose PostgreSQL goes', () => {
  let gateway;
  before(async () => { gateway = await startOn(server.newDatabase()); });
  after(() => gateway?.dispose());

  test('answers questions, refuses what it cannot keep, and is well when it is back', async () => {
    const kept = await upload(gateway, 'kept', 'kept.txt');
    assert.deepEqual((await gateway.health()).database, { status: 'healthy', kind: 'postgresql' });

    await server.stop();
    assert.equal((await gateway.generate('Hello')).status, 200);
    for (let i = 0; i < 8; ++i) assertError(await postUpload(gateway, fileBody(`lost ${i}`, 'lost.txt')), 503, 'storage_failed');
    assertError(await gateway.get('/api/uploads'), 503, 'storage_failed');
    assertError(await gateway.request('DELETE', `/api/uploads/${kept.id}`), 503, 'storage_failed');
    const health = await gateway.health();
    assert.deepEqual(health.database, { status: 'unhealthy', kind: 'postgresql' });
    assert.equal(health.status, 'degraded');
    assert.equal((await gateway.get('/health/ready')).status, 200);
    assert.equal((await gateway.generate('Hello again')).status, 200);

    await server.start();
    await waitUntil('the database is well again', async () => (await gateway.health()).database.status === 'healthy');
    // Every connection of the pool has died, and each is opened again by its next user.
    for (let i = 0; i < 20; ++i) await upload(gateway, `after ${i}`, `after-${i}.txt`);
    assert.equal((await content(gateway, kept.id)).text, 'kept');
    assert.equal((await list(gateway, '?limit=200')).uploads.length, 21);
    assertNoPassword(gateway.output.join('\n'));
  });

  // Each goes on with a connection that has died between two requests, which nobody notices.
  test('does not show that its connections were cut while nobody asked', async () => {
    for (let round = 0; round < 5; ++round) {
      server.sql('DO $$ BEGIN PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = \'client backend\'; END $$');
      await upload(gateway, `round ${round}`, 'round.txt');
    }
  });
});

// What it is sent is taken, and nothing comes back.
describe('a gateway whose PostgreSQL does not answer', () => {
  let gateway, own;
  before(async () => {
    own = await PostgresServer.start();
    gateway = await startOn(own.newDatabase());
  });
  after(async () => {
    own?.thaw();
    await gateway?.dispose();
  });

  test('answers questions all the while, and in bounded time whoever needs it', { timeout: 180_000 * kPatience }, async () => {
    await upload(gateway, 'kept', 'kept.txt');
    own.freeze();
    // As many as there are connections, and more.
    const refused = Promise.all(Array.from({ length: 8 }, (_, i) => postUpload(gateway, fileBody(`lost ${i}`, 'lost.txt'))));
    for (let i = 0; i < 20; ++i) assert.equal((await gateway.generate('Hello')).status, 200);
    for (const answer of await refused) assertError(answer, 503, 'storage_failed');
    assertError(await gateway.get('/api/uploads'), 503, 'storage_failed');
    assert.equal((await gateway.generate('Hello again')).status, 200);
    own.thaw();
    await waitUntil('the database is well again', async () => (await gateway.health()).database.status === 'healthy', { deadlineMs: 30_000 });
    await upload(gateway, 'after', 'after.txt');
  });
});

test('a gateway speaks TLS with its PostgreSQL where its URL says so', async () => {
  const own = await PostgresServer.start({ tls: true });
  const url = own.newDatabase();
  const root = path.join(own.folder, 'ca.pem');
  const encrypted = () => own.sql("SELECT bool_and(ssl) AND count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'gbgreg'");
  for (const words of ['sslmode=require', `sslmode=verify-full&sslrootcert=${encodeURIComponent(root)}`]) {
    const gateway = await startOn(`${url}?${words}`);
    try {
      await upload(gateway, words, 'kept.txt');
      assert.equal(encrypted(), 't');
    } finally {
      await gateway.dispose();
    }
  }
  // Who it is cannot be known by an authority that did not sign it.
  const folder = temporaryFolder();
  const refused = db(['check', '--database', `${url}?sslmode=verify-full&sslrootcert=${encodeURIComponent(new Authority(folder).file)}`]);
  fs.rmSync(folder, { recursive: true });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /certificate/);
  const plain = db(['check', '--database', `${server.url('postgres')}?sslmode=require`]);
  assert.equal(plain.status, 1);
  assert.match(plain.stderr, /SSL/);
});

describe('a gateway that cannot have its PostgreSQL', () => {
  const refused = async (url, says) => {
    const gateway = await startOn(url, { ready: false }).then((started) => started.dispose().then(() => assert.fail('it started')), (error) => error);
    assert.match(gateway.message, says);
    assertNoPassword(gateway.message);
  };

  test('does not start, and says why', async () => {
    await refused(server.url('no_such_database'), /database "no_such_database" does not exist/);
    await refused(server.url('postgres').replace(encodeURIComponent(kPassword), 'wrong'), /password authentication failed/);
    await refused('postgresql://nobody%zz@127.0.0.1/x', /database URL/);
  });

  test('does not start on one of a newer gbgreg', async () => {
    const url = server.newDatabase();
    assert.equal(db(['migrate', '--database', url]).status, 0);
    server.sql("INSERT INTO gbgreg_schema_migrations VALUES (999, 'later', 'then')", new URL(url).pathname.slice(1));
    await refused(url, /schema version 999/);
    const checked = db(['check', '--json', '--database', url]);
    assert.equal(checked.status, 1);
    assert.equal(JSON.parse(checked.stdout).schema_version, 999);
  });
});

describe('gbgreg db', () => {
  let gateway;
  before(async () => { gateway = await startScripted({ roles: kOneRole }); });
  after(() => gateway?.dispose());

  test('migrate says what was missing', () => {
    const url = server.newDatabase();
    assert.match(db(['migrate'], { GBGREG_DATABASE: url }).stdout, /went from schema version 0 to \d+\.\n$/);
    assert.match(db(['migrate'], { GBGREG_DATABASE: url }).stdout, /nothing was missing\.\n$/);
    const checked = db(['check', '--json'], { GBGREG_DATABASE: url });
    assert.equal(checked.status, 0, checked.stderr);
    const report = JSON.parse(checked.stdout);
    assert.equal(report.kind, 'postgresql');
    assert.equal(report.schema_version, report.schema_version_known);
    assert.equal(report.rows.gbgreg_uploads, 0);
    assert.deepEqual(report.faults, []);
  });

  test('check finds what is not there, or damaged', () => {
    const missing = db(['check', '--data', '/nonexistent']);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /There is no database/);
    const url = server.newDatabase();
    assert.equal(db(['migrate', '--database', url]).status, 0);
    server.sql("INSERT INTO gbgreg_extractions SELECT 'e', 'nowhere', 'u', 1, 1, 0, 1, 1, 't'", new URL(url).pathname.slice(1));
    const loose = db(['check', '--database', url]);
    assert.equal(loose.status, 1);
    assert.match(loose.stdout, /fault: 1 archives of projects that are not there/);
  });

  test('copy moves a gateway from SQLite to PostgreSQL, and back', async () => {
    const first = await upload(gateway, 'first', 'first.txt');
    const second = await upload(gateway, 'first', 'again.txt');
    const files = Array.from({ length: 1200 }, (_, i) => [`src/Größe ${i}.txt`, `text ${i}`]);
    const { project } = (await postProject(gateway, files)).json();
    const listed = (await list(gateway)).uploads;
    const sqlite = `sqlite://${path.join(gateway.data, 'gbgreg.sqlite')}`;
    const url = server.newDatabase();

    const busy = db(['copy', '--from', sqlite, '--to', url]);
    assert.equal(busy.status, 1);
    assert.match(busy.stderr, /A gateway runs on the folder/);
    await gateway.stop();
    const moved = db(['copy', '--from', sqlite, '--to', url]);
    assert.equal(moved.status, 0, moved.stderr);
    assert.match(moved.stdout, /^\d+ rows of sqlite:/);
    for (const [table, rows] of [['project_files', 1200], ['projects', 1], ['uploads', 2], ['requests', 4]]) assert.match(moved.stdout, new RegExp(`gbgreg_${table} +${rows}\n`));
    const again = db(['copy', '--from', sqlite, '--to', url]);
    assert.equal(again.status, 1);
    assert.match(again.stderr, /has rows already/);

    // From here on the file is of no use to the gateway.
    const aside = `${gateway.data}.sqlite`;
    fs.renameSync(path.join(gateway.data, 'gbgreg.sqlite'), aside);
    await gateway.launch({ environment: { GBGREG_DATABASE: url } });
    assert.equal((await gateway.health()).database.kind, 'postgresql');
    assert.deepEqual((await list(gateway)).uploads, listed);
    assert.equal((await content(gateway, second.id)).text, 'first');
    assert.equal((await projectFile(gateway, project.id, files[1199][0])).text, 'text 1199');
    const third = await upload(gateway, 'first', 'third.txt');
    assert.equal(third.duplicate_of, first.id);
    await gateway.stop();
    assert.ok(!fs.existsSync(path.join(gateway.data, 'gbgreg.sqlite')), 'nothing of SQLite is made');

    const back = db(['copy', '--from', url, '--to', sqlite]);
    assert.equal(back.status, 0, back.stderr);
    assert.equal(db(['check', '--data', gateway.data]).status, 0);
    await gateway.launch();
    assert.equal((await gateway.health()).database.kind, 'sqlite');
    assert.equal((await list(gateway)).uploads.length, 3);
    assert.equal((await content(gateway, third.id)).text, 'first');
    fs.rmSync(aside);
  });
});

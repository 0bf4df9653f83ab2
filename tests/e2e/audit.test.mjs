// The audit trail: who made, deleted, changed or reloaded what, by whatever way it came, and who was refused it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertError, emptyModel, kGateway, startScripted } from '../support/gateway.mjs';
import { bearer, isKnown, keysCommand, makeKey } from '../support/keys.mjs';
import { contentType, fileBody } from '../support/multipart.mjs';
import { databaseEnvironment, takeDatabaseAway } from '../support/postgres.mjs';
import { waitUntil } from '../support/wait.mjs';

const kFew = { vision: null, documentation: null };

// Runs gbgreg on a data folder.
async function command(data, ...words) {
  const env = { ...process.env, ...await databaseEnvironment(data) };
  const ended = spawnSync(kGateway, [...words, '--data', data], { timeout: 60_000, encoding: 'utf8', env });
  assert.equal(ended.status, 0, ended.stderr);
  return ended;
}

async function trail(gateway, query = '', options = {}) {
  const answer = await gateway.get(`/api/audit${query}`, options);
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
}

describe('the audit trail of a gateway with keys', () => {
  let gateway, admin, ada;
  const by = (key, more = {}) => ({ headers: { ...bearer(key.secret), ...more } });
  const listed = async (query = '?limit=1000') => (await trail(gateway, query, by(admin))).audit;
  // The one row of a request, which may be written a moment after its answer was read.
  const rowOf = (answer) => waitUntil('the row is there', async () => (await listed()).find((row) => row.request_id === answer.headers['x-request-id']));

  before(async () => {
    gateway = await startScripted({ roles: kFew });
    admin = await makeKey(gateway.data, 'admin', '--admin');
    ada = await makeKey(gateway.data, 'ada');
    await isKnown(gateway, admin.secret);
    await isKnown(gateway, ada.secret);
  });
  after(() => gateway?.dispose());

  test('says who made and revoked a key, over HTTP and on the command line', async () => {
    const made = await gateway.request('POST', '/api/keys', { body: { name: 'bob' }, ...by(admin) });
    const { id } = made.json().key;
    const { id: rowId, created_at, ...row } = await rowOf(made);
    assert.match(rowId, /^[0-9a-f-]{36}$/);
    assert.ok(Math.abs(Date.parse(created_at) - Date.now()) < 3_600_000, created_at);
    assert.deepEqual(row, { actor: admin.id, actor_name: 'admin', peer: '127.0.0.1', action: 'key.create', target: { kind: 'key', id, name: 'bob' }, status: 200,
      error_code: null, request_id: made.headers['x-request-id'], left_out: 0 });
    const revoked = await rowOf(await gateway.request('DELETE', `/api/keys/${id}`, by(admin)));
    assert.deepEqual([revoked.action, revoked.target.id, revoked.target.name], ['key.revoke', id, 'bob']);

    const gone = await makeKey(gateway.data, 'gone');
    assert.equal((await keysCommand(gateway.data, 'revoke', 'gone')).status, 0);
    const [last, first] = (await listed('?actor=command%20line')).filter((each) => each.target.id === gone.id);
    assert.deepEqual([first.action, last.action], ['key.create', 'key.revoke']);
    for (const each of [first, last]) {
      assert.deepEqual([each.actor, each.target.name, each.peer, each.request_id], ['command line', 'gone', null, null]);
      assert.ok(each.actor_name.startsWith(os.userInfo().username), each.actor_name);
    }
  });

  test('says who took and deleted what, by its name', async () => {
    const sent = await gateway.request('POST', '/api/upload/file', { body: fileBody('text\n', 'plans.txt'), headers: { ...bearer(ada.secret), ...contentType() } });
    const { id } = sent.json().upload;
    const taken = await rowOf(sent);
    assert.deepEqual([taken.action, taken.actor_name, taken.target], ['upload.create', 'ada', { kind: 'upload', id, name: 'plans.txt' }]);
    const deleted = await rowOf(await gateway.request('DELETE', `/api/uploads/${id}`, by(admin)));
    assert.deepEqual([deleted.action, deleted.actor_name, deleted.target], ['upload.delete', 'admin', { kind: 'upload', id, name: 'plans.txt' }]);
    const file = (await gateway.request('POST', '/v1/files', { body: fileBody('more\n', 'more.txt', [{ name: 'purpose', content: 'user_data' }]), headers: { ...bearer(ada.secret), ...contentType() } })).json();
    const unfiled = await rowOf(await gateway.request('DELETE', `/v1/files/${file.id}`, by(ada)));
    assert.deepEqual([unfiled.action, unfiled.target.name], ['upload.delete', 'more.txt']);
    const project = await gateway.request('POST', '/api/upload/project', { body: fileBody('int x;\n', 'src/a.cc').toString('latin1').replace('name="file"', 'name="files"'), headers: { ...bearer(ada.secret), ...contentType() } });
    assert.equal(project.status, 200, project.text);
    const { project: stored } = project.json();
    assert.deepEqual((await rowOf(project)).target, { kind: 'project', id: stored.id, name: stored.name });
    const dropped = await rowOf(await gateway.request('DELETE', `/api/projects/${stored.id}`, by(ada)));
    assert.deepEqual([dropped.action, dropped.target.name], ['project.delete', stored.name]);
  });

  test('says who reloaded the configuration and moved models, a signal included', async () => {
    assert.deepEqual((await rowOf(await gateway.reload(by(admin)))).action, 'config.reload');
    const restarted = await rowOf(await gateway.request('POST', '/api/fleet/technical/restart?wait=true', { body: {}, ...by(admin) }));
    assert.deepEqual([restarted.action, restarted.target.kind, restarted.target.id], ['role.restart', 'role', 'technical']);
    const unloaded = await rowOf(await gateway.generate({ model: 'technical', prompt: '', keep_alive: 0 }, by(admin)));
    assert.deepEqual([unloaded.action, unloaded.target.name], ['role.unload', 'technical']);

    const good = fs.readFileSync(gateway.configFile);
    for (const [text, status, code] of [[good, 200, null], ['roles: 5\n', 422, 'bad_configuration']]) {
      fs.writeFileSync(gateway.configFile, text);
      gateway.process.kill('SIGHUP');
      const row = await waitUntil('the signal has a row', async () => (await listed('?actor=signal')).find((each) => each.status === status));
      assert.deepEqual([row.actor_name, row.action, row.error_code, row.peer], ['SIGHUP', 'config.reload', code, null]);
    }
    fs.writeFileSync(gateway.configFile, good);
  });

  test('has what was refused because of who asked', async () => {
    const forbidden = await gateway.reload(by(ada));
    assertError(forbidden, 403, 'admin_only');
    const row = await rowOf(forbidden);
    assert.deepEqual([row.actor, row.action, row.status, row.error_code], [ada.id, 'config.reload', 403, 'admin_only']);
    const wrong = await rowOf(await gateway.request('DELETE', `/api/keys/${admin.id}`, { headers: bearer('gbg_wrong') }));
    assert.deepEqual([wrong.actor, wrong.action, wrong.target.id, wrong.status, wrong.error_code], [null, 'key.revoke', admin.id, 401, 'key_invalid']);
    const page = await rowOf(await gateway.request('DELETE', '/api/uploads/x', by(admin, { origin: 'https://evil.example' })));
    assert.deepEqual([page.actor, page.action, page.status], [null, 'upload.delete', 403]);
  });

  test('has no questions, nothing that only reads, and nothing that was not there', async () => {
    const before = (await listed()).length;
    for (const answer of [await gateway.generate('Hello', by(ada)), await gateway.get('/api/uploads', by(ada)), await gateway.request('DELETE', '/api/uploads/none', by(ada)), await gateway.get('/api/fleet')]) assert.ok(answer.status);
    const marked = await gateway.reload(by(ada));
    await rowOf(marked);
    assert.equal((await listed()).length, before + 1);
  });

  test('is only for admins, and comes in pages and by action and actor', async () => {
    assertError(await gateway.get('/api/audit'), 401, 'key_missing');
    assertError(await gateway.get('/api/audit', by(ada)), 403, 'admin_only');
    const all = await listed();
    assert.deepEqual(all.map((row) => row.id), all.map((row) => row.id).sort().reverse());
    const paged = [];
    for (let cursor = ''; cursor !== null;) {
      const page = await trail(gateway, `?limit=7${cursor && `&cursor=${cursor}`}`, by(admin));
      assert.ok(page.audit.length <= 7);
      paged.push(...page.audit);
      cursor = page.next_cursor;
    }
    assert.deepEqual(paged, all);
    for (const [query, fits] of [['action=key.create', (row) => row.action === 'key.create'], [`actor=${ada.id}`, (row) => row.actor === ada.id], ['actor=nobody', (row) => row.actor === null],
      [`actor=${admin.id}&action=config.reload`, (row) => row.actor === admin.id && row.action === 'config.reload']]) {
      const wanted = all.filter(fits);
      assert.ok(wanted.length > 0, query);
      assert.deepEqual(await listed(`?limit=1000&${query}`), wanted);
    }
  });

  test('is not filled by a stranger, and says how often one tried', async () => {
    const count = async () => (await listed('?limit=1000&actor=nobody')).length;
    const metric = async () => Number(/gbgreg_audit_dropped_total\{reason="strangers"\} (\d+)/.exec((await gateway.get('/metrics', by(ada))).text)[1]);
    const [before, droppedBefore] = [await count(), await metric()];
    const kAttempts = 300;
    for (let i = 0; i < kAttempts; ++i) assert.equal((await gateway.request('DELETE', `/api/keys/${i}`)).status, 401);
    await waitUntil('all of them are counted', async () => (await count()) - before + await metric() - droppedBefore === kAttempts);
    assert.ok(await metric() - droppedBefore > kAttempts / 2, 'a few a minute have a row');
  });

  test('is there after a restart, with what was done last', async () => {
    const made = await gateway.request('POST', '/api/keys', { body: { name: 'last' }, ...by(admin) });
    await gateway.stop();
    await gateway.launch();
    const row = (await listed()).find((each) => each.request_id === made.headers['x-request-id']);
    assert.equal(row.target.name, 'last');
  });
});

test('without keys it was nobody, and what the program does to models and data is told', async () => {
  const gateway = await startScripted({ roles: kFew });
  try {
    assert.equal((await gateway.reload()).status, 200);
    const [reloaded] = await waitUntil('the row is there', async () => {
      const { audit } = await trail(gateway);
      return audit.length === 1 && audit;
    });
    assert.deepEqual([reloaded.actor, reloaded.actor_name, reloaded.peer, reloaded.action], [null, null, '127.0.0.1', 'config.reload']);

    const file = path.join(gateway.folder, 'tiny.gguf');
    fs.writeFileSync(file, emptyModel());
    await command(gateway.data, 'models', 'import', file);
    await command(gateway.data, 'models', 'rm', 'tiny');
    const imported = (await trail(gateway, '?actor=command%20line')).audit;
    assert.deepEqual(imported.map((row) => [row.action, row.target.id]), [['model.delete', 'tiny:latest'], ['model.import', 'tiny:latest']]);

    const backup = path.join(gateway.folder, 'backup.tar');
    await command(gateway.data, 'backup', backup);
    await gateway.stop();
    takeDatabaseAway(gateway.data);
    await command(gateway.data, 'restore', backup, '--replace');
    await gateway.launch();
    const { audit } = await trail(gateway);
    assert.deepEqual(audit.map((row) => row.action), ['storage.restore', 'model.delete', 'model.import', 'config.reload']);
    assert.equal(audit[0].target.name, 'backup.tar');
  } finally {
    await gateway.dispose();
  }
});

test('a command makes no database for its row', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gbgreg-e2e-'));
  try {
    const file = path.join(folder, 'tiny.gguf');
    fs.writeFileSync(file, emptyModel());
    const { stderr } = await command(path.join(folder, 'data'), 'models', 'import', file);
    assert.equal(fs.existsSync(path.join(folder, 'data', 'gbgreg.sqlite')), false);
    assert.doesNotMatch(stderr, /audit/);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

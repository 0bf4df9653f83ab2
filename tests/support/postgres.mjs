// A PostgreSQL server of a test's own: in a temporary folder, on a free port of the loopback address, with a password, and
// gone with the test however that ends. Its programs are part of what is tested, so their absence is a failure.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { Authority } from './certificates.mjs';
import { unusedPort } from './ports.mjs';
import { childrenOf } from './processes.mjs';
import { waitUntil } from './wait.mjs';

// Neither belongs into any output of ours.
export const kPassword = 'pa:ss%@word/7';
const kUser = 'gbgreg';

function findPrograms() {
  const versions = '/usr/lib/postgresql';
  const found = fs.existsSync(versions) ? fs.readdirSync(versions).map((version) => path.join(versions, version, 'bin')) : [];
  const programs = found.find((folder) => ['initdb', 'postgres', 'pg_ctl', 'psql'].every((name) => fs.existsSync(path.join(folder, name))));
  assert.ok(programs, `PostgreSQL's programs are not in ${versions}. Install Debian's package postgresql, as ./test does.`);
  return programs;
}

// root may not run it, so then it is another's.
function asWhom() {
  if (process.getuid() !== 0) return [];
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((what) => spawnSync('id', [what, name], { encoding: 'utf8' }).stdout.trim());
    if (uid && gid) return ['--reuid', uid, '--regid', gid, '--clear-groups'];
  }
  return assert.fail('root may not run PostgreSQL, and there is no user postgres or nobody that could.');
}

export class PostgresServer {
  // With `tls` it has a certificate that it has signed itself.
  static async start({ tls = false } = {}) {
    const server = new PostgresServer();
    process.once('exit', () => server.end());
    await server.make();
    if (tls) server.makeCertificate();
    await server.start();
    return server;
  }

  constructor() {
    this.programs = findPrograms();
    this.whom = asWhom();
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gbgreg-postgres-'));
    this.data = path.join(this.folder, 'data');
    this.log = path.join(this.folder, 'log');
    this.databases = 0;
  }

  async make() {
    const passwords = path.join(this.folder, 'password');
    fs.writeFileSync(passwords, kPassword);
    if (this.whom.length > 0) for (const file of [this.folder, passwords]) fs.chownSync(file, Number(this.whom[1]), Number(this.whom[3]));
    this.run('initdb', ['--pgdata', this.data, '--username', kUser, '--pwfile', passwords, '--auth', 'scram-sha-256', '--encoding', 'UTF8',
      '--locale', 'C.UTF-8', '--locale-provider', 'icu', '--icu-locale', 'en', '--no-sync', '--no-instructions']);
    this.port = await unusedPort();
  }

  makeCertificate() {
    this.certificate = new Authority(this.folder).sign('server');
    if (this.whom.length > 0) for (const file of Object.values(this.certificate)) fs.chownSync(file, Number(this.whom[1]), Number(this.whom[3]));
    fs.chmodSync(this.certificate.key, 0o600);
  }

  run(program, words) {
    const command = ['setpriv', ...this.whom, '--', path.join(this.programs, program), ...words];
    const done = spawnSync(command[0], command.slice(1), { cwd: this.folder, encoding: 'utf8', env: { PATH: process.env.PATH, PGPASSWORD: kPassword } });
    assert.equal(done.status, 0, `${program}: ${done.stderr}`);
    return done.stdout;
  }

  // setpriv becomes the server, which so has the process id that we know, and ends with this process.
  async start() {
    const log = fs.openSync(this.log, 'a');
    const command = [...this.whom, '--pdeathsig', 'QUIT', '--', path.join(this.programs, 'postgres'), '-D', this.data, '-k', this.folder, '-p', String(this.port),
      '-c', 'listen_addresses=127.0.0.1', '-c', 'max_connections=400', '-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'shared_buffers=16MB',
      ...(this.certificate ? ['-c', 'ssl=on', '-c', `ssl_cert_file=${this.certificate.certificate}`, '-c', `ssl_key_file=${this.certificate.key}`] : [])];
    this.server = spawn('setpriv', command, { cwd: this.folder, stdio: ['ignore', log, log] });
    this.exited = new Promise((resolve) => { this.server.once('exit', resolve); });
    this.server.unref();
    fs.closeSync(log);
    await waitUntil('PostgreSQL answers', () => {
      assert.equal(this.server.exitCode, null, fs.readFileSync(this.log, 'utf8'));
      return this.sql('SELECT 1');
    }, { deadlineMs: 60_000 });
  }

  sql(text, database = 'postgres') {
    return this.run('psql', ['-X', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-h', this.folder, '-p', String(this.port), '-U', kUser, '-d', database, '-c', text]).trim();
  }

  // The URL of a database that nobody else has.
  newDatabase() {
    const name = `gbgreg_${++this.databases}`;
    this.sql(`CREATE DATABASE ${name}`);
    return this.url(name);
  }
  url(name) {
    return `postgresql://${kUser}:${encodeURIComponent(kPassword)}@127.0.0.1:${this.port}/${name}`;
  }

  // At once, connections included.
  async stop() {
    this.server.kill('SIGQUIT');
    await this.exited;
  }

  // All of its processes stand still, and its kernel goes on to say that all is well.
  freeze() {
    this.frozen = [...childrenOf(this.server.pid), this.server.pid];
    for (const pid of this.frozen) process.kill(pid, 'SIGSTOP');
  }
  thaw() {
    for (const pid of this.frozen ?? []) process.kill(pid, 'SIGCONT');
    this.frozen = undefined;
  }

  end() {
    this.thaw();
    if (this.server && this.server.exitCode === null && this.server.signalCode === null) {
      spawnSync('setpriv', [...this.whom, '--', path.join(this.programs, 'pg_ctl'), 'stop', '-D', this.data, '-m', 'immediate', '-w'], { cwd: this.folder });
    }
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

// Every data folder of a test has a database of its own: a file in it, or, with GBGREG_TEST_DATABASE=postgresql, one of a
// server that is started for the first.
export const kOnPostgres = process.env.GBGREG_TEST_DATABASE === 'postgresql';
const urls = new Map();
let server;

// For whatever is started on this data folder.
export async function databaseEnvironment(data) {
  if (!kOnPostgres) return {};
  server ??= PostgresServer.start();
  const running = await server;
  if (!urls.has(data)) urls.set(data, running.newDatabase());
  return { GBGREG_DATABASE: urls.get(data) };
}

// The next gateway on this data folder finds an empty database, until what comes back is called.
export function takeDatabaseAway(data) {
  if (kOnPostgres) {
    const url = urls.get(data);
    urls.delete(data);
    return () => urls.set(data, url);
  }
  const file = path.join(data, 'gbgreg.sqlite');
  fs.renameSync(file, `${file}.away`);
  return () => fs.renameSync(`${file}.away`, file);
}

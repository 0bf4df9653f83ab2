// Starts real gateways for tests, each in a temporary folder of its own, and stops them by their process id.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { EngineLog } from './engine_log.mjs';
import { openStream, parseLines, request } from './http.mjs';
import { databaseEnvironment } from './postgres.mjs';
import { childrenOf, commandLine, isAlive } from './processes.mjs';
import { kPatience, waitUntil, within } from './wait.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
export const kCache = process.env.GBGREG_CACHE ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'gbgreg');

export const kGateway = process.env.GBGREG_BIN ?? path.join(root, 'build/release/bin/gbgreg');
export const kScriptedEngine = process.env.SCRIPTED_ENGINE ?? path.join(root, 'build/release/bin/scripted_engine');
export const kServiceLauncher = process.env.SERVICE_LAUNCHER ?? path.join(root, 'build/release/bin/service_launcher');
export const kRealEngine = process.env.GBGREG_ENGINE ?? path.join(kCache, 'engine/v0.5.0/bin/llama-server');
export const kDemoModels = process.env.GBGREG_MODELS ?? path.join(kCache, 'models');

// The roles that answer, which every gateway of a test has; one for embeddings is added by { embedding: kEmbedding }.
export const kRoles = ['coordinator', 'technical', 'documentation', 'vision'];
export const kEmbedding = { embeddings: true };

const kOutputLinesMax = 20_000;
const kStopDeadlineMs = 20_000;

// The engine and the models are part of what is tested, so their absence is a failure and not a reason to skip.
export function requireRealEngine() {
  for (const file of [kRealEngine, path.join(kDemoModels, 'demo-coordinator.gguf'), path.join(kDemoModels, 'demo-vision-mmproj.gguf')]) {
    assert.ok(fs.existsSync(file), `${file} is missing. Run ./test, which builds the engine and the demo models first.`);
  }
}

export function temporaryFolder() {
  return fs.mkdtempSync(path.join(os.tmpdir(), 'gbgreg-e2e-'));
}

// A GGUF file without anything in it: enough for the scripted engine, which only looks whether it is there.
export function emptyModel() {
  const bytes = Buffer.alloc(24);
  bytes.write('GGUF');
  bytes.writeUInt32LE(3, 4);
  return bytes;
}

// `roles` may add to or replace the settings of single roles; null leaves a role out.
function scriptedRoles(folder, roles) {
  const all = {};
  for (const role of new Set([...kRoles, ...Object.keys(roles)])) {
    if (roles[role] === null) continue;
    const file = path.join(folder, `demo-${role}.gguf`);
    fs.writeFileSync(file, emptyModel());
    all[role] = { model: `demo-${role}`, file, context: 2048, slots: 4, threads: 1, objective_ms: 5000 };
    if (role === 'vision') {
      all[role].mmproj = path.join(folder, 'demo-vision-mmproj.gguf');
      fs.writeFileSync(all[role].mmproj, emptyModel());
    }
    Object.assign(all[role], roles[role]);
  }
  return all;
}

function realRoles(roles) {
  const all = {};
  for (const role of new Set([...kRoles, ...Object.keys(roles)])) {
    if (roles[role] === null) continue;
    all[role] = { model: `demo-${role}`, file: path.join(kDemoModels, `demo-${role}.gguf`), context: 2048, slots: 4, threads: 1, objective_ms: 5000 };
    if (role === 'vision') all[role].mmproj = path.join(kDemoModels, 'demo-vision-mmproj.gguf');
    Object.assign(all[role], roles[role]);
  }
  return all;
}

// The gateway gives its workers only the environment that a GPU driver needs, so the scripted engine's own variables
// travel in a small script around it. It may be written anew while the gateway runs: the next start follows it.
function writeEngineScript(file, log, start) {
  const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const lines = ['#!/bin/sh', `export SCRIPTED_ENGINE_LOG=${quote(log)}`];
  if (start) lines.push(`export SCRIPTED_ENGINE_START=${quote(start)}`);
  lines.push(`exec ${quote(kScriptedEngine)} "$@"`, '');
  fs.writeFileSync(`${file}.new`, lines.join('\n'), { mode: 0o755 });
  fs.renameSync(`${file}.new`, file);
}

export class Gateway {
  constructor(folder, engineLog) {
    this.folder = folder;
    this.data = path.join(folder, 'data');
    this.configFile = path.join(folder, 'config.yaml');
    this.engineScript = path.join(folder, 'engine.sh');
    this.engineLog = engineLog;
    this.output = [];
  }

  get pid() {
    return this.process.pid;
  }

  // Begins the process and returns when it says where it listens, with the port of the first address as `port` and all of
  // them as `addresses`. `under` is a command that becomes the one behind it; `inherited` is how many sockets it brings.
  async launch({ flags = [], environment = {}, under = [], configured = true, listen = ['127.0.0.1:0'], inherited = 0 } = {}) {
    assert.ok(fs.existsSync(kGateway), `${kGateway} is missing. Run ./test, which builds it first.`);
    const clean = { ...process.env };
    for (const name of Object.keys(clean)) if (name.startsWith('GBGREG_')) delete clean[name];
    // A test that is ended by its timeout cannot tidy up, so the kernel ends the gateway with it. setpriv becomes the
    // gateway, which so has the process id that we know.
    const command = [...under, 'setpriv', '--pdeathsig', 'KILL', kGateway, 'serve', ...(configured ? ['--config', this.configFile] : []), '--data', this.data, '--listen', listen.join(','), ...flags];
    const database = await databaseEnvironment(this.data);
    this.process = spawn(command[0], command.slice(1), {
      env: { ...clean, ...database, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = new Promise((resolve) => this.process.once('exit', (code, signal) => resolve({ code, signal })));
    const wanted = inherited || listen.length;
    this.addresses = [];
    const listening = new Promise((resolve, reject) => {
      const take = (line) => {
        this.output.push(line);
        if (this.output.length > kOutputLinesMax) this.output.shift();
        const found = /^(?:gbgreg (\S+) is listening|and) on (\S+)$/.exec(line);
        if (!found) return;
        this.version ??= found[1];
        this.addresses.push(found[2]);
        if (this.addresses.length === wanted) resolve();
      };
      eachLine(this.process.stdout, take);
      eachLine(this.process.stderr, take);
      this.process.once('error', reject);
      this.exited.then((end) => reject(new Error(`the gateway ended at its start: ${JSON.stringify(end)}\n${this.tail()}`)));
    });
    await within('the lines that say where the gateway listens', listening, 20_000);
    this.port = portOf(this.addresses[0]);
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  tail(lines = 40) {
    return this.output.slice(-lines).join('\n');
  }

  request(method, target, options) {
    return request(this.port, method, target, options);
  }
  get(target, options) {
    return this.request('GET', target, options);
  }
  // `ask` is a prompt or a whole request.
  generate(ask, options = {}) {
    return this.request('POST', '/api/generate', { body: typeof ask === 'string' ? { prompt: ask } : ask, ...options });
  }
  stream(ask, options) {
    return openStream(this.port, '/api/generate', { stream: true, ...ask }, options);
  }
  async lines(ask) {
    const answer = await this.generate({ stream: true, ...ask });
    return { ...answer, lines: parseLines(answer.text) };
  }

  async health() {
    return (await this.get('/health')).json();
  }
  async role(name) {
    return (await this.health()).models.roles.find((role) => role.role === name);
  }
  async allReady() {
    await waitUntil('all models are ready', async () => {
      const { models } = await this.health();
      return models.roles.every((role) => role.state === 'ready');
    }, { deadlineMs: 30_000 });
    return this;
  }
  // { name: [{ labels, value }] }, checked line by line against the text format.
  async metrics(options) {
    return parseMetrics((await this.get('/metrics', options)).text);
  }
  async metric(name, labels = {}, options = undefined) {
    const samples = (await this.metrics(options)).samples.get(name) ?? [];
    const fits = samples.filter((sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value));
    return fits.length === 0 ? undefined : fits.reduce((sum, sample) => sum + sample.value, 0);
  }
  async allSlotsFree() {
    await waitUntil('all slots are free again', async () => {
      const { samples } = await this.metrics();
      const free = samples.get('gbgreg_worker_slots_free');
      return samples.get('gbgreg_worker_slots').every((all) =>
        free.some((sample) => sample.labels.role === all.labels.role && sample.value === all.value));
    });
  }

  // Its engines: the doctor's look at the driver, some seconds after the start, is a child, too.
  workers() {
    return childrenOf(this.pid).filter((pid) => commandLine(pid).includes('--alias'));
  }
  async worker(role) {
    return waitUntil(`a worker for ${role}`, async () => {
      for (const pid of this.workers()) {
        const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        if (words.includes(`demo-${role}`)) return pid;
      }
      return undefined;
    });
  }

  // What `change` makes of the configuration, or returns in its place. The gateway reads it when it is told to.
  configure(change) {
    const config = JSON.parse(fs.readFileSync(this.configFile, 'utf8'));
    fs.writeFileSync(`${this.configFile}.new`, JSON.stringify(change(config) ?? config, null, 2));
    fs.renameSync(`${this.configFile}.new`, this.configFile);
  }
  reload(options) {
    return this.request('POST', '/api/reload', options);
  }

  engineStarts(start) {
    writeEngineScript(this.engineScript, this.engineLog.file, start);
  }

  // Ends by SIGTERM. Anything but a clean end, a sanitizer's report included, and any child left behind is a failure.
  async stop(signal = 'SIGTERM') {
    const children = childrenOf(this.pid);
    this.process.kill(signal);
    const end = await within('the end of the gateway', this.exited, kStopDeadlineMs).catch((error) => {
      this.process.kill('SIGKILL');
      throw new Error(`${error.message}\n${this.tail()}`);
    });
    assert.deepEqual(end, { code: 0, signal: null }, `the gateway did not end cleanly:\n${this.tail()}`);
    await childrenGone(children);
  }

  // Ends without a chance to tidy up.
  async kill() {
    this.process.kill('SIGKILL');
    await within('the end of the gateway', this.exited);
  }

  remove() {
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  // For after(): stops when it still runs, and always tidies up. One that has ended by itself, as by a sanitizer's
  // report, is a failure; tests that kill theirs say so by SIGKILL.
  async dispose() {
    try {
      if (this.process && isAlive(this.pid)) {
        await this.stop();
      } else if (this.process?.pid) {
        const end = await within('the end of the gateway', this.exited);
        const wasMeant = end.code === 0 || end.signal === 'SIGKILL';
        assert.ok(wasMeant || !this.port, `the gateway ended by itself: ${JSON.stringify(end)}\n${this.tail()}`);
      }
    } finally {
      if (this.process && isAlive(this.pid)) this.process.kill('SIGKILL');
      this.remove();
    }
  }
}

// Of "http://127.0.0.1:3333" or "https://[::1]:3333"; a Unix socket has none.
export const portOf = (address) => Number(/:(\d+)$/.exec(address)?.[1]);

export async function childrenGone(children, deadlineMs = 2_000) {
  await waitUntil('no child is left', () => !children.some(isAlive), { deadlineMs });
}

function eachLine(stream, take) {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text) => {
    rest += text;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      take(rest.slice(0, end));
      rest = rest.slice(end + 1);
    }
  });
}

function write(gateway, { engine, roles, limits, more = {} }) {
  // JSON is YAML too.
  fs.writeFileSync(gateway.configFile, JSON.stringify({ engine, roles, ...(limits ? { limits } : {}), ...more }, null, 2));
}

// A gateway before the scripted engine. `start` is SCRIPTED_ENGINE_START; `ready: false` does not wait for the models. What is
// left goes to launch().
export async function startScripted({ roles = {}, limits, start, ready = true, engine, more, environment, under, prepare, ...launch } = {}) {
  const folder = temporaryFolder();
  const gateway = new Gateway(folder, new EngineLog(path.join(folder, 'engine.log')));
  try {
    gateway.engineStarts(start);
    write(gateway, { engine: engine ?? gateway.engineScript, roles: scriptedRoles(folder, roles), limits, more });
    await prepare?.(gateway);
    await gateway.launch({ environment, under: under?.(gateway), ...launch });
    return ready ? await gateway.allReady() : gateway;
  } catch (error) {
    await gateway.dispose().catch(() => {});
    throw error;
  }
}

// A gateway as ./run starts it: nothing is configured, and the engine and the demo models are found in the cache.
export async function startUnconfigured() {
  requireRealEngine();
  const folder = temporaryFolder();
  const gateway = new Gateway(folder, undefined);
  try {
    await gateway.launch({ configured: false, environment: { GBGREG_CACHE: kCache } });
    return await gateway.allReady();
  } catch (error) {
    await gateway.dispose().catch(() => {});
    throw error;
  }
}

// A gateway before the real llama-server with the demo models.
export async function startReal({ roles = {}, limits, more, ready = true, engine = kRealEngine, environment = {} } = {}) {
  requireRealEngine();
  const folder = temporaryFolder();
  const gateway = new Gateway(folder, new EngineLog(path.join(folder, 'engine.log')));
  try {
    write(gateway, { engine, roles: realRoles(roles), limits, more });
    // It knows its demo models by where they lie.
    await gateway.launch({ environment: { GBGREG_CACHE: kCache, ...environment } });
    return ready ? await gateway.allReady() : gateway;
  } catch (error) {
    await gateway.dispose().catch(() => {});
    throw error;
  }
}

// Prometheus text format 0.0.4: every sample belongs to a family that was announced, and has a number.
export function parseMetrics(text) {
  assert.ok(text.endsWith('\n'), 'the metrics do not end with a line end');
  const types = new Map();
  const samples = new Map();
  const seen = new Set();
  for (const line of text.slice(0, -1).split('\n')) {
    if (line.startsWith('# HELP ')) continue;
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (type) {
      assert.ok(!types.has(type[1]), `${type[1]} is announced twice`);
      types.set(type[1], type[2]);
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/.exec(line);
    assert.ok(sample, `not a line of the Prometheus text format: ${line}`);
    const [, name, labelText = '', number] = sample;
    const value = number === '+Inf' ? Infinity : Number(number);
    assert.ok(!Number.isNaN(value), `not a number: ${line}`);
    const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
    assert.ok(types.has(family), `${name} was not announced by a TYPE line`);
    const labels = Object.fromEntries([...labelText.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)].map((m) => [m[1], m[2]]));
    assert.ok(!seen.has(`${name}{${labelText}}`), `a series stands there twice: ${line}`);
    seen.add(`${name}{${labelText}}`);
    samples.set(name, [...(samples.get(name) ?? []), { labels, value }]);
  }
  return { types, samples };
}

// The native error shape of API.md, or Ollama's for a client that named a model; with its id in the body and in the header.
export function assertError(answer, status, code) {
  assert.equal(answer.status, status, `status ${answer.status}: ${answer.text?.slice(0, 500)}`);
  assert.match(answer.headers['content-type'], /^application\/json/);
  assert.ok(answer.headers['x-request-id'], 'every answer carries X-Request-Id');
  const body = answer.json();
  const error = typeof body.error === 'string' ? { ...body, message: body.error } : body.error;
  assert.match(error.code, /^[a-z][a-z0-9_]*$/);
  assert.ok(error.message.length > 10, `the message says what to do: ${error.message}`);
  assert.equal(error.request_id, answer.headers['x-request-id']);
  if (code) assert.equal(error.code, code, error.message);
  if (status === 429 || status === 503) assert.match(answer.headers['retry-after'] ?? '', /^\d+$/, `${status} needs Retry-After`);
  return error;
}

export { kPatience };

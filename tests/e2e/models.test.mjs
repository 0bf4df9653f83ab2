// Models by their names: fetched from a server that may do everything wrong, imported, found in a folder of Ollama's, used by roles
// with the real engine, listed and removed, from the command line and over HTTP.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import { client } from '../support/clients.mjs';
import { assertError, Gateway, kDemoModels, kGateway, kRealEngine, requireRealEngine, temporaryFolder } from '../support/gateway.mjs';
import { openStream, parseLines } from '../support/http.mjs';
import { ModelServer, sha256 } from '../support/model_server.mjs';
import { unusedPort } from '../support/ports.mjs';
import { kPng } from '../support/protocols.mjs';
import { cutIntoShards } from '../support/shards.mjs';
import { canMount, SmallDisk } from '../support/small_disk.mjs';
import { waitUntil, within } from '../support/wait.mjs';

const { Ollama } = client('ollama');

requireRealEngine();
const demo = (name) => fs.readFileSync(path.join(kDemoModels, `demo-${name}.gguf`));
const kWeights = demo('coordinator');
const kDigest = sha256(kWeights);
const kLicense = 'MIT License\nand so on';

let server, folder, data, name;
const folders = [];
const gateways = [];

before(async () => {
  server = await ModelServer.start();
});
after(async () => {
  for (const gateway of gateways) await gateway.dispose();
  await server?.stop();
  for (const each of folders) fs.rmSync(each, { recursive: true, force: true });
});
beforeEach(() => {
  server.clear();
  folder = temporaryFolder();
  folders.push(folder);
  data = path.join(folder, 'data');
  name = server.add('library/demo:tiny', { models: kWeights, texts: { params: '{"stop":["<x>"],"num_ctx":512}', license: kLicense, template: '{{ .Prompt }}' } });
});

const blob = (digest) => path.join(data, 'models', 'blobs', `sha256-${digest}`);
const partial = (digest) => path.join(data, 'models', 'partial', `sha256-${digest}`);
const names = (at) => (fs.existsSync(at) ? fs.readdirSync(at) : []);
const isWhole = (digest) => sha256(fs.readFileSync(blob(digest))) === digest;

// `gbgreg models …`: { process, ended }, of which ended becomes { code, signal, out, err }.
function begin(words, { under = [], environment = {}, config } = {}) {
  const command = [...under, 'setpriv', '--pdeathsig', 'KILL', kGateway, 'models', ...words, '--data', data, ...(config ? ['--config', config] : [])];
  const clean = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('GBGREG_') && key !== 'HF_TOKEN'));
  const child = spawn(command[0], command.slice(1), { env: { ...clean, HOME: folder, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '', err = '';
  child.stdout.on('data', (text) => { out += text; });
  child.stderr.on('data', (text) => { err += text; });
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, out, err }));
  });
  return { process: child, said: () => out, ended: within('the end of gbgreg models', ended, 60_000) };
}
const models = (...words) => begin(words).ended;
async function well(...words) {
  const end = await models(...words);
  assert.equal(end.code, 0, end.err);
  return end.out;
}
async function badly(message, ...words) {
  const end = await models(...words);
  assert.equal(end.code, 1, end.out);
  assert.match(end.err, message);
  return end;
}

const quick = { pull_stall_seconds: 1 };
// A gateway before the real engine, whose roles may have models by their names.
async function start({ roles = { coordinator: { model: name, context: 512, slots: 1, threads: 1 } }, more = {}, limits = quick, environment = {}, ready = true, under } = {}) {
  const gateway = new Gateway(folder, undefined);
  gateway.data = data;
  gateways.push(gateway);
  gateway.settings = { engine: kRealEngine, roles, limits, registries: [server.authority], model_stores: [], ...more };
  fs.writeFileSync(gateway.configFile, JSON.stringify(gateway.settings));
  await gateway.launch({ environment, under });
  return ready ? gateway.allReady() : gateway;
}
const other = { coordinator: { model: 'demo', file: path.join(kDemoModels, 'demo-coordinator.gguf'), context: 512, slots: 1, threads: 1 } };
// For a transfer that is held longer than `quick` bears.
const kPatient = { pull_stall_seconds: 30 };

// A real answer: tokens that the real engine made.
async function answers(gateway, model = 'coordinator', more = {}) {
  const answer = await gateway.generate({ model, prompt: 'Hello', stream: false, options: { num_predict: 4 }, ...more });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json().eval_count, 4);
  return answer.json();
}
const pull = (gateway, model, more = {}) => gateway.request('POST', '/api/pull', { body: { model, ...more } });

describe('from a registry', () => {
  test('a model is pulled, a role uses it by its name, and the real engine answers', async () => {
    const out = await well('pull', name);
    assert.match(out, /^fetching [0-9a-f]{12} {2}?50% of 5\.2 MB$/m);
    assert.ok(isWhole(kDigest));
    assert.deepEqual(names(path.join(data, 'models', 'partial')), []);
    assert.equal(fs.statSync(data).mode & 0o077, 0, 'the data folder is its owner’s only');
    assert.equal(server.sentOf(/\/data\//), kWeights.length + 28 + kLicense.length + 13 + 84 + 2, 'each blob once');

    const gateway = await start();
    await answers(gateway);
    assert.equal((await answers(gateway, name)).model, name);
    assert.match(await well('list'), new RegExp(`^${name.replaceAll('.', '\\.')} +5\\.2 MB .* own`, 'm'));
    const shown = await well('show', name);
    for (const line of [/^architecture +llama$/m, /^license +MIT License$/m, /^context +32768 tokens$/m]) assert.match(shown, line);
    // It is used by a role, says who asks with the same configuration.
    const refused = await begin(['rm', name], { config: gateway.configFile }).ended;
    assert.match(refused.err, /The role coordinator uses this model/);
    await gateway.stop();
    await well('rm', name);
    assert.deepEqual(names(path.join(data, 'models', 'blobs')), []);
  });

  test('a second pull of the same fetches nothing but the manifest', async () => {
    await well('pull', name);
    server.clear();
    await well('pull', name);
    assert.deepEqual(server.requests.map((one) => one.path), ['/v2/library/demo/manifests/tiny']);
  });

  test('a transfer that is cut goes on where it was cut', async () => {
    server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'cut', after: 2_000_000 });
    await well('pull', name);
    const [first, second] = server.asked(new RegExp(`/data/${kDigest}`));
    assert.equal(first.range, undefined);
    assert.match(second.range, /^bytes=[1-9]\d*-$/);
    assert.ok(second.ifRange, 'and says which file it means');
    assert.equal(second.sent, kWeights.length - Number(/\d+/.exec(second.range)[0]));
    assert.ok(isWhole(kDigest));
  });

  test('a server that goes silent is asked again, and goes on', async () => {
    const config = path.join(folder, 'config.yaml');
    fs.writeFileSync(config, JSON.stringify({ limits: quick }));
    const held = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 1_000_000 });
    const end = await begin(['pull', name], { config }).ended;
    held.release();
    assert.equal(end.code, 0, end.err);
    assert.equal(server.asked(new RegExp(`/data/${kDigest}`)).length, 2);
    assert.ok(isWhole(kDigest));
  });

  test('killed in the middle, the next one begins where it was', async () => {
    const held = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 3_000_000 });
    const first = begin(['pull', name]);
    await server.holding(new RegExp(kDigest));
    await waitUntil('half of it is on the disk', () => fs.statSync(partial(kDigest)).size === 3_000_000);
    first.process.kill('SIGKILL');
    assert.equal((await first.ended).signal, 'SIGKILL');
    held.release();
    assert.ok(!fs.existsSync(blob(kDigest)), 'nothing half-done has the name of a blob');
    assert.match(await well('list'), /No model has been fetched yet/);

    server.clear();
    await well('pull', name);
    assert.equal(server.asked(new RegExp(`/data/${kDigest}`))[0].range, 'bytes=3000000-');
    assert.equal(server.sentOf(new RegExp(`/data/${kDigest}`)), kWeights.length - 3_000_000);
    assert.ok(isWhole(kDigest));
  });

  test('what an earlier attempt left and is wrong is fetched anew', async () => {
    fs.mkdirSync(path.dirname(partial(kDigest)), { recursive: true });
    fs.writeFileSync(partial(kDigest), Buffer.alloc(1_000_000, 'x'));
    await well('pull', name);
    assert.ok(isWhole(kDigest));
    assert.deepEqual(server.asked(new RegExp(`/data/${kDigest}`)).map((one) => one.range), ['bytes=1000000-', undefined]);
  });

  test('of two at once one fetches, and the other one follows', async () => {
    const held = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 2_000_000 });
    const first = begin(['pull', name]);
    await server.holding(new RegExp(kDigest));
    const second = begin(['pull', name]);
    await waitUntil('the second has its manifest', () => server.asked(/manifests/).length === 2);
    await waitUntil('the second tells how far the first is', () => /fetching [0-9a-f]{12} {2}30%/.test(second.said()));
    held.release();
    for (const end of [await first.ended, await second.ended]) assert.equal(end.code, 0, end.err);
    assert.equal(server.asked(new RegExp(`/data/${kDigest}`)).length, 1, 'one transfer');
    assert.ok(isWhole(kDigest));
    assert.deepEqual(names(path.join(data, 'models', 'partial')), []);
  });

  test('when the one that fetches is killed, the one that follows takes over', async () => {
    const held = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 2_000_000 });
    const first = begin(['pull', name]);
    await server.holding(new RegExp(kDigest));
    const second = begin(['pull', name]);
    await waitUntil('the second has its manifest', () => server.asked(/manifests/).length === 2);
    first.process.kill('SIGKILL');
    held.release();
    const end = await second.ended;
    assert.equal(end.code, 0, end.err);
    assert.ok(isWhole(kDigest));
  });

  test('Ctrl-C leaves it in good order', async () => {
    const held = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 1_000_000 });
    const first = begin(['pull', name]);
    await server.holding(new RegExp(kDigest));
    await waitUntil('it is on the disk', () => fs.statSync(partial(kDigest)).size === 1_000_000);
    first.process.kill('SIGINT');
    const end = await first.ended;
    held.release();
    assert.equal(end.code, 1);
    assert.match(end.err, /given up/);
    assert.ok(fs.statSync(partial(kDigest)).size > 0);
    assert.match(await well('prune'), /1\.0 MB of unfinished/);
  });

  test('in a terminal there is a bar', async () => {
    const command = [kGateway, 'models', 'pull', name, '--data', data].map((word) => `'${word}'`).join(' ');
    const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (text) => { out += text; });
    assert.equal(await within('the end of it', new Promise((end) => child.once('close', end))), 0);
    assert.match(out, /\r\u001b\[Kfetching [0-9a-f]{12} {2}█{24} 100% {2}5\.2 MB of 5\.2 MB/);
  });
});

describe('from a server that does wrong', () => {
  const nothingIsLeft = () => {
    assert.ok(!fs.existsSync(blob(kDigest)));
    assert.ok(!fs.existsSync(partial(kDigest)));
    assert.deepEqual(names(path.join(data, 'models', 'manifests')), []);
  };
  const theWeights = new RegExp(`/data/${kDigest}`);

  for (const [what, fault, message] of [
    ['other bytes are noticed and thrown away', { path: theWeights, kind: 'wrong' }, /SHA-256 is another/],
    ['more bytes than were announced are refused', { path: theWeights, kind: 'long' }, /another number of bytes/],
    ['fewer bytes than were announced are refused', { path: theWeights, kind: 'short' }, /another number of bytes/],
    ['more bytes without a word about their number are refused', { path: theWeights, kind: 'long', sized: false }, /another number of bytes/],
  ]) {
    test(what, async () => {
      server.fault(fault);
      await badly(message, 'pull', name);
      if (fault.kind !== 'short') assert.ok(!fs.existsSync(blob(kDigest)));
      await models('prune');
      nothingIsLeft();
    });
  }

  for (const [what, fault, message] of [
    ['no such model', { path: /manifests/, kind: 'status', status: 404 }, /no model of this name/],
    ['a login that is asked for', { path: /manifests/, kind: 'status', status: 401 }, /set HF_TOKEN/],
    ['an endless circle of redirects', { path: /manifests/, kind: 'loop', times: 50 }, /leads on and on/],
    ['a redirect to another protocol', { path: /manifests/, kind: 'redirect', to: 'file:///etc/passwd' }, /leads on and on|no https/],
    ['a redirect away from this machine', { path: /manifests/, kind: 'redirect', away: true }, /must not lead/],
    ['a manifest that is none', { path: /manifests/, kind: 'wrong' }, /cannot be understood/],
    ['a status that means nothing', { path: /manifests/, kind: 'status', status: 418 }, /status 418/],
  ]) {
    test(`${what} is said`, async () => {
      // The same machine, by an address that is none of loopback.
      server.fault({ ...fault, ...(fault.away ? { to: `http://[::ffff:127.0.0.1]:${server.authority.split(':')[1]}/x` } : {}) });
      const config = path.join(folder, 'config.yaml');
      fs.writeFileSync(config, JSON.stringify({ limits: quick }));
      const end = await begin(['pull', name], { config }).ended;
      assert.equal(end.code, 1);
      assert.match(end.err, message);
      nothingIsLeft();
    });
  }

  test('a server that is busy for a moment is asked again', async () => {
    server.fault({ path: /manifests/, kind: 'status', status: 503, times: 2 });
    await well('pull', name);
    assert.ok(isWhole(kDigest));
  });

  test('a manifest without an end is not read to its end', async () => {
    const endless = server.add('library/endless:x', { models: kWeights });
    server.manifests.set('library/endless:x', Buffer.alloc(3_000_000, ' '));
    await badly(/larger than any needs to be/, 'pull', endless);
  });

  test('a manifest with a digest that is a path is refused', async () => {
    const evil = server.add('library/evil:x', { models: kWeights });
    server.manifests.set('library/evil:x', Buffer.from(server.manifests.get('library/evil:x').toString().replace(`sha256:${kDigest}`, 'sha256:../../../../tmp/x')));
    await badly(/digest is no SHA-256/, 'pull', evil);
  });

  test('nobody is there', async () => {
    await badly(/cannot be reached/, 'pull', `127.0.0.1:${await unusedPort()}/library/demo:tiny`);
  });

  test('plain http to another machine, and names that are paths, are refused before anything is asked', async () => {
    await badly(/by https/, 'pull', 'http://models.example/library/demo:tiny');
    await badly(/no host that could be asked/, 'pull', '../../../etc/passwd');
    await badly(/A model's name is like/, 'rm', 'a/../b');
    assert.equal(server.requests.length, 0);
  });

  test('a token that anybody gets is asked for; one of the owner goes to its own host only, and into no log', async () => {
    const challenge = { 'www-authenticate': `Bearer realm="http://${server.authority}/token",service="registry",scope="repository:library/demo:pull"` };
    server.fault({ path: /manifests/, kind: 'status', status: 401, headers: challenge });
    await well('pull', name);
    assert.match(server.asked(/\/token/)[0].path, /service=registry&scope=repository%3Alibrary%2Fdemo%3Apull/);
    assert.equal(server.asked(/manifests/)[1].authorization, 'Bearer anonymous-token');

    await models('rm', name);
    server.clear();
    const elsewhere = await ModelServer.start();
    try {
      elsewhere.blobs.set(kDigest, kWeights);
      server.fault({ path: new RegExp(`/blobs/sha256:${kDigest}`), kind: 'redirect', to: `http://${elsewhere.authority}/data/${kDigest}` });
      const end = await begin(['pull', name], { environment: { GBGREG_REGISTRY_TOKENS: `${server.authority}=owners-secret` } }).ended;
      assert.equal(end.code, 0, end.err);
      assert.equal(server.asked(/manifests/)[0].authorization, 'Bearer owners-secret');
      assert.equal(elsewhere.requests[0].authorization, undefined);
      assert.ok(!(end.out + end.err).includes('owners-secret'));
    } finally {
      await elsewhere.stop();
    }
  });
});

describe('single files', () => {
  test('are fetched as from Hugging Face, checked by the digest that it says, and used', async () => {
    const url = server.addFile('/org/repo/resolve/main/tiny-Q8.gguf', kWeights);
    server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'cut', after: 1_500_000 });
    await well('pull', url);
    assert.match(server.asked(new RegExp(`/data/${kDigest}`))[1].range, /^bytes=[1-9]/);
    assert.match(await well('list'), /org\/repo:tiny-Q8/);
    const gateway = await start({ roles: { coordinator: { model: `${server.authority}/org/repo:tiny-q8`, context: 512, slots: 1, threads: 1 } } });
    await answers(gateway);
    await gateway.stop();
  });

  test('a server that says no digest is believed by its ETag, and another file is not mixed with the first', async () => {
    const target = '/org/repo/resolve/main/plain.gguf';
    const url = server.addFile(target, kWeights, { linked: false });
    const held = server.fault({ path: /plain/, kind: 'hold', after: 2_000_000 });
    const first = begin(['pull', url, '--name', 'plain']);
    await server.holding(/plain/);
    await waitUntil('half of it is on the disk', () => names(path.join(data, 'models', 'partial')).some((file) => fs.statSync(path.join(data, 'models', 'partial', file)).size === 2_000_000));
    first.process.kill('SIGKILL');
    await first.ended;
    held.release();
    // The same file goes on …
    server.clear();
    server.addFile(target, kWeights, { linked: false });
    await well('pull', url, '--name', 'plain');
    assert.equal(server.asked(/plain/)[0].range, 'bytes=2000000-');
    assert.ok(server.asked(/plain/)[0].ifRange);
    assert.ok(isWhole(kDigest));
    // … and another one begins at its begin.
    const changed = demo('technical');
    server.clear();
    server.addFile(target, changed, { linked: false });
    await well('pull', url, '--name', 'plain');
    assert.equal(server.asked(/plain/)[0].range, undefined);
    assert.ok(isWhole(sha256(changed)));
  });

  test('a page instead of a file is thrown away', async () => {
    const url = server.addFile('/org/repo/resolve/main/page.gguf', Buffer.from('<html>Log in</html>'), { linked: false });
    await badly(/no GGUF file/, 'pull', url);
    assert.deepEqual(names(path.join(data, 'models', 'blobs')), []);
  });

  test('shards are fetched, laid side by side, and loaded', async () => {
    const shards = cutIntoShards(kWeights, 3);
    const urls = shards.map((bytes, i) => server.addFile(`/org/repo/resolve/main/cut-0000${i + 1}-of-00003.gguf`, bytes));
    await well('pull', urls[1], '--name', 'cut');
    const gateway = await start({ roles: { coordinator: { model: 'cut', context: 512, slots: 1, threads: 1 } } });
    assert.equal((await answers(gateway)).model, 'cut');
    const listed = (await gateway.get('/api/models')).json().models;
    assert.deepEqual(listed.map(({ name: of, files, roles }) => [of, files, roles]), [['cut:latest', 3, ['coordinator']]]);
    await gateway.stop();
  });

  test('files and shards that are here are imported, with a projector, and the model sees', async () => {
    cutIntoShards(demo('vision'), 2).forEach((bytes, i) => fs.writeFileSync(path.join(folder, `eyes-0000${i + 1}-of-00002.gguf`), bytes));
    const projector = path.join(kDemoModels, 'demo-vision-mmproj.gguf');
    const out = await well('import', path.join(folder, 'eyes-00001-of-00002.gguf'), '--mmproj', projector);
    assert.match(out, /eyes:latest is here/);
    const gateway = await start({ roles: { vision: { model: 'eyes', context: 2048, slots: 1, threads: 1 } } });
    await answers(gateway, 'vision', { images: [kPng] });
    await gateway.stop();
    await badly(/is no GGUF model/, 'import', gateway.configFile, '--name', 'x');
    await badly(/not there/, 'import', path.join(folder, 'none.gguf'));
  });
});

// As Ollama's own service would have it.
function ollamaFolder() {
  const store = path.join(folder, 'ollama', 'models');
  const put = (bytes) => {
    fs.mkdirSync(path.join(store, 'blobs'), { recursive: true });
    fs.writeFileSync(path.join(store, 'blobs', `sha256-${sha256(bytes)}`), bytes);
    return { digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const at = path.join(store, 'manifests', 'registry.ollama.ai', 'library', 'llama3.2');
  fs.mkdirSync(at, { recursive: true });
  const layers = [{ mediaType: 'application/vnd.ollama.image.model', ...put(kWeights) }];
  const config = { mediaType: 'application/vnd.docker.container.image.v1+json', ...put(Buffer.from('{"model_family":"llama","model_type":"1.0M","file_type":"Q8_0"}')) };
  fs.writeFileSync(path.join(at, '1b'), JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.docker.distribution.manifest.v2+json', config, layers }));
  return store;
}
function sizesIn(at) {
  let bytes = 0;
  for (const entry of fs.readdirSync(at, { withFileTypes: true })) {
    const file = path.join(at, entry.name);
    bytes += entry.isDirectory() ? sizesIn(file) : fs.lstatSync(file).size;
  }
  return bytes;
}
const picture = (at) => fs.readdirSync(at, { recursive: true }).sort().map((file) => [file, fs.statSync(path.join(at, file)).mtimeMs, fs.statSync(path.join(at, file)).size]);

describe('a folder of Ollama’s', () => {
  test('is used in place: no byte of it is copied, and nothing in it is changed', async () => {
    const store = ollamaFolder();
    const before = picture(store);
    const gateway = await start({ roles: { documentation: { model: 'llama3.2:1b', context: 512, slots: 1, threads: 1 } }, more: { model_stores: [store] } });
    assert.equal((await answers(gateway, 'documentation')).model, 'llama3.2:1b');
    // The engine itself has the file open there, and there is no other file of this size.
    const [worker] = gateway.workers();
    const weights = fs.realpathSync(path.join(store, 'blobs', `sha256-${kDigest}`));
    assert.ok(fs.readFileSync(`/proc/${worker}/cmdline`, 'utf8').split('\0').includes(weights));
    assert.ok(fs.readFileSync(`/proc/${worker}/maps`, 'utf8').includes(weights), 'it is mapped from there');
    assert.ok(sizesIn(data) < kWeights.length / 2, `the data folder has ${sizesIn(data)} bytes`);
    assert.ok(!fs.existsSync(path.join(data, 'models')));

    const [listed] = (await gateway.get('/api/tags')).json().models;
    assert.deepEqual([listed.name, listed.details.quantization_level, listed.size > kWeights.length], ['llama3.2:1b', 'Q8_0', true]);
    assertError(await gateway.request('DELETE', '/api/delete', { body: { model: 'llama3.2:1b' } }), 409, 'model_in_use');
    await gateway.stop();
    assert.deepEqual(picture(store), before);
  });

  test('is found where OLLAMA_MODELS or the home says, and is only read', async () => {
    const store = ollamaFolder();
    const byVariable = await begin(['list'], { environment: { OLLAMA_MODELS: store } }).ended;
    assert.match(byVariable.out, /^llama3\.2:1b .* ollama/m);
    fs.mkdirSync(path.join(folder, '.ollama'));
    fs.symlinkSync(store, path.join(folder, '.ollama', 'models'));
    assert.match(await well('list'), /^llama3\.2:1b .* ollama/m);
    await badly(/ollama rm llama3\.2:1b/, 'rm', 'llama3.2:1b');
  });

  test('of another user, half of which may not be read, says so', { skip: process.getuid() !== 0 && 'only root can become somebody else' }, async () => {
    const store = ollamaFolder();
    fs.chmodSync(folder, 0o755);
    const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const show = () => begin(['show', 'llama3.2:1b'], { under: asNobody, environment: { GBGREG_MODEL_STORES: store } }).ended;
    assert.equal((await show()).code, 0, (await show()).err);
    fs.chmodSync(path.join(store, 'blobs', `sha256-${kDigest}`), 0o600);
    assert.match((await show()).err, /not readable by the user that runs/);
    fs.chmodSync(path.join(store, 'manifests', 'registry.ollama.ai', 'library', 'llama3.2', '1b'), 0o600);
    assert.match((await show()).err, /may not read it/);
  });
});

describe('over HTTP', () => {
  test('a role whose model is not here says how to fetch it, and is there once it is fetched', async () => {
    const gateway = await start({ ready: false });
    const { detail } = await waitUntil('the role says so', async () => {
      const role = await gateway.role('coordinator');
      return role.detail?.includes('gbgreg models pull') && role;
    });
    assert.ok(detail.includes(`gbgreg models pull ${name}`), detail);
    const found = (await gateway.get('/api/doctor')).json().findings.find(({ code }) => code === 'model_missing');
    assert.ok(found.fix.includes(`gbgreg models pull ${name}`));

    const lines = parseLines((await pull(gateway, name)).text);
    assert.deepEqual(lines[0], { status: 'pulling manifest' });
    assert.deepEqual(lines.slice(-3), [{ status: 'verifying sha256 digest' }, { status: 'writing manifest' }, { status: 'success' }]);
    const ofWeights = lines.filter((line) => line.digest === `sha256:${kDigest}`);
    assert.deepEqual(ofWeights.at(-1), { status: `pulling ${kDigest.slice(0, 12)}`, digest: `sha256:${kDigest}`, total: kWeights.length, completed: kWeights.length });
    await waitUntil('the role is ready', async () => (await gateway.role('coordinator')).state === 'ready', { deadlineMs: 45_000 });
    await answers(gateway);
    await gateway.stop();
  });

  test('only from servers that the configuration names', async () => {
    const gateway = await start({ roles: other });
    for (const model of ['192.168.1.1/library/x:y', `localhost:${server.authority.split(':')[1]}/library/demo:tiny`, 'http://127.0.0.1:1/a/b']) {
      assertError(await pull(gateway, model), 403, 'registry_not_allowed');
    }
    assertError(await pull(gateway, 'http://10.0.0.1/a/b'), 400, 'bad_model_url');
    assertError(await pull(gateway, '../x'), 400, 'bad_model_name');
    assert.equal(server.requests.length, 0);
    await gateway.stop();
  });

  test('an error before anything was fetched has its status, and later its line', async () => {
    const gateway = await start({ roles: other });
    assertError(await pull(gateway, `${server.authority}/library/none:x`), 404, 'model_not_found');
    assertError(await pull(gateway, `${server.authority}/library/none:x`, { stream: false }), 404, 'model_not_found');
    server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'wrong' });
    const answer = await pull(gateway, name);
    assert.equal(answer.status, 200);
    assert.match(parseLines(answer.text).at(-1).error, /SHA-256 is another/);
    server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'wrong' });
    assertError(await pull(gateway, name, { stream: false }), 502, 'digest_differs');
    await gateway.stop();
  });

  test('a client that leaves ends its pull, and what came is kept; a gateway that stops says so', async () => {
    const gateway = await start({ roles: other, limits: kPatient });
    const held = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 1_000_000 });
    const stream = await openStream(gateway.port, '/api/pull', { model: name });
    await server.holding(new RegExp(kDigest));
    stream.cut();
    await waitUntil('the transfer is given up', () => server.asked(new RegExp(`/data/${kDigest}`))[0].isClosed);
    held.release();
    assert.ok(fs.statSync(partial(kDigest)).size > 0);

    server.clear();
    const again = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 1_000_000 });
    const second = await openStream(gateway.port, '/api/models/pull', { model: name });
    await server.holding(new RegExp(kDigest));
    const stopped = gateway.stop();
    const lines = [];
    for await (const line of second.lines()) lines.push(line);
    assert.equal(lines.at(-1).error.code, 'stopping');
    await stopped;
    again.release();
  });

  test('two clients at once share one transfer', async () => {
    const gateway = await start({ roles: other, limits: kPatient });
    const held = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 1_000_000 });
    const both = [pull(gateway, name), pull(gateway, name)];
    await server.holding(new RegExp(kDigest));
    await waitUntil('both have the manifest', () => server.asked(/manifests/).length === 2);
    held.release();
    for (const answer of await Promise.all(both)) assert.deepEqual(parseLines(answer.text).at(-1), { status: 'success' });
    assert.equal(server.asked(new RegExp(`/data/${kDigest}`)).length, 1);
    await gateway.stop();
  });

  test('the gateway and the command line share one store', async () => {
    const gateway = await start({ roles: other, limits: kPatient });
    const held = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 1_000_000 });
    const first = pull(gateway, name, { stream: false });
    await server.holding(new RegExp(kDigest));
    const second = begin(['pull', name]);
    await waitUntil('both have the manifest', () => server.asked(/manifests/).length === 2);
    await badly(/being fetched at the moment/, 'prune');
    held.release();
    assert.deepEqual((await first).json(), { status: 'success' });
    assert.equal((await second.ended).code, 0);
    assert.equal(server.asked(new RegExp(`/data/${kDigest}`)).length, 1);
    await gateway.stop();
  });

  test('Ollama’s own client pulls, lists, shows and deletes', async () => {
    const gateway = await start({ roles: other });
    const ollama = new Ollama({ host: gateway.url });
    const statuses = [];
    for await (const part of await ollama.pull({ model: name, stream: true })) statuses.push(part.status);
    assert.equal(statuses[0], 'pulling manifest');
    assert.equal(statuses.at(-1), 'success');
    assert.equal((await ollama.pull({ model: name })).status, 'success');

    const { models: listed } = await ollama.list();
    assert.deepEqual(listed.map((model) => model.name).sort(), [name, 'demo'].sort());
    const stored = listed.find((model) => model.name === name);
    assert.match(stored.digest, /^[0-9a-f]{64}$/);
    assert.deepEqual([stored.details.family, stored.details.parameter_size, stored.details.quantization_level], ['llama', '1.0M', 'F16']);
    assert.deepEqual((await ollama.ps()).models.map((model) => model.name), ['demo']);

    const shown = await ollama.show({ model: name });
    assert.equal(shown.license, kLicense);
    assert.equal(shown.template, '{{ .Prompt }}');
    assert.equal(shown.parameters, 'stop "<x>"\nnum_ctx 512');
    assert.equal(shown.model_info['llama.context_length'], 32768);
    assert.deepEqual(shown.capabilities, ['completion', 'tools']);
    assert.equal((await ollama.show({ model: 'demo' })).model_info['general.architecture'], 'llama');

    assert.equal((await ollama.delete({ model: name })).status, 'success');
    assert.deepEqual((await ollama.list()).models.map((model) => model.name), ['demo']);
    await assert.rejects(ollama.delete({ model: name }), (error) => error.status_code === 404 && /not on this machine/.test(error.message));
    await assert.rejects(ollama.pull({ model: `${server.authority}/library/none:x` }), (error) => error.status_code === 404);
    assert.ok(!fs.existsSync(blob(kDigest)));
    await gateway.stop();
  });

  test('more than four at once wait for nobody: the fifth is told to come again', async () => {
    const gateway = await start({ roles: other, limits: kPatient });
    const held = server.fault({ path: new RegExp(`/data/${kDigest}`), kind: 'hold', after: 1_000_000 });
    const four = Array.from({ length: 4 }, () => pull(gateway, name));
    await waitUntil('four have the manifest', () => server.asked(/manifests/).length === 4);
    assertError(await pull(gateway, name), 429, 'too_many_pulls');
    assert.equal((await gateway.get('/api/models')).status, 200, 'a list waits for no transfer');
    held.release();
    for (const answer of await Promise.all(four)) assert.deepEqual(parseLines(answer.text).at(-1), { status: 'success' });
    await gateway.stop();
  });
});

describe('a disk that is too small', { skip: !canMount && !process.env.CI && 'this machine lets nobody mount' }, () => {
  let disk;
  before(async () => { disk = await new SmallDisk().mount(); });
  after(() => disk?.dispose());

  test('a model that does not fit is refused before a byte of it is fetched', async () => {
    data = disk.data;
    const end = await begin(['pull', name], { under: disk.entering() }).ended;
    assert.equal(end.code, 1);
    assert.match(end.err, /does not fit on the disk: 6 MB are to be fetched, [0-9]+ MB are free, and 68 MB stay so/);
    assert.equal(server.asked(/\/data\//).length, 0);
  });

  test('one of which nobody said the size is given up when the disk is full, and takes no room', async () => {
    data = disk.data;
    const large = Buffer.alloc(12_000_000, 'x');
    large.write('GGUF');
    const url = server.addFile('/org/repo/resolve/main/large.gguf', large, { linked: false, sized: false });
    const end = await begin(['pull', url], { under: disk.entering() }).ended;
    assert.equal(end.code, 1);
    assert.match(end.err, /disk is full/);
    assert.ok(sizesIn(disk.seen('data')) < 100_000);
  });
});

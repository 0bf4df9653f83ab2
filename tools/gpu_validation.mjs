// What a GPU does for gbgreg on this machine, proven and measured, beside the processor. Run by tools/gpu_validation, which
// builds what is needed first.
//
//   --module NAME     cuda, cuda12 or vulkan; the best that works here when none is named
//   --devices LIST    gpu, cpu or both with a comma [gpu,cpu]
//   --only NAME       one model of validation_models.mjs
//   --work FOLDER     where the models and a copy of the engine go [<cache>/validation]
//   --out FILE        the report [docs/benchmarks/gpu-validation.md]
//   --small           the same with tiny models of the same kinds, and short answers: it shows that this tool works
//
// Everything is asked through the gateway, as its clients do. A role must prove where it runs (device: require_gpu), or it is
// not measured.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { kShapes, makeModels } from './validation_models.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const kReadyMsMax = 30 * 60_000;  // A slow disk, 5 GB.
const kAnswerMsMax = 30 * 60_000;  // 300 tokens of an 8B model on a small processor.
const kDiskBytesSpare = 2e9;

const { values: flags } = parseArgs({ options: {
  module: { type: 'string' }, devices: { type: 'string', default: 'gpu,cpu' }, only: { type: 'string' }, work: { type: 'string' },
  out: { type: 'string' }, small: { type: 'boolean', default: false }, help: { type: 'boolean' },
} });
if (flags.help) {
  const lines = fs.readFileSync(fileURLToPath(import.meta.url), 'utf8').split('\n');
  console.log(lines.slice(0, lines.findIndex((line) => !line.startsWith('//'))).map((line) => line.slice(3)).join('\n'));
  process.exit(0);
}
if (flags.only && !kShapes[flags.only]) stop(`There is no model ${flags.only}, only: ${Object.keys(kShapes).join(', ')}`);
const devices = flags.devices.split(',');
for (const device of devices) if (!['gpu', 'cpu'].includes(device)) stop(`--devices takes gpu and cpu, not ${device}.`);

const cache = process.env.GBGREG_CACHE ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'gbgreg');
const gbgreg = process.env.GBGREG_BIN ?? path.join(here, '../build/release/bin/gbgreg');
const builtEngine = path.dirname(process.env.GBGREG_ENGINE ?? path.join(cache, 'engine/v0.5.0/bin/llama-server'));
const vocabFolder = path.join(builtEngine, '../vocab');
const work = path.resolve(flags.work ?? path.join(cache, 'validation'));
const out = path.resolve(flags.out ?? path.join(here, '../docs/benchmarks/gpu-validation.md'));
const engine = path.join(work, 'engine/llama-server');
const began = Date.now();

function stop(message) {
  console.error(`gpu_validation: ${message}`);
  process.exit(1);
}
const say = (text) => console.log(`[${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s] ${text}`);
const environment = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GBGREG_') || name === 'GBGREG_CACHE'));

// ---------------------------------------------------------------------------------------------------------- the gateway

// One gateway with one model, which listens on a port that the system chooses.
class Gateway {
  static async start(model, device) {
    const gateway = new Gateway();
    gateway.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gbgreg-validation-'));
    const role = {
      model: model.name, file: model.file, ...(model.projector ? { mmproj: model.projector } : {}), device: device === 'gpu' ? 'require_gpu' : 'cpu',
      context: 1024, slots: 16, objective_ms: 600_000,
    };
    const config = { engine, limits: { queue_wait_ms_max: 'off' }, roles: { [model.role]: role } };
    fs.writeFileSync(path.join(gateway.folder, 'config.yaml'), JSON.stringify(config));
    gateway.began = performance.now();
    gateway.process = spawn(gbgreg, ['serve', '--config', path.join(gateway.folder, 'config.yaml'), '--data', path.join(gateway.folder, 'data'), '--listen', '127.0.0.1:0'],
      { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    gateway.exited = new Promise((resolve) => gateway.process.once('close', resolve));
    gateway.output = '';
    for (const stream of [gateway.process.stdout, gateway.process.stderr]) stream.setEncoding('utf8').on('data', (text) => { gateway.output = (gateway.output + text).slice(-100_000); });
    try {
      await gateway.becomesReady();
    } catch (error) {
      await gateway.stop();
      throw error;
    }
    return gateway;
  }

  async becomesReady() {
    while (performance.now() - this.began < kReadyMsMax) {
      this.url ??= /is listening on (http:\/\/\S+)/.exec(this.output)?.[1];
      if (this.process.exitCode !== null) throw new Error(`the gateway ended: ${this.output.slice(-2000)}`);
      const role = this.url ? (await this.health()).models.roles[0] : undefined;
      if (role?.state === 'failed') throw new Error(role.detail);
      if (role?.state === 'ready') {
        this.readyMs = performance.now() - this.began;
        return;
      }
      await new Promise((again) => setTimeout(again, 20));
    }
    throw new Error(`it was not ready within ${kReadyMsMax / 60_000} minutes`);
  }

  async get(target) {
    return (await fetch(this.url + target)).json();
  }
  health() {
    return this.get('/health');
  }
  async doctor() {
    for (;;) {
      const answer = await fetch(`${this.url}/api/doctor`);
      if (answer.status === 200) return answer.json();
      await new Promise((again) => setTimeout(again, 200));
    }
  }

  // A streamed answer: when its first token came, and the engine's own counts.
  async ask(prompt, tokens, more = {}) {
    const sent = performance.now();
    const answer = await fetch(`${this.url}/api/generate`, {
      method: 'POST', signal: AbortSignal.timeout(kAnswerMsMax),
      body: JSON.stringify({ prompt, stream: true, options: { num_predict: tokens, seed: 1 }, ...more }),
    });
    if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
    let firstMs, text = '';
    for await (const piece of answer.body) {
      firstMs ??= performance.now() - sent;
      text += Buffer.from(piece).toString('utf8');
    }
    const last = JSON.parse(text.trim().split('\n').at(-1));
    if (!last.done || last.error) throw new Error(`a broken answer: ${JSON.stringify(last).slice(0, 300)}`);
    return {
      firstMs, totalMs: performance.now() - sent, tokens: last.eval_count, device: last.gbgreg.device,
      promptTokens: last.prompt_eval_count, promptPerSecond: last.prompt_eval_count / (last.prompt_eval_duration / 1e9),
      perSecond: last.eval_count / (last.eval_duration / 1e9),
    };
  }

  async stop() {
    this.process.kill('SIGTERM');
    await this.exited;
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

// A picture of 8 x 8 in one colour, as PNG.
const kPicture = 'iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC';

// -------------------------------------------------------------------------------------------------------- what is measured

// On the processor full-size models get shorter answers: the rate is the same, and 300 tokens would take minutes.
const sizesFor = (device) => {
  if (flags.small) return { answer: 8, shared: 2, prompt: 16, concurrency: [1, 4, 16] };
  return device === 'gpu' ? { answer: 300, shared: 64, prompt: 512, concurrency: [1, 4, 16] } : { answer: 32, shared: 8, prompt: 128, concurrency: [1, 4] };
};

function proofOf(role) {
  const layers = `${role.gpu_layers ?? '?'}/${role.total_layers ?? '?'} layers on ${role.device}`;
  return role.projector ? `${layers}, projector on ${role.projector}` : layers;
}

async function measure(model, device) {
  const sizes = sizesFor(device);
  const gateway = await Gateway.start(model, device);
  try {
    const result = { model, device, sizes, readyMs: gateway.readyMs };
    const long = 'word '.repeat(sizes.prompt);
    await gateway.ask('Hello', 4);  // What is only done once.
    result.short = await gateway.ask('Hello', sizes.answer);
    result.long = await gateway.ask(long, 8);
    if (model.projector) result.picture = await gateway.ask('What is this?', 8, { images: [kPicture] });
    result.shared = [];
    for (const count of sizes.concurrency) {
      const sent = performance.now();
      const answers = await Promise.all(Array.from({ length: count }, (_, i) => gateway.ask(`Hello ${i}`, sizes.shared)));
      const seconds = (performance.now() - sent) / 1000;
      const firsts = answers.map(({ firstMs }) => firstMs).sort((a, b) => a - b);
      result.shared.push({ count, perSecond: answers.reduce((sum, { tokens }) => sum + tokens, 0) / seconds, firstMsMax: firsts.at(-1) });
    }
    const diagnosis = await gateway.doctor();
    const health = await gateway.health();
    [result.role] = health.models.roles;
    result.gpu = health.gpu;
    result.findings = diagnosis.findings;
    return result;
  } finally {
    await gateway.stop();
  }
}

// From a model that is loaded to the next one on the same device: the first ends, the second is ready.
async function measureSwap(from, to, device) {
  const first = await Gateway.start(from, device);
  const sent = performance.now();
  await first.stop();
  const stopMs = performance.now() - sent;
  const second = await Gateway.start(to, device);
  const swapMs = performance.now() - sent;
  await second.stop();
  return { from: from.name, to: to.name, stopMs, swapMs };
}

// ------------------------------------------------------------------------------------------------------------- the machine

function prepareEngine() {
  fs.rmSync(path.dirname(engine), { recursive: true, force: true });
  fs.cpSync(builtEngine, path.dirname(engine), { recursive: true, filter: (file) => !/libggml-(cuda|vulkan)\.so$|\.gpu-module/.test(file) });
  if (!devices.includes('gpu')) return 'no module';
  say(`installing the engine's module ${flags.module ?? 'that works best'}`);
  const run = spawnSync(gbgreg, ['gpu', 'install', ...(flags.module ? [flags.module] : []), '--engine', engine, '--models', path.join(cache, 'models')], { env: environment(), encoding: 'utf8' });
  if (run.status !== 0) stop(`there is no GPU that can be proven to work, so there is nothing to validate:\n${run.stdout}${run.stderr}`);
  return run.stdout.split('\n').filter((line) => line.includes('proven:')).at(-1);
}

function prepareModels() {
  const only = flags.only ? [flags.only] : Object.keys(kShapes);
  const wanted = flags.small ? 0.2e9 : 26e9;
  fs.mkdirSync(work, { recursive: true });
  const { bavail, bsize } = fs.statfsSync ? fs.statfsSync(work) : { bavail: Infinity, bsize: 1 };
  const there = fs.readdirSync(work).reduce((sum, file) => sum + fs.statSync(path.join(work, file)).size, 0);
  if (bavail * bsize < wanted - there + kDiskBytesSpare) stop(`${work} needs ${((wanted - there) / 1e9).toFixed(0)} GB for the models; name another folder by --work, or one model by --only.`);
  say(`models in ${work}`);
  return makeModels({ vocabFolder, out: work, small: flags.small, only, tell: (line) => say(`  ${line}`) });
}

function machineLines(diagnosed, status) {
  const memory = `${(os.totalmem() / 2 ** 30).toFixed(0)} GiB`;
  return [
    `- processor: ${os.cpus()[0].model.trim()}, ${os.cpus().length} threads; memory ${memory}; ${os.type()} ${os.release()}`,
    `- GPU by the driver's word: ${diagnosed.summary}`,
    ...status.map((line) => `- the engine's own list: ${line}`),
  ];
}

// -------------------------------------------------------------------------------------------------------------- the report

const ms = (value) => (value === undefined ? '' : value.toFixed(0));
const rate = (value) => (value === undefined ? '' : value.toFixed(1));

function report({ proof, machine, results, failures, swaps }) {
  const isNvidia = results.some((result) => result.role.device.startsWith('CUDA'));
  const lines = ['# GPU validation', ''];
  lines.push(`Written by \`tools/gpu_validation${process.argv.slice(2).map((word) => ` ${word}`).join('')}\` on ${new Date().toISOString().slice(0, 10)}. Weights are random, in the ${flags.small ? 'kinds' : 'exact shapes'} of the real models.`, '');
  if (flags.small) lines.push('**Tiny models: this shows that the tool works, and nothing of any machine’s speed.**', '');
  if (!isNvidia) lines.push('**Not run on an NVIDIA GPU.**', '');
  lines.push(...machine, `- module: ${proof}`, '', '## Where the layers are', '');
  lines.push('| role | model | GB | wanted | by the engine’s own word | memory on the card by its process | the doctor says |', '| --- | --- | --- | --- | --- | --- | --- |');
  for (const { model, device, role, gpu, findings } of results) {
    const held = gpu.devices.flatMap((one) => one.processes ?? []).filter((one) => one.role === role.role).reduce((sum, one) => sum + one.bytes, 0);
    const said = findings.filter(({ severity }) => severity !== 'info').map(({ code }) => code).join(', ');
    lines.push(`| ${model.role} | ${model.name} | ${(model.bytes / 1e9).toFixed(2)} | ${device} | ${proofOf(role)} | ${held > 0 ? `${(held / 1e9).toFixed(2)} GB` : 'not told'} | ${said || 'nothing'} |`);
  }
  lines.push('', '## One request', '', '| model | on | ready after ms | first token ms | first token ms, long prompt | prompt tokens/s | with a picture ms | tokens | tokens/s | of the memory’s bound |', '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const { model, role, readyMs, short, long, picture } of results) {
    const bound = role.tokens_per_second_bound ? `${(100 * short.perSecond / role.tokens_per_second_bound).toFixed(0)} %` : 'not known';
    lines.push(`| ${model.name} | ${role.device} | ${ms(readyMs)} | ${ms(short.firstMs)} | ${ms(long.firstMs)} (${long.promptTokens} tokens) | ${rate(long.promptPerSecond)} | ${ms(picture?.totalMs)} | ${short.tokens} in ${ms(short.totalMs)} ms | ${rate(short.perSecond)} | ${bound} |`);
  }
  lines.push('', '## Several at once', '', '| model | on | requests | tokens/s, all together | last first token ms |', '| --- | --- | --- | --- | --- |');
  for (const { model, role, shared } of results) {
    for (const { count, perSecond, firstMsMax } of shared) lines.push(`| ${model.name} | ${role.device} | ${count} | ${rate(perSecond)} | ${ms(firstMsMax)} |`);
  }
  if (swaps.length > 0) {
    lines.push('', '## From one model to the next', '', 'The first model’s gateway is asked to end, then the second one’s is started: from the asking to the second model’s being ready.', '', '| from | to | the end ms | in all ms |', '| --- | --- | --- | --- |');
    for (const { from, to, stopMs, swapMs } of swaps) lines.push(`| ${from} | ${to} | ${ms(stopMs)} | ${ms(swapMs)} |`);
  }
  if (failures.length > 0) {
    lines.push('', '## Not measured', '');
    for (const { model, device, error } of failures) lines.push(`- ${model.name} on ${device}: ${error.message.split('\n')[0]}`);
  }
  return `${lines.join('\n')}\n`;
}

// ----------------------------------------------------------------------------------------------------------------- the run

for (const file of [gbgreg, path.join(builtEngine, 'llama-server'), path.join(cache, 'models/demo-vision.gguf')]) {
  if (!fs.existsSync(file)) stop(`${file} is missing: start it by tools/gpu_validation, which builds it first.`);
}
const proof = prepareEngine();
const models = prepareModels();
const diagnosed = JSON.parse(spawnSync(gbgreg, ['doctor', '--json', '--engine', engine, '--listen', 'unix:/nonexistent'], { env: environment(), encoding: 'utf8' }).stdout);
const status = spawnSync(gbgreg, ['gpu', 'status', '--engine', engine], { env: environment(), encoding: 'utf8' }).stdout.split('\n').filter((line) => line.startsWith('  ')).map((line) => line.trim());

const results = [], failures = [], swaps = [];
for (const device of devices) {
  for (const model of models) {
    say(`${model.name} on ${device}`);
    try {
      const result = await measure(model, device);
      say(`  ${proofOf(result.role)}; ready after ${ms(result.readyMs)} ms; ${rate(result.short.perSecond)} tokens/s`);
      results.push(result);
    } catch (error) {
      say(`  not measured: ${error.message}`);
      failures.push({ model, device, error });
    }
  }
}
if (devices.includes('gpu')) {
  for (let i = 1; i < models.length; ++i) {
    say(`from ${models[i - 1].name} to ${models[i].name}`);
    try {
      swaps.push(await measureSwap(models[i - 1], models[i], 'gpu'));
    } catch (error) {
      failures.push({ model: models[i], device: `gpu after ${models[i - 1].name}`, error });
    }
  }
}
fs.mkdirSync(path.dirname(out), { recursive: true });
fs.writeFileSync(out, report({ proof, machine: machineLines(diagnosed, status), results, failures, swaps }));
say(`the report is in ${out}`);
process.exit(failures.length > 0 ? 1 : 0);

// Records what the engine says of its memory for models in the exact shapes of well-known ones, for the test that holds our
// predictions against it (src/fleet/memory_need_test.cc).
//
//   node tools/record_memory_reports.mjs --engine …/llama-server --out DIR [--only NAME]
//
// The files are as large as the models and nearly all hole: their weights are zeros that were never written, and nothing is
// computed with them. Needs memory for the largest, twice (13 GiB). Writes DIR/NAME.header, the file's beginning without
// tokenizer and weights, and DIR/reports.txt, one load a line.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({ options: { engine: { type: 'string' }, out: { type: 'string' }, only: { type: 'string' } } });

// ---- Shapes. A type is [GGUF's number, values a block, bytes a block].

const kF32 = [0, 1, 4], kF16 = [1, 1, 2], kQ4_0 = [2, 32, 18], kQ8_0 = [8, 32, 34], kQ4_K = [12, 256, 144], kQ6_K = [14, 256, 210];

function llamaTensors({ layers, embd, heads, kv, ff, vocab, head = embd / heads, type, better = type, embed = type, output, bias = false, gemma = false }) {
  const tensors = [['token_embd.weight', [embd, vocab], embed], ['output_norm.weight', [embd], kF32]];
  if (output) tensors.push(['output.weight', [embd, vocab], output]);
  for (let layer = 0; layer < layers; ++layer) {
    // "M" mixes give half of the layers more bits for these two.
    const best = layer < layers / 8 || layer >= 7 * layers / 8 || layer % 3 === 2 ? better : type;
    const name = (part) => `blk.${layer}.${part}.weight`;
    tensors.push(
      [name('attn_norm'), [embd], kF32], [name('attn_q'), [embd, heads * head], type], [name('attn_k'), [embd, kv * head], type],
      [name('attn_v'), [embd, kv * head], best], [name('attn_output'), [heads * head, embd], type], [name('ffn_norm'), [embd], kF32],
      [name('ffn_gate'), [embd, ff], type], [name('ffn_up'), [embd, ff], type], [name('ffn_down'), [ff, embd], best]);
    if (bias) for (const [part, size] of [['attn_q', heads * head], ['attn_k', kv * head], ['attn_v', kv * head]]) tensors.push([`blk.${layer}.${part}.bias`, [size], kF32]);
    if (gemma) tensors.push([name('attn_q_norm'), [head], kF32], [name('attn_k_norm'), [head], kF32], [name('post_attention_norm'), [embd], kF32], [name('post_ffw_norm'), [embd], kF32]);
  }
  return tensors;
}

function bertTensors({ layers, embd, ff, vocab, positions, type }) {
  const norm = (name) => [[`${name}.weight`, [embd], kF32], [`${name}.bias`, [embd], kF32]];
  const tensors = [['token_embd.weight', [embd, vocab], type], ['token_types.weight', [embd, 2], kF32], ['position_embd.weight', [embd, positions], type], ...norm('token_embd_norm')];
  for (let layer = 0; layer < layers; ++layer) {
    const dense = (part, from, to) => [[`blk.${layer}.${part}.weight`, [from, to], type], [`blk.${layer}.${part}.bias`, [to], kF32]];
    tensors.push(...dense('attn_q', embd, embd), ...dense('attn_k', embd, embd), ...dense('attn_v', embd, embd), ...dense('attn_output', embd, embd),
      ...norm(`blk.${layer}.attn_output_norm`), ...dense('ffn_up', embd, ff), ...dense('ffn_down', ff, embd), ...norm(`blk.${layer}.layer_output_norm`));
  }
  return tensors;
}

function clipTensors({ layers, embd, ff, patch, image, projected, type }) {
  const tensors = [['v.class_embd', [embd], kF32], ['v.patch_embd.weight', [patch, patch, 3, embd], kF16], ['v.position_embd.weight', [embd, (image / patch) ** 2 + 1], kF16],
    ['v.pre_ln.weight', [embd], kF32], ['v.pre_ln.bias', [embd], kF32], ['mm.0.weight', [embd, projected], type], ['mm.0.bias', [projected], kF32], ['mm.2.weight', [projected, projected], type], ['mm.2.bias', [projected], kF32]];
  for (let layer = 0; layer < layers; ++layer) {
    const dense = (part, from, to) => [[`v.blk.${layer}.${part}.weight`, [from, to], type], [`v.blk.${layer}.${part}.bias`, [to], kF32]];
    const norm = (part) => [[`v.blk.${layer}.${part}.weight`, [embd], kF32], [`v.blk.${layer}.${part}.bias`, [embd], kF32]];
    tensors.push(...dense('attn_q', embd, embd), ...dense('attn_k', embd, embd), ...dense('attn_v', embd, embd), ...dense('attn_out', embd, embd), ...dense('ffn_down', embd, ff), ...dense('ffn_up', ff, embd), ...norm('ln1'), ...norm('ln2'));
  }
  return tensors;
}

const kLlama = (shape) => ({
  metadata: { 'general.architecture': 'llama', 'llama.context_length': 131072, 'llama.embedding_length': shape.embd, 'llama.block_count': shape.layers, 'llama.feed_forward_length': shape.ff,
    'llama.attention.head_count': shape.heads, 'llama.attention.head_count_kv': shape.kv, 'llama.attention.layer_norm_rms_epsilon': [1e-5], 'llama.rope.dimension_count': shape.embd / shape.heads, 'llama.vocab_size': shape.vocab },
  tensors: llamaTensors(shape), vocab: shape.vocab, quantizes: shape.embd / shape.heads % 32 === 0,
});
const kShapes = {
  'llama-3.2-1b': kLlama({ layers: 16, embd: 2048, heads: 32, kv: 8, ff: 8192, vocab: 128256, type: kQ8_0 }),
  'llama-3.2-3b': kLlama({ layers: 28, embd: 3072, heads: 24, kv: 8, ff: 8192, vocab: 128256, type: kQ4_K, better: kQ6_K, embed: kQ6_K }),
  'deepseek-coder-6.7b': kLlama({ layers: 32, embd: 4096, heads: 32, kv: 32, ff: 11008, vocab: 32256, type: kQ4_0, output: kQ6_K }),
  'llama-3.1-8b': kLlama({ layers: 32, embd: 4096, heads: 32, kv: 8, ff: 14336, vocab: 128256, type: kQ4_K, better: kQ6_K, output: kQ6_K }),
  'qwen2.5-coder-7b': (() => {
    const shape = { layers: 28, embd: 3584, heads: 28, kv: 4, ff: 18944, vocab: 152064, type: kQ4_K, better: kQ6_K, output: kQ6_K, bias: true };
    return { metadata: { 'general.architecture': 'qwen2', 'qwen2.context_length': 32768, 'qwen2.embedding_length': shape.embd, 'qwen2.block_count': shape.layers, 'qwen2.feed_forward_length': shape.ff,
      'qwen2.attention.head_count': shape.heads, 'qwen2.attention.head_count_kv': shape.kv, 'qwen2.attention.layer_norm_rms_epsilon': [1e-6], 'qwen2.rope.freq_base': [1e6] }, tensors: llamaTensors(shape), vocab: shape.vocab, quantizes: true };
  })(),
  'gemma-3-4b': (() => {
    const shape = { layers: 34, embd: 2560, heads: 8, kv: 4, head: 256, ff: 10240, vocab: 262208, type: kQ4_0, embed: kQ6_K, gemma: true };
    return { metadata: { 'general.architecture': 'gemma3', 'gemma3.context_length': 131072, 'gemma3.embedding_length': shape.embd, 'gemma3.block_count': shape.layers, 'gemma3.feed_forward_length': shape.ff,
      'gemma3.attention.head_count': shape.heads, 'gemma3.attention.head_count_kv': shape.kv, 'gemma3.attention.layer_norm_rms_epsilon': [1e-6], 'gemma3.attention.key_length': 256, 'gemma3.attention.value_length': 256,
      'gemma3.attention.sliding_window': 1024, 'gemma3.rope.freq_base': [1e6] }, tensors: llamaTensors(shape), vocab: shape.vocab, quantizes: true };
  })(),
  'tiny': kLlama({ layers: 2, embd: 64, heads: 4, kv: 2, ff: 128, vocab: 32000, type: kQ8_0, output: kQ8_0 }),
  'bge-small': {
    metadata: { 'general.architecture': 'bert', 'bert.context_length': 512, 'bert.embedding_length': 384, 'bert.block_count': 12, 'bert.feed_forward_length': 1536, 'bert.attention.head_count': 12,
      'bert.attention.layer_norm_epsilon': [1e-12], 'bert.attention.causal': false, 'bert.pooling_type': 2 },
    tensors: bertTensors({ layers: 12, embd: 384, ff: 1536, vocab: 30522, positions: 512, type: kF16 }), vocab: 30522, embeds: true,
  },
  'bert-large-8k': {
    metadata: { 'general.architecture': 'bert', 'bert.context_length': 8192, 'bert.embedding_length': 1024, 'bert.block_count': 24, 'bert.feed_forward_length': 4096, 'bert.attention.head_count': 16,
      'bert.attention.layer_norm_epsilon': [1e-12], 'bert.attention.causal': false, 'bert.pooling_type': 2 },
    tensors: bertTensors({ layers: 24, embd: 1024, ff: 4096, vocab: 250002, positions: 8192, type: kF16 }), vocab: 250002, embeds: true,
  },
  'llava-7b': { ...kLlama({ layers: 32, embd: 4096, heads: 32, kv: 32, ff: 11008, vocab: 32064, type: kQ4_0, output: kQ6_K }), projector: 'clip-vit-large-336' },
};
const kProjectors = {
  'clip-vit-large-336': {
    metadata: { 'general.architecture': 'clip', 'clip.has_vision_encoder': true, 'clip.projector_type': 'mlp', 'clip.use_gelu': false, 'clip.vision.image_size': 336, 'clip.vision.patch_size': 14, 'clip.vision.embedding_length': 1024,
      'clip.vision.feed_forward_length': 4096, 'clip.vision.projection_dim': 768, 'clip.vision.block_count': 23, 'clip.vision.attention.head_count': 16, 'clip.vision.attention.layer_norm_epsilon': [1e-5],
      'clip.vision.image_mean': [0.48, 0.45, 0.4], 'clip.vision.image_std': [0.26, 0.26, 0.27] },
    tensors: clipTensors({ layers: 23, embd: 1024, ff: 4096, patch: 14, image: 336, projected: 4096, type: kF16 }),
  },
};

// ---- Writing GGUF.

const u32 = (value) => { const b = Buffer.alloc(4); b.writeUInt32LE(value); return b; };
const u64 = (value) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(value)); return b; };
const f32 = (value) => { const b = Buffer.alloc(4); b.writeFloatLE(value); return b; };
const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const aligned = (bytes) => Math.ceil(bytes / 32) * 32;
const bytesOf = (dims, [, values, bytes]) => dims.reduce((product, dim) => product * dim, 1) / values * bytes;

function entry(key, value) {
  const of = (type, bytes) => Buffer.concat([text(key), u32(type), bytes]);
  if (typeof value === 'string') return of(8, text(value));
  if (typeof value === 'boolean') return of(7, Buffer.from([value ? 1 : 0]));
  if (typeof value === 'number') return of(4, u32(value));
  if (value.length === 1) return of(6, f32(value[0]));
  return of(9, Buffer.concat([u32(6), u64(value.length), ...value.map(f32)]));
}

// A vocabulary of that many words that mean nothing, in the simplest kind that the engine takes.
function tokenizerEntries(vocab, isBert) {
  if (isBert) {
    const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
    const tokens = Array.from({ length: vocab }, (_, i) => text(words[i] ?? `\u2581w${i}`));
    const ids = { 'tokenizer.ggml.unknown_token_id': 1, 'tokenizer.ggml.bos_token_id': 2, 'tokenizer.ggml.eos_token_id': 3, 'tokenizer.ggml.seperator_token_id': 3, 'tokenizer.ggml.padding_token_id': 0, 'tokenizer.ggml.token_type_count': 2 };
    return [entry('tokenizer.ggml.model', 'bert'), Buffer.concat([text('tokenizer.ggml.tokens'), u32(9), u32(8), u64(vocab), ...tokens]), ...Object.entries(ids).map(([key, id]) => entry(key, id))];
  }
  const tokens = [], types = [];
  for (let i = 0; i < vocab; ++i) {
    const isByte = i >= 3 && i < 259;
    tokens.push(text(i === 0 ? '<unk>' : i === 1 ? '<s>' : i === 2 ? '</s>' : isByte ? `<0x${(i - 3).toString(16).toUpperCase().padStart(2, '0')}>` : `w${i}`));
    types.push(u32(i === 0 ? 2 : i < 3 ? 3 : isByte ? 6 : 1));
  }
  return [entry('tokenizer.ggml.model', 'llama'), Buffer.concat([text('tokenizer.ggml.tokens'), u32(9), u32(8), u64(vocab), ...tokens]),
    Buffer.concat([text('tokenizer.ggml.scores'), u32(9), u32(6), u64(vocab), ...tokens.map(() => f32(0))]), Buffer.concat([text('tokenizer.ggml.token_type'), u32(9), u32(5), u64(vocab), ...types]),
    entry('tokenizer.ggml.bos_token_id', 1), entry('tokenizer.ggml.eos_token_id', 2), entry('tokenizer.ggml.unknown_token_id', 0)];
}

function header({ metadata, tensors }, extra) {
  const entries = [...Object.entries(metadata).map(([key, value]) => entry(key, value)), ...extra];
  let offset = 0;
  const infos = tensors.map(([name, dims, type]) => {
    const info = Buffer.concat([text(name), u32(dims.length), ...dims.map(u64), u32(type[0]), u64(offset)]);
    offset = aligned(offset + bytesOf(dims, type));
    return info;
  });
  const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(entries.length), ...entries, ...infos]);
  return { head, bytes: aligned(head.length) + offset };
}

function writeModel(file, shape, extra) {
  const { head, bytes } = header(shape, extra);
  fs.writeFileSync(file, head);
  fs.truncateSync(file, bytes);
}

// ---- Asking the engine.

// `batch` tokens go through the layers at once; `handed` of them are given to the engine's core together.
async function report(files, { context, slots, batch, handed = batch, cache, embeds }) {
  const socket = path.join(os.tmpdir(), `memory-${process.pid}.sock`);
  const args = ['-m', files.model, '--host', socket, '-c', context * slots, '-np', slots, '-t', 1, '-b', handed, '-ub', batch, '-ctk', cache, '-ctv', cache, '-fit', 'off',
    '-cram', 0, '-lv', 4, '--log-jsonl', '--no-ui', '--offline', '--no-warmup', ...(files.projector ? ['--mmproj', files.projector] : []), ...(embeds ? ['--embeddings', '--pooling', 'cls'] : [])];
  const child = spawn(options.engine, args.map(String), { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = [], all = [];
  let isLoaded = false;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = line.startsWith('{') ? String(JSON.parse(line).msg ?? '') : line;
    all.push(said);
    if (/buffer size\s*=/.test(said)) lines.push(said.trim().replace(/\s+/g, ' '));
    const projector = /^load_hparams: model size:\s*([\d.]+) MiB/.exec(said);
    if (projector) lines.push(`load_hparams: projector buffer size = ${projector[1]} MiB`);
    if ((isLoaded = said.includes('llama_server: model loaded'))) break;
  }
  child.kill('SIGKILL');
  fs.rmSync(socket, { force: true });
  if (!isLoaded) throw new Error(`no report:\n${all.slice(-15).join('')}`);
  return lines;
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gbgreg-memory-'));
fs.mkdirSync(options.out, { recursive: true });
const reports = [];
try {
  for (const [name, shape] of Object.entries(kProjectors)) fs.writeFileSync(path.join(options.out, `${name}.header`), header(shape, []).head);
  for (const [name, shape] of Object.entries(kShapes)) {
    if (options.only && options.only !== name) continue;
    fs.writeFileSync(path.join(options.out, `${name}.header`), header(shape, []).head);
    const files = { model: path.join(folder, `${name}.gguf`) };
    writeModel(files.model, shape, tokenizerEntries(shape.vocab, shape.embeds));
    if (shape.projector) writeModel(files.projector = path.join(folder, 'projector.gguf'), kProjectors[shape.projector], []);
    const trained = Object.entries(shape.metadata).find(([key]) => key.endsWith('.context_length'))[1];
    for (const context of [512, 2048, 8192, 32768]) {
      if (context > trained || (context === 512 && !shape.embeds)) continue;
      for (const cache of shape.quantizes ? ['f16', 'q8_0'] : ['f16']) {
        for (const [slots, batch, handed] of shape.embeds ? [[1, context], [4, context]] : files.projector ? [[1, 512], [1, 512, 2048]] : context === 8192 ? [[1, 64], [4, 64], [1, 512], [4, 512, 2048]] : [[1, 64]]) {
          if (context * slots > 65536) continue;
          const plan = { context, slots, batch, handed, cache, embeds: shape.embeds };
          const lines = await report(files, plan);
          const line = [name, shape.projector ?? '-', context, slots, handed === undefined ? batch : `${handed}/${batch}`, cache, ...lines].join('\t');
          console.log(line);
          reports.push(line);
        }
      }
    }
    fs.rmSync(files.model);
  }
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
fs.writeFileSync(path.join(options.out, 'reports.txt'), `${reports.join('\n')}\n`);

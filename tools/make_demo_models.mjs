// Writes the demo models: tiny GGUF files with random weights, so that the gateway and its tests can run the real engine
// without downloading anything. They answer in random English words and know nothing; the one for embeddings makes texts
// alike that share words.
//
//   node make_demo_models.mjs --vocab-dir DIR --out DIR
//
// DIR of the vocabulary holds llama.cpp's ggml-vocab-llama-spm.gguf, whose tokenizer is copied as it is. The weights come from
// a seeded generator and plain arithmetic only (no Math.log or Math.cos, whose last bit may differ between versions of
// Node.js), so the files are byte for byte the same everywhere.
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import {
  halfBits, kTensorF32, kTensorQ8_0, metaBool, metaFloat, metaFloats, metaString, metaUint, padding, readTokenizer, string, u32, u64,
} from './gguf.mjs';

// ---------------------------------------------------------------------------------------------------------- writing files

// A file appears under its name only when it is whole, because others may be loading it at this moment.
function writeGguf(path, metadata, tensors) {
  const head = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length), ...metadata], body = [];
  let offset = 0;
  for (const { name, dims, type, data } of tensors) {
    head.push(string(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset));
    body.push(data, padding(data.length));
    offset += data.length + padding(data.length).length;
  }
  const start = Buffer.concat(head), whole = Buffer.concat([start, padding(start.length), ...body]);
  const unfinished = `${path}.${process.pid}.part`;
  try {
    writeFileSync(unfinished, whole);
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
  console.log(`${path} (${(whole.length / 1e6).toFixed(1)} MB)`);
}

// ------------------------------------------------------------------------------------------------------- random tensors

// Numbers with mean 0 and variance 1, nearly normal: the sum of four uniform ones. The uniform ones are mulberry32's.
function makeRandom(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3);
}

// `dims` are in GGUF's order: the first is the length of a row. `edit` may change the values before they are packed.
function randomValues(random, dims, scale, edit) {
  const values = new Float32Array(dims.reduce((product, dim) => product * dim, 1));
  for (let i = 0; i < values.length; ++i) values[i] = random() * scale;
  edit?.(values);
  return values;
}

const tensorF32 = (name, dims, values) => ({ name, dims, type: kTensorF32, data: Buffer.from(values.buffer) });
const constants = (name, length, value) => tensorF32(name, [length], new Float32Array(length).fill(value));

// Packs rows into ggml's Q8_0: blocks of 32 values, each a half-precision scale and 32 signed bytes.
function tensorQ8(name, dims, values) {
  const blocks = values.length / 32, data = Buffer.alloc(blocks * 34);
  for (let block = 0; block < blocks; ++block) {
    const part = values.subarray(block * 32, block * 32 + 32);
    const scale = part.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) / 127;
    data.writeUInt16LE(halfBits(scale), block * 34);
    if (scale > 0) part.forEach((value, i) => data.writeInt8(Math.round(value / scale), block * 34 + 2 + i));
  }
  return { name, dims, type: kTensorQ8_0, data };
}

// ------------------------------------------------------------------------------------------------------------ the models

const kWidth = 64, kHeads = 4, kKvHeads = 2, kForward = 128, kLayers = 2, kContext = 32768;
const kHeadWidth = kWidth / kHeads, kKvWidth = kHeadWidth * kKvHeads;

// The first component of every embedding is this constant, and no layer writes to it. The output layer can therefore use it
// as a bias per token, which the llama architecture does not have: random weights then speak in words instead of in bytes.
const kConstant = 4;
const kBias = { word: 0, mark: 1.7, end: 3.2, never: -10 };
const kWordIdMax = 6000;  // This vocabulary is sorted by frequency; rarer words are mostly not English.

const kOwnTokenizerKeys = new Set(['tokenizer.chat_template', 'tokenizer.ggml.add_space_prefix']);
const kChatTemplate =
  "{% for message in messages %}{{ '### ' + message['role'] + '\\n' + message['content'] + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '### assistant\\n' }}{% endif %}";

function biasOf(token, id) {
  if (token === '</s>') return kBias.end;
  if (token === '.' || token === ',') return kBias.mark;
  return id < kWordIdMax && /^▁[a-z]{3,}$/.test(token) ? kBias.word : kBias.never;
}

// Row 0 of a matrix that adds to the residual stream is zeroed, which keeps the constant constant.
const clearFirstRow = (row) => (values) => values.fill(0, 0, row);

function writeTextModel(path, role, seed, { entries, tokens }) {
  const random = makeRandom(seed);
  const matrix = (name, row, rows, gain, edit) =>
    tensorQ8(name, [row, rows], randomValues(random, [row, rows], gain / Math.sqrt(row), edit));
  const embeddings = (values) => { for (let i = 0; i < values.length; i += kWidth) values[i] = kConstant; };
  const biases = (values) => tokens.forEach((token, id) => { values[id * kWidth] = biasOf(token, id); });

  const tensors = [
    tensorQ8('token_embd.weight', [kWidth, tokens.length], randomValues(random, [kWidth, tokens.length], 1, embeddings)),
    constants('output_norm.weight', kWidth, 1),
    tensorQ8('output.weight', [kWidth, tokens.length], randomValues(random, [kWidth, tokens.length], 0.4, biases)),
  ];
  for (let layer = 0; layer < kLayers; ++layer) {
    const name = (part) => `blk.${layer}.${part}.weight`;
    tensors.push(
      constants(name('attn_norm'), kWidth, 1),
      matrix(name('attn_q'), kWidth, kWidth, 2),
      matrix(name('attn_k'), kWidth, kKvWidth, 2),
      matrix(name('attn_v'), kWidth, kKvWidth, 1.5),
      matrix(name('attn_output'), kWidth, kWidth, 1.5, clearFirstRow(kWidth)),
      constants(name('ffn_norm'), kWidth, 1),
      matrix(name('ffn_gate'), kWidth, kForward, 1),
      matrix(name('ffn_up'), kWidth, kForward, 1),
      matrix(name('ffn_down'), kForward, kWidth, 1, clearFirstRow(kForward)));
  }
  writeGguf(path, [
    metaString('general.architecture', 'llama'),
    metaString('general.name', `gbgreg demo ${role} (random weights)`),
    metaUint('general.file_type', 7),
    metaUint('llama.block_count', kLayers),
    metaUint('llama.context_length', kContext),
    metaUint('llama.embedding_length', kWidth),
    metaUint('llama.feed_forward_length', kForward),
    metaUint('llama.attention.head_count', kHeads),
    metaUint('llama.attention.head_count_kv', kKvHeads),
    metaFloat('llama.attention.layer_norm_rms_epsilon', 1e-5),
    metaUint('llama.rope.dimension_count', kHeadWidth),
    metaUint('llama.vocab_size', tokens.length),
    ...entries,
    metaString('tokenizer.chat_template', kChatTemplate),
    // With the blank that this kind of tokenizer puts before a text, the engine's grammar for JSON answers refuses the
    // prompt's own last line, and every request for JSON fails.
    metaBool('tokenizer.ggml.add_space_prefix', false),
  ], tensors);
}

// The picture's side: a two-layer image encoder with LLaVA's projector into the text model's width. An image becomes 16
// tokens. The encoder's feed-forward width differs from its width on purpose: the loader takes equal ones for an old
// format and swaps the two matrices.
function writeVisionEncoder(path, seed) {
  const width = 32, heads = 2, forward = 96, layers = 2, image = 56, patch = 14, patches = (image / patch) ** 2;
  const random = makeRandom(seed);
  const weight = (name, dims, scale, edit) => tensorF32(name, dims, randomValues(random, dims, scale, edit));
  const linear = (name, row, rows) =>
    [weight(`${name}.weight`, [row, rows], 1 / Math.sqrt(row)), constants(`${name}.bias`, rows, 0)];
  const norm = (name) => [constants(`${name}.weight`, width, 1), constants(`${name}.bias`, width, 0)];

  const tensors = [
    weight('v.class_embd', [width], 1),
    weight('v.patch_embd.weight', [patch, patch, 3, width], 1 / patch),
    weight('v.position_embd.weight', [width, patches + 1], 0.5),
    ...norm('v.pre_ln'),
  ];
  for (let layer = 0; layer < layers; ++layer) {
    const name = (part) => `v.blk.${layer}.${part}`;
    tensors.push(
      ...norm(name('ln1')), ...linear(name('attn_q'), width, width), ...linear(name('attn_k'), width, width),
      ...linear(name('attn_v'), width, width), ...linear(name('attn_out'), width, width),
      ...norm(name('ln2')), ...linear(name('ffn_up'), width, forward), ...linear(name('ffn_down'), forward, width));
  }
  const constantFirst = constants('mm.2.bias', kWidth, 0);
  constantFirst.data.writeFloatLE(kConstant, 0);
  tensors.push(
    weight('mm.0.weight', [width, kWidth], 1.5 / Math.sqrt(width)), constants('mm.0.bias', kWidth, 0),
    weight('mm.2.weight', [kWidth, kWidth], 1.5 / Math.sqrt(kWidth), clearFirstRow(kWidth)), constantFirst);

  writeGguf(path, [
    metaString('general.architecture', 'clip'),
    metaString('general.name', 'gbgreg demo vision encoder (random weights)'),
    metaUint('general.file_type', 0),
    metaBool('clip.has_vision_encoder', true),
    metaString('clip.projector_type', 'mlp'),
    metaBool('clip.use_gelu', false),
    metaUint('clip.vision.image_size', image),
    metaUint('clip.vision.patch_size', patch),
    metaUint('clip.vision.embedding_length', width),
    metaUint('clip.vision.feed_forward_length', forward),
    metaUint('clip.vision.block_count', layers),
    metaUint('clip.vision.attention.head_count', heads),
    metaUint('clip.vision.projection_dim', kWidth),
    metaFloat('clip.vision.attention.layer_norm_epsilon', 1e-5),
    metaFloats('clip.vision.image_mean', [0.48, 0.46, 0.41]),
    metaFloats('clip.vision.image_std', [0.27, 0.26, 0.28]),
  ], tensors);
}

// Texts to vectors: an encoder in BERT's form that says how it is pooled, as real ones do. Tokens weigh much more in it than
// their places and what the layers add, so the mean over a text is nearly the mean of its tokens' random vectors.
function writeEmbeddingModel(path, seed, { entries, tokens }) {
  const context = 512, meanPooling = 1;
  const random = makeRandom(seed);
  const matrix = (name, row, rows, gain) =>
    tensorQ8(`${name}.weight`, [row, rows], randomValues(random, [row, rows], gain / Math.sqrt(row)));
  const norm = (name) => [constants(`${name}.weight`, kWidth, 1), constants(`${name}.bias`, kWidth, 0)];

  const tensors = [
    tensorQ8('token_embd.weight', [kWidth, tokens.length], randomValues(random, [kWidth, tokens.length], 1)),
    tensorF32('position_embd.weight', [kWidth, context], randomValues(random, [kWidth, context], 0.1)),
    ...norm('token_embd_norm'),
  ];
  for (let layer = 0; layer < kLayers; ++layer) {
    const name = (part) => `blk.${layer}.${part}`;
    tensors.push(
      matrix(name('attn_q'), kWidth, kWidth, 1), matrix(name('attn_k'), kWidth, kWidth, 1),
      matrix(name('attn_v'), kWidth, kWidth, 0.5), matrix(name('attn_output'), kWidth, kWidth, 0.5),
      ...norm(name('attn_output_norm')),
      matrix(name('ffn_up'), kWidth, kForward, 0.5), matrix(name('ffn_down'), kForward, kWidth, 0.5),
      ...norm(name('layer_output_norm')));
  }
  writeGguf(path, [
    metaString('general.architecture', 'bert'),
    metaString('general.name', 'gbgreg demo embedding (random weights)'),
    metaUint('general.file_type', 7),
    metaUint('bert.block_count', kLayers),
    metaUint('bert.context_length', context),
    metaUint('bert.embedding_length', kWidth),
    metaUint('bert.feed_forward_length', kForward),
    metaUint('bert.attention.head_count', kHeads),
    metaFloat('bert.attention.layer_norm_epsilon', 1e-12),
    metaBool('bert.attention.causal', false),
    metaUint('bert.pooling_type', meanPooling),
    metaUint('tokenizer.ggml.token_type_count', 1),
    ...entries,
    metaBool('tokenizer.ggml.add_space_prefix', true),
  ], tensors);
}

const { values: options } = parseArgs({ options: { 'vocab-dir': { type: 'string' }, out: { type: 'string' } } });
if (!options['vocab-dir'] || !options.out) {
  console.error('Usage: node make_demo_models.mjs --vocab-dir DIR --out DIR');
  process.exit(2);
}
const read = readTokenizer(join(options['vocab-dir'], 'ggml-vocab-llama-spm.gguf'));
const tokenizer = { entries: read.entries.filter(({ key }) => !kOwnTokenizerKeys.has(key)).map(({ bytes }) => bytes), tokens: read.tokens };
mkdirSync(options.out, { recursive: true });
['coordinator', 'technical', 'documentation', 'vision'].forEach((role, index) =>
  writeTextModel(join(options.out, `demo-${role}.gguf`), role, 1000 + index, tokenizer));
writeVisionEncoder(join(options.out, 'demo-vision-mmproj.gguf'), 2000);
writeEmbeddingModel(join(options.out, 'demo-embedding.gguf'), 3000, tokenizer);

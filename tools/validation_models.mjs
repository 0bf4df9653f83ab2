// Writes models of full size with random weights: the exact shapes and quantisations of the four that the product is about, for
// measuring where they run and how fast. They answer nonsense.
//
//   node validation_models.mjs --vocab-dir DIR --out DIR [--small] [--only NAME]
//
// --small writes the same kinds with few and narrow layers. Tensors are written piece by piece, so that 5 GB need some MB of
// memory; a file that is there with the right size is left as it is.
import { closeSync, existsSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import {
  halfBits, kTensorF16, kTensorF32, kTensorQ4_0, kTensorQ4_K, kTensorQ6_K, kTensorQ8_0, metaBool, metaFloat, metaFloats, metaInts,
  metaString, metaStrings, metaUint, padding, readTokenizer, string, u32, u64,
} from './gguf.mjs';

// The four roles' models, and the little sister that documentation has, too. `forward` is the feed-forward width.
export const kShapes = {
  'llama3.2-3b': { role: 'coordinator', layers: 28, width: 3072, heads: 24, kvHeads: 8, forward: 8192, vocabulary: 128256, tied: true, mix: 'Q4_K_M' },
  'deepseek-coder-6.7b': { role: 'technical', layers: 32, width: 4096, heads: 32, kvHeads: 32, forward: 11008, vocabulary: 32256, tied: false, mix: 'Q4_0' },
  'llama3.1-8b': { role: 'documentation', layers: 32, width: 4096, heads: 32, kvHeads: 8, forward: 14336, vocabulary: 128256, tied: false, mix: 'Q4_K_M' },
  'llama3.2-1b': { role: 'documentation', layers: 16, width: 2048, heads: 32, kvHeads: 8, forward: 8192, vocabulary: 128256, tied: true, mix: 'Q8_0' },
  'llava-7b': { role: 'vision', layers: 32, width: 4096, heads: 32, kvHeads: 8, forward: 14336, vocabulary: 32064, tied: false, mix: 'Q4_0', sees: true },
};
const kEncoder = { layers: 23, width: 1024, heads: 16, forward: 4096, image: 336, patch: 14 };
const kSmall = { layers: 4, width: 256, heads: 4, forward: 512, vocabulary: 32256 };
const kSmallEncoder = { layers: 2, width: 64, heads: 2, forward: 160, image: 56, patch: 14 };

export const shapeOf = (name, small) => {
  const shape = kShapes[name];
  return small ? { ...shape, ...kSmall, kvHeads: shape.kvHeads === shape.heads ? kSmall.heads : 2 } : shape;
};
const encoderOf = (small) => (small ? kSmallEncoder : kEncoder);

// ------------------------------------------------------------------------------------------------------------ the weights

// What ggml calls a type, how its blocks look, and how large the fixed parts make the values: with random bits in the rest, a
// block's values have the standard deviation `scale`.
const kBlocks = {
  [kTensorF16]: { values: 1, bytes: 2, fill: (b, at, scale) => b.writeUInt16LE(halfBits(scale) | (b[at] & 1) << 15, at) },
  [kTensorQ4_0]: { values: 32, bytes: 18, fill: (b, at, scale) => b.writeUInt16LE(halfBits(scale / 4.6), at) },
  [kTensorQ8_0]: { values: 32, bytes: 34, fill: (b, at, scale) => b.writeUInt16LE(halfBits(scale / 74), at) },
  // Every part of a block gets the scale and the minimum 16, which in the packed form are these bytes.
  [kTensorQ4_K]: { values: 256, bytes: 144, fill: (b, at, scale) => {
    const d = scale / (16 * 4.6);
    b.writeUInt16LE(halfBits(d), at);
    b.writeUInt16LE(halfBits(d * 7.5), at + 2);
    b.fill(0x50, at + 4, at + 12).fill(0, at + 12, at + 16);
  } },
  [kTensorQ6_K]: { values: 256, bytes: 210, fill: (b, at, scale) => {
    b.fill(4, at + 192, at + 208);
    b.writeUInt16LE(halfBits(scale / (4 * 18.5)), at + 208);
  } },
};
const kPieceBlocks = 32771;  // A prime number, so that rows do not repeat in step with the piece.

const pieces = new Map();
// Some MB of blocks that are valid and random. Made once for each type and scale.
function pieceOf(type, scale) {
  const key = `${type} ${scale}`;
  if (!pieces.has(key)) {
    const { bytes, fill } = kBlocks[type];
    const piece = Buffer.alloc(kPieceBlocks * bytes);
    let state = 12345;
    for (let i = 0; i < piece.length; ++i) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      piece[i] = state >>> 24;
    }
    for (let i = 0; i < kPieceBlocks; ++i) fill(piece, i * bytes, scale);
    pieces.clear();  // One at a time is enough.
    pieces.set(key, piece);
  }
  return pieces.get(key);
}

// `dims` are in GGUF's order: the first is the length of a row.
function random(name, type, dims, gain = 1) {
  const { values, bytes } = kBlocks[type];
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (dims[0] % values !== 0) throw new Error(`${name}: rows of ${dims[0]} do not fit blocks of ${values}`);
  return { name, dims, type, bytes: count / values * bytes, piece: () => pieceOf(type, gain / Math.sqrt(dims[0])) };
}
function constant(name, length, value) {
  const data = Buffer.from(new Float32Array(length).fill(value).buffer);
  return { name, dims: [length], type: kTensorF32, bytes: data.length, piece: () => data };
}

function writeGguf(path, metadata, tensors) {
  const head = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length), ...metadata];
  let offset = 0;
  for (const { name, dims, type, bytes } of tensors) {
    head.push(string(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset));
    offset += bytes + padding(bytes).length;
  }
  let start = Buffer.concat(head);
  start = Buffer.concat([start, padding(start.length)]);
  const whole = start.length + offset;
  if (existsSync(path) && statSync(path).size === whole) return whole;
  const file = openSync(`${path}.part`, 'w');
  try {
    writeSync(file, start);
    for (const { bytes, piece } of tensors) {
      const data = piece();
      for (let left = bytes; left > 0;) left -= writeSync(file, data, 0, Math.min(left, data.length));
      writeSync(file, padding(bytes));
    }
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.part`, path);
  return whole;
}

// ------------------------------------------------------------------------------------------------------------- the models

const kFileType = { Q4_0: 2, Q8_0: 7, Q4_K_M: 15 };

// Which type a tensor has in a mix, as llama.cpp's own quantisation chooses.
function typesOf({ mix, layers, tied }) {
  if (mix === 'Q8_0') return { embedding: kTensorQ8_0, output: kTensorQ8_0, of: () => kTensorQ8_0 };
  if (mix === 'Q4_0') return { embedding: tied ? kTensorQ6_K : kTensorQ4_0, output: kTensorQ6_K, of: () => kTensorQ4_0 };
  const eighth = Math.floor(layers / 8);
  const getsMore = (layer) => layer < eighth || layer >= Math.floor(7 * layers / 8) || (layer - eighth) % 3 === 2;
  const of = (part, layer) => ((part === 'attn_v' || part === 'ffn_down') && getsMore(layer) ? kTensorQ6_K : kTensorQ4_K);
  return { embedding: tied ? kTensorQ6_K : kTensorQ4_K, output: kTensorQ6_K, of };
}

// The tokenizer that the engine's source brings, with tokens added up to the shape's number.
function tokenizerOf({ entries, tokens }, size) {
  const kUnknown = 2, kControl = 3, kUnused = 5, kByte = 6, kNormal = 1;
  const kept = entries.filter(({ key }) => !/\.(tokens|scores|token_type|chat_template|add_space_prefix)$/.test(key));
  const all = Array.from({ length: size }, (_, id) => tokens[id] ?? `<x${id}>`);
  const typeOf = (text, id) => {
    if (id >= tokens.length) return kUnused;
    if (id === 0) return kUnknown;
    return id < 3 ? kControl : /^<0x[0-9A-F]{2}>$/.test(text) ? kByte : kNormal;
  };
  return [
    ...kept.map(({ bytes }) => bytes),
    metaStrings('tokenizer.ggml.tokens', all),
    metaFloats('tokenizer.ggml.scores', all.map((_, id) => -id)),
    metaInts('tokenizer.ggml.token_type', all.map(typeOf)),
    metaBool('tokenizer.ggml.add_space_prefix', false),
    metaString('tokenizer.chat_template', "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"),
  ];
}

function writeTextModel(path, name, shape, tokenizer) {
  const { layers, width, heads, kvHeads, forward, vocabulary, tied, mix } = shape;
  const types = typesOf(shape);
  const kvWidth = width / heads * kvHeads;
  const tensors = [random('token_embd.weight', types.embedding, [width, vocabulary], 1), constant('output_norm.weight', width, 1)];
  if (!tied) tensors.push(random('output.weight', types.output, [width, vocabulary], 1));
  for (let layer = 0; layer < layers; ++layer) {
    const matrix = (part, row, rows) => random(`blk.${layer}.${part}.weight`, types.of(part, layer), [row, rows], 1);
    tensors.push(
      constant(`blk.${layer}.attn_norm.weight`, width, 1), constant(`blk.${layer}.ffn_norm.weight`, width, 1),
      matrix('attn_q', width, width), matrix('attn_k', width, kvWidth), matrix('attn_v', width, kvWidth), matrix('attn_output', width, width),
      matrix('ffn_gate', width, forward), matrix('ffn_up', width, forward), matrix('ffn_down', forward, width));
  }
  return writeGguf(path, [
    metaString('general.architecture', 'llama'),
    metaString('general.name', `${name} (random weights)`),
    metaUint('general.file_type', kFileType[mix]),
    metaUint('llama.block_count', layers),
    metaUint('llama.context_length', 32768),
    metaUint('llama.embedding_length', width),
    metaUint('llama.feed_forward_length', forward),
    metaUint('llama.attention.head_count', heads),
    metaUint('llama.attention.head_count_kv', kvHeads),
    metaFloat('llama.attention.layer_norm_rms_epsilon', 1e-5),
    metaUint('llama.rope.dimension_count', width / heads),
    metaUint('llama.vocab_size', vocabulary),
    ...tokenizerOf(tokenizer, vocabulary),
  ], tensors);
}

// CLIP's ViT-L/14 with LLaVA's projector of two layers, in half precision.
function writeEncoder(path, { layers, width, heads, forward, image, patch }, textWidth) {
  const matrix = (name, dims) => random(name, kTensorF16, dims);
  const linear = (name, row, rows) => [matrix(`${name}.weight`, [row, rows]), constant(`${name}.bias`, rows, 0)];
  const norm = (name) => [constant(`${name}.weight`, width, 1), constant(`${name}.bias`, width, 0)];
  const tensors = [
    constant('v.class_embd', width, 0.1), matrix('v.patch_embd.weight', [patch, patch, 3, width]),
    matrix('v.position_embd.weight', [width, (image / patch) ** 2 + 1]), ...norm('v.pre_ln'),
  ];
  for (let layer = 0; layer < layers; ++layer) {
    const name = (part) => `v.blk.${layer}.${part}`;
    tensors.push(
      ...norm(name('ln1')), ...['attn_q', 'attn_k', 'attn_v', 'attn_out'].flatMap((part) => linear(name(part), width, width)),
      ...norm(name('ln2')), ...linear(name('ffn_up'), width, forward), ...linear(name('ffn_down'), forward, width));
  }
  tensors.push(...linear('mm.0', width, textWidth), ...linear('mm.2', textWidth, textWidth));
  return writeGguf(path, [
    metaString('general.architecture', 'clip'),
    metaString('general.name', 'a vision encoder (random weights)'),
    metaUint('general.file_type', 1),
    metaBool('clip.has_vision_encoder', true),
    metaString('clip.projector_type', 'mlp'),
    metaBool('clip.use_gelu', false),
    metaUint('clip.vision.image_size', image),
    metaUint('clip.vision.patch_size', patch),
    metaUint('clip.vision.embedding_length', width),
    metaUint('clip.vision.feed_forward_length', forward),
    metaUint('clip.vision.block_count', layers),
    metaUint('clip.vision.attention.head_count', heads),
    metaUint('clip.vision.projection_dim', textWidth),
    metaFloat('clip.vision.attention.layer_norm_epsilon', 1e-5),
    metaFloats('clip.vision.image_mean', [0.48, 0.46, 0.41]),
    metaFloats('clip.vision.image_std', [0.27, 0.26, 0.28]),
  ], tensors);
}

// { name, role, file, projector?, bytes } of each that was asked for; all of them unless `only` names some.
export function makeModels({ vocabFolder, out, small = false, only = Object.keys(kShapes), tell = () => {} }) {
  mkdirSync(out, { recursive: true });
  const tokenizer = readTokenizer(join(vocabFolder, 'ggml-vocab-llama-spm.gguf'));
  return only.map((name) => {
    const shape = shapeOf(name, small);
    const file = join(out, `${name}${small ? '-small' : ''}.gguf`);
    tell(`${file} …`);
    const model = { name, role: shape.role, file, bytes: writeTextModel(file, name, shape, tokenizer) };
    if (shape.sees) {
      model.projector = join(out, `${name}${small ? '-small' : ''}-mmproj.gguf`);
      model.bytes += writeEncoder(model.projector, encoderOf(small), shape.width);
    }
    return model;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { 'vocab-dir': { type: 'string' }, out: { type: 'string' }, small: { type: 'boolean' }, only: { type: 'string' } } });
  if (!values['vocab-dir'] || !values.out || (values.only && !kShapes[values.only])) {
    console.error(`Usage: node validation_models.mjs --vocab-dir DIR --out DIR [--small] [--only ${Object.keys(kShapes).join('|')}]`);
    process.exit(2);
  }
  const only = values.only ? [values.only] : undefined;
  for (const { name, file, bytes } of makeModels({ vocabFolder: values['vocab-dir'], out: values.out, small: values.small, only })) {
    console.log(`${name}: ${file} (${(bytes / 1e9).toFixed(2)} GB)`);
  }
}

// Reading and writing GGUF, as far as our makers of models need it: make_demo_models.mjs and validation_models.mjs.
import { readFileSync } from 'node:fs';

const kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9;
const kScalarBytes = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
export const kTensorF32 = 0, kTensorF16 = 1, kTensorQ4_0 = 2, kTensorQ8_0 = 8, kTensorQ4_K = 12, kTensorQ6_K = 14;
const kAlignment = 32;

// The raw metadata entries of a GGUF's tokenizer, as [{ key, bytes }], and the token texts.
export function readTokenizer(path) {
  const file = readFileSync(path);
  let at = 0;
  const u32 = () => (at += 4, file.readUInt32LE(at - 4));
  const u64 = () => (at += 8, Number(file.readBigUInt64LE(at - 8)));
  const string = () => { const bytes = u64(); at += bytes; return file.toString('utf8', at - bytes, at); };
  const skip = (type) => {
    if (type === kString) return void string();
    if (type !== kArray) return void (at += kScalarBytes[type]);
    const element = u32(), count = u64();
    for (let i = 0; i < count; ++i) skip(element);
  };

  if (file.toString('latin1', 0, 4) !== 'GGUF') throw new Error(`${path} is not a GGUF file.`);
  at = 16;  // Magic, version and the number of tensors, of which a vocabulary file has none.
  const entries = [], tokens = [];
  for (let left = u64(); left > 0; --left) {
    const begin = at, key = string(), type = u32(), value = at;
    skip(type);
    if (key.startsWith('tokenizer.')) entries.push({ key, bytes: file.subarray(begin, at) });
    if (key === 'tokenizer.ggml.tokens') {
      const end = at;
      for (at = value + 12; at < end;) tokens.push(string());
    }
  }
  return { entries, tokens };
}

export const u32 = (value) => { const b = Buffer.alloc(4); b.writeUInt32LE(value); return b; };
export const u64 = (value) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(value)); return b; };
export const f32 = (...values) => Buffer.from(Float32Array.from(values).buffer);
export const string = (text) => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);
export const padding = (bytes) => Buffer.alloc((kAlignment - bytes % kAlignment) % kAlignment);

export const metaString = (key, text) => Buffer.concat([string(key), u32(kString), string(text)]);
export const metaUint = (key, value) => Buffer.concat([string(key), u32(kUint32), u32(value)]);
export const metaFloat = (key, value) => Buffer.concat([string(key), u32(kFloat32), f32(value)]);
export const metaBool = (key, value) => Buffer.concat([string(key), u32(kBool), Buffer.from([value ? 1 : 0])]);
export const metaFloats = (key, values) =>
  Buffer.concat([string(key), u32(kArray), u32(kFloat32), u64(values.length), Buffer.from(Float32Array.from(values).buffer)]);
export const metaInts = (key, values) =>
  Buffer.concat([string(key), u32(kArray), u32(kInt32), u64(values.length), Buffer.from(Int32Array.from(values).buffer)]);
export const metaStrings = (key, texts) =>
  Buffer.concat([string(key), u32(kArray), u32(kString), u64(texts.length), ...texts.map(string)]);

// The bits of a positive number as a half-precision float. Our scales are far from the subnormal and the largest ones.
export function halfBits(value) {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
  return value === 0 ? 0 : ((bits + 0x1000) >>> 13) - (112 << 10);
}

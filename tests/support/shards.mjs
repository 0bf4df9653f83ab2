// Cuts a GGUF model into shards, as llama.cpp's gguf-split does: the first has all that is said of the model, each has some tensors.
import assert from 'node:assert/strict';

const kAlignment = 32;
const kSizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const kUint16 = 2, kInt32 = 5, kString = 8, kArray = 9;

const padded = (bytes) => Math.ceil(bytes / kAlignment) * kAlignment;

// { metadata: Buffer, count, tensors: [{ info: name, dimensions and type, bytes }] }
function read(file) {
  assert.equal(file.toString('latin1', 0, 4), 'GGUF');
  const tensorCount = Number(file.readBigUInt64LE(8));
  const count = Number(file.readBigUInt64LE(16));
  let at = 24;
  const long = () => Number(file.readBigUInt64LE((at += 8) - 8));
  const skipText = () => { const size = long(); at += size; };
  const skip = (type) => {
    if (type === kString) return skipText();
    if (type !== kArray) return void (at += kSizes[type]);
    const of = file.readUInt32LE(at);
    at += 4;
    const length = long();
    if (of === kString) for (let i = 0; i < length; ++i) skipText();
    else at += length * kSizes[of];
  };
  for (let i = 0; i < count; ++i) {
    skipText();
    at += 4;
    skip(file.readUInt32LE(at - 4));
  }
  const metadata = file.subarray(24, at);
  const tensors = [];
  for (let i = 0; i < tensorCount; ++i) {
    const from = at;
    skipText();
    at += 4 + 8 * file.readUInt32LE(at) + 4;
    tensors.push({ info: file.subarray(from, at), offset: long() });
  }
  const data = padded(at);
  const ends = tensors.map(({ offset }) => offset).sort((a, b) => a - b).concat(file.length - data);
  for (const tensor of tensors) tensor.bytes = file.subarray(data + tensor.offset, data + ends.find((end) => end > tensor.offset));
  return { metadata, count, tensors };
}

function entry(key, type, value) {
  const name = Buffer.from(key);
  const bytes = Buffer.alloc(8 + name.length + 4 + kSizes[type]);
  bytes.writeBigUInt64LE(BigInt(name.length), 0);
  name.copy(bytes, 8);
  bytes.writeUInt32LE(type, 8 + name.length);
  if (type === kUint16) bytes.writeUInt16LE(value, 12 + name.length);
  else bytes.writeInt32LE(value, 12 + name.length);
  return bytes;
}

function write(metadata, tensors) {
  const head = Buffer.alloc(24);
  head.write('GGUF');
  head.writeUInt32LE(3, 4);
  head.writeBigUInt64LE(BigInt(tensors.length), 8);
  head.writeBigUInt64LE(BigInt(metadata.count), 16);
  let offset = 0;
  const infos = tensors.map(({ info, bytes }) => {
    const at = Buffer.alloc(8);
    at.writeBigUInt64LE(BigInt(offset));
    offset += padded(bytes.length);
    return Buffer.concat([info, at]);
  });
  const begin = Buffer.concat([head, metadata.bytes, ...infos]);
  const fill = (bytes) => Buffer.concat([bytes, Buffer.alloc(padded(bytes.length) - bytes.length)]);
  return Buffer.concat([fill(begin), ...tensors.map(({ bytes }) => fill(bytes))]);
}

export function cutIntoShards(file, count) {
  const model = read(file);
  const each = Math.ceil(model.tensors.length / count);
  return Array.from({ length: count }, (_, number) => {
    const own = [entry('split.no', kUint16, number), entry('split.count', kUint16, count), entry('split.tensors.count', kInt32, model.tensors.length)];
    const isFirst = number === 0;
    const metadata = { bytes: Buffer.concat([...(isFirst ? [model.metadata] : []), ...own]), count: own.length + (isFirst ? model.count : 0) };
    return write(metadata, model.tensors.slice(number * each, (number + 1) * each));
  });
}

// Archives as programs write them, and as attackers do: every field can be another than it should be.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';

const bytesOf = (text) => (Buffer.isBuffer(text) ? text : Buffer.from(text ?? ''));

// Numbers, little-endian, one after the other: [[value, bytes], …].
function record(fields) {
  const parts = fields.map(([value, bytes]) => {
    const part = Buffer.alloc(bytes);
    for (let i = 0, left = BigInt(value); i < bytes; ++i, left >>= 8n) part[i] = Number(left & 0xffn);
    return part;
  });
  return Buffer.concat(parts);
}

// What a header says of an entry: the truth, with `lies` over it.
const localHeader = (entry, lies = {}) => {
  const says = { ...entry, ...lies };
  const name = bytesOf(says.name);
  const extra = bytesOf(says.extra);
  return Buffer.concat([
    record([[0x04034b50, 4], [20, 2], [says.flags, 2], [says.method, 2], [0, 2], [0x21, 2], [says.crc, 4], [says.packed, 4], [says.size, 4], [name.length, 2], [extra.length, 2]]),
    name, extra,
  ]);
};

const centralHeader = (entry, lies = {}) => {
  const says = { ...entry, ...lies };
  const name = bytesOf(says.name);
  const extra = bytesOf(says.extra);
  const attributes = (says.mode ?? 0o100644) * 65536;
  return Buffer.concat([
    record([[0x02014b50, 4], [(3 << 8) | 20, 2], [20, 2], [says.flags, 2], [says.method, 2], [0, 2], [0x21, 2], [says.crc, 4], [says.packed, 4], [says.size, 4],
      [name.length, 2], [extra.length, 2], [0, 2], [says.disk ?? 0, 2], [0, 2], [attributes, 4], [says.offset, 4]]),
    name, extra,
  ]);
};

// entries: { name, content, stored?, flags?, mode?, local?: lies, central?: lies, descriptor?: bool or lies, packedBytes?, sameAs?: index of the entry whose place it shares }.
// lies about the whole: { entries, size, offset, comment, prefix, gap, end64, disk }.
export function zip(entries, lies = {}) {
  const parts = [bytesOf(lies.prefix)];
  let at = parts[0].length;
  const add = (bytes) => {
    parts.push(bytes);
    at += bytes.length;
  };
  const heads = [];
  for (const entry of entries) {
    if (entry.sameAs !== undefined) {
      heads.push({ ...heads[entry.sameAs], ...entry.head });
      continue;
    }
    const content = bytesOf(entry.content);
    const packedBytes = entry.packedBytes ?? (entry.stored ? content : zlib.deflateRawSync(content, { level: 9 }));
    const head = {
      name: entry.name, extra: entry.extra, method: entry.method ?? (entry.stored ? 0 : 8), crc: zlib.crc32 ? zlib.crc32(content) : crc32(content), packed: packedBytes.length, size: content.length,
      flags: (entry.flags ?? 0x800) | (entry.descriptor ? 8 : 0), offset: at, mode: entry.mode,
    };
    const truth = entry.descriptor ? { crc: 0, packed: 0, size: 0 } : {};
    add(localHeader(head, { ...truth, ...entry.local }));
    add(packedBytes);
    if (entry.descriptor) {
      const says = { ...head, ...(entry.descriptor === true ? {} : entry.descriptor) };
      add(record([[0x08074b50, 4], [says.crc, 4], [says.packed, 4], [says.size, 4]]));
    }
    heads.push({ ...head, lies: entry.central });
  }
  add(bytesOf(lies.gapBefore));
  const begin = at;
  for (const head of heads) add(centralHeader(head, head.lies));
  add(bytesOf(lies.gap));
  const size = at - begin - bytesOf(lies.gap).length;
  if (lies.end64) {
    const says = { entries: heads.length, size, offset: begin, at, ...lies.end64 };
    add(record([[0x06064b50, 4], [44, 8], [45, 2], [45, 2], [0, 4], [0, 4], [says.entries, 8], [says.entries, 8], [says.size, 8], [says.offset, 8]]));
    add(record([[0x07064b50, 4], [0, 4], [says.at, 8], [1, 4]]));
  }
  const comment = bytesOf(lies.comment);
  const count = lies.entries ?? heads.length;
  add(record([[0x06054b50, 4], [lies.disk ?? 0, 2], [0, 2], [count, 2], [lies.entriesHere ?? count, 2], [lies.size ?? size, 4], [lies.offset ?? begin, 4], [lies.commentBytes ?? comment.length, 2]]));
  parts.push(comment, bytesOf(lies.suffix));
  return Buffer.concat(parts);
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; ++bit) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}

// A tar of ustar headers: { name, content?, type?, link?, size? (a lie), checksum? (a lie) }.
export function tar(entries, { end = true } = {}) {
  const parts = [];
  for (const entry of entries) {
    const content = bytesOf(entry.content);
    const header = Buffer.alloc(512);
    const put = (at, bytes, text) => bytesOf(text).copy(header, at, 0, bytes);
    const octal = (at, bytes, value) => put(at, bytes, value.toString(8).padStart(bytes - 1, '0') + '\0');
    put(0, 100, entry.name);
    octal(100, 8, 0o644);
    octal(108, 8, 0);
    octal(116, 8, 0);
    octal(124, 12, entry.size ?? content.length);
    octal(136, 12, 0);
    put(148, 8, '        ');
    put(156, 1, entry.type ?? '0');
    put(157, 100, entry.link);
    put(257, 8, 'ustar\x0000');
    const sum = header.reduce((total, byte) => total + byte, 0);
    octal(148, 7, entry.checksum ?? sum);
    parts.push(header, content, Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  if (end) parts.push(Buffer.alloc(1024));
  return Buffer.concat(parts);
}

// A pax record: "27 path=naïve\n".
export function pax(key, value) {
  const tail = Buffer.concat([Buffer.from(` ${key}=`), bytesOf(value), Buffer.from('\n')]);
  let length = tail.length + 1;
  while (String(length).length + tail.length !== length) ++length;
  return Buffer.concat([Buffer.from(String(length)), tail]);
}

// What another program makes of these files: { 'a/b.txt': content }. `make(folder, out)` gives [program, …arguments].
export function packedBy(files, make) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'gbgreg-archive-'));
  try {
    const folder = path.join(root, 'in');
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(folder, name);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, content);
    }
    const out = path.join(root, 'out');
    const [program, ...args] = make(folder, out);
    execFileSync(program, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    const made = fs.readdirSync(root).find((name) => name.startsWith('out'));
    return fs.readFileSync(path.join(root, made));
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

// The formats that are taken, each by a well-known program.
export const kPackers = {
  '.zip by bsdtar': (folder, out) => ['bsdtar', '-c', '-f', `${out}.zip`, '--format', 'zip', '.'],
  '.zip by 7z': (folder, out) => ['7z', 'a', '-bd', `${out}.zip`, '.'],
  '.tar': (folder, out) => ['tar', '-cf', `${out}.tar`, '.'],
  '.tar of pax': (folder, out) => ['tar', '--format=pax', '-cf', `${out}.tar`, '.'],
  '.tar.gz': (folder, out) => ['tar', '-czf', `${out}.tar.gz`, '.'],
  '.tar.zst': (folder, out) => ['bsdtar', '-c', '--zstd', '-f', `${out}.tar.zst`, '.'],
  '.tar.xz': (folder, out) => ['bsdtar', '-c', '--xz', '-f', `${out}.tar.xz`, '.'],
  '.tar.bz2': (folder, out) => ['bsdtar', '-c', '--bzip2', '-f', `${out}.tar.bz2`, '.'],
  '.7z by 7z': (folder, out) => ['7z', 'a', '-bd', `${out}.7z`, '.'],
  '.7z by bsdtar': (folder, out) => ['bsdtar', '-c', '--format', '7zip', '-f', `${out}.7z`, '.'],
};

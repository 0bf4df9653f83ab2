// Small pictures made on the spot.
import zlib from 'node:zlib';

// One chunk of a PNG, with its checksum.
export function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

// A PNG of one colour.
export function png(width = 32, height = 32, [red, green, blue] = [200, 30, 30]) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, Buffer.from([red, green, blue]))]);
  const pixels = Buffer.concat(Array.from({ length: height }, () => row));
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', head),
    chunk('IDAT', zlib.deflateSync(pixels)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

export const kPngFront = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');

// A PNG made of chunks as they are given: [type, data].
export const pngOf = (...chunks) => Buffer.concat([kPngFront, ...chunks.map(([type, data]) => chunk(type, data))]);

export function pngHead(width, height) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  return ['IHDR', head];
}

// The chunks between the front and the end of a PNG, for adding more to it.
export function withChunks(image, ...more) {
  const behindHead = 8 + 25;
  return Buffer.concat([image.subarray(0, behindHead), ...more.map(([type, data]) => chunk(type, data)), image.subarray(behindHead)]);
}

// What is in a PNG of 8 bits a channel without interlacing: { width, height, types, at(x, y) }.
export function decodePng(bytes) {
  const types = [];
  const data = [];
  let head;
  for (let at = 8; at < bytes.length;) {
    const size = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    const body = bytes.subarray(at + 8, at + 8 + size);
    types.push(type);
    if (type === 'IHDR') head = body;
    if (type === 'IDAT') data.push(body);
    at += size + 12;
  }
  const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  const bands = { 0: 1, 2: 3, 6: 4 }[head[9]];
  const rows = zlib.inflateSync(Buffer.concat(data));
  const rowBytes = width * bands;
  const pixels = Buffer.alloc(rowBytes * height);
  const paeth = (left, up, corner) => {
    const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
    return a <= b && a <= c ? left : b <= c ? up : corner;
  };
  for (let y = 0; y < height; ++y) {
    const filter = rows[y * (rowBytes + 1)];
    for (let x = 0; x < rowBytes; ++x) {
      const left = x >= bands ? pixels[y * rowBytes + x - bands] : 0;
      const up = y > 0 ? pixels[(y - 1) * rowBytes + x] : 0;
      const corner = x >= bands && y > 0 ? pixels[(y - 1) * rowBytes + x - bands] : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      pixels[y * rowBytes + x] = rows[y * (rowBytes + 1) + 1 + x] + guess;
    }
  }
  return { width, height, types, at: (x, y) => [...pixels.subarray((y * width + x) * bands, (y * width + x + 1) * bands)] };
}

const segment = (marker, body) => {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(body.length + 2, 2);
  return Buffer.concat([head, body]);
};

// EXIF as cameras write it: how the image is to be turned, a maker, and a place on earth that nobody else is to know.
export function exif(orientation, maker = 'SECRET-MAKER') {
  const text = Buffer.from(`${maker}\0`);
  const tiff = Buffer.alloc(8 + 2 + 3 * 12 + 4 + 2 + 12 + 4);
  tiff.write('II*\0', 0, 'latin1');
  tiff.writeUInt32LE(8, 4);
  tiff.writeUInt16LE(3, 8);
  const entry = (at, tag, type, count, value) => {
    tiff.writeUInt16LE(tag, at);
    tiff.writeUInt16LE(type, at + 2);
    tiff.writeUInt32LE(count, at + 4);
    tiff.writeUInt32LE(value, at + 8);
  };
  entry(10, 0x010f, 2, text.length, tiff.length);
  entry(22, 0x0112, 3, 1, orientation);
  entry(34, 0x8825, 4, 1, 50);
  tiff.writeUInt16LE(1, 50);
  entry(52, 0x0001, 2, 2, 0x4e);  // North.
  return Buffer.concat([tiff, text]);
}

// A JPEG of flat squares of eight pixels: `rows` of them, each a list of one value (grey) or four (inks).
export function jpeg(rows, { orientation, maker } = {}) {
  const squares = rows.map((row) => row.map((value) => (Array.isArray(value) ? value : [value])));
  const bands = squares[0][0].length;
  const frame = Buffer.alloc(6 + 3 * bands);
  frame[0] = 8;
  frame.writeUInt16BE(squares.length * 8, 1);
  frame.writeUInt16BE(squares[0].length * 8, 3);
  frame[5] = bands;
  const scan = Buffer.alloc(1 + 2 * bands + 3);
  scan[0] = bands;
  for (let band = 0; band < bands; ++band) {
    frame.set([band + 1, 0x11, 0], 6 + 3 * band);
    scan.set([band + 1, 0], 1 + 2 * band);
  }
  scan.set([0, 63, 0], 1 + 2 * bands);
  // A table each: nine codes of four bits for how many bits a difference has, and one bit for "no more".
  const counts = (place) => Buffer.from(Array.from({ length: 16 }, (_, i) => (i === place ? (place === 3 ? 9 : 1) : 0)));
  let bits = '';
  const before = new Array(bands).fill(0);
  for (const square of squares.flat()) {
    for (let band = 0; band < bands; ++band) {
      const difference = square[band] - 128 - before[band];
      before[band] = square[band] - 128;
      const size = difference === 0 ? 0 : Math.floor(Math.log2(Math.abs(difference))) + 1;
      bits += size.toString(2).padStart(4, '0');
      if (size > 0) bits += (difference > 0 ? difference : difference + 2 ** size - 1).toString(2).padStart(size, '0');
      bits += '0';
    }
  }
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  const data = bits.match(/.{8}/g).flatMap((eight) => (eight === '11111111' ? [0xff, 0] : [Number.parseInt(eight, 2)]));
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    ...(orientation ? [segment(0xe1, Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), exif(orientation, maker)]))] : []),
    ...(bands === 4 ? [segment(0xee, Buffer.from('Adobe\0\x64\0\0\0\0\0', 'latin1'))] : []),
    segment(0xdb, Buffer.concat([Buffer.from([0]), Buffer.alloc(64, 8)])),
    segment(0xc0, frame),
    segment(0xc4, Buffer.concat([Buffer.from([0]), counts(3), Buffer.from([0, 1, 2, 3, 4, 5, 6, 7, 8])])),
    segment(0xc4, Buffer.concat([Buffer.from([0x10]), counts(0), Buffer.from([0])])),
    segment(0xda, scan),
    Buffer.from(data),
    Buffer.from([0xff, 0xd9]),
  ]);
}

// A GIF with a frame for each colour.
export function gif(width, height, colours) {
  const screen = Buffer.alloc(7);
  screen.writeUInt16LE(width, 0);
  screen.writeUInt16LE(height, 2);
  screen[4] = 0xf6;  // A palette of 128.
  const palette = Buffer.alloc(384);
  colours.forEach((colour, i) => palette.set(colour, 3 * i));
  const frames = colours.map((_, i) => {
    // With codes of eight bits, a code is a byte; the table is forgotten before it needs longer ones.
    const codes = [];
    for (let at = 0; at < width * height; ++at) {
      if (at % 100 === 0) codes.push(128);
      codes.push(i);
    }
    codes.push(129);
    const blocks = [];
    for (let at = 0; at < codes.length; at += 255) {
      const block = codes.slice(at, at + 255);
      blocks.push(Buffer.from([block.length, ...block]));
    }
    const place = Buffer.alloc(10);
    place[0] = 0x2c;
    place.writeUInt16LE(width, 5);
    place.writeUInt16LE(height, 7);
    return Buffer.concat([Buffer.from([0x21, 0xf9, 4, 0, 10, 0, 0, 0]), place, Buffer.from([7]), ...blocks, Buffer.from([0])]);
  });
  return Buffer.concat([Buffer.from('GIF89a'), screen, palette, ...frames, Buffer.from([0x3b])]);
}

// A BMP of 24 bits and one colour.
export function bmp(width, height, [red, green, blue]) {
  const rowBytes = Math.ceil((width * 3) / 4) * 4;
  const head = Buffer.alloc(54);
  head.write('BM');
  head.writeUInt32LE(54 + rowBytes * height, 2);
  head.writeUInt32LE(54, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(width, 18);
  head.writeInt32LE(height, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(24, 28);
  const row = Buffer.alloc(rowBytes);
  for (let x = 0; x < width; ++x) row.set([blue, green, red], 3 * x);
  return Buffer.concat([head, ...Array.from({ length: height }, () => row)]);
}

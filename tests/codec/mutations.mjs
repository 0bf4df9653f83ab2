// Messages like those of a corpus, each spoiled a little. The same seed gives the same ones.

const kOddBytes = [0, 9, 10, 13, 32, 34, 35, 40, 43, 44, 45, 46, 47, 48, 49, 50, 57, 58, 59, 61, 63, 64, 65, 92, 95, 97, 102, 103, 120, 126, 127, 128, 255];
const kOddTexts = ['\r\n', '\n', '\r', '\r\n\r\n', '\n\n', ' ', '\t', ':', ';', '0\r\n\r\n', 'Content-Length: 1\r\n', 'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n', 'Host: b\r\n', 'HTTP/1.1', 'GET / HTTP/1.1\r\n', ', ', '\0'];
const kBytesMax = 4096;
const kChangesMax = 3;

// A small generator with a seed (mulberry32).
function randomNumbers(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function mutations(corpus, count, seed) {
  const random = randomNumbers(seed);
  const pick = (list) => list[random(list.length)];
  const small = corpus.filter(({ bytes }) => bytes.length > 0 && bytes.length < kBytesMax);
  const changes = [
    (bytes, at) => { bytes[at] = pick(kOddBytes); return bytes; },
    (bytes, at) => { bytes[at] ^= 1 << random(8); return bytes; },
    (bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(4))]),
    (bytes, at) => Buffer.concat([bytes.subarray(0, at), Buffer.from(pick(kOddTexts), 'latin1'), bytes.subarray(at)]),
    (bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + 1 + random(30)), bytes.subarray(at)]),
    (bytes, at, other) => Buffer.concat([bytes.subarray(0, at), other.subarray(random(other.length))]),
    (bytes, at) => bytes.subarray(0, at),
  ];
  return Array.from({ length: count }, () => {
    const base = pick(small);
    let bytes = Buffer.from(base.bytes);
    for (let left = 1 + random(kChangesMax); left > 0 && bytes.length > 0; --left) {
      const other = pick(small.filter(({ kind }) => kind === base.kind)).bytes;
      bytes = Buffer.from(pick(changes)(bytes, random(bytes.length), other));
    }
    return { ...base, name: `a mutation of ${base.name}`, bytes };
  });
}

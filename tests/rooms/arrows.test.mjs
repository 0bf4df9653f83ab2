// Arrows only go down: a room includes itself and the rooms below it, and nothing else of ours.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const source = join(root, 'src');

// The order is the one CMake builds in, so there is one list and not two.
const list = readFileSync(join(source, 'CMakeLists.txt'), 'utf8').match(/foreach\(room ([^)]+)\)/)[1];
const rooms = list.trim().split(/\s+/);

function* files(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else if (/\.(h|cc)$/.test(name)) yield path;
  }
}

export function faults(room, text) {
  const found = [];
  for (const [, target] of text.matchAll(/^\s*#include "([^"]+)"/gm)) {
    const other = target.split('/')[0];
    if (!rooms.includes(other)) found.push(`"${target}" is not in a room of src/`);
    else if (rooms.indexOf(other) > rooms.indexOf(room)) found.push(`"${target}" is above ${room}/`);
  }
  return found;
}

test('every folder of src/ is a room of the list, and every room a folder', () => {
  const folders = readdirSync(source).filter((name) => statSync(join(source, name)).isDirectory());
  assert.deepEqual([...folders].sort(), [...rooms].sort());
});

test('no file includes from a room above its own', () => {
  const wrong = [];
  for (const path of files(source)) {
    const room = relative(source, path).split('/')[0];
    for (const fault of faults(room, readFileSync(path, 'utf8'))) wrong.push(`${relative(root, path)}: ${fault}`);
  }
  assert.deepEqual(wrong, []);
});

test('the check itself sees an arrow that goes up', () => {
  assert.equal(faults('net', '#include "http/call.h"\n').length, 1);
  assert.equal(faults('net', '#include "nowhere.h"\n').length, 1);
  assert.equal(faults('http', '#include "net/exchange.h"\n#include <vector>\n').length, 0);
});

// Our HTTP codec and llhttp, that of Node, on the same bytes: what is accepted and what is refused, and what was understood.
// Two parsers in a row that read a message differently are how requests are smuggled, so each disagreement is on a list,
// with the reason why ours is right (disagreements.mjs), and one that is not on it fails.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { kParser, parse } from '../support/llhttp.mjs';
import { compare } from './compare.mjs';
import { corpus } from './corpus.mjs';
import { disagreements } from './disagreements.mjs';
import { mutations } from './mutations.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const kCodec = process.env.HTTP_CODEC ?? path.join(root, 'build/release/bin/http_codec');
// Another seed, or more of them, for those who look for what is not on the list yet.
const kMutations = Number(process.env.CODEC_MUTATIONS ?? 8000);
const kSeed = Number(process.env.CODEC_SEED ?? 20261125);
const kEmptyLine = Buffer.from('\r\n\r\n');

const unhex = (text) => Buffer.from(text, 'hex').toString('latin1');

// Asks our codec: all cases in one go.
function ours(asked) {
  const lines = asked.map(({ kind, method, bytes, piece }) => JSON.stringify({ kind, method, bytes: bytes.toString('hex'), piece }));
  const output = execFileSync(kCodec, { input: `${lines.join('\n')}\n`, maxBuffer: 1 << 30 }).toString();
  return output.trimEnd().split('\n').map((line) => {
    const { messages, state, why, under_way: method } = JSON.parse(line);
    return {
      state,
      why,
      underWay: method ? { method: unhex(method) } : undefined,
      messages: messages.map(({ status, target, version, fields, body, keep_alive: keepAlive, ...more }) => ({
        ...(status === undefined ? { method: unhex(more.method), target: unhex(target) } : { status }),
        version, keepAlive, fields: fields.map((pair) => pair.map(unhex)), body: Buffer.from(body, 'hex'),
      })),
    };
  });
}

// [{ case, difference }], a difference for each case on which the two do not agree.
function differences(cases) {
  const whole = ours(cases.map((one) => ({ ...one, piece: 0 })));
  const cut = ours(cases.map((one) => ({ ...one, piece: 1 })));
  // A head is judged when it is whole. One that never will be is judged here as if it were.
  const ended = ours(cases.map((one) => ({ ...one, bytes: Buffer.concat([one.bytes, kEmptyLine]), piece: 0 })));
  const found = [];
  cases.forEach((one, i) => {
    assert.deepEqual(cut[i], whole[i], `our codec reads bytes that come one by one differently: ${show(one)}`);
    const theirs = parse(one.kind, one.method, one.bytes, 0);
    const theirsCut = parse(one.kind, one.method, one.bytes, 1);
    const both = [theirs, theirsCut].map((their) => compare(whole[i], ended[i], their));
    for (const difference of JSON.stringify(both[0]) === JSON.stringify(both[1]) ? [both[0]] : both) {
      if (difference) found.push({ one, difference: { ...difference, kind: one.kind, asked: one.method, text: one.bytes.toString('latin1') } });
    }
  });
  return found;
}

const show = ({ name, kind, bytes }) => `${kind} ${name}: ${JSON.stringify(bytes.toString('latin1').slice(0, 400))}`;

// The disagreements that were met; fails on one that is on no list.
function explain(found) {
  const met = new Set();
  const unexplained = [];
  for (const { one, difference } of found) {
    const fitting = disagreements.filter((entry) => entry.fits(difference));
    if (fitting.length === 0) unexplained.push(`${show(one)}\n    ${difference.what}: ours ${JSON.stringify(difference.ours)}, llhttp's ${JSON.stringify(difference.theirs)}`);
    for (const entry of fitting) met.add(entry.name);
  }
  assert.equal(unexplained.length, 0, `${unexplained.length} disagreements with the ${kParser} that nobody has explained:\n${unexplained.slice(0, Number(process.env.SHOW ?? 20)).join('\n')}`);
  return met;
}

test('on the corpus we agree with llhttp, or have a reason', () => {
  const met = explain(differences(corpus));
  const idle = disagreements.map((entry) => entry.name).filter((name) => !met.has(name));
  assert.deepEqual(idle, [], 'reasons that no case of the corpus needs');
  console.log(`${corpus.length} cases, ${met.size} reasons to disagree with the ${kParser}`);
});

test('on mutations of it, too', () => {
  explain(differences(mutations(corpus, kMutations, kSeed)));
});

test('the comparison itself sees a difference', () => {
  const message = { method: 'GET', target: '/', version: '1.1', fields: [['Host', 'a']], body: Buffer.from('hi'), keepAlive: true };
  const read = (change = {}, state = 'complete') => ({ state, why: state === 'refused' ? 'so' : '', messages: [{ ...message, ...change }] });
  assert.equal(compare(read(), read(), read()), undefined);
  for (const change of [{ method: 'PUT' }, { target: '/a' }, { version: '1.0' }, { fields: [['Host', 'b']] }, { fields: [] }, { body: Buffer.from('ho') }, { keepAlive: false }]) {
    assert.ok(compare(read(), read(), read(change)), JSON.stringify(change));
  }
  const refused = { state: 'refused', why: 'so', messages: [] };
  assert.ok(compare(refused, refused, read()));
  assert.ok(compare(read(), read(), refused));
  assert.ok(compare(read({}, 'in_body'), read({}, 'in_body'), read()));
  assert.equal(disagreements.filter((entry) => entry.fits({ ...compare(read(), read(), refused), kind: 'request', text: 'x', method: 'GET' })).length, 0);
});

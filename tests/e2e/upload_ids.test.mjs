// Questions about uploads: what of them reaches the engine, what is cut, and what is refused.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import zlib from 'node:zlib';

import { assertError, startScripted } from '../support/gateway.mjs';
import { png } from '../support/images.mjs';
import { upload } from '../support/uploads.mjs';

let gateway;
before(async () => {
  gateway = await startScripted();
});
after(() => gateway?.dispose());

// The answer's text is the body that the gateway sent to the engine.
async function ask(uploads, more = {}) {
  const answer = await gateway.generate({ stream: false, prompt: 'What is this? [[echo=1]]', upload_ids: uploads.map(({ id }) => id), ...more });
  assert.equal(answer.status, 200, answer.text);
  const body = answer.json();
  return { sent: JSON.parse(body.response).messages, notes: body.gbgreg };
}

describe('uploads in a question', () => {
  test('stand before it, each under its name, and are named as sources', async () => {
    const code = await upload(gateway, 'int main() {\n  return 0;\n}\n', 'main.cc');
    const words = await upload(gateway, 'Grüße aus Köln', 'brief.txt');
    const { sent, notes } = await ask([code, words]);
    assert.equal(sent.length, 1);
    assert.equal(sent[0].content, '\nFile main.cc:\n```\nint main() {\n  return 0;\n}\n```\n\nFile brief.txt:\n```\nGrüße aus Köln\n```\n\nWhat is this? [[echo=1]]');
    assert.deepEqual(notes.sources, [{ upload_id: code.id, path: 'main.cc', lines: [1, 3] }, { upload_id: words.id, path: 'brief.txt', lines: [1, 1] }]);
    assert.equal(notes.truncated.dropped_tokens, 0);
  });

  test('in another encoding are read, and stay as they came', async () => {
    const wide = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('grüße\r\n', 'utf16le')]);
    const old = Buffer.from('gr\xfc\xdfe, f\xfcr f\xfcnf Mark\n', 'latin1');
    const uploads = [await upload(gateway, wide, 'wide.txt'), await upload(gateway, old, 'old.txt')];
    const { sent } = await ask(uploads);
    assert.match(sent[0].content, /```\ngrüße\r\n```\n\nFile old\.txt:\n```\ngrüße, für fünf Mark\n```/);
    const stored = await gateway.get(`/api/uploads/${uploads[0].id}/content`);
    assert.deepEqual(stored.body ?? Buffer.from(stored.text), wide);
  });

  test('that are pictures go to a model that sees', async () => {
    const picture = await upload(gateway, png(), 'red.png');
    const { sent, notes } = await ask([picture]);
    assert.equal(notes.role, 'vision');
    assert.deepEqual(notes.sources, [{ upload_id: picture.id, path: 'red.png' }]);
    const image = sent[0].content.find((part) => part.type === 'image_url');
    assert.equal(image.image_url.url, `data:image/png;base64,${png().toString('base64')}`);
  });

  test('come before what the user says last in a chat, and the router sees them', async () => {
    const file = await upload(gateway, 'once upon a time\n', 'tale.txt');
    const messages = [{ role: 'user', content: 'Hello' }, { role: 'assistant', content: 'Hi' }, { role: 'user', content: 'Read [[echo=1]]' }];
    const answer = await gateway.request('POST', '/api/chat', { body: { model: 'documentation', messages, upload_ids: [file.id], stream: false } });
    assert.equal(answer.status, 200, answer.text);
    const body = answer.json();
    const sent = JSON.parse(body.message.content).messages;
    assert.deepEqual(sent.map(({ content }) => content), ['Hello', 'Hi', '\nFile tale.txt:\n```\nonce upon a time\n```\n\nRead [[echo=1]]']);
    assert.equal(body.gbgreg.sources[0].upload_id, file.id);

    const picture = await upload(gateway, png(), 'red.png');
    const routed = await gateway.request('POST', '/api/route', { body: { prompt: 'What is this?', upload_ids: [picture.id] } });
    assert.equal(routed.json().role, 'vision', routed.text);
  });

  test('are said in the last line of a stream', async () => {
    const file = await upload(gateway, 'once upon a time\n', 'tale.txt');
    const { lines } = await gateway.lines({ model: 'documentation', prompt: 'Go on [[tokens=3]]', upload_ids: [file.id] });
    assert.deepEqual(lines.at(-1).gbgreg.sources, [{ upload_id: file.id, path: 'tale.txt', lines: [1, 1] }]);
  });
});

describe('what does not fit', () => {
  // The scripted engine counts what stands between blanks: three a line.
  const long = (lines) => Array.from({ length: lines }, (_, i) => `${i + 1} is a number\n`).join('');

  test('is cut from the large ones, said in the text and in the answer', async () => {
    const small = await upload(gateway, 'short\n', 'small.txt');
    const large = await upload(gateway, long(4000), 'large.txt');
    const { sent, notes } = await ask([large, small]);
    const [, kept, cut] = /File large\.txt:\n```\n([^[]*)(\[Cut here: .*\]\n)```\n/.exec(sent[0].content);
    assert.ok(long(4000).startsWith(kept) && kept.endsWith('\n'));
    assert.equal(cut, `[Cut here: ${kept.length} of ${long(4000).length} bytes. The rest does not fit into the model's context.]\n`);
    assert.match(sent[0].content, /File small\.txt:\n```\nshort\n```\n\nWhat is this\?/);
    const lines = kept.split('\n').length - 1;
    assert.deepEqual(notes.sources, [{ upload_id: large.id, path: 'large.txt', lines: [1, lines] }, { upload_id: small.id, path: 'small.txt', lines: [1, 1] }]);
    // Of 2048 tokens a quarter is for the answer.
    const { kept_tokens: keptTokens, dropped_tokens: dropped } = notes.truncated;
    assert.ok(keptTokens <= 1536 && keptTokens > 1200, `kept ${keptTokens}`);
    const words = 3 * (4000 - lines);
    assert.ok(Math.abs(dropped - words) < words / 10, `dropped ${dropped} of ${words}`);
  });

  test('leaves the question as it is', async () => {
    const large = await upload(gateway, long(4000), 'large.txt');
    const { sent, notes } = await ask([large], { system: 'Be brief.', options: { num_predict: 16 } });
    assert.equal(sent[0].content, 'Be brief.');
    assert.ok(sent[1].content.endsWith('\nWhat is this? [[echo=1]]'));
    assert.ok(notes.truncated.kept_tokens > 1536, 'a short answer leaves more room');
  });
});

describe('uploads that cannot be used', () => {
  const kNobody = '0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f';

  test('are refused by name, with what to do', async () => {
    const archive = await upload(gateway, zlib.gzipSync('a\n'), 'all.gz');
    const error = assertError(await gateway.generate({ prompt: 'x', upload_ids: [archive.id] }), 422, 'upload_not_usable');
    assert.match(error.message, /"all\.gz" is an archive/);
    assert.deepEqual(error.details, { upload_id: archive.id });
    const named = await gateway.generate({ model: 'coordinator', prompt: 'x', upload_ids: [archive.id] });
    assert.equal(named.status, 422);
    assert.match(named.json().error, /"all\.gz" is an archive/);
  });

  test('or are not there, or no ids', async () => {
    assert.deepEqual(assertError(await gateway.generate({ prompt: 'x', upload_ids: [kNobody] }), 404, 'upload_not_found').details, { upload_id: kNobody });
    for (const ids of [['x'], 'x', [7], Array.from({ length: 33 }, () => kNobody)]) {
      assertError(await gateway.generate({ prompt: 'x', upload_ids: ids }), 400, 'invalid_field');
    }
    assertError(await gateway.generate({ prompt: 'x', project_id: kNobody }), 422, 'not_available_yet');
    const file = await upload(gateway, 'gone\n', 'gone.txt');
    assert.equal((await gateway.request('DELETE', `/api/uploads/${file.id}`)).status, 200);
    assertError(await gateway.generate({ prompt: 'x', upload_ids: [file.id] }), 404, 'upload_not_found');
  });
});

// The real llama-server with the demo models: what the scripted engine only plays must hold with it too.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { openRawStream } from '../support/cut_streams.mjs';
import { assertError, childrenGone, kRoles, startReal, startUnconfigured } from '../support/gateway.mjs';
import { png } from '../support/images.mjs';
import { openFiles } from '../support/processes.mjs';
import { kPatience, median, monotonicNs, summary, waitUntil, within } from '../support/wait.mjs';

const kRecoveryMsMax = 2000;
const kGoneMsMax = 2000;

let gateway;
before(async () => {
  // On a busy machine 64 streams at once would have some refused, whose wait would break the objective.
  gateway = await startReal({ limits: { queue_wait_ms_max: 'off' } });
});
after(() => gateway?.dispose());

test('without a configuration the demo models answer, each its own', async () => {
  const other = await startUnconfigured();
  try {
    await waitUntil('the greeting', () => other.output.some((line) => line.includes('5 of 5 models are ready')));
    const answer = await other.generate({ prompt: 'Hello', options: { num_predict: 4 } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json().model, 'demo-coordinator');
    for (const role of (await other.health()).models.roles) assert.match(role.detail, /^A demo model/);
    for (const folder of ['uploads', 'projects']) assert.ok(fs.statSync(`${other.data}/${folder}`).isDirectory(), folder);
  } finally {
    await other.dispose();
  }
});

describe('an answer of a real model', () => {
  test('to “Hello” comes from the coordinator', async () => {
    const answer = await gateway.request('POST', '/api/generate', { body: '{"prompt":"Hello"}', headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    assert.equal(answer.status, 200, answer.text);
    const body = answer.json();
    assert.equal(body.gbgreg.role, 'coordinator');
    assert.equal(body.model, 'demo-coordinator');
    assert.ok(body.response.length > 0);
    assert.ok(body.eval_count > 0 && body.prompt_eval_count > 0 && body.eval_duration > 0 && body.prompt_eval_duration > 0);
    assert.equal(body.gbgreg.device, 'CPU');
  });

  test('to a code question comes from technical, to an image from vision', async () => {
    const code = await gateway.generate({ prompt: 'Why does `for (i = 0; i <= n; i++) a[i] = 0;` crash in C?', options: { num_predict: 8 } });
    assert.equal(code.json().gbgreg.role, 'technical', code.text);
    const image = await gateway.generate({ prompt: 'What is on this picture?', images: [png(64, 48).toString('base64')], options: { num_predict: 8 } });
    assert.equal(image.status, 200, image.text);
    assert.equal(image.json().gbgreg.role, 'vision');
  });

  test('of each role, streamed, has all its tokens', async () => {
    for (const model of kRoles) {
      const { lines } = await gateway.lines({ prompt: 'Say something.', model, options: { num_predict: 24, seed: 1 } });
      const last = lines.at(-1);
      assert.equal(last.done, true);
      assert.ok(last.eval_count > 0 && last.eval_count <= 24);
      assert.ok(lines.slice(0, -1).every((line) => !line.done && typeof line.response === 'string'));
    }
  });

  test('is the same, whole or streamed, for the same seed', async () => {
    const ask = { prompt: 'Tell me a story.', model: 'coordinator', options: { num_predict: 40, seed: 7, temperature: 0.5 } };
    const whole = (await gateway.generate({ ...ask, stream: false })).json().response;
    const { lines } = await gateway.lines(ask);
    assert.equal(lines.map((line) => line.response).join(''), whole);
  });

  test('obeys a JSON schema', async () => {
    const format = { type: 'object', properties: { ok: { type: 'boolean' }, level: { enum: ['low', 'high'] } }, required: ['ok', 'level'] };
    const answer = await gateway.generate({ prompt: 'Answer in JSON.', model: 'technical', format, stream: false, options: { num_predict: 200 } });
    assert.equal(answer.status, 200, answer.text);
    const made = JSON.parse(answer.json().response);
    assert.equal(typeof made.ok, 'boolean');
    assert.ok(['low', 'high'].includes(made.level));
  });

  test('stops at a length limit and says so', async () => {
    const body = (await gateway.generate({ prompt: 'Count.', model: 'coordinator', stream: false, options: { num_predict: 5 } })).json();
    assert.equal(body.done_reason, 'length');
    assert.equal(body.eval_count, 5);
  });

  test('to a prompt that is too long is an error of the client’s', async () => {
    const answer = await gateway.generate({ prompt: 'word '.repeat(9000), model: 'coordinator', stream: false });
    assert.ok([400, 413, 422].includes(answer.status), `${answer.status} ${answer.text}`);
    assert.match(assertError(answer, answer.status).message, /2048/);
  });

  test('carries any text there and back without an error', async () => {
    for (const prompt of ['日本語 🙂 ünïcödé', 'a\u0000b'.replace('\u0000', '\\'), '"quotes" \\ and\ttabs\n', '</s><|im_end|>', 'x']) {
      const answer = await gateway.generate({ prompt, model: 'documentation', stream: false, options: { num_predict: 4 } });
      assert.equal(answer.status, 200, answer.text);
      assert.ok(Buffer.from(answer.body).equals(Buffer.from(answer.body.toString('utf8'))), 'the answer is valid UTF-8');
    }
  });
});

test('/health tells what the engine’s own log says, and that the models are demos', async () => {
  for (const role of (await gateway.health()).models.roles) {
    assert.equal(role.state, 'ready');
    assert.equal(role.device, 'CPU');
    assert.match(role.model, /demo/);
    assert.match(role.detail, /demo/i);
  }
});

test('64 streams at once, half of them cut: every slot comes back', async () => {
  const round = async () => {
    await Promise.all(Array.from({ length: 64 }, async (_, i) => {
      const stream = await openRawStream(gateway, { prompt: 'Tell me more.', model: kRoles[i % 4], options: { num_predict: 400 } });
      if (Math.floor(i / 4) % 2 === 0) {
        await waitUntil('it runs', () => stream.bytes.includes('"done":false'), { deadlineMs: 60_000 });
        stream.cut();
      } else {
        const answer = await stream.readResponse();
        stream.cut();
        assert.equal(answer.status, 200);
        assert.equal(JSON.parse(answer.text.trimEnd().split('\n').at(-1)).done, true);
      }
    }));
    await gateway.allSlotsFree();
  };
  await round();
  const files = openFiles(gateway.pid);
  await round();
  await waitUntil(`no more than ${files} descriptors are open`, () => openFiles(gateway.pid) <= files);
});

test('a worker that is killed while idle is back for the next request', async () => {
  const times = [];
  for (const role of kRoles) {
    process.kill(await gateway.worker(role), 'SIGKILL');
    const at = monotonicNs();
    const answer = await gateway.generate({ prompt: 'Hello', model: role, stream: false, options: { num_predict: 4 } });
    times.push(Number(monotonicNs() - at) / 1e6);
    assert.equal(answer.status, 200, answer.text);
  }
  console.log(`from SIGKILL of an idle llama-server to the next answer, ms: ${summary(times)}`);
  assert.ok(median(times) < kRecoveryMsMax * kPatience, `${times} ms`);
});

test('a worker that is killed while it answers: an error line, or a whole answer', async () => {
  const stream = await openRawStream(gateway, { prompt: 'Tell me a very long story.', model: 'coordinator', options: { num_predict: 1500 } });
  await waitUntil('it runs', () => stream.bytes.includes('"done":false'));
  process.kill(await gateway.worker('coordinator'), 'SIGKILL');
  const last = JSON.parse((await stream.readResponse()).text.trimEnd().split('\n').at(-1));
  stream.cut();
  assert.ok(last.error || last.done, JSON.stringify(last));
  assert.equal((await gateway.generate({ prompt: 'Hello', model: 'coordinator', stream: false, options: { num_predict: 4 } })).status, 200);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL']) {
  test(`${signal} of the gateway: no llama-server is left after 2 s`, async () => {
    const other = await startReal();
    try {
      // An answer of each proves that it is past its start, in which it cannot be asked to end.
      for (const model of kRoles) assert.equal((await other.generate({ prompt: 'Hello', model, stream: false, options: { num_predict: 2 } })).status, 200);
      // The doctor's helpers are children, too, and come and go.
      const isEngine = (pid) => {
        try {
          return fs.readlinkSync(`/proc/${pid}/exe`).endsWith('/llama-server');
        } catch {
          return false;
        }
      };
      const workers = other.workers().filter(isEngine);
      assert.equal(workers.length, 4);
      const at = monotonicNs();
      other.process.kill(signal);
      const end = await within('the end', other.exited);
      await childrenGone(workers, kGoneMsMax);
      console.log(`${signal}: gateway and llama-servers gone after ${(Number(monotonicNs() - at) / 1e6).toFixed(0)} ms`);
      assert.deepEqual(end, signal === 'SIGKILL' ? { code: null, signal } : { code: 0, signal: null });
    } finally {
      await other.dispose();
    }
  });
}

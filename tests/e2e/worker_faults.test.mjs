// Everything that a worker can do wrong is answered by a clear error within bounds, or by another attempt, and the
// gateway goes on.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { openRawStream } from '../support/cut_streams.mjs';
import { assertError, startScripted } from '../support/gateway.mjs';
import { openStream, parseLines } from '../support/http.mjs';
import { isAlive, memoryOf } from '../support/processes.mjs';
import { kPatience, kSanitized, median, monotonicNs, summary, waitUntil } from '../support/wait.mjs';

const kRecoveryMsMax = 2000;

let gateway;
before(async () => {
  gateway = await startScripted();
});
after(() => gateway?.dispose());

const ask = (directives, more = {}) => gateway.generate({ prompt: `Hello [[${directives}]]`, model: 'technical', stream: false, ...more });
const stream = (directives, more = {}) => gateway.generate({ prompt: `Hello [[${directives}]]`, model: 'technical', stream: true, ...more });

async function goesOn() {
  const answer = await gateway.generate({ prompt: 'Hello [[text=still-here]]', model: 'technical', stream: false, deadline_ms: 20_000 });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json().response, 'still-here');
  await gateway.allSlotsFree();
}

// What was streamed before, and the error line at the end. Without a model named it has the native shape.
function assertBrokenStream(answer, textBefore) {
  assert.equal(answer.status, 200);
  const lines = parseLines(answer.text);
  const last = lines.at(-1);
  assert.ok(last.error, `the last line is ${JSON.stringify(last)}`);
  const message = typeof last.error === 'string' ? last.error : last.error.message;
  assert.ok(message.length > 10);
  assert.ok(lines.slice(0, -1).every((line) => line.done === false), 'nothing says done before the error');
  assert.equal(lines.slice(0, -1).map((line) => line.response).join(''), textBefore);
  return last;
}

describe('a worker that dies', () => {
  test('while idle is back for the next request', async () => {
    const times = [];
    for (let i = 0; i < 5; ++i) {
      const pid = await gateway.worker('technical');
      const restarts = await gateway.metric('gbgreg_worker_restarts_total', { role: 'technical' });
      process.kill(pid, 'SIGKILL');
      const at = monotonicNs();
      await goesOn();
      times.push(Number(monotonicNs() - at) / 1e6);
      assert.ok(!isAlive(pid));
      assert.ok((await gateway.metric('gbgreg_worker_restarts_total', { role: 'technical' })) > restarts);
    }
    console.log(`from SIGKILL of an idle worker to the next answer, ms: ${summary(times)}`);
    assert.ok(median(times) < kRecoveryMsMax * kPatience);
  });

  test('before the first byte: the request is given to its successor', async () => {
    for (const form of [ask, stream]) {
      const mark = path.join(gateway.folder, `die-once-${form.name}`);
      fs.writeFileSync(mark, '');
      const retries = await gateway.metric('gbgreg_retries_total');
      const answer = await form(`die_once=${mark} text=second-try`);
      assert.equal(answer.status, 200, answer.text);
      const text = form === ask ? answer.json().response : parseLines(answer.text).map((line) => line.response).join('');
      assert.equal(text, 'second-try');
      assert.ok(!fs.existsSync(mark), 'the first attempt did not come to its worker');
      assert.ok((await gateway.metric('gbgreg_retries_total')) > retries);
    }
  });

  test('by SIGKILL before the first byte: the request is answered all the same', async () => {
    const retries = await gateway.metric('gbgreg_retries_total');
    const answers = Promise.all([ask('prefill_ms=2000 text=a tag=shot'), stream('prefill_ms=2000 text=a tag=shot')]);
    await waitUntil('both are there', () => gateway.engineLog.find('request_begin', { tag: 'shot' }).length === 2);
    process.kill(await gateway.worker('technical'), 'SIGKILL');
    for (const answer of await answers) assert.equal(answer.status, 200, answer.text);
    assert.equal(await gateway.metric('gbgreg_retries_total'), retries + 2, 'both were tried again');
  });

  test('after bytes were streamed: the stream ends with an error line, and is counted', async () => {
    const broken = await gateway.metric('gbgreg_answers_broken_total');
    assertBrokenStream(await stream('tokens=9 delay_ms=2 die_after=3'), 'token0 token1 token2');
    await goesOn();
    assertBrokenStream(await stream('tokens=9 delay_ms=2 die_after=3', { model: undefined }), 'token0 token1 token2');
    await goesOn();
    assert.equal(await gateway.metric('gbgreg_answers_broken_total'), broken + 2);
  });

  test('again at the second attempt: the request is given up, and its error says so', async () => {
    for (const form of [ask, stream]) {
      const tag = `deadly-${form.name}`;
      assertError(await form(`die_after=0 tag=${tag}`, { deadline_ms: 30_000 }), 502, 'backend_failed_again');
      assert.equal(gateway.engineLog.find('request_begin', { tag }).length, 2);
      await goesOn();
    }
  });

  test('of an assertion: the log has it, and nothing of what was asked', async () => {
    assertError(await gateway.generate({ prompt: 'Our launch code is swordfish. [[die_loud=1]]', model: 'technical', stream: false }), 502);
    await waitUntil('the log has it', () => gateway.output.some((line) => line.includes('GGML_ASSERT(n > 0) failed')));
    await goesOn();
    assert.doesNotMatch(gateway.output.join('\n') + (await gateway.get('/health')).text, /swordfish/);
  });

  test('takes only its own requests with it', async () => {
    const others = Promise.all(['coordinator', 'documentation', 'vision'].map((model) =>
      gateway.generate({ prompt: 'Hello [[tokens=40 delay_ms=10]]', model, stream: false })));
    await stream('tokens=9 delay_ms=2 die_after=2');
    for (const answer of await others) assert.equal(answer.json().eval_count, 40);
    await goesOn();
  });
});

describe('a worker that hangs', () => {
  test('is seen by its missing signs of life and replaced; one that is only busy is left alone', async () => {
    const busy = await openRawStream(gateway, { prompt: 'Hello [[prefill_ms=600000 tag=busy]]', model: 'documentation' });
    await gateway.engineLog.waitFor('request_begin', { tag: 'busy' });
    const busyPid = await gateway.worker('documentation');
    const hungPid = await gateway.worker('technical');

    const silent = ask('prefill_ms=2000 text=again tag=hung');
    const running = await openRawStream(gateway, { prompt: 'Hello [[tokens=100000 delay_ms=5 tag=hung]]', model: 'technical' });
    await waitUntil('both are there', () => gateway.engineLog.find('request_begin', { tag: 'hung' }).length === 2);
    // Before its first byte it would be tried again, and go on for minutes.
    await waitUntil('it streams', () => running.bytes.includes('"done":false'));
    process.kill(hungPid, 'SIGSTOP');

    await waitUntil('/health says what is wrong', async () => /has not answered/.test((await gateway.role('technical')).detail), { deadlineMs: 30_000 });
    const answer = await silent;
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json().response, 'again');
    assert.ok(parseLines((await running.readResponse()).text).at(-1).error);
    running.cut();
    assert.ok(!isAlive(hungPid));
    assert.equal(await gateway.worker('documentation'), busyPid);
    busy.cut();
    await goesOn();
  });
});

describe('a worker that answers', () => {
  for (const [name, directives] of [
    ['what is not HTTP', 'garbage=1'],
    ['an event that is not JSON, first of all', 'garbage_after=0'],
    ['an error status', 'status=500'],
    ['nothing but its head', 'close_after=0'],
    ['no end', 'tokens=0 no_done=1'],
  ]) {
    test(`${name}: 502, whole and streamed`, async () => {
      for (const form of [ask, stream]) {
        const at = monotonicNs();
        assertError(await form(directives), 502);
        assert.ok(Number(monotonicNs() - at) / 1e6 < 10_000 * kPatience, 'it took too long');
        await goesOn();
      }
    });
  }

  for (const [name, directives, before] of [
    ['closes in the middle', 'tokens=9 delay_ms=2 close_after=2', 'token0 token1'],
    ['sends what is not JSON in the middle', 'tokens=9 delay_ms=2 garbage_after=2', 'token0 token1'],
    ['sends an error event in the middle', 'tokens=9 delay_ms=2 error_after=2', 'token0 token1'],
    ['ends within an event', 'tokens=3 delay_ms=2 half_event=1', 'token0 token1 token2'],
    ['ends without saying so', 'tokens=3 delay_ms=2 no_done=1', 'token0 token1 token2'],
    ['sends less than it declared', 'tokens=3 delay_ms=2 bad_length=1 no_done=1', 'token0 token1 token2'],
  ]) {
    test(`${name}: the stream ends with an error line, the whole answer is 502`, async () => {
      assertBrokenStream(await stream(directives), before);
      await goesOn();
      assertError(await ask(directives), 502);
      await goesOn();
    });
  }

  test('a line without end: 502, and the line is not kept in memory', async () => {
    const memory = memoryOf(gateway.pid).VmRSS;
    assertError(await ask('endless_line=1'), 502);
    if (!kSanitized) assert.ok(memoryOf(gateway.pid).VmHWM - memory < 32 * 1024 * 1024);
    await goesOn();
  });

  test('that it is overloaded: 503 with Retry-After', async () => {
    assertError(await ask('status=503'), 503);
    await goesOn();
  });

  test('that the prompt is too long: an error of the client’s', async () => {
    const answer = await gateway.generate({ prompt: 'word '.repeat(9000), model: 'technical', stream: false });
    assert.ok([400, 413, 422].includes(answer.status), `${answer.status}`);
    const error = assertError(answer, answer.status);
    assert.match(error.message, /2048/, 'it names the size of the context');
    await goesOn();
  });
});

describe('a worker that says nothing', () => {
  for (const directives of ['head_delay_ms=600000', 'prefill_ms=600000', 'stall_after=0']) {
    test(`${directives}: 504 at the deadline, and the worker is told to stop`, async () => {
      const tag = directives.split('=')[0];
      const at = monotonicNs();
      for (const form of [ask, stream]) assertError(await form(`${directives} tag=${tag}`, { deadline_ms: 300 * kPatience }), 504);
      assert.ok(Number(monotonicNs() - at) / 1e6 < 10_000 * kPatience);
      await waitUntil('both were stopped', () => gateway.engineLog.find('peer_closed', { tag }).length === 2);
      await goesOn();
    });
  }

  test('in the time of impatient clients: they are told 504 and break nobody else’s stream', async () => {
    const pid = await gateway.worker('technical');
    const other = await openRawStream(gateway, { prompt: 'Hello [[tokens=100000 delay_ms=5 tag=patient]]', model: 'technical' });
    await gateway.engineLog.waitFor('request_begin', { tag: 'patient' });
    for (let i = 0; i < 12; ++i) assertError(await ask('prefill_ms=600000', { deadline_ms: 80 }), 504);
    assert.equal((await ask('text=well')).json().response, 'well');
    assert.equal(await gateway.worker('technical'), pid);
    other.cut();
    await gateway.engineLog.waitFor('peer_closed', { tag: 'patient' });
    await goesOn();
  });

  test('in time: its late answer is never given to the next request', async () => {
    for (const directives of ['head_delay_ms=300', 'prefill_ms=300', 'tokens=2 delay_ms=300']) {
      assertError(await ask(`${directives} tag=late`, { deadline_ms: 100 }), 504);
      const own = await Promise.all(Array.from({ length: 4 }, (_, i) => ask(`text=own-${i}`)));
      assert.deepEqual(own.map((answer) => answer.json().response), ['own-0', 'own-1', 'own-2', 'own-3']);
    }
  });

  test('in the middle of a stream: an error line at the deadline', async () => {
    assertBrokenStream(await stream('tokens=9 stall_after=2', { deadline_ms: 500 * kPatience }), 'token0 token1');
    await goesOn();
  });

  test('that is the last word: the deadline holds while tokens come', async () => {
    const endless = 'tokens=100000 delay_ms=5';
    assertError(await ask(`${endless} tag=endless-whole`, { deadline_ms: 300 * kPatience }), 504, 'deadline_passed');
    const answer = await stream(`${endless} tag=endless-stream`, { deadline_ms: 300 * kPatience });
    assert.equal(answer.status, 200);
    assert.ok(parseLines(answer.text).at(-1).error);
    for (const tag of ['endless-whole', 'endless-stream']) await gateway.engineLog.waitFor('peer_closed', { tag });
    await goesOn();
  });

  test('and a client that waits in the queue gets its 504 there', async () => {
    const holders = [];
    for (let i = 0; i < 4; ++i) holders.push(await openStream(gateway.port, '/api/generate', { prompt: 'Hello [[tokens=2 stall_after=1]]', model: 'technical' }));
    assertError(await ask('tokens=1', { deadline_ms: 300 * kPatience }), 504);
    for (const holder of holders) holder.cut();
    await goesOn();
  });
});

// What was asked is on record: as rows, in sums and as it comes; through a crash, and through a time without a database.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertError, kEmbedding, parseMetrics, startScripted } from '../support/gateway.mjs';
import { request } from '../support/http.mjs';
import { bearer, isKnown, makeKey } from '../support/keys.mjs';
import { kOnPostgres, PostgresServer } from '../support/postgres.mjs';
import { memoryOf } from '../support/processes.mjs';
import { upload } from '../support/uploads.mjs';
import { kPatience, kSanitized, waitUntil } from '../support/wait.mjs';

const kRoles = { documentation: null, vision: null };
// For how long the database is away under load; ten minutes of it are asked for by hand.
const kAwaySeconds = Number(process.env.GBGREG_TEST_AWAY_SECONDS ?? 5);
const kAskedWhileWrittenMs = Math.max(5, kAwaySeconds) * 1000;
const kMemoryGrowthMax = 64 * 1024 * 1024;

const analytics = async (gateway, path, options) => {
  const answer = await gateway.get(`/api/analytics/${path}`, options);
  assert.equal(answer.status, 200, answer.text);
  return answer.json();
};

// All rows, the newest first, page by page.
async function rowsOf(gateway, query = '', options) {
  const rows = [];
  let cursor = '';
  do {
    const page = await analytics(gateway, `requests?limit=1000&cursor=${cursor}${query}`, options);
    rows.push(...page.requests);
    cursor = page.next_cursor;
  } while (cursor);
  return rows;
}

const rowOf = (gateway, id) => waitUntil(`request ${id} is on record`, async () => (await rowsOf(gateway)).find((row) => row.request_id === id));

// Asks again and again, some at once, until it is stopped: { ended: [{ id, status, at }], stop() }.
function load(gateway, { lanes = 8 } = {}) {
  const ended = [];
  let isStopped = false, count = 0;
  const lane = async () => {
    while (!isStopped) {
      const id = `load-${++count}`;
      const answer = await request(gateway.port, 'POST', '/api/generate', { body: { prompt: 'Hello', model: 'coordinator', stream: false }, headers: { 'x-request-id': id } }).catch((error) => ({ status: error.code ?? 'none' }));
      ended.push({ id, status: answer.status, at: performance.now() });
    }
  };
  const all = Array.from({ length: lanes }, lane);
  return { ended, stop: () => { isStopped = true; return Promise.all(all); } };
}

describe('a gateway that is asked', () => {
  let gateway;
  before(async () => { gateway = await startScripted({ roles: { ...kRoles, embedding: kEmbedding } }); });
  after(() => gateway?.dispose());

  test('has a row for each request, with what became of it', async () => {
    const answered = await gateway.generate({ prompt: 'Hello', model: 'technical', stream: false });
    const row = await rowOf(gateway, answered.headers['x-request-id']);
    const said = answered.json();
    assert.deepEqual({ ...row, id: 0, created_at: 0, queue_ms: 0, first_token_ms: 0, total_ms: 0 }, {
      id: 0, request_id: answered.headers['x-request-id'], created_at: 0, route: 'POST /api/generate', role: 'technical', model: said.model,
      backend: answered.headers['x-gbgreg-backend'], device: answered.headers['x-gbgreg-device'], key_id: null, status: 200, error_code: null,
      complexity: Number(answered.headers['x-gbgreg-complexity']), prompt_tokens: said.prompt_eval_count, completion_tokens: said.eval_count,
      queue_ms: 0, first_token_ms: 0, total_ms: 0, objective_ms: 5000,
    });
    assert.ok(row.total_ms >= row.first_token_ms && row.first_token_ms > 0 && row.queue_ms >= 0, JSON.stringify(row));
    assert.ok(Math.abs(Date.parse(row.created_at) - Date.now()) < 60_000 * kPatience, row.created_at);
  });

  test('in every dialect, streamed or not, and of what is no question', async () => {
    const messages = [{ role: 'user', content: 'Hello' }];
    const asked = [
      ['/api/chat', { messages, stream: true }], ['/v1/chat/completions', { model: 'auto', messages }], ['/v1/chat/completions', { model: 'auto', messages, stream: true }],
      ['/v1/completions', { model: 'auto', prompt: 'Hello' }], ['/v1/responses', { model: 'auto', input: 'Hello' }], ['/v1/messages', { model: 'auto', max_tokens: 50, messages }],
    ];
    for (const [path, body] of asked) {
      const answer = await gateway.request('POST', path, { body });
      assert.equal(answer.status, 200, answer.text);
      const row = await rowOf(gateway, answer.headers['x-request-id']);
      assert.equal(row.route, `POST ${path}`);
      assert.ok(row.role && row.completion_tokens > 0 && row.prompt_tokens > 0 && row.first_token_ms > 0, JSON.stringify(row));
    }
    const embedded = await gateway.request('POST', '/v1/embeddings', { body: { model: 'embedding', input: 'Hello' } });
    assert.equal(embedded.status, 200, embedded.text);
    const vectors = await rowOf(gateway, embedded.headers['x-request-id']);
    assert.equal(vectors.role, 'embedding');
    assert.ok(vectors.prompt_tokens > 0 && vectors.completion_tokens === 0 && vectors.objective_ms > 0, JSON.stringify(vectors));
    const tags = await gateway.get('/api/tags');
    assert.equal((await rowOf(gateway, tags.headers['x-request-id'])).role, null);
  });

  test('of what failed, with its code, and of a client that left', async () => {
    const unknown = await gateway.generate({ prompt: 'Hello', model: 'nobody' });
    const row = await rowOf(gateway, unknown.headers['x-request-id']);
    assert.deepEqual([row.status, row.error_code, row.role], [404, 'model_not_found', null]);
    const leaving = new AbortController();
    const left = await fetch(`http://127.0.0.1:${gateway.port}/api/generate`, { method: 'POST', signal: leaving.signal, headers: { 'x-request-id': 'who-leaves' }, body: JSON.stringify({ prompt: '[[tokens=1000 delay_ms=20]]', stream: true, model: 'coordinator' }) });
    await left.body.getReader().read();
    leaving.abort();
    assert.equal((await rowOf(gateway, 'who-leaves')).status, 499);
  });

  test('but for those who only watch, and for what is no route', async () => {
    const before = (await rowsOf(gateway)).length;
    for (const path of ['/health', '/health/live', '/metrics', '/api/version', '/api/analytics/summary', '/nothing/here']) await gateway.get(path);
    const last = await gateway.get('/api/tags');
    await rowOf(gateway, last.headers['x-request-id']);
    assert.equal((await rowsOf(gateway)).length, before + 1);
  });

  test('filters, pages and a file', async () => {
    const all = await rowsOf(gateway);
    const one = await analytics(gateway, 'requests?limit=1');
    assert.equal(one.requests[0].id, all[0].id);
    assert.equal((await analytics(gateway, `requests?limit=1&cursor=${one.next_cursor}`)).requests[0].id, all[1].id);
    assert.deepEqual(await rowsOf(gateway, '&status=404'), all.filter((row) => row.status === 404));
    assert.deepEqual(await rowsOf(gateway, '&status=4xx'), all.filter((row) => row.status >= 400 && row.status < 500));
    assert.deepEqual(await rowsOf(gateway, '&role=technical&status=200'), all.filter((row) => row.role === 'technical' && row.status === 200));
    assert.deepEqual(await rowsOf(gateway, `&route=${encodeURIComponent('POST /v1/messages')}`), all.filter((row) => row.route === 'POST /v1/messages'));
    const file = await gateway.get('/api/analytics/requests?format=csv&status=2xx');
    assert.match(file.headers['content-type'], /^text\/csv/);
    const lines = file.text.trimEnd().split('\r\n');
    const good = all.filter((row) => row.status < 300);
    assert.equal(lines.length, good.length + 1);
    assert.equal(lines[0].split(',').length, lines[1].split(',').length);
    assert.deepEqual(lines.slice(1).map((line) => line.split(',')[0]), good.map((row) => row.id));
    assertError(await gateway.get('/api/analytics/requests?status=abc'), 400, 'status_malformed');
  });

  test('sums and series say the same as the rows', async () => {
    await upload(gateway, 'int main() {}\n', 'x.cc');
    await waitUntil('the upload is on record', async () => (await rowsOf(gateway)).some((row) => row.route === 'POST /api/upload/file'));
    const last = await gateway.get('/api/tags');
    await rowOf(gateway, last.headers['x-request-id']);
    const rows = await rowsOf(gateway);
    const [summary, hour] = [await analytics(gateway, 'summary?window=24h'), await analytics(gateway, 'summary?window=1h')];
    const count = (want) => rows.filter(want).length;
    for (const figures of [summary, hour]) {
      assert.equal(figures.requests, rows.length);
      assert.equal(figures.errors, count((row) => row.status >= 400));
      assert.equal(figures.completion_tokens, rows.reduce((sum, row) => sum + row.completion_tokens, 0));
      assert.equal(figures.objective_met_percent, 100);
      assert.equal(figures.not_recorded, 0);
      assert.ok(figures.tokens_per_second > 0 && figures.total_ms.p99 >= figures.total_ms.p50 && figures.first_token_ms.p50 > 0, JSON.stringify(figures));
      for (const each of figures.by_role) assert.equal(each.requests, count((row) => row.role === each.role), each.role);
      for (const each of figures.by_route) assert.equal(each.requests, count((row) => row.route === each.route), each.route);
      for (const each of figures.by_status) assert.equal(each.requests, count((row) => row.status === each.status));
      assert.equal(figures.by_device.reduce((sum, each) => sum + each.share_percent, 0), 100);
      assert.deepEqual(figures.uploads, { files: 1, bytes: 14, by_kind: [{ kind: 'code', files: 1, bytes: 14 }] });
    }
    const { series, bucket_seconds: bucket } = await analytics(gateway, 'timeseries?metric=requests&by=role&window=1h');
    assert.equal(bucket, 60);
    for (const each of series) {
      assert.equal(each.points.length, 60);
      assert.equal(each.points.reduce((sum, point) => sum + point, 0), count((row) => row.role === each.role), each.role);
    }
    const total = await analytics(gateway, 'timeseries?metric=total_p95&window=24h');
    assert.equal(total.series.length, 1);
    assert.ok(total.series[0].points.some((point) => point > 0) && total.series[0].points.includes(null));
  });

  test('and whoever watches sees each as it comes', async () => {
    const stream = await fetch(`http://127.0.0.1:${gateway.port}/api/analytics/events`);
    const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader.read()).value;
    const answered = await gateway.generate('Hello');
    while (!text.includes(answered.headers['x-request-id'])) text += (await reader.read()).value;
    assert.match(text, /event: request\ndata: \{"id":/);
    await reader.cancel();
  });
});

test('with keys, rows and sums say whose they were, to admins only', async () => {
  const gateway = await startScripted({ roles: kRoles, ready: false });
  try {
    const admin = await makeKey(gateway.data, 'admin', '--admin'), ada = await makeKey(gateway.data, 'ada');
    await isKnown(gateway, ada.secret);
    await isKnown(gateway, admin.secret);
    const by = { headers: bearer(admin.secret) };
    const answered = await gateway.request('GET', '/api/tags', { headers: bearer(ada.secret) });
    assert.equal(answered.status, 200);
    assertError(await gateway.get('/api/analytics/summary', { headers: bearer(ada.secret) }), 403, 'admin_only');
    const row = await waitUntil('it is on record', async () => (await rowsOf(gateway, '', by)).find((each) => each.request_id === answered.headers['x-request-id']));
    assert.equal(row.key_id, ada.id);
    assert.deepEqual((await rowsOf(gateway, `&key=${ada.id}`, by)).map((each) => each.key_id), [ada.id]);
    const { by_key: keys } = await analytics(gateway, 'summary?window=1h', by);
    assert.deepEqual(keys.map(({ key, name, requests }) => ({ key, name, requests })), [{ key: ada.id, name: 'ada', requests: 1 }]);
    assert.ok(!(await rowsOf(gateway, '', by)).some((each) => each.status === 401), 'strangers leave no rows');
  } finally {
    await gateway.dispose();
  }
});

test('what was said is kept only where the owner wants it, in every dialect', async () => {
  const gateway = await startScripted({ roles: { ...kRoles, technical: null }, more: { records: { keep_texts_days: 1 } } });
  try {
    const messages = [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Wie groß? [[text="So groß."]]' }];
    const both = 'system: Be brief.\nuser: Wie groß? [[text="So groß."]]\n', alone = messages[1].content;
    const asked = [
      ['/api/generate', { prompt: alone, stream: false }, alone], ['/api/generate', { prompt: alone, stream: true }, alone],
      ['/api/chat', { messages, stream: false }, both],
      ['/v1/chat/completions', { model: 'auto', messages }, both], ['/v1/chat/completions', { model: 'auto', messages, stream: true }, both],
      ['/v1/messages', { model: 'auto', max_tokens: 50, messages: [messages[1]] }, alone], ['/v1/responses', { model: 'auto', input: alone }, alone],
    ];
    for (const [path, body, prompt] of asked) {
      const answer = await gateway.request('POST', path, { body });
      assert.equal(answer.status, 200, answer.text);
      const row = await rowOf(gateway, answer.headers['x-request-id']);
      const said = await waitUntil('it is kept', async () => { const one = await analytics(gateway, `requests/${row.id}`); return one.prompt !== null && one; });
      assert.deepEqual([said.request, said.prompt, said.answer], [row, prompt, 'So groß.'], path);
    }
    const older = await gateway.request('POST', '/v1/completions', { body: { model: 'auto', prompt: alone } });
    const row = await rowOf(gateway, older.headers['x-request-id']);
    assert.match((await waitUntil('it is kept', async () => { const one = await analytics(gateway, `requests/${row.id}`); return one.answer !== null && one; })).answer, /So groß\./);
  } finally {
    await gateway.dispose();
  }
});

// Writes to the disk again and again until it is stopped, and then says how many ms that took at most: a delay that is not
// the gateway's.
function probe(file) {
  let slowest = 0, isOver = false;
  const probing = (async () => {
    const handle = await fs.promises.open(file, 'w');
    while (!isOver) {
      const begun = performance.now();
      await handle.write('x', 0);
      await handle.datasync();
      slowest = Math.max(slowest, performance.now() - begun);
      await new Promise((again) => setTimeout(again, 20));
    }
    await handle.close();
    return slowest;
  })();
  return { stop: () => { isOver = true; return probing; } };
}

test('a gateway that is killed loses the last second of records at most', async () => {
  const gateway = await startScripted({ roles: { ...kRoles, technical: null } });
  const asking = load(gateway), disk = probe(path.join(gateway.folder, 'probe'));
  try {
    await waitUntil('there are some', () => asking.ended.length > 200, { deadlineMs: 30_000 * kPatience });
    await waitUntil('more than a second has passed', () => asking.ended.at(-1).at - asking.ended[0].at > 2_000 * kPatience, { deadlineMs: 30_000 * kPatience });
    const killed = performance.now();
    await gateway.kill();
    await asking.stop();
    const slowestMs = await disk.stop();
    await gateway.launch();
    const known = new Set((await rowsOf(gateway)).map((row) => row.request_id));
    const old = asking.ended.filter(({ status, at }) => status === 200 && at < killed - 1_000 * kPatience - 2 * slowestMs);
    const lost = asking.ended.filter(({ id, status, at }) => status === 200 && at < killed && !known.has(id));
    assert.ok(old.length > 50, `${old.length}`);
    assert.deepEqual(old.filter(({ id }) => !known.has(id)), []);
    console.log(`killed: ${known.size} on record, ${lost.length} lost, the oldest of them ${Math.round(killed - Math.min(killed, ...lost.map(({ at }) => at)))} ms before`);
    const summary = await analytics(gateway, 'summary?window=1h');
    assert.equal(summary.requests, known.size, 'rows and sums are written together');
  } finally {
    await Promise.all([asking.stop(), disk.stop()]);
    await gateway.dispose();
  }
});

test('a time without PostgreSQL fails no request and loses no record', { skip: kOnPostgres ? false : 'on PostgreSQL only' }, async () => {
  const server = await PostgresServer.start();
  const gateway = await startScripted({ roles: { ...kRoles, technical: null }, environment: { GBGREG_DATABASE: server.newDatabase() } });
  let asking;
  try {
    const figure = async (name) => parseMetrics((await gateway.get('/metrics')).text).samples.get(name)?.[0].value ?? 0;
    asking = load(gateway);
    await waitUntil('there are some', () => asking.ended.length > 100, { deadlineMs: 30_000 * kPatience });
    const before = memoryOf(gateway.pid).VmRSS;
    await server.stop();
    const [begun, stopped] = [asking.ended.length, performance.now()];
    await waitUntil('it was away for long', () => performance.now() - stopped > kAwaySeconds * 1000, { deadlineMs: (kAwaySeconds + 10) * 1000 });
    assert.ok(asking.ended.length > begun + 50 && await figure('gbgreg_records_spool_bytes') > 0);
    const away = asking.ended.length - begun;
    await server.start();
    const [again, back] = [await figure('gbgreg_records_written_total'), performance.now()];
    await waitUntil('rows are written while others come', async () => await figure('gbgreg_records_written_total') > again, { deadlineMs: 60_000 });
    // For a while as they come; on a machine that has too much to do they could go on coming faster than they are written.
    await waitUntil('the file is written, or others came for long', async () => await figure('gbgreg_records_spool_bytes') === 0 || performance.now() - back > kAskedWhileWrittenMs, { deadlineMs: 2 * kAskedWhileWrittenMs });
    await asking.stop();
    await waitUntil('the file is written to the database', async () => await figure('gbgreg_records_spool_bytes') === 0, { deadlineMs: (60 + kAwaySeconds) * 1000 });
    assert.deepEqual(asking.ended.filter(({ status }) => status !== 200), []);
    const ids = await waitUntil('all are on record', async () => {
      const rows = (await rowsOf(gateway)).map((row) => row.request_id).filter((id) => id.startsWith('load-'));
      return rows.length >= asking.ended.length && rows;
    }, { deadlineMs: 30_000 * kPatience });
    const there = new Set(ids);
    assert.equal(there.size, ids.length, 'none is there twice');
    assert.deepEqual(asking.ended.filter(({ id }) => !there.has(id)), []);
    assert.equal(await figure('gbgreg_records_dropped_total'), 0);
    const summary = await analytics(gateway, 'summary?window=1h');
    assert.equal(summary.requests, ids.length);
    const grown = memoryOf(gateway.pid).VmRSS - before;
    console.log(`away for ${kAwaySeconds} s: ${away} requests meanwhile, ${ids.length} in all, each on record once; memory grew by ${(grown / 1e6).toFixed(1)} MB`);
    if (!kSanitized) assert.ok(grown < kMemoryGrowthMax, `${grown}`);
  } finally {
    await asking?.stop();
    await gateway.dispose();
    server.end();
  }
});

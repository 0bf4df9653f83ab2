// GET /metrics of a gateway that has been at work, beside docs/metrics.md, and by role.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { kEmbedding, kRoles, startScripted } from '../support/gateway.mjs';
import { documentedMetrics } from '../support/metrics_list.mjs';
import { answerWell, ScriptedServer, status } from '../support/outside.mjs';
import { upload } from '../support/uploads.mjs';
import { waitUntil } from '../support/wait.mjs';

const kAnswer = { work: 'answer' };

// What the text says, strictly: each family once, its help, its type, its samples, in that order, and with a line each.
function families(text) {
  const found = new Map();
  let open;
  for (const line of text.split('\n').slice(0, -1)) {
    const help = /^# HELP (\S+) (\S.*)$/.exec(line);
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (help) {
      assert.ok(!found.has(help[1]), `${help[1]} stands there twice`);
      open = { name: help[1], labels: new Set(), samples: 0 };
      found.set(help[1], open);
    } else if (type) {
      assert.equal(type[1], open?.name, `a type without its help: ${line}`);
      assert.equal(open.type, undefined, line);
      open.type = type[2];
    } else {
      const sample = /^([a-z0-9_]+)(?:\{(.*)\})? \S+$/.exec(line);
      assert.ok(sample && open?.type, `a sample without its family: ${line}`);
      assert.equal(sample[1].replace(open.type === 'histogram' ? /_(bucket|sum|count)$/ : '', ''), open.name, line);
      for (const [, label] of (sample[2] ?? '').matchAll(/(?:^|,)([a-z_]+)="(?:[^"\\]|\\.)*"/g)) open.labels.add(label);
      open.samples += 1;
    }
  }
  return found;
}

describe('a gateway that has been at work', () => {
  let gateway, den, attic;

  before(async () => {
    den = await ScriptedServer.start(status(500));
    // Slower than one that nobody has measured yet counts as, so the other of the two is tried as well.
    attic = await ScriptedServer.start((...asked) => { setTimeout(() => answerWell(...asked), 20); });
    gateway = await startScripted({
      roles: { embedding: kEmbedding },
      // With all that has figures of its own.
      more: { records: { keep_texts_days: 1 }, servers: { den: { kind: 'openai', url: den.url }, attic: { kind: 'openai', url: attic.url } } },
      prepare: (prepared) => prepared.configure((config) => {
        config.roles.outside = { models: [{ model: 'far', server: ['den', 'attic'] }, { model: 'farther', server: 'attic' }] };
      }),
    });
  });
  after(async () => {
    await gateway?.dispose();
    for (const server of [den, attic]) await server?.close();
  });
  const counted = (name, labels, value) => waitUntil(`${name} ${JSON.stringify(labels)} is ${value}`, async () => await gateway.metric(name, labels) === value);

  test('says how requests of each role ended, and what they took', async () => {
    assert.equal(await gateway.metric('gbgreg_model_requests_total', { role: 'technical', outcome: 'answered' }), 0, 'a role is there from the start');
    const asked = { model: 'technical', stream: false };
    for (let i = 0; i < 2; ++i) assert.equal((await gateway.generate({ prompt: 'Hello [[tokens=7]]', ...asked })).status, 200);
    const body = { model: 'demo-technical', messages: [{ role: 'user', content: 'Hello [[tokens=5]]' }] };
    assert.equal((await gateway.request('POST', '/v1/chat/completions', { body })).status, 200);
    assert.equal((await gateway.generate({ prompt: 'Hello', model: 'unknown' })).status, 404);
    const role = { role: 'technical', model: 'demo-technical', ...kAnswer };
    await counted('gbgreg_model_requests_total', { ...role, outcome: 'answered' }, 3);
    await counted('gbgreg_model_requests_total', { role: 'none', ...kAnswer, outcome: 'not_found' }, 1);
    await counted('gbgreg_completion_tokens_total', role, 19);
    assert.ok(await gateway.metric('gbgreg_prompt_tokens_total', role) > 0);
    for (const name of ['queue', 'first_token', 'answer']) await counted(`gbgreg_${name}_seconds_count`, role, 3);
    await counted('gbgreg_model_requests_in_flight', {}, 0);
    const met = await gateway.metric('gbgreg_objective_met_total', role) + await gateway.metric('gbgreg_objective_missed_total', role);
    assert.equal(met, 3);
  });

  test('says which objective was missed, who left, and who is on the way', async () => {
    gateway.configure((config) => { config.roles.documentation.objective_ms = 1; });
    assert.equal((await gateway.reload()).status, 200);
    assert.equal((await gateway.generate({ prompt: 'Hello [[head_delay_ms=20]]', model: 'documentation', stream: false })).status, 200);
    await counted('gbgreg_objective_missed_total', { role: 'documentation' }, 1);
    assert.equal(await gateway.metric('gbgreg_worker_objective_seconds', { role: 'documentation' }), 0.001);

    const stream = await gateway.stream({ prompt: 'Hello [[stall_after=1]]', model: 'coordinator' });
    await counted('gbgreg_model_requests_in_flight', { role: 'coordinator' }, 1);
    stream.cut();
    await counted('gbgreg_model_requests_total', { role: 'coordinator', outcome: 'cancelled' }, 1);
    await counted('gbgreg_model_requests_in_flight', { role: 'coordinator' }, 0);
  });

  test('says what embeds, and what it read', async () => {
    const answer = await gateway.request('POST', '/v1/embeddings', { body: { model: 'embedding', input: ['one', 'two'] } });
    assert.equal(answer.status, 200, answer.text);
    const role = { role: 'embedding', work: 'embedding' };
    await counted('gbgreg_model_requests_total', { ...role, outcome: 'answered' }, 1);
    assert.ok(await gateway.metric('gbgreg_prompt_tokens_total', role) > 0);
  });

  test('tells the same model on two servers apart, and counts what one gave to the other', async () => {
    const servers = async (name) => (await gateway.metrics()).samples.get(name).filter(({ labels }) => labels.role === 'outside').map(({ labels }) => labels.server).sort();
    assert.deepEqual(await servers('gbgreg_worker_slots'), ['attic', 'attic', 'den']);
    assert.equal(await gateway.metric('gbgreg_worker_state', { role: 'outside', server: 'attic', model: 'farther', state: 'ready' }), 1);
    for (let i = 0; i < 4; ++i) assert.equal((await gateway.generate({ prompt: 'Hello', model: 'far', stream: false })).status, 200);
    await counted('gbgreg_model_requests_total', { role: 'outside', model: 'far', outcome: 'answered' }, 4);
    assert.ok(await gateway.metric('gbgreg_retries_total', { role: 'outside' }) >= 1);
  });

  test('says how workers, stores and uploads are', async () => {
    for (const role of kRoles) {
      assert.equal(await gateway.metric('gbgreg_worker_state', { role, state: 'ready' }), 1);
      assert.equal(await gateway.metric('gbgreg_worker_state', { role }), 1, 'one state at a time');
      assert.equal(await gateway.metric('gbgreg_worker_device', { role }), 1);
    }
    await upload(gateway, 'hello', 'a.txt');
    assert.equal(await gateway.metric('gbgreg_uploads_total'), 1);
    assert.equal(await gateway.metric('gbgreg_upload_bytes_total'), 5);
    assert.equal(await gateway.metric('gbgreg_database_up'), 1);
    assert.equal(await gateway.metric('gbgreg_storage_up'), 1);
    assert.ok(await gateway.metric('gbgreg_storage_free_bytes') > 0);
    assert.equal(await gateway.metric('gbgreg_build_info', { version: gateway.version }), 1);
  });

  test('says nothing that docs/metrics.md does not, and leaves nothing out', async () => {
    const { text } = await gateway.get('/metrics');
    const listed = new Map(documentedMetrics().map((metric) => [metric.name, metric]));
    const said = families(text);
    for (const { name, type, labels } of said.values()) {
      assert.ok(listed.has(name), `${name} is not in docs/metrics.md`);
      assert.equal(type, listed.get(name).type, name);
      const known = [...listed.get(name).labels, ...(type === 'histogram' ? ['le'] : [])];
      assert.deepEqual([...labels].filter((label) => !known.includes(label)), [], `labels of ${name}`);
    }
    const quiet = [...listed.keys()].filter((name) => !said.has(name));
    assert.deepEqual(quiet, [], 'listed, but no family of a gateway');
  });
});

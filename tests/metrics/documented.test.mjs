// docs/metrics.md says what there is: no metric of the source is missing there, none is there that is not in the source, and
// the dashboard asks for nothing else. It only reads files; tests/e2e/metrics compares the list with a gateway.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { documentedMetrics, kRoot, readExpression, readMetricsList } from '../support/metrics_list.mjs';

const listed = documentedMetrics();
const byName = new Map(listed.map((metric) => [metric.name, metric]));
// What Prometheus itself adds to each series.
const kAdded = ['instance', 'job'];

function* sources(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* sources(path);
    else if (/\.cc$/.test(name) && !/_test\.cc$/.test(name)) yield path;
  }
}

// A name is a string of its own there. Tables of the database are called likewise, but live in rooms that make no metrics.
function namesIn(text) {
  return [...text.matchAll(/"(gbgreg_[a-z0-9_]+)"/g)].map(([, name]) => name);
}
const kRoomsWithTables = ['storage'];
const kNoMetrics = new Set(['gbgreg_keys', 'gbgreg_request_rollups']);

test('each metric of the source is in the list, and each of the list in the source', () => {
  const made = new Set();
  for (const path of sources(join(kRoot, 'src'))) {
    if (kRoomsWithTables.some((room) => path.startsWith(join(kRoot, 'src', room)))) continue;
    for (const name of namesIn(readFileSync(path, 'utf8'))) if (!kNoMetrics.has(name)) made.add(name);
  }
  assert.ok(made.size > 20, 'the source was read');
  assert.deepEqual([...made].filter((name) => !byName.has(name)), [], 'not documented');
  assert.deepEqual(listed.map(({ name }) => name).filter((name) => !made.has(name)), [], 'documented, but nowhere in the source');
});

test('the list names each once, and by the conventions of Prometheus', () => {
  assert.equal(byName.size, listed.length, 'a metric is listed twice');
  for (const { name, type, unit } of listed) {
    assert.equal(name.endsWith('_total'), type === 'counter', `${name}: counters, and only they, end in _total`);
    if (type === 'histogram') assert.match(name, /_seconds$/, name);
    if (unit === 'bytes') assert.match(name, /_bytes(_total)?$/, name);
    if (/^seconds/.test(unit)) assert.match(name, /_seconds$/, name);
    assert.doesNotMatch(name, /_(bucket|sum|count)$/, `${name} would be taken for a part of a histogram`);
  }
});

test('the dashboard asks for nothing that is not in the list, of a Prometheus that its reader chooses', () => {
  const dashboard = JSON.parse(readFileSync(join(kRoot, 'deploy', 'grafana', 'gbgreg.json'), 'utf8'));
  const variables = dashboard.templating.list;
  assert.equal(variables.find(({ name }) => name === 'datasource')?.type, 'datasource');
  const expressions = variables.filter(({ type }) => type === 'query').map(({ query }) => query.query);
  const ids = new Set();
  for (const panel of dashboard.panels) {
    assert.ok(!ids.has(panel.id), `two panels have the id ${panel.id}`);
    ids.add(panel.id);
    if (panel.type === 'row') continue;
    for (const one of [panel, ...panel.targets]) assert.deepEqual(one.datasource, { type: 'prometheus', uid: '${datasource}' }, panel.title);
    expressions.push(...panel.targets.map(({ expr }) => expr));
  }
  assert.ok(expressions.length > 30, 'the panels were read');
  for (const expression of expressions) {
    const { names, grouped } = readExpression(expression);
    assert.ok(names.length > 0, `no metric in ${expression}`);
    for (const { name, labels } of names) {
      const family = byName.get(name) ?? byName.get(name.replace(/_(bucket|sum|count)$/, ''));
      assert.ok(family, `${name} is not in docs/metrics.md: ${expression}`);
      assert.equal(family.name !== name, family.type === 'histogram', `a histogram is read by its parts: ${expression}`);
      if (family.type === 'counter') assert.match(expression, /\b(rate|increase)\(/, `a counter is read by its rate: ${expression}`);
      const known = [...family.labels, ...kAdded, ...(family.type === 'histogram' ? ['le'] : [])];
      for (const label of [...labels, ...grouped]) assert.ok(known.includes(label), `${name} has no label ${label}: ${expression}`);
    }
  }
});

test('the checks themselves see what is wrong', () => {
  assert.throws(() => readMetricsList('| `gbgreg_x` | countre | | x | y |'), /not a row/);
  assert.throws(() => readMetricsList('| `gbgreg_x` | counter | role | x | y |'), /not a row/);
  assert.deepEqual(readMetricsList('| `gbgreg_x_total` | counter | `a`, `b` | x | y |')[0].labels, ['a', 'b']);
  assert.deepEqual(readMetricsList('| `gbgreg_x` | gauge | | x | y |')[0].labels, []);
  assert.deepEqual(namesIn('registry.counter("gbgreg_x_total", "gbgreg_y of z");'), ['gbgreg_x_total']);
  assert.deepEqual(readExpression('sum by (role, le) (rate(gbgreg_x_bucket{role=~"$role",a!="b"}[1m]))'),
    { names: [{ name: 'gbgreg_x_bucket', labels: ['role', 'a'] }], grouped: ['role', 'le'] });
});

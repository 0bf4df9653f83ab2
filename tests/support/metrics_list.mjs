// docs/metrics.md as a list: what is documented of each metric.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const kRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const kTypes = ['counter', 'gauge', 'histogram'];

// [{ name, type, labels, unit, meaning }], in their order. A row that looks like one of a metric and cannot be read is an error.
export function readMetricsList(text) {
  const found = [];
  for (const line of text.split('\n')) {
    if (!line.startsWith('| `gbgreg_')) continue;
    const row = /^\| `(gbgreg_[a-z0-9_]+)` \| (\w+) \| ((?:`[a-z_]+`(?:, )?)*) ?\| ([^|]+) \| ([^|]+) \|$/.exec(line);
    if (!row || !kTypes.includes(row[2])) throw new Error(`not a row of the list: ${line}`);
    const [, name, type, labels, unit, meaning] = row;
    found.push({ name, type, labels: [...labels.matchAll(/`([a-z_]+)`/g)].map(([, label]) => label), unit, meaning });
  }
  return found;
}

export const documentedMetrics = () => readMetricsList(readFileSync(join(kRoot, 'docs', 'metrics.md'), 'utf8'));

// Names of metrics and labels as an expression of Prometheus uses them: [{ name, labels }], and what stands in `by (…)`.
export function readExpression(expression) {
  const names = [...expression.matchAll(/\b(gbgreg_[a-z0-9_]+)(?:\{([^}]*)\})?/g)].map(([, name, matchers = '']) => ({
    name, labels: [...matchers.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label),
  }));
  const grouped = [...expression.matchAll(/\b(?:by|without)\s*\(([^)]*)\)/g)].flatMap(([, list]) => list.split(',').map((label) => label.trim()));
  return { names, grouped };
}

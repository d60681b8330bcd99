// deploy/terraform against the product, read as text: the same consumers and roles, names of settings, an alarm for each
// alert of Prometheus, metrics with labels that exist, queues as the product names them. `npm run test:deploy` has
// Terraform read the files, and the product the environment that comes of them.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { projections, subscriptions } from '../../src/flow/subscriptions.ts';
import { settings } from '../../src/main/settings.ts';
import { root, textOf } from './services.ts';

const folder = 'deploy/terraform';
const code = readdirSync(join(root, folder))
  .filter((file) => file.endsWith('.tf'))
  .map((file) => textOf(join(folder, file)).replaceAll(/^\s*#.*$/gm, ''))
  .join('\n');

describe('the stack on AWS', () => {
  it('has a service for every consumer of the table of subscriptions, and knows which of them share work', () => {
    assert.deepEqual(
      listOf('job_consumers'),
      subscriptions.map(({ consumer }) => consumer),
    );
    assert.deepEqual(
      listOf('projections'),
      projections.map(({ consumer }) => consumer),
    );
    assert.match(code, /\{ api = \["api"\], relay = \["relay"\] \}/);
  });

  it('sets names that are settings', () => {
    const readers = [
      'PGPASSWORD',
      'APP_PASSWORD',
      'METRICS_TOKEN',
      'AOT_CONFIG_CONTENT',
      'OTEL_EXPORTER_OTLP_ENDPOINT',
    ];
    const inMaps = [...code.matchAll(/^\s+([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)\s+=/gm)].map(([, name = '']) => name);
    const inLists = [...code.matchAll(/\{ name\s*=\s*"([A-Z][A-Z0-9_]+)"/g)].map(([, name = '']) => name);
    const named = [...inMaps, ...inLists];
    assert.ok(named.length > 15, named.join());
    assert.deepEqual(
      named.filter((name) => !(name in settings) && !readers.includes(name)),
      [],
    );
  });

  it('has an alarm for each alert of Prometheus, and names of alerts that are there', () => {
    const rules = textOf('deploy/prometheus/orderly.rules.yml');
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = '']) => name);
    const alarms = new Set([...code.matchAll(/\b(Orderly[A-Z]\w+)/g)].map(([, name = '']) => name));
    assert.deepEqual([...alarms].sort(), alerts.sort());
  });

  it('names pages that the runbook has', () => {
    const headings = [...textOf('docs/runbook.md').matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    const pages = [...code.matchAll(/(?:page\s+= |page = |\$\{local\.pages\})"?([a-z-]+)"/g)].map(
      ([, page = '']) => page,
    );
    assert.ok(pages.length > 12, pages.join());
    assert.deepEqual(
      pages.filter((page) => !headings.includes(page)),
      [],
    );
  });

  it('publishes metrics that the product has, by labels that they have, and asks for nothing else', () => {
    const labels = documentedLabels();
    const published = [...code.matchAll(/^\s+(orderly_\w+)\s+= \[([^\]]*)\]/gm)].map(([, name = '', set = '']) => ({
      name,
      labels: [...set.matchAll(/"(\w+)"/g)].map(([, label = '']) => label),
    }));
    assert.ok(published.length > 10);
    for (const { name, labels: told } of published) {
      const known = labels.get(name);
      assert.ok(known, `${name} is no metric of docs/observability.md`);
      assert.deepEqual(
        told.filter((label) => label !== 'service' && !known.includes(label)),
        [],
        name,
      );
    }
    const names = published.map(({ name }) => name);
    const elsewhere = code.replace(/^ {2}published = \{[^}]*\}/m, '');
    const asked = new Set([...elsewhere.matchAll(/\b(orderly_[a-z_]{4,})\b/g)].map(([, name = '']) => name));
    for (const user of ['orderly_owner', 'orderly_app']) asked.delete(user);
    assert.deepEqual([...asked].sort(), names.toSorted());
  });

  it('makes queues as the product would: the same name, order and times', () => {
    const queues = textOf('src/io/sqs/queues.ts');
    const visibility = /visibilityS = (\d+)/.exec(queues)?.[1];
    assert.match(code, new RegExp(`visibility_timeout_seconds\\s+= ${visibility}\\b`));
    assert.match(queues, /retentionS = 4 \* 86_400;/);
    assert.match(code, new RegExp(`message_retention_seconds\\s+= ${4 * 86_400}\\b`));
    assert.match(code, /name\s+= "\$\{var\.name\}-\$\{each\.key\}\.fifo"/);
    assert.match(code, /SQS_QUEUE_PREFIX\s+= "\$\{var\.name\}-"/);
  });
});

function listOf(name: string): string[] {
  const [, list = ''] = new RegExp(`\\b${name}\\s+= \\[([^\\]]*)\\]`).exec(code) ?? [];
  return [...list.matchAll(/"(\w+)"/g)].map(([, one = '']) => one);
}

// The tables of docs/observability.md, which a run on a real Prometheus holds to the product.
function documentedLabels(): ReadonlyMap<string, readonly string[]> {
  const rows = textOf('docs/observability.md')
    .split('\n')
    .filter((line) => line.startsWith('| `orderly_'))
    .map((line) => line.split('|').map((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, word = '']) => word)));
  return new Map(rows.flatMap(([, names = [], labels = []]) => names.map((name) => [name, labels] as const)));
}

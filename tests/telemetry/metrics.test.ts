import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetrics } from '../../src/io/telemetry/metrics.ts';

describe('the metrics', () => {
  it('are named as Prometheus has it: a counter ends with _total and nothing else does, and each says what it is', async () => {
    const { body } = await createMetrics(async () => ({ unreadSeconds: new Map(), openDeadLetters: 0 })).scrape();
    const types = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    assert.ok(types.length > 20);
    for (const [, name = '', type] of types) {
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      assert.match(body, new RegExp(`^# HELP ${name} \\S`, 'm'));
    }
  });
});

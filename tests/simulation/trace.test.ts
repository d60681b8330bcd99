// What a person reads of a failing seed: the story of one order, and the command that tells it.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createTrace, rowInWords } from './trace.ts';

describe('the story of an order', () => {
  it('begins with its first line, and leaves out what is about others', () => {
    const trace = createTrace({ nowMs: () => 1_000, keepsLines: true });
    trace.note('api-1.1', 'killed', '');
    trace.note('api-1.2', 'orders by accept-orders', 'PENDING', 'order-1');
    trace.note('api-1.2', 'orders by accept-orders', 'PENDING', 'order-2');
    trace.note('api-1.2', 'warns', 'events could not be published; they stay owed');
    trace.note('api-1.2', 'COMMIT of accept-orders', 'after: crash');
    trace.note('worker-1.1', 'payments.authorize', 'ok', 'order-1');
    const told = trace.lines('order-1').map((line) => line.trim().split(/ {2,}/).slice(1).join(' '));
    assert.deepEqual(told, [
      'api-1.2 orders by accept-orders PENDING',
      'api-1.2 COMMIT of accept-orders after: crash',
      'worker-1.1 payments.authorize ok',
    ]);
    assert.deepEqual(trace.lines('order-3'), []);
    assert.equal(trace.lines().length, 6);
  });

  it('tells of a changed row which one it is and what has changed', () => {
    const before = { order_id: 'order-1', consumer: 'payment', state: 'waiting', attempt: 1, due_at: new Date(500) };
    const after = { ...before, state: 'running', due_at: null };
    assert.equal(rowInWords(before, after), 'payment, state waiting → running, due_at 00:00:00.500Z → null');
    assert.equal(rowInWords(null, after), 'consumer payment, state running, attempt 1');
  });

  it('is told by a command that refuses what it does not understand', () => {
    const command = join(import.meta.dirname, 'simulate.ts');
    for (const args of [
      ['--order', 'order-1'],
      ['--all', '--seeds', '2'],
      ['--seed', '0'],
      ['--sed', '1'],
    ]) {
      const { status, stdout } = spawnSync(process.execPath, [command, ...args], { encoding: 'utf8' });
      assert.deepEqual({ status, stdout }, { status: 2, stdout: '' }, args.join(' '));
    }
  });
});

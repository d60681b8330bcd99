import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OutsideError } from '../../../src/engine/ports.ts';
import type { Payments } from '../../../src/flow/ports.ts';
import { authorizePayment } from '../../../src/flow/steps/authorize-payment.ts';
import { effectWith, orderWith, someTime, workOn } from '../../support/orders.ts';

const trouble = { class: 'retryable', code: 'not-now', message: 'status 503', dependencyDown: false } as const;
const spent: Payments = {
  keyWindowMs: 86_400_000,
  authorize: async () => ({ outcome: 'spent', code: 'broken' }),
  void: async () => assert.fail('nobody asked for it'),
  lookup: async () => {
    throw new OutsideError(trouble);
  },
};
const step = authorizePayment(spent, { now: () => someTime });
const recordOf = (status: 'PROCESSING' | 'CANCELED') => ({
  order: orderWith({ status }),
  effects: { authorization: effectWith('authorization') },
});

describe('a core step', () => {
  it('is in doubt while nobody says what became of a failure that its partner repeats', async () => {
    const work = workOn(recordOf('PROCESSING'));
    await assert.rejects(step.perform(work, new AbortController().signal), ({ trouble: told }: OutsideError) => {
      assert.deepEqual(told, { ...trouble, class: 'unknown' });
      return true;
    });
  });

  it('that gives up after the cancel has nothing to park, and nothing to try again', () => {
    const record = recordOf('CANCELED');
    const work = workOn(record);
    assert.equal(step.parked(record, work, trouble, someTime), 'obsolete');
    assert.equal(step.retried(record, work, trouble, true, someTime), 'obsolete');
  });
});

// How long a partner is trusted to remember a key: until a call that begins now would have ended, and not longer.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Partners } from '../../../src/flow/ports.ts';
import { boundPartners } from '../../../src/flow/steps/outside.ts';
import { createVirtualSystem } from '../../support/virtual-system.ts';

const refuse = () => Promise.reject(new Error('nobody is called here'));
function windowsOf(keyWindowMs: number, timeoutMs: number): number[] {
  const partners: Partners = {
    payments: { keyWindowMs, authorize: refuse, void: refuse, lookup: refuse },
    carrier: { keyWindowMs, book: refuse, recall: refuse, lookup: refuse },
    mail: { send: refuse },
  };
  const { payments, carrier } = boundPartners(partners, timeoutMs, createVirtualSystem());
  return [payments.keyWindowMs, carrier.keyWindowMs];
}

describe('the time for which a partner is trusted to remember a key', () => {
  it('ends early enough for a call that begins at its last moment, with clocks a second apart', () => {
    assert.deepEqual(windowsOf(86_400_000, 5_000), [86_394_000, 86_394_000]);
  });

  it('is none where a call may take longer, or where the partner remembers nothing', () => {
    assert.deepEqual(windowsOf(4_000, 5_000), [0, 0]);
    assert.deepEqual(windowsOf(0, 5_000), [0, 0]);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Count } from '../../../src/flow/projections/analytics.ts';
import { type AnalyticsReads, checkDay } from '../../../src/flow/verify/analytics.ts';

const day = '2026-11-21';
const line = (count: number, value = 'PENDING'): Count => ({
  ...{ day, measure: 'status', value, currency: 'EUR', country: 'DE' },
  ...{ count, amount: BigInt(count * 100) },
});
const readsOf = (lines: readonly Count[], parts: readonly (readonly Count[])[]): AnalyticsReads => ({
  lines: async () => ({ lines, readTo: '9', gaps: '{[3,4)}' }),
  counted: async function* (of, cursor) {
    // Of the moment at which the lines were read.
    assert.deepEqual([of, cursor], [day, { readTo: '9', gaps: '{[3,4)}' }]);
    yield* parts;
  },
});
const check = (reads: AnalyticsReads) => checkDay(reads, day, () => {});

describe('the analytics of a day against its events', () => {
  it('are equal where both say the same, however the events are dealt out', async () => {
    const reads = readsOf([line(3)], [[line(1)], [line(4)], [line(-2), line(2, 'FAILED'), line(-2, 'FAILED')]]);
    assert.deepEqual(await check(reads), []);
  });

  it('are named line by line where they differ, on either side', async () => {
    const found = await check(readsOf([line(3), line(1, 'FAILED')], [[line(2), line(5, 'CANCELED')]]));
    assert.deepEqual(found.map(({ subject, what }) => `${subject} ${what}`).toSorted(), [
      `${day} status CANCELED EUR DE: the analytics say 0 (0), the events 5 (500)`,
      `${day} status FAILED EUR DE: the analytics say 1 (100), the events 0 (0)`,
      `${day} status PENDING EUR DE: the analytics say 3 (300), the events 2 (200)`,
    ]);
  });
});

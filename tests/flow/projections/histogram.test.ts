import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { bucketOf, errorMax, estimateOf, percentileOf } from '../../../src/flow/projections/histogram.ts';

// From a millisecond to three months, evenly over the orders of magnitude.
const duration = fc.double({ min: 0, max: Math.log(8e9), noNaN: true }).map((power) => Math.round(Math.exp(power)));
const durations = fc.array(duration, { minLength: 1, maxLength: 200 });

const counted = (some: readonly number[]) =>
  [...Map.groupBy(some, bucketOf)].map(([bucket, group]) => ({ bucket, count: group.length }));

describe('the histogram of durations', () => {
  it('estimates a duration within its error', () => {
    fc.assert(
      fc.property(duration, (ms) => {
        // A little more for the rounding of powers.
        assert.ok(Math.abs(estimateOf(bucketOf(ms)) - ms) <= ms * errorMax * 1.000_001, `${ms}`);
      }),
    );
  });

  it('finds each percentile within its error of the true one', () => {
    fc.assert(
      fc.property(durations, fc.constantFrom(0.5, 0.9, 0.95, 0.99, 1), (some, share) => {
        const sorted = [...some].sort((one, other) => one - other);
        const exact = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] ?? Number.NaN;
        const found = percentileOf(counted(some), share) ?? Number.NaN;
        assert.ok(Math.abs(found - exact) <= exact * errorMax * 1.000_001, `${found} for ${exact}`);
      }),
    );
  });

  it('of two days added up is that of both days', () => {
    fc.assert(
      fc.property(durations, durations, (one, other) => {
        const both = percentileOf([...counted(one), ...counted(other)], 0.9);
        assert.equal(both, percentileOf(counted([...one, ...other]), 0.9));
      }),
    );
  });

  it('puts a clock that ran backwards with the shortest, and knows nothing of nothing', () => {
    assert.deepEqual([bucketOf(-5_000), bucketOf(0), bucketOf(1)], [0, 0, 0]);
    assert.equal(percentileOf([], 0.5), null);
    assert.equal(percentileOf([{ bucket: 3, count: 0 }], 0.5), null);
  });

  it('never changes what a bucket means: what is stored was counted by these', () => {
    assert.deepEqual([2, 100, 1_000, 60_000, 86_400_000].map(bucketOf), [18, 116, 173, 276, 457]);
  });
});

// Durations in buckets whose widths grow with them: what percentiles are read from.
//
// Promises: a duration is estimated within `errorMax` of itself (below one millisecond, within one
// millisecond); adding up the buckets of two days gives exactly the histogram of both, so any range of days
// has its percentiles. A bucket never changes its meaning: what was counted stays what it was.

// A percentile is at most this share away from the true one. Half of it would double the rows that a day may have
// (now some 540 for anything up to a month) and the writes of a busy second.
export const errorMax = 0.02;

// Bucket n holds what is above growth^(n-1) and not above growth^n; its estimate is as far from both ends.
const growth = (1 + errorMax) / (1 - errorMax);
const logOfGrowth = Math.log(growth);

// Everything up to one millisecond, a clock that ran backwards included, is in bucket 0.
export function bucketOf(ms: number): number {
  return ms <= 1 ? 0 : Math.ceil(Math.log(ms) / logOfGrowth);
}

export function estimateOf(bucket: number): number {
  return bucket === 0 ? 1 : (2 * growth ** bucket) / (growth + 1);
}

export type Bucket = { readonly bucket: number; readonly count: number };

// The smallest duration that at least this share of all does not exceed; null of nothing.
export function percentileOf(buckets: readonly Bucket[], share: number): number | null {
  const sorted = buckets.filter(({ count }) => count > 0).sort((one, other) => one.bucket - other.bucket);
  const rank = Math.max(1, Math.ceil(share * sorted.reduce((sum, { count }) => sum + count, 0)));
  let seen = 0;
  for (const { bucket, count } of sorted) {
    seen += count;
    if (seen >= rank) return estimateOf(bucket);
  }
  return null;
}

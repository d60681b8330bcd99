// Quantiles and medians of numbers.
//
// Promises: a quantile is one of the numbers (the smallest that at least this share does not exceed), never
// one between two of them. NaN where there is no number.

export type Quantiles = { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number };

export function quantiles(values: Iterable<number>): Quantiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

// Between the two middle ones where their number is even.
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, two) => one - two);
  const middle = sorted.length / 2;
  const [below = Number.NaN, above = Number.NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (below + above) / 2;
}

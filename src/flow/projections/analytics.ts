// The analytics: what a line is, and what a person may ask of all of them.
//
// Promises: a line is a sum of additions, so it is the same in whatever order they come; a range is whole UTC
// days of creation.

import type { Order } from '../../domain/order.ts';

// One line of the analytics (table `analytics`) and what is added to it: less than nothing where an order moves on.
export const measures = ['status', 'declined', 'canceled', 'failed', 'duration'] as const;
export type Measure = (typeof measures)[number];
export type Count = {
  // The UTC day on which the order was placed, as 2026-11-21.
  readonly day: string;
  readonly measure: Measure;
  // A status, the code of a reason, or a bucket of the histogram.
  readonly value: string;
  // Both empty where the measure is about time.
  readonly currency: string;
  readonly country: string;
  readonly count: number;
  // Minor units; a sum may be more than a number holds.
  readonly amount: bigint;
};

// UTC days as 2026-11-21: from the first on, before the last; null = no end on that side.
export type DayRange = { readonly from: string | null; readonly to: string | null };
// Lines of one answer: a year of days with some fifty lines each. One more than these says that there are too many.
export const linesMax = 20_000;
export type StatusLine = Omit<Count, 'measure' | 'value' | 'country'> & {
  readonly status: Exclude<Order['status'], 'PROCESSING'>;
};
export type CountryLine = StatusLine & { readonly country: string };
export type ReasonLine = Omit<Count, 'measure' | 'value' | 'country'> & {
  readonly kind: 'declined' | 'canceled' | 'failed';
  readonly code: string;
};
// In milliseconds from created to processed; each within histogram.ts' bound.
export type DurationLine = {
  readonly count: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
};
export type Durations = {
  readonly days: readonly (DurationLine & { readonly day: string })[];
  // Of the whole range; null where nothing was processed.
  readonly all: DurationLine | null;
};

// The analytics, as a person asks for them; oldest day first. Throws UnavailableError.
export type Analytics = {
  readonly statuses: (range: DayRange) => Promise<readonly StatusLine[]>;
  readonly countries: (range: DayRange) => Promise<readonly CountryLine[]>;
  readonly reasons: (range: DayRange) => Promise<readonly ReasonLine[]>;
  readonly durations: (range: DayRange) => Promise<Durations>;
};

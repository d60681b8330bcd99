// Reading the analytics: what GET /analytics answers from.
//
// Promises: each answer is one statement, hence one moment, and bounded in time and in lines. A line that
// stands at or below zero, because the event of a move overtook the one before it, is left out.
// Relies on the key of `analytics` to find the lines of a measure in a range of days.

import {
  type Analytics,
  type DayRange,
  type DurationLine,
  linesMax,
  type Measure,
  type ReasonLine,
  type StatusLine,
} from '../../flow/projections/analytics.ts';
import { type Bucket, percentileOf } from '../../flow/projections/histogram.ts';
import type { Database } from './database.ts';
import { orUnavailable } from './errors.ts';

type Row = {
  day: string;
  measure: Measure;
  value: string;
  currency: string;
  country: string;
  count: number;
  amount: string;
};

export function createAnalytics(database: Pick<Database, 'once'>): Analytics {
  const read = (measures: readonly Measure[], byCountry: boolean, { from, to }: DayRange): Promise<Row[]> =>
    orUnavailable(false, () =>
      database.once<Row>(
        `/* read-analytics */ SELECT * FROM (
           SELECT a.day, a.measure, a.value, a.currency, CASE WHEN $2::boolean THEN a.country ELSE '' END AS country,
                  sum(a.count)::bigint AS count, sum(a.amount)::text AS amount
           FROM analytics a
           WHERE a.measure = ANY($1::text[]) AND a.day >= $3::date AND a.day < $4::date
           GROUP BY 1, 2, 3, 4, 5 HAVING sum(a.count) > 0
         ) AS line
         ORDER BY day, measure COLLATE "C", value COLLATE "C", currency COLLATE "C", country COLLATE "C" LIMIT $5`,
        [measures, byCountry, from ?? '-infinity', to ?? 'infinity', linesMax + 1],
        { durable: false },
      ),
    );

  return {
    statuses: async (range) => (await read(['status'], false, range)).map(toStatusLine),
    countries: async (range) =>
      (await read(['status'], true, range)).map((row) => ({ ...toStatusLine(row), country: row.country })),
    reasons: async (range) => (await read(['declined', 'canceled', 'failed'], false, range)).map(toReasonLine),
    durations: async (range) => {
      const rows = await read(['duration'], false, range);
      const days = Map.groupBy(rows, (row) => row.day);
      return {
        days: [...days].flatMap(([day, some]) => {
          const line = toDurationLine(some.map(toBucket));
          return line === null ? [] : [{ day, ...line }];
        }),
        // Buckets of several days are simply all of them.
        all: toDurationLine(rows.map(toBucket)),
      };
    },
  };
}

const toStatusLine = ({ day, value, currency, count, amount }: Row): StatusLine => ({
  day,
  status: value as StatusLine['status'],
  currency,
  count,
  amount: BigInt(amount),
});

const toReasonLine = ({ day, measure, value, currency, count, amount }: Row): ReasonLine => ({
  day,
  kind: measure as ReasonLine['kind'],
  code: value,
  currency,
  count,
  amount: BigInt(amount),
});

const toBucket = ({ value, count }: Row): Bucket => ({ bucket: Number(value), count });

function toDurationLine(buckets: readonly Bucket[]): DurationLine | null {
  const [p50Ms, p90Ms, p95Ms, p99Ms] = [0.5, 0.9, 0.95, 0.99].map((share) => {
    const ms = percentileOf(buckets, share);
    return ms === null ? null : Math.round(ms);
  });
  const count = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  if (p50Ms == null || p90Ms == null || p95Ms == null || p99Ms == null) return null;
  return { count, p50Ms, p90Ms, p95Ms, p99Ms };
}

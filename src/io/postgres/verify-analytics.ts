// What `verify` reads of the analytics: their lines, and the events behind them, day by day.
//
// Promises: as verify.ts: short statements, no lock, flat memory. Lines come with the cursor of the same snapshot. What
// waits as a dead letter of analytics is passed and not counted, so it is among the gaps.
// Relies on ids to begin with the time of creation (UUIDv7) to find the orders of a day.

import type { Order } from '../../domain/order.ts';
import { upcast } from '../../domain/upcasts.ts';
import { type Count, type Measure, measures } from '../../flow/projections/analytics.ts';
import { addedUp, countsOf } from '../../flow/projections/count-events.ts';
import type { AnalyticsReads, Counted } from '../../flow/verify/analytics.ts';
import type { Database } from './database.ts';
import { textOf } from './dead-letters.ts';
import { idBefore } from './ids.ts';
import { createVerifyOrders, firstId } from './verify.ts';

const dayMs = 86_400_000;
// An id is made a moment after the time of its order was taken.
const idMarginMs = 60_000;
const lastDayMs = Date.UTC(9999, 11, 30);

type LineRow = Omit<Count, 'amount' | 'measure'> & { readonly amount: string; readonly measure: Measure | null };
type CountedRow = Pick<Order, 'currency' | 'country' | 'amount'> & {
  readonly created_at: Date;
  readonly type: string;
  readonly data: Record<string, unknown>;
  readonly time: Date;
};

export function createVerifyAnalytics(database: Database) {
  const read = async <R extends object>(text: string, values: readonly unknown[]) =>
    database.once<R>(text, values, { durable: false });
  const { rangeAfter } = createVerifyOrders(database);

  // Of the orders, and of the lines: one of them may be missing.
  async function days(since: Date | null): Promise<string[]> {
    const lines = await read<{ day: string }>(
      '/* verify-analytics-days */ SELECT DISTINCT day FROM analytics WHERE measure = ANY($1::text[])',
      [measures],
    );
    const found = new Set(lines.map(({ day }) => day));
    for (let after = firstId; ; ) {
      const [next] = await read<{ id: string }>(
        '/* verify-order-days */ SELECT id FROM orders WHERE id > $1 ORDER BY id LIMIT 1',
        [after],
      );
      const startMs = next === undefined ? lastDayMs : Math.floor(timeOf(next.id) / dayMs) * dayMs;
      if (startMs >= lastDayMs) break;
      found.add(new Date(startMs).toISOString().slice(0, 10));
      after = idBefore(new Date(startMs + dayMs));
    }
    // Of a day that is asked for in part, the lines tell nothing.
    return [...found].filter((day) => since === null || new Date(day) >= since).sort();
  }

  const reads: AnalyticsReads = {
    lines: async (day) => {
      const rows = await read<LineRow & { readonly read_to: string; readonly gaps: string }>(
        `/* verify-analytics-lines */ WITH parked AS (
           SELECT range_agg(int8range(e.position, e.position, '[]')) AS positions
           FROM dead_letters l JOIN events e ON e.id = l.event_id
           WHERE l.consumer = 'analytics' AND l.closed_how IS DISTINCT FROM 'reprocessed'
         )
         SELECT c.read_to::text AS read_to, (c.gaps + coalesce(p.positions, '{}'))::text AS gaps,
                a.day, a.measure, a.value, a.currency, a.country, a.count, a.amount::text AS amount
         FROM cursors c CROSS JOIN parked p LEFT JOIN analytics a ON a.measure = ANY($1::text[]) AND a.day = $2
         WHERE c.reader = 'analytics'`,
        [measures, day],
      );
      const { read_to: readTo, gaps } = rows[0] ?? { read_to: '0', gaps: '{}' };
      return { readTo, gaps, lines: rows.flatMap(toLine) };
    },
    counted: (day, at) => counted(new Date(day), at),
  };

  async function* counted(start: Date, { readTo, gaps }: Counted): AsyncGenerator<readonly Count[]> {
    const end = new Date(start.getTime() + dayMs);
    const last = idBefore(new Date(end.getTime() + idMarginMs));
    for (let after = idBefore(start); after < last; ) {
      const { upTo } = await rangeAfter(after);
      const rows = await read<CountedRow>(
        `/* verify-counted */ SELECT o.created_at, o.currency, o.country, o.amount, e.type, e.data, e.time
         FROM orders o JOIN events e ON e.order_id = o.id
         WHERE o.id > $1 AND o.id <= $2 AND o.created_at >= $3 AND o.created_at < $4
           AND e.position <= $5::bigint AND NOT e.position <@ $6::int8multirange`,
        [after, upTo < last ? upTo : last, start, end, readTo, gaps],
      );
      yield addedUp(rows.flatMap(toCounts));
      after = upTo;
    }
  }

  return { days, reads };
}

const toLine = ({ day, measure, value, currency, country, count, amount }: LineRow): Count[] =>
  measure === null ? [] : [{ day, measure, value, currency, country, count, amount: BigInt(amount) }];

function toCounts({ created_at: createdAt, currency, country, amount, type, data, time }: CountedRow): Count[] {
  const counts = countsOf({ ...upcast(type, data), time }, { createdAt, currency, country, amount });
  return counts.map((count) => ({ ...count, value: textOf(count.value) }));
}

// The first 48 bits, in milliseconds.
const timeOf = (id: string) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

// Rows of `analytics`: the analytics, added to by the reader of that name.
//
// Promises: what a batch of events adds is written once per line. Relies on its caller to move the cursor over the
// events in the same transaction, under the lock of the cursor's row: so each event is added exactly once, and nobody
// else writes a line meanwhile.

import { upcast } from '../../domain/upcasts.ts';
import type { LoggedEvent, Refused } from '../../engine/event-log.ts';
import type { Count } from '../../flow/projections/analytics.ts';
import { addedUp, type Counted, countsOf } from '../../flow/projections/count-events.ts';
import { plainArray, type Query } from './database.ts';
import { textOf } from './dead-letters.ts';
import { ofOneEntry } from './errors.ts';

export async function countEvents(query: Query, events: readonly LoggedEvent[]): Promise<readonly Refused[]> {
  const orders = await readCounted(query, [...new Set(events.map(({ event }) => event.subject))]);
  const counts = events.flatMap(({ event }) =>
    ofOneEntry(() => {
      const order = orders.get(event.subject);
      if (order === undefined) throw new Error(`order ${event.subject} cannot be read`);
      return countsOf({ ...event, ...upcast(event.type, event.data) }, order);
    }),
  );
  await addCounts(query, counts);
  return [];
}

type CountedRow = { order_id: string; created_at: Date } & Omit<Counted, 'createdAt'>;

// What never changes of an order, so that no lock is needed.
async function readCounted(query: Query, ids: readonly string[]): Promise<Map<string, Counted>> {
  const rows = await query<CountedRow>(
    `/* read-counted-orders */ SELECT id AS order_id, created_at, currency, country, amount FROM orders
     WHERE id = ANY($1::uuid[])`,
    [plainArray(ids)],
  );
  return new Map(rows.map(({ order_id: id, created_at: createdAt, ...row }) => [id, { createdAt, ...row }]));
}

export async function addCounts(query: Query, counts: readonly Count[]): Promise<void> {
  const lines = addedUp(counts);
  if (lines.length === 0) return;
  await query(
    `/* add-counts */ INSERT INTO analytics AS a (day, measure, value, currency, country, count, amount)
     SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::numeric[])
     ON CONFLICT (measure, day, value, currency, country) DO UPDATE SET
       count = a.count + excluded.count, amount = a.amount + excluded.amount`,
    [
      plainArray(lines.map((line) => line.day)),
      plainArray(lines.map((line) => line.measure)),
      lines.map((line) => textOf(line.value)),
      lines.map((line) => line.currency),
      lines.map((line) => line.country),
      plainArray(lines.map((line) => line.count)),
      lines.map((line) => String(line.amount)),
    ],
  );
}

// Rows of `analytics`: the books, added to by the claims of the consumer of that name.
//
// Promises: equal lines of a flush are added up first; lines are locked in one order, so two workers never
// wait for each other in a circle.
// Relies on its caller to write, in the same transaction, that the facts behind them were counted.

import type { Count } from '../../flow/projections/books.ts';
import { addedUp } from '../../flow/projections/record-analytics.ts';
import { plainArray, type Query } from './database.ts';
import { textOf } from './dead-letters.ts';

export async function addCounts(query: Query, counts: readonly Count[]): Promise<void> {
  const lines = addedUp(counts);
  if (lines.length === 0) return;
  await query(
    `/* add-counts */ INSERT INTO analytics AS a (day, measure, value, currency, country, count, amount)
     SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::numeric[])
       AS c(day, measure, value, currency, country, count, amount)
     ORDER BY day, measure COLLATE "C", value COLLATE "C", currency COLLATE "C", country COLLATE "C"
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

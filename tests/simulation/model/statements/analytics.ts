// analytics: analytics.ts adds to it, analytics-reads.ts reads it.

import type { AnalyticsRow } from '../schema.ts';
import { bigints, integer, SqlError, text, texts, uuids } from '../values.ts';
import { type Ask, compare, type Row, type Statement } from './statement.ts';

// As PostgreSQL takes and gives a date.
const dates = (given: unknown): string[] =>
  texts(given).map((day) => {
    if (/^\d{4}-\d\d-\d\d$/.test(day)) return day;
    throw new SqlError('22007', `invalid input syntax for type date: "${day}"`);
  });

// The order in which the lines are locked, and answered.
const byKey = (one: AnalyticsRow, other: AnalyticsRow) =>
  compare(one.day, other.day) ||
  compare(one.measure, other.measure) ||
  compare(one.value, other.value) ||
  compare(one.currency, other.currency) ||
  compare(one.country, other.country);

function* addCounts({ tables, tx }: Ask, values: readonly unknown[]) {
  const [measures, names, currencies, countries] = [
    texts(values[1]),
    texts(values[2]),
    texts(values[3]),
    texts(values[4]),
  ];
  const [counts, amounts] = [bigints(values[5]), texts(values[6])];
  const lines = dates(values[0]).map((day, i) => ({
    ...{ day, measure: measures[i] as string, value: names[i] as string, currency: currencies[i] as string },
    ...{ country: countries[i] as string, count: counts[i] as number, amount: amounts[i] as string },
  }));
  for (const line of lines.sort(byKey)) {
    yield* tables.analytics.upsert(tx, line, (a) => ({
      ...a,
      count: a.count + line.count,
      amount: String(BigInt(a.amount) + BigInt(line.amount)),
    }));
  }
  return [];
}

export const analyticsStatements: Readonly<Record<string, Statement>> = {
  'add-counts': addCounts,

  'read-counted-orders': ({ tables, tx }, [ids]) =>
    uuids(ids).flatMap((id) => {
      const order = tables.orders.get(tx, id);
      if (order === null) return [];
      const { created_at, currency, country, amount } = order;
      return [{ order_id: id, created_at, currency, country, amount }];
    }),

  'read-analytics': ({ tables, tx }, [measuresGiven, byCountry, fromGiven, toGiven, limit]) => {
    const measures = new Set(texts(measuresGiven));
    const [from, to] = [text(fromGiven), text(toGiven)];
    const isWithin = (day: string) => (from === '-infinity' || day >= from) && (to === 'infinity' || day < to);
    const sums = new Map<string, AnalyticsRow>();
    for (const { row } of tables.analytics.all(tx)) {
      if (!measures.has(row.measure) || !isWithin(row.day)) continue;
      const line = { ...row, country: byCountry ? row.country : '' };
      const key = JSON.stringify([line.day, line.measure, line.value, line.currency, line.country]);
      const sum = sums.get(key);
      const amount = String(BigInt(row.amount) + BigInt(sum?.amount ?? 0));
      sums.set(key, { ...line, count: row.count + (sum?.count ?? 0), amount });
    }
    const lines = [...sums.values()].filter(({ count }) => count > 0).sort(byKey);
    return lines.slice(0, integer(limit)) as unknown as Row[];
  },
};

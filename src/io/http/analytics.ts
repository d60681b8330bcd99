// The routes of the analytics: how many orders and how much money stand where, by the day they were placed.
//
// Promises: a range is whole UTC days; sums are exact digits, however large; an answer of too many lines is
// refused, never cut. The analytics follow the events by about a second; the order itself is the place to look at one.
// Relies on the compiled serializer to write a bigint as a JSON number.

import { type Static, Type } from 'typebox';
import { type Analytics, type DayRange, type DurationLine, linesMax } from '../../flow/projections/analytics.ts';
import { errorMax } from '../../flow/projections/histogram.ts';
import { toStorable } from '../moments.ts';
import { described, problemAnswers } from './answers.ts';
import type { App } from './app.ts';
import { readDate } from './dates.ts';
import { countryLineExample, reasonLineExample, statusLineExample } from './examples.ts';
import { invalidParameter } from './problems.ts';
import { rangeQuery, requestHeaders } from './requests.ts';

const day = Type.String({ format: 'date', description: 'The UTC day on which the orders were placed' });
const count = Type.Integer();
const sum = Type.Unsafe<bigint>({ type: 'integer', description: 'Minor units; written in full, also beyond 2^53' });
const money = { currency: Type.String(), count, amount: sum };
const status = Type.Enum(['PENDING', 'PROCESSED', 'FAILED', 'CANCELED'], {
  type: 'string',
  description: 'By the events, which know no PROCESSING: PENDING is every order under way',
});
const statusLine = Type.Object({ day, status, ...money }, { examples: [statusLineExample] });
const countryLine = Type.Object({ day, status, ...money, country: Type.String() }, { examples: [countryLineExample] });
const reasonLine = Type.Object(
  {
    day,
    kind: Type.Enum(['declined', 'canceled', 'failed'], { type: 'string' }),
    code: Type.String({ description: 'Of the decline, or of the reason' }),
    ...money,
  },
  { examples: [reasonLineExample] },
);
const percentiles = { count, p50Ms: count, p90Ms: count, p95Ms: count, p99Ms: count };
const durations = Type.Object({
  items: Type.Array(Type.Object({ day, ...percentiles })),
  all: Type.Unsafe<DurationLine | null>({
    ...Type.Object(percentiles),
    type: ['object', 'null'],
    description: 'The whole range; null where nothing was processed',
  }),
});
const itemsOf = <S extends Type.TSchema>(line: S) => Type.Object({ items: Type.Array(line) });

export function addAnalyticsRoutes(app: App, analytics: Analytics): void {
  const route = <S extends Type.TSchema>(operationId: string, summary: string, answer: S, text: string) =>
    ({
      schema: {
        operationId,
        summary,
        tags: ['analytics'],
        headers: requestHeaders,
        querystring: rangeQuery,
        response: { 200: described(answer, text), ...problemAnswers('invalid-parameter', 'unavailable') },
      },
    }) as const;

  app.get(
    '/analytics/orders',
    route('countOrders', 'Orders by day, status and currency', itemsOf(statusLine), 'Oldest day first'),
    async ({ query }) => ({ items: bounded([...(await analytics.statuses(toRange(query)))]) }),
  );

  app.get(
    '/analytics/orders/countries',
    route('countOrdersByCountry', 'The same by country too', itemsOf(countryLine), 'Oldest day first'),
    async ({ query }) => ({ items: bounded([...(await analytics.countries(toRange(query)))]) }),
  );

  app.get(
    '/analytics/orders/reasons',
    route(
      'countReasons',
      'Why orders were declined, canceled or failed; an order that fails twice counts twice',
      itemsOf(reasonLine),
      'Oldest day first',
    ),
    async ({ query }) => ({ items: bounded([...(await analytics.reasons(toRange(query)))]) }),
  );

  app.get(
    '/analytics/orders/durations',
    route(
      'measureDurations',
      `Time from placed to processed as percentiles, each within ${errorMax * 100} % of the true one`,
      durations,
      'Oldest day first',
    ),
    async ({ query }) => {
      const { days, all } = await analytics.durations(toRange(query));
      return { items: [...days], all };
    },
  );
}

function bounded<L>(lines: L[]): L[] {
  if (lines.length <= linesMax) return lines;
  const detail = `selects more than ${linesMax} lines; ask for fewer days`;
  throw invalidParameter({ in: 'query', name: 'from', detail });
}

const dayMs = 86_400_000;

// The days that the range touches: from the one that holds `from`, to the last one that begins before `to`.
export function toRange({ from, to }: Static<typeof rangeQuery>): DayRange {
  const first = readDate(from);
  const end = readDate(to);
  const lastMs = end === null ? null : Math.ceil(end.getTime() / dayMs) * dayMs;
  return { from: first === null ? null : toDay(first), to: lastMs === null ? null : toDay(new Date(lastMs)) };
}

function toDay(moment: Date): string {
  return toStorable(moment).toISOString().slice(0, 10);
}

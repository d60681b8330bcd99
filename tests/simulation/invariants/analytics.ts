// The analytics, against the orders and their events as they are in the end.
//
// The rules are written here a second time, and from the other end: what an order is now says in which line it
// stands, not the sum of its moves.

import type { OrderEvidence } from '../evidence.ts';
import { type Invariant, nameOfType, ofAll } from './law.ts';

// A duration's bucket is n where growth^n is the first power that is not below it; 2 % to either side.
const growth = 1.02 / 0.98;

type Line = { readonly count: number; readonly amount: bigint };

function linesOf({ row, events }: OrderEvidence): string[] {
  if (row === null) return [];
  const status = row.status === 'PROCESSING' ? 'PENDING' : row.status;
  const day = row.created_at.toISOString().slice(0, 10);
  const where = (measure: string, value: unknown) => `${day} ${measure} ${value} ${row.currency} ${row.country}`;
  const of = (name: string) => events.filter((event) => nameOfType(event.type) === name);
  return [
    where('status', status),
    ...of('PaymentFailed').map((event) => where('declined', event.data.declineCode)),
    ...of('OrderCanceled').map((event) => where('canceled', event.data.reason)),
    ...of('OrderFailed').map((event) => where('failed', event.data.reason)),
    ...of('FulfillmentScheduled')
      .filter((event) => event.data.status === 'PROCESSED')
      .map((event) => `${day} duration ${bucketOf(event.time.getTime() - row.created_at.getTime())}  `),
  ];
}

function bucketOf(ms: number): number {
  for (let bucket = 0; ; bucket += 1) if (growth ** bucket >= ms) return bucket;
}

export const analytics: readonly Invariant[] = [
  ofAll('end', 'the analytics are the fold of the events', ({ orders, analytics: kept, settings }, say) => {
    if (!settings.consumers.includes('analytics')) return;
    const expected = new Map<string, Line>();
    for (const order of orders.values()) {
      for (const line of linesOf(order)) {
        const { count, amount } = expected.get(line) ?? { count: 0, amount: 0n };
        const added = line.includes(' duration ') ? 0n : BigInt(order.row?.amount ?? 0);
        expected.set(line, { count: count + 1, amount: amount + added });
      }
    }
    for (const { day, measure, value, currency, country, count, amount } of kept.values()) {
      const line = `${day} ${measure} ${value} ${currency} ${country}`;
      const truth = expected.get(line) ?? { count: 0, amount: 0n };
      expected.delete(line);
      if (count !== truth.count || BigInt(amount) !== truth.amount) {
        say(`the line ${line} says ${count} and ${amount}, and it is ${truth.count} and ${truth.amount}`);
      }
    }
    for (const [line, { count }] of expected) say(`the line ${line} is missing, of ${count}`);
  }),
];

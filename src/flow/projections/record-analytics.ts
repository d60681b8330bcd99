// The step of the consumer `analytics`: keeps the books of how many orders and how much money stand where.
//
// Promises: the books are the fold of the facts, whatever is delivered how often and in which order: each
// fact is an addition, and the receipt that it was added is written in the same transaction. What an addition
// is about never changes of an order (day, currency, country, amount), so the order need not stand still.
// Facts know no PROCESSING: an order under way counts as PENDING.
// Process dies anywhere: the receipt is there with the addition, or neither is.

import type { Order, Status } from '../../domain/order.ts';
import type { Fact } from '../../engine/ports.ts';
import type { OrderStep } from '../ports.ts';
import type { Count, Measure } from './books.ts';
import { bucketOf } from './histogram.ts';

// A partner chooses the codes of its reasons; a line of the books is no place for its prose.
const codeLengthMax = 100;

export const recordAnalytics: OrderStep = {
  endsAtClaim: true,
  admits: () => true,
  claimed: ({ order }, fact) => ({ order, facts: [], effects: [], counts: countsOf(fact, order) }),
  perform: () => Promise.reject(new Error('the books are written by the claim; nothing is left to perform')),
  decide: () => null,
  retried: () => null,
  parked: () => null,
};

// All that its books take of an order.
export type Counted = Pick<Order, 'createdAt' | 'currency' | 'country' | 'amount'>;

export function countsOf(fact: Pick<Fact, 'type' | 'data' | 'time'>, order: Counted): readonly Count[] {
  const { data } = fact;
  switch (fact.type) {
    case 'OrderCreatedV1':
      return [lineOf(order, 'status', 'PENDING', 1)];
    case 'FulfillmentScheduledV1': {
      // One that came after a cancel is about the parcel alone.
      if (data.status !== 'PROCESSED') return [];
      const bucket = bucketOf(fact.time.getTime() - order.createdAt.getTime());
      return [...move(order, data), { ...lineOf(order, 'duration', String(bucket), 1), ...aboutTime }];
    }
    case 'OrderFailedV1':
      return [...move(order, data), lineOf(order, 'failed', data.reason, 1)];
    case 'OrderCanceledV1':
      return [...move(order, data), lineOf(order, 'canceled', data.reason, 1)];
    case 'OrderReprocessedV1':
      return move(order, data);
    case 'PaymentFailedV1':
      return [lineOf(order, 'declined', data.declineCode, 1)];
    default:
      return [];
  }
}

const aboutTime = { currency: '', country: '', amount: 0n };

function move(order: Counted, data: Fact['data']): Count[] {
  const [from, to] = [underWay(data.previousStatus as Status), underWay(data.status as Status)];
  return [lineOf(order, 'status', from, -1), lineOf(order, 'status', to, 1)];
}

const underWay = (status: Status): Status => (status === 'PROCESSING' ? 'PENDING' : status);

function lineOf(order: Counted, measure: Measure, value: unknown, count: 1 | -1): Count {
  const { createdAt, currency, country, amount } = order;
  return {
    day: createdAt.toISOString().slice(0, 10),
    measure,
    value: String(value).slice(0, codeLengthMax),
    currency,
    country,
    count,
    amount: BigInt(count) * BigInt(amount),
  };
}

// One line per key, without those that come to nothing.
export function addedUp(counts: readonly Count[]): Count[] {
  const sums = new Map<string, Count>();
  for (const count of counts) {
    const key = [count.day, count.measure, count.value, count.currency, count.country].join('\n');
    const sum = sums.get(key);
    const added = { count: count.count + (sum?.count ?? 0), amount: count.amount + (sum?.amount ?? 0n) };
    sums.set(key, { ...count, ...added });
  }
  return [...sums.values()].filter(({ count, amount }) => count !== 0 || amount !== 0n);
}

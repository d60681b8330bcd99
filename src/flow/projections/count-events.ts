// What each event adds to the analytics: how many orders and how much money stand where.
//
// Promises: pure; the analytics are the sum of the events, in whatever order they are added. What an addition is about
// never changes of an order (day, currency, country, amount), so the order need not stand still.
// Events know no PROCESSING: an order under way counts as PENDING.

import type { Order, Status } from '../../domain/order.ts';
import type { Event } from '../../engine/ports.ts';
import type { Count, Measure } from './analytics.ts';
import { bucketOf } from './histogram.ts';

// A partner chooses the codes of its reasons; a line of the analytics is no place for its prose.
const codeLengthMax = 100;

// All that the analytics take of an order.
export type Counted = Pick<Order, 'createdAt' | 'currency' | 'country' | 'amount'>;

export function countsOf(event: Pick<Event, 'type' | 'data' | 'time'>, order: Counted): readonly Count[] {
  const { data } = event;
  switch (event.type) {
    case 'OrderCreatedV1':
      return [lineOf(order, 'status', 'PENDING', 1)];
    case 'FulfillmentScheduledV1': {
      // One that came after a cancel is about the parcel alone.
      if (data.status !== 'PROCESSED') return [];
      const bucket = bucketOf(event.time.getTime() - order.createdAt.getTime());
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

function move(order: Counted, data: Event['data']): Count[] {
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

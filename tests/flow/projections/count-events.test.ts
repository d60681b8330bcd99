import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { EventDraft } from '../../../src/domain/events.ts';
import type { Order, OrderId } from '../../../src/domain/order.ts';
import { record, takeUp } from '../../../src/domain/order-machine.ts';
import { isRefusal } from '../../../src/domain/refusals.ts';
import type { Event } from '../../../src/engine/ports.ts';
import type { Count } from '../../../src/flow/projections/analytics.ts';
import { addedUp, countsOf } from '../../../src/flow/projections/count-events.ts';
import { orderWith, someTime } from '../../support/orders.ts';

const money = { amount: 1, currency: 'EUR' };
const drafts: readonly EventDraft[] = [
  { type: 'PaymentAuthorizedV1', data: { ...money, authorizationId: 'a', expiresAt: someTime.toISOString() } },
  { type: 'PaymentFailedV1', data: { ...money, declineCode: 'no-funds' } },
  { type: 'FulfillmentScheduledV1', data: { bookingId: 'b' } },
  { type: 'FulfillmentRejectedV1', data: { rejectCode: 'no-route' } },
  { type: 'OrderFailedV1', data: { reason: 'provider-away', consumer: 'payment' } },
  { type: 'OrderReprocessedV1', data: {} },
  { type: 'OrderCanceledV1', data: { ...money, reason: 'canceled-by-request' } },
];

type Story = { readonly order: Order; readonly events: readonly { event: Event; order: Order }[] };

// An order with a history that the machine allows: what it refuses does not happen.
const story = fc
  .record({
    day: fc.integer({ min: 0, max: 2 }),
    amount: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    currency: fc.constantFrom('EUR', 'USD'),
    country: fc.constantFrom('DE', 'US'),
    // A claim may come before any event.
    steps: fc.array(
      fc.record({
        draft: fc.constantFrom(...drafts),
        isTakenUp: fc.boolean(),
        afterMs: fc.integer({ min: 0, max: 1e7 }),
      }),
    ),
  })
  .map(({ day, steps, ...given }): Story => {
    const createdAt = new Date(someTime.getTime() + day * 86_400_000);
    let order = orderWith({ id: 'an-order' as OrderId, createdAt, ...given });
    let time = createdAt;
    const events = [{ event: eventOf('OrderCreatedV1', time, {}), order }];
    for (const { draft, isTakenUp, afterMs } of steps) {
      time = new Date(time.getTime() + afterMs);
      if (isTakenUp) order = takeUp(order, time);
      const done = record(order, [draft], time, { code: 'why', message: 'so' });
      if (isRefusal(done)) continue;
      order = done.order;
      // What the consumer is given of the order may be of any time after.
      for (const { type, data } of done.events) events.push({ event: eventOf(type, time, data), order });
    }
    return { order, events };
  });

function eventOf(type: string, time: Date, data: Event['data']): Event {
  const ids = { id: 'a-event', subject: 'an-order', correlationId: 'c', causationId: null, traceparent: null };
  return { ...ids, type, version: 1, time, data };
}

const linesOf = (counts: readonly Count[]) =>
  counts.map(({ count, amount, ...line }) => [Object.values(line).join(' '), count, amount] as const).sort();

describe('the analytics', () => {
  it('are the fold of the events, in whatever order they are counted', () => {
    fc.assert(
      fc.property(
        fc.array(story, { maxLength: 12 }).chain((stories) => {
          const events = stories.flatMap((one) => one.events);
          return fc.tuple(fc.constant(stories), fc.shuffledSubarray(events, { minLength: events.length }));
        }),
        ([stories, shuffled]) => {
          const analytics = addedUp(shuffled.flatMap(({ event, order }) => countsOf(event, order)));
          // From the other end: where each order stands, and what is told of it.
          const seen = stories.flatMap(({ order, events }): Count[] => {
            const { createdAt, currency, country, amount } = order;
            const line = { day: createdAt.toISOString().slice(0, 10), currency, country, count: 1 };
            const whole = { ...line, amount: BigInt(amount) };
            const of = (type: string) => events.filter(({ event }) => event.type === type);
            const status = order.status === 'PROCESSING' ? 'PENDING' : order.status;
            return [
              { ...whole, measure: 'status', value: status },
              ...of('PaymentFailedV1').map((): Count => ({ ...whole, measure: 'declined', value: 'no-funds' })),
              ...of('OrderFailedV1').map((): Count => ({ ...whole, measure: 'failed', value: 'provider-away' })),
              ...of('OrderCanceledV1').map(
                (): Count => ({ ...whole, measure: 'canceled', value: 'canceled-by-request' }),
              ),
            ];
          });
          const isOfTime = ({ measure }: Count) => measure === 'duration';
          const plain = (counts: readonly Count[]) =>
            linesOf(
              addedUp(
                counts.map(({ day, measure, value, currency, country, count, amount }) => ({
                  day,
                  measure,
                  value,
                  currency,
                  country,
                  count,
                  amount,
                })),
              ),
            );
          assert.deepEqual(plain(analytics.filter((line) => !isOfTime(line))), plain(seen));
          const processed = stories.filter(({ order }) => order.status === 'PROCESSED').length;
          assert.equal(
            analytics.filter(isOfTime).reduce((sum, { count }) => sum + count, 0),
            processed,
          );
        },
      ),
    );
  });

  it('keep no line that came to nothing', () => {
    const order = orderWith({ status: 'FAILED' });
    const failed = eventOf('OrderFailedV1', someTime, { previousStatus: 'PROCESSING', status: 'FAILED', reason: 'r' });
    const again = eventOf('OrderReprocessedV1', someTime, { previousStatus: 'FAILED', status: 'PENDING' });
    const lines = addedUp([...countsOf(failed, order), ...countsOf(again, order)]);
    assert.deepEqual(
      lines.map(({ measure, value }) => `${measure} ${value}`),
      ['failed r'],
    );
  });

  it('count the day of creation in UTC, whatever day it is by now', () => {
    const createdAt = new Date('2026-11-21T23:59:59.999Z');
    const order = orderWith({ createdAt, updatedAt: new Date('2026-11-25T00:00:00Z') });
    const canceled = eventOf('OrderCanceledV1', new Date('2026-11-25T00:00:00Z'), {
      ...{ previousStatus: 'PENDING', status: 'CANCELED', reason: 'late' },
    });
    assert.deepEqual(new Set(countsOf(canceled, order).map(({ day }) => day)), new Set(['2026-11-21']));
  });

  it('cut a code that a partner made too long', () => {
    const declined = eventOf('PaymentFailedV1', someTime, { declineCode: 'x'.repeat(10_000) });
    assert.equal(countsOf(declined, orderWith())[0]?.value, 'x'.repeat(100));
  });

  it('leave alone what they do not count, a booking after a cancel included', () => {
    for (const type of ['PaymentAuthorizedV1', 'FulfillmentScheduledV1', 'SomethingNewV1']) {
      assert.deepEqual(countsOf(eventOf(type, someTime, {}), orderWith()), []);
    }
  });
});

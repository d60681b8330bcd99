// Core step of the consumer `fulfillment`: books the shipment of a paid order at the carrier.
//
// Promises: nothing ships unpaid, nothing ships twice; a rejected booking cancels the order and with it
// the money's hold; a booking that arrives after a cancel is recorded, so that it gets recalled.
// Process dies around the call: the intent is stored, the next attempt books under the same key.

import { isUnderWay } from '../../domain/order-machine.ts';
import type { OrderRecord } from '../../domain/order-record.ts';
import type { System, Work } from '../../engine/ports.ts';
import type { BookAnswer, Carrier, OrderStep } from '../ports.ts';
import {
  bookRequest,
  callUnderKey,
  changeBy,
  effectOf,
  giveUp,
  intend,
  ownEffect,
  parkedCore,
  retriedCore,
} from './core-step.ts';

export function scheduleFulfillment(carrier: Carrier, system: Pick<System, 'now'>): OrderStep {
  return {
    admits: ({ order }) => isUnderWay(order.status) && order.payment === 'authorized',
    claimed: (record, _event, now) => intend(record, 'booking', now),
    perform: async (work, signal) => {
      const effect = effectOf(work, 'booking');
      const now = system.now();
      const expiresAt = work.subject.effects.authorization?.expiresAt;
      if (effect.state === 'intent' && expiresAt && expiresAt <= now) {
        const when = expiresAt.toISOString();
        giveUp(
          'authorization-expired',
          `the authorization expired at ${when}; cancel the order and let the customer pay again`,
        );
      }
      const request = bookRequest(work.subject, effect);
      return callUnderKey<BookAnswer>({
        ...{ effect, now, keyWindowMs: carrier.keyWindowMs },
        send: () => carrier.book(request, signal),
        lookup: () => carrier.lookup(request.key, signal),
        doubt: 'the carrier may have booked this long ago',
      });
    },
    decide: (record, work, result, now) => decide(record, work, result as BookAnswer, now),
    retried: retriedCore('booking'),
    parked: parkedCore('booking'),
  };
}

function decide(record: OrderRecord, work: Work, answer: BookAnswer, now: Date) {
  const { order } = record;
  const effect = ownEffect(record, 'booking', work);
  if (effect === null || answer.outcome === 'closed') return 'obsolete';

  if (answer.outcome === 'booked') {
    const done = { ...effect, state: 'done' as const, reference: answer.bookingId };
    return changeBy(record, [{ type: 'FulfillmentScheduledV1', data: { bookingId: answer.bookingId } }], [done], now);
  }

  const rejected = { ...effect, state: 'declined' as const };
  const rejection = { type: 'FulfillmentRejectedV1' as const, data: { rejectCode: answer.code } };
  if (!isUnderWay(order.status)) return changeBy(record, [rejection], [rejected], now);
  const reason = { code: 'fulfillment-rejected', message: `the carrier rejected the shipment: ${answer.code}` };
  const data = { amount: order.amount, currency: order.currency, reason: reason.code };
  return changeBy(record, [rejection, { type: 'OrderCanceledV1', data }], [rejected], now, reason);
}

// Core step of the consumer `fulfillment`: books the shipment of a paid order at the carrier.
//
// Promises: nothing ships unpaid, nothing ships twice; a rejected booking cancels the order and with it
// the money's hold; a booking that arrives after a cancel is recorded, so that it gets recalled.
// Process dies around the call: the intent is stored, the next attempt books under the same key.

import { keyOfEffect } from '../../domain/effects.ts';
import { isUnderWay } from '../../domain/order-machine.ts';
import type { OrderRecord } from '../../domain/order-record.ts';
import { OutsideError, type System, type Work } from '../../engine/ports.ts';
import type { BookAnswer, Carrier, OrderStep } from '../ports.ts';
import { bookRequest, changeBy, intend, lookUpSpent, ownEffect, parkedCore, retriedCore } from './core-step.ts';

export function scheduleFulfillment(carrier: Carrier, system: Pick<System, 'now'>): OrderStep {
  return {
    admits: ({ order }) => isUnderWay(order.status) && order.payment === 'authorized',
    claimed: (record, _event, now) => intend(record, 'booking', now),
    perform: async (work, signal) => {
      const { order, effects } = work.subject;
      const effect = effects.booking;
      if (effect === undefined) throw new Error('a booking is performed without its intent');
      const now = system.now();
      const expiresAt = effects.authorization?.expiresAt;
      if (effect.state === 'intent' && expiresAt && expiresAt <= now) throw expired(expiresAt);
      const ageMs = now.getTime() - effect.firstUsedAt.getTime();
      const key = keyOfEffect(order.id, effect);
      if (effect.state === 'unknown' && ageMs > carrier.keyWindowMs) return lookUp(carrier, key, signal);
      const answer = await carrier.book(bookRequest(work.subject, effect), signal);
      if (answer.outcome !== 'spent') return answer;
      return lookUpSpent(answer, () => carrier.lookup(key, signal));
    },
    decide: (record, work, result, now) => decide(record, work, result as BookAnswer, now),
    retried: retriedCore('booking'),
    parked: parkedCore('booking'),
  };
}

function expired(expiresAt: Date): OutsideError {
  return new OutsideError({
    class: 'non-retryable',
    code: 'authorization-expired',
    message: `the authorization expired at ${expiresAt.toISOString()}; cancel the order and let the customer pay again`,
    dependencyDown: false,
  });
}

async function lookUp(carrier: Carrier, key: string, signal: AbortSignal): Promise<BookAnswer> {
  const found = await carrier.lookup(key, signal);
  if (found !== null) return found;
  throw new OutsideError({
    class: 'non-retryable',
    code: 'outcome-unresolved',
    message: 'the carrier may have booked this long ago and cannot tell any more; ask it before you go on',
    dependencyDown: false,
  });
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

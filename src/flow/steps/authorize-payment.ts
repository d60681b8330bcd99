// Core step of the consumer `payment`: authorizes the order's amount at the provider.
//
// Promises: one authorization per order, whatever is repeated; a timeout is an unknown outcome, never a
// decline; a decline cancels the order; an authorization that arrives after a cancel is recorded, so
// that it gets voided. Relies on the provider being idempotent by key within its window.
// Process dies around the call: the intent is stored, the next attempt asks under the same key.

import { isUnderWay } from '../../domain/order-machine.ts';
import type { OrderRecord } from '../../domain/order-record.ts';
import type { System, Work } from '../../engine/ports.ts';
import type { AuthorizeAnswer, OrderStep, Payments } from '../ports.ts';
import {
  authorizeRequest,
  callUnderKey,
  changeBy,
  effectOf,
  intend,
  ownEffect,
  parkedCore,
  retriedCore,
} from './core-step.ts';

export function authorizePayment(payments: Payments, system: Pick<System, 'now'>): OrderStep {
  return {
    admits: ({ order }) => isUnderWay(order.status),
    claimed: (record, _event, now) => intend(record, 'authorization', now),
    perform: (work, signal) => {
      const effect = effectOf(work, 'authorization');
      const request = authorizeRequest(work.subject, effect, work.epoch);
      return callUnderKey<AuthorizeAnswer>({
        ...{ effect, now: system.now(), keyWindowMs: payments.keyWindowMs },
        send: () => payments.authorize(request, signal),
        lookup: () => payments.lookup(request.key, signal),
        doubt: 'the provider may have authorized this long ago',
      });
    },
    decide: (record, work, result, now) => decide(record, work, result as AuthorizeAnswer, now),
    retried: retriedCore('authorization'),
    parked: parkedCore('authorization'),
  };
}

function decide(record: OrderRecord, work: Work, answer: AuthorizeAnswer, now: Date) {
  const { order } = record;
  const effect = ownEffect(record, 'authorization', work);
  // An undo owns the effect: what it finds at the provider counts.
  if (effect === null || answer.outcome === 'closed') return 'obsolete';
  const money = { amount: order.amount, currency: order.currency };

  if (answer.outcome === 'authorized') {
    const { authorizationId, expiresAt } = answer;
    const data = { ...money, authorizationId, expiresAt: expiresAt.toISOString() };
    const done = { ...effect, state: 'done' as const, reference: authorizationId, expiresAt };
    const change = changeBy(record, [{ type: 'PaymentAuthorizedV1', data }], [done], now);
    // The booking is owed from here on, also before its worker has begun.
    return isUnderWay(order.status)
      ? { ...change, order: { ...change.order, fulfillment: 'pending' as const } }
      : change;
  }

  const declined = { ...effect, state: 'declined' as const };
  const failure = { type: 'PaymentFailedV1' as const, data: { ...money, declineCode: answer.code } };
  if (!isUnderWay(order.status)) return changeBy(record, [failure], [declined], now);
  const reason = { code: 'payment-declined', message: `the payment was declined: ${answer.code}` };
  const cancel = { type: 'OrderCanceledV1' as const, data: { ...money, reason: reason.code } };
  return changeBy(record, [failure, cancel], [declined], now, reason);
}

// Core step of the consumer `payment`: authorizes the order's amount at the provider.
//
// Promises: one authorization per order, whatever is repeated; a timeout is an unknown outcome, never a
// decline; a decline cancels the order; an authorization that arrives after a cancel is recorded, so
// that it gets voided. Relies on the provider being idempotent by key within its window.
// Process dies around the call: the intent is stored, the next attempt asks under the same key.

import { keyOfEffect } from '../../domain/effects.ts';
import { isUnderWay } from '../../domain/order-machine.ts';
import type { OrderRecord } from '../../domain/order-record.ts';
import { OutsideError, type System, type Work } from '../../engine/ports.ts';
import type { AuthorizeAnswer, OrderStep, Payments } from '../ports.ts';
import { authorizeRequest, changeBy, intend, lookUpSpent, ownEffect, parkedCore, retriedCore } from './core-step.ts';

export function authorizePayment(payments: Payments, system: Pick<System, 'now'>): OrderStep {
  return {
    admits: ({ order }) => isUnderWay(order.status),
    claimed: (record, _event, now) => intend(record, 'authorization', now),
    perform: async (work, signal) => {
      const { order, effects } = work.subject;
      const effect = effects.authorization;
      if (effect === undefined) throw new Error('an authorization is performed without its intent');
      const ageMs = system.now().getTime() - effect.firstUsedAt.getTime();
      const key = keyOfEffect(order.id, effect);
      if (effect.state === 'unknown' && ageMs > payments.keyWindowMs) return lookUp(payments, key, signal);
      const answer = await payments.authorize(authorizeRequest(work.subject, effect, work.epoch), signal);
      if (answer.outcome !== 'spent') return answer;
      return lookUpSpent(answer, () => payments.lookup(key, signal));
    },
    decide: (record, work, result, now) => decide(record, work, result as AuthorizeAnswer, now),
    retried: retriedCore('authorization'),
    parked: parkedCore('authorization'),
  };
}

// The provider may have forgotten the key: sending it again could authorize twice. Silence proves nothing.
async function lookUp(payments: Payments, key: string, signal: AbortSignal): Promise<AuthorizeAnswer> {
  const found = await payments.lookup(key, signal);
  if (found !== null) return found;
  throw new OutsideError({
    class: 'non-retryable',
    code: 'outcome-unresolved',
    message: 'the provider may have authorized this long ago and cannot tell any more; ask it before you go on',
    dependencyDown: false,
  });
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

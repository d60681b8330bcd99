// Canceling: by the customer or an operator, while the order is not processed.
//
// Promises: a canceled order stays canceled, asking again changes nothing; what it has left outside is
// owed to the consumer `compensation` by the very event that is written here; open dead letters of core steps
// are closed, for nobody needs them any more.

import type { Effect } from '../../domain/effects.ts';
import { record as recordEvents } from '../../domain/order-machine.ts';
import type { OrderRecord } from '../../domain/order-record.ts';
import { isRefusal, type Refusal } from '../../domain/refusals.ts';
import type { By, DeskChange, OpenDeadLetter } from '../ports.ts';
import { coreConsumers } from '../subscriptions.ts';

export function cancelOrder(
  record: OrderRecord,
  deadLetters: readonly OpenDeadLetter[],
  request: { readonly reason: string | null; readonly correlationId: string; readonly by?: By | undefined },
  now: Date,
): DeskChange | Refusal | null {
  const { order, effects } = record;
  if (order.status === 'CANCELED') return null;
  const code = 'canceled-by-request';
  const data = { amount: order.amount, currency: order.currency, reason: code };
  // What a person wrote is kept with the order, and stays out of the event.
  const reason = { code, message: request.reason ?? 'canceled by request' };
  const recorded = recordEvents(order, [{ type: 'OrderCanceledV1', data }], now, reason);
  if (isRefusal(recorded)) return recorded;
  const payment = isWithoutEffect(effects.authorization) ? 'none' : order.payment;
  const fulfillment = isWithoutEffect(effects.booking) ? 'none' : order.fulfillment;
  return {
    order: { ...recorded.order, payment, fulfillment },
    events: recorded.events,
    effects: [],
    causationId: null,
    closes: deadLetters
      .filter((deadLetter) => coreConsumers.includes(deadLetter.consumer))
      .map((deadLetter) => deadLetter.id),
    closing: 'canceled',
    action: 'canceled',
    detail: { from: order.status },
    correlationId: request.correlationId,
    by: request.by,
  };
}

// Not even tried, or certainly in vain: what was pending is not any more.
function isWithoutEffect(effect: Effect | undefined): boolean {
  return effect === undefined || effect.state === 'none';
}

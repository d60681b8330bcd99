// Placing: what clients were told, against what there is.
//
// What a request asks for is worked out here anew, from the contract and not from src/flow.

import type { PlaceCommand } from '../../../src/flow/ports.ts';
import type { Placement } from '../evidence.ts';
import { contentOf } from '../partners.ts';
import type { OrderRow } from '../rows.ts';
import { type Invariant, ofAll, ofOrder } from './law.ts';

// For so long an accept is tried, by a clock that may be a little fast.
const patienceMs = 3_900;
const prices: Readonly<Record<string, number>> = { Phone: 79_900, Laptop: 149_900, Tablet: 49_900, Accessory: 1_999 };

function linesOf({ items, productType, amount }: PlaceCommand) {
  if (items !== undefined) return items;
  if (productType === undefined) return [{ sku: 'item', quantity: 1, unitPrice: amount ?? 0 }];
  return [{ sku: productType, quantity: 1, unitPrice: prices[productType] ?? 0 }];
}

// Empty where the order is what was asked for.
function differenceOf(row: OrderRow, command: PlaceCommand): string {
  const lines = linesOf(command);
  const asked = {
    amount: lines.reduce((sum, line) => sum + line.quantity * line.unitPrice, 0),
    currency: command.currency ?? 'USD',
    country: command.country ?? 'US',
    customer_email: command.customerEmail ?? null,
    user_id: command.userId ?? command.user_id ?? null,
    product_type: command.productType ?? null,
    payment_scenario: command.paymentScenario ?? 'success',
  };
  const wrong = Object.entries(asked).find(([field, value]) => row[field as keyof typeof asked] !== value);
  if (wrong !== undefined) return `${wrong[0]} is ${row[wrong[0] as keyof typeof asked]} instead of ${wrong[1]}`;
  return contentOf(row.items) === contentOf(lines) ? '' : 'its items are not those that were sent';
}

// The answer as it must be: the order's first state, whatever became of it.
function firstAnswerOf(row: OrderRow): string {
  const { id, amount, currency, country, customer_email, user_id, product_type, payment_scenario, correlation_id } =
    row;
  return JSON.stringify([
    ...[id, 'PENDING', 'none', 'none', 0, 1, null, amount, currency, country, contentOf(row.items)],
    ...[customer_email, user_id, product_type, payment_scenario, correlation_id],
  ]);
}
function answerOf(placement: Placement): string {
  if (placement.answer === null || !('order' in placement.answer)) return '';
  const { order } = placement.answer;
  const { id, status, payment, fulfillment, retryCount, version, reason, amount, currency, country, items } = order;
  return JSON.stringify([
    ...[id, status, payment, fulfillment, retryCount, version, reason, amount, currency, country, contentOf(items)],
    ...[order.customerEmail, order.userId, order.productType, order.paymentScenario, order.correlationId],
  ]);
}

export const placing: readonly Invariant[] = [
  ofOrder('history', 'an acknowledged order is there, as it was sent', (order, say) => {
    for (const placement of order.acknowledged) {
      if (order.row === null) return say('was acknowledged and does not exist');
      const difference = differenceOf(order.row, placement.command);
      if (difference !== '') say(`was acknowledged to a request for something else: ${difference}`);
      if (answerOf(placement) !== firstAnswerOf(order.row)) say('was answered otherwise than in its first state');
    }
  }),

  ofOrder('history', 'a key has one order, and one answer', (order, say, { placementOf, placementsByKey, keys }) => {
    if (order.row === null) return;
    const key = placementOf.get(order.row.correlation_id)?.key ?? null;
    if (key !== null && keys.get(key)?.order_id !== order.id) say(`was placed under the key ${key} of another order`);
    for (const { key: other } of order.acknowledged) if (other !== key) say(`was the answer to the key ${other}`);
    for (const { answer } of key === null ? [] : (placementsByKey.get(key) ?? [])) {
      if (answer !== null && 'order' in answer && answer.order.id !== order.id) {
        say(`shares its key with order ${answer.order.id}, which was acknowledged too`);
      }
    }
  }),

  ofOrder('history', 'an order comes from a request that may have placed it', (order, say, { placementOf }) => {
    if (order.row === null) return;
    const placement = placementOf.get(order.row.correlation_id);
    if (placement === undefined) return say('was placed by nobody');
    const difference = differenceOf(order.row, placement.command);
    if (difference !== '') say(`is not what was sent: ${difference}`);
    if (placement.isImpossible) say('is one that the database must refuse');
    const { answer } = placement;
    if (answer === null) return;
    if (answer.answer === 'refused') say(`is there although its request was refused as ${answer.code}`);
    if (answer.answer === 'replayed') say('is there although its request was answered with an earlier order');
    if (answer.answer === 'placed' && answer.order.id !== order.id) say('is there beside the one that was answered');
    if (answer.answer === 'unavailable' && answer.stored === 'nothing') {
      say('is there although its client was told that nothing is stored');
    }
  }),

  ofAll('end', 'nobody is turned away before their time', ({ placements }, say) => {
    for (const { answer, answeredMs = 0, atMs, correlationId } of placements) {
      if (answer?.answer !== 'unavailable' || answeredMs - atMs >= patienceMs) continue;
      say(`request ${correlationId} was turned away after ${Math.round(answeredMs - atMs)} ms`);
    }
  }),

  ofAll('end', 'a key is refused only for another payload', ({ placements, keys, orders, placementOf }, say) => {
    for (const { answer, key, command } of placements) {
      if (answer?.answer !== 'refused' || answer.code !== 'idempotency-key-reused') continue;
      const winner = keys.get(key ?? '');
      const row = winner === undefined ? null : (orders.get(winner.order_id)?.row ?? null);
      if (row === null) say(`the key ${key} was refused as used, and no order has it`);
      else if (sameJson(placementOf.get(row.correlation_id)?.command, command)) {
        say(`the key ${key} was refused to a repetition of its own request`, row.id);
      }
    }
  }),

  ofAll('end', 'nobody is told of an error that nobody foresaw', ({ placements, acts, looks, complaints }, say) => {
    for (const { answer, isImpossible, correlationId } of placements) {
      if (answer?.answer === 'failed' && !isImpossible) say(`request ${correlationId} failed: ${answer.message}`);
    }
    for (const { answer, act, orderId } of acts) {
      if (answer?.answer === 'failed') say(`${act} failed: ${answer.message}`, orderId);
    }
    for (const { answer, at, orderId } of looks) {
      if (answer?.answer === 'failed') say(`a look at its ${at} failed: ${answer.message}`, orderId);
    }
    // What cannot be written because the database is away is foreseen, and says so.
    for (const { process, message, error } of complaints) {
      if (!error.startsWith('UnavailableError')) say(`${process} complained: ${message}: ${error}`);
    }
  }),
];

function sameJson(one: unknown, other: unknown): boolean {
  const sorted = (value: unknown): unknown =>
    typeof value !== 'object' || value === null || Array.isArray(value)
      ? value
      : Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
}

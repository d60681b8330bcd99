// The order's own state: its history, and the row against the fold of its events.
//
// The table of what may happen is written here a second time, from the design: were it taken from
// src/domain, a mistake there would be right by definition.

import type { EventColumns } from '../rows.ts';
import { coreConsumers, type Invariant, nameOfType, ofOrder } from './law.ts';

// `open` = PENDING or PROCESSING: a claim makes the one of the other, without an event.
type Folded = 'open' | 'PROCESSED' | 'FAILED' | 'CANCELED';
const table: Readonly<Record<string, Folded>> = {
  'open PaymentAuthorized': 'open',
  'open PaymentFailed': 'open',
  'open FulfillmentScheduled': 'PROCESSED',
  'open FulfillmentRejected': 'open',
  'open OrderFailed': 'FAILED',
  'open OrderCanceled': 'CANCELED',
  'FAILED OrderReprocessed': 'open',
  'FAILED OrderCanceled': 'CANCELED',
  'CANCELED PaymentAuthorized': 'CANCELED',
  'CANCELED PaymentFailed': 'CANCELED',
  'CANCELED PaymentVoided': 'CANCELED',
  'CANCELED FulfillmentScheduled': 'CANCELED',
  'CANCELED FulfillmentRejected': 'CANCELED',
  'CANCELED FulfillmentCanceled': 'CANCELED',
};
const moneyAfter: Readonly<Record<string, string>> = {
  PaymentAuthorized: 'authorized',
  PaymentFailed: 'declined',
  PaymentVoided: 'voided',
};
const parcelAfter: Readonly<Record<string, string>> = {
  FulfillmentScheduled: 'scheduled',
  FulfillmentRejected: 'rejected',
  FulfillmentCanceled: 'canceled',
};
// Moves of the row that need no event, and those that do.
const moves: ReadonlySet<string> = new Set([
  ...['PENDING PROCESSING', 'PENDING FAILED', 'PENDING CANCELED', 'PROCESSING PROCESSED', 'PROCESSING FAILED'],
  ...['PROCESSING CANCELED', 'FAILED PENDING', 'FAILED CANCELED'],
]);

const isOpen = (status: string) => status === 'PENDING' || status === 'PROCESSING';

export const state: readonly Invariant[] = [
  ofOrder('always', 'the order is the fold of its events', (order, say) => {
    if (order.row === null) return order.events.length > 0 ? say('has events and does not exist') : undefined;
    const { row } = order;
    let folded: Folded = 'open';
    let money: string | null = null;
    let parcel: string | null = null;
    let reason: unknown = null;
    for (const [index, event] of order.events.entries()) {
      const name = nameOfType(event.type);
      if (event.version !== index + 1) return say(`has version ${event.version} after ${index} events`);
      if ((index === 0) !== (name === 'OrderCreated')) return say(`has ${name} as its event ${index + 1}`);
      if (index === 0) continue;
      const next: Folded | undefined = table[`${folded} ${name}`];
      if (next === undefined) return say(`has ${name} while ${folded}, which is impossible`);
      if (next !== folded) sayIfMisnamed(event, folded, next, say);
      if (next === 'FAILED' || next === 'CANCELED') reason = next === folded ? reason : event.data.reason;
      else reason = null;
      money = moneyAfter[name] ?? money;
      parcel = parcelAfter[name] ?? parcel;
      folded = next;
    }
    if (row.version !== order.events.length) say(`has version ${row.version} and ${order.events.length} events`);
    if (folded === 'open' ? !isOpen(row.status) : row.status !== folded)
      say(`is ${row.status}, its events say ${folded}`);
    if (row.reason_code !== reason) say(`has the reason ${row.reason_code}, its events say ${reason}`);
    const isUnsure = (shown: string) => ['none', 'pending', 'unknown'].includes(shown);
    // An undo that was parked may have been done or not: what it was about is shown as unknown until it is.
    const isParkedUndo = (shown: string) =>
      shown === 'unknown' &&
      row.status === 'CANCELED' &&
      [...order.deadLetters.values()].some(({ consumer }) => consumer === 'compensation');
    if ((money === null ? !isUnsure(row.payment) : row.payment !== money) && !isParkedUndo(row.payment))
      say(`shows payment ${row.payment}, not ${money}`);
    // A shipment that could not be recalled is shown, whatever was known of it before.
    const ships = row.fulfillment === 'scheduled' && hadDeadLetter(order.deadLetters.values(), 'recall-refused');
    if (
      !ships &&
      !isParkedUndo(row.fulfillment) &&
      (parcel === null ? !isUnsure(row.fulfillment) : row.fulfillment !== parcel)
    ) {
      say(`shows fulfillment ${row.fulfillment}, not ${parcel}`);
    }
  }),

  ofOrder('history', 'an order moves only as the design allows, a version per event', (order, say) => {
    let events = 0;
    for (const { before, after, sequence } of order.moves) {
      if (after === null) return say('was removed');
      while ((order.eventSequences[events] ?? Number.POSITIVE_INFINITY) <= sequence) events += 1;
      if (after.version !== events) say(`moved to version ${after.version} with ${events} events`);
      if (before === null) {
        if (after.status !== 'PENDING' || after.version !== 1)
          say(`began as ${after.status}, version ${after.version}`);
        continue;
      }
      const isTaken = before.status === 'PENDING' && after.status === 'PROCESSING';
      if (before.status !== after.status && !moves.has(`${before.status} ${after.status}`)) {
        say(`went from ${before.status} to ${after.status}`);
      }
      if (before.status !== after.status && !isTaken && after.version <= before.version) {
        say(`went from ${before.status} to ${after.status} without an event`);
      }
      if (before.amount !== after.amount || before.currency !== after.currency) say('had its price changed');
    }
  }),

  ofOrder('always', 'FAILED means an open dead letter of a core step', (order, say) => {
    const deadLetters = [...order.deadLetters.values()].filter(
      (deadLetter) => deadLetter.closed_at === null && coreConsumers.has(deadLetter.consumer),
    );
    if (order.row?.status === 'FAILED' && deadLetters.length === 0)
      say('is FAILED without an open dead letter of a core step');
    if (order.row?.status !== 'FAILED' && deadLetters.length > 0) {
      say(`is ${order.row?.status} with an open dead letter of ${deadLetters[0]?.consumer}`);
    }
  }),

  ofOrder('always', 'the retries that are shown are those that were charged', (order, say) => {
    if (order.row === null) return;
    const lastReprocess = order.events.findLastIndex((event) => nameOfType(event.type) === 'OrderReprocessed');
    const since = lastReprocess === -1 ? -1 : (order.eventSequences[lastReprocess] ?? -1);
    const charged = order.attempts.filter(
      (attempt, index) =>
        attempt.outcome === 'retry' &&
        coreConsumers.has(attempt.consumer) &&
        (order.attemptSequences[index] ?? 0) > since,
    );
    if (charged.length !== order.row.retry_count) {
      say(`shows ${order.row.retry_count} retries, and ${charged.length} were charged`);
    }
  }),
];

function sayIfMisnamed(event: EventColumns, from: Folded, to: Folded, say: (sentence: string) => void): void {
  const { previousStatus, status } = event.data;
  const isFrom = from === 'open' ? isOpen(String(previousStatus)) : previousStatus === from;
  const isTo = to === 'open' ? status === 'PENDING' : status === to;
  if (!isFrom || !isTo) say(`has a ${event.type} that says ${previousStatus} → ${status} at ${from} → ${to}`);
}

function hadDeadLetter(deadLetters: Iterable<{ readonly code: string }>, code: string): boolean {
  for (const deadLetter of deadLetters) if (deadLetter.code === code) return true;
  return false;
}

// When the faults are over and everything has had its time: nothing may be left lying about.

import { coreConsumers, type Invariant, ofAll, ofOrder } from './law.ts';
import { openDeadLetters } from './money.ts';

// The longest that a reader asks for.
const cursorLeaseMs = 30_000;
const arrivesWithinMs = 15_000;

export const quiet: readonly Invariant[] = [
  ofOrder('end', 'every order ends', (order, say) => {
    if (order.row === null) return;
    if (!['PROCESSED', 'CANCELED', 'FAILED'].includes(order.row.status)) say(`is still ${order.row.status}`);
  }),

  ofOrder('end', 'nothing is owed any more', (order, say) => {
    for (const { reader, event } of order.owed.values())
      say(`has version ${event.version} still before the cursor of ${reader}`);
    for (const { consumer, version } of order.jobs.values()) say(`has version ${version} still to do for ${consumer}`);
  }),

  ofOrder('end', 'no outcome is left open unless a person was told', (order, say) => {
    const isParked =
      order.row?.status === 'FAILED'
        ? [...coreConsumers].some((consumer) => openDeadLetters(order, consumer).length > 0)
        : openDeadLetters(order, 'compensation').length > 0;
    for (const { name, state } of order.effects.values()) {
      const isFinal =
        order.row?.status === 'PROCESSED' ? state === 'done' : !['intent', 'unknown', 'done', 'stuck'].includes(state);
      const isKept = order.row?.status === 'FAILED' && state === 'done';
      if (!isFinal && !isKept && !isParked) say(`has its ${name} still ${state}`);
    }
  }),

  ofAll('end', 'every key leads to an order', ({ keys, orders }, say) => {
    for (const { key, order_id } of keys.values()) {
      if ((orders.get(order_id)?.row ?? null) === null) say(`the key ${key} has no order`, order_id);
    }
  }),

  ofAll('end', 'no cursor is held by the dead', (evidence, say) => {
    const { settings, happenings, tokens, cursors } = evidence;
    for (const { reader, token, lease_until } of cursors.values()) {
      const holder = token === null ? undefined : tokens.get(token)?.process;
      const end = happenings.find(
        ({ process, what }) => process === holder && (what === 'killed' || what === 'stopped'),
      );
      if (holder === undefined || end === undefined) continue;
      // The lease it had at its end runs on; nothing that it sent before takes longer to arrive.
      if (Number(lease_until) > settings.epochMs + end.atMs + cursorLeaseMs + arrivesWithinMs) {
        say(`the cursor of ${reader} is held by ${holder}, which is gone`);
      }
    }
  }),
];

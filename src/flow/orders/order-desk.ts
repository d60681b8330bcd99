// The desk: everything that can be asked of the system from outside, over any protocol.
//
// Promises: no invalid order reaches the store; every business no is a refusal with a stable code.
// Relies on the store to decide under the order's lock, and on the pure rules of place, cancel and
// reprocess beside this file.

import { type OrderId, toFirstState } from '../../domain/order.ts';
import { isRefusal, refuse } from '../../domain/refusals.ts';
import type { System } from '../../engine/ports.ts';
import type { OrderDesk, OrderStore } from '../ports.ts';
import type { Search } from '../projections/search-ports.ts';
import { cancelOrder } from './cancel-order.ts';
import { correctDeadLetter } from './correct-dead-letter.ts';
import { discardDeadLetter } from './discard-dead-letter.ts';
import { fingerprintOf, toOrder } from './place-order.ts';
import { reprocessOrder } from './reprocess-order.ts';

export function createOrderDesk(options: {
  readonly store: OrderStore;
  readonly search: Pick<Search, 'find' | 'count'>;
  readonly system: System;
  readonly simulatedPartners: boolean;
}): OrderDesk {
  const { store, search, system, simulatedPartners } = options;

  async function changeOwner(deadLetterId: string, decide: Parameters<OrderStore['change']>[1]) {
    const orderId = await store.orderOfDeadLetter(deadLetterId);
    if (orderId === null) return refuse('no-dead-letter', `there is no open dead letter ${deadLetterId}`);
    return store.change(orderId, decide);
  }

  return {
    place: async (input) => {
      const order = toOrder(input, { now: system.now(), id: system.newId() as OrderId, simulatedPartners });
      if (isRefusal(order)) return order;
      const { id, amount, currency, country } = order;
      const placed = await store.place({
        order,
        event: { type: 'OrderCreatedV1', version: 1, data: { orderId: id, amount, currency, country } },
        eventId: system.newId(),
        key: input.key,
        fingerprint: fingerprintOf(input.received),
      });
      if (placed.answer === 'key-reused') {
        return refuse('idempotency-key-reused', 'this Idempotency-Key was used with another payload');
      }
      return { order: toFirstState(placed.order), replayed: placed.answer === 'replayed' };
    },

    read: async (id) => (await store.read(id)) ?? refuse('order-not-found', `there is no order ${id}`),

    timeline: async (id) => {
      const entries = await store.timeline(id);
      return entries.length > 0 ? entries : refuse('order-not-found', `there is no order ${id}`);
    },

    // Found by its document, shown by its row: a document may be a moment behind.
    find: async (query) => {
      const { ids, next } = await search.find(query);
      const orders = new Map((await store.readAll(ids)).map((order) => [order.id, order]));
      const found = ids.map((id) => orders.get(id)).filter((order) => order !== undefined);
      return { items: found.filter(({ status }) => query.status === null || status === query.status), next };
    },

    count: search.count,

    cancel: (id, reason, correlationId, by) =>
      store.change(id, (record, deadLetters, now) =>
        cancelOrder(record, deadLetters, { reason, correlationId, by }, now),
      ),

    deadLetters: store.deadLetters,

    analytics: store.analytics,

    reprocess: async (id, correlationId, by) => {
      const changed = await store.change(id, (record, deadLetters, now) =>
        reprocessOrder(record, deadLetters, { deadLetterId: null, correlationId, by }, now),
      );
      // Asked about dead letters, so an unknown order is one without dead letters.
      if (isRefusal(changed) && changed.refused === 'order-not-found') {
        return refuse('no-dead-letter', `order ${id} has no open dead letter`);
      }
      return changed;
    },

    reprocessDeadLetter: (deadLetterId, correlationId, by) =>
      changeOwner(deadLetterId, (record, deadLetters, now) =>
        reprocessOrder(record, deadLetters, { deadLetterId, correlationId, by }, now),
      ),

    discardDeadLetter: (deadLetterId, reason, correlationId, by, cancelsOrder) =>
      changeOwner(deadLetterId, (record, deadLetters, now) =>
        discardDeadLetter(record, deadLetters, { deadLetterId, reason, correlationId, by, cancelsOrder }, now),
      ),

    correctDeadLetter: (deadLetterId, correction, correlationId, by) =>
      changeOwner(deadLetterId, (record, deadLetters, now) =>
        correctDeadLetter(record, deadLetters, { deadLetterId, correction, correlationId, by }, now),
      ),
  };
}

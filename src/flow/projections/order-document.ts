// The document of an order, built from its row and its events, never from the message that told of them.
//
// Promises: the same order and events make the same document, whoever builds it and when; an event of a newer
// release is a step like any other. Relies on the events to be those of one moment, oldest first.

import type { Status } from '../../domain/order.ts';
import { nameOf } from '../../engine/envelope.ts';
import type { OrderDocument, OrderHistory } from './search-ports.ts';
import { wordsOf } from './search-words.ts';

// An order that was sent back to work again and again has some dozens; the newest are kept.
const timelineMax = 200;

export function toDocument({ order, events }: OrderHistory): OrderDocument {
  const latest = events.at(-1);
  // Its first event is written with the order.
  if (latest === undefined) throw new Error(`order ${order.id} has no events`);
  const status = nameOf(latest.type);
  const state = stateOf(order.status, status);
  return {
    id: order.id,
    version: latest.version,
    status,
    state,
    reason: order.reason,
    amount: order.amount,
    currency: order.currency,
    country: order.country,
    productType: order.productType,
    customerEmail: order.customerEmail,
    userId: order.userId,
    items: order.items,
    correlationId: order.correlationId,
    createdAt: order.createdAt.toISOString(),
    updatedAt: latest.time.toISOString(),
    facts: [...new Set(events.map((event) => nameOf(event.type)))],
    timeline: events.slice(-timelineMax).map(({ type, time, id, correlationId, causationId }) => ({
      ...{ type, at: time.toISOString(), eventId: id, correlationId, causationId },
    })),
    words: wordsOf(order, [state, status]),
  };
}

// Taking an order up writes no event: whether it was before or after this reading must not show.
function stateOf(now: Status, step: string): Status {
  return now === 'PROCESSING' && beforeTakingUp.includes(step) ? 'PENDING' : now;
}
const beforeTakingUp = ['OrderCreated', 'OrderReprocessed'];

// The store of the desk with a span for what it writes: the events that a request makes are created in it.
//
// Promises: answers and errors are the store's own. What was there already, or is refused, shows no span.
// Relies on the tracer to know the request that asks: its traceparent, or the current one.

import { createCreation, startCreate, type Tracer } from '../../engine/tracer.ts';
import type { OrderStore } from '../ports.ts';

export function traceStore(store: OrderStore, tracer: Tracer): OrderStore {
  return {
    ...store,
    place: async (request) => {
      const { order, event } = request;
      const span = startCreate(tracer, [event.type], order.id, order.traceparent);
      const placed = await store.place({ ...request, order: { ...order, traceparent: span.traceparent } });
      if (placed.answer === 'placed') span.end();
      return placed;
    },
    change: async (id, decide) => {
      const creation = createCreation(tracer, tracer.current);
      const changed = await store.change(id, (...read) => {
        const change = decide(...read);
        return change === null || 'refused' in change ? change : creation.mark(change);
      });
      creation.stored();
      return changed;
    },
  };
}

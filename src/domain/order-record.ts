// What the engine works on: an order with its effects, and a change of both. For the engine it is a subject and a
// change of it, which it hands from the store to a step and back; it looks into neither.
//
// Promises: the order and its effects are one row and change under one lock.

import type { Effect, EffectName } from './effects.ts';
import type { Happened } from './events.ts';
import type { Order } from './order.ts';

export type OrderRecord = {
  readonly order: Order;
  readonly effects: { readonly [N in EffectName]?: Effect };
};

// What a step changes, applied in one transaction with the job's end.
export type OrderChange = {
  readonly order: Order;
  readonly events: readonly Happened[];
  // Each as a whole. A claim takes them for its token; a settle must still hold them by it.
  readonly effects: readonly Omit<Effect, 'token'>[];
  // Of the span that the events belong to (W3C Trace Context); absent = that of the order.
  readonly traceparent?: string | null;
};

// What an order is meant to have at a partner: under which key, and what came of it.
//
// Promises: the key of an effect is a pure function of order, effect and generation, so that whatever is repeated
// goes out under the same one. Relies on nothing.

import type { OrderId } from './order.ts';

export type EffectName = 'authorization' | 'booking';
// `intent` and `unknown` = it may exist, or come to exist; `none` = certainly without effect so far.
export type EffectState = 'intent' | 'unknown' | 'none' | 'done' | 'declined' | 'undone' | 'stuck';

export type Effect = {
  readonly name: EffectName;
  // Raised by a reprocess where nothing can be done under the key any more.
  readonly generation: number;
  readonly state: EffectState;
  // The claim that may write this effect; an undo takes it from the do.
  readonly token: string;
  // When a call was first made under this key.
  readonly firstUsedAt: Date;
  // The partner's own id once known.
  readonly reference: string | null;
  // Of an authorization, once known.
  readonly expiresAt: Date | null;
};

export function keyOfEffect(orderId: OrderId, { name, generation }: Pick<Effect, 'name' | 'generation'>): string {
  return `${orderId}:${name}:${generation}`;
}

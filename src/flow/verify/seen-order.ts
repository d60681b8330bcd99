// An order as an onlooker sees it: all of its rows in one snapshot of the database, as plain values.
//
// Promises: what is seen belongs together, for one statement has read it; ages are by the database's clock.
// Relies on the facts to come in the order of their versions.

import type { Effect, EffectName } from '../../domain/effects.ts';
import type { Order } from '../../domain/order.ts';
import type { TellingFact } from './story.ts';

export type SeenDelivery = {
  readonly consumer: string;
  readonly state: 'running' | 'waiting' | 'done' | 'skipped' | 'dead';
  readonly attempt: number;
  // Since when its lease is over, or it may be tried again; null where it has ended.
  readonly dueForMs: number | null;
  readonly isOfOrder: boolean;
};
export type SeenFact = TellingFact & {
  readonly id: string;
  readonly xid: number;
  readonly ageMs: number;
  // What it tells of, such as `1999 USD`; null where no money moves.
  readonly money: string | null;
  readonly deliveries: readonly SeenDelivery[];
};
export type SeenEffect = Pick<Effect, 'generation' | 'state' | 'reference'>;
export type SeenLetter = {
  readonly consumer: string;
  readonly deliveryId: string;
  readonly closedHow: 'reprocessed' | 'canceled' | null;
};
export type SeenOrder = Pick<
  Order,
  'id' | 'status' | 'payment' | 'fulfillment' | 'version' | 'retryCount' | 'amount' | 'currency'
> & {
  readonly facts: readonly SeenFact[];
  readonly effects: { readonly [N in EffectName]?: SeenEffect };
  readonly letters: readonly SeenLetter[];
  // Attempts that were written of after their delivery had ended, in words.
  readonly revived: readonly string[];
};

// An order as an onlooker sees it: all of its rows in one snapshot of the database, as plain values.
//
// Promises: what is seen belongs together, for one statement has read it; ages are by the database's clock.
// Relies on the events to come in the order of their versions.

import type { Effect, EffectName } from '../../domain/effects.ts';
import type { Order } from '../../domain/order.ts';
import type { TellingEvent } from './story.ts';

// What is still to be done.
export type SeenJob = {
  readonly consumer: string;
  readonly attempt: number;
  readonly isClaimed: boolean;
  // Since when its lease is over, or it may be tried; below zero where that is still to come.
  readonly dueForMs: number;
};
export type SeenEvent = TellingEvent & {
  readonly ageMs: number;
  // What it tells of, such as `1999 USD`; null where no money moves.
  readonly money: string | null;
  readonly jobs: readonly SeenJob[];
};
export type SeenEffect = Pick<Effect, 'generation' | 'state' | 'reference'>;
export type SeenDeadLetter = {
  readonly consumer: string;
  // Of its event.
  readonly version: number;
  // Null = open.
  readonly closedHow: string | null;
};
export type SeenOrder = Pick<
  Order,
  'id' | 'status' | 'payment' | 'fulfillment' | 'version' | 'retryCount' | 'amount' | 'currency'
> & {
  readonly events: readonly SeenEvent[];
  readonly effects: { readonly [N in EffectName]?: SeenEffect };
  readonly deadLetters: readonly SeenDeadLetter[];
};

// An order's effects as columns of its row: what is meant to exist at a partner, and what came of it.
//
// Promises: an effect that is there is whole, which the schema sees to; all its columns are null where it was never
// meant to be. They are read and written with the order, under its lock: see orders.ts.

import type { Effect, EffectState } from '../../domain/effects.ts';
import type { OrderRecord } from '../../domain/order-record.ts';
import { plainArray } from './database.ts';

export const effectColumns = `
  o.authorization_generation, o.authorization_state, o.authorization_token, o.authorization_first_used_at,
  o.authorization_reference, o.authorization_expires_at,
  o.booking_generation, o.booking_state, o.booking_token, o.booking_first_used_at, o.booking_reference`;

// All null where the effect was never meant to be.
export type EffectsRow = {
  authorization_generation: number | null;
  authorization_state: EffectState | null;
  authorization_token: string | null;
  authorization_first_used_at: Date | null;
  authorization_reference: string | null;
  authorization_expires_at: Date | null;
  booking_generation: number | null;
  booking_state: EffectState | null;
  booking_token: string | null;
  booking_first_used_at: Date | null;
  booking_reference: string | null;
};
// The schema sees to it that an effect which is there is whole.
export function toEffects(row: EffectsRow): OrderRecord['effects'] {
  const authorization = row.authorization_state !== null && {
    name: 'authorization' as const,
    generation: row.authorization_generation as number,
    state: row.authorization_state,
    token: row.authorization_token as string,
    firstUsedAt: row.authorization_first_used_at as Date,
    reference: row.authorization_reference,
    expiresAt: row.authorization_expires_at,
  };
  const booking = row.booking_state !== null && {
    name: 'booking' as const,
    generation: row.booking_generation as number,
    state: row.booking_state,
    token: row.booking_token as string,
    firstUsedAt: row.booking_first_used_at as Date,
    reference: row.booking_reference,
    expiresAt: null,
  };
  return { ...(authorization && { authorization }), ...(booking && { booking }) };
}

export const effectValues = (effects: readonly (Effect | undefined)[]): unknown[] => [
  plainArray(effects.map((effect) => effect?.generation ?? null)),
  plainArray(effects.map((effect) => effect?.state ?? null)),
  plainArray(effects.map((effect) => effect?.token ?? null)),
  plainArray(effects.map((effect) => effect?.firstUsedAt ?? null)),
  effects.map((effect) => effect?.reference ?? null),
];

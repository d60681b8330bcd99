// Rows of `effects`: what is meant to exist outside, under which key, and what came of it.
//
// Promises: a claim takes the row (`takeEffects`); any later write needs the token of the last taker, so
// of do and undo only one can record its outcome.

import type { Effect, EffectName, OrderRecord } from '../../flow/ports.ts';
import { plainArray, type Query } from './database.ts';

type EffectRow = {
  order_id: string;
  name: EffectName;
  key: string;
  generation: number;
  state: Effect['state'];
  token: string;
  first_used_at: Date;
  reference: string | null;
  expires_at: Date | null;
};

function toEffect(row: EffectRow): Effect {
  return {
    name: row.name,
    key: row.key,
    generation: row.generation,
    state: row.state,
    token: row.token,
    firstUsedAt: row.first_used_at,
    reference: row.reference,
    expiresAt: row.expires_at,
  };
}

export type EffectsByOrder = ReadonlyMap<string, OrderRecord['effects']>;

const effectColumns =
  'f.order_id, f.name, f.key, f.generation, f.state, f.token, f.first_used_at, f.reference, f.expires_at';

function byOrder(rows: readonly EffectRow[]): EffectsByOrder {
  const found = new Map<string, { [N in EffectName]?: Effect }>();
  for (const row of rows) found.set(row.order_id, { ...found.get(row.order_id), [row.name]: toEffect(row) });
  return found;
}

export async function readEffects(query: Query, orderIds: readonly string[]): Promise<EffectsByOrder> {
  return byOrder(
    await query<EffectRow>(
      `/* read-effects */ SELECT ${effectColumns} FROM effects f WHERE f.order_id = ANY($1::uuid[])`,
      [orderIds],
    ),
  );
}

// By the facts, for a claim that does not know the orders yet.
export async function readEffectsOfFacts(query: Query, eventIds: readonly string[]): Promise<EffectsByOrder> {
  return byOrder(
    await query<EffectRow>(
      `/* read-effects-of-facts */ SELECT ${effectColumns} FROM effects f
       WHERE f.order_id IN (SELECT e.order_id FROM events e WHERE e.id = ANY($1::uuid[]))`,
      [eventIds],
    ),
  );
}

export type EffectWrite = { readonly orderId: string; readonly effect: Effect };

const effectArrays = `unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::uuid[], $7::timestamptz[],
                   $8::text[], $9::timestamptz[])`;

function effectValues(writes: readonly EffectWrite[]): unknown[] {
  return [
    plainArray(writes.map((w) => w.orderId)),
    plainArray(writes.map((w) => w.effect.name)),
    writes.map((w) => w.effect.key),
    plainArray(writes.map((w) => w.effect.generation)),
    plainArray(writes.map((w) => w.effect.state)),
    plainArray(writes.map((w) => w.effect.token)),
    plainArray(writes.map((w) => w.effect.firstUsedAt)),
    writes.map((w) => w.effect.reference),
    plainArray(writes.map((w) => w.effect.expiresAt)),
  ];
}

// The intent before the call, or an undo taking over: whoever held the row cannot write it any more.
export async function takeEffects(query: Query, writes: readonly EffectWrite[]): Promise<void> {
  if (writes.length === 0) return;
  await query(
    `/* take-effects */ INSERT INTO effects AS f (order_id, name, key, generation, state, token, first_used_at, reference, expires_at)
     SELECT * FROM ${effectArrays}
     ON CONFLICT (order_id, name) DO UPDATE SET state = excluded.state, token = excluded.token, key = excluded.key,
       generation = excluded.generation`,
    effectValues(writes),
  );
}

// Answers how many were still held by the writer's token.
export async function updateEffectsIfHeld(query: Query, writes: readonly EffectWrite[]): Promise<number> {
  if (writes.length === 0) return 0;
  const rows = await query(
    `/* update-effects */ UPDATE effects f SET key = w.key, generation = w.generation, state = w.state, reference = w.reference,
       expires_at = w.expires_at
     FROM ${effectArrays}
       AS w(order_id, name, key, generation, state, token, first_used_at, reference, expires_at)
     WHERE f.order_id = w.order_id AND f.name = w.name AND f.token = w.token
     RETURNING 1`,
    effectValues(writes),
  );
  return rows.length;
}

// A reprocess: the next call goes out under these keys. Under the order's lock, with no claim running.
export async function resetEffects(
  query: Query,
  orderId: string,
  effects: readonly Omit<Effect, 'token'>[],
): Promise<void> {
  for (const effect of effects) {
    await query(
      `/* reset-effect */ UPDATE effects SET key = $3, generation = $4, state = $5, first_used_at = $6 WHERE order_id = $1 AND name = $2`,
      [orderId, effect.name, effect.key, effect.generation, effect.state, effect.firstUsedAt],
    );
  }
}

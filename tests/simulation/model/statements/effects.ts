// effects: effects.ts.

import type { EffectRow } from '../schema.ts';
import { integer, integers, text, texts, time, times, uuid, uuids } from '../values.ts';
import { equal, ones, type Statement } from './statement.ts';

function writesOf(values: readonly unknown[]): EffectRow[] {
  const [orders, names, keys, generations, states] = [
    uuids(values[0]),
    texts(values[1]),
    texts(values[2]),
    integers(values[3]),
    texts(values[4]),
  ];
  const [tokens, uses, references, expiries] = [uuids(values[5]), times(values[6]), texts(values[7]), times(values[8])];
  return orders.map((order_id, i) => ({
    order_id,
    name: names[i] as string,
    key: keys[i] as string,
    generation: generations[i] as number,
    state: states[i] as string,
    token: tokens[i] as string,
    first_used_at: uses[i] as Date,
    reference: references[i] as string | null,
    expires_at: expiries[i] as Date | null,
  }));
}

export const effectStatements: Readonly<Record<string, Statement>> = {
  'read-effects': ({ tables, tx }, [orders]) =>
    [...new Set(uuids(orders))].flatMap((order) =>
      tables.effects.findAll(tx, 'order', order).map(({ row }) => ({ ...row })),
    ),

  'read-effects-of-facts': ({ tables, tx }, [eventIds]) => {
    const orders = new Set(uuids(eventIds).map((id) => tables.events.get(tx, id)?.order_id ?? null));
    return [...orders].flatMap((order) =>
      order === null ? [] : tables.effects.findAll(tx, 'order', order).map(({ row }) => ({ ...row })),
    );
  },

  'take-effects': function* ({ tables, tx }, values) {
    for (const write of writesOf(values)) {
      const { state, token, key, generation } = write;
      yield* tables.effects.upsert(tx, write, (f) => ({ ...f, state, token, key, generation }), token);
    }
    return [];
  },

  'update-effects': function* ({ tables, tx }, values) {
    const changes = writesOf(values).map(
      ({ order_id, name, token, key, generation, state, reference, expires_at }) => ({
        found: tables.effects.find(tx, `${order_id} ${name}`),
        where: (f: EffectRow) => equal(f.token, token),
        to: (f: EffectRow): EffectRow => ({ ...f, key, generation, state, reference, expires_at }),
        token,
      }),
    );
    return ones(yield* tables.effects.change(tx, changes));
  },

  'reset-effect': function* ({ tables, tx }, [order, name, key, generation, state, firstUsedAt]) {
    const found = tables.effects.find(tx, `${uuid(order)} ${text(name)}`);
    const next = {
      key: text(key),
      generation: integer(generation),
      state: text(state),
      first_used_at: time(firstUsedAt),
    };
    yield* tables.effects.change(tx, [{ found, where: () => true, to: (f) => ({ ...f, ...next }) }]);
    return [];
  },
};

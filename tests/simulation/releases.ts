// Two releases at once. There is one version of each fact so far, so the newer release is played: the real engine
// behind a translation at its borders, in which one fact has a second version.
//
// Promises: what the newer one writes, the older one finds in the database as a version that it does not know,
// and must leave to the newer; what the older one wrote, the newer one reads. Relies on an upcast being a pure
// function of a fact's contents, which are the same here.

import type { Bus } from '../../src/engine/ports.ts';
import type { Database, Query } from '../../src/io/postgres/database.ts';

export const olderType = 'PaymentAuthorizedV1';
export const newerType = 'PaymentAuthorizedV2';
// Which the older release does not know: its events make jobs of it all the same, for subscriptions are data.
export const newerConsumer = 'notification';

// `onOlder` is told of each fact of the older version that is handed to a step.
export function asNewerRelease(database: Database, onOlder: () => void): Database {
  const translated = (text: string, values: readonly unknown[] | undefined): readonly unknown[] | undefined => {
    if (text.startsWith('/* append-facts */'))
      return withTypes(values, (types) => String(types).replaceAll(olderType, newerType));
    // It looks for both.
    if (text.startsWith('/* lock-orders-of-due-jobs */'))
      return withTypes(values, (types) => (types as string[]).flatMap((type) => (type === olderType ? [type, newerType] : [type])));
    return values;
  };
  const read = <R extends object>(text: string, rows: R[]): R[] => {
    if (!/^\/\* (read-jobs|look-at-events) /.test(text)) return rows;
    return rows.map((row) => {
      const { type } = row as { type?: unknown };
      if (type === olderType) onOlder();
      return type === newerType ? { ...row, type: olderType } : row;
    });
  };
  const over =
    (query: Query): Query =>
    async <R extends object>(text: string, values?: readonly unknown[]) =>
      read(text, await query<R>(text, translated(text, values)));

  return {
    ...database,
    query: over(database.query),
    once: async <R extends object>(text: string, values: readonly unknown[], options?: { durable: boolean }) =>
      read(text, await database.once<R>(text, translated(text, values) ?? [], options)),
    transaction: (work, options) => database.transaction((query) => work(over(query)), options),
  };
}

// Both statements have their types in the fourth place.
const withTypes = (values: readonly unknown[] = [], to: (types: unknown) => unknown) =>
  values.map((value, index) => (index === 3 ? to(value) : value));

// It subscribes to both versions.
export function withNewerType(bus: Bus): Bus {
  return {
    ...bus,
    subscribe: (group, types, receive) =>
      bus.subscribe(group, types.includes(olderType) ? [...types, newerType] : types, (batch) =>
        receive(batch.map(({ body, at }) => ({ body: asOlder(body), at }))),
      ),
  };
}

const asOlder = (body: Buffer): Buffer =>
  body.includes(newerType) ? Buffer.from(body.toString().replaceAll(newerType, olderType)) : body;

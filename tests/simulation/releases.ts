// Two releases at once. There is one version of each fact so far, so the newer release is played: the real engine
// behind a translation at its borders, in which one fact has a second version.
//
// Promises: what the newer one writes, the older one finds in the database as a version that it does not know,
// and must leave to the newer; what the older one wrote, the newer one reads. Relies on an upcast being a pure
// function of a fact's contents, which are the same here.

import type { Bus } from '../../src/engine/ports.ts';
import { relayBatchMax } from '../../src/engine/relay.ts';
import type { Database, Query } from '../../src/io/postgres/database.ts';

export const olderType = 'PaymentAuthorizedV1';
export const newerType = 'PaymentAuthorizedV2';

// `onOlder` is told of each fact of the older version that is handed to a step.
export function asNewerRelease(database: Database, onOlder: () => void): Database {
  // Of each consumer the last scan: it takes turns between the versions that this release subscribes to.
  const scanned = new Map<string, string>();

  const translated = (text: string, values: readonly unknown[] | undefined): readonly unknown[] | undefined => {
    if (values === undefined) return values;
    if (text.startsWith('/* append-facts */')) {
      return values.map((value, index) => (index === 3 ? String(value).replaceAll(olderType, newerType) : value));
    }
    if (values[1] !== olderType) return values;
    const consumer = String(values[0]);
    const isScan = text.startsWith('/* scan-missed */');
    const type = isScan && scanned.get(consumer) !== newerType ? newerType : olderType;
    if (isScan) scanned.set(consumer, type);
    return [consumer, scanned.get(consumer) ?? olderType, ...values.slice(2)];
  };
  const read = <R extends object>(text: string, values: readonly unknown[] | undefined, rows: R[]): R[] => {
    // The relay publishes what is written; it looks at so many events at once, and no other reader does.
    const isLook = text.startsWith('/* look-at-events */') && values?.[2] !== relayBatchMax;
    if (!isLook && !text.startsWith('/* lock-orders-of-facts */')) return rows;
    return rows.map((row) => {
      const { type } = row as { type?: unknown };
      if (type === olderType && !isLook) onOlder();
      return type === newerType ? { ...row, type: olderType } : row;
    });
  };
  const over =
    (query: Query): Query =>
    async <R extends object>(text: string, values?: readonly unknown[]) =>
      read(text, values, await query<R>(text, translated(text, values)));

  return {
    ...database,
    query: over(database.query),
    once: async <R extends object>(text: string, values: readonly unknown[], options?: { durable: boolean }) =>
      read(text, values, await database.once<R>(text, translated(text, values) ?? [], options)),
    transaction: (work, options) => database.transaction((query) => work(over(query)), options),
  };
}

// It subscribes to both versions.
export function withNewerType(bus: Bus): Bus {
  return {
    ...bus,
    subscribe: (group, types, receive) =>
      bus.subscribe(group, types.includes(olderType) ? [...types, newerType] : types, receive),
  };
}

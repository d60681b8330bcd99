// Two releases at once. There is one version of each event so far, so the newer release is played: the real engine
// behind a translation at its borders, in which one event has a second version.
//
// Promises: what the newer one writes, the older one finds in the database as a version that it does not know,
// and must leave to the newer; what the older one wrote, the newer one reads. Relies on an upcast being a pure
// function of an event's contents, which are the same here.

import type { Bus, Message } from '../../src/engine/bus.ts';
import type { Database, Query } from '../../src/io/postgres/database.ts';
import { texts, uuids } from './model/values.ts';

export const olderType = 'PaymentAuthorizedV1';
export const newerType = 'PaymentAuthorizedV2';
// Which the older release does not know: its events make jobs of it all the same, for subscriptions are data.
export const newerConsumer = 'notification';

// `onOlder` is told of each event of the older version that is handed to a step.
export function createNewerRelease(onOlder: () => void) {
  // Events of the newer version that it has written or read: to others they are what they are.
  const newer = new Set<string>();

  const sent = (text: string, values: readonly unknown[] | undefined): readonly unknown[] | undefined => {
    if (text.startsWith('/* append-events */')) {
      const types = texts(values?.[3]);
      for (const [index, id] of uuids(values?.[0]).entries()) if (types[index] === olderType) newer.add(id);
      return withTypes(values, (types) => String(types).replaceAll(olderType, newerType));
    }
    if (text.startsWith('/* write-dead-letters */')) return withTypesOf(values, newer);
    // It looks for both.
    const both = (types: unknown) => (types as string[]).flatMap((type) => bothOf(type));
    if (text.startsWith('/* lock-orders-of-due-jobs */')) return withTypes(values, both);
    if (text.startsWith('/* find-due */')) return values && [values[0], values[1], both(values[2])];
    return values;
  };
  const read = <R extends object>(text: string, rows: R[]): R[] => {
    if (!/^\/\* (read-jobs|read-events) /.test(text)) return rows;
    return rows.map((row) => {
      const { type, event_id } = row as { type?: unknown; event_id?: unknown };
      if (type === olderType && text.startsWith('/* read-jobs */')) onOlder();
      if (type !== newerType) return row;
      newer.add(String(event_id));
      return { ...row, type: olderType };
    });
  };
  const over =
    (query: Query): Query =>
    async <R extends object>(text: string, values?: readonly unknown[]) =>
      read(text, await query<R>(text, sent(text, values)));

  return {
    database: (database: Database): Database => ({
      ...database,
      query: over(database.query),
      once: async <R extends object>(text: string, values: readonly unknown[], options?: { durable: boolean }) =>
        read(text, await database.once<R>(text, sent(text, values) ?? [], options)),
      transaction: (work, options) => database.transaction((query) => work(over(query)), options),
    }),

    // It subscribes to both versions.
    bus: (bus: Bus): Bus => ({
      ...bus,
      publish: (messages, signal) =>
        bus.publish(
          messages.map((message) => (newer.has(message.id) ? asNewer(message) : message)),
          signal,
        ),
      subscribe: (group, types, receive) =>
        bus.subscribe(group, types.flatMap(bothOf), (batch) =>
          receive(batch.map(({ body, at }) => ({ body: asOlder(body), at }))),
        ),
    }),
  };
}

const bothOf = (type: string): string[] => (type === olderType ? [type, newerType] : [type]);

// Dead letters name the ids of their events, and after them the types.
function withTypesOf(values: readonly unknown[] = [], newer: ReadonlySet<string>): readonly unknown[] {
  const [ids, types] = [uuids(values[4]), texts(values[5])];
  const named = types.map((type, index) => (newer.has(ids[index] as string) ? newerType : type));
  return values.map((value, index) => (index === 5 ? named : value));
}

// The others have their types in the fourth place.
const withTypes = (values: readonly unknown[] = [], to: (types: unknown) => unknown) =>
  values.map((value, index) => (index === 3 ? to(value) : value));

const asNewer = (message: Message): Message => ({
  ...message,
  type: newerType,
  body: Buffer.from(message.body.toString().replaceAll(olderType, newerType)),
});

const asOlder = (body: Buffer): Buffer =>
  body.includes(newerType) ? Buffer.from(body.toString().replaceAll(newerType, olderType)) : body;

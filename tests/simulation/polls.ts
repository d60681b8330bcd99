// When a poller asked its breakers: the moment at which it asks for the connection that its poll is sent over.
//
// Promises: nothing is changed on the way. Relies on the first statement of a poll, on what is read before it where
// its floor is not known, and on the order of a claim's parameters. Where the poll's connection was lost, its claims
// are repeated by their keys in another transaction, and were asked for when the poll was.

import type { Database } from '../../src/io/postgres/database.ts';
import { labelOf } from './connection.ts';
import { integers, texts, uuids } from './model/values.ts';

export function withPolls(
  database: Database,
  nowMs: () => number,
  onAsked: (token: string, askedMs: number) => void,
): Database {
  const floorAskedMs = new Map<string, number>();
  // By consumer, what its last poll has picked, and when it was asked for; while nobody has answered that it is claimed.
  const picked = new Map<string, { readonly keys: ReadonlySet<string>; readonly askedMs: number }>();
  const keyOf = (orderId: unknown, version: unknown) => `${orderId} ${version}`;

  function toldOf(values: readonly unknown[] | undefined): void {
    const [orders, versions, consumers, , tokens] = values ?? [];
    const [numbers, names, made] = [integers(versions), texts(consumers), uuids(tokens)];
    for (const [i, orderId] of uuids(orders).entries()) {
      const poll = picked.get(names[i] as string);
      if (poll?.keys.has(keyOf(orderId, numbers[i]))) onAsked(made[i] as string, poll.askedMs);
    }
  }

  return {
    ...database,
    query: (text, values) => {
      if (labelOf(text) === 'read-floor') floorAskedMs.set(String(values?.[0]), nowMs());
      return database.query(text, values);
    },
    transaction: async (work, options) => {
      const startedMs = nowMs();
      let poller: string | null = null;
      const result = await database.transaction(
        (query) =>
          work(async <R extends object>(text: string, values?: readonly unknown[]) => {
            const label = labelOf(text);
            if (label === 'claim-jobs') toldOf(values);
            if (label !== 'lock-orders-of-due-jobs') return query<R>(text, values);
            poller = String(values?.[0]);
            const askedMs = floorAskedMs.get(poller) ?? startedMs;
            floorAskedMs.delete(poller);
            picked.delete(poller);
            const rows = await query<R>(text, values);
            const keys = new Set(
              (rows as { order_id?: unknown; job_version?: unknown }[]).map((row) =>
                keyOf(row.order_id, row.job_version),
              ),
            );
            picked.set(poller, { keys, askedMs });
            return rows;
          }),
        options,
      );
      if (poller !== null) picked.delete(poller);
      return result;
    },
  };
}

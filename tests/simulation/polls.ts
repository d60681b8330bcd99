// When a poller asked its breakers: the moment at which it asks for the connection that its look is sent over.
//
// Promises: nothing is changed on the way. Relies on the first statement of a look, and on what is read before it where
// its floor is not known.

import type { Database } from '../../src/io/postgres/database.ts';
import { labelOf } from './connection.ts';

export function withPolls(
  database: Database,
  nowMs: () => number,
  onPoll: (consumer: string, askedMs: number) => void,
): Database {
  const floorAskedMs = new Map<string, number>();
  return {
    ...database,
    query: (text, values) => {
      if (labelOf(text) === 'read-floor') floorAskedMs.set(String(values?.[0]), nowMs());
      return database.query(text, values);
    },
    transaction: (work, options) => {
      const askedMs = nowMs();
      return database.transaction(
        (query) =>
          work((text, values) => {
            if (labelOf(text) === 'lock-orders-of-due-jobs') {
              const consumer = String(values?.[0]);
              onPoll(consumer, floorAskedMs.get(consumer) ?? askedMs);
              floorAskedMs.delete(consumer);
            }
            return query(text, values);
          }),
        options,
      );
    },
  };
}

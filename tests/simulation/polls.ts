// When a poller asked its breakers: the moment at which it asks for the connection that its look is sent over.
//
// Promises: nothing is changed on the way. Relies on the first statement of a look, on what is read before it where
// its floor is not known, and on the tokens being a parameter of the claim.

import type { Database } from '../../src/io/postgres/database.ts';
import { labelOf } from './connection.ts';
import { uuids } from './model/values.ts';

const tokensIndex = 4;

export function withPolls(
  database: Database,
  nowMs: () => number,
  onAsked: (token: string, askedMs: number) => void,
): Database {
  const floorAskedMs = new Map<string, number>();
  return {
    ...database,
    query: (text, values) => {
      if (labelOf(text) === 'read-floor') floorAskedMs.set(String(values?.[0]), nowMs());
      return database.query(text, values);
    },
    transaction: (work, options) => {
      let askedMs = nowMs();
      let poller: string | null = null;
      return database.transaction(
        (query) =>
          work((text, values) => {
            const label = labelOf(text);
            if (label === 'lock-orders-of-due-jobs') {
              poller = String(values?.[0]);
              askedMs = floorAskedMs.get(poller) ?? askedMs;
              floorAskedMs.delete(poller);
            }
            if (poller !== null && label === 'claim-jobs')
              for (const token of uuids(values?.[tokensIndex])) onAsked(token, askedMs);
            return query(text, values);
          }),
        options,
      );
    },
  };
}

// Engines that are broken on purpose, by what is put between them and their database: the simulation must see
// each of them within a few seeds, or it sees nothing.

import type { Database } from '../../src/io/postgres/database.ts';

// Every fifth accept is answered from thin air.
export function forgetful(database: Database): Database {
  let accepts = 0;
  return {
    ...database,
    once: async <R extends object>(text: string, values: readonly unknown[], options?: { durable: boolean }) => {
      if (text.startsWith('/* accept-orders */')) accepts += 1;
      if (accepts % 5 !== 4) return database.once<R>(text, values, options);
      accepts += 1;
      const ids = String(values[0]).slice(1, -1).split(',');
      return ids.map((id) => ({ id })) as unknown as R[];
    },
  };
}

// The third set of events is not written, everything else of its settle is.
export function tightLipped(database: Database): Database {
  let settles = 0;
  return {
    ...database,
    transaction: (work, options) =>
      database.transaction(
        (query) =>
          work((text, values) => {
            if (text.startsWith('/* append-events */')) settles += 1;
            return text.startsWith('/* append-events */') && settles === 3 ? Promise.resolve([]) : query(text, values);
          }),
        options,
      ),
  };
}

export const canaries: Readonly<Record<string, (database: Database) => Database>> = {
  'acknowledges an order that it did not write': forgetful,
  'drops an event of what it settled': tightLipped,
};

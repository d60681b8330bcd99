// Rows of `dependencies`: since when a dependency is down, for the jobs that wait for it untouched.
//
// Promises: the first process that finds it down sets the time, by the database's clock; the first success of
// anybody deletes it. Repeating either is harmless.

import type { Dependencies } from '../../engine/down-since.ts';
import type { Database } from './database.ts';

export function createDependencies(database: Database): Dependencies {
  return {
    down: async (name) => {
      await database.query(
        `/* dependency-down */ INSERT INTO dependencies (name, down_since) VALUES ($1, clock_timestamp())
         ON CONFLICT (name) DO NOTHING`,
        [name],
      );
    },
    up: async (name) => {
      await database.query('/* dependency-up */ DELETE FROM dependencies WHERE name = $1', [name]);
    },
  };
}

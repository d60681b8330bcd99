// A rebuild of the search: where it is, and who is at it. Rows of `search_rebuilds`, and for an index that takes the
// place of another one a cursor of its own (`rebuild.` and the kind).
//
// Promises: a rebuild belongs to one process at a time, for as long as that shows a sign of life; who has lost
// it learns so with its next page.

import type { OrderId } from '../../domain/order.ts';
import type { Search } from '../../flow/projections/search-ports.ts';
import type { Database } from './database.ts';
import { beforeAllOrders } from './histories.ts';

// A page takes a fraction of it; a cluster that is away is waited for in shorter pauses.
export const quietMsMax = 15_000;

// Every order up to `after` is in `target`.
export type HeldRebuild = { readonly target: string; readonly after: OrderId };

export const rebuildReader = (kind: Search['kind']) => `rebuild.${kind}`;

export function createRebuilds(database: Database, kind: Search['kind'], token: string) {
  const held = <R extends object>(text: string, ...values: unknown[]) =>
    database.once<R>(text, [kind, token, ...values], { durable: false });

  return {
    // The rebuild under way, if there is one, or a new one under this name; null while another process is at it.
    take: async (newTarget: string): Promise<HeldRebuild | null> => {
      const rows = await held<HeldRebuild>(
        `/* take-rebuild */ INSERT INTO search_rebuilds AS r (kind, token, target, after, alive_at)
         VALUES ($1, $2, $3, $4, clock_timestamp())
         ON CONFLICT (kind) DO UPDATE SET token = excluded.token, alive_at = excluded.alive_at
         WHERE r.alive_at < clock_timestamp() - ${quietMsMax} * interval '1 millisecond'
         RETURNING target, after`,
        newTarget,
        beforeAllOrders,
      );
      return rows[0] ?? null;
    },
    // From the beginning, under this name: what was built is gone.
    restart: async (target: string): Promise<HeldRebuild> => {
      const rows = await held(
        `/* restart-rebuild */ UPDATE search_rebuilds SET target = $3, after = $4, alive_at = clock_timestamp()
         WHERE kind = $1 AND token = $2 RETURNING 1`,
        target,
        beforeAllOrders,
      );
      if (rows.length === 0) throw new RebuildLostError();
      return { target, after: beforeAllOrders };
    },
    // Before the first page: what the search has handled by now, the pages will show.
    startCursor: async (): Promise<void> => {
      await database.query(
        `/* start-rebuild-cursor */ INSERT INTO cursors (reader, read_to, gaps)
         SELECT $2, read_to, gaps FROM cursors WHERE reader = 'search.' || $1
         ON CONFLICT (reader) DO UPDATE SET read_to = excluded.read_to, gaps = excluded.gaps, token = NULL,
           lease_until = '-infinity'`,
        [kind, rebuildReader(kind)],
      );
    },
    save: async (after: OrderId): Promise<void> => {
      const rows = await held(
        `/* save-rebuild */ UPDATE search_rebuilds SET after = $3, alive_at = clock_timestamp()
         WHERE kind = $1 AND token = $2 RETURNING 1`,
        after,
      );
      if (rows.length === 0) throw new RebuildLostError();
    },
    // After the turn: the search goes on where the rebuild is. Who reads for it now has lost the token.
    putSearchBack: async (): Promise<void> => {
      await database.query(
        `/* put-search-back */ UPDATE cursors s SET read_to = r.read_to, gaps = r.gaps, token = NULL,
           lease_until = '-infinity'
         FROM cursors r WHERE s.reader = 'search.' || $1 AND r.reader = $2`,
        [kind, rebuildReader(kind)],
      );
    },
    // Another process may go on at once.
    release: async (): Promise<void> => {
      await held(
        `/* release-rebuild */ UPDATE search_rebuilds SET alive_at = '-infinity' WHERE kind = $1 AND token = $2`,
      );
    },
    finish: async (): Promise<void> => {
      await database.query(
        `/* finish-rebuild */ WITH done AS (DELETE FROM search_rebuilds WHERE kind = $1 AND token = $2 RETURNING 1)
         DELETE FROM cursors WHERE reader = $3 AND EXISTS (SELECT FROM done)`,
        [kind, token, rebuildReader(kind)],
      );
    },
  };
}

export class RebuildLostError extends Error {
  constructor() {
    super('another process has taken this rebuild over');
    this.name = 'RebuildLostError';
  }
}

// Roughly, for a progress display.
export async function estimateOrders(database: Database): Promise<number> {
  const [row] = await database.query<{ rows: number }>(
    `/* estimate-orders */ SELECT greatest(reltuples, 0)::float8 AS rows FROM pg_class WHERE oid = 'orders'::regclass`,
  );
  return row?.rows ?? 0;
}

// What a rebuild of the search asks of the database: the orders, what has changed since, and where the last
// run got to. Rows of `search_rebuilds`.
//
// Promises: a rebuild belongs to one process at a time, for as long as that shows a sign of life; who has lost
// it learns so with its next page. Reads are short statements that hold back no vacuum.

import type { OrderId } from '../../domain/order.ts';
import type { RebuildPlace, RebuildSource } from '../../flow/projections/rebuild.ts';
import type { Database } from './database.ts';
import { beforeAllOrders, createReadHistories, readHistoriesAfter } from './histories.ts';

// A page takes a fraction of it; a cluster that is away is waited for in shorter pauses.
export const quietMsMax = 15_000;
const changesPerLook = 1_000;

export type HeldRebuild = RebuildPlace & { readonly target: string };

export function createRebuilds(database: Database, token: string) {
  return {
    // The rebuild under way, if there is one, or a new one under this name; null while another process is at it.
    take: async (newTarget: string): Promise<HeldRebuild | null> => {
      const rows = await database.once<{ target: string; since: string; after: string }>(
        `/* take-rebuild */ INSERT INTO search_rebuilds AS r (kind, target, since, after, token, alive_at)
         VALUES ($1, $2, pg_snapshot_xmin(pg_current_snapshot()), $3, $4, clock_timestamp())
         ON CONFLICT (kind) DO UPDATE SET token = excluded.token, alive_at = excluded.alive_at
         WHERE r.alive_at < clock_timestamp() - ${quietMsMax} * interval '1 millisecond'
         RETURNING target, since::text AS since, after`,
        [kindOf(newTarget), newTarget, beforeAllOrders, token],
      );
      const [row] = rows;
      return row === undefined ? null : { ...row, after: row.after as OrderId };
    },
    // From the beginning, under another name: what was built is gone.
    restart: async (target: string): Promise<HeldRebuild> => {
      const [row] = await database.once<{ since: string }>(
        `/* restart-rebuild */ UPDATE search_rebuilds
         SET target = $2, since = pg_snapshot_xmin(pg_current_snapshot()), after = $3, alive_at = clock_timestamp()
         WHERE kind = $1 AND token = $4 RETURNING since::text AS since`,
        [kindOf(target), target, beforeAllOrders, token],
      );
      if (row === undefined) throw new RebuildLostError();
      return { target, since: row.since, after: beforeAllOrders };
    },
    save: async (target: string, { since, after }: RebuildPlace): Promise<void> => {
      const rows = await database.once(
        `/* save-rebuild */ UPDATE search_rebuilds SET since = $2::xid8, after = $3, alive_at = clock_timestamp()
         WHERE kind = $1 AND token = $4 RETURNING 1`,
        [kindOf(target), since, after, token],
        { durable: false },
      );
      if (rows.length === 0) throw new RebuildLostError();
    },
    // Another process may go on at once.
    release: async (target: string): Promise<void> => {
      await database.query(
        `/* release-rebuild */ UPDATE search_rebuilds SET alive_at = '-infinity' WHERE kind = $1 AND token = $2`,
        [kindOf(target), token],
      );
    },
    finish: async (target: string): Promise<void> => {
      await database.query('/* finish-rebuild */ DELETE FROM search_rebuilds WHERE kind = $1 AND token = $2', [
        kindOf(target),
        token,
      ]);
    },
  };
}

export class RebuildLostError extends Error {
  constructor() {
    super('another process has taken this rebuild over');
    this.name = 'RebuildLostError';
  }
}

// One rebuild per search engine at a time: the name without its number.
const kindOf = (target: string) => target.replace(/-\d+$/, '');

export function createRebuildSource(database: Database): RebuildSource {
  return {
    after: (id, limit) => readHistoriesAfter(database, id, limit),
    read: createReadHistories(database),
    now: async () => {
      const [row] = await database.query<{ now: string }>(
        '/* read-horizon */ SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS now',
      );
      return row?.now ?? '0';
    },
    changedSince: (place) => changedSince(database, place),
  };
}

// All that is visible, of every type that there is, those of a newer release too.
async function* changedSince(database: Database, place: string): AsyncGenerator<readonly OrderId[]> {
  const types = await database.query<{ type: string }>(
    `/* read-fact-types */ WITH RECURSIVE t AS (
       SELECT min(type) AS type FROM events
       UNION ALL SELECT (SELECT min(e.type) FROM events e WHERE e.type > t.type) FROM t WHERE t.type IS NOT NULL
     ) SELECT type FROM t WHERE type IS NOT NULL`,
  );
  for (const { type } of types) {
    let from = String(BigInt(place) - 1n);
    for (;;) {
      // WITH TIES takes a transaction whole, so that its xid can be the cursor.
      const rows = await database.once<{ order_id: OrderId; xid: string }>(
        `/* read-changes */ SELECT order_id, xid::text AS xid FROM events WHERE type = $1 AND xid > $2::xid8
         ORDER BY events.xid FETCH FIRST ${changesPerLook} ROWS WITH TIES`,
        [type, from],
        { durable: false },
      );
      if (rows.length > 0) yield rows.map((row) => row.order_id);
      if (rows.length < changesPerLook) break;
      from = rows.at(-1)?.xid ?? from;
    }
  }
}

// Roughly, for a progress display.
export async function estimateOrders(database: Database): Promise<number> {
  const [row] = await database.query<{ rows: number }>(
    `/* estimate-orders */ SELECT greatest(reltuples, 0)::float8 AS rows FROM pg_class WHERE oid = 'orders'::regclass`,
  );
  return row?.rows ?? 0;
}

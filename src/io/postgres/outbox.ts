// Rows of `outbox` and `relay_lanes`, behind the relay's port.
//
// Promises: a lane has one owner at a time by its lease on the database's clock; what is read is in the
// order it was written per order, and never a fact whose predecessor is still owed below the floor.
// Forgetting is committed without waiting for the disk: losing it means a late duplicate, no more.

import type { Outbox } from '../../engine/ports.ts';
import { type Database, plainArray } from './database.ts';
import { type FactRow, factColumns, toFact } from './events.ts';

export function createOutbox(database: Database): Outbox {
  return {
    holdLanes: async (token, leaseMs) => {
      const rows = await database.query<{ lane: number }>(
        `/* hold-lanes */ WITH free AS (
           SELECT lane FROM relay_lanes WHERE token = $1 OR lease_until <= clock_timestamp()
           ORDER BY lane FOR NO KEY UPDATE SKIP LOCKED
         )
         UPDATE relay_lanes l SET token = $1, lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
         FROM free WHERE l.lane = free.lane
         RETURNING l.lane`,
        [token, leaseMs],
      );
      return rows.map((row) => row.lane);
    },

    releaseLanes: async (token) => {
      await database.query(
        `/* release-lanes */ UPDATE relay_lanes SET token = NULL, lease_until = '-infinity' WHERE token = $1`,
        [token],
      );
    },

    owed: async (lanes, floor, limit) => {
      // With the planner settings of a transaction: the table is full of rows just deleted. What is owed
      // below the floor is an order's earlier fact: its row was written first, under the order's lock.
      const rows = await database.once<FactRow & { position: number }>(
        `/* read-owed */ SELECT o.position, ${factColumns}
         FROM outbox o JOIN events e ON e.id = o.event_id
         WHERE o.position > $1 AND o.lane = ANY($2::smallint[])
           AND (o.order_id IN (SELECT p.order_id FROM outbox p WHERE p.position <= $1)) IS NOT TRUE
         ORDER BY o.position LIMIT $3`,
        [floor, lanes, limit],
        { durable: false },
      );
      return rows.map((row) => ({ position: row.position, fact: toFact(row) }));
    },

    forget: async (owed) => {
      if (owed.length === 0) return;
      await database.once(
        '/* forget-owed */ DELETE FROM outbox WHERE position = ANY($1::bigint[])',
        [plainArray(owed.map((one) => one.position))],
        { durable: false },
      );
    },
  };
}

// The inbox behind the engine's port: leases, what is due, what the bus did not bring, what is unread.
//
// Promises: reads never lock; every answer is a hint that goes through the normal claim, so several
// processes may be given the same. The watermark of a consumer and type passes only facts of ended
// transactions that have a delivery row; a fact that commits late can never be behind it.

import type { Inbox, Missed, System } from '../../engine/ports.ts';
import type { Database } from './database.ts';
import { finishUnreadIfWaiting, parkUnread } from './dead-letters.ts';
import { readDue, renewLeases } from './deliveries.ts';

// Facts looked at per statement; a few milliseconds.
const scanRows = 1_000;

type ScanRow = {
  // The last transaction of this scan; null when nothing was found.
  scanned_to: string | null;
  // All facts up to here have deliveries; null when the very first one has not.
  complete_to: string | null;
  // Nothing that is old enough lies behind this scan.
  reached_end: boolean;
  missing: string[] | null;
};

export function createInbox(options: {
  readonly database: Database;
  readonly system: System;
  readonly leaseMs: number;
  readonly maxWaitMs: number;
}): Inbox {
  const { database, system, leaseMs, maxWaitMs } = options;
  // Where the scan of each consumer and type goes on; absent = at the watermark. Only a hint: a locked
  // order at the watermark must not hide what lies far behind it.
  const positions = new Map<string, string>();

  async function missed(consumer: string, type: string, olderThanMs: number, limit: number): Promise<Missed> {
    const key = `${consumer} ${type}`;
    const from = positions.get(key) ?? null;
    // WITH TIES takes a transaction whole, so that its xid can be the cursor. A fact from the future has a
    // writer whose clock is ahead: it counts as old, or nobody would look for it until then.
    const rows = await database.once<ScanRow>(
      `/* scan-missed */ WITH mark AS (
         SELECT coalesce($3::xid8, xid) AS xid FROM watermarks WHERE consumer = $1 AND type = $2
       ), scan AS (
         SELECT e.id, e.xid, e.time NOT BETWEEN clock_timestamp() - $4::float8 * interval '1 millisecond'
                                            AND clock_timestamp() AS is_old
         FROM events e, mark
         WHERE e.type = $2 AND e.xid > mark.xid AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY e.xid FETCH FIRST ${scanRows} ROWS WITH TIES
       ), seen AS (
         SELECT s.*, d.event_id IS NULL AS is_missing
         FROM scan s LEFT JOIN deliveries d ON d.event_id = s.id AND d.consumer = $1
       ), gap AS (
         SELECT min(xid) AS xid FROM seen WHERE is_missing
       )
       SELECT max(seen.xid)::text AS scanned_to,
              (max(seen.xid) FILTER (WHERE gap.xid IS NULL OR seen.xid < gap.xid))::text AS complete_to,
              count(*) < ${scanRows} OR NOT bool_and(is_old) AS reached_end,
              (array_agg(seen.id ORDER BY seen.xid) FILTER (WHERE is_missing AND is_old))[1:$5] AS missing
       FROM seen, gap`,
      [consumer, type, from, olderThanMs, limit],
      { durable: false },
    );
    const scan = rows[0];
    if (from === null && scan?.complete_to) await advance(consumer, type, scan.complete_to);
    if (scan === undefined || scan.scanned_to === null) {
      positions.delete(key);
      return { eventIds: [], reachedEnd: true };
    }
    // Without a gap the watermark itself has come along; it is the better place to go on from.
    const isComplete = from === null && scan.complete_to === scan.scanned_to;
    if (scan.reached_end || isComplete) positions.delete(key);
    else positions.set(key, scan.scanned_to);
    return { eventIds: scan.missing ?? [], reachedEnd: scan.reached_end };
  }

  // Forward only: of two processes that scan the same, the slower one changes nothing.
  async function advance(consumer: string, type: string, xid: string): Promise<void> {
    await database.query(
      '/* advance-watermark */ UPDATE watermarks SET xid = $3::xid8 WHERE consumer = $1 AND type = $2 AND xid < $3::xid8',
      [consumer, type, xid],
    );
  }

  return {
    renew: (held) => renewLeases(database.query, held, leaseMs),
    due: (consumer, limit, only) =>
      readDue(database.query, consumer, limit, only === 'waited-too-long' ? maxWaitMs : null),
    missed,
    park: async (consumer, unread) => {
      const letter = { id: system.newId(), token: system.newToken(), consumer, unread, failedAt: system.now() };
      await parkUnread(database.query, letter);
    },
    finishUnread: (consumer, eventId) => finishUnreadIfWaiting(database.query, consumer, eventId),
  };
}

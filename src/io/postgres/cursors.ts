// Rows of `cursors`, and the event log behind them.
//
// Promises: a read is one statement, hence one snapshot: what it does not show and `xmin` belong together. A cursor
// moves only from what its reader had read: by the lease's token, or under the row's lock. Dead letters are written
// in the transaction of the store. Commits do not wait for the disk: a cursor that a crash of the server sets back
// reads again, and what was written with it is set back too.

import type { CursorDeadLetter, CursorState, Cursors, Snapshot, Span } from '../../engine/event-log.ts';
import type { System } from '../../engine/ports.ts';
import { type Database, plainArray, type Query } from './database.ts';
import { textOf } from './dead-letters.ts';
import { GuardMissedError } from './errors.ts';
import { type EventRow, eventColumns, toEvent } from './events.ts';

type StateRow = { read_to: number; gaps: string };
type SnapshotRow = EventRow & { xmin: string; position: number | null; age_ms: number };

const notDurable = { durable: false };

export function createCursors(options: {
  readonly database: Database;
  readonly system: Pick<System, 'now' | 'newId'>;
}): Cursors<Query> {
  const { database, system } = options;

  return {
    hold: async (reader, token, leaseMs) => {
      const rows = await database.once<StateRow>(
        `/* hold-cursor */ UPDATE cursors SET token = $2, lease_until = clock_timestamp() + $3::float8 * interval '1 millisecond'
         WHERE reader = $1 AND (token = $2 OR lease_until <= clock_timestamp())
         RETURNING read_to, gaps::text AS gaps`,
        [reader, token, leaseMs],
        notDurable,
      );
      return rows[0] ? toState(rows[0]) : null;
    },

    release: async (reader, token) => {
      await database.query(
        `/* release-cursor */ UPDATE cursors SET token = NULL, lease_until = '-infinity' WHERE reader = $1 AND token = $2`,
        [reader, token],
      );
    },

    read: async (at, limit) =>
      toSnapshot(await database.once<SnapshotRow>(readStatement, readValues(at, limit), notDurable)),

    store: async ({ reader, token, from, to, deadLetters }) => {
      const values = [reader, token, from.readTo, toText(from.gaps), to.readTo, toText(to.gaps)];
      const toXact = (rows: readonly { xact: string }[]) => (rows[0] === undefined ? null : BigInt(rows[0].xact));
      if (deadLetters.length === 0)
        return toXact(await database.once<{ xact: string }>(storeStatement, values, notDurable));
      return database.transaction(async (query) => {
        const xact = toXact(await query<{ xact: string }>(storeStatement, values));
        if (xact !== null) await parkEvents(query, deadLetters, system);
        return xact;
      }, notDurable);
    },

    locked: (reader, work) =>
      database.transaction(async (query) => {
        const rows = await query<StateRow & { xact: string }>(
          `/* lock-cursor */ SELECT read_to, gaps::text AS gaps, pg_current_xact_id()::text AS xact FROM cursors
           WHERE reader = $1 FOR NO KEY UPDATE SKIP LOCKED`,
          [reader],
        );
        const [row] = rows;
        if (row === undefined) return null;
        const state = toState(row);
        return work({
          transaction: query,
          state,
          xact: BigInt(row.xact),
          read: async (limit) => toSnapshot(await query<SnapshotRow>(readStatement, readValues(state, limit))),
          store: async (to, deadLetters) => {
            const moved = await query(
              `/* move-cursor */ UPDATE cursors SET read_to = $4, gaps = $5::int8multirange
               WHERE reader = $1 AND read_to = $2 AND gaps = $3::int8multirange RETURNING 1`,
              [reader, state.readTo, toText(state.gaps), to.readTo, toText(to.gaps)],
            );
            if (moved.length !== 1) throw new GuardMissedError('move-cursor');
            if (deadLetters.length > 0) await parkEvents(query, deadLetters, system);
          },
        });
      }, notDurable),
  };
}

const storeStatement = `/* store-cursor */ UPDATE cursors SET read_to = $5, gaps = $6::int8multirange
  WHERE reader = $1 AND token = $2 AND read_to = $3 AND gaps = $4::int8multirange
  RETURNING pg_current_xact_id()::text AS xact`;

// The order and the limit are over both halves. Those within are for the planner, which would else walk the whole log
// in its order and look for each event among the gaps.
const readStatement = `/* read-events */ SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin, found.*
  FROM (SELECT 1) AS always LEFT JOIN LATERAL (
    (SELECT e.position, ${eventColumns}, (extract(epoch FROM clock_timestamp() - e.time) * 1000)::float8 AS age_ms
     FROM events e WHERE e.position > $1 ORDER BY e.position LIMIT $3)
    UNION ALL
    (SELECT within.* FROM unnest($2::int8multirange) AS gap CROSS JOIN LATERAL (
       SELECT e.position, ${eventColumns}, (extract(epoch FROM clock_timestamp() - e.time) * 1000)::float8 AS age_ms
       FROM events e WHERE e.position >= lower(gap) AND e.position < upper(gap) ORDER BY e.position LIMIT $3
     ) AS within ORDER BY within.position LIMIT $3)
    ORDER BY position LIMIT $3
  ) AS found ON true
  ORDER BY found.position`;

const readValues = (at: CursorState, limit: number) => [at.readTo, toText(at.gaps), limit];

function toSnapshot(rows: readonly SnapshotRow[]): Snapshot {
  const events = rows.flatMap((row) =>
    row.position === null ? [] : [{ position: row.position, ageMs: row.age_ms, event: toEvent(row) }],
  );
  // The statement answers a row even where nothing is found.
  const [first] = rows as [SnapshotRow];
  return { events, xmin: BigInt(first.xmin) };
}

const toState = (row: StateRow): CursorState => ({ readTo: row.read_to, gaps: toSpans(row.gaps) });

// `{[3,4),[7,10)}`: the form in which the database writes spans, the upper end excluded.
export function toSpans(text: string): Span[] {
  return [...text.matchAll(/\[(\d+),(\d+)\)/g)].map(([, from, to]) => ({ from: Number(from), to: Number(to) - 1 }));
}

export function toText(spans: readonly Span[]): string {
  return `{${spans.map(({ from, to }) => `[${from},${to + 1})`).join(',')}}`;
}

// An event that was handled again and failed again keeps its open dead letter.
async function parkEvents(
  query: Query,
  deadLetters: readonly CursorDeadLetter[],
  system: Pick<System, 'now' | 'newId'>,
): Promise<void> {
  await query(
    `/* park-events */ INSERT INTO dead_letters (id, order_id, version, consumer, event_id, event_type, epoch, failure_class, code, message,
                               attempts, failed_at)
     SELECT id, order_id, version, consumer, event_id, event_type, 0, failure_class, code, message, 1, $10
     FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[])
       AS l(id, order_id, version, consumer, event_id, event_type, failure_class, code, message)
     ON CONFLICT (order_id, version, consumer) WHERE closed_at IS NULL DO NOTHING`,
    [
      plainArray(deadLetters.map(() => system.newId())),
      plainArray(deadLetters.map((l) => l.event.subject)),
      plainArray(deadLetters.map((l) => l.event.version)),
      deadLetters.map((l) => l.consumer),
      plainArray(deadLetters.map((l) => l.event.id)),
      deadLetters.map((l) => textOf(l.event.type)),
      deadLetters.map((l) => l.trouble.class),
      deadLetters.map((l) => textOf(l.trouble.code)),
      deadLetters.map((l) => textOf(l.trouble.message)),
      system.now(),
    ],
  );
}

// Moves a reader that nobody needs to the end of the log, so that it begins there on the day it is needed. Answers
// nothing where somebody has its lease: then it is needed.
export async function carryAlong(query: Query, reader: string): Promise<void> {
  await query(
    `/* carry-along */ UPDATE cursors c SET read_to = last.position, gaps = '{}'
     FROM (SELECT max(position) AS position FROM events) AS last
     WHERE c.reader = $1 AND c.lease_until <= clock_timestamp() AND (c.read_to < last.position OR NOT isempty(c.gaps))`,
    [reader],
  );
}

// A projection's dead letter that a person sent back: its event is to be handled again. One cursor per search engine:
// all of them. A position that is not read yet is none's gap; a store that began before misses and reads the row again.
export async function reopenEvents(
  query: Query,
  orderId: string,
  deadLetters: readonly { readonly consumer: string; readonly version: number }[],
): Promise<void> {
  if (deadLetters.length === 0) return;
  await query(
    `/* reopen-events */ UPDATE cursors c SET gaps = c.gaps + again.gaps
     FROM (SELECT c.reader, range_agg(int8range(e.position, e.position + 1)) AS gaps
           FROM unnest($2::text[], $3::integer[]) AS l(consumer, version)
           JOIN events e ON e.order_id = $1 AND e.version = l.version
           JOIN cursors c ON split_part(c.reader, '.', 1) = l.consumer AND c.read_to >= e.position
           GROUP BY c.reader) AS again
     WHERE c.reader = again.reader`,
    [orderId, deadLetters.map((l) => l.consumer), plainArray(deadLetters.map((l) => l.version))],
  );
}

// What `verify` reads beside the orders: keys, what readers have not read, deliveries and letters, which may lack their
// order or fact, and how far each consumer is.
//
// Promises: as verify.ts: short statements, no lock, flat memory. Each looks at a part of one table and
// answers how many rows it saw, how many offend, and the first of them.
// Relies on keys being inserted and removed, never updated, so that they can be read by their place.

import { type Finding, overdueMs, type PromiseName } from '../../flow/verify/promises.ts';
import type { Database } from './database.ts';
import { firstId, lastId } from './verify.ts';

// Rows per statement: some tens of milliseconds.
const partRows = 5_000;
// Pages of 8 KiB, of some 60 keys each.
const partPages = 100;
const namedMax = 20;

export type Part = { readonly seen: number; readonly offenders: readonly Offenders[] };
export type Offenders = {
  readonly promise: PromiseName;
  readonly count: number;
  readonly findings: readonly Finding[];
};

type Named = { subject: string; what: string };
type Bad = { promise: PromiseName; count: number; named: Named[] };

const toOffenders = (bad: readonly Bad[] | null): Offenders[] =>
  (bad ?? []).map(({ promise, count, named }) => ({
    promise,
    count,
    findings: named.map((one) => ({ promise, ...one })),
  }));

// Of a query `bad (promise, subject, what)`.
const gathered = `(SELECT json_agg(json_build_object('promise', g.promise, 'count', g.count, 'named', g.named)) FROM (
    SELECT b.promise, count(*)::integer AS count,
           (array_agg(json_build_object('subject', b.subject, 'what', b.what)))[1:${namedMax}] AS named
    FROM bad b GROUP BY b.promise) AS g) AS bad`;

export function createVerifyRows(database: Database) {
  const read = async <R extends object>(text: string, values: readonly unknown[]) =>
    database.once<R>(text, values, { durable: false });

  // Marks only move forward, so that an old one is never beyond what it stands for.
  async function marks(): Promise<{ consumer: string; type: string; xid: number }[]> {
    return read('/* verify-marks */ SELECT consumer, type, xid::text::bigint AS xid FROM watermarks', []);
  }

  async function estimate(): Promise<number> {
    const rows = await read<{ rows: number }>(
      `/* verify-estimate */ SELECT greatest(0, reltuples)::float8 AS rows FROM pg_class WHERE oid = 'orders'::regclass`,
      [],
    );
    return rows[0]?.rows ?? 0;
  }

  // A request's key and its order are written by one statement, so two keys of one order lie side by side.
  async function* keys(since: Date | null): AsyncGenerator<Part> {
    for (let page = 0; ; page += partPages) {
      const rows = await read<{ seen: number; bad: Bad[] | null; is_last: boolean }>(
        `/* verify-keys */ WITH part AS MATERIALIZED (
           SELECT k.order_id, o.id IS NULL AS is_lost FROM idempotency_keys k LEFT JOIN orders o ON o.id = k.order_id
           WHERE k.ctid >= $1::tid AND k.ctid < $2::tid AND ($3::timestamptz IS NULL OR k.created_at >= $3)
         ), bad AS (
           SELECT 'keys' AS promise, p.order_id AS subject,
                  CASE WHEN bool_or(p.is_lost) THEN 'a key has this order, which does not exist'
                       ELSE count(*) || ' keys have this order' END AS what
           FROM part p GROUP BY p.order_id HAVING bool_or(p.is_lost) OR count(*) > 1
         )
         SELECT (SELECT count(*)::integer FROM part) AS seen, ${gathered},
                $4::bigint * current_setting('block_size')::bigint >= pg_relation_size('idempotency_keys') AS is_last`,
        [`(${page},0)`, `(${page + partPages},0)`, since, page + partPages],
      );
      const row = rows[0];
      if (row === undefined) return;
      yield { seen: row.seen, offenders: toOffenders(row.bad) };
      if (row.is_last) return;
    }
  }

  // What a reader has not handled, by position: after an outage of the bus there may be millions.
  async function* unread(reader: string, afterOrder: string): AsyncGenerator<Part> {
    const [promise, said] =
      reader === 'relay'
        ? ['late publishing', 'is owed to the bus for']
        : ['late deliveries', `is not read by ${reader.split('.')[0]} for`];
    for (let after = 0; ; ) {
      const rows = await read<{ seen: number; bad: Bad[] | null; last: number | null }>(
        `/* verify-unread */ WITH part AS MATERIALIZED (
           SELECT e.* FROM cursors c, LATERAL (
             (SELECT e.position, e.order_id, e.version, e.type, extract(epoch FROM statement_timestamp() - e.time) * 1000 AS age_ms
              FROM events e WHERE e.position > greatest(c.read_to, $2) AND e.order_id > $3 ORDER BY e.position LIMIT ${partRows})
             UNION ALL
             (SELECT late.* FROM unnest(c.gaps) AS gap CROSS JOIN LATERAL (
                SELECT e.position, e.order_id, e.version, e.type, extract(epoch FROM statement_timestamp() - e.time) * 1000
                FROM events e WHERE e.position >= greatest(lower(gap), $2 + 1) AND e.position < upper(gap) AND e.order_id > $3
                ORDER BY e.position LIMIT ${partRows}
              ) AS late ORDER BY late.position LIMIT ${partRows})
             ORDER BY position LIMIT ${partRows}
           ) AS e WHERE c.reader = $1
         ), bad AS (
           SELECT $4::text AS promise, order_id AS subject,
                  type || ' (version ' || version || ') ' || $5::text || ' ' || round(age_ms / 60000) || ' minutes' AS what
           FROM part WHERE age_ms > ${overdueMs}
         )
         SELECT (SELECT count(*)::integer FROM part) AS seen, ${gathered}, (SELECT max(position) FROM part) AS last`,
        [reader, after, afterOrder, promise, said],
      );
      const row = rows[0];
      if (row === undefined) return;
      yield { seen: row.seen, offenders: toOffenders(row.bad) };
      if (row.last === null || row.seen < partRows) return;
      after = row.last;
    }
  }

  // A fact is written before its delivery; of what could not be read there is a letter instead.
  async function* deliveries(afterEvent: string): AsyncGenerator<Part> {
    for (let after = afterEvent; ; ) {
      const ends = await read<{ event_id: string }>(
        `/* verify-deliveries-range */ SELECT event_id FROM deliveries WHERE event_id > $1 ORDER BY event_id
         OFFSET ${partRows - 1} LIMIT 1`,
        [after],
      );
      const upTo = ends[0]?.event_id ?? lastId;
      const rows = await read<{ seen: number; bad: Bad[] | null }>(
        `/* verify-deliveries */ WITH part AS MATERIALIZED (
           SELECT d.event_id, d.consumer, d.order_id, d.state, e.id,
                  extract(epoch FROM statement_timestamp() - d.due_at) * 1000 AS due_for_ms
           FROM deliveries d LEFT JOIN events e ON e.id = d.event_id
           WHERE d.event_id > $1 AND d.event_id <= $2
         ), bad AS (
           SELECT 'owners' AS promise, order_id AS subject,
                  consumer || ' has a delivery of the fact ' || event_id || ', which does not exist' AS what
           FROM part WHERE id IS NULL AND order_id IS NOT NULL
           UNION ALL
           SELECT 'letters', event_id, 'what ' || consumer || ' could not read is dead without an open letter'
           FROM part p WHERE order_id IS NULL AND state = 'dead' AND NOT EXISTS (
             SELECT FROM dead_letters l WHERE l.consumer = p.consumer AND l.delivery_id = p.event_id AND l.closed_at IS NULL)
           UNION ALL
           SELECT 'late work', event_id,
                  consumer || ': a message that was sent back is due for ' || round(due_for_ms / 60000) || ' minutes'
           FROM part WHERE order_id IS NULL AND due_for_ms > ${overdueMs}
         )
         SELECT (SELECT count(*)::integer FROM part) AS seen, ${gathered}`,
        [after, upTo],
      );
      yield { seen: rows[0]?.seen ?? 0, offenders: toOffenders(rows[0]?.bad ?? null) };
      if (upTo === lastId) return;
      after = upTo;
    }
  }

  // Of what could not be read; the letters of an order are judged with it. A letter that has nothing to send
  // back stays in the list for ever.
  async function* letters(since: Date | null): AsyncGenerator<Part> {
    for (let after = [since?.toISOString() ?? '-infinity', firstId]; ; ) {
      const rows = await read<{ seen: number; bad: Bad[] | null; last: [string, string] | null }>(
        `/* verify-letters */ WITH part AS MATERIALIZED (
           SELECT l.id, l.failed_at, l.consumer, l.delivery_id, coalesce(d.state, 'not there') AS state
           FROM (SELECT * FROM dead_letters WHERE closed_at IS NULL AND order_id IS NULL
                   AND (failed_at, id) > ($1::timestamptz, $2::uuid) ORDER BY failed_at, id LIMIT ${partRows}) AS l
           LEFT JOIN deliveries d ON d.event_id = l.delivery_id AND d.consumer = l.consumer
         ), bad AS (
           SELECT 'letters' AS promise, delivery_id AS subject,
                  consumer || ' has an open letter of a message, whose delivery is ' || state AS what
           FROM part WHERE state <> 'dead'
         )
         SELECT (SELECT count(*)::integer FROM part) AS seen, ${gathered},
                (SELECT json_build_array(failed_at::text, id) FROM part ORDER BY failed_at DESC, id DESC LIMIT 1) AS last`,
        [...after],
      );
      const row = rows[0];
      if (row === undefined) return;
      yield { seen: row.seen, offenders: toOffenders(row.bad) };
      if (row.last === null || row.seen < partRows) return;
      after = row.last;
    }
  }

  return { marks, estimate, keys, unread, deliveries, letters };
}

// What `verify` reads beside the orders: keys, and what readers of the event log have not read.
//
// Promises: as verify.ts: short statements, no lock, flat memory. Each looks at a part of one table and
// answers how many rows it saw, how many offend, and the first of them.
// Relies on keys being inserted and removed, never updated, so that they can be read by their place.

import { type Finding, overdueMs, type PromiseName } from '../../flow/verify/promises.ts';
import type { Database } from './database.ts';

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
        : ['late reading', `is not read by ${reader.split('.')[0]} for`];
    for (let after = 0; ; ) {
      const rows = await read<{ seen: number; bad: Bad[] | null; last: number | null }>(
        `/* verify-unread */ WITH part AS MATERIALIZED (
           SELECT e.* FROM cursors c, LATERAL (
             (SELECT e.position, e.order_id, e.version, e.type, extract(epoch FROM statement_timestamp() - e.time) * 1000 AS age_ms
              FROM events e WHERE e.position > greatest(c.read_to, $2) AND e.order_id > $3 ORDER BY e.position LIMIT ${partRows})
             UNION ALL
             (SELECT e.position, e.order_id, e.version, e.type, extract(epoch FROM statement_timestamp() - e.time) * 1000
              FROM unnest(c.gaps) AS gap JOIN events e ON e.position >= lower(gap) AND e.position < upper(gap)
              WHERE e.position > $2 AND e.order_id > $3 ORDER BY e.position LIMIT ${partRows})
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

  return { estimate, keys, unread };
}

// What an operator reads of the dead letters: pages, causes, one with all that is known of it.
//
// Promises: each question is bounded, whatever there is: of what no index selects (country, amount, words of the message)
// at most `lookMax` dead letters are looked through at a time, newest first, and the answer says how far that went. Counts
// are exact below `countMax`, which stands for that many or more.
// Relies on the planner to see the values: a condition whose value is null is none.

import type {
  BoundedCount,
  DeadLetter,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetterPlace,
  DeadLetterSelection,
} from '../../flow/dead-letters.ts';
import type { Database, Query } from './database.ts';

// Some tens of milliseconds.
export const lookMax = 20_000;
export const countMax = 10_000;

// For these questions: by indexes, and not compiled first. With a million orders the planner would read all of them to
// join a few thousand (seen: 1.3 s instead of 0.1 s).
export const byIndex =
  ({ once }: Pick<Database, 'once'>): Query =>
  (text, values = []) =>
    once(text, values);

export type DeadLetterListRow = {
  id: string;
  order_id: string;
  consumer: string;
  event_id: string;
  event_type: string;
  failure_class: string;
  code: string;
  message: string;
  attempts: number;
  failed_at: Date;
  partner: string;
  times: number;
  closed_at: Date | null;
  closed_how: DeadLetter['closedHow'];
  status: DeadLetter['order']['status'];
  amount: number;
  currency: string;
  country: string;
};

export function toDeadLetter(row: DeadLetterListRow): DeadLetter {
  return {
    id: row.id,
    orderId: row.order_id,
    consumer: row.consumer,
    eventId: row.event_id,
    eventType: row.event_type,
    failureClass: row.failure_class,
    code: row.code,
    message: row.message,
    attempts: row.attempts,
    retryCount: Math.max(0, row.attempts - 1),
    failedAt: row.failed_at,
    partner: row.partner === '' ? null : row.partner,
    times: row.times,
    closedAt: row.closed_at,
    closedHow: row.closed_how,
    order: { status: row.status, amount: row.amount, currency: row.currency, country: row.country },
  };
}

const columns = `l.id, l.order_id, l.consumer, l.event_id, l.event_type, l.failure_class, l.code, l.message, l.attempts,
            l.failed_at, l.partner, l.closed_at, l.closed_how,
            (SELECT count(*) FROM dead_letters t WHERE t.order_id = l.order_id AND t.version = l.version
               AND t.consumer = l.consumer AND (t.failed_at, t.id) <= (l.failed_at, l.id))::int AS times,
            o.status, o.amount, o.currency, o.country`;

// Selected by an index, or by a part of one. $1 to $5 are the limit, the place and what the simulation knows.
const isIndexedIn = (
  way: Way,
) => `(($6::boolean AND l.closed_at IS NOT NULL) OR (NOT $6::boolean AND l.closed_at IS NULL))
       AND ($2::timestamptz IS NULL OR (l.failed_at, l.id) ${way === 'DESC' ? '<' : '>'} ($2::timestamptz, $3::uuid))
       AND ($4::text IS NULL OR l.consumer = $4) AND ($5::text IS NULL OR l.code = $5)
       AND ($7::text IS NULL OR l.partner = $7) AND ($8::uuid IS NULL OR l.order_id = $8)
       AND ($9::timestamptz IS NULL OR l.failed_at >= $9) AND ($10::timestamptz IS NULL OR l.failed_at < $10)`;
const isLookedThrough = `($11::text IS NULL OR o.country = $11) AND ($12::text IS NULL OR o.currency = $12)
       AND ($13::bigint IS NULL OR o.amount >= $13) AND ($14::bigint IS NULL OR o.amount <= $14)
       AND ($15::text IS NULL OR position(lower($15) IN lower(l.message)) > 0)`;
// Newest first, or oldest first.
export type Way = 'DESC' | 'ASC';
const lookedIn = (way: Way) =>
  `SELECT l.* FROM dead_letters l WHERE ${isIndexedIn(way)} ORDER BY l.failed_at ${way}, l.id ${way} LIMIT ${lookMax}`;
const looked = lookedIn('DESC');

type Asked = DeadLetterSelection & { readonly after?: DeadLetterPlace | null; readonly isClosed?: boolean };

const indexedValues = (limit: number, { after, consumer, code, isClosed, partner, orderId, from, to }: Asked) => [
  ...[limit, after?.failedAt ?? null, after?.id ?? null, consumer ?? null, code ?? null, isClosed ?? false],
  ...[partner ?? null, orderId ?? null, from ?? null, to ?? null],
];
const lookedValues = ({ country, currency, amountMin, amountMax, text }: Asked) => [
  ...[country ?? null, currency ?? null, amountMin ?? null, amountMax ?? null, text ?? null],
];
const looksThrough = (asked: Asked) => lookedValues(asked).some((value) => value !== null);

export async function readDeadLetters(query: Query, filter: DeadLetterFilter): Promise<DeadLetterPage> {
  // One more than asked for tells whether there is a next page.
  const rows = await query<DeadLetterListRow>(
    `/* list-dead-letters */ SELECT ${columns}
     FROM (${looked}) l JOIN orders o ON o.id = l.order_id
     WHERE ${isLookedThrough}
     ORDER BY l.failed_at DESC, l.id DESC LIMIT $1 + 1`,
    [...indexedValues(filter.limit, filter), ...lookedValues(filter)],
  );
  const items = rows.slice(0, filter.limit).map(toDeadLetter);
  const last = items.at(-1);
  if (rows.length > filter.limit && last) return { items, next: { failedAt: last.failedAt, id: last.id } };
  return { items, next: looksThrough(filter) ? await readEndOfLook(query, filter) : null };
}

// Where a look that was cut ended; null where everything was looked at.
export async function readEndOfLook(query: Query, asked: Asked, way: Way = 'DESC'): Promise<DeadLetterPlace | null> {
  const rows = await query<{ failed_at: Date; id: string }>(
    `/* find-end-of-look */ SELECT l.failed_at, l.id FROM dead_letters l WHERE ${isIndexedIn(way)}
     ORDER BY l.failed_at ${way}, l.id ${way} LIMIT 1 OFFSET $1`,
    indexedValues(lookMax - 1, asked),
  );
  return rows[0] === undefined ? null : { failedAt: rows[0].failed_at, id: rows[0].id };
}

export const bounded = (count: number, isCut = false): BoundedCount => ({
  count: Math.min(count, countMax),
  isAtLeast: isCut || count > countMax,
});

// Of the open ones; and how many orders they are of.
export async function countDeadLetters(
  query: Query,
  asked: DeadLetterSelection,
): Promise<BoundedCount & { readonly orders: number }> {
  const rows = await query<{ count: number; orders: number }>(
    `/* count-dead-letters */ SELECT count(*) AS count, count(DISTINCT order_id) AS orders
     FROM (SELECT l.order_id FROM (${looked}) l JOIN orders o ON o.id = l.order_id WHERE ${isLookedThrough} LIMIT $1 + 1) AS found`,
    [...indexedValues(countMax, asked), ...lookedValues(asked)],
  );
  const { count = 0, orders = 0 } = rows[0] ?? {};
  const isCut = looksThrough(asked) && count <= countMax && (await readEndOfLook(query, asked)) !== null;
  return { ...bounded(count, isCut), orders: Math.min(orders, countMax) };
}

// Open or closed.
export async function readDeadLetter(query: Query, id: string): Promise<DeadLetter | null> {
  const rows = await query<DeadLetterListRow>(
    `/* read-dead-letter */ SELECT ${columns} FROM dead_letters l JOIN orders o ON o.id = l.order_id WHERE l.id = $1`,
    [id],
  );
  return rows[0] === undefined ? null : toDeadLetter(rows[0]);
}

// Of one order, open and closed, oldest first.
export async function readDeadLettersEverOf(query: Query, orderId: string): Promise<DeadLetter[]> {
  const rows = await query<DeadLetterListRow>(
    `/* read-dead-letters-ever */ SELECT ${columns} FROM dead_letters l JOIN orders o ON o.id = l.order_id
     WHERE l.order_id = $1 ORDER BY l.failed_at, l.id LIMIT 100`,
    [orderId],
  );
  return rows.map(toDeadLetter);
}

// For questions of their own over what is selected; the limit is $1, the last of the values $15.
export const selecting = { looked, lookedIn, isLookedThrough, indexedValues, lookedValues, looksThrough };

// The search on PostgreSQL itself: no other server, the same answers. Rows of `order_documents`.
//
// Promises: as Search has them. A question costs two bounded ways at the most: through the newest orders,
// which has a full page soon of whatever is common, and by the index of words, which is quick for whatever
// is rare. Documents are written in one statement, in the order of their ids, so that a rebuild and the reader of the
// events never deadlock. The reader writes them in the transaction of its cursor.

import { type OrderId, type Status, statuses } from '../../domain/order.ts';
import type { LoggedEvent, Refused } from '../../engine/event-log.ts';
import { OutsideError, type Trouble, UnavailableError } from '../../engine/ports.ts';
import { documentsOf, ordersOf } from '../../flow/projections/index-orders.ts';
import {
  type CountQuery,
  type Counts,
  countMax,
  type Hits,
  type IndexAnswer,
  type OrderDocument,
  type OrderHistory,
  type OrderPlace,
  type OrderQuery,
  type Search,
  statesOf,
  toCounts,
} from '../../flow/projections/search-ports.ts';
import { filterWord } from '../../flow/projections/search-words.ts';
import { type Database, plainArray, type Query } from './database.ts';
import { textOf } from './dead-letters.ts';
import { failureOf } from './errors.ts';
import { type HistoryRow, latestColumns, toHistory } from './histories.ts';

// Of the newest orders so many are looked through first: some 20 ms. What fills no page from them is so rare
// that its words gather few orders.
const walkRows = 10_000;
// What so many of the newest orders have is soon found in any; below, its words gather fewer than a walk would pass.
const commonShare = 0.5;
const bare = { words: [], customerEmail: null, productType: null, country: null } as const;

// The step of the reader of the events: in its transaction, what cannot be written fails all of it.
export async function indexEvents(query: Query, events: readonly LoggedEvent[]): Promise<readonly Refused[]> {
  const documents = documentsOf(events, await readLatest(query, ordersOf(events)));
  if (documents.length > 0) await writeDocuments(query, documents, '<');
  return [];
}

// An order is read as it stands, so most documents are there when the order's later events come by.
async function readLatest(query: Query, ids: readonly OrderId[]): Promise<(OrderHistory & { isStored: boolean })[]> {
  const rows = await query<HistoryRow & { is_stored: boolean }>(
    `/* read-undocumented */ SELECT ${latestColumns}, coalesce(d.version >= o.version, false) AS is_stored
     FROM orders o LEFT JOIN order_documents d ON d.order_id = o.id WHERE o.id = ANY($1::uuid[])`,
    [plainArray(ids)],
  );
  return rows.map((row) => ({ ...toHistory(row), isStored: row.is_stored }));
}

export function createPostgresSearch(database: Database): Search & { readonly rewrite: Search['index'] } {
  // A newer version over an older one; a rebuild writes the same version again. One that is refused fails alone.
  const indexing =
    (guard: Guard) =>
    async (documents: readonly OrderDocument[]): Promise<readonly IndexAnswer[]> => {
      try {
        // A document that is lost with a crash is written again from its order.
        const query: Query = (text, values = []) => database.once(text, values, { durable: true });
        const stored = await writeDocuments(query, documents, guard);
        return documents.map(({ id }): IndexAnswer => (stored.has(id) ? 'stored' : 'older'));
      } catch (error) {
        const failure = failureOf(error);
        if (failure === 'bug') throw error;
        if (failure !== 'data') throw new OutsideError(away(error), { cause: error });
        if (documents.length === 1) return [refused(error)];
        const middle = documents.length >> 1;
        const first = await indexing(guard)(documents.slice(0, middle));
        return [...first, ...(await indexing(guard)(documents.slice(middle)))];
      }
    };

  return {
    kind: 'postgres',
    // The table comes with the schema.
    prepare: async () => {},
    index: indexing('<'),
    rewrite: indexing('<='),
    find: (query) => answered(find(database, query)),
    count: (query) => answered(count(database, query)),
  };
}

async function answered<A>(answer: Promise<A>): Promise<A> {
  try {
    return await answer;
  } catch (error) {
    const failure = failureOf(error);
    if (failure === 'bug' || failure === 'data') throw error;
    throw new UnavailableError('nothing', 'the search does not answer', undefined, { cause: error });
  }
}

type Guard = '<' | '<=';

async function writeDocuments(query: Query, documents: readonly OrderDocument[], guard: Guard): Promise<Set<string>> {
  const rows = await query<{ order_id: string }>(
    `/* write-documents */ INSERT INTO order_documents AS d (order_id, version, created_at, words)
     SELECT n.order_id, n.version, n.created_at, n.words::tsvector
     FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[], $4::text[]) AS n(order_id, version, created_at, words)
     ORDER BY n.order_id
     ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, words = excluded.words
     WHERE d.version ${guard} excluded.version
     RETURNING d.order_id`,
    [
      plainArray(documents.map(({ id }) => id)),
      plainArray(documents.map(({ version }) => version)),
      plainArray(documents.map(({ createdAt }) => createdAt)),
      documents.map(lexemesOf),
    ],
  );
  return new Set(rows.map((row) => row.order_id));
}

function lexemesOf({ words, state, customerEmail, productType, country }: OrderDocument): string {
  const filters = filterWords({ customerEmail, productType, country });
  return [...words, filterWord('status', state), ...filters].map(quoted).join(' ');
}

function filterWords(by: Pick<OrderQuery, 'customerEmail' | 'productType' | 'country'>): string[] {
  const words = [
    by.customerEmail && filterWord('email', by.customerEmail.toLowerCase()),
    by.productType && filterWord('type', by.productType),
    by.country && filterWord('country', by.country),
  ];
  return words.filter((word): word is string => word !== null && word !== '');
}

// A word as tsvector and tsquery read it: in quotes, in which two signs are doubled.
const quoted = (word: string) => `'${word.replaceAll(/['\\]/g, '$&$&')}'`;

function tsqueryOf(query: Sought, states: readonly Status[]): string {
  const sought = query.words.map(({ word, isBeginning, orId }) => {
    const term = quoted(word) + (isBeginning ? ':*' : '');
    return orId === null ? term : `(${term} | ${quoted(orId)})`;
  });
  const inStates = states.map((state) => quoted(filterWord('status', state))).join(' | ');
  return [...(inStates === '' ? [] : [`(${inStates})`]), ...filterWords(query).map(quoted), ...sought].join(' & ');
}

type Sought = Pick<CountQuery, 'words' | 'customerEmail' | 'productType' | 'country'>;
type Found = { order_id: string; created_at: Date };

async function find(database: Database, query: OrderQuery): Promise<Hits> {
  const { after, limit } = query;
  const values: unknown[] = [];
  const bind = (value: unknown) => `$${values.push(value)}`;
  const conditions = [
    ...rangeOf(query, bind),
    ...(after === null
      ? []
      : [`(d.created_at, d.order_id) < (${bind(after.createdAt)}::timestamptz, ${bind(after.id)}::uuid)`]),
  ];
  const range = conditions.length === 0 ? 'true' : conditions.join(' AND ');
  // One more than asked for tells whether there is another page.
  const count = bind(limit + 1);
  const newest = 'ORDER BY created_at DESC, order_id DESC';
  const words = tsqueryOf(query, query.status === null ? [] : statesOf(query.status));
  if (words === '') {
    const text = `/* find-newest */ SELECT order_id, created_at FROM order_documents d WHERE ${range} ${newest} LIMIT ${count}`;
    return toHits(await database.once<Found>(text, values, { durable: false }), limit);
  }
  const isMatch = `words @@ ${bind(words)}::tsquery`;
  const walked = await database.once<Found>(
    `/* find-among-newest */ SELECT order_id, created_at
     FROM (SELECT * FROM order_documents d WHERE ${range} ${newest} LIMIT ${walkRows}) AS walked
     WHERE ${isMatch} ${newest} LIMIT ${count}`,
    values,
    { durable: false },
  );
  if (walked.length > limit) return toHits(walked, limit);
  // Apart from the order that is asked for, or the planner would walk all the way.
  const rows = await database.once<Found>(
    `/* find-by-words */ WITH found AS MATERIALIZED (
       SELECT order_id, created_at FROM order_documents d WHERE ${isMatch} AND ${range}
     ) SELECT order_id, created_at FROM found ${newest} LIMIT ${count}`,
    values,
    { durable: false },
  );
  return toHits(rows, limit);
}

// A statement for each state, so that on one connection others get in between. Words of ten, each in most of 200 000
// orders, cost 0.25 s a state where the index of words gathers them, and 0.07 s where the orders of a state are looked
// through until enough have them; words that few have, the other way round.
async function count(database: Database, query: CountQuery): Promise<Counts> {
  const isCommon = (await shareOfNewest(database, query)) >= commonShare;
  const found = new Map<Status, number>();
  for (const status of statuses) {
    const values: unknown[] = [];
    const bind = (value: unknown) => `$${values.push(value)}`;
    const isIn = (words: string) => `d.words @@ ${bind(words)}::tsquery`;
    const range = rangeOf(query, bind);
    const from = isCommon
      ? `(SELECT words FROM order_documents d WHERE ${[isIn(tsqueryOf(bare, [status])), ...range].join(' AND ')} OFFSET 0) d
         WHERE ${isIn(tsqueryOf(query, []))}`
      : `order_documents d WHERE ${[isIn(tsqueryOf(query, [status])), ...range].join(' AND ')}`;
    const rows = await database.once<{ count: number }>(
      `/* count-by-status */ SELECT count(*) AS count FROM (SELECT FROM ${from} LIMIT ${countMax}) AS found`,
      values,
      { durable: false },
    );
    found.set(status, rows[0]?.count ?? 0);
  }
  return toCounts(found);
}

// Of the newest orders, how many have what is sought besides a state; 0 where nothing is.
async function shareOfNewest(database: Database, query: CountQuery): Promise<number> {
  const words = tsqueryOf(query, []);
  if (words === '') return 0;
  const values: unknown[] = [words];
  const range = ['true', ...rangeOf(query, (value) => `$${values.push(value)}`)].join(' AND ');
  const rows = await database.once<{ share: number | null }>(
    `/* share-of-newest */ SELECT avg((words @@ $1::tsquery)::integer)::float8 AS share
     FROM (SELECT words FROM order_documents d WHERE ${range}
           ORDER BY created_at DESC, order_id DESC LIMIT ${walkRows}) AS walked`,
    values,
    { durable: false },
  );
  return rows[0]?.share ?? 0;
}

const rangeOf = ({ from, to }: CountQuery, bind: (value: unknown) => string): string[] => [
  ...(from === null ? [] : [`d.created_at >= ${bind(from)}`]),
  ...(to === null ? [] : [`d.created_at < ${bind(to)}`]),
];

function toHits(rows: readonly Found[], limit: number): Hits {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const next: OrderPlace | null =
    rows.length > limit && last !== undefined ? { createdAt: last.created_at, id: last.order_id } : null;
  return { ids: page.map((row) => row.order_id as OrderId), next };
}

function away(error: unknown): Trouble {
  const message = `the documents could not be written: ${textOf(String((error as Error).message))}`;
  return { class: 'throttled', code: 'search-unavailable', message, dependencyDown: true };
}

function refused(error: unknown): Trouble {
  const message = `the document was refused: ${textOf(String((error as Error).message))}`;
  return { class: 'non-retryable', code: 'document-refused', message, dependencyDown: false };
}

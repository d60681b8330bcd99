// What the flow asks of a search engine: to keep one document per order, and to find orders by it.
//
// Promises of an adapter: a document is stored only over an older version of itself; each document of a
// call has its own answer; a call that throws OutsideError may have stored any of them, and is repeated.
// What was stored is found a moment later. `find` answers newest first, by the time of creation and then
// the id, which never change: pages neither skip nor repeat an order, whatever arrives meanwhile.

import { type Order, type OrderId, type Status, statuses } from '../../domain/order.ts';
import type { Event, Trouble } from '../../engine/ports.ts';

// One document per order, as readers of the index see it. All of it follows from the order's fixed fields and
// its events up to `version`; what moves without an event (retries, `pending`) is not in it.
export type OrderDocument = Pick<
  Order,
  | 'id'
  | 'version'
  | 'amount'
  | 'currency'
  | 'country'
  | 'items'
  | 'customerEmail'
  | 'userId'
  | 'productType'
  | 'reason'
  | 'correlationId'
> & {
  // The latest step, by its event's name without version; `state` is the order's status, as the events have it.
  readonly status: string;
  readonly state: Status;
  // The names of all steps, each once.
  readonly facts: readonly string[];
  readonly timeline: readonly {
    readonly type: string;
    readonly at: string;
    readonly eventId: string;
    readonly correlationId: string;
    readonly causationId: string | null;
  }[];
  readonly createdAt: string;
  readonly updatedAt: string;
  // What free text finds it by; see search-words.ts.
  readonly words: readonly string[];
};

// `older` = a newer version is stored already. A trouble is about this document alone.
export type IndexAnswer = 'stored' | 'older' | Trouble;

// Equal to a word of the document, or the beginning of one; or the document's id. Made by search-words.ts.
export type SoughtWord = { readonly word: string; readonly isBeginning: boolean; readonly orId: string | null };

export type OrderPlace = { readonly createdAt: Date; readonly id: string };

// Null = any.
export type OrderQuery = {
  // Each must be found.
  readonly words: readonly SoughtWord[];
  // Found is every order that may be in it; see `statesOf`.
  readonly status: Status | null;
  // In lower case.
  readonly customerEmail: string | null;
  readonly productType: string | null;
  readonly country: string | null;
  // By the time of creation: inclusive, exclusive.
  readonly from: Date | null;
  readonly to: Date | null;
  readonly limit: number;
  readonly after: OrderPlace | null;
};
// `next` is null on the last page.
export type Hits = { readonly ids: readonly OrderId[]; readonly next: OrderPlace | null };

// What documents may say of an order that is in this status: taking an order up writes no event, so the document
// of one that its first step works on still says PENDING.
export const statesOf = (status: Status): readonly Status[] =>
  status === 'PROCESSING' ? ['PENDING', 'PROCESSING'] : [status];

// How many documents match, by their state; each number is exact below `countMax`, which stands for that many or more.
export type Counts = Readonly<Record<Status, number>>;
export type CountQuery = Omit<OrderQuery, 'status' | 'limit' | 'after'>;
// Far more than anybody pages through, and few enough to be counted while a person waits.
export const countMax = 10_000;
export const toCounts = (found: ReadonlyMap<string, number>): Counts =>
  Object.fromEntries(statuses.map((status) => [status, Math.min(found.get(status) ?? 0, countMax)])) as Counts;

export type Search = {
  // Which engine: each has a cursor of its own over the events, so that one that is switched to finds the past.
  readonly kind: 'postgres' | 'elasticsearch';
  // Makes what the adapter needs, where it is missing. May be repeated, by many at once.
  readonly prepare: (signal: AbortSignal) => Promise<void>;
  readonly index: (documents: readonly OrderDocument[], signal: AbortSignal) => Promise<readonly IndexAnswer[]>;
  // Throws UnavailableError when there is no answer.
  readonly find: (query: OrderQuery) => Promise<Hits>;
  // The same for numbers instead of orders.
  readonly count: (query: CountQuery) => Promise<Counts>;
};

// An order with all of its events, oldest first, as one moment had them.
export type PastEvent = Pick<Event, 'id' | 'type' | 'version' | 'time' | 'correlationId' | 'causationId'>;
export type OrderHistory = { readonly order: Order; readonly events: readonly PastEvent[] };
// An order that does not exist is missing from the answer. Throws UnavailableError when there is none.
export type ReadHistories = (ids: readonly OrderId[]) => Promise<readonly OrderHistory[]>;

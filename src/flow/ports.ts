// What the flow asks of the world: the partners outside, and the store of orders.
//
// Every partner call takes a key of ours and is idempotent by it: the same key has its effect at most
// once and repeats its first answer. A call that throws OutsideError of class `unknown` may have been
// done. `void` and `recall` claim the key for good: where nothing was done under it, nothing ever will
// be ("not found" would prove nothing, for the first call may still be on its way).

import type { Happened } from '../domain/events.ts';
import type { ProductType } from '../domain/money.ts';
import type { Item, Order, OrderId, PaymentScenario } from '../domain/order.ts';
import type { OrderChange, OrderRecord } from '../domain/order-record.ts';
import type { Refusal } from '../domain/refusals.ts';
import type { ClaimEarly, Step } from '../engine/ports.ts';
import type { DeadLetterClosing, DeadLetterFilter, DeadLetterPage } from './dead-letters.ts';
import type { TimelineEntry } from './orders/sentences.ts';
import type { Analytics } from './projections/analytics.ts';
import type { OrderPlace, OrderQuery, Search } from './projections/search-ports.ts';

// The partner failed on this key, keeps the failure, and repeats it for good (as some do with a 5xx). No call under the
// key does anything from here on; whether the one that failed had done it, `lookup` says, and its null is certain then.
export type Spent = { readonly outcome: 'spent'; readonly code: string };

export type Authorization = { readonly authorizationId: string; readonly expiresAt: Date };

// `closed` = an undo has claimed the key: nothing was done and nothing will be.
export type AuthorizeAnswer =
  | ({ readonly outcome: 'authorized' } & Authorization)
  | { readonly outcome: 'declined'; readonly code: string }
  | { readonly outcome: 'closed' };
// `refused` is as certain as the others: the money is held, and stays so until a later void.
export type VoidAnswer =
  | { readonly outcome: 'voided'; readonly authorizationId: string }
  | { readonly outcome: 'nothing-held' }
  | { readonly outcome: 'refused'; readonly authorizationId: string; readonly code: string };
export type BookAnswer =
  | { readonly outcome: 'booked'; readonly bookingId: string }
  | { readonly outcome: 'rejected'; readonly code: string }
  | { readonly outcome: 'closed' };
export type RecallAnswer =
  | { readonly outcome: 'recalled'; readonly bookingId: string }
  | { readonly outcome: 'nothing-booked' }
  | { readonly outcome: 'refused'; readonly bookingId: string; readonly code: string };

export type AuthorizeRequest = {
  readonly key: string;
  readonly orderId: OrderId;
  readonly amount: number;
  readonly currency: string;
  // Stage directions for the simulated provider; a real adapter ignores both.
  readonly scenario: PaymentScenario;
  readonly epoch: number;
};
export type BookRequest = {
  readonly key: string;
  readonly orderId: OrderId;
  readonly country: string;
  readonly items: Order['items'];
};
// What is undone, by the key under which it went out. An adapter of a partner that undoes by its own id alone repeats
// `request` to learn the id, unless the partner `mayHaveForgotten` the key, for then a repetition could act anew.
export type Undo<Q> = {
  readonly key: string;
  readonly orderId: OrderId;
  readonly of?: { readonly request: Q; readonly mayHaveForgotten: boolean };
};

export type Payments = {
  // For this long the provider remembers a key; later it must be looked up, never sent again.
  readonly keyWindowMs: number;
  readonly authorize: (request: AuthorizeRequest, signal: AbortSignal) => Promise<AuthorizeAnswer | Spent>;
  readonly void: (request: Undo<AuthorizeRequest>, signal: AbortSignal) => Promise<VoidAnswer>;
  // `null` proves nothing, unless the key is spent.
  readonly lookup: (key: string, signal: AbortSignal) => Promise<AuthorizeAnswer | null>;
};

export type Carrier = {
  readonly keyWindowMs: number;
  readonly book: (request: BookRequest, signal: AbortSignal) => Promise<BookAnswer | Spent>;
  readonly recall: (request: Undo<BookRequest>, signal: AbortSignal) => Promise<RecallAnswer>;
  readonly lookup: (key: string, signal: AbortSignal) => Promise<BookAnswer | null>;
};

export const mailKinds = ['processed', 'declined', 'canceled', 'failed'] as const;
export type MailKind = (typeof mailKinds)[number];
export type Mail = {
  // False = the partner cannot tell a repetition, so a call whose outcome is not known is a person's to repeat.
  readonly knowsKeys?: boolean;
  // True = a user id is nobody to it.
  readonly needsAddress?: boolean;
  // Calls at once, per process; absent = any number.
  readonly callsMax?: number;
  // At most one message per key.
  readonly send: (
    request: {
      readonly key: string;
      readonly orderId: OrderId;
      readonly kind: MailKind;
      // An address, or the user id where no address is known.
      readonly to: string;
      readonly subject: string;
      readonly text: string;
      readonly html?: string;
    },
    signal: AbortSignal,
  ) => Promise<void>;
};

export type Partners = { readonly payments: Payments; readonly carrier: Carrier; readonly mail: Mail };

export type PlaceRequest = {
  readonly order: Order;
  readonly event: Happened;
  readonly eventId: string;
  // Null = each request is a new order.
  readonly key: string | null;
  // SHA-256 of the canonical payload; compared, never parsed.
  readonly fingerprint: Buffer;
  // Absent = the first event's jobs wait for a claim of their own.
  readonly claim?: ClaimEarly;
};
export type PlaceAnswer =
  | { readonly answer: 'placed'; readonly order: Order }
  | { readonly answer: 'replayed'; readonly order: Order }
  | { readonly answer: 'key-reused' };

// One request to place an order, already of the right shape (the HTTP schema saw to that).
export type PlaceCommand = {
  readonly customerEmail?: string;
  readonly userId?: string;
  readonly user_id?: string;
  readonly items?: readonly Item[];
  readonly productType?: ProductType;
  readonly amount?: number;
  readonly currency?: string;
  readonly country?: string;
  readonly paymentScenario?: PaymentScenario;
};
export type PlaceInput = {
  readonly command: PlaceCommand;
  // The JSON value as received, before defaults: what an idempotency key is compared by.
  readonly received: unknown;
  readonly key: string | null;
  readonly correlationId: string;
  readonly traceparent: string | null;
};

// What the outside may ask for: HTTP is one way to ask. A database that cannot answer throws
// UnavailableError; every business no is a Refusal.
export type OrderDesk = {
  readonly place: (input: PlaceInput) => Promise<{ readonly order: Order; readonly replayed: boolean } | Refusal>;
  readonly read: (id: OrderId) => Promise<Order | Refusal>;
  readonly timeline: (id: OrderId) => Promise<readonly TimelineEntry[] | Refusal>;
  // Newest first; `next` is null on the last page.
  readonly find: (query: OrderQuery) => Promise<{ readonly items: readonly Order[]; readonly next: OrderPlace | null }>;
  readonly count: Search['count'];
  // `by` = the operator who asks; absent or null where nobody is asked.
  readonly cancel: (id: OrderId, reason: string | null, correlationId: string, by?: By) => Promise<Order | Refusal>;
  readonly deadLetters: (filter: DeadLetterFilter) => Promise<DeadLetterPage>;
  readonly reprocess: (id: OrderId, correlationId: string, by?: By) => Promise<Order | Refusal>;
  readonly reprocessDeadLetter: (deadLetterId: string, correlationId: string, by?: By) => Promise<Order | Refusal>;
  readonly discardDeadLetter: (
    deadLetterId: string,
    reason: string,
    correlationId: string,
    by?: By,
    // A core step's is ended by canceling its order.
    cancelsOrder?: boolean,
  ) => Promise<Order | Refusal>;
  // The address of the customer, for a mail that could not go there; sends the dead letter back.
  readonly correctDeadLetter: (
    deadLetterId: string,
    correction: Correction,
    correlationId: string,
    by?: By,
  ) => Promise<Order | Refusal>;
  readonly analytics: Analytics;
};
// Of the job that ended in it.
export type OpenDeadLetter = {
  readonly id: string;
  readonly consumer: string;
  // Of its event.
  readonly version: number;
  readonly eventId: string;
  readonly eventType: string;
  readonly epoch: number;
};

export type By = string | null;
export type Correction = { readonly customerEmail: string; readonly reason: string };

// What a person's request changes, written in one transaction with a row of the audit log.
export type DeskChange = OrderChange & {
  // The event that the new ones answer to.
  readonly causationId: string | null;
  // Open dead letters that end here, and how; `reprocessed` creates their jobs again, in a new epoch.
  readonly closes: readonly string[];
  readonly closing: DeadLetterClosing;
  readonly action: 'canceled' | 'reprocessed' | 'letter-reprocessed' | 'letter-discarded' | 'letter-corrected';
  readonly detail: object;
  readonly correlationId: string;
  readonly by?: By | undefined;
};

export type OrderStore = {
  // May be repeated for the same request: ids are chosen before, the first commit counts.
  readonly place: (request: PlaceRequest) => Promise<PlaceAnswer>;
  readonly read: (id: OrderId) => Promise<Order | null>;
  // In any order; one that does not exist is missing.
  readonly readAll: (ids: readonly OrderId[]) => Promise<readonly Order[]>;
  readonly timeline: (id: OrderId) => Promise<readonly TimelineEntry[]>;
  readonly deadLetters: (filter: DeadLetterFilter) => Promise<DeadLetterPage>;
  // Null = there is no such open dead letter.
  readonly orderOfDeadLetter: (deadLetterId: string) => Promise<OrderId | null>;
  // Decides under the order's lock; null changes nothing. `decide` may run again: it must be pure.
  readonly change: (
    id: OrderId,
    decide: (record: OrderRecord, deadLetters: readonly OpenDeadLetter[], now: Date) => DeskChange | Refusal | null,
  ) => Promise<Order | Refusal>;
  readonly analytics: Analytics;
};

// What a row of the subscriptions' table does with an event; see Step in engine/ports.ts.
export type OrderStep = Omit<Step, 'consumer' | 'types' | 'dependencies'>;

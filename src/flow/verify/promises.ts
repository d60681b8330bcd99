// What `verify` looks for: each promise with a name, a sentence, and what a person does where it is broken.
//
// Promises: names are stable, people script against them. A promise that is `kept later` can only be
// late: what is owed may be owed because nothing runs, and a stopped system is no broken one, so it is
// told as a warning and is no violation. Everything else is true at every moment, also under load.

export type Kind = 'always' | 'kept later';
type Promised = {
  readonly kind: Kind;
  // Whether it takes the partners' ledger to see.
  readonly byLedger: boolean;
  readonly counted: 'orders' | 'rows' | 'debts' | 'keys' | 'days' | 'entries';
  readonly promise: string;
  readonly remedy: string;
};

// Longer than any pause between two looks, a lease, a backoff and a short outage together.
export const overdueMs = 600_000;

const always = { kind: 'always', byLedger: false, counted: 'orders' } as const;
const later = { ...always, kind: 'kept later' } as const;
const byLedger = { ...always, byLedger: true } as const;

const byHand =
  'Its rows disagree, which no command repairs: restore it from a backup beside the database, and compare.';
const askPartner = 'Look at GET /ledger?orderId=… of the sandbox: what is there counts, so correct it there by hand.';

export const promises = {
  events: {
    ...always,
    promise: "the events of an order run from 1 to the order's version without a gap",
    remedy: byHand,
  },
  story: {
    ...always,
    promise: 'the events begin with OrderCreated and lead, one after the other, to the order as it stands',
    remedy: byHand,
  },
  keys: {
    ...always,
    counted: 'keys',
    promise: 'an Idempotency-Key has one order, and that exists',
    remedy: 'A repetition of that request may be answered wrongly: ask the customer which order is meant.',
  },
  owners: {
    ...always,
    counted: 'rows',
    promise: 'every event, job and dead letter belongs to an order, and to an event, that exists',
    remedy: 'Somebody has removed rows by hand: bring the order or event back from a backup, or remove the rest too.',
  },
  'dead letters': {
    ...always,
    promise: 'FAILED exactly while a core step has an open dead letter; no event has a job and a dead letter',
    remedy: byHand,
  },
  work: {
    ...always,
    promise: 'an order under way has a job of a core step that will move it',
    remedy: 'Nothing will move it: cancel it (POST /orders/{id}/cancel), which also undoes what it may hold.',
  },
  effects: {
    ...always,
    promise: 'an effect is of no generation that nobody asked for, and says the same as the order',
    remedy: byHand,
  },
  processed: {
    ...always,
    promise: 'a processed order is authorized and booked',
    remedy: 'Do not ship it before the provider and the carrier have said what they hold for it.',
  },
  canceled: {
    ...always,
    promise: 'a canceled order has nothing left outside, or its undoing is owed by a job or a dead letter',
    remedy: 'Ask the partner under the key that is named, and release there by hand what is still held.',
  },
  attempts: {
    ...always,
    promise: 'no step has more attempts, and no order more retries, than the settings allow',
    remedy: 'Run verify with the workers’ ORDER_WORKER_MAX_RETRIES; if it was lowered since, nothing is wrong.',
  },
  analytics: {
    ...always,
    counted: 'days',
    promise: 'the analytics of a day are the sum of the events that their reader has passed, each once',
    remedy: 'GET /analytics/orders shows a wrong sum for that day; the orders are not concerned. Report it.',
  },
  'late publishing': {
    ...later,
    counted: 'debts',
    promise: 'an event that is owed to the bus is published within minutes',
    remedy: 'Is a relay running, and the bus reachable? Nothing is lost: it goes out when they are.',
  },
  'late reading': {
    ...later,
    counted: 'debts',
    promise: 'an event reaches search and analytics within minutes',
    remedy: 'Is a worker of that consumer running? Nothing is lost: it goes on where its cursor is.',
  },
  'late work': {
    ...later,
    promise: 'a job that is due is taken up within minutes',
    remedy: 'Is a worker of that consumer running, and its partner reachable? It goes on when they are.',
  },
  'ledger: processed': {
    ...byLedger,
    promise: 'a processed order has one live authorization, of its amount, and one live booking at the partners',
    remedy: `Do not ship it before this is settled. ${askPartner}`,
  },
  'ledger: canceled': {
    ...byLedger,
    promise: 'nothing is held or booked at the partners for a canceled order that was undone',
    remedy: `The customer's money or a parcel is held for nothing. ${askPartner}`,
  },
  'ledger: once': {
    ...byLedger,
    promise: 'no order was ever authorized or booked twice',
    remedy: `Void or recall all but the one that the order's effect names. ${askPartner}`,
  },
  'ledger: effects': {
    ...byLedger,
    promise: 'an effect that is recorded as done, undone or absent is so at its partner',
    remedy: askPartner,
  },
  'ledger: mail': {
    ...byLedger,
    promise: 'no customer got two messages of one kind',
    remedy: 'It cannot be taken back. Two keys were used for one message: report it.',
  },
  'ledger: unknown': {
    ...byLedger,
    counted: 'entries',
    promise: 'the partners know no order that is not in the database',
    remedy: 'Does this sandbox serve another installation too? If not, an acknowledged order was lost: report it.',
  },
} as const satisfies Readonly<Record<string, Promised>>;

export type PromiseName = keyof typeof promises;
export const promiseNames = Object.keys(promises) as PromiseName[];

// `subject` is the id of an order; of analytics, a day;
export type Finding = { readonly promise: PromiseName; readonly subject: string; readonly what: string };

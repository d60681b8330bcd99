// What the sandbox and its clients say to each other over HTTP: one schema per request and answer, which
// gives the type, the sandbox's check of a request and the client's check of an answer.
//
// Promises: nothing is coerced, added or dropped. A status of 4xx with a `Fault` is the partner's own
// word on this one call; anything else outside 200 tells of the partner or of what stands before it.
// Relies on typebox alone.

import { type Static, Type } from 'typebox';
import { paymentScenarios } from '../../domain/order.ts';
import { mailKinds } from '../../flow/ports.ts';
import { entryStates } from './entry-states.ts';
import { acts, cuedCalls, weathers } from './stage.ts';

// An order of 100 lines fits four times; the API takes 64 KiB.
export const maxRequestBytes = 256 * 1024;
// The longest true answer is below 2 KiB; the rest is room for proxies' error pages.
export const maxAnswerBytes = 64 * 1024;

const key = Type.String({ minLength: 1, maxLength: 200 });
const orderId = Type.String({ minLength: 1, maxLength: 200 });
const code = Type.String({ minLength: 1, maxLength: 100 });
const reference = Type.String({ minLength: 1, maxLength: 200 });
const country = Type.String({ pattern: '^[A-Z]{2}$' });
const closed = { additionalProperties: false };

export const paths = {
  authorize: '/authorizations',
  void: '/authorizations/void',
  findAuthorization: '/authorizations/lookup',
  book: '/bookings',
  recall: '/bookings/recall',
  findBooking: '/bookings/lookup',
  send: '/mails',
} as const;

export const AuthorizeRequest = Type.Object(
  {
    key,
    orderId,
    amount: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    currency: Type.String({ pattern: '^[A-Z]{3}$' }),
    scenario: Type.Enum(paymentScenarios),
    epoch: Type.Integer({ minimum: 0 }),
  },
  closed,
);
const item = Type.Object(
  {
    sku: Type.String({ maxLength: 1000 }),
    quantity: Type.Integer({ minimum: 1 }),
    unitPrice: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export const BookRequest = Type.Object({ key, orderId, country, items: Type.Array(item, { maxItems: 1000 }) }, closed);
export const UndoRequest = Type.Object({ key, orderId }, closed);
export const LookupRequest = Type.Object({ key }, closed);
export const SendRequest = Type.Object(
  { key, orderId, kind: Type.Enum(mailKinds), to: Type.String(), subject: Type.String(), text: Type.String() },
  closed,
);

// Answers are open: a partner may add members, and a client of an older release still reads them.
const outcome = <O extends string>(value: O) => Type.Literal(value);
export const AuthorizeAnswer = Type.Union([
  Type.Object({
    outcome: outcome('authorized'),
    authorizationId: reference,
    expiresAt: Type.String({ format: 'date-time' }),
  }),
  Type.Object({ outcome: outcome('declined'), code }),
  Type.Object({ outcome: outcome('closed') }),
]);
export const VoidAnswer = Type.Union([
  Type.Object({ outcome: outcome('voided'), authorizationId: reference }),
  Type.Object({ outcome: outcome('nothing-held') }),
  Type.Object({ outcome: outcome('refused'), authorizationId: reference, code }),
]);
export const BookAnswer = Type.Union([
  Type.Object({ outcome: outcome('booked'), bookingId: reference }),
  Type.Object({ outcome: outcome('rejected'), code }),
  Type.Object({ outcome: outcome('closed') }),
]);
export const RecallAnswer = Type.Union([
  Type.Object({ outcome: outcome('recalled'), bookingId: reference }),
  Type.Object({ outcome: outcome('nothing-booked') }),
  Type.Object({ outcome: outcome('refused'), bookingId: reference, code }),
]);
export const SendAnswer = Type.Object({ outcome: outcome('sent') });
export const AuthorizationFound = Type.Object({ found: Type.Union([AuthorizeAnswer, Type.Null()]) });
export const BookingFound = Type.Object({ found: Type.Union([BookAnswer, Type.Null()]) });

export const Fault = Type.Object({ code, message: Type.String({ maxLength: 2000 }), retryable: Type.Boolean() });
export type Fault = Static<typeof Fault>;
// On an answer that repeats the first one under its key; of a 5xx it says that the key answers nothing else any more.
export const repeatedHeader = 'idempotent-replayed';

const weather = Type.Optional(Type.Enum(weathers));
const WeatherDirection = Type.Object(
  {
    all: weather,
    payments: weather,
    carrier: weather,
    mail: weather,
    retryAfterSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400 })),
  },
  { ...closed, minProperties: 1 },
);
const CueDirection = Type.Object(
  {
    call: Type.Enum(cuedCalls),
    act: Type.Enum(acts),
    orderId: Type.Optional(orderId),
    country: Type.Optional(country),
    times: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  closed,
);
export const Direction = Type.Union([WeatherDirection, CueDirection]);

export const LedgerQuery = Type.Object(
  {
    orderId: Type.Optional(orderId),
    cursor: Type.Optional(Type.String({ pattern: '^[0-9]{1,15}$' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  },
  closed,
);
// The same entries order by order, `from` one `upTo` another, both included.
export const LedgerOrdersQuery = Type.Object(
  {
    from: Type.Optional(orderId),
    upTo: Type.Optional(orderId),
    cursor: Type.Optional(Type.String({ pattern: '^[0-9]{1,15} .', maxLength: 220 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  },
  closed,
);
export const TrafficQuery = Type.Object(
  {
    from: Type.Optional(Type.String({ format: 'date-time' })),
    to: Type.Optional(Type.String({ format: 'date-time' })),
  },
  closed,
);
export const CallsQuery = Type.Object({ orderId }, closed);

const at = Type.String({ format: 'date-time' });
const orNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
// An entry as an audit reads it; see ledger.ts for what each member means.
export const LedgerEntry = Type.Object({
  position: Type.Integer(),
  partner: Type.Enum(['payments', 'carrier', 'mail']),
  key,
  orderId,
  state: Type.Enum(entryStates),
  reference: orNull(reference),
  code: orNull(code),
  // Payments: amount, currency. Carrier: country, items. Mail: kind, to, subject, text.
  terms: orNull(Type.Record(Type.String(), Type.Unknown())),
  expiresAt: orNull(at),
  createdAt: at,
  changedAt: at,
});
export const LedgerPage = Type.Object({ items: Type.Array(LedgerEntry), nextCursor: orNull(Type.String()) });
export type LedgerPage = Static<typeof LedgerPage>;

// What we answer: one schema per body is its type, its serializer and its page in the OpenAPI document,
// and beside it the mapping from what the flow knows.
//
// Promises: only the fields listed here leave the process (the stage directions for a simulated partner
// and the trace stay inside); times are RFC 3339 with milliseconds and Z.

import { type Static, type TSchema, Type } from 'typebox';
import { fulfillmentStates, type Order, paymentStates, statuses } from '../../domain/order.ts';
import type { DeadLetter } from '../../flow/dead-letters.ts';
import type { TimelineEntry } from '../../flow/orders/sentences.ts';
import { countMax } from '../../flow/projections/search-ports.ts';
import { deadLetterExample, orderExample, problemExample, timelineEntryExample } from './examples.ts';
import { type ProblemCode, problemMediaType, statusOf, titleOf } from './problems.ts';

const text = (description?: string) => Type.String(description === undefined ? {} : { description });
export const id = (description?: string) =>
  Type.String({ format: 'uuid', ...(description === undefined ? {} : { description }) });
export const integer = (description?: string) => Type.Integer(description === undefined ? {} : { description });
export const oneOf = <V extends string>(values: readonly V[]) => Type.Enum<V[]>([...values], { type: 'string' });
// A two-type schema instead of a union: the compiled serializer tells null by a comparison, where a
// union would be validated branch by branch.
export const orNull = <S extends TSchema & { type: string }>(schema: S) =>
  Type.Unsafe<Static<S> | null>({ ...schema, type: [schema.type, 'null'] });
// Dates are written as text by the mapping below.
const time = Type.String({ format: 'date-time' });

export const orderSchema = Type.Object(
  {
    id: id('UUIDv7: sorts by time of creation'),
    status: oneOf(statuses),
    payment: oneOf(paymentStates),
    fulfillment: oneOf(fulfillmentStates),
    retryCount: integer('Charged retries of the core steps since the last reprocess'),
    amount: integer('The total in minor units'),
    currency: text('ISO 4217'),
    country: text('ISO 3166-1 alpha-2'),
    items: Type.Array(Type.Object({ sku: text(), quantity: integer(), unitPrice: integer('Minor units') })),
    customerEmail: orNull(text()),
    userId: orNull(text()),
    productType: orNull(text()),
    reason: orNull(Type.Object({ code: text(), message: text() }, { description: 'Why it is FAILED or CANCELED' })),
    correlationId: text(),
    version: integer('Rises by one per event'),
    createdAt: time,
    updatedAt: time,
  },
  {
    $id: 'Order',
    examples: [orderExample],
  },
);
export function toOrderBody(order: Order): Static<typeof orderSchema> {
  return {
    id: order.id,
    status: order.status,
    payment: order.payment,
    fulfillment: order.fulfillment,
    retryCount: order.retryCount,
    amount: order.amount,
    currency: order.currency,
    country: order.country,
    items: order.items as Static<typeof orderSchema>['items'],
    customerEmail: order.customerEmail,
    userId: order.userId,
    productType: order.productType,
    reason: order.reason,
    correlationId: order.correlationId,
    version: order.version,
    createdAt: order.createdAt.toISOString(),
    updatedAt: order.updatedAt.toISOString(),
  };
}

const counted = integer();
export const countsSchema = Type.Object(
  { PENDING: counted, PROCESSING: counted, PROCESSED: counted, FAILED: counted, CANCELED: counted },
  {
    description:
      `How many orders match in each status; ${countMax} = that many or more. By the events, a moment behind: an order ` +
      'whose payment is under way counts as PENDING',
  },
);

export const deadLetterSchema = Type.Object(
  {
    id: id(),
    orderId: id(),
    consumer: text('Whose step gave up'),
    eventId: id(),
    eventType: text(),
    failureClass: text('retryable, throttled, non-retryable or unknown'),
    code: text('Stable code of the failure'),
    message: text(),
    attempts: integer(),
    retryCount: integer(),
    failedAt: time,
    partner: orNull(text('Whose call failed; null where no partner was called')),
    times: integer('How many dead letters this work has had, this one included'),
    closedAt: orNull(time),
    closedHow: orNull(text('reprocessed, canceled or discarded; null = it is open')),
    order: Type.Object({ status: oneOf(statuses), amount: integer(), currency: text(), country: text() }),
  },
  { $id: 'DeadLetter', examples: [deadLetterExample] },
);
export function toDeadLetterBody(deadLetter: DeadLetter): Static<typeof deadLetterSchema> {
  return {
    ...deadLetter,
    failedAt: deadLetter.failedAt.toISOString(),
    closedAt: deadLetter.closedAt?.toISOString() ?? null,
  };
}

export const timelineEntrySchema = Type.Object(
  {
    at: time,
    type: text(
      'An event, an attempt that failed (retry, wait, dead) or succeeded (done), work that was left out (skipped), a takeover, a dead letter, an act of an operator; and at the end, as of now, what is running, waiting or unclaimed',
    ),
    consumer: orNull(text()),
    attempt: orNull(integer()),
    outcome: orNull(text()),
    code: orNull(text()),
    text: text('The same as a sentence'),
    eventId: orNull(text()),
    correlationId: orNull(text()),
    causationId: orNull(text()),
    durationMs: orNull(integer('How long the attempt took')),
    until: orNull(Type.String({ format: 'date-time', description: 'The next try, or the end of the lease' })),
    waitsFor: orNull(text('answer, next-try, partner, release, worker or person')),
    traceId: orNull(text('W3C Trace Context')),
  },
  { $id: 'TimelineEntry', examples: [timelineEntryExample] },
);
export function toTimelineBody(entry: TimelineEntry): Static<typeof timelineEntrySchema> {
  return { ...entry, at: entry.at.toISOString(), until: entry.until?.toISOString() ?? null };
}

const problemSchema = Type.Object(
  {
    type: text('urn:orderly:problem: and the code'),
    title: text(),
    status: integer(),
    detail: text('What is wrong here, where, and what is allowed'),
    code: text('Stable; branch on this'),
    correlationId: text(),
    traceId: Type.Optional(text('When the request was traced')),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          pointer: Type.Optional(text('A place in the body, as a URI-fragment JSON Pointer')),
          in: Type.Optional(oneOf(['header', 'path', 'query'])),
          name: Type.Optional(text('A header or parameter')),
          detail: text(),
        }),
      ),
    ),
  },
  { $id: 'Problem', description: 'RFC 9457', examples: [problemExample] },
);

export const sharedSchemas = [orderSchema, deadLetterSchema, timelineEntrySchema, problemSchema];

const reference = <S extends TSchema>(schema: S & { $id?: string }) =>
  Type.Unsafe<Static<S>>({ $ref: `${schema.$id}#` });
export const orderRef = reference(orderSchema);
export const deadLetterRef = reference(deadLetterSchema);
export const timelineEntryRef = reference(timelineEntrySchema);

export const countSchema = {
  count: integer(),
  isAtLeast: Type.Boolean({ description: 'True = that many, or more' }),
};
// Dates as they are written; for answers that are nothing but data.
export const written = (answer: object): unknown => JSON.parse(JSON.stringify(answer));

export const page = <S extends TSchema>(entry: S) =>
  Type.Object({ items: Type.Array(entry), nextCursor: orNull(text('Null on the last page')) });

// What the document says beside the body; the serializer passes it by.
export const described = <S extends TSchema>(schema: S, description: string, headers: Record<string, string> = {}) => ({
  ...schema,
  description,
  headers: Object.fromEntries(
    ['X-Correlation-Id', ...Object.keys(headers)].map((name) => [
      name,
      { type: 'string', description: headers[name] ?? 'The one of the request, or a new one' },
    ]),
  ),
});

// What the body and the parameters of a request may be refused for.
export const bodyProblems = [
  'invalid-body',
  'invalid-json',
  'invalid-parameter',
  'body-too-large',
  'unsupported-media-type',
] as const satisfies readonly ProblemCode[];

// The error answers of a route, by status, for its page in the document.
export function problemAnswers(...codes: ProblemCode[]): Record<number, object> {
  const answers: Record<number, object> = {};
  for (const status of new Set(codes.map(statusOf))) {
    const of = codes.filter((code) => statusOf(code) === status);
    answers[status] = {
      description: of.map((code) => `\`${code}\`: ${titleOf(code)}`).join(' · '),
      content: { [problemMediaType]: { schema: { $ref: 'Problem#' } } },
    };
  }
  return answers;
}

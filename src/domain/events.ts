// The events: what can happen to an order, as one schema per type and version.
//
// Promises: the schema is the only source of an event's TypeScript type, its validator and its
// published document. A version, once written, never changes; a new need is a new version.
// No event carries an e-mail address, a name or free text of a customer.
// Relies on typebox alone, which is data and types without I/O.

import { type Static, type TProperties, Type } from 'typebox';
import type { Status } from './order.ts';

const orderId = Type.String({ format: 'uuid' });
const money = {
  amount: Type.Integer({ minimum: 1, description: 'Minor units as ISO 4217 counts them' }),
  currency: Type.String({ pattern: '^[A-Z]{3}$' }),
};
const status = <S extends Status>(value: S) => Type.Literal(value);
const reason = Type.String({ description: 'Stable code of the reason' });

const event = <P extends TProperties>(description: string, data: P) => Type.Object(data, { description });

export const eventSchemas = {
  OrderCreatedV1: event('The order was placed.', {
    orderId,
    ...money,
    country: Type.String({ pattern: '^[A-Z]{2}$' }),
  }),
  OrderCanceledV1: event('The order was canceled by its customer, by an operator, or by what a partner said. Final.', {
    orderId,
    previousStatus: Type.Union([status('PENDING'), status('PROCESSING'), status('FAILED')]),
    status: status('CANCELED'),
    ...money,
    reason,
  }),
  OrderFailedV1: event('A core step gave up; the order waits for a person.', {
    orderId,
    previousStatus: Type.Union([status('PENDING'), status('PROCESSING')]),
    status: status('FAILED'),
    reason,
    consumer: Type.String({ description: 'The consumer whose step gave up' }),
  }),
  OrderReprocessedV1: event('A person sent the order back to work.', {
    orderId,
    previousStatus: status('FAILED'),
    status: status('PENDING'),
  }),
  PaymentAuthorizedV1: event('The provider holds the amount.', {
    orderId,
    ...money,
    authorizationId: Type.String(),
    expiresAt: Type.String({ format: 'date-time' }),
  }),
  PaymentFailedV1: event('The provider declined; nothing is held.', { orderId, ...money, declineCode: Type.String() }),
  PaymentVoidedV1: event('The authorization was released; nothing is held any more.', {
    orderId,
    ...money,
    authorizationId: Type.String(),
  }),
  FulfillmentScheduledV1: event('The carrier has booked. Without statuses where the order had been canceled before.', {
    orderId,
    bookingId: Type.String(),
    previousStatus: Type.Optional(status('PROCESSING')),
    status: Type.Optional(status('PROCESSED')),
  }),
  FulfillmentRejectedV1: event('The carrier rejected the shipment.', { orderId, rejectCode: Type.String() }),
  FulfillmentCanceledV1: event('The shipment was recalled.', { orderId, bookingId: Type.String() }),
} as const;

export type EventType = keyof typeof eventSchemas;
export type EventData = { [T in EventType]: Static<(typeof eventSchemas)[T]> };
export const eventTypes = Object.keys(eventSchemas) as EventType[];

// The stream (topic) of each type; the bus adapters derive their own names from it.
export const streamOf: Readonly<Record<EventType, string>> = {
  OrderCreatedV1: 'orders.events.v1',
  OrderCanceledV1: 'orders.events.v1',
  OrderFailedV1: 'orders.events.v1',
  OrderReprocessedV1: 'orders.events.v1',
  PaymentAuthorizedV1: 'payments.events.v1',
  PaymentFailedV1: 'payments.events.v1',
  PaymentVoidedV1: 'payments.events.v1',
  FulfillmentScheduledV1: 'fulfillment.events.v1',
  FulfillmentRejectedV1: 'fulfillment.events.v1',
  FulfillmentCanceledV1: 'fulfillment.events.v1',
};

// What the author of a change says; order id, statuses and version are added by the machine.
type Filled = 'orderId' | 'previousStatus' | 'status';
export type EventDraft = { [T in EventType]: { type: T; data: Omit<EventData[T], Filled> } }[EventType];

// An event about to be written: its place in the order's history is fixed, its id not yet.
export type Happened = {
  readonly type: EventType;
  readonly version: number;
  readonly data: Readonly<Record<string, unknown>>;
};

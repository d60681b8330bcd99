// The facts: what can happen to an order, as one schema per type and version.
//
// Promises: the schema is the only source of a fact's TypeScript type, its validator and its
// published document. A version, once written, never changes; a new need is a new version.
// No fact carries an e-mail address, a name or free text of a customer.
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

const fact = <P extends TProperties>(description: string, data: P) => Type.Object(data, { description });

export const factSchemas = {
  OrderCreatedV1: fact('The order was placed.', { orderId, ...money, country: Type.String({ pattern: '^[A-Z]{2}$' }) }),
  OrderCanceledV1: fact('The order was canceled by its customer, by an operator, or by what a partner said. Final.', {
    orderId,
    previousStatus: Type.Union([status('PENDING'), status('PROCESSING'), status('FAILED')]),
    status: status('CANCELED'),
    ...money,
    reason,
  }),
  OrderFailedV1: fact('A core step gave up; the order waits for a person.', {
    orderId,
    previousStatus: Type.Union([status('PENDING'), status('PROCESSING')]),
    status: status('FAILED'),
    reason,
    consumer: Type.String({ description: 'The consumer whose step gave up' }),
  }),
  OrderReprocessedV1: fact('A person sent the order back to work.', {
    orderId,
    previousStatus: status('FAILED'),
    status: status('PENDING'),
  }),
  PaymentAuthorizedV1: fact('The provider holds the amount.', {
    orderId,
    ...money,
    authorizationId: Type.String(),
    expiresAt: Type.String({ format: 'date-time' }),
  }),
  PaymentFailedV1: fact('The provider declined; nothing is held.', { orderId, ...money, declineCode: Type.String() }),
  PaymentVoidedV1: fact('The authorization was released; nothing is held any more.', {
    orderId,
    ...money,
    authorizationId: Type.String(),
  }),
  FulfillmentScheduledV1: fact('The carrier has booked. Without statuses where the order had been canceled before.', {
    orderId,
    bookingId: Type.String(),
    previousStatus: Type.Optional(status('PROCESSING')),
    status: Type.Optional(status('PROCESSED')),
  }),
  FulfillmentRejectedV1: fact('The carrier rejected the shipment.', { orderId, rejectCode: Type.String() }),
  FulfillmentCanceledV1: fact('The shipment was recalled.', { orderId, bookingId: Type.String() }),
} as const;

export type FactType = keyof typeof factSchemas;
export type FactData = { [T in FactType]: Static<(typeof factSchemas)[T]> };
export const factTypes = Object.keys(factSchemas) as FactType[];

// The stream (topic) of each type; the bus adapters derive their own names from it.
export const streamOf: Readonly<Record<FactType, string>> = {
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
export type FactDraft = { [T in FactType]: { type: T; data: Omit<FactData[T], Filled> } }[FactType];

// A fact about to be written: its place in the order's history is fixed, its id not yet.
export type Happened = {
  readonly type: FactType;
  readonly version: number;
  readonly data: Readonly<Record<string, unknown>>;
};

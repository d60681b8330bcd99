// THE TABLE: start reading here. Who reads which events, and what happens then. An order travels down it:
//
//   OrderCreated ─▶ payment ─▶ PaymentAuthorized ─▶ fulfillment ─▶ FulfillmentScheduled = PROCESSED
//
// Nobody calls anybody: each row waits for events and writes events. A core row that gives up makes the
// order FAILED; the others leave it alone. `start` says where a consumer begins that is new to a
// database: at the first event ever, or with those to come. Below it, the projections: they read all events in batches
// behind a cursor, from the first one on.

import { type EventType, eventTypes } from '../domain/events.ts';
import { versionsUpTo } from '../domain/upcasts.ts';
import type { Step, System } from '../engine/ports.ts';
import type { OrderStep, Partners } from './ports.ts';
import { authorizePayment } from './steps/authorize-payment.ts';
import { notifyCustomer } from './steps/notify-customer.ts';
import { scheduleFulfillment } from './steps/schedule-fulfillment.ts';
import { undoEffects } from './steps/undo-effects.ts';

export type JobConsumer = 'payment' | 'fulfillment' | 'compensation' | 'notification';
export type ProjectionName = 'search' | 'analytics';
export type ConsumerName = JobConsumer | ProjectionName;
export type Dependency = keyof Partners | 'search';

export type Subscription = {
  readonly consumer: JobConsumer;
  readonly on: readonly EventType[];
  readonly isCore: boolean;
  readonly start: 'beginning' | 'now';
  // Whose breakers must let work through.
  readonly dependencies: readonly Dependency[];
  readonly step: (partners: Partners, system: Pick<System, 'now'>) => OrderStep;
};

export const subscriptions: readonly Subscription[] = [
  {
    consumer: 'payment',
    on: ['OrderCreatedV1'],
    isCore: true,
    start: 'beginning',
    dependencies: ['payments'],
    step: ({ payments }, system) => authorizePayment(payments, system),
  },
  {
    consumer: 'fulfillment',
    on: ['PaymentAuthorizedV1'],
    isCore: true,
    start: 'beginning',
    dependencies: ['carrier'],
    step: ({ carrier }, system) => scheduleFulfillment(carrier, system),
  },
  {
    consumer: 'compensation',
    on: ['OrderCanceledV1'],
    isCore: false,
    start: 'beginning',
    dependencies: ['carrier', 'payments'],
    step: undoEffects,
  },
  {
    consumer: 'notification',
    on: ['FulfillmentScheduledV1', 'PaymentFailedV1', 'OrderCanceledV1', 'OrderFailedV1'],
    isCore: false,
    start: 'now',
    dependencies: ['mail'],
    step: ({ mail }) => notifyCustomer(mail),
  },
];

export type Projection = {
  readonly consumer: ProjectionName;
  // What happens meanwhile is read together.
  readonly gatherMs: number;
};

export const projections: readonly Projection[] = [
  // Most orders are through by then, and cost one document instead of three.
  { consumer: 'search', gatherMs: 200 },
  // A line of the analytics is written once for all of them.
  { consumer: 'analytics', gatherMs: 100 },
];

export const consumerNames: readonly ConsumerName[] = [...subscriptions, ...projections].map((row) => row.consumer);

export const coreConsumers: readonly string[] = subscriptions.filter((row) => row.isCore).map((row) => row.consumer);

// The types to read for a row: an event that an older release wrote is read at its newest version.
export function typesOf(row: Subscription): string[] {
  return row.on.flatMap(versionsUpTo);
}

// All that this release can read: a projection stops before any other.
export const knownTypes: readonly string[] = eventTypes.flatMap(versionsUpTo);

// Which types a message tells each consumer of.
export const readers: readonly { readonly consumer: ConsumerName; readonly types: readonly string[] }[] = [
  ...subscriptions.map((row) => ({ consumer: row.consumer, types: typesOf(row) })),
  ...projections.map(({ consumer }) => ({ consumer, types: knownTypes })),
];

// A row of the table as the engine runs it.
export function toStep(row: Subscription, partners: Partners, system: Pick<System, 'now'>): Step {
  const { consumer, dependencies, step } = row;
  return { consumer, types: typesOf(row), dependencies, ...step(partners, system) };
}

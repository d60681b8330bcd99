// THE TABLE: start reading here. Who reads which facts, and what happens then. An order travels down it:
//
//   OrderCreated ─▶ payment ─▶ PaymentAuthorized ─▶ fulfillment ─▶ FulfillmentScheduled = PROCESSED
//
// Nobody calls anybody: each row waits for facts and writes facts. A core row that gives up makes the
// order FAILED; the others leave it alone. `start` says where a consumer begins that is new to a
// database: at the first fact ever, or with those to come.

import { type FactType, factTypes } from '../domain/events.ts';
import { versionsUpTo } from '../domain/upcasts.ts';
import type { Step, System } from '../engine/ports.ts';
import type { OrderChange, OrderRecord, OrderStep, Partners } from './ports.ts';
import { type IndexOrder, indexOrder } from './projections/index-order.ts';
import { recordAnalytics } from './projections/record-analytics.ts';
import { authorizePayment } from './steps/authorize-payment.ts';
import { notifyCustomer } from './steps/notify-customer.ts';
import { scheduleFulfillment } from './steps/schedule-fulfillment.ts';
import { undoEffects } from './steps/undo-effects.ts';

export type ConsumerName = 'payment' | 'fulfillment' | 'compensation' | 'notification' | 'search' | 'analytics';
export type Dependency = keyof Partners | 'search';

// What the steps meet outside of the database.
export type Outside = Partners & { readonly index: IndexOrder };

export type Subscription = {
  readonly consumer: ConsumerName;
  readonly on: readonly FactType[];
  readonly isCore: boolean;
  readonly start: 'beginning' | 'now';
  // Whose breakers must let work through.
  readonly dependencies: readonly Dependency[];
  // See Step in bus/ports.ts.
  readonly restMs?: number;
  readonly step: (outside: Outside, system: Pick<System, 'now'>) => OrderStep;
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
  {
    consumer: 'search',
    on: factTypes,
    isCore: false,
    start: 'beginning',
    dependencies: ['search'],
    // Most orders are through by then, and cost one document instead of three.
    restMs: 200,
    step: ({ index }) => indexOrder(index),
  },
  {
    consumer: 'analytics',
    on: [
      'OrderCreatedV1',
      'FulfillmentScheduledV1',
      'OrderFailedV1',
      'OrderReprocessedV1',
      'OrderCanceledV1',
      'PaymentFailedV1',
    ],
    isCore: false,
    start: 'beginning',
    dependencies: [],
    step: () => recordAnalytics,
  },
];

export const coreConsumers: readonly string[] = subscriptions.filter((row) => row.isCore).map((row) => row.consumer);

// The types to read for a row: a fact that an older release wrote is read at its newest version.
export function typesOf(row: Subscription): string[] {
  return row.on.flatMap(versionsUpTo);
}

// A row of the table as the engine runs it.
export function toStep(
  row: Subscription,
  outside: Outside,
  system: Pick<System, 'now'>,
): Step<OrderRecord, OrderChange> {
  const { consumer, dependencies, restMs = 0, step } = row;
  return { consumer, types: typesOf(row), dependencies, restMs, ...step(outside, system) };
}

// The one table of what may happen to an order, exhaustive over status × event.
//
// Promises: an event that the table does not allow changes nothing and comes back as a refusal
// with a stable code; every allowed event raises the version by exactly one.
// A claim of a core step is no event: it moves PENDING to PROCESSING by `takeUp`.
// Relies on nothing: the clock is a parameter.

import type { EventDraft, EventType, Happened } from './events.ts';
import type { Order, Reason, Status } from './order.ts';
import { isRefusal, type Refusal, type RefusalCode, refuse } from './refusals.ts';

// Upper case: the status after the event. Lower case: the code of the refusal.
type Cell = Status | RefusalCode;

// A cell that repeats the row's own status is an event that changes only a summary: an
// authorization or a booking that became known after the cancel is recorded so that it is undone.
const table: Readonly<Record<Status, Readonly<Record<EventType, Cell>>>> = {
  PENDING: {
    OrderCreatedV1: 'order-exists',
    PaymentAuthorizedV1: 'order-in-progress',
    PaymentFailedV1: 'order-in-progress',
    PaymentVoidedV1: 'order-in-progress',
    FulfillmentScheduledV1: 'order-in-progress',
    FulfillmentRejectedV1: 'order-in-progress',
    FulfillmentCanceledV1: 'order-in-progress',
    OrderFailedV1: 'FAILED',
    OrderReprocessedV1: 'order-not-failed',
    OrderCanceledV1: 'CANCELED',
  },
  PROCESSING: {
    OrderCreatedV1: 'order-exists',
    PaymentAuthorizedV1: 'PROCESSING',
    PaymentFailedV1: 'PROCESSING',
    PaymentVoidedV1: 'order-in-progress',
    FulfillmentScheduledV1: 'PROCESSED',
    FulfillmentRejectedV1: 'PROCESSING',
    FulfillmentCanceledV1: 'order-in-progress',
    OrderFailedV1: 'FAILED',
    OrderReprocessedV1: 'order-not-failed',
    OrderCanceledV1: 'CANCELED',
  },
  PROCESSED: {
    OrderCreatedV1: 'order-exists',
    PaymentAuthorizedV1: 'order-already-processed',
    PaymentFailedV1: 'order-already-processed',
    PaymentVoidedV1: 'order-already-processed',
    FulfillmentScheduledV1: 'order-already-processed',
    FulfillmentRejectedV1: 'order-already-processed',
    FulfillmentCanceledV1: 'order-already-processed',
    OrderFailedV1: 'order-already-processed',
    OrderReprocessedV1: 'order-already-processed',
    OrderCanceledV1: 'order-already-processed',
  },
  FAILED: {
    OrderCreatedV1: 'order-exists',
    PaymentAuthorizedV1: 'order-failed',
    PaymentFailedV1: 'order-failed',
    PaymentVoidedV1: 'order-failed',
    FulfillmentScheduledV1: 'order-failed',
    FulfillmentRejectedV1: 'order-failed',
    FulfillmentCanceledV1: 'order-failed',
    OrderFailedV1: 'order-failed',
    OrderReprocessedV1: 'PENDING',
    OrderCanceledV1: 'CANCELED',
  },
  CANCELED: {
    OrderCreatedV1: 'order-exists',
    PaymentAuthorizedV1: 'CANCELED',
    PaymentFailedV1: 'CANCELED',
    PaymentVoidedV1: 'CANCELED',
    FulfillmentScheduledV1: 'CANCELED',
    FulfillmentRejectedV1: 'CANCELED',
    FulfillmentCanceledV1: 'CANCELED',
    OrderFailedV1: 'order-already-canceled',
    OrderReprocessedV1: 'order-already-canceled',
    OrderCanceledV1: 'order-already-canceled',
  },
};

const refusalTexts: Partial<Record<RefusalCode, string>> = {
  'order-exists': 'The order exists already.',
  'order-in-progress': 'No step of the order is at this point.',
  'order-already-processed': 'The order is processed: it is paid and booked for shipment, and that is final.',
  'order-already-canceled': 'The order is canceled, and that is final.',
  'order-failed': 'The order has failed and waits for a person.',
  'order-not-failed': 'Only a failed order can be reprocessed.',
};

// What each event says about money and parcel; the status is the table's business alone.
const summaries: Partial<Record<EventType, Partial<Order>>> = {
  PaymentAuthorizedV1: { payment: 'authorized' },
  PaymentFailedV1: { payment: 'declined' },
  PaymentVoidedV1: { payment: 'voided' },
  FulfillmentScheduledV1: { fulfillment: 'scheduled' },
  FulfillmentRejectedV1: { fulfillment: 'rejected' },
  FulfillmentCanceledV1: { fulfillment: 'canceled' },
  OrderReprocessedV1: { retryCount: 0, reason: null },
};

export function nextStatus(status: Status, event: EventType): Status | Refusal {
  const cell = table[status][event];
  if (cell === cell.toUpperCase()) return cell as Status;
  const code = cell as RefusalCode;
  return refuse(code, refusalTexts[code] ?? code);
}

// Whether a core step may start or go on; only these two statuses lead anywhere.
export function isUnderWay(status: Status): boolean {
  return status === 'PENDING' || status === 'PROCESSING';
}

// A core step was claimed: work has begun, the first time or again after a reprocess.
export function takeUp(order: Order, now: Date): Order {
  return order.status === 'PENDING' ? { ...order, status: 'PROCESSING', updatedAt: now } : order;
}

export type Recorded = { readonly order: Order; readonly events: readonly Happened[] };

// Folds events into the order, all or none. `reason` explains a FAILED or CANCELED that they cause.
export function record(order: Order, drafts: readonly EventDraft[], now: Date, reason?: Reason): Recorded | Refusal {
  let current = order;
  const events: Happened[] = [];
  for (const draft of drafts) {
    const status = nextStatus(current.status, draft.type);
    if (isRefusal(status)) return status;
    const moved = status !== current.status;
    events.push({
      type: draft.type,
      version: current.version + 1,
      data: {
        orderId: order.id,
        ...(moved ? { previousStatus: current.status, status } : {}),
        ...draft.data,
      },
    });
    current = {
      ...current,
      ...summaries[draft.type],
      ...(moved && (status === 'FAILED' || status === 'CANCELED') && reason ? { reason } : {}),
      status,
      version: current.version + 1,
      updatedAt: now,
    };
  }
  return { order: current, events };
}

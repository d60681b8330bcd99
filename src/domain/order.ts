// What an order is: the shape that every other file passes around, and nothing that moves it.
//
// Promises: an order is immutable data; each change makes a new value (see order-machine.ts).
// `version` rises by one per event and by nothing else; `retryCount`, PROCESSING and the
// `pending` summaries tell of work under way and change no version.

export type OrderId = string & { readonly brand: 'OrderId' };

export const statuses = ['PENDING', 'PROCESSING', 'PROCESSED', 'FAILED', 'CANCELED'] as const;
export type Status = (typeof statuses)[number];

export const paymentStates = ['none', 'pending', 'authorized', 'declined', 'voided', 'unknown'] as const;
export type PaymentState = (typeof paymentStates)[number];

export const fulfillmentStates = ['none', 'pending', 'scheduled', 'rejected', 'canceled', 'unknown'] as const;
export type FulfillmentState = (typeof fulfillmentStates)[number];

// How a simulated payment provider shall behave for one order; ignored by real partners.
export const paymentScenarios = ['success', 'failure', 'flaky', 'timeout', 'lost-answer', 'outage', 'fatal'] as const;
export type PaymentScenario = (typeof paymentScenarios)[number];

export type Item = {
  readonly sku: string;
  readonly quantity: number;
  // Minor units as ISO 4217 counts them: cents for USD, whole yen for JPY.
  readonly unitPrice: number;
};

// Why an order is FAILED or CANCELED. The code is stable; the message is for people.
export type Reason = { readonly code: string; readonly message: string };

export type Order = {
  readonly id: OrderId;
  readonly status: Status;
  readonly payment: PaymentState;
  readonly fulfillment: FulfillmentState;
  readonly retryCount: number;
  readonly amount: number;
  readonly currency: string;
  readonly country: string;
  readonly items: readonly Item[];
  readonly customerEmail: string | null;
  readonly userId: string | null;
  readonly productType: string | null;
  readonly paymentScenario: PaymentScenario;
  readonly reason: Reason | null;
  readonly correlationId: string;
  readonly traceparent: string | null;
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
};

// The order as its first answer showed it: every field that may change since, at its first value.
// A repeated request is answered from this, so no copy of the answer needs to be stored.
export function toFirstState(order: Order): Order {
  return {
    ...order,
    status: 'PENDING',
    payment: 'none',
    fulfillment: 'none',
    retryCount: 0,
    reason: null,
    version: 1,
    updatedAt: order.createdAt,
  };
}

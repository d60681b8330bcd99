// Orders, effects and claims of a test: complete and valid, stating only what the test is about.

import type { Effect, EffectName } from '../../src/domain/effects.ts';
import type { Order, OrderId } from '../../src/domain/order.ts';
import type { OrderRecord } from '../../src/domain/order-record.ts';
import type { Event, Work } from '../../src/engine/ports.ts';

export const someTime = new Date('2026-11-21T07:00:00.000Z');
export const someToken = 'c0a8012e-5d0f-4c11-8f43-6f0f5f7e9a10';

// Everything a customer tells about himself: must never leave with an event.
export const personal = {
  customerEmail: 'ada.lovelace@example.com',
  userId: 'user-ada-1815',
  words: 'please ring twice at Ada’s',
};

export function orderWith(given: Partial<Order> = {}): Order {
  return {
    id: '01993b1e-7c3a-7d4e-9f10-2b6c8d0e4f12' as OrderId,
    status: 'PENDING',
    payment: 'none',
    fulfillment: 'none',
    retryCount: 0,
    amount: 2_500,
    currency: 'EUR',
    country: 'US',
    items: [{ sku: 'lamp', quantity: 2, unitPrice: 1_250 }],
    customerEmail: personal.customerEmail,
    userId: personal.userId,
    productType: null,
    paymentScenario: 'success',
    reason: null,
    correlationId: 'c-1',
    traceparent: null,
    version: 1,
    createdAt: someTime,
    updatedAt: someTime,
    ...given,
  };
}

export function effectWith(name: EffectName, given: Partial<Effect> = {}): Effect {
  return {
    name,
    generation: 0,
    state: 'intent',
    token: someToken,
    firstUsedAt: someTime,
    reference: null,
    expiresAt: null,
    ...given,
  };
}

export function workOn(subject: OrderRecord, given: Partial<Work> = {}): Work {
  const event: Event = {
    id: '01993b1e-7c3a-7d4e-9f10-00000000fac7',
    type: 'OrderCreatedV1',
    subject: subject.order.id,
    version: 1,
    time: someTime,
    correlationId: 'c-1',
    causationId: null,
    traceparent: null,
    data: {},
  };
  return {
    consumer: 'payment',
    event,
    subject,
    token: someToken,
    epoch: 0,
    attempt: 1,
    waitedMs: 0,
    ageMs: 0,
    takenOver: false,
    exhausted: null,
    ...given,
  };
}

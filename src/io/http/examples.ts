// What the published document shows: one order on its way, and what would be answered about it.
//
// Promises: each has the shape of its schema, which a test checks. Nothing here is ever answered.

const id = '01993b1e-7c3a-7d4e-9f10-2b6c8d0e4f12';
const correlationId = 'checkout-4711';

export const orderExample = {
  id,
  status: 'PROCESSED',
  payment: 'authorized',
  fulfillment: 'scheduled',
  retryCount: 2,
  amount: 2500,
  currency: 'EUR',
  country: 'US',
  items: [{ sku: 'lamp', quantity: 2, unitPrice: 1250 }],
  customerEmail: 'a@example.com',
  userId: null,
  productType: null,
  reason: null,
  correlationId,
  version: 3,
  createdAt: '2026-11-21T07:00:00.000Z',
  updatedAt: '2026-11-21T07:00:01.250Z',
};

export const deadLetterExample = {
  id: '01993b1e-9d20-7b11-8a44-51c2d7e0a9b3',
  orderId: id,
  consumer: 'payment',
  eventId: '01993b1e-7c3a-7d4e-9f10-3c7d9e1f5a23',
  eventType: 'OrderCreatedV1',
  failureClass: 'retryable',
  code: 'provider-unavailable',
  message: 'The payment provider could not take the call.',
  attempts: 4,
  retryCount: 3,
  failedAt: '2026-11-21T07:00:08.400Z',
  partner: 'payments',
  times: 1,
  closedAt: null,
  closedHow: null,
  order: { status: 'FAILED', amount: 2500, currency: 'EUR', country: 'US' },
};

export const timelineEntryExample = {
  at: '2026-11-21T07:00:00.180Z',
  type: 'PaymentAuthorizedV1',
  consumer: null,
  attempt: null,
  outcome: null,
  code: null,
  text: 'The payment was authorized (authorization-7f3a).',
  eventId: '01993b1e-7cf1-7a02-b6d5-0e4f8a91c2d7',
  correlationId,
  causationId: '01993b1e-7c3a-7d4e-9f10-3c7d9e1f5a23',
  durationMs: 42,
  until: null,
  waitsFor: null,
  traceId: null,
};

export const problemExample = {
  type: 'urn:orderly:problem:invalid-body',
  title: 'The body is not valid',
  status: 400,
  detail: 'The body has one mistake. See errors.',
  code: 'invalid-body',
  correlationId,
  errors: [{ pointer: '#/items/0/quantity', detail: 'must be a whole number from 1 to 10000' }],
};

const sums = { day: '2026-11-21', currency: 'EUR', count: 12, amount: 30_000 };
export const statusLineExample = { ...sums, status: 'PROCESSED' };
export const countryLineExample = { ...statusLineExample, country: 'DE' };
export const reasonLineExample = { ...sums, kind: 'declined', code: 'card-declined' };

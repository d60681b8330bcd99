// The types that openapi-typescript makes, with openapi-fetch, against a running Orderly.

import assert from 'node:assert/strict';
import createClient from 'openapi-fetch';
import type { components, paths } from './generated/schema';

type Order = components['schemas']['Order'];
const client = createClient<paths>({ baseUrl: process.env.ORDERLY_URL ?? '' });

async function ended(id: string, status: Order['status']): Promise<Order> {
  for (;;) {
    const { data } = await client.GET('/orders/{id}', { params: { path: { id } } });
    if (data?.status === status) return data;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function main(): Promise<void> {
  const header = { 'Idempotency-Key': crypto.randomUUID() };
  const body = { customerEmail: 'ada@customers.invalid', currency: 'EUR', items: [{ sku: 'lamp', quantity: 2, unitPrice: 1250 }] };
  const { data: order, response } = await client.POST('/orders', { params: { header }, body });
  assert.ok(order !== undefined && response.status === 201);
  const code: string | undefined = order.reason?.code;
  assert.equal(code, undefined);
  const { data: again } = await client.POST('/orders', { params: { header }, body });
  assert.equal(again?.id, order.id);

  await ended(order.id, 'PROCESSED');
  const path = { id: order.id };
  const { data: timeline } = await client.GET('/orders/{id}/timeline', { params: { path } });
  assert.equal(timeline?.items[0]?.type, 'OrderCreatedV1');
  const { error } = await client.POST('/orders/{id}/cancel', { params: { path }, body: { reason: 'late' } });
  assert.equal(error?.code, 'order-already-processed');

  const { data: refused, error: why } = await client.POST('/orders', { body: { amount: 5 } });
  assert.equal(refused, undefined);
  assert.equal(why?.errors?.[0]?.pointer, '#/customerEmail');
  const { data: letters } = await client.GET('/dlq', { params: { query: { consumer: 'payment', limit: 5 } } });
  assert.ok(letters !== undefined && letters.nextCursor !== undefined);
  const { data: found } = await client.GET('/orders', { params: { query: { q: 'lamp', counts: 'true' } } });
  assert.ok((found?.counts?.PROCESSED ?? -1) >= 0);
  const { data: days } = await client.GET('/analytics/orders', { params: { query: { from: '2026-01-01' } } });
  assert.ok(Array.isArray(days?.items));
}

void main();

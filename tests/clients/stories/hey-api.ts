// The client that hey-api makes, against a running Orderly.

import assert from 'node:assert/strict';
import { cancelOrder, countOrders, findOrders, listDeadLetters, type Order, placeOrder, readOrder, readTimeline } from './generated';
import { client } from './generated/client.gen';

client.setConfig({ baseUrl: process.env.ORDERLY_URL ?? '' });

async function ended(id: string, status: Order['status']): Promise<Order> {
  for (;;) {
    const { data } = await readOrder({ path: { id } });
    if (data?.status === status) return data;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function main(): Promise<void> {
  const headers = { 'Idempotency-Key': crypto.randomUUID() };
  const body = { userId: 'u-1', items: [{ sku: 'lamp', quantity: 2, unitPrice: 1250 }] };
  const { data: order } = await placeOrder({ headers, body });
  assert.ok(order !== undefined);
  assert.equal((await placeOrder({ headers, body })).data?.id, order.id);
  const other = await placeOrder({ headers, body: { ...body, country: 'DE' } });
  assert.equal(other.error?.code, 'idempotency-key-reused');

  assert.equal((await ended(order.id, 'PROCESSED')).reason, null);
  const { data: timeline } = await readTimeline({ path: { id: order.id } });
  assert.equal(timeline?.items[0]?.type, 'OrderCreatedV1');
  const { error } = await cancelOrder({ path: { id: order.id }, body: { reason: 'late' } });
  assert.equal(error?.code, 'order-already-processed');
  assert.ok(Array.isArray((await listDeadLetters({ query: { limit: 5 } })).data?.items));
  assert.ok(Array.isArray((await findOrders({ query: { country: 'US', from: '2026-01-01T00:00:00Z' } })).data?.items));
  assert.ok(Array.isArray((await countOrders({ query: { from: '2026-01-01' } })).data?.items));
}

void main();

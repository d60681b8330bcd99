// The client that openapi-generator makes for TypeScript, against a running Orderly.

import assert from 'node:assert/strict';
import { AnalyticsApi, Configuration, DeadLettersApi, OperationsApi, type Order, OrdersApi, ResponseError } from './generated';

const configuration = new Configuration({ basePath: process.env.ORDERLY_URL ?? '' });
const orders = new OrdersApi(configuration);
const deadLetters = new DeadLettersApi(configuration);

async function ended(id: string, status: Order['status']): Promise<Order> {
  for (;;) {
    const order = await orders.readOrder({ id });
    if (order.status === status) return order;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function main(): Promise<void> {
  const idempotencyKey = crypto.randomUUID();
  const line = { sku: 'lamp', quantity: 2, unitPrice: 1250 };
  const placeOrderRequest = { customerEmail: 'ada@customers.invalid', userId: 'u-1', currency: 'EUR', items: [line] };
  const first = await orders.placeOrderRaw({ idempotencyKey, placeOrderRequest });
  const order = await first.value();
  assert.equal(first.raw.status, 201);
  assert.deepEqual([order.reason, order.userId, order.items], [null, 'u-1', [line]]);
  assert.ok(order.createdAt instanceof Date);
  const again = await orders.placeOrderRaw({ idempotencyKey, placeOrderRequest });
  assert.equal(again.raw.headers.get('Idempotent-Replayed'), 'true');
  assert.equal((await again.value()).id, order.id);

  await ended(order.id, 'PROCESSED');
  const { items } = await orders.readTimeline({ id: order.id });
  assert.equal(items[0]?.type, 'OrderCreatedV1');
  const tooLate = await orders.cancelOrder({ id: order.id, cancelOrderRequest: { reason: 'late' } }).catch((error) => error);
  assert.ok(tooLate instanceof ResponseError);
  assert.equal((await tooLate.response.json()).code, 'order-already-processed');

  const declined = await orders.placeOrder({ placeOrderRequest: { userId: 'u-2', amount: 500, paymentScenario: 'failure' } });
  assert.equal((await ended(declined.id, 'CANCELED')).reason?.code, 'payment-declined');
  const failed = await orders.placeOrder({
    placeOrderRequest: { userId: 'u-3', productType: 'Phone', paymentScenario: 'fatal' },
  });
  await ended(failed.id, 'FAILED');
  const letters = await deadLetters.listDeadLetters({ consumer: 'payment', limit: 100 });
  assert.ok(letters.items.some(({ orderId }) => orderId === failed.id));
  assert.equal((await deadLetters.reprocessOrder({ orderId: failed.id })).id, failed.id);

  assert.ok((await orders.findOrders({ from: new Date(0), limit: 1 })).items.length <= 1);
  assert.ok(Array.isArray((await new AnalyticsApi(configuration).countOrders({ from: new Date() })).items));
  assert.equal((await new OperationsApi(configuration).readiness()).status, 'ok');
}

void main();

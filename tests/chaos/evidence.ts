// What the customers hold in their hands against what the database says. A finding names a promise, and
// the orders or keys for which it is broken.
//
// Promises: a pure comparison, over orders that have all ended. Where an order must end follows from what
// was asked of the provider and from what a cancel was answered, however much broke in between.

import type { Query } from '../../src/io/postgres/database.ts';
import type { SentOrder } from './customers.ts';

export type Finding = { readonly what: string; readonly subjects: readonly string[] };
export type Evidence = {
  // By key: the bytes of the request, and the order that was acknowledged.
  readonly sent: ReadonlyMap<string, string>;
  readonly acknowledged: ReadonlyMap<string, { readonly orderId: string }>;
  readonly canceled: ReadonlySet<string>;
  readonly tooLate: ReadonlySet<string>;
};
export type StoredOrder = {
  readonly id: string;
  readonly key: string | null;
  readonly status: string;
  readonly amount: number;
  readonly currency: string;
  readonly country: string;
  readonly items: readonly { readonly sku: string; readonly quantity: number; readonly unitPrice: number }[];
  readonly customerEmail: string | null;
  readonly userId: string | null;
  readonly paymentScenario: string;
};

// An order with two keys comes twice, one without a key has null.
export function readStored(sql: Query): Promise<StoredOrder[]> {
  return sql<StoredOrder>(
    `SELECT o.id, k.key, o.status, o.amount::float8 AS amount, o.currency, o.country, o.items,
            o.customer_email AS "customerEmail", o.user_id AS "userId", o.payment_scenario AS "paymentScenario"
     FROM orders o LEFT JOIN idempotency_keys k ON k.order_id = o.id`,
  );
}

export function compare(evidence: Evidence, stored: readonly StoredOrder[]): Finding[] {
  const { sent, acknowledged, canceled, tooLate } = evidence;
  const promised = [...acknowledged].map(([key, { orderId }]) => ({ key, orderId }));
  const rowOf = new Map(stored.map((order) => [order.id, order]));
  const seen = new Set<string>();
  const subjectsOf = {
    'acknowledged with 201, and not there': promised.filter(({ orderId }) => !rowOf.has(orderId)).map(spell),
    'acknowledged under a key of another order': promised
      .filter(({ key, orderId }) => rowOf.has(orderId) && rowOf.get(orderId)?.key !== key)
      .map(spell),
    'sent until it was acknowledged, and never was': [...sent.keys()].filter((key) => !acknowledged.has(key)),
    'two keys of one order': stored.filter(({ id }) => seen.size === seen.add(id).size).map(({ id }) => id),
    'a second order of one request': stored.filter(({ key }) => key === null).map(({ id }) => id),
    'stored under a key that nobody sent': stored
      .filter(({ key }) => key !== null && !sent.has(key))
      .map(({ id }) => id),
    'stored with another payload than was sent': stored
      .filter((order) => !isAsSent(order, sent.get(order.key ?? '')))
      .map(({ id }) => id),
    'a cancel that was answered with 200, and an order that is not canceled': [...canceled].filter(
      (id) => rowOf.get(id)?.status !== 'CANCELED',
    ),
    'a cancel that came too late, and an order that is not processed': [...tooLate].filter(
      (id) => rowOf.get(id)?.status !== 'PROCESSED',
    ),
    'not where its scenario ends': stored
      .filter(({ id, status, paymentScenario }) => !canceled.has(id) && status !== endOf(paymentScenario))
      .map(({ id, status, paymentScenario }) => `${id} ${status} with ${paymentScenario}`),
  };
  return Object.entries(subjectsOf)
    .filter(([, subjects]) => subjects.length > 0)
    .map(([what, subjects]) => ({ what, subjects }));
}

// Whatever can be helped has been sent back to work until it was.
function endOf(scenario: string): string {
  if (scenario === 'failure') return 'CANCELED';
  return scenario === 'fatal' ? 'FAILED' : 'PROCESSED';
}

function isAsSent(stored: StoredOrder, request: string | undefined): boolean {
  if (request === undefined) return true;
  const order = JSON.parse(request) as SentOrder;
  const total = (items: StoredOrder['items']) => items.reduce((sum, one) => sum + one.quantity * one.unitPrice, 0);
  const amount = 'amount' in order ? order.amount : total(order.items);
  const lines = (items: StoredOrder['items']) =>
    JSON.stringify(items.map(({ sku, quantity, unitPrice }) => [sku, quantity, unitPrice]));
  return (
    stored.amount === amount &&
    total(stored.items) === amount &&
    (!('items' in order) || lines(stored.items) === lines(order.items)) &&
    stored.currency === order.currency &&
    stored.country === order.country &&
    stored.customerEmail === order.customerEmail &&
    stored.userId === (order.userId ?? null) &&
    stored.paymentScenario === order.paymentScenario
  );
}

const spell = ({ key, orderId }: { readonly key: string; readonly orderId: string }) => `${orderId} of ${key}`;

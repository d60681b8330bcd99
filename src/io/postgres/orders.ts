// Rows of `orders`: reading them, locking them in the one order everywhere, writing their new state.
//
// Promises: the order's row is the first lock of every transaction that changes an order; many are locked
// sorted by id and without waiting for anybody, one for a person waits. Under that lock the order's
// deliveries, effects and letters are still. Version and status must be what a change was made from.

import type { Order, OrderId, PaymentScenario } from '../../domain/order.ts';
import { plainArray, type Query } from './database.ts';
import { textOf } from './dead-letters.ts';

export const orderColumns = `
  o.id AS order_id, o.status, o.payment, o.fulfillment, o.retry_count, o.amount, o.currency, o.country, o.items,
  o.customer_email, o.user_id, o.product_type, o.payment_scenario, o.reason_code, o.reason_message,
  o.correlation_id, o.traceparent, o.version, o.created_at, o.updated_at`;

export type OrderRow = {
  order_id: string;
  status: Order['status'];
  payment: Order['payment'];
  fulfillment: Order['fulfillment'];
  retry_count: number;
  amount: number;
  currency: string;
  country: string;
  items: Order['items'];
  customer_email: string | null;
  user_id: string | null;
  product_type: string | null;
  payment_scenario: PaymentScenario;
  reason_code: string | null;
  reason_message: string | null;
  correlation_id: string;
  traceparent: string | null;
  version: number;
  created_at: Date;
  updated_at: Date;
};

export function toOrder(row: OrderRow): Order {
  return {
    ...toState(row),
    id: row.order_id as OrderId,
    amount: row.amount,
    currency: row.currency,
    country: row.country,
    items: row.items,
    customerEmail: row.customer_email,
    userId: row.user_id,
    productType: row.product_type,
    paymentScenario: row.payment_scenario,
    correlationId: row.correlation_id,
    traceparent: row.traceparent,
    createdAt: row.created_at,
  };
}

export async function readOrder(query: Query, id: OrderId): Promise<Order | null> {
  const rows = await query<OrderRow>(`/* read-order */ SELECT ${orderColumns} FROM orders o WHERE o.id = $1`, [id]);
  return rows[0] ? toOrder(rows[0]) : null;
}

export async function readOrders(query: Query, ids: readonly OrderId[]): Promise<Order[]> {
  if (ids.length === 0) return [];
  const rows = await query<OrderRow>(
    `/* read-orders */ SELECT ${orderColumns} FROM orders o WHERE o.id = ANY($1::uuid[])`,
    [plainArray(ids)],
  );
  return rows.map(toOrder);
}

type StateRow = Pick<
  OrderRow,
  | 'order_id'
  | 'status'
  | 'payment'
  | 'fulfillment'
  | 'retry_count'
  | 'reason_code'
  | 'reason_message'
  | 'version'
  | 'updated_at'
>;

// The orders that nobody else has locked, as they stand now; the others are missing from the answer. What
// never changes of an order is taken from the copy that the caller has, not read again.
export async function lockOrders(query: Query, known: readonly Order[]): Promise<Map<string, Order>> {
  const rows = await query<StateRow>(
    `/* lock-orders */ SELECT o.id AS order_id, o.status, o.payment, o.fulfillment, o.retry_count, o.reason_code, o.reason_message,
            o.version, o.updated_at
     FROM orders o WHERE o.id = ANY($1::uuid[])
     ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED`,
    [plainArray(known.map((order) => order.id))],
  );
  const byId = new Map(known.map((order) => [order.id as string, order]));
  return new Map(rows.map((row) => [row.order_id, { ...(byId.get(row.order_id) as Order), ...toState(row) }]));
}

function toState(row: StateRow) {
  return {
    status: row.status,
    payment: row.payment,
    fulfillment: row.fulfillment,
    retryCount: row.retry_count,
    reason: row.reason_code === null ? null : { code: row.reason_code, message: row.reason_message ?? '' },
    version: row.version,
    updatedAt: row.updated_at,
  };
}

// One order, waiting for its lock up to the transaction's lock_timeout: for a person's single request.
export async function lockOrder(query: Query, id: OrderId): Promise<Order | null> {
  const rows = await query<OrderRow>(
    `/* lock-order */ SELECT ${orderColumns} FROM orders o WHERE o.id = $1 FOR NO KEY UPDATE`,
    [id],
  );
  return rows[0] ? toOrder(rows[0]) : null;
}

export type OrderUpdate = { readonly from: Order; readonly to: Order };

// Answers how many were as the change expected them.
export async function updateOrdersIfUnchanged(query: Query, updates: readonly OrderUpdate[]): Promise<number> {
  if (updates.length === 0) return 0;
  const rows = await query(
    `/* update-orders */ UPDATE orders o SET
       status = u.status, payment = u.payment, fulfillment = u.fulfillment, retry_count = u.retry_count,
       reason_code = u.reason_code, reason_message = u.reason_message, version = u.version, updated_at = u.updated_at
     FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::text[],
                 $9::text[], $10::integer[], $11::timestamptz[])
       AS u(id, from_version, from_status, status, payment, fulfillment, retry_count, reason_code, reason_message,
            version, updated_at)
     WHERE o.id = u.id AND o.version = u.from_version AND o.status = u.from_status
     RETURNING 1`,
    [
      plainArray(updates.map((u) => u.to.id)),
      plainArray(updates.map((u) => u.from.version)),
      plainArray(updates.map((u) => u.from.status)),
      plainArray(updates.map((u) => u.to.status)),
      plainArray(updates.map((u) => u.to.payment)),
      plainArray(updates.map((u) => u.to.fulfillment)),
      plainArray(updates.map((u) => u.to.retryCount)),
      updates.map((u) => (u.to.reason === null ? null : textOf(u.to.reason.code))),
      updates.map((u) => (u.to.reason === null ? null : textOf(u.to.reason.message))),
      plainArray(updates.map((u) => u.to.version)),
      plainArray(updates.map((u) => u.to.updatedAt)),
    ],
  );
  return rows.length;
}

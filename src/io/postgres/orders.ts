// Rows of `orders`: reading them, locking them in the one order everywhere, writing their new state. An order's
// effects (what is meant to exist at a partner, and what came of it) are columns of its row.
//
// Promises: the order's row is the first lock of every transaction that changes an order; many are locked
// sorted by id and without waiting for anybody, one for a person waits. Under that lock the order, its effects,
// jobs and dead letters are still, so that an effect's token that was read there holds until the commit.
// Version and status must be what a change was made from.

import type { Effect } from '../../domain/effects.ts';
import type { Order, OrderId, PaymentScenario } from '../../domain/order.ts';
import type { OrderChange, OrderRecord } from '../../domain/order-record.ts';
import { plainArray, type Query } from './database.ts';
import { textOf } from './dead-letters.ts';
import { type EffectsRow, effectColumns, effectValues, toEffects } from './effects.ts';

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

// What a step works on, or a person's request is decided on.
export const recordColumns = `${orderColumns},${effectColumns}`;

export type RecordRow = OrderRow & EffectsRow;

export function toRecord(row: RecordRow): OrderRecord {
  return { order: toOrder(row), effects: toEffects(row) };
}

// What a change makes of a record; its effects are the token's from then on. Null leaves each to the claim that had
// it last.
export function recordAfter(
  record: OrderRecord,
  change: Pick<OrderChange, 'order' | 'effects'>,
  token: string | null,
): OrderRecord {
  const effects: { -readonly [N in keyof OrderRecord['effects']]: Effect } = { ...record.effects };
  for (const effect of change.effects) {
    const holder = token ?? record.effects[effect.name]?.token;
    if (holder === undefined) throw new Error(`order ${record.order.id} has no ${effect.name} that could change`);
    effects[effect.name] = { ...effect, token: holder };
  }
  return { order: change.order, effects };
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

// By their ids, for a claim that does not know the orders yet; the others are missing from the answer.
export async function lockOrdersById(query: Query, ids: readonly string[]): Promise<Map<string, OrderRecord>> {
  const rows = await query<RecordRow>(
    `/* lock-orders-by-id */ SELECT ${recordColumns} FROM orders o WHERE o.id = ANY($1::uuid[])
     ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED`,
    [plainArray(ids)],
  );
  return new Map(rows.map((row) => [row.order_id, toRecord(row)]));
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
export async function lockOrders(query: Query, known: readonly Order[]): Promise<Map<string, OrderRecord>> {
  const rows = await query<StateRow & EffectsRow>(
    `/* lock-orders */ SELECT o.id AS order_id, o.status, o.payment, o.fulfillment, o.retry_count, o.reason_code, o.reason_message,
            o.version, o.updated_at,${effectColumns}
     FROM orders o WHERE o.id = ANY($1::uuid[])
     ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED`,
    [plainArray(known.map((order) => order.id))],
  );
  const byId = new Map(known.map((order) => [order.id as string, order]));
  return new Map(
    rows.map((row) => {
      const order = { ...(byId.get(row.order_id) as Order), ...toState(row) };
      return [row.order_id, { order, effects: toEffects(row) }];
    }),
  );
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
export async function lockOrder(query: Query, id: OrderId): Promise<OrderRecord | null> {
  const rows = await query<RecordRow>(
    `/* lock-order */ SELECT ${recordColumns} FROM orders o WHERE o.id = $1 FOR NO KEY UPDATE`,
    [id],
  );
  return rows[0] ? toRecord(rows[0]) : null;
}

export type OrderUpdate = { readonly from: OrderRecord; readonly to: OrderRecord };

// Answers how many were as the change expected them. Indexes are on no column that is written here.
export async function updateOrdersIfUnchanged(query: Query, updates: readonly OrderUpdate[]): Promise<number> {
  if (updates.length === 0) return 0;
  const orders = updates.map(({ to }) => to.order);
  const rows = await query(
    `/* update-orders */ UPDATE orders o SET
       status = u.status, payment = u.payment, fulfillment = u.fulfillment, retry_count = u.retry_count,
       reason_code = u.reason_code, reason_message = u.reason_message, version = u.version, updated_at = u.updated_at,
       authorization_generation = u.authorization_generation, authorization_state = u.authorization_state,
       authorization_token = u.authorization_token, authorization_first_used_at = u.authorization_first_used_at,
       authorization_reference = u.authorization_reference, authorization_expires_at = u.authorization_expires_at,
       booking_generation = u.booking_generation, booking_state = u.booking_state, booking_token = u.booking_token,
       booking_first_used_at = u.booking_first_used_at, booking_reference = u.booking_reference
     FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::text[],
                 $9::text[], $10::integer[], $11::timestamptz[],
                 $12::integer[], $13::text[], $14::uuid[], $15::timestamptz[], $16::text[], $17::timestamptz[],
                 $18::integer[], $19::text[], $20::uuid[], $21::timestamptz[], $22::text[])
       AS u(id, from_version, from_status, status, payment, fulfillment, retry_count, reason_code, reason_message,
            version, updated_at,
            authorization_generation, authorization_state, authorization_token, authorization_first_used_at,
            authorization_reference, authorization_expires_at,
            booking_generation, booking_state, booking_token, booking_first_used_at, booking_reference)
     WHERE o.id = u.id AND o.version = u.from_version AND o.status = u.from_status
     RETURNING 1`,
    [
      plainArray(orders.map((order) => order.id)),
      plainArray(updates.map(({ from }) => from.order.version)),
      plainArray(updates.map(({ from }) => from.order.status)),
      plainArray(orders.map((order) => order.status)),
      plainArray(orders.map((order) => order.payment)),
      plainArray(orders.map((order) => order.fulfillment)),
      plainArray(orders.map((order) => order.retryCount)),
      orders.map(({ reason }) => (reason === null ? null : textOf(reason.code))),
      orders.map(({ reason }) => (reason === null ? null : textOf(reason.message))),
      plainArray(orders.map((order) => order.version)),
      plainArray(orders.map((order) => order.updatedAt)),
      ...effectValues(updates.map(({ to }) => to.effects.authorization)),
      plainArray(updates.map(({ to }) => to.effects.authorization?.expiresAt ?? null)),
      ...effectValues(updates.map(({ to }) => to.effects.booking)),
    ],
  );
  return rows.length;
}

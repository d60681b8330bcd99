// orders and idempotency_keys: accept.ts, orders.ts, and the audit log of desk.ts.

import { type EffectColumns, noEffects, type OrderRow } from '../schema.ts';
import { bigints, byteses, float, integers, jsons, text, texts, times, uuid, uuids } from '../values.ts';
import { insertEvent, insertJobs, type Tokens } from './events.ts';
import { type Ask, compare, equal, ones, type Row, type Statement } from './statement.ts';

export const orderColumns = (o: OrderRow): Row => ({
  order_id: o.id,
  status: o.status,
  payment: o.payment,
  fulfillment: o.fulfillment,
  retry_count: o.retry_count,
  amount: o.amount,
  currency: o.currency,
  country: o.country,
  items: o.items,
  customer_email: o.customer_email,
  user_id: o.user_id,
  product_type: o.product_type,
  payment_scenario: o.payment_scenario,
  reason_code: o.reason_code,
  reason_message: o.reason_message,
  correlation_id: o.correlation_id,
  traceparent: o.traceparent,
  version: o.version,
  created_at: o.created_at,
  updated_at: o.updated_at,
});

const effectColumns = (o: OrderRow): EffectColumns => ({
  authorization_generation: o.authorization_generation,
  authorization_state: o.authorization_state,
  authorization_token: o.authorization_token,
  authorization_first_used_at: o.authorization_first_used_at,
  authorization_reference: o.authorization_reference,
  authorization_expires_at: o.authorization_expires_at,
  booking_generation: o.booking_generation,
  booking_state: o.booking_state,
  booking_token: o.booking_token,
  booking_first_used_at: o.booking_first_used_at,
  booking_reference: o.booking_reference,
});
export const recordColumns = (o: OrderRow): Row => ({ ...orderColumns(o), ...effectColumns(o) });

function* acceptOrders(ask: Ask, values: readonly unknown[]) {
  const { tables, tx } = ask;
  const [ids, keys, fingerprints] = [uuids(values[0]), texts(values[1]), byteses(values[2])];
  const [amounts, currencies, countries, items] = [
    bigints(values[3]),
    texts(values[4]),
    texts(values[5]),
    jsons(values[6]),
  ];
  const [emails, users, products, scenarios] = [
    texts(values[7]),
    texts(values[8]),
    texts(values[9]),
    texts(values[10]),
  ];
  const [correlations, parents, moments] = [texts(values[11]), texts(values[12]), times(values[13])];
  const [eventIds, types, data] = [uuids(values[14]), texts(values[15]), jsons(values[16])];
  const [statuses, payments, updates] = [texts(values[17]), texts(values[18]), times(values[19])];
  const [generations, states, effectTokens] = [integers(values[20]), texts(values[21]), uuids(values[22])];
  const uses = times(values[23]);
  const [tokens, leaseMs] = [jsons(values[24]), float(values[25])];
  const requests = ids.map((id, i) => ({ i, id, key: keys[i] as string | null, created_at: moments[i] as Date }));

  const won = new Set<string>();
  const keyed = requests.filter(({ key }) => key !== null);
  for (const { i, id, key, created_at } of keyed.sort((one, other) =>
    compare(one.key as string, other.key as string),
  )) {
    const row = { key: key as string, fingerprint: fingerprints[i] as Buffer, order_id: id, created_at };
    if ((yield* tables.idempotencyKeys.insert(tx, row, 'key')) === null) won.add(id);
  }

  const orderIds = new Set<string>();
  for (const request of requests.filter(({ id, key }) => key === null || won.has(id))) {
    const { i, id, created_at } = request;
    const order: OrderRow = {
      id,
      status: statuses[i] as string,
      payment: payments[i] as string,
      fulfillment: 'none',
      retry_count: 0,
      amount: amounts[i] as number,
      currency: currencies[i] as string,
      country: countries[i] as string,
      items: (items[i]?.value ?? null) as OrderRow['items'],
      customer_email: emails[i] as string | null,
      user_id: users[i] as string | null,
      product_type: products[i] as string | null,
      payment_scenario: scenarios[i] as string,
      reason_code: null,
      reason_message: null,
      correlation_id: correlations[i] as string,
      traceparent: parents[i] as string | null,
      version: 1,
      created_at,
      updated_at: updates[i] as Date,
      ...noEffects,
      authorization_generation: generations[i] as number | null,
      authorization_state: states[i] as string | null,
      authorization_token: effectTokens[i] as string | null,
      authorization_first_used_at: uses[i] as Date | null,
    };
    if ((yield* tables.orders.insert(tx, order, 'key')) === null) orderIds.add(id);
  }

  // One order that is in the request twice would have its event twice.
  const placed = requests.filter(({ id }) => orderIds.has(id));
  // PostgreSQL runs the parts of WITH that nobody reads from the last to the first.
  for (const { i, id } of placed) {
    const event = { order_id: id, version: 1, type: types[i] as string };
    yield* insertJobs(ask, event, (tokens[i]?.value ?? null) as Tokens, leaseMs);
  }
  for (const { i, id, created_at } of placed) {
    yield* insertEvent(tables, tx, data[i] ?? null, {
      id: eventIds[i] as string,
      order_id: id,
      version: 1,
      type: types[i] as string,
      correlation_id: correlations[i] as string,
      causation_id: null,
      traceparent: parents[i] as string | null,
      time: created_at,
      attempt: null,
      duration_ms: null,
    });
  }
  return [...orderIds].map((id) => ({ id }));
}

function* updateOrders({ tables, tx }: Ask, values: readonly unknown[]) {
  const [ids, fromVersions, fromStatuses] = [uuids(values[0]), integers(values[1]), texts(values[2])];
  const [statuses, payments, fulfillments, retries] = [
    texts(values[3]),
    texts(values[4]),
    texts(values[5]),
    integers(values[6]),
  ];
  const [codes, messages, versions, updates] = [
    texts(values[7]),
    texts(values[8]),
    integers(values[9]),
    times(values[10]),
  ];
  const [generations, states, tokens] = [integers(values[11]), texts(values[12]), uuids(values[13])];
  const [uses, references, expiries] = [times(values[14]), texts(values[15]), times(values[16])];
  const [bookingGenerations, bookingStates, bookingTokens] = [
    integers(values[17]),
    texts(values[18]),
    uuids(values[19]),
  ];
  const [bookingUses, bookingReferences] = [times(values[20]), texts(values[21])];
  const changes = ids.map((id, i) => ({
    found: tables.orders.find(tx, id),
    where: (o: OrderRow) => equal(o.version, fromVersions[i]) && equal(o.status, fromStatuses[i]),
    to: (o: OrderRow): OrderRow => ({
      ...o,
      status: statuses[i] as string,
      payment: payments[i] as string,
      fulfillment: fulfillments[i] as string,
      retry_count: retries[i] as number,
      reason_code: codes[i] as string | null,
      reason_message: messages[i] as string | null,
      version: versions[i] as number,
      updated_at: updates[i] as Date,
      authorization_generation: generations[i] as number | null,
      authorization_state: states[i] as string | null,
      authorization_token: tokens[i] as string | null,
      authorization_first_used_at: uses[i] as Date | null,
      authorization_reference: references[i] as string | null,
      authorization_expires_at: expiries[i] as Date | null,
      booking_generation: bookingGenerations[i] as number | null,
      booking_state: bookingStates[i] as string | null,
      booking_token: bookingTokens[i] as string | null,
      booking_first_used_at: bookingUses[i] as Date | null,
      booking_reference: bookingReferences[i] as string | null,
    }),
  }));
  return ones(yield* tables.orders.change(tx, changes));
}

export const orderStatements: Readonly<Record<string, Statement>> = {
  'accept-orders': acceptOrders,

  'read-key-winners': ({ tables, tx }, [keys]) =>
    [...new Set(texts(keys))].flatMap((key) => {
      const winner = tables.idempotencyKeys.get(tx, key);
      const order = winner && tables.orders.get(tx, winner.order_id);
      return order ? [{ ...orderColumns(order), key: winner.key, fingerprint: winner.fingerprint }] : [];
    }),

  'read-order': ({ tables, tx }, [id]) => {
    const order = tables.orders.get(tx, uuid(id));
    return order === null ? [] : [orderColumns(order)];
  },

  'read-orders': ({ tables, tx }, [ids]) =>
    uuids(ids).flatMap((id) => {
      const order = tables.orders.get(tx, id);
      return order === null ? [] : [orderColumns(order)];
    }),

  'read-histories': ({ tables, tx }, [ids]) =>
    uuids(ids).flatMap((id) => {
      const order = tables.orders.get(tx, id);
      if (order === null) return [];
      const events = tables.events.findAll(tx, 'order', id).map(({ row }) => row);
      events.sort((one, other) => one.version - other.version);
      const lines = events.map((e) =>
        [e.id, e.version, e.type, e.time.getTime(), e.causation_id ?? '', e.correlation_id].join('|'),
      );
      return [{ ...orderColumns(order), events: lines.length === 0 ? null : lines.join('\n') }];
    }),

  // Waits for its row, and answers what it is then.
  'lock-order': function* ({ tables, tx }, [id]) {
    const found = tables.orders.find(tx, uuid(id));
    const locked = yield* tables.orders.lockAll(tx, found === null ? [] : [found], () => true);
    return locked.map(({ row }) => recordColumns(row));
  },

  'lock-orders': ({ tables, tx }, [ids]) => {
    const found = [...new Set(uuids(ids))].sort(compare).map((id) => tables.orders.find(tx, id));
    return found.flatMap((one) => {
      if (one === null || !tables.orders.tryLock(tx, one)) return [];
      const { id, status, payment, fulfillment, retry_count, reason_code, reason_message, version, updated_at } =
        one.row;
      const state = { order_id: id, status, payment, fulfillment, retry_count };
      return [{ ...state, reason_code, reason_message, version, updated_at, ...effectColumns(one.row) }];
    });
  },

  'lock-orders-by-id': ({ tables, tx }, [ids]) => {
    const found = [...new Set(uuids(ids))].sort(compare).map((id) => tables.orders.find(tx, id));
    return found.flatMap((one) => (one === null || !tables.orders.tryLock(tx, one) ? [] : [recordColumns(one.row)]));
  },

  'update-orders': updateOrders,

  'write-audit': function* ({ tables, tx }, [id, at, action, orderId, detail, correlationId, operator]) {
    yield* tables.auditLog.insert(tx, {
      id: uuid(id),
      at: times([at])[0] as Date,
      action: text(action),
      order_id: uuid(orderId) as string | null,
      detail: jsons([detail])[0]?.value ?? null,
      correlation_id: text(correlationId),
      operator: text(operator),
    });
    return [];
  },

  'find-audit': ({ tables, tx }, [id]) => ones(tables.auditLog.find(tx, uuid(id)) === null ? [] : [1]),
};

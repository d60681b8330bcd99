// Accepting orders: key, order, first event and its jobs, of many requests, in one statement.
//
// Jobs whose consumer has a free slot here are written as claimed.
// Promises: an order exists exactly when its request was answered with 201 or may be answered so when it
// is repeated; of equal keys one wins, by the unique key and nothing else; there is no state of a key in
// between. Ids are chosen before the first try, so a repeated flush finds its own orders.
// Process dies after the commit: the client repeats its request and gets the first answer.

import type { OrderRecord } from '../../domain/order-record.ts';
import type { Event, Flush, System, Work } from '../../engine/ports.ts';
import type { PlaceAnswer, PlaceRequest } from '../../flow/ports.ts';
import { type Database, plainArray, type Query } from './database.ts';
import { claimEarly } from './early-claims.ts';
import { effectValues } from './effects.ts';
import { failureOf } from './errors.ts';
import { claimColumns, claimOf, type EventWrite, tokenValues } from './events.ts';
import { type OrderRow, orderColumns, toOrder } from './orders.ts';

export function createAccept(options: {
  readonly database: Database;
  readonly system: Pick<System, 'now'>;
  // Of the jobs that are claimed with their order.
  readonly leaseMs: number;
  // Told of what this process has written, and of the work that it has claimed with it.
  readonly onCommitted: (events: readonly Event[], works: readonly Work[]) => void;
}): Flush<PlaceRequest, PlaceAnswer> {
  const { database, system, leaseMs, onCommitted } = options;
  return async (requests) => {
    const at = system.now();
    const writes = requests.map((request) => toWrite(request, at));
    const placed = await insertThatWon(database.once, writes, leaseMs);
    const rest = requests.filter((request) => !placed.has(request.order.id));
    const winners = rest.length === 0 ? new Map() : await readWinners(database.query, rest).catch(laterOrThrow);
    const answers = requests.map((request): PlaceAnswer | 'locked' => {
      if (placed.has(request.order.id)) return { answer: 'placed', order: request.order };
      // Without a key only an earlier try of this very request can have been in the way.
      if (request.key === null) return { answer: 'placed', order: request.order };
      const winner = winners?.get(request.key);
      // Not now; or the key's retention ended between the two statements, and it is free again.
      if (winner === undefined) return 'locked';
      if (winner.order.id === request.order.id) return { answer: 'placed', order: request.order };
      if (!winner.fingerprint.equals(request.fingerprint)) return { answer: 'key-reused' };
      return { answer: 'replayed', order: winner.order };
    });
    // Also what an earlier try has committed, whose answer was lost.
    onCommitted(
      writes.filter((_, index) => isPlaced(answers[index])).map(({ event }) => event),
      // An earlier try may have claimed at another time, or not at all: those are asked for by key.
      writes.filter(({ request }) => placed.has(request.order.id)).flatMap(({ works }) => works),
    );
    return answers;
  };
}

type Write = {
  readonly request: PlaceRequest;
  readonly event: EventWrite;
  readonly record: OrderRecord;
  readonly works: readonly Work[];
};

// The order as the claims of its first jobs leave it.
function toWrite(request: PlaceRequest, at: Date): Write {
  const { record, events, works } = claimEarly(
    { order: request.order, effects: {} },
    [toEvent(request)],
    request.claim,
    at,
  );
  return { request, record, works, event: events[0] as EventWrite };
}

function toEvent({ order, event, eventId: id }: PlaceRequest): Event {
  const { id: subject, createdAt: time, correlationId, traceparent } = order;
  return { ...event, id, subject, time, correlationId, causationId: null, traceparent };
}

const isPlaced = (answer: PlaceAnswer | 'locked' | undefined) =>
  typeof answer === 'object' && answer.answer === 'placed';

// The first statement has committed: were the second one's failure the failure of the flush, clients would be
// told that nothing is stored. What has not won waits for a later flush instead.
function laterOrThrow(error: unknown): null {
  const failure = failureOf(error);
  if (failure === 'bug' || failure === 'data') throw error;
  return null;
}

async function insertThatWon(once: Database['once'], writes: readonly Write[], leaseMs: number): Promise<Set<string>> {
  const requests = writes.map(({ request }) => request);
  const orders = writes.map(({ record }) => record.order);
  const authorizations = writes.map(({ record }) => record.effects.authorization);
  // `IS TRUE` keeps the planner from making a join of it: that would be a nested loop, every request compared
  // with every other one, where a hash of the placed ids does.
  const rows = await once<{ id: string }>(
    `/* accept-orders */ WITH request AS (
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bigint[], $5::text[], $6::text[], $7::json[],
                            $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
                            $14::timestamptz[], $15::uuid[], $16::text[], $17::json[],
                            $18::text[], $19::text[], $20::timestamptz[],
                            $21::integer[], $22::text[], $23::uuid[], $24::timestamptz[], $25::json[])
         AS r(id, key, fingerprint, amount, currency, country, items, customer_email, user_id, product_type,
              payment_scenario, correlation_id, traceparent, created_at, event_id, event_type, event_data,
              status, payment, updated_at,
              authorization_generation, authorization_state, authorization_token, authorization_first_used_at, tokens)
     ), won AS (
       INSERT INTO idempotency_keys (key, fingerprint, order_id, created_at)
       SELECT key, fingerprint, id, created_at FROM request WHERE key IS NOT NULL ORDER BY key
       ON CONFLICT (key) DO NOTHING
       RETURNING order_id
     ), placed AS (
       INSERT INTO orders (id, status, payment, fulfillment, retry_count, amount, currency, country, items,
                           customer_email, user_id, product_type, payment_scenario, correlation_id, traceparent,
                           version, created_at, updated_at,
                           authorization_generation, authorization_state, authorization_token,
                           authorization_first_used_at)
       SELECT id, status, payment, 'none', 0, amount, currency, country, items, customer_email, user_id,
              product_type, payment_scenario, correlation_id, traceparent, 1, created_at, updated_at,
              authorization_generation, authorization_state, authorization_token, authorization_first_used_at
       FROM request WHERE key IS NULL OR id IN (SELECT order_id FROM won)
       ON CONFLICT (id) DO NOTHING
       RETURNING id
     ), event AS (
       INSERT INTO events (id, order_id, version, type, data, correlation_id, traceparent, time)
       SELECT event_id, id, 1, event_type, event_data, correlation_id, traceparent, created_at
       FROM request WHERE (id IN (SELECT id FROM placed)) IS TRUE ORDER BY id
     ), owed AS (
       INSERT INTO jobs (order_id, version, consumer, event_type, ${claimColumns})
       SELECT r.id, 1, s.consumer, r.event_type, ${claimOf('r.tokens', '$26')}
       FROM request r JOIN subscriptions s ON s.event_type = r.event_type
       WHERE (r.id IN (SELECT id FROM placed)) IS TRUE
     )
     SELECT id FROM placed`,
    [
      plainArray(orders.map((o) => o.id)),
      requests.map((r) => r.key),
      requests.map((r) => r.fingerprint),
      plainArray(orders.map((o) => o.amount)),
      plainArray(orders.map((o) => o.currency)),
      plainArray(orders.map((o) => o.country)),
      orders.map((o) => JSON.stringify(o.items)),
      orders.map((o) => o.customerEmail),
      orders.map((o) => o.userId),
      orders.map((o) => o.productType),
      plainArray(orders.map((o) => o.paymentScenario)),
      orders.map((o) => o.correlationId),
      orders.map((o) => o.traceparent),
      plainArray(orders.map((o) => o.createdAt)),
      plainArray(requests.map((r) => r.eventId)),
      plainArray(requests.map((r) => r.event.type)),
      requests.map((r) => JSON.stringify(r.event.data)),
      plainArray(orders.map((o) => o.status)),
      plainArray(orders.map((o) => o.payment)),
      plainArray(orders.map((o) => o.updatedAt)),
      // It has no reference yet.
      ...effectValues(authorizations).slice(0, -1),
      tokenValues(writes.map(({ event }) => event.tokens)),
      leaseMs,
    ],
  );
  return new Set(rows.map((row) => row.id));
}

// A new statement, hence a new snapshot: it sees the winner that the insert had to wait for.
async function readWinners(query: Query, requests: readonly PlaceRequest[]) {
  const keys = requests.map((request) => request.key).filter((key) => key !== null);
  const rows = await query<OrderRow & { key: string; fingerprint: Buffer }>(
    `/* read-key-winners */ SELECT k.key, k.fingerprint, ${orderColumns}
     FROM idempotency_keys k JOIN orders o ON o.id = k.order_id WHERE k.key = ANY($1::text[])`,
    [keys],
  );
  return new Map(rows.map((row) => [row.key, { fingerprint: row.fingerprint, order: toOrder(row) }]));
}

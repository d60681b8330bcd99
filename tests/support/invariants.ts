// What must be true of any system at rest, whatever happened before: a named list, each judged on the
// database and on the ledger of the partners, which know nothing of each other.

import assert from 'node:assert/strict';
import { Compile } from 'typebox/compile';
import { eventSchemas } from '../../src/domain/events.ts';
import { coreConsumers } from '../../src/flow/subscriptions.ts';
import type { Entry } from '../../src/io/partners/ledger.ts';
import type { Query } from '../../src/io/postgres/database.ts';
import type { World } from './world.ts';

type Seen = Pick<World, 'sql' | 'ledger' | 'published'>;
// Answers what offends; nothing when all is well.
type Invariant = (world: Seen) => Promise<readonly unknown[]>;

const query =
  (text: string, ...values: unknown[]): Invariant =>
  ({ sql }) =>
    sql(text, values);

// Events that a reader has not handled. Nobody reads for a search engine that is not in use.
export const unread = `SELECT c.reader, e.type, e.order_id, e.position FROM cursors c
  JOIN events e ON e.position > c.read_to OR e.position <@ c.gaps WHERE c.reader <> 'search.elasticsearch'`;

export const invariants: Readonly<Record<string, Invariant>> = {
  'a processed order has one authorization and one booking': async (world) => {
    const orders = await readOrders(world.sql, ['PROCESSED']);
    const held = heldByOrder(world);
    return orders.filter(({ id }) => held(id, 'authorized') !== 1 || held(id, 'booked') !== 1);
  },

  'nothing is held or booked for a canceled order, unless an open dead letter of compensation says so': async (
    world,
  ) => {
    const orders = await readOrders(world.sql, ['CANCELED']);
    const excused = new Set(
      (
        await world.sql<{ order_id: string }>(
          `SELECT order_id FROM dead_letters WHERE closed_at IS NULL AND consumer = 'compensation'`,
        )
      ).map((row) => row.order_id),
    );
    const held = heldByOrder(world);
    return orders.filter(({ id }) => !excused.has(id) && held(id, 'authorized') + held(id, 'booked') > 0);
  },

  'no order was ever authorized or booked twice': async ({ ledger }) => {
    const seen = new Set<string>();
    return allEntries(ledger)
      .filter(({ partner, reference }) => partner !== 'mail' && reference !== null)
      .filter(({ partner, orderId }) => seen.size === seen.add(`${partner} ${orderId}`).size);
  },

  'no customer got two messages of one kind': async ({ ledger }) => {
    const seen = new Set<string>();
    return allEntries(ledger)
      .filter(({ partner }) => partner === 'mail')
      .filter(({ orderId, terms }) => {
        const { kind } = JSON.parse(terms ?? '{}') as { kind?: string };
        return seen.size === seen.add(`${orderId} ${kind}`).size;
      });
  },

  'what an order says of its payment is what the provider holds': async (world) => {
    const held = heldByOrder(world);
    return (await readOrders(world.sql, ['PENDING', 'PROCESSING', 'PROCESSED', 'FAILED', 'CANCELED'])).filter(
      ({ id, payment }) => payment !== 'unknown' && (payment === 'authorized') !== (held(id, 'authorized') === 1),
    );
  },

  'an effect that is recorded as done, undone or absent is so at its partner': async ({ sql, ledger }) => {
    const entries = new Map(allEntries(ledger).map((entry) => [entry.key, entry]));
    const effects = await sql<{ key: string; state: string; reference: string | null }>(
      `SELECT concat_ws(':', id, 'authorization', authorization_generation) AS key, authorization_state AS state,
              authorization_reference AS reference FROM orders WHERE authorization_state IS NOT NULL
       UNION ALL
       SELECT concat_ws(':', id, 'booking', booking_generation), booking_state, booking_reference
       FROM orders WHERE booking_state IS NOT NULL`,
    );
    return effects.filter(({ key, state, reference }) => {
      const entry = entries.get(key);
      const exists = entry?.state === 'authorized' || entry?.state === 'booked';
      if (state === 'done') return !exists || entry.reference !== reference;
      return ['none', 'undone', 'declined'].includes(state) && exists;
    });
  },

  'an order is FAILED exactly while a dead letter of a core step is open': query(
    `SELECT o.id, o.status FROM orders o WHERE (o.status = 'FAILED') <> EXISTS (
       SELECT FROM dead_letters l WHERE l.order_id = o.id AND l.closed_at IS NULL AND l.consumer = ANY($1))`,
    coreConsumers,
  ),

  'an event has no job and an open dead letter of one consumer': query(
    `SELECT j.consumer, j.order_id, j.version FROM jobs j
     JOIN dead_letters l USING (order_id, version, consumer) WHERE l.closed_at IS NULL`,
  ),

  'the versions of an order run from 1 to its own without a gap': query(
    `SELECT o.id, o.version, array_agg(e.version ORDER BY e.version) AS versions
     FROM orders o LEFT JOIN events e ON e.order_id = o.id GROUP BY o.id
     HAVING count(e.id) <> o.version OR min(e.version) <> 1 OR max(e.version) <> o.version`,
  ),

  'an event names the earlier event of its order that caused it; only a first one and a request have none': query(
    `SELECT e.order_id, e.type, e.causation_id FROM events e
     LEFT JOIN events c ON c.id = e.causation_id AND c.order_id = e.order_id AND c.version < e.version
     WHERE CASE WHEN e.version = 1 OR e.data->>'reason' = 'canceled-by-request' THEN e.causation_id IS NOT NULL
           ELSE c.id IS NULL END`,
  ),

  'the correlation id of the request is in every event of its order': query(
    `SELECT e.order_id, e.type FROM events e JOIN orders o ON o.id = e.order_id
     WHERE e.correlation_id <> o.correlation_id`,
  ),

  'the status of an order is the one that its last moving event names': query(
    `SELECT o.id, o.status, f.status AS event FROM orders o, LATERAL (
       SELECT coalesce((SELECT e.data->>'status' FROM events e WHERE e.order_id = o.id AND e.data->>'status' IS NOT NULL
                        ORDER BY e.version DESC LIMIT 1), 'PENDING') AS status) f
     WHERE o.status <> f.status AND NOT (o.status = 'PROCESSING' AND f.status = 'PENDING')`,
  ),

  'the retries of an order are those charged to its core steps since it was last sent back': query(
    `SELECT o.id, o.retry_count, a.charged FROM orders o, LATERAL (
       SELECT count(*)::integer AS charged FROM attempts a
       WHERE a.order_id = o.id AND a.outcome = 'retry' AND a.consumer = ANY($1) AND a.at >= coalesce(
         (SELECT max(e.time) FROM events e WHERE e.order_id = o.id AND e.type = 'OrderReprocessedV1'), '-infinity')) a
     WHERE o.retry_count <> a.charged`,
    coreConsumers,
  ),

  'the analytics are where the orders stand': query(
    `SELECT day, value, currency, country, sum(count) AS count, sum(amount) AS amount FROM (
       SELECT day, value, currency, country, count, amount FROM analytics WHERE measure = 'status'
       UNION ALL
       SELECT (created_at AT TIME ZONE 'UTC')::date, CASE status WHEN 'PROCESSING' THEN 'PENDING' ELSE status END,
              currency, country, -1, -amount FROM orders
     ) line GROUP BY 1, 2, 3, 4 HAVING sum(count) <> 0 OR sum(amount) <> 0`,
  ),

  'the analytics have every reason and every duration that the events tell of': query(
    `SELECT measure, sum(count) AS count FROM (
       SELECT measure, count FROM analytics WHERE measure <> 'status'
       UNION ALL
       SELECT CASE type WHEN 'PaymentFailedV1' THEN 'declined' WHEN 'OrderCanceledV1' THEN 'canceled'
                        WHEN 'OrderFailedV1' THEN 'failed' ELSE 'duration' END, -1
       FROM events WHERE type IN ('PaymentFailedV1', 'OrderCanceledV1', 'OrderFailedV1')
         OR (type = 'FulfillmentScheduledV1' AND data->>'status' = 'PROCESSED')
     ) line GROUP BY measure HAVING sum(count) <> 0`,
  ),

  'every event is read by every reader': query(unread),

  'nothing is left to be done': query('SELECT * FROM jobs'),

  'no dependency is down': query('SELECT * FROM dependencies'),

  'every event was published, and first in the order of its versions': async ({ sql, published }) => {
    const events = await sql<{ id: string; order_id: string; version: number }>(
      'SELECT id, order_id, version FROM events ORDER BY order_id, version',
    );
    const first = new Map<string, number>();
    published.forEach(({ id }, position) => {
      if (!first.has(id)) first.set(id, position);
    });
    return events.filter(({ id, order_id, version }, index) => {
      const before = events[index - 1];
      const position = first.get(id);
      if (position === undefined) return true;
      return version > 1 && before?.order_id === order_id && (first.get(before.id) ?? Infinity) > position;
    });
  },

  'every event is what its schema says': async ({ sql }) => {
    const events = await sql<{ type: string; data: unknown }>('SELECT type, data FROM events');
    return events.filter(({ type, data }) => !validators.get(type)?.Check(data));
  },
};

const validators = new Map(Object.entries(eventSchemas).map(([type, schema]) => [type, Compile(schema)]));

export async function assertInvariants(world: Seen): Promise<void> {
  for (const [name, offenders] of Object.entries(invariants)) {
    assert.deepEqual(await offenders(world), [], `broken: ${name}`);
  }
}

function allEntries(ledger: Seen['ledger']): readonly Entry[] {
  return ledger.entries({ orderId: null, afterPosition: 0, limit: 1_000_000 });
}

function heldByOrder({ ledger }: Seen): (orderId: string, state: 'authorized' | 'booked') => number {
  const counts = new Map<string, number>();
  for (const { orderId, state } of allEntries(ledger)) {
    counts.set(`${orderId} ${state}`, (counts.get(`${orderId} ${state}`) ?? 0) + 1);
  }
  return (orderId, state) => counts.get(`${orderId} ${state}`) ?? 0;
}

function readOrders(sql: Query, statuses: readonly string[]) {
  return sql<{ id: string; status: string; payment: string }>(
    'SELECT id, status, payment FROM orders WHERE status = ANY($1)',
    [statuses],
  );
}

// What `verify` reads of orders: all rows of one order in one snapshot, a range of ids per statement.
//
// Promises: each statement is short and a transaction of its own, so that it holds back no vacuum and
// takes no lock; memory is that of one range. Ranges follow each other without a gap from the first id
// to the last, so that a row whose order is missing lies in one of them too.
// Relies on the planner settings of a transaction (database.ts): every row is found by an index.

import type { EffectName } from '../../domain/effects.ts';
import type { Order } from '../../domain/order.ts';
import type { Finding } from '../../flow/verify/promises.ts';
import type { SeenDeadLetter, SeenEffect, SeenEvent, SeenJob, SeenOrder } from '../../flow/verify/seen-order.ts';
import type { Database } from './database.ts';

// Orders per statement: some 20 ms. Measured: 500 and 5 000 are no faster.
const rangeOrders = 1_000;
// Offenders that one statement names; the others are counted.
const namedMax = 20;

export const firstId = '00000000-0000-0000-0000-000000000000';
export const lastId = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

// Above the first id, up to and with the second.
export type Range = { readonly after: string; readonly upTo: string };

const msSince = (column: string) => `(date_part('epoch', statement_timestamp() - ${column}) * 1000)`;

type OrderRow = Omit<Order, 'retryCount'> & {
  retry_count: number;
  events: string | null;
  authorization_generation: number | null;
  authorization_state: SeenEffect['state'] | null;
  authorization_reference: string | null;
  booking_generation: number | null;
  booking_state: SeenEffect['state'] | null;
  booking_reference: string | null;
  deadLetters: [string, number, SeenDeadLetter['closedHow']][] | null;
};

// Events and their jobs come as lines of cells, which the server makes in half the time of JSON. They hold
// nothing but ids, numbers and words of ours.
const seenOrder = `o.id, o.status, o.payment, o.fulfillment, o.version, o.retry_count, o.amount, o.currency,
  o.authorization_generation, o.authorization_state, o.authorization_reference,
  o.booking_generation, o.booking_state, o.booking_reference,
  (SELECT string_agg(
     concat_ws('|', e.version, e.type, coalesce(e.data->>'previousStatus', ''), coalesce(e.data->>'status', ''),
       ${msSince('e.time')}, coalesce((e.data->>'amount') || ' ' || (e.data->>'currency'), ''),
       (SELECT string_agg(concat_ws('|', j.consumer, j.attempt, (j.token IS NOT NULL)::integer,
          ${msSince('coalesce(j.lease_until, j.due_at)')}), '|')
        FROM jobs j WHERE j.order_id = e.order_id AND j.version = e.version)),
     chr(10) ORDER BY e.version)
   FROM events e WHERE e.order_id = o.id) AS events,
  (SELECT json_agg(json_build_array(l.consumer, l.version, l.closed_how))
   FROM dead_letters l WHERE l.order_id = o.id) AS "deadLetters"`;

const eventCells = 6;
const jobCells = 4;

function toEvent(line: string): SeenEvent {
  const cells = line.split('|');
  const [version, type = '', previousStatus, status, ageMs, money] = cells;
  const jobs: SeenJob[] = [];
  for (let at = eventCells; at < cells.length; at += jobCells) {
    const [consumer = '', attempt, isClaimed, dueForMs] = cells.slice(at, at + jobCells);
    jobs.push({ consumer, attempt: Number(attempt), isClaimed: isClaimed === '1', dueForMs: Number(dueForMs) });
  }
  return {
    version: Number(version),
    type,
    previousStatus: previousStatus || null,
    status: status || null,
    ageMs: Number(ageMs),
    money: money || null,
    jobs,
  };
}

const toSeen = (row: OrderRow): SeenOrder => ({
  id: row.id,
  status: row.status,
  payment: row.payment,
  fulfillment: row.fulfillment,
  version: row.version,
  amount: row.amount,
  currency: row.currency,
  retryCount: row.retry_count,
  events: row.events === null ? [] : row.events.split('\n').map(toEvent),
  effects: {
    ...seenEffect('authorization', row.authorization_generation, row.authorization_state, row.authorization_reference),
    ...seenEffect('booking', row.booking_generation, row.booking_state, row.booking_reference),
  },
  deadLetters: (row.deadLetters ?? []).map(([consumer, version, closedHow]) => ({ consumer, version, closedHow })),
});

const seenEffect = (
  name: EffectName,
  generation: number | null,
  state: SeenEffect['state'] | null,
  reference: string | null,
) => (generation === null || state === null ? {} : { [name]: { generation, state, reference } });

export function createVerifyOrders(database: Database) {
  const read = async <R extends object>(text: string, values: readonly unknown[]) =>
    database.once<R>(text, values, { durable: false });

  return {
    // The range of so many orders behind an id; the last one ends with the last id there can be.
    rangeAfter: async (after: string): Promise<Range> => {
      const rows = await read<{ id: string }>(
        `/* verify-range */ SELECT id FROM orders WHERE id > $1 ORDER BY id OFFSET ${rangeOrders - 1} LIMIT 1`,
        [after],
      );
      return { after, upTo: rows[0]?.id ?? lastId };
    },

    orders: async ({ after, upTo }: Range): Promise<SeenOrder[]> => {
      const rows = await read<OrderRow>(
        `/* verify-orders */ SELECT ${seenOrder} FROM orders o WHERE o.id > $1 AND o.id <= $2 ORDER BY o.id`,
        [after, upTo],
      );
      return rows.map(toSeen);
    },

    // Once more, in a snapshot of now.
    ordersAgain: async (ids: readonly string[]): Promise<SeenOrder[]> => {
      const rows = await read<OrderRow>(
        `/* verify-orders-again */ SELECT ${seenOrder} FROM orders o WHERE o.id = ANY($1::uuid[])`,
        [ids],
      );
      return rows.map(toSeen);
    },

    // Rows of a range that name an order or an event which is not there. Both are written before them, or with them.
    orphans: async ({ after, upTo }: Range): Promise<{ count: number; findings: Finding[] }> => {
      const rows = await read<{ what: string; order_id: string; count: number }>(
        `/* verify-owners */ SELECT x.what, x.order_id, count(*) OVER ()::integer AS count FROM (
           ${orphansOf('events', "x.type || ' (version ' || x.version || ')'")}
           UNION ALL
           ${orphansOf('jobs', "'job of ' || x.consumer || ' of version ' || x.version")}
           UNION ALL
           ${orphansOf('dead_letters', "'dead letter of ' || x.consumer")}
         ) AS x LIMIT ${namedMax}`,
        [after, upTo],
      );
      return {
        count: rows[0]?.count ?? 0,
        findings: rows.map(({ what, order_id: subject }) => ({
          promise: 'owners',
          subject,
          what: `there is a row (${what}) of an order, or an event, that does not exist`,
        })),
      };
    },
  };
}

// Looked up by id, one after the other: with the range on both sides, which is quicker when merged, the
// planner may compare every row with every other.
const orphansOf = (table: string, what: string) => `SELECT ${what} AS what, x.order_id FROM ${table} x
  WHERE x.order_id > $1 AND x.order_id <= $2
    AND (NOT EXISTS (SELECT FROM orders o WHERE o.id = x.order_id)
      OR NOT EXISTS (SELECT FROM events e WHERE e.order_id = x.order_id AND e.version = x.version))`;

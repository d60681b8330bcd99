// Orders with all of their events, for whoever makes documents of them.
//
// Promises: an order and its events are of one snapshot; reads only, in short statements that take no lock
// and hold back no vacuum. Relies on the planner settings of a transaction (database.ts): every row is
// found by an index.

import type { OrderId } from '../../domain/order.ts';
import type { OrderHistory, PastEvent, ReadHistories } from '../../flow/projections/search-ports.ts';
import { type Database, plainArray, type Query } from './database.ts';
import { orUnavailable } from './errors.ts';
import { type OrderRow, orderColumns, toOrder } from './orders.ts';

// Events come as lines of cells, which the server makes in half the time of JSON; the correlation id, which
// may hold the sign between two cells, is the last of its line.
const cellsOfEvent = `concat_ws('|', e.id, e.version, e.type, (extract(epoch FROM e.time) * 1000)::bigint,
                               coalesce(e.causation_id::text, ''), e.correlation_id)`;
const cells = 6;
const historyColumns = `${orderColumns},
  (SELECT string_agg(${cellsOfEvent}, chr(10) ORDER BY e.version) FROM events e WHERE e.order_id = o.id) AS events`;
// With the last event alone.
export const latestColumns = `${orderColumns},
  (SELECT ${cellsOfEvent} FROM events e WHERE e.order_id = o.id AND e.version = o.version) AS events`;

export type HistoryRow = OrderRow & { events: string | null };

export function toHistory(row: HistoryRow): OrderHistory {
  return { order: toOrder(row), events: row.events === null ? [] : row.events.split('\n').map(toEvent) };
}

function toEvent(line: string): PastEvent {
  const all = line.split('|');
  const [id = '', version, type = '', ms, causationId] = all;
  return {
    id,
    type,
    version: Number(version),
    time: new Date(Number(ms)),
    causationId: causationId || null,
    correlationId: all.slice(cells - 1).join('|'),
  };
}

export function createReadHistories(database: Database): ReadHistories {
  const query: Query = (text, values = []) => database.once(text, values, { durable: false });
  return (ids) => orUnavailable(false, () => readHistories(query, ids));
}

export async function readHistories(query: Query, ids: readonly OrderId[]): Promise<OrderHistory[]> {
  const rows = await query<HistoryRow>(
    `/* read-histories */ SELECT ${historyColumns} FROM orders o WHERE o.id = ANY($1::uuid[])`,
    [plainArray(ids)],
  );
  return rows.map(toHistory);
}

// The next orders behind an id, for a rebuild; fewer than the limit = the last ones.
export async function readHistoriesAfter(
  database: Database,
  after: string,
  limit: number,
): Promise<readonly OrderHistory[]> {
  const rows = await database.once<HistoryRow>(
    `/* read-histories-after */ SELECT ${historyColumns} FROM orders o WHERE o.id > $1 ORDER BY o.id LIMIT $2`,
    [after, limit],
    { durable: false },
  );
  return rows.map(toHistory);
}
export const beforeAllOrders = '00000000-0000-0000-0000-000000000000' as OrderId;

// events, with the jobs that they make: events.ts.

import { type EventRow, newJob, type Tables } from '../schema.ts';
import type { Waiting } from '../table.ts';
import type { Transaction } from '../transactions.ts';
import { float, integers, type Json, jsons, SqlError, texts, times, uuids } from '../values.ts';
import { type Ask, compare, laterBy, type Row, type Statement } from './statement.ts';

export const eventColumns = (e: EventRow): Row => ({
  event_id: e.id,
  event_order_id: e.order_id,
  event_version: e.version,
  type: e.type,
  data: e.data,
  event_correlation_id: e.correlation_id,
  causation_id: e.causation_id,
  event_traceparent: e.traceparent,
  time: e.time,
});

export type Tokens = Readonly<Record<string, string>> | null;

const dataBytesMax = 60_000;

export function* insertEvent(
  tables: Tables,
  tx: Transaction,
  data: Json | null,
  event: Omit<EventRow, 'data' | 'position' | 'xid'>,
): Waiting<void> {
  // No character of UTF-16 needs more than three bytes of UTF-8.
  if (data !== null && data.text.length * 3 > dataBytesMax && Buffer.byteLength(data.text) > dataBytesMax) {
    throw new SqlError('23514', 'new row for relation "events" violates check "data"');
  }
  // The transaction's id before the number.
  const xid = String(tx.assignXid());
  const position = tables.nextPosition();
  yield* tables.events.insert(tx, { ...event, data: (data?.value ?? null) as EventRow['data'], position, xid });
}

// A job for every consumer that subscribes to the type of an event.
export function* insertJobs(
  { tables, tx, startedMs, nowMs }: Ask,
  { order_id, version, type }: Pick<EventRow, 'order_id' | 'version' | 'type'>,
  // Of those who claim their job as it is written.
  tokens: Tokens,
  leaseMs: number,
): Waiting<void> {
  for (const { row } of tables.subscriptions.findAll(tx, 'type', type)) {
    const job = newJob({ order_id, version, consumer: row.consumer }, type, startedMs());
    const token = tokens?.[row.consumer] ?? null;
    const claim = token === null ? null : { token, lease_until: laterBy(nowMs(), leaseMs), attempt: 1 };
    yield* tables.jobs.insert(tx, { ...job, ...claim });
  }
}

function* appendEvents(ask: Ask, values: readonly unknown[]) {
  const { tables, tx } = ask;
  const [ids, orders, versions, types, data] = [
    uuids(values[0]),
    uuids(values[1]),
    integers(values[2]),
    texts(values[3]),
    jsons(values[4]),
  ];
  const [correlations, causations, parents, moments] = [
    texts(values[5]),
    uuids(values[6]),
    texts(values[7]),
    times(values[8]),
  ];
  const [attempts, durations] = [integers(values[9]), integers(values[10])];
  const [tokens, leaseMs] = [jsons(values[11]), float(values[12])];
  const events = ids.map((id, i) => ({
    data: data[i] ?? null,
    tokens: (tokens[i]?.value ?? null) as Tokens,
    event: {
      id,
      order_id: orders[i] as string,
      version: versions[i] as number,
      type: types[i] as string,
      correlation_id: correlations[i] as string,
      causation_id: causations[i] as string | null,
      traceparent: parents[i] as string | null,
      time: moments[i] as Date,
      attempt: attempts[i] as number | null,
      duration_ms: durations[i] as number | null,
    },
  }));
  events.sort(
    ({ event: one }, { event: other }) => compare(one.order_id, other.order_id) || one.version - other.version,
  );
  for (const { event, data } of events) yield* insertEvent(tables, tx, data, event);
  for (const { event, tokens } of events) yield* insertJobs(ask, event, tokens, leaseMs);
  return [];
}

export const eventStatements: Readonly<Record<string, Statement>> = { 'append-events': appendEvents };

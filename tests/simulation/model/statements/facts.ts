// events, outbox and relay_lanes: events.ts, outbox.ts.

import { type EventRow, type LaneRow, newJob, type OutboxRow, type Tables } from '../schema.ts';
import type { Waiting } from '../table.ts';
import type { Transaction } from '../transactions.ts';
import {
  bigint,
  bigints,
  float,
  integer,
  integers,
  type Json,
  jsons,
  SqlError,
  texts,
  times,
  uuid,
  uuids,
} from '../values.ts';
import { type Ask, compare, equal, type Row, type Statement } from './statement.ts';

export const factColumns = (e: EventRow): Row => ({
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

// The last byte of the order's id, its lower half.
export const laneOf = (orderId: string): number => Number.parseInt(orderId.slice(-1), 16);

const dataBytesMax = 60_000;

export function* insertFact(tables: Tables, tx: Transaction, data: Json | null, fact: Omit<EventRow, 'data'>) {
  // No character of UTF-16 needs more than three bytes of UTF-8.
  if (data !== null && data.text.length * 3 > dataBytesMax && Buffer.byteLength(data.text) > dataBytesMax) {
    throw new SqlError('23514', 'new row for relation "events" violates check "data"');
  }
  yield* tables.events.insert(tx, { ...fact, data: (data?.value ?? null) as EventRow['data'] });
}

// A job for every consumer that subscribes to the type of an event.
export function* insertJobs(
  { tables, tx, startedMs }: Ask,
  { order_id, version, type }: Pick<EventRow, 'order_id' | 'version' | 'type'>,
): Waiting<void> {
  for (const { row } of tables.subscriptions.findAll(tx, 'type', type)) {
    yield* tables.jobs.insert(tx, newJob({ order_id, version, consumer: row.consumer }, type, startedMs()));
  }
}

function* appendFacts(ask: Ask, values: readonly unknown[]) {
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
  const facts = ids.map((id, i) => ({
    data: data[i] ?? null,
    fact: {
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
  facts.sort(
    ({ fact: one }, { fact: other }) => compare(one.order_id, other.order_id) || one.version - other.version,
  );
  for (const { fact, data } of facts) yield* insertFact(tables, tx, data, fact);
  for (const { fact } of facts) yield* insertJobs(ask, fact);
  return [];
}

const isLeaseOver = ({ lease_until }: LaneRow, nowMs: number) => Number(lease_until) <= nowMs;

export const factStatements: Readonly<Record<string, Statement>> = {
  'append-facts': appendFacts,

  'hold-lanes': function* ({ tables, tx, nowMs }, [tokenGiven, leaseMs]) {
    const token = uuid(tokenGiven);
    const free = [...tables.relayLanes.all(tx)].filter(
      (found) =>
        (equal(found.row.token, token) || isLeaseOver(found.row, nowMs())) && tables.relayLanes.tryLock(tx, found),
    );
    const lease_until = new Date(nowMs() + float(leaseMs));
    const to = (lane: LaneRow) => ({ ...lane, token, lease_until });
    const held = yield* tables.relayLanes.change(
      tx,
      free.map((found) => ({ found, where: () => true, to })),
    );
    return held.map(({ lane }) => ({ lane }));
  },

  'release-lanes': function* ({ tables, tx }, [tokenGiven]) {
    const token = uuid(tokenGiven);
    const where = (lane: LaneRow) => equal(lane.token, token);
    const to = (lane: LaneRow) => ({ ...lane, token: null, lease_until: -Infinity });
    yield* tables.relayLanes.change(
      tx,
      [...tables.relayLanes.all(tx)].map((found) => ({ found, where, to })),
    );
    return [];
  },

  'read-owed': ({ tables, tx }, [floorGiven, lanesGiven, limitGiven]) => {
    const [floor, lanes, limit] = [bigint(floorGiven), new Set(integers(lanesGiven)), integer(limitGiven)];
    const rows: Row[] = [];
    // Positions are given in the order of insertion, which is the order of the table.
    for (const { row: owed } of tables.outbox.all(tx)) {
      if (rows.length >= limit) break;
      if (owed.position <= floor || !lanes.has(owed.lane)) continue;
      const isBehind = ({ row }: { row: OutboxRow }) => row.position <= floor;
      if (tables.outbox.findAll(tx, 'order', owed.order_id).some(isBehind)) continue;
      const event = tables.events.get(tx, owed.event_id);
      if (event !== null) rows.push({ position: owed.position, ...factColumns(event) });
    }
    return rows;
  },

  'forget-owed': function* ({ tables, tx }, [positions]) {
    const changes = [...new Set(bigints(positions))].map((position) => ({
      found: tables.outbox.find(tx, String(position)),
      where: () => true,
      to: () => null,
    }));
    yield* tables.outbox.change(tx, changes);
    return [];
  },
};

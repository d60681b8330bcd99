// events, outbox, relay_lanes and watermarks: events.ts, outbox.ts, and the scan of inbox.ts.

import type { EventRow, LaneRow, OutboxRow, Tables, WatermarkRow } from '../schema.ts';
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
  text,
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

export function* insertFact(
  tables: Tables,
  tx: Transaction,
  data: Json | null,
  fact: Omit<EventRow, 'data' | 'xid'>,
): Waiting<void> {
  // No character of UTF-16 needs more than three bytes of UTF-8.
  if (data !== null && data.text.length * 3 > dataBytesMax && Buffer.byteLength(data.text) > dataBytesMax) {
    throw new SqlError('23514', 'new row for relation "events" violates check "data"');
  }
  const xid = String(tx.assignXid());
  yield* tables.events.insert(tx, { ...fact, data: (data?.value ?? null) as EventRow['data'], xid });
}

function* appendFacts({ tables, tx }: Ask, values: readonly unknown[]) {
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
  const facts = ids.map((id, i) => ({
    id,
    order_id: orders[i] as string,
    version: versions[i] as number,
    type: types[i] as string,
    correlation_id: correlations[i] as string,
    causation_id: causations[i] as string | null,
    traceparent: parents[i] as string | null,
    time: moments[i] as Date,
  }));
  for (const [i, fact] of facts.entries()) yield* insertFact(tables, tx, data[i] ?? null, fact);
  facts.sort((one, other) => compare(one.order_id, other.order_id) || one.version - other.version);
  for (const { id, order_id, version } of facts) {
    const owed = { order_id, version, event_id: id, lane: laneOf(order_id) };
    yield* tables.outbox.insert(tx, { ...owed, position: tables.nextPosition() });
  }
  return [];
}

// Facts behind the mark whose transactions have ended, at least `limit` and the last transaction whole.
function scanOf({ tables, xmin }: Ask, type: string, behind: number, limit: number): readonly EventRow[] {
  const facts = tables.factsOfType(type);
  let from = facts.length;
  while (from > 0 && Number((facts[from - 1] as EventRow).xid) > behind) from -= 1;
  const below = xmin();
  let to = from;
  while (to < facts.length) {
    const { xid } = facts[to] as EventRow;
    if (Number(xid) >= below || (to - from >= limit && xid !== (facts[to - 1] as EventRow).xid)) break;
    to += 1;
  }
  return facts.slice(from, to);
}

const scanMissed: Statement = (ask, [consumerGiven, typeGiven, fromGiven, olderThanMs, limit]) => {
  const { tables, tx, nowMs } = ask;
  const [consumer, type] = [text(consumerGiven), text(typeGiven)];
  const rowsMax = Number(/FETCH FIRST (\d+) ROWS WITH TIES/.exec(ask.text)?.[1]);
  const mark = tables.watermarks.get(tx, `${consumer} ${type}`);
  const scan = mark === null ? [] : scanOf(ask, type, Number(text(fromGiven) ?? mark.xid), rowsMax);
  const isMissing = (fact: EventRow) => tables.deliveries.get(tx, `${fact.id} ${consumer}`) === null;
  const missing = scan.filter(isMissing);
  const gap = missing[0];
  const complete = gap === undefined ? scan : scan.filter((fact) => Number(fact.xid) < Number(gap.xid));
  const [now, ageMs] = [nowMs(), float(olderThanMs)];
  const isOld = ({ time }: EventRow) => time.getTime() < now - ageMs || time.getTime() > now;
  const old = missing.filter(isOld);
  const reachedEnd = scan.length < rowsMax || !scan.every(isOld);
  return [
    {
      scanned_to: scan.at(-1)?.xid ?? null,
      complete_to: complete.at(-1)?.xid ?? null,
      reached_end: reachedEnd,
      missing: old.length === 0 ? null : old.slice(0, integer(limit)).map((fact) => fact.id),
    },
  ];
};

const isLeaseOver = ({ lease_until }: LaneRow, nowMs: number) => Number(lease_until) <= nowMs;

export const factStatements: Readonly<Record<string, Statement>> = {
  'append-facts': appendFacts,

  'read-known-facts': ({ tables, tx }, [ids]) =>
    [...new Set(uuids(ids))].filter((id) => tables.events.get(tx, id) !== null).map((id) => ({ id })),

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

  'scan-missed': scanMissed,

  'advance-watermark': function* ({ tables, tx }, [consumer, type, xidGiven]) {
    const xid = text(xidGiven);
    const found = tables.watermarks.find(tx, `${text(consumer)} ${text(type)}`);
    const where = (mark: WatermarkRow) => Number(mark.xid) < Number(xid);
    yield* tables.watermarks.change(tx, [{ found, where, to: (mark: WatermarkRow) => ({ ...mark, xid }) }]);
    return [];
  },
};

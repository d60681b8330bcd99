// events and watermarks: events.ts, and the scan of inbox.ts.

import type { EventRow, Tables, WatermarkRow } from '../schema.ts';
import type { Waiting } from '../table.ts';
import type { Transaction } from '../transactions.ts';
import { float, integer, integers, type Json, jsons, SqlError, text, texts, times, uuids } from '../values.ts';
import { type Ask, compare, type Row, type Statement } from './statement.ts';

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

const dataBytesMax = 60_000;

export function* insertFact(
  tables: Tables,
  tx: Transaction,
  data: Json | null,
  fact: Omit<EventRow, 'data' | 'xid' | 'position'>,
): Waiting<void> {
  // No character of UTF-16 needs more than three bytes of UTF-8.
  if (data !== null && data.text.length * 3 > dataBytesMax && Buffer.byteLength(data.text) > dataBytesMax) {
    throw new SqlError('23514', 'new row for relation "events" violates check "data"');
  }
  // The transaction's id before the number.
  const xid = String(tx.assignXid());
  const position = tables.nextPosition();
  yield* tables.events.insert(tx, { ...fact, data: (data?.value ?? null) as EventRow['data'], xid, position });
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
    i,
    id,
    order_id: orders[i] as string,
    version: versions[i] as number,
    type: types[i] as string,
    correlation_id: correlations[i] as string,
    causation_id: causations[i] as string | null,
    traceparent: parents[i] as string | null,
    time: moments[i] as Date,
  }));
  facts.sort((one, other) => compare(one.order_id, other.order_id) || one.version - other.version);
  for (const { i, ...fact } of facts) yield* insertFact(tables, tx, data[i] ?? null, fact);
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

export const factStatements: Readonly<Record<string, Statement>> = {
  'append-facts': appendFacts,

  'read-known-facts': ({ tables, tx }, [ids]) =>
    [...new Set(uuids(ids))].filter((id) => tables.events.get(tx, id) !== null).map((id) => ({ id })),

  'scan-missed': scanMissed,

  'advance-watermark': function* ({ tables, tx }, [consumer, type, xidGiven]) {
    const xid = text(xidGiven);
    const found = tables.watermarks.find(tx, `${text(consumer)} ${text(type)}`);
    const where = (mark: WatermarkRow) => Number(mark.xid) < Number(xid);
    yield* tables.watermarks.change(tx, [{ found, where, to: (mark: WatermarkRow) => ({ ...mark, xid }) }]);
    return [];
  },
};

// cursors, and the look at the event log: cursors.ts.

import type { CursorRow, DeadLetterRow, EventRow } from '../schema.ts';
import { holds, toMultirange, toSpans, union } from '../spans.ts';
import { bigint, float, integer, integers, text, texts, time, uuid, uuids } from '../values.ts';
import { eventColumns } from './events.ts';
import { type Ask, compare, equal, ones, type Row, type Statement } from './statement.ts';

const stateOf = ({ read_to, gaps }: CursorRow): Row => ({ read_to, gaps });

// Moves the row from what it was expected to be.
function* move({ tables, tx }: Ask, reader: unknown, isExpected: (row: CursorRow) => boolean, to: readonly unknown[]) {
  const moved = { read_to: bigint(to[0]), gaps: toMultirange(toSpans(to[1])) };
  const change = {
    found: tables.cursors.find(tx, text(reader)),
    where: isExpected,
    to: (row: CursorRow) => ({ ...row, ...moved }),
  };
  return yield* tables.cursors.change(tx, [change]);
}

const isAt = (readTo: unknown, gaps: unknown) => {
  const [read_to, spans] = [bigint(readTo), toMultirange(toSpans(gaps))];
  return (row: CursorRow) => row.read_to === read_to && row.gaps === spans;
};

function* hold({ tables, tx, nowMs }: Ask, [reader, tokenGiven, leaseMs]: readonly unknown[]) {
  const token = uuid(tokenGiven);
  const change = {
    found: tables.cursors.find(tx, text(reader)),
    where: (row: CursorRow) => equal(row.token, token) || Number(row.lease_until) <= nowMs(),
    to: (row: CursorRow) => ({ ...row, token, lease_until: new Date(nowMs() + float(leaseMs)) }),
  };
  return (yield* tables.cursors.change(tx, [change])).map(stateOf);
}

// What an outer join fills up with.
const nothing = {
  ...{ position: null, event_id: null, event_order_id: null, event_version: null, type: null, data: null },
  ...{ event_correlation_id: null, causation_id: null, event_traceparent: null, time: null, age_ms: null },
};

function look({ tables, nowMs, xmin }: Ask, [readToGiven, gapsGiven, limit]: readonly unknown[]): Row[] {
  const [readTo, gaps] = [bigint(readToGiven), toSpans(gapsGiven)];
  const lowest = gaps[0] === undefined ? readTo : Math.min(readTo, gaps[0].from - 1);
  const isUnhandled = ({ position }: EventRow) => position > readTo || holds(gaps, position);
  const found = tables.eventsAbove(lowest).filter(isUnhandled).slice(0, integer(limit));
  const seen = { xmin: String(xmin()) };
  if (found.length === 0) return [{ ...seen, ...nothing }];
  return found.map((event) => ({
    ...seen,
    position: event.position,
    ...eventColumns(event),
    age_ms: nowMs() - event.time.getTime(),
  }));
}

function* parkEvents({ tables, tx }: Ask, values: readonly unknown[]) {
  const [ids, orders, versions, consumers] = [
    uuids(values[0]),
    uuids(values[1]),
    integers(values[2]),
    texts(values[3]),
  ];
  const [events, types, classes] = [uuids(values[4]), texts(values[5]), texts(values[6])];
  const [codes, messages, failedAt] = [texts(values[7]), texts(values[8]), time(values[9])];
  for (const [i, id] of ids.entries()) {
    const row: DeadLetterRow = {
      ...{ id, order_id: orders[i] as string, version: versions[i] as number, consumer: consumers[i] as string },
      ...{ event_id: events[i] as string, event_type: types[i] as string, epoch: 0 },
      ...{ failure_class: classes[i] as string, code: codes[i] as string, message: messages[i] as string },
      ...{ attempts: 1, failed_at: failedAt, closed_at: null, closed_how: null, partner: '' },
    };
    yield* tables.deadLetters.insert(tx, row, 'open');
  }
  return [];
}

// Which cursors are those of a consumer: its own, or one per search engine.
const isOf = (consumer: string, { reader }: CursorRow) => reader.split('.')[0] === consumer;

function* reopenEvents({ tables, tx }: Ask, [orderId, consumersGiven, versions]: readonly unknown[]) {
  const consumers = texts(consumersGiven);
  const deadLetters = integers(versions).flatMap((version, i) => {
    const event = tables.events.get(tx, `${uuid(orderId)} ${version}`);
    return event === null ? [] : [{ consumer: consumers[i] as string, position: event.position }];
  });
  const changes = [...tables.cursors.all(tx)]
    .sort((one, other) => compare(one.row.reader, other.row.reader))
    .flatMap((found) => {
      const again = deadLetters.filter((one) => isOf(one.consumer, found.row) && one.position <= found.row.read_to);
      if (again.length === 0) return [];
      const spans = again.map(({ position }) => ({ from: position, to: position }));
      const to = (row: CursorRow) => ({ ...row, gaps: toMultirange(union([...toSpans(row.gaps), ...spans])) });
      return [{ found, where: () => true, to }];
    });
  yield* tables.cursors.change(tx, changes);
  return [];
}

export const cursorStatements: Readonly<Record<string, Statement>> = {
  'hold-cursor': hold,

  'release-cursor': function* ({ tables, tx }, [reader, tokenGiven]) {
    const token = uuid(tokenGiven);
    const change = {
      found: tables.cursors.find(tx, text(reader)),
      where: (row: CursorRow) => equal(row.token, token),
      to: (row: CursorRow) => ({ ...row, token: null, lease_until: -Infinity }),
    };
    yield* tables.cursors.change(tx, [change]);
    return [];
  },

  'read-events': look,

  'store-cursor': function* (ask, [reader, tokenGiven, readTo, gaps, ...to]) {
    const [token, isExpected] = [uuid(tokenGiven), isAt(readTo, gaps)];
    const moved = yield* move(ask, reader, (row) => equal(row.token, token) && isExpected(row), to);
    return moved.map(() => ({ xact: String(ask.tx.assignXid()) }));
  },

  'lock-cursor': ({ tables, tx }, [reader]) => {
    const found = tables.cursors.find(tx, text(reader));
    if (found === null || !tables.cursors.tryLock(tx, found)) return [];
    return [{ ...stateOf(found.row), xact: String(tx.assignXid()) }];
  },

  'move-cursor': function* (ask, [reader, readTo, gaps, ...to]) {
    return ones(yield* move(ask, reader, isAt(readTo, gaps), to));
  },

  'carry-along': function* ({ tables, tx, nowMs }, [reader]) {
    const read_to = tables.eventsAbove(0).at(-1)?.position ?? null;
    const where = (row: CursorRow) =>
      Number(row.lease_until) <= nowMs() && ((read_to !== null && row.read_to < read_to) || row.gaps !== '{}');
    const to = (row: CursorRow) => ({ ...row, read_to: read_to as number, gaps: '{}' });
    yield* tables.cursors.change(tx, [{ found: tables.cursors.find(tx, text(reader)), where, to }]);
    return [];
  },

  'park-events': parkEvents,

  'reopen-events': reopenEvents,
};

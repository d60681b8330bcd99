// dead_letters, attempts and the timeline: dead-letters.ts, timeline.ts, and desk.ts' question for a letter.

import { type DeliveryRow, deliveryKey, type EventRow, type LetterRow } from '../schema.ts';
import { bytes, integer, integers, text, texts, time, times, uuid, uuids } from '../values.ts';
import { type Ask, compare, type Row, type Statement } from './statement.ts';

const isOpen = (l: LetterRow) => l.closed_at === null;
const keyColumns = ({ id, consumer, delivery_id }: LetterRow): Row => ({ id, consumer, delivery_id });
const unclosed = { raw: null, closed_at: null, closed_how: null };

function* writeLetters({ tables, tx }: Ask, values: readonly unknown[]) {
  const [ids, orders, consumers, eventIds, types] = [
    uuids(values[0]),
    uuids(values[1]),
    texts(values[2]),
    uuids(values[3]),
    texts(values[4]),
  ];
  const [classes, codes, messages, attempts, moments] = [
    texts(values[5]),
    texts(values[6]),
    texts(values[7]),
    integers(values[8]),
    times(values[9]),
  ];
  for (const [i, id] of ids.entries()) {
    const event_id = eventIds[i] as string;
    yield* tables.deadLetters.insert(tx, {
      ...{ id, order_id: orders[i] as string, consumer: consumers[i] as string, delivery_id: event_id, event_id },
      ...{ event_type: types[i] as string, failure_class: classes[i] as string, code: codes[i] as string },
      ...{ message: messages[i] as string, attempts: attempts[i] as number, failed_at: moments[i] as Date },
      ...unclosed,
    });
  }
  return [];
}

function* writeAttempts({ tables, tx, nowMs }: Ask, values: readonly unknown[]) {
  const [orders, consumers, eventIds, epochs, attempts] = [
    uuids(values[0]),
    texts(values[1]),
    uuids(values[2]),
    integers(values[3]),
    integers(values[4]),
  ];
  const [outcomes, codes, messages, dues, moments] = [
    texts(values[5]),
    texts(values[6]),
    texts(values[7]),
    integers(values[8]),
    times(values[9]),
  ];
  const tookMs = (i: number): number | null => {
    const d = tables.deliveries.get(tx, deliveryKey(eventIds[i] as string, consumers[i] as string));
    return d === null || d.started_at === null ? null : Math.round(nowMs() - d.started_at.getTime());
  };
  for (const [i, order_id] of orders.entries()) {
    yield* tables.attempts.insert(tx, {
      ...{ order_id, consumer: consumers[i] as string, event_id: eventIds[i] as string, epoch: epochs[i] as number },
      ...{ attempt: attempts[i] as number, outcome: outcomes[i] as string, code: codes[i] as string },
      ...{ message: messages[i] as string, due_in_ms: dues[i] as number | null, at: moments[i] as Date },
      duration_ms: ['takeover', 'skipped'].includes(outcomes[i] as string) ? null : tookMs(i),
    });
  }
  return [];
}

// PostgreSQL runs the INSERT of the statement first, and the one of its WITH after it.
function* parkUnread({ tables, tx }: Ask, values: readonly unknown[]) {
  const [id, delivery_id, consumer, token] = [uuid(values[0]), uuid(values[1]), text(values[2]), uuid(values[3])];
  const letter: LetterRow = {
    ...{ id, order_id: null, consumer, delivery_id, event_id: uuid(values[4]), event_type: text(values[5]) },
    ...{ failure_class: 'non-retryable', code: text(values[6]), message: text(values[7]), attempts: 1 },
    ...{ failed_at: time(values[8]), raw: bytes(values[9]), closed_at: null, closed_how: null },
  };
  yield* tables.deadLetters.insert(tx, letter, 'open');
  const delivery: DeliveryRow = {
    ...{ event_id: delivery_id, consumer, order_id: null, state: 'dead', token },
    ...{ epoch: 0, attempt: 1, takeovers: 0, due_at: null, waiting_since: null, started_at: null, ended_at: null },
  };
  yield* tables.deliveries.upsert(tx, delivery, (d) => ({ ...d, state: 'dead', due_at: null }));
  return [];
}

const listLetters: Statement = ({ tables, tx }, [limit, afterTime, afterId, consumerGiven, codeGiven]) => {
  const [after, id, consumer, code] = [time(afterTime), uuid(afterId), text(consumerGiven), text(codeGiven)];
  const isBehind = (l: LetterRow) => {
    if (after === null) return true;
    const ms = l.failed_at.getTime() - after.getTime();
    return ms < 0 || (ms === 0 && l.id < id);
  };
  const letters = [...tables.deadLetters.all(tx)]
    .map(({ row }) => row)
    .filter((l) => isOpen(l) && isBehind(l))
    .filter((l) => (consumer === null || l.consumer === consumer) && (code === null || l.code === code));
  letters.sort((one, other) => Number(other.failed_at) - Number(one.failed_at) || compare(other.id, one.id));
  return letters.slice(0, integer(limit) + 1).map(({ raw, closed_at, closed_how, ...l }) => {
    const order = l.order_id === null ? null : tables.orders.get(tx, l.order_id);
    return {
      ...l,
      status: order?.status ?? null,
      amount: order?.amount ?? null,
      currency: order?.currency ?? null,
    };
  });
};

const entry = {
  ...{ consumer: null, attempt: null, outcome: null, code: null, event_id: null, correlation_id: null },
  ...{ causation_id: null, position: 0, traceparent: null, duration_ms: null, due_at: null, ended_at: null },
};

const orderTimeline: Statement = ({ tables, tx, nowMs }, [orderGiven, limit, consumersGiven, typesGiven]) => {
  const order = uuid(orderGiven);
  const [consumers, types] = [texts(consumersGiven), texts(typesGiven)];
  const events = tables.events.findAll(tx, 'order', order).map(({ row }) => row);
  const facts = events.map((e) => ({
    ...{ ...entry, at: e.time, kind: 'fact', type: e.type, detail: e.data as unknown, event_id: e.id },
    ...{ correlation_id: e.correlation_id, causation_id: e.causation_id, position: e.version },
    traceparent: e.traceparent,
  }));
  const attempts = tables.attempts.findAll(tx, 'order', order).map(({ row: a }) => ({
    ...{ ...entry, at: a.at, kind: 'attempt', type: a.outcome, consumer: a.consumer, attempt: a.attempt },
    ...{ outcome: a.outcome, code: a.code, detail: { message: a.message, dueInMs: a.due_in_ms } },
    ...{ event_id: a.event_id, duration_ms: a.duration_ms },
  }));
  const letters = tables.deadLetters.findAll(tx, 'order', order).flatMap(({ row: l }) => {
    const both = { ...entry, kind: 'letter', consumer: l.consumer, code: l.code, event_id: l.event_id };
    const parked = { type: 'dead-letter', attempt: l.attempts, outcome: 'parked', position: 1 };
    const closed = { type: 'dead-letter-closed', outcome: l.closed_how };
    const isOpen = l.closed_at === null;
    const opened = { ...both, ...parked, at: l.failed_at, detail: { message: l.message, isOpen } };
    return l.closed_at === null
      ? [opened]
      : [opened, { ...both, ...closed, at: l.closed_at, detail: { message: l.message } }];
  });
  const acts = tables.auditLog.findAll(tx, 'order', order).map(({ row: g }) => ({
    ...{ ...entry, at: g.at, kind: 'audit', type: g.action, detail: g.detail },
    correlation_id: g.correlation_id,
  }));
  const shared = (e: EventRow) => ({ ...entry, at: null, event_id: e.id, correlation_id: e.correlation_id });
  const deliveries = events.flatMap((e) =>
    [...new Set(tables.subscribers)].flatMap((consumer) => {
      const d = tables.deliveries.get(tx, deliveryKey(e.id, consumer));
      if (d === null) return [];
      const isShown = d.state === 'done' && d.started_at !== null && consumers.includes(consumer);
      if (d.due_at === null && !isShown) return [];
      const isDue = d.due_at !== null && d.due_at.getTime() <= nowMs();
      const isOver = d.ended_at !== null && d.started_at !== null;
      return [
        {
          ...{ ...shared(e), kind: 'delivery', type: d.state, consumer, attempt: d.attempt, outcome: d.state },
          detail: { factType: e.type, isUncharged: d.waiting_since !== null, isDue },
          duration_ms: isOver ? Math.round(Number(d.ended_at) - Number(d.started_at)) : null,
          ...{ due_at: d.due_at, ended_at: d.ended_at },
        },
      ];
    }),
  );
  const unclaimed = events.flatMap((e) =>
    consumers.flatMap((consumer, i) => {
      const mark = tables.watermarks.get(tx, `${consumer} ${e.type}`);
      if (types[i] !== e.type || mark === null || Number(e.xid) <= Number(mark.xid)) return [];
      if (tables.deliveries.get(tx, deliveryKey(e.id, consumer)) !== null) return [];
      return [{ ...shared(e), kind: 'unclaimed', type: 'unclaimed', consumer, detail: { factType: e.type } }];
    }),
  );
  const all: (Row & { at: Date | null; position: number })[] = [...facts, ...attempts, ...letters, ...acts];
  const timeOf = ({ at }: { at: Date | null }) => at?.getTime() ?? Number.POSITIVE_INFINITY;
  all.sort((one, other) => timeOf(one) - timeOf(other) || one.position - other.position);
  return [...all, ...deliveries, ...unclaimed].slice(-integer(limit));
};

export const letterStatements: Readonly<Record<string, Statement>> = {
  'write-letters': writeLetters,

  'write-attempts': writeAttempts,

  'park-unread': parkUnread,

  'list-letters': listLetters,

  'order-timeline': orderTimeline,

  'read-open-letters': function* ({ tables, tx }, [order]) {
    const open = tables.deadLetters.findAll(tx, 'order', uuid(order)).filter(({ row }) => isOpen(row));
    open.sort((one, other) => compare(one.row.id, other.row.id));
    return (yield* tables.deadLetters.lockAll(tx, open, isOpen)).map(({ row }) => keyColumns(row));
  },

  'close-letters': function* ({ tables, tx }, [ids, at, how]) {
    const closed = { closed_at: time(at), closed_how: text(how) };
    const changes = [...new Set(uuids(ids))].sort(compare).map((id) => ({
      found: tables.deadLetters.find(tx, id),
      where: isOpen,
      to: (l: LetterRow): LetterRow => ({ ...l, ...closed }),
    }));
    return (yield* tables.deadLetters.change(tx, changes)).map(keyColumns);
  },

  'find-letter': ({ tables, tx }, [id]) => {
    const letter = tables.deadLetters.get(tx, uuid(id));
    return letter !== null && isOpen(letter) ? [{ order_id: letter.order_id }] : [];
  },
};

// dead_letters, attempts and the timeline: dead-letters.ts, timeline.ts, and desk.ts' question for a dead letter.

import type { DeadLetterRow } from '../schema.ts';
import { integer, integers, text, texts, time, times, uuid, uuids } from '../values.ts';
import { type Ask, compare, type Row, type Statement } from './statement.ts';

const isOpen = (l: DeadLetterRow) => l.closed_at === null;
const keyColumns = ({ id, version, consumer, event_id, event_type, epoch }: DeadLetterRow): Row => ({
  ...{ id, version, consumer, event_id, event_type, epoch },
});

function* writeDeadLetters({ tables, tx }: Ask, values: readonly unknown[]) {
  const [ids, orders, versions, consumers] = [
    uuids(values[0]),
    uuids(values[1]),
    integers(values[2]),
    texts(values[3]),
  ];
  const [eventIds, types, epochs] = [uuids(values[4]), texts(values[5]), integers(values[6])];
  const [classes, codes, messages] = [texts(values[7]), texts(values[8]), texts(values[9])];
  const [attempts, moments, partners] = [integers(values[10]), times(values[11]), texts(values[12])];
  for (const [i, id] of ids.entries()) {
    yield* tables.deadLetters.insert(tx, {
      ...{ id, order_id: orders[i] as string, version: versions[i] as number, consumer: consumers[i] as string },
      ...{ event_id: eventIds[i] as string, event_type: types[i] as string, epoch: epochs[i] as number },
      ...{ failure_class: classes[i] as string, code: codes[i] as string, message: messages[i] as string },
      ...{ attempts: attempts[i] as number, failed_at: moments[i] as Date, closed_at: null, closed_how: null },
      partner: partners[i] as string,
    });
  }
  return [];
}

function* writeAttempts({ tables, tx }: Ask, values: readonly unknown[]) {
  const [orders, consumers, eventIds, epochs, attempts] = [
    uuids(values[0]),
    texts(values[1]),
    uuids(values[2]),
    integers(values[3]),
    integers(values[4]),
  ];
  const [outcomes, codes, messages] = [texts(values[5]), texts(values[6]), texts(values[7])];
  const [dues, moments, durations] = [integers(values[8]), times(values[9]), integers(values[10])];
  for (const [i, order_id] of orders.entries()) {
    yield* tables.attempts.insert(tx, {
      ...{ order_id, consumer: consumers[i] as string, event_id: eventIds[i] as string, epoch: epochs[i] as number },
      ...{ attempt: attempts[i] as number, outcome: outcomes[i] as string, code: codes[i] as string },
      ...{ message: messages[i] as string, due_in_ms: dues[i] as number | null, at: moments[i] as Date },
      duration_ms: durations[i] as number | null,
    });
  }
  return [];
}

const listDeadLetters: Statement = ({ tables, tx }, [limit, afterTime, afterId, consumerGiven, codeGiven]) => {
  const [after, id, consumer, code] = [time(afterTime), uuid(afterId), text(consumerGiven), text(codeGiven)];
  const isBehind = (l: DeadLetterRow) => {
    if (after === null) return true;
    const ms = l.failed_at.getTime() - after.getTime();
    return ms < 0 || (ms === 0 && l.id < id);
  };
  const deadLetters = [...tables.deadLetters.all(tx)]
    .map(({ row }) => row)
    .filter((l) => isOpen(l) && isBehind(l))
    .filter((l) => (consumer === null || l.consumer === consumer) && (code === null || l.code === code));
  deadLetters.sort((one, other) => Number(other.failed_at) - Number(one.failed_at) || compare(other.id, one.id));
  return deadLetters.slice(0, integer(limit) + 1).flatMap(({ version, epoch, ...l }) => {
    const order = tables.orders.get(tx, l.order_id);
    if (order === null) return [];
    const { status, amount, currency, country } = order;
    const isEarlier = (one: DeadLetterRow) =>
      one.failed_at <= l.failed_at && (one.failed_at < l.failed_at || one.id <= l.id);
    const times = tables.deadLetters
      .findAll(tx, 'order', l.order_id)
      .filter(({ row }) => row.version === version && row.consumer === l.consumer && isEarlier(row)).length;
    return [{ ...l, times, status, amount, currency, country }];
  });
};

const entry = {
  ...{ consumer: null, attempt: null, outcome: null, code: null, event_id: null, correlation_id: null },
  ...{ causation_id: null, position: 0, traceparent: null, duration_ms: null, until: null },
};

const orderTimeline: Statement = ({ tables, tx, nowMs }, [orderGiven, limit]) => {
  const order = uuid(orderGiven);
  const events = tables.events.findAll(tx, 'order', order).map(({ row: e }) => ({
    ...{ ...entry, at: e.time, kind: 'event', type: e.type, detail: e.data as unknown, event_id: e.id },
    ...{ correlation_id: e.correlation_id, causation_id: e.causation_id, position: e.version },
    ...{ traceparent: e.traceparent, attempt: e.attempt, duration_ms: e.duration_ms },
  }));
  const attempts = tables.attempts.findAll(tx, 'order', order).map(({ row: a }) => ({
    ...{ ...entry, at: a.at, kind: 'attempt', type: a.outcome, consumer: a.consumer, attempt: a.attempt },
    ...{ outcome: a.outcome, code: a.code, detail: { message: a.message, dueInMs: a.due_in_ms } },
    ...{ event_id: a.event_id, duration_ms: a.duration_ms },
  }));
  const deadLetters = tables.deadLetters.findAll(tx, 'order', order).flatMap(({ row: l }) => {
    const both = { ...entry, kind: 'dead letter', consumer: l.consumer, code: l.code, event_id: l.event_id };
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
  const down = [...tables.dependencies.all(tx)].map(({ row }) => row.name);
  const jobs = tables.jobs.findAll(tx, 'order', order).flatMap(({ row: j }) => {
    const e = tables.events.get(tx, `${order} ${j.version}`);
    if (e === null) return [];
    const until = j.lease_until ?? j.due_at;
    const isUncharged = j.waiting_since !== null;
    const isDue = until.getTime() <= nowMs();
    const isUnclaimed = j.token === null && j.attempt === 0 && !isUncharged;
    const type = j.token !== null ? 'running' : isUnclaimed ? 'unclaimed' : 'waiting';
    return [
      {
        ...{ ...entry, at: null, kind: 'job', type, consumer: j.consumer, attempt: j.attempt, event_id: e.id },
        ...{ correlation_id: e.correlation_id, until: isUnclaimed ? null : until },
        detail: { eventType: e.type, isUncharged, isDue, isDown: down.length === 0 ? null : down },
      },
    ];
  });
  const all: (Row & { at: Date | null; position: number })[] = [
    ...events,
    ...attempts,
    ...deadLetters,
    ...acts,
    ...jobs,
  ];
  const timeOf = ({ at }: { at: Date | null }) => at?.getTime() ?? Number.POSITIVE_INFINITY;
  all.sort((one, other) => timeOf(one) - timeOf(other) || one.position - other.position);
  return all.slice(-integer(limit));
};

export const deadLetterStatements: Readonly<Record<string, Statement>> = {
  'write-dead-letters': writeDeadLetters,

  'write-attempts': writeAttempts,

  'list-dead-letters': listDeadLetters,

  'order-timeline': orderTimeline,

  'read-open-dead-letters': function* ({ tables, tx }, [order]) {
    const open = tables.deadLetters.findAll(tx, 'order', uuid(order)).filter(({ row }) => isOpen(row));
    open.sort(({ row: one }, { row: other }) => one.version - other.version || compare(one.id, other.id));
    return (yield* tables.deadLetters.lockAll(tx, open, isOpen)).map(({ row }) => keyColumns(row));
  },

  'close-dead-letters': function* ({ tables, tx }, [ids, at, how]) {
    const closed = { closed_at: time(at), closed_how: text(how) };
    const changes = [...new Set(uuids(ids))].sort(compare).map((id) => ({
      found: tables.deadLetters.find(tx, id),
      where: isOpen,
      to: (l: DeadLetterRow): DeadLetterRow => ({ ...l, ...closed }),
    }));
    return (yield* tables.deadLetters.change(tx, changes)).map(keyColumns);
  },

  'find-dead-letter': ({ tables, tx }, [id]) => {
    const deadLetter = tables.deadLetters.get(tx, uuid(id));
    return deadLetter !== null && isOpen(deadLetter) ? [{ order_id: deadLetter.order_id }] : [];
  },
};

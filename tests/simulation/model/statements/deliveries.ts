// deliveries: deliveries.ts, and what dead-letters.ts does to them.

import type { DeliveryRow } from '../schema.ts';
import { deliveryKey } from '../schema.ts';
import { float, floats, integer, integers, text, texts, uuid, uuids } from '../values.ts';
import { type Ask, compare, equal, isOver, laterBy, ones, type Statement } from './statement.ts';

type Write = Omit<DeliveryRow, 'due_at' | 'waiting_since' | 'started_at' | 'ended_at'> & {
  readonly dueInMs: number | null;
  readonly wait: string;
};

function writesOf(values: readonly unknown[]): Write[] {
  const [eventIds, consumers, orders, states, tokens] = [
    uuids(values[0]),
    texts(values[1]),
    uuids(values[2]),
    texts(values[3]),
    uuids(values[4]),
  ];
  const [epochs, attempts, takeovers, dues, waits] = [
    integers(values[5]),
    integers(values[6]),
    integers(values[7]),
    floats(values[8]),
    texts(values[9]),
  ];
  return eventIds.map((event_id, i) => ({
    event_id,
    consumer: consumers[i] as string,
    order_id: orders[i] as string | null,
    state: states[i] as string,
    token: tokens[i] as string | null,
    epoch: epochs[i] as number,
    attempt: attempts[i] as number,
    takeovers: takeovers[i] as number,
    dueInMs: dues[i] as number | null,
    wait: waits[i] as string,
  }));
}

function* claimDeliveries({ tables, tx, nowMs }: Ask, values: readonly unknown[]) {
  let written = 0;
  for (const { dueInMs, wait, ...write } of writesOf(values)) {
    const waiting_since = wait === 'start' ? new Date(nowMs()) : null;
    const started_at = write.state === 'running' ? new Date(nowMs()) : null;
    const row = { ...write, due_at: laterBy(nowMs(), dueInMs), waiting_since, started_at, ended_at: null };
    const taken = (d: DeliveryRow): DeliveryRow | null =>
      isOver(d.due_at, nowMs())
        ? {
            ...row,
            order_id: d.order_id,
            waiting_since: d.waiting_since ?? row.waiting_since,
            started_at: started_at ?? d.started_at,
            ended_at: d.ended_at,
          }
        : null;
    if (yield* tables.deliveries.upsert(tx, row, taken, row.token)) written += 1;
  }
  return ones(Array(written).fill(1));
}

function waitingSince(d: DeliveryRow, wait: string, nowMs: number): Date | null {
  if (wait === 'end') return null;
  return wait === 'start' ? (d.waiting_since ?? new Date(nowMs)) : d.waiting_since;
}

function* endDeliveries({ tables, tx, nowMs }: Ask, values: readonly unknown[]) {
  const changes = writesOf(values).map((w) => ({
    found: tables.deliveries.find(tx, deliveryKey(w.event_id, w.consumer)),
    where: (d: DeliveryRow) => equal(d.token, w.token) && d.state === 'running',
    to: (d: DeliveryRow): DeliveryRow => ({
      ...d,
      state: w.state,
      attempt: w.attempt,
      due_at: laterBy(nowMs(), w.dueInMs),
      waiting_since: waitingSince(d, w.wait, nowMs()),
      ended_at: new Date(nowMs()),
    }),
    token: w.token,
  }));
  return ones(yield* tables.deliveries.change(tx, changes));
}

function* renewLeases({ tables, tx, nowMs }: Ask, values: readonly unknown[]) {
  const [eventIds, consumers, tokens, leaseMs] = [
    uuids(values[0]),
    texts(values[1]),
    uuids(values[2]),
    float(values[3]),
  ];
  const now = nowMs();
  const mine = eventIds.flatMap((eventId, i) => {
    const found = tables.deliveries.find(tx, deliveryKey(eventId, consumers[i] as string));
    if (found === null || !equal(found.row.token, tokens[i]) || found.row.state !== 'running') return [];
    return isOver(found.row.due_at, now) ? [] : [found];
  });
  mine.sort((one, other) => compare(one.slot.key, other.slot.key));
  const locked = mine.filter((found) => tables.deliveries.tryLock(tx, found));
  const to = (d: DeliveryRow) => ({ ...d, due_at: laterBy(nowMs(), leaseMs) });
  yield* tables.deliveries.change(
    tx,
    locked.map((found) => ({ found, where: () => true, to })),
  );
  return [];
}

export const deliveryStatements: Readonly<Record<string, Statement>> = {
  'read-deliveries': ({ tables, tx, nowMs }, [eventIds, consumersGiven]) => {
    const consumers = texts(consumersGiven);
    const now = nowMs();
    return uuids(eventIds).flatMap((eventId, i) => {
      const d = tables.deliveries.get(tx, deliveryKey(eventId, consumers[i] as string));
      if (d === null) return [];
      const { event_id, consumer, state, token, epoch, attempt, takeovers } = d;
      const waited_ms = d.waiting_since === null ? 0 : now - d.waiting_since.getTime();
      return [
        { event_id, consumer, state, token, epoch, attempt, takeovers, is_due: isOver(d.due_at, now), waited_ms },
      ];
    });
  },

  'claim-deliveries': claimDeliveries,

  'end-deliveries': endDeliveries,

  'renew-leases': renewLeases,

  'find-lost-leases': ({ tables, tx, nowMs }, values) => {
    const [eventIds, consumers, tokens] = [uuids(values[0]), texts(values[1]), uuids(values[2])];
    const now = nowMs();
    return eventIds.flatMap((eventId, i) => {
      const d = tables.deliveries.get(tx, deliveryKey(eventId, consumers[i] as string));
      const isHeld =
        (d?.token ?? null) === tokens[i] && (d === null || (d.state === 'running' && !isOver(d.due_at, now)));
      return isHeld ? [] : [{ token: tokens[i] }];
    });
  },

  'read-due': ({ tables, tx, nowMs }, [consumerGiven, limit, waitedLongerThanMs]) => {
    const consumer = text(consumerGiven);
    const now = nowMs();
    const since = waitedLongerThanMs === null ? null : now - float(waitedLongerThanMs);
    const due = tables.deliveries
      .findAll(tx, 'due', consumer)
      .map(({ row }) => row)
      .filter((d) => isOver(d.due_at, now))
      .filter((d) => since === null || (d.waiting_since !== null && d.waiting_since.getTime() < since));
    due.sort((one, other) => Number(one.due_at) - Number(other.due_at));
    return due.slice(0, integer(limit)).map((d) => {
      if (d.order_id !== null) return { event_id: d.event_id, raw: null };
      const letters = tables.deadLetters.findAll(tx, 'delivery', deliveryKey(d.event_id, consumer));
      letters.sort((one, other) => Number(other.row.failed_at) - Number(one.row.failed_at));
      return { event_id: d.event_id, raw: letters[0]?.row.raw ?? null };
    });
  },

  'end-all-leases': function* ({ tables, tx, nowMs }) {
    const where = (d: DeliveryRow) => d.state === 'running';
    const to = (d: DeliveryRow) => ({ ...d, due_at: new Date(nowMs()) });
    yield* tables.deliveries.change(
      tx,
      [...tables.deliveries.all(tx)].map((found) => ({ found, where, to })),
    );
    return [];
  },

  'reopen-deliveries': function* ({ tables, tx, nowMs }, [eventIds, consumersGiven]) {
    const consumers = texts(consumersGiven);
    const changes = uuids(eventIds).map((eventId, i) => ({
      found: tables.deliveries.find(tx, deliveryKey(eventId, consumers[i] as string)),
      where: (d: DeliveryRow) => d.state === 'dead',
      to: (d: DeliveryRow): DeliveryRow => ({
        ...d,
        state: 'waiting',
        due_at: new Date(nowMs()),
        epoch: d.epoch + 1,
        attempt: 0,
        takeovers: 0,
        waiting_since: null,
      }),
    }));
    yield* tables.deliveries.change(tx, changes);
    return [];
  },

  'finish-unread': function* ({ tables, tx }, [eventId, consumer]) {
    const found = tables.deliveries.find(tx, deliveryKey(uuid(eventId), text(consumer)));
    const where = (d: DeliveryRow) => d.order_id === null && d.state === 'waiting';
    yield* tables.deliveries.change(tx, [{ found, where, to: (d) => ({ ...d, state: 'done', due_at: null }) }]);
    return [];
  },
};

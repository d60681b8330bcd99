// What cleanup.ts removes. It runs rarely, so it may look at every row.

import type { AttemptRow, DeliveryRow, KeyRow, LetterRow } from '../schema.ts';
import { deliveryKey } from '../schema.ts';
import type { Change, Found } from '../table.ts';
import { integer, time, uuid } from '../values.ts';
import { compare, ones, type Statement } from './statement.ts';

const remove = <R>(found: Found<R>, where: (row: R) => boolean = () => true): Change<R> => ({
  found,
  where,
  to: () => null,
});

export const cleanupStatements: Readonly<Record<string, Statement>> = {
  'remove-old-keys': function* ({ tables, tx }, [before, limit]) {
    const beforeMs = time(before).getTime();
    const isOld = ({ row }: Found<KeyRow>) => row.created_at.getTime() < beforeMs;
    const old = [...tables.idempotencyKeys.all(tx)].filter(isOld).slice(0, integer(limit));
    return ones(
      yield* tables.idempotencyKeys.change(
        tx,
        old.map((found) => remove(found)),
      ),
    );
  },

  'remove-old-deliveries': function* ({ tables, tx }, [before, limit]) {
    const beforeId = uuid(before);
    const isEnded = (d: DeliveryRow) => d.due_at === null;
    const isOld = ({ row: d }: Found<DeliveryRow>) => {
      if (d.event_id >= beforeId || !isEnded(d)) return false;
      const event = tables.events.get(tx, d.event_id);
      const mark = event && tables.watermarks.get(tx, `${d.consumer} ${event.type}`);
      if (!event || !mark || Number(event.xid) > Number(mark.xid)) return false;
      return tables.deadLetters.findAll(tx, 'open', deliveryKey(d.event_id, d.consumer)).length === 0;
    };
    const old = [...tables.deliveries.all(tx)].filter(isOld);
    old.sort((one, other) => compare(one.row.event_id, other.row.event_id));
    const changes = old.slice(0, integer(limit)).map((found) => remove(found, isEnded));
    return ones(yield* tables.deliveries.change(tx, changes));
  },

  'remove-old-attempts': function* ({ tables, tx }, [before, limit]) {
    const beforeMs = time(before).getTime();
    const isOld = ({ row }: Found<AttemptRow>) => row.at.getTime() < beforeMs;
    const old = [...tables.attempts.all(tx)].filter(isOld).slice(0, integer(limit));
    return ones(
      yield* tables.attempts.change(
        tx,
        old.map((found) => remove(found)),
      ),
    );
  },

  'remove-old-letters': function* ({ tables, tx }, [before, limit]) {
    const beforeMs = time(before).getTime();
    const isOld = ({ row }: Found<LetterRow>) => row.closed_at !== null && row.closed_at.getTime() < beforeMs;
    const old = [...tables.deadLetters.all(tx)].filter(isOld).slice(0, integer(limit));
    // The second part of the statement sees the deliveries as the first one found them.
    const isUnread = (d: DeliveryRow) => d.order_id === null && d.due_at === null && d.state !== 'dead';
    const deliveries = new Map(
      old.flatMap(({ row }) => {
        const found = tables.deliveries.find(tx, deliveryKey(row.delivery_id, row.consumer));
        return found === null ? [] : [[row.id, found] as const];
      }),
    );
    const removed = yield* tables.deadLetters.change(
      tx,
      old.map((found) => remove(found)),
    );
    const unread = removed.flatMap((letter) => {
      const found = deliveries.get(letter.id);
      return found === undefined ? [] : [remove(found, isUnread)];
    });
    yield* tables.deliveries.change(tx, unread);
    return removed.map(() => ({}));
  },
};

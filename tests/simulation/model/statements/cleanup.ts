// What cleanup.ts removes. It runs rarely, so it may look at every row.

import type { AttemptRow, DeadLetterRow, KeyRow } from '../schema.ts';
import type { Change, Found } from '../table.ts';
import { integer, time } from '../values.ts';
import { ones, type Statement } from './statement.ts';

const remove = <R>(found: Found<R>): Change<R> => ({ found, where: () => true, to: () => null });

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

  'remove-old-dead-letters': function* ({ tables, tx }, [before, limit]) {
    const beforeMs = time(before).getTime();
    const isOld = ({ row }: Found<DeadLetterRow>) => row.closed_at !== null && row.closed_at.getTime() < beforeMs;
    const old = [...tables.deadLetters.all(tx)].filter(isOld).slice(0, integer(limit));
    return ones(
      yield* tables.deadLetters.change(
        tx,
        old.map((found) => remove(found)),
      ),
    );
  },

  // Nobody replays there.
  'remove-old-replay-letters': () => [],
  'remove-old-replays': () => [],
};

// How a reader has the cursor to itself for a round: by a lease, or by the row's lock.
//
// Leased: no transaction is open while the outside is met. One reader at a time has the lease, and what it does
// outlasts the lease by nothing: the signal aborts. A reader that froze meanwhile misses its store, for the token or
// the row has changed. Stores are gathered; what was handled and not stored is handled again after a crash.
// Locked: read, writes and cursor are one transaction, so everything is exactly once; others skip the locked row.
// Both drop what they know in memory when anything fails, and begin again from the row.

import type { CursorDeadLetter, CursorState, Cursors, LoggedEvent, Refused, Snapshot } from './event-log.ts';
import { createGapMemory, isSame } from './gaps.ts';
import type { System } from './ports.ts';

// With a read a second, a dead letter that was sent back is seen within ten.
const idleReadsMax = 10;

export type View = {
  readonly read: (limit: number) => Promise<Snapshot>;
  readonly handle: (events: readonly LoggedEvent[]) => Promise<readonly Refused[]>;
  // The first `passed` events of the read are handled; the dead letters are stored with that.
  readonly advance: (snapshot: Snapshot, passed: number, deadLetters: readonly CursorDeadLetter[]) => Step;
};
export type Step = {
  readonly to: CursorState;
  readonly deadLetters: readonly CursorDeadLetter[];
  readonly passed: number;
  readonly found: number;
};

export type Turns = {
  // One round with at most `limit` events. Null = another reader has the cursor.
  readonly take: (work: (view: View) => Promise<Step>, limit: number, signal: AbortSignal) => Promise<Step | null>;
  // Until what is handled and not stored may be stored; infinite where everything is.
  readonly storesInMs: () => number;
  // Stores what is not stored yet and lets others have their turn. Never rejects.
  readonly giveUp: () => Promise<void>;
};

export function createLeasedTurns(options: {
  readonly reader: string;
  readonly cursors: Pick<Cursors<never>, 'hold' | 'release' | 'read' | 'store'>;
  // Longer than `handle` may take: it is given at least two thirds of it.
  readonly leaseMs: number;
  // Between two stores at the least; 0 = after every batch.
  readonly storeEveryMs: number;
  readonly handle: (events: readonly LoggedEvent[], signal: AbortSignal) => Promise<readonly Refused[]>;
  readonly system: System;
}): Turns {
  const { reader, cursors, leaseMs, storeEveryMs, handle, system } = options;
  const token = system.newToken();
  const memory = createGapMemory();
  // What the row says, and how far this reader is since.
  let held: { stored: CursorState; at: CursorState; heldAtMs: number; storedAtMs: number } | null = null;

  async function hold(): Promise<NonNullable<typeof held> | null> {
    // A lease is counted from before the call, so that ours never outlasts the database's.
    const nowMs = system.monotonicMs();
    if (held !== null && nowMs - held.heldAtMs < leaseMs / 3) return held;
    const row = await cursors.hold(reader, token, leaseMs);
    if (row === null) held = null;
    // Somebody else has moved it, or wants an event handled again: what is ahead of the row is done anew.
    else if (held === null || !isSame(row, held.stored)) {
      held = { stored: row, at: row, heldAtMs: nowMs, storedAtMs: Number.NEGATIVE_INFINITY };
    } else held.heldAtMs = nowMs;
    return held;
  }

  async function store(holding: NonNullable<typeof held>, deadLetters: readonly CursorDeadLetter[]): Promise<void> {
    const { stored: from, at: to } = holding;
    held = null;
    const xact = await cursors.store({ reader, token, from, to, deadLetters });
    if (xact === null) return;
    memory.stamp(xact);
    held = { ...holding, stored: to, storedAtMs: system.monotonicMs() };
  }

  // `handle` is aborted when the lease is over, and not begun after that.
  async function withinLease(events: readonly LoggedEvent[], endsAtMs: number, signal: AbortSignal) {
    const bound = new AbortController();
    const abort = () => bound.abort(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    const leftMs = endsAtMs - system.monotonicMs();
    const end = () => bound.abort(new Error(`the lease on the cursor of ${reader} ran out`));
    if (leftMs <= 0) end();
    const timer = system.after(Math.max(0, leftMs), end);
    try {
      bound.signal.throwIfAborted();
      return await handle(events, bound.signal);
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', abort);
    }
  }

  const isDirty = ({ stored, at }: NonNullable<typeof held>) => !isSame(stored, at) || memory.hasUnstamped();

  return {
    take: async (work, limit, signal) => {
      const holding = await hold();
      if (holding === null) return null;
      const { at, heldAtMs, storedAtMs } = holding;
      const step = await work({
        read: (most) => cursors.read(at, most),
        handle: (events) => withinLease(events, heldAtMs + leaseMs, signal),
        advance: toStep(memory, at, limit),
      });
      holding.at = step.to;
      const isDue = system.monotonicMs() - storedAtMs >= storeEveryMs && isDirty(holding);
      if (isDue || step.deadLetters.length > 0) await store(holding, step.deadLetters);
      return step;
    },
    storesInMs: () =>
      held !== null && isDirty(held) ? Math.max(0, held.storedAtMs + storeEveryMs - system.monotonicMs()) : Infinity,
    // Process dies before this: the lease ends by itself.
    giveUp: async () => {
      const holding = held;
      held = null;
      if (holding !== null && isDirty(holding)) await store(holding, []).catch(() => {});
      held = null;
      await cursors.release(reader, token).catch(() => {});
    },
  };
}

export function createLockedTurns<T>(options: {
  readonly reader: string;
  readonly cursors: Pick<Cursors<T>, 'read' | 'locked'>;
  // Runs in the transaction of the cursor, and may run again after a rollback: it must not touch the outside.
  readonly handle: (transaction: T, events: readonly LoggedEvent[]) => Promise<readonly Refused[]>;
}): Turns {
  const { reader, cursors, handle } = options;
  const memory = createGapMemory();
  // Where the cursor was after the last round, and how many reads may follow it if that round was the last of many.
  let seen: { readonly at: CursorState; idleReads: number } | null = null;

  return {
    take: async (work, limit) => {
      // A lock is a write. Where nothing was left to read, a read tells whether there is something now: what other
      // readers have handled since shows in it too, and costs one round. What a person has sent back shows in the
      // row alone.
      if (seen !== null && seen.idleReads > 0 && (await cursors.read(seen.at, 1)).events.length === 0) {
        seen.idleReads -= 1;
        return { to: seen.at, deadLetters: [], passed: 0, found: 0 };
      }
      seen = null;
      const step = await cursors.locked(reader, async ({ transaction, state, xact, read, store }) => {
        memory.stamp(xact);
        const next = await work({
          read,
          handle: (events) => handle(transaction, events),
          advance: toStep(memory, state, limit),
        });
        if (next.deadLetters.length > 0 || !isSame(next.to, state)) await store(next.to, next.deadLetters);
        return next;
      });
      if (step !== null) seen = { at: step.to, idleReads: step.found < limit ? idleReadsMax : 0 };
      return step;
    },
    storesInMs: () => Infinity,
    giveUp: async () => {},
  };
}

function toStep(memory: ReturnType<typeof createGapMemory>, at: CursorState, limit: number): View['advance'] {
  return (snapshot, passed, deadLetters) => {
    const found = snapshot.events.length;
    const isComplete = found < limit && passed === found;
    return { to: memory.advance(at, snapshot, passed, isComplete), deadLetters, passed, found };
  };
}

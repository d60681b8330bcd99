// Group commit: many callers, one database write. While a flush is in the database the next callers
// queue up and go together; when nothing is under way a flush leaves at once, unless it has to wait for a turn.
//
// Promises: every caller gets its own answer or one error; an entry is never answered before its flush
// has ended; a bad entry fails alone; the queue is bounded. A flush is repeated with the identical
// entries, so it must recognize what an earlier try has committed (ids and tokens are chosen before).
// Process dies here: callers were not answered; what was committed is found by its ids.

import { type Flush, RefusedError, type System, UnavailableError } from './ports.ts';

// What a failed flush means. `data`: one entry is at fault. `again`: rolled back, run it whole again.
// `lost`: may have committed. `absent`: certainly not sent. `bug`: everything else.
export type FlushFailure = 'data' | 'again' | 'lost' | 'absent' | 'bug';

export type GroupCommit<Entry, Answer> = {
  readonly add: (entry: Entry) => Promise<Answer>;
  // Entries that are not answered yet, waiting or under way.
  readonly pending: () => number;
  // Resolves when no entry waits or is under way.
  readonly drained: () => Promise<void>;
};

// A locked row is tried again after this long: its holder is another flush (a few ms) or a stranger.
export const lockedPauseMs = 5;
// Keys in doubt that are remembered: more than a database that is away leaves behind in a minute.
const doubtedMax = 65_536;
// Between tries of a flush: long enough for a restarting database, short enough for a hiccup.
const retryPauseMsMin = 20;
const retryPauseMsMax = 1_000;

type Waiting<Entry, Answer> = {
  readonly entry: Entry;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
  readonly since: number;
  // A flush that held it lost its connection: it may be committed.
  maybeStored: boolean;
};

export function createGroupCommit<Entry, Answer>(options: {
  readonly flush: Flush<Entry, Answer>;
  readonly failureOf: (error: unknown) => FlushFailure;
  readonly system: System;
  // Rows per flush: beyond a few hundred a statement grows slower faster than it saves round trips.
  readonly maxRows: number;
  // Entries that may wait; one more is refused at once with `nothing` stored.
  readonly capacity: number;
  // How long an entry may be tried, in ms, before its caller is told that the database is away.
  readonly patienceMs: number;
  // Resolves when the next flush may leave; for work that lets other work pass.
  readonly turn?: () => Promise<void>;
  // Entries of one key have one outcome: while what became of one is unknown, none of them is told that nothing is
  // stored. Absent or null = an entry stands for itself. `isHeld`: the error says that somebody else, here or in
  // another process, may be about to store it.
  readonly twins?: {
    readonly keyOf: (entry: Entry) => string | null;
    readonly isHeld: (error: unknown) => boolean;
  };
}): GroupCommit<Entry, Answer> {
  const { flush, failureOf, system, maxRows, capacity, patienceMs, turn, twins } = options;
  // Keys whose outcome is unknown, oldest first. One that is forgotten here is recognized by its lock.
  const doubted = new Set<string>();
  let queue: Waiting<Entry, Answer>[] = [];
  let flushing = false;
  let scheduled = false;
  let pending = 0;
  let idle: (() => void)[] = [];

  function settleOne(end: () => void): void {
    end();
    pending -= 1;
    if (pending > 0) return;
    for (const resolve of idle) resolve();
    idle = [];
  }
  const keyOf = (entry: Entry) => twins?.keyOf(entry) ?? null;
  function doubt(entry: Entry): void {
    const key = keyOf(entry);
    if (key === null) return;
    doubted.add(key);
    if (doubted.size > doubtedMax) for (const oldest of doubted.values().take(1)) doubted.delete(oldest);
  }
  const isDoubted = (entry: Entry) => {
    const key = keyOf(entry);
    return key !== null && doubted.has(key);
  };
  const storedOf = (entry: Entry, maybeStored: boolean) => (maybeStored || isDoubted(entry) ? 'unknown' : 'nothing');

  const answer = (one: Waiting<Entry, Answer>, value: Answer) => {
    doubted.delete(keyOf(one.entry) ?? '');
    settleOne(() => one.resolve(value));
  };
  const fail = (one: Waiting<Entry, Answer>, error: unknown) => settleOne(() => one.reject(error));

  const isPatient = (one: Waiting<Entry, Answer>) => system.monotonicMs() - one.since <= patienceMs;
  const giveUp = (one: Waiting<Entry, Answer>, text: string, cause?: unknown) =>
    fail(one, new UnavailableError(storedOf(one.entry, one.maybeStored), text, 1_000, { cause }));

  function sendAwayTheImpatient(cause: unknown): void {
    const impatient = queue.filter((one) => !isPatient(one));
    queue = queue.filter(isPatient);
    for (const one of impatient) giveUp(one, 'the database does not answer', cause);
  }

  function later(one: Waiting<Entry, Answer>): void {
    doubt(one.entry);
    if (!isPatient(one)) return giveUp(one, 'the row is locked by another session');
    system.after(lockedPauseMs, () => {
      queue.push(one);
      schedule();
    });
  }

  // One microtask later, so that callers of the same moment travel together.
  function schedule(): void {
    if (scheduled || flushing || queue.length === 0) return;
    scheduled = true;
    queueMicrotask(() => {
      scheduled = false;
      void pump();
    });
  }

  async function pump(): Promise<void> {
    if (flushing) return;
    flushing = true;
    while (queue.length > 0) {
      if (turn !== undefined) await turn();
      const batch = queue.slice(0, maxRows);
      queue = queue.slice(maxRows);
      await run(batch);
    }
    flushing = false;
  }

  // Never rejects: whatever happens, every entry of the batch gets an answer, an error or a later flush.
  async function run(entries: readonly Waiting<Entry, Answer>[]): Promise<void> {
    let batch = entries;
    for (let round = 0; ; round += 1) {
      try {
        const answers = await flush(batch.map((one) => one.entry));
        batch.forEach((one, index) => {
          const value = answers[index] as Answer | 'locked';
          if (value === 'locked') later(one);
          else answer(one, value);
        });
        return;
      } catch (error) {
        const failure = failureOf(error);
        if (failure === 'data' && batch.length > 1) {
          const middle = batch.length >> 1;
          await run(batch.slice(0, middle));
          return run(batch.slice(middle));
        }
        if (failure === 'data' || failure === 'bug') {
          for (const one of batch) fail(one, failure === 'data' ? new RefusedError(error) : error);
          return;
        }
        const patient = new Set(batch.filter(isPatient));
        for (const one of batch) {
          one.maybeStored ||= failure === 'lost';
          if (failure === 'lost' || twins?.isHeld(error)) doubt(one.entry);
          if (!patient.has(one)) giveUp(one, 'the database does not answer', error);
        }
        batch = [...patient];
        // Whoever waits behind this flush must not wait through as many more of them.
        if (failure === 'lost' || failure === 'absent') sendAwayTheImpatient(error);
        if (batch.length === 0) return;
        const pauseMs = Math.min(retryPauseMsMax, retryPauseMsMin * 2 ** Math.min(round, 10));
        await system.sleep(pauseMs * (0.5 + system.random() / 2));
      }
    }
  }

  return {
    add: (entry) =>
      new Promise<Answer>((resolve, reject) => {
        if (queue.length >= capacity) {
          return reject(new UnavailableError(storedOf(entry, false), 'too many requests are waiting for the database'));
        }
        pending += 1;
        queue.push({ entry, resolve, reject, since: system.monotonicMs(), maybeStored: false });
        schedule();
      }),
    pending: () => pending,
    drained: () => (pending === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve))),
  };
}

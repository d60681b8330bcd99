// PostgreSQL in memory, for the statements that the running system sends and for READ COMMITTED alone.
//
// Promises: sessions, transactions, row locks, unique keys, visibility, lock_timeout, deadlocks and
// aborted transactions are as PostgreSQL has them, and tests/simulation/differential.test.ts compares the
// two. A statement is found by the name in its first comment; an unknown one throws, and is remembered.
// One statement is one step, except where it waits for a lock. No time passes and no chance is used here.

import { createTables, type Subscribed, type Tables } from './schema.ts';
import { analyticsStatements } from './statements/analytics.ts';
import { cleanupStatements } from './statements/cleanup.ts';
import { cursorStatements } from './statements/cursors.ts';
import { deadLetterStatements } from './statements/dead-letters.ts';
import { eventStatements } from './statements/events.ts';
import { jobStatements } from './statements/jobs.ts';
import { orderStatements } from './statements/orders.ts';
import type { Ask, Row, Statement } from './statements/statement.ts';
import type { Slot, Waiting } from './table.ts';
import { createTransactions, isDeadlocked, type Transaction } from './transactions.ts';
import { SqlError } from './values.ts';

export type { Row } from './statements/statement.ts';

export const statements: Readonly<Record<string, Statement>> = {
  ...orderStatements,
  ...eventStatements,
  ...jobStatements,
  ...deadLetterStatements,
  ...cleanupStatements,
  ...analyticsStatements,
  ...cursorStatements,
};

const controls: ReadonlySet<string> = new Set(['begin', 'commit', 'rollback']);

// The name of a statement; `begin`, `commit` and `rollback` for those of a transaction.
export function statementName(text: string): string {
  if (text.startsWith('/* ')) return text.slice(3, text.indexOf(' */'));
  const control = /^(BEGIN|COMMIT|ROLLBACK)\b/.exec(text)?.[1];
  if (control !== undefined) return control.toLowerCase();
  throw new Error(`a statement without a name: ${text.slice(0, 80)}`);
}

// The rows of a statement, or its error with `code` = SQLSTATE; the transaction is aborted then.
export type Outcome = Row[] | Error;

export type ModelSession = {
  // One statement; those of a session run in the order given. Answers at once what it did, and a promise only
  // where it must wait for a lock.
  readonly perform: (text: string, values?: readonly unknown[]) => Outcome | Promise<Outcome>;
  // The same, as a client of pg has it.
  readonly execute: (text: string, values?: readonly unknown[]) => Promise<{ rows: Row[] }>;
  // The connection is gone: rolls back what is open; what is waiting never resolves.
  readonly terminate: () => void;
  // The client is gone, and the server has not noticed: what was sent is still done, then as `terminate`.
  readonly hangUp: () => void;
};

// What a statement was and did, as it takes effect.
export type StatementSeen = {
  readonly session: number;
  readonly name: string;
  readonly values: readonly unknown[];
  readonly rows: readonly Row[];
  // SQLSTATE of its failure.
  readonly code: string | null;
  // Whether it had to wait for a lock.
  readonly waited: boolean;
};

// One row that a committed transaction has changed, from before its first to after its last change.
export type RowChange = {
  readonly table: string;
  // The statement that wrote it last, the first one of its transaction, and the token that it brought for this row.
  readonly label: string;
  readonly transaction: string;
  readonly token: string | null;
  readonly before: unknown;
  readonly after: unknown;
};

export type ModelServer = {
  // `onEnded` is told when the server ends the session.
  readonly connect: (onEnded?: (error: Error) => void) => ModelSession;
  // Immediate stop and restart: open transactions are rolled back, sessions are dead, committed rows stay.
  readonly crash: () => void;
  // Committed rows; the same array until something of the table is committed.
  readonly tables: () => CommittedTables;
  // The session that a session waits for; sessions are numbered from 1 as they connect.
  readonly waitsFor: (session: number) => number | null;
  // Statements that the model does not know, and mistakes of its own: must be empty at the end.
  readonly mistakes: readonly string[];
};

export type CommittedTables = ReturnType<typeof committedTables>;

// PostgreSQL's own setting: a wait is looked at for a deadlock after this long.
const deadlockTimeoutMs = 1_000;

type Job = {
  readonly name: string;
  readonly text: string;
  readonly values: readonly unknown[];
  outcome: Outcome | null;
  // Of whoever waits for the outcome.
  tell: ((outcome: Outcome) => void) | null;
};
type Limits = { readonly lockMs: number; readonly statementMs: number; readonly idleMs: number };
const noLimits: Limits = { lockMs: 0, statementMs: 0, idleMs: 0 };

export function createModelServer(options: {
  // The server's clock in ms.
  readonly nowMs: () => number;
  readonly after: (ms: number, call: () => void) => { cancel: () => void };
  readonly subscribed: readonly Subscribed[];
  readonly onStatement?: (seen: StatementSeen) => void;
  readonly onCommit?: (changes: readonly RowChange[]) => void;
}): ModelServer {
  const { nowMs, after, onStatement, onCommit } = options;
  const tables = createTables(options.subscribed);
  const transactions = createTransactions();
  const mistakes: string[] = [];
  const live = new Set<ReturnType<typeof createSession>>();
  const limitsOf = new Map<string, Limits>();
  let sessions = 0;

  // What may go on because a lock was freed; run when whoever freed it is done.
  let ready: (() => void)[] = [];
  let draining = false;
  function drain(): void {
    if (draining) return;
    draining = true;
    for (let next = ready.shift(); next !== undefined; next = ready.shift()) next();
    draining = false;
  }

  function end(tx: Transaction, how: 'commit' | 'rollback'): void {
    if (how === 'commit' && onCommit !== undefined) {
      const changes = tx.slots.flatMap((slot) => toChange(slot, tx.first));
      if (changes.length > 0) onCommit(changes);
    }
    const waiters = transactions.end(tx, how);
    if (waiters.length > 0) ready = [...ready, ...waiters];
  }

  function readLimits(text: string): Limits {
    const known = limitsOf.get(text);
    if (known !== undefined) return known;
    const of = (setting: string) => Number(new RegExp(`\\b${setting} = (\\d+)`).exec(text)?.[1] ?? 0);
    const limits = {
      lockMs: of('lock_timeout'),
      statementMs: of('statement_timeout'),
      idleMs: of('idle_in_transaction_session_timeout'),
    };
    limitsOf.set(text, limits);
    return limits;
  }

  function createSession(onEnded: (error: Error) => void) {
    sessions += 1;
    const number = sessions;
    let jobs: Job[] = [];
    let open: Transaction | null = null;
    // The transaction of the statement that runs or waits, where that is one of its own.
    let single: Transaction | null = null;
    let leaving = false;
    let aborted = false;
    let limits = noLimits;
    let busy = false;
    let dead: Error | null = null;
    let waiting: { stop: () => void } | null = null;
    let idleSinceMs = 0;
    let isWatched = false;

    function close(reason: Error): void {
      if (dead !== null) return;
      dead = reason;
      live.delete(session);
      waiting?.stop();
      jobs = [];
      for (const tx of [open, single]) if (tx !== null) end(tx, 'rollback');
      open = null;
      single = null;
    }

    // A client that froze inside a transaction is thrown out, and its locks are free.
    function watchIdle(): void {
      if (isWatched || limits.idleMs === 0) return;
      isWatched = true;
      const look = (ms: number) =>
        after(ms, () => {
          isWatched = false;
          if (dead !== null || (open === null && !aborted) || limits.idleMs === 0) return;
          const leftMs = busy ? limits.idleMs : idleSinceMs + limits.idleMs - nowMs();
          isWatched = leftMs > 0;
          if (leftMs > 0) return void look(leftMs);
          const error = new SqlError('25P03', 'terminating connection due to idle-in-transaction timeout');
          close(error);
          onEnded(error);
          drain();
        });
      look(limits.idleMs);
    }

    function pump(): void {
      while (!busy && dead === null) {
        const job = jobs.shift();
        if (job === undefined) break;
        busy = true;
        run(job);
        drain();
      }
      if (leaving && !busy) close(gone());
    }

    function finish(job: Job, outcome: Outcome, waited: boolean): void {
      const { name, values } = job;
      busy = false;
      idleSinceMs = nowMs();
      const failed = outcome instanceof Error;
      const code = failed ? ((outcome as { code?: string }).code ?? 'XX000') : null;
      if (failed && !(outcome instanceof SqlError)) mistakes.push(`${name}: ${outcome.stack}`);
      onStatement?.({ session: number, name, values, rows: failed ? [] : outcome, code, waited });
      job.outcome = outcome;
      job.tell?.(outcome);
    }

    function run(job: Job): void {
      const { name } = job;
      if (name === 'begin') {
        open ??= transactions.begin(number, nowMs());
        limits = readLimits(job.text);
        watchIdle();
        return finish(job, [], false);
      }
      if (name === 'commit' || name === 'rollback') {
        if (open !== null) end(open, name);
        open = null;
        aborted = false;
        limits = noLimits;
        return finish(job, [], false);
      }
      if (aborted) {
        return finish(job, new SqlError('25P02', 'current transaction is aborted'), false);
      }
      begin(job, open ?? transactions.begin(number, nowMs()));
    }

    function begin(job: Job, tx: Transaction): void {
      tx.command += 1;
      tx.label = job.name;
      tx.first ||= job.name;
      if (tx !== open) single = tx;
      const ask: Ask = { tables, tx, nowMs, startedMs: () => tx.startedMs, xmin: transactions.xmin, text: job.text };
      let steps: ReturnType<Statement>;
      try {
        steps = (statements[job.name] as Statement)(ask, job.values);
      } catch (error) {
        return conclude(job, tx, error as Error, false);
      }
      if (Array.isArray(steps)) conclude(job, tx, steps, false);
      else goOn(job, tx, steps, nowMs(), false);
    }

    // To the end of the statement, or to its next wait.
    function goOn(job: Job, tx: Transaction, steps: Waiting<Row[]>, startedMs: number, waited: boolean): void {
      let step: ReturnType<typeof steps.next>;
      try {
        step = steps.next();
      } catch (error) {
        return conclude(job, tx, error as Error, waited);
      }
      if (step.done) return conclude(job, tx, step.value, waited);
      waiting = wait(
        tx,
        step.value,
        startedMs,
        () => goOn(job, tx, steps, startedMs, true),
        (error) => {
          conclude(job, tx, error, true);
          pump();
        },
      );
    }

    function conclude(job: Job, tx: Transaction, outcome: Outcome, waited: boolean): void {
      const failed = outcome instanceof Error;
      single = null;
      if (tx !== open) end(tx, failed ? 'rollback' : 'commit');
      else if (failed) {
        // The locks of an aborted transaction are free at once.
        end(tx, 'rollback');
        open = null;
        aborted = true;
      }
      finish(job, outcome, waited);
    }

    // Until the other transaction has ended, a limit is over, or a deadlock is found.
    function wait(
      tx: Transaction,
      blocker: Transaction,
      startedMs: number,
      goOn: () => void,
      fail: (error: Error) => void,
    ) {
      const timers: { cancel: () => void }[] = [];
      let isOver = false;
      tx.waitsFor = blocker;
      const stop = () => {
        isOver = true;
        tx.waitsFor = null;
        waiting = null;
        for (const timer of timers) timer.cancel();
      };
      const giveUp = (code: string, message: string) => {
        if (isOver) return;
        stop();
        // A failed statement outside of a transaction must free what it has locked as well.
        fail(new SqlError(code, message));
        drain();
      };
      blocker.waiters.push(() => {
        if (isOver) return;
        stop();
        goOn();
        pump();
      });
      timers.push(
        after(deadlockTimeoutMs, () => {
          if (isDeadlocked(tx)) giveUp('40P01', 'deadlock detected');
        }),
      );
      if (limits.lockMs > 0) {
        timers.push(after(limits.lockMs, () => giveUp('55P03', 'canceling statement due to lock timeout')));
      }
      if (limits.statementMs > 0) {
        const leftMs = Math.max(0, startedMs + limits.statementMs - nowMs());
        timers.push(after(leftMs, () => giveUp('57014', 'canceling statement due to statement timeout')));
      }
      return { stop };
    }

    function perform(text: string, values: readonly unknown[] = []): Outcome | Promise<Outcome> {
      if (dead !== null || leaving) return dead ?? gone();
      const name = statementName(text);
      if (!(name in statements) && !controls.has(name)) {
        mistakes.push(`no statement ${name} in the model`);
        return new Error(`the model of PostgreSQL does not know the statement ${name}`);
      }
      const job: Job = { name, text, values, outcome: null, tell: null };
      jobs.push(job);
      pump();
      drain();
      if (job.outcome !== null) return job.outcome;
      return new Promise((resolve) => {
        job.tell = resolve;
      });
    }

    const session = {
      perform,
      execute: async (text: string, values: readonly unknown[] = []): Promise<{ rows: Row[] }> => {
        const outcome = await perform(text, values);
        if (outcome instanceof Error) throw outcome;
        return { rows: outcome };
      },
      terminate: () => {
        close(gone());
        drain();
      },
      hangUp: () => {
        leaving = true;
        pump();
        drain();
      },
      close,
      number,
      waitsFor: () => (open ?? single)?.waitsFor?.session ?? null,
    };
    live.add(session);
    return session;
  }

  return {
    connect: (onEnded = () => {}) => createSession(onEnded),
    crash: () => {
      for (const session of [...live]) session.close(gone());
      // Whoever waited is dead too.
      ready = [];
    },
    tables: () => committedTables(tables),
    waitsFor: (number) => [...live].find((session) => session.number === number)?.waitsFor() ?? null,
    mistakes,
  };
}

// As pg says it for a connection that has ended.
const gone = () => new Error('Connection terminated unexpectedly');

function toChange({ table, label, token, committed, pending }: Slot, transaction: string): RowChange[] {
  if (pending === undefined || (committed === null && pending === null)) return [];
  return [{ table: table.name, label, transaction, token, before: committed, after: pending }];
}

function committedTables(tables: Tables) {
  return {
    orders: tables.orders.committed(),
    idempotency_keys: tables.idempotencyKeys.committed(),
    events: tables.events.committed(),
    cursors: tables.cursors.committed(),
    jobs: tables.jobs.committed(),
    subscriptions: tables.subscriptions.committed(),
    dependencies: tables.dependencies.committed(),
    dead_letters: tables.deadLetters.committed(),
    attempts: tables.attempts.committed(),
    audit_log: tables.auditLog.committed(),
    analytics: tables.analytics.committed(),
  };
}

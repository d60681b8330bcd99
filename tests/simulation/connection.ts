// One connection to the database, as pg has it, over the model of the server: what a process sees of its database
// through a network.
//
// Promises: statements that are sent at one moment travel together, in order, as over one socket; their answers
// come back together. Whatever was sent is executed although its sender dies meanwhile; then the server sees the
// socket close and rolls back what is open. A connection that broke answers everything with the errors of pg.

import type { Stream } from './draws.ts';
import { type Life, never } from './life.ts';
import type { ModelServer, ModelSession, Outcome } from './model/server.ts';
import type { Mishap, World } from './network.ts';

// As src/io/postgres/database.ts sets them for pg and for its transactions.
const answerTimeoutMs = 15_000;

type Answer = { readonly rows: readonly unknown[] };
type Asked = {
  readonly text: string;
  readonly values: readonly unknown[] | undefined;
  readonly label: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  outcome: { readonly answer: Answer } | { readonly error: Error } | null;
};
type Packet = { readonly sentAtMs: number; readonly asked: Asked[]; hasArrived: boolean };

export type StoreEvents = {
  // A session was opened; the model counts them from 1.
  readonly onConnected: (life: Life) => void;
  readonly onNoted: (
    life: Life,
    what: 'answer-lost' | 'never-arrived' | 'database-error' | 'guard-missed',
    label: string,
    code: string | null,
  ) => void;
};

const isNeverRefused = (label: string | undefined) => label === 'BEGIN' || label === 'ROLLBACK';
const brokenError = () => new Error('Connection terminated unexpectedly');
export const codedError = (code: string, message: string) => Object.assign(new Error(message), { code });

// `/* lock-orders */ SELECT …` is lock-orders; BEGIN, COMMIT and ROLLBACK are themselves.
export function labelOf(text: string): string {
  if (text.startsWith('/* ')) return text.slice(3, text.indexOf(' */'));
  return text.startsWith('BEGIN') ? 'BEGIN' : text;
}

export type Connection = ReturnType<typeof createConnection>;

export function createConnection(options: {
  readonly world: World;
  readonly model: ModelServer;
  readonly latencyMs: readonly [number, number];
  // The share of packets whose statements run one by one, with those of others in between.
  readonly splitting: number;
  readonly events: StoreEvents;
  readonly life: Life;
  readonly stream: Stream;
  // It is closed or broken; and its process, where there still is one, knows that it broke.
  readonly onGone: () => void;
  readonly onBroken: () => void;
}) {
  const { world, model, latencyMs, events, life, stream, onGone, onBroken } = options;
  const { clock, trace, counters, faults } = world;
  const [minMs, maxMs] = latencyMs;
  let isBroken = false;
  let isSessionOver = false;
  // The server ends the session of a client that stood still inside a transaction.
  const session: ModelSession = model.connect((error) => {
    isSessionOver = true;
    breakNow(error);
  });
  events.onConnected(life);
  let sendingUntilMs = 0;
  let answeringUntilMs = 0;
  let sent: Packet | null = null;
  let inTransaction = false;
  // Statements of a transaction that this network has aborted in the server's name.
  let isAborted = false;
  // Of the transaction that is open: whether any statement of it has failed.
  let hasFailed = false;
  let first = '';
  const waiting = new Set<Asked>();
  let running: Promise<void> = Promise.resolve();

  function endSession(): void {
    if (isSessionOver) return;
    isSessionOver = true;
    inTransaction = false;
    session.terminate();
  }

  // The client's side: everything that waits is told so when it gets to know.
  function breakNow(error: Error = brokenError(), isHalfOpen = false): void {
    if (isBroken) return;
    isBroken = true;
    onGone();
    // A server that hears nothing of it ends the transaction by its own timeout.
    if (!isHalfOpen || !inTransaction) endSession();
    life.resume(() => {
      let next = error;
      for (const asked of waiting) {
        asked.reject(next);
        next = brokenError();
      }
      waiting.clear();
      onBroken();
    });
  }

  function query(text: string, values?: readonly unknown[]): Promise<Answer> {
    if (life.isOver()) return never();
    if (isBroken) return Promise.reject(new Error('Client has encountered a connection error and is not queryable'));
    return new Promise((resolve, reject) => {
      const asked: Asked = { text, values, label: labelOf(text), resolve, reject, outcome: null };
      waiting.add(asked);
      if (sent !== null && !sent.hasArrived && sent.sentAtMs === clock.nowMs()) return void sent.asked.push(asked);
      const packet: Packet = { sentAtMs: clock.nowMs(), asked: [asked], hasArrived: false };
      sent = packet;
      sendingUntilMs = Math.max(sendingUntilMs, clock.nowMs() + stream.between(minMs, maxMs));
      clock.after(sendingUntilMs - clock.nowMs(), () => {
        packet.hasArrived = true;
        // One socket is read in order: a packet waits for the one before it.
        running = running.then(() => arrive(packet));
      });
    });
  }

  async function arrive(packet: Packet): Promise<void> {
    if (isSessionOver) return;
    const labels = packet.asked.map((asked) => (asked.label === 'COMMIT' ? `COMMIT of ${first}` : named(asked.label)));
    const drawn = life.isOver() || life.isFrozen() || isBroken ? null : faults.atStatements(life, labels);
    // A server has no reason to refuse a BEGIN or a ROLLBACK.
    const mishap = drawn?.what === 'refuse' && isNeverRefused(labels[drawn.index]) ? null : drawn;
    const isSplit = mishap === null && packet.asked.length > 1 && stream.isHit(options.splitting);
    for (let index = 0; index < packet.asked.length; index += 1) {
      const asked = packet.asked[index] as Asked;
      const label = labels[index] as string;
      if (isSplit && index > 0) await new Promise<void>((resolve) => clock.after(stream.between(0, maxMs), resolve));
      if (isSessionOver) return;
      if (mishap !== null && mishap.index === index) {
        const goesOn = await befall(mishap, asked, label);
        if (!goesOn) return;
      } else {
        const done = execute(asked, label);
        if (done !== null) await done;
      }
      if (isSessionOver) return;
    }
    answer(packet.asked);
  }

  // The first named statement of a transaction names its COMMIT.
  function named(label: string): string {
    if (label === 'BEGIN') first = '';
    else if (first === '') first = label;
    return label;
  }

  // Null where nothing had to be waited for.
  function execute(asked: Asked, label: string): Promise<void> | null {
    if (isAborted) {
      const isEnd = label.startsWith('COMMIT') || label === 'ROLLBACK';
      if (isEnd) isAborted = false;
      asked.outcome = isEnd
        ? { answer: { rows: [] } }
        : {
            error: codedError(
              '25P02',
              'current transaction is aborted, commands ignored until end of transaction block',
            ),
          };
      return null;
    }
    if (label === 'ROLLBACK' && inTransaction && !hasFailed) events.onNoted(life, 'guard-missed', first, null);
    const outcome = session.perform(asked.text, asked.values);
    if (outcome instanceof Promise) return outcome.then((late) => conclude(asked, label, late));
    conclude(asked, label, outcome);
    return null;
  }

  function conclude(asked: Asked, label: string, outcome: Outcome): void {
    if (outcome instanceof Error) {
      asked.outcome = { error: outcome };
      hasFailed = true;
      const code = String((outcome as { code?: unknown }).code ?? '');
      trace.note(life.name, label, code);
      events.onNoted(life, 'database-error', label, code);
    } else {
      asked.outcome = { answer: { rows: outcome } };
      trace.note(life.name, label, 'ok', null, () => JSON.stringify(asked.values ?? []).slice(0, 200));
    }
    if (asked.label === 'BEGIN') [inTransaction, hasFailed] = [true, false];
    if (asked.label === 'COMMIT' || asked.label === 'ROLLBACK') inTransaction = false;
  }

  // Answers whether the packet goes on.
  async function befall(mishap: Mishap, asked: Asked, label: string): Promise<boolean> {
    const { at, what, ms } = mishap;
    if (at === 'before') {
      trace.note(life.name, label, `before: ${what}`);
      counters.count(`fault: ${what} before a statement`);
    }
    if (at === 'before' && what === 'freeze') {
      // It stood still with the statement in its hands; what it had sent before is there.
      life.freeze(ms ?? 0);
      await new Promise<void>((resolve) => life.resume(() => void clock.after(minMs, resolve)));
      if (isSessionOver) return false;
    } else if (at === 'before' && what === 'silence') {
      await new Promise<void>((resolve) => void clock.after(ms ?? 0, resolve));
      if (isSessionOver || isBroken) return false;
    } else if (at === 'before') {
      events.onNoted(life, 'never-arrived', label, null);
      if (what === 'crash') world.kill(life, ms);
      if (what === 'lose') breakNow(mishap.error?.(), mishap.isHalfOpen);
      if (what !== 'refuse') return false;
      const error = mishap.error?.() ?? brokenError();
      asked.outcome = { error };
      // A refused COMMIT has ended its transaction; after another refusal it waits for its end.
      isAborted = inTransaction && asked.label !== 'COMMIT';
      if (inTransaction) await session.perform('ROLLBACK');
      inTransaction = false;
      return true;
    }
    await execute(asked, label);
    if (at === 'before' || isSessionOver) return !isSessionOver;
    trace.note(life.name, label, `after: ${what}`);
    counters.count(`fault: ${what} after a statement`);
    if (what !== 'freeze') events.onNoted(life, 'answer-lost', label, null);
    if (what === 'crash') world.kill(life, ms);
    if (mishap.freezesMs !== undefined) life.freeze(mishap.freezesMs);
    if (what === 'lose') breakNow(mishap.error?.(), mishap.isHalfOpen);
    if (what === 'freeze') life.freeze(ms ?? 0);
    if (what === 'silence') {
      clock.after(answerTimeoutMs, () => breakNow(new Error('Query read timeout')));
      return false;
    }
    return what === 'freeze' || what === 'refuse';
  }

  function answer(answered: readonly Asked[]): void {
    answeringUntilMs = Math.max(answeringUntilMs, clock.nowMs() + stream.between(minMs, maxMs));
    clock.after(answeringUntilMs - clock.nowMs(), () =>
      life.resume(() => {
        for (const asked of answered) {
          if (!waiting.delete(asked) || asked.outcome === null) continue;
          if ('answer' in asked.outcome) asked.resolve(asked.outcome.answer);
          else asked.reject(asked.outcome.error);
        }
      }),
    );
  }

  // The socket is closed by its owner, or by the operating system of a dead process: what was sent arrives.
  function close(): void {
    if (isBroken) return;
    isBroken = true;
    onGone();
    clock.after(Math.max(0, sendingUntilMs - clock.nowMs()) + minMs, () => {
      running = running.then(() => {
        isSessionOver = true;
        session.hangUp();
      });
    });
  }
  life.onEnd(close);

  return { query, close, breakNow, isBroken: () => isBroken };
}

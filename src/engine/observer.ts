// What the engine tells of its work while it works: for logs, metrics and traces, and for nothing else.
//
// Promises: nothing depends on an observer, so that every part of it may be silent. Each function is called where the
// thing has happened, returns at once and never throws. A process that dies in between tells less, never more; what a
// repeated write finds done is not told again.

import type { CursorDeadLetter } from './event-log.ts';
import type { ClaimAnswer, Ending, Event, Flush, SettleAnswer, System, Work } from './ports.ts';

export type Outcome = Pick<Ending, 'state' | 'dueInMs' | 'charged' | 'trouble' | 'durationMs'>;

export type Observer = {
  // A claim was answered; `run` brings the work.
  readonly claimed: (consumer: string, answered: ClaimAnswer) => void;
  // The end of an attempt is stored; `gone` or `stale` = there was nothing left to store, or not for this claim.
  readonly settled: (work: Work, outcome: Outcome, answer: SettleAnswer) => void;
  // The database refused what came of an attempt, as data: it ends as a dead letter instead.
  readonly refused: (work: Work, error: unknown) => void;
  // What came of an attempt could not be stored; the work is left to its lease.
  readonly unsettled: (work: Work, error: unknown) => void;
  // A hint found no slot; the poller comes to its job.
  readonly hintDropped: (consumer: string) => void;
  // A message of a bus could not be read.
  readonly unreadable: (group: string) => void;
  // Events were committed by this process, in the order in which they were written.
  readonly committed: (events: readonly Event[]) => void;
  // The bus has this many events more.
  readonly published: (count: number) => void;
  // A reader of the event log has handled this many events; some became dead letters.
  readonly read: (consumer: string, handled: number, deadLetters: readonly CursorDeadLetter[]) => void;
  // A partner was called: `answered`, or the class of what failed.
  readonly called: (partner: string, outcome: string, ms: number) => void;
  // One write carried so many entries.
  readonly flushed: (write: string, entries: number, ms: number) => void;
  // Whether this process is the one that relays. Told at every turn.
  readonly relaying: (isOurs: boolean) => void;
  // `code` = of the failure that opened it.
  readonly breakerChanged: (dependency: string, state: 'open' | 'closed', code?: string) => void;
};

const nothing = () => {};
export const silentObserver: Observer = {
  claimed: nothing,
  settled: nothing,
  refused: nothing,
  unsettled: nothing,
  hintDropped: nothing,
  unreadable: nothing,
  committed: nothing,
  published: nothing,
  read: nothing,
  called: nothing,
  flushed: nothing,
  relaying: nothing,
  breakerChanged: nothing,
};

// How a claim or an attempt ended, in one word.
export const endOf = (outcome: Pick<Outcome, 'state'>, answer: SettleAnswer): string =>
  answer === 'settled' ? outcome.state : answer;

// The same write, and it is told how many entries it carried and how long it took.
export function watched<Entry, Answer>(
  write: string,
  flush: Flush<Entry, Answer>,
  { observer, system }: { readonly observer: Pick<Observer, 'flushed'>; readonly system: System },
): Flush<Entry, Answer> {
  return async (entries) => {
    const beganMs = system.monotonicMs();
    const answers = await flush(entries);
    observer.flushed(write, entries.length, system.monotonicMs() - beganMs);
    return answers;
  };
}

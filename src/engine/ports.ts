// What the engine asks of the world: a clock, and jobs in a database; the bus is in bus.ts. The engine looks into no order: it hands
// the subject that events are about, and changes of it, from the store to a step and back.
//
// Promises written at each function: what may be repeated, what is thrown, what silence means.

import type { OrderChange, OrderRecord } from '../domain/order-record.ts';

export type Subject = OrderRecord;
export type Change = OrderChange;

// Time, randomness, ids and timers. The only implementation that touches the machine is io/system.ts.
export type System = {
  // Wall clock. Never compared between machines: leases use the database's clock.
  readonly now: () => Date;
  // Milliseconds that only grow; for durations.
  readonly monotonicMs: () => number;
  // Resolves after `ms`, or at once when the signal aborts. Never rejects.
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  // Calls back once after `ms` unless canceled. Keeps no process alive.
  readonly after: (ms: number, call: () => void) => { cancel: () => void };
  // Uniform in [0, 1).
  readonly random: () => number;
  // UUIDv7 (RFC 9562): sorts by time, so that indexes grow at their end.
  readonly newId: () => string;
  // UUIDv4: unguessable, for fencing tokens.
  readonly newToken: () => string;
};

export type Log = {
  readonly debug: (fields: object, message: string) => void;
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
  readonly error: (fields: object, message: string) => void;
};

// An event as the database has it. `subject` is the id of what it is about.
export type Event = {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly version: number;
  readonly time: Date;
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly traceparent: string | null;
  readonly data: Readonly<Record<string, unknown>>;
};

// How the outside failed. `unknown` = it may have been done; every unclassified error is that.
export type FailureClass = 'retryable' | 'throttled' | 'non-retryable' | 'unknown';

// What went wrong, as a value: kept with attempts and dead letters, shown to people.
export type Trouble = {
  readonly class: FailureClass;
  readonly code: string;
  readonly message: string;
  // The dependency itself is away or ill; the only thing that a breaker counts.
  readonly dependencyDown: boolean;
  // Whose call failed; null where no partner was called.
  readonly dependency?: string | null;
  // The provider asked to wait this long (Retry-After).
  readonly retryAfterMs?: number;
  // Certain not of this call alone: no call under its key has done anything, and none ever will.
  readonly leavesNothing?: true;
};

// The one error that io/ throws for a failed outside call.
export class OutsideError extends Error {
  readonly trouble: Trouble;
  constructor(trouble: Trouble, options?: ErrorOptions) {
    super(trouble.message, options);
    this.name = 'OutsideError';
    this.trouble = trouble;
  }
}

// The database refuses what was to be written, and would refuse it again: certainly nothing is stored.
export class RefusedError extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

// The database could not take a write. `nothing` = certainly not stored, the caller may try anew;
// `unknown` = it may have been stored, the caller must repeat the identical request.
export class UnavailableError extends Error {
  readonly stored: 'nothing' | 'unknown';
  readonly retryAfterMs: number;
  constructor(stored: 'nothing' | 'unknown', message: string, retryAfterMs = 1_000, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UnavailableError';
    this.stored = stored;
    this.retryAfterMs = retryAfterMs;
  }
}

// There may be work: an event of this type was written. The id of the event is its subject and version.
export type Hint = Pick<Event, 'subject' | 'version' | 'type'> & Partial<Pick<Event, 'traceparent'>>;

// One step of one consumer. `perform` meets the outside world and may run more than once for one event;
// the rest is pure and runs inside the store's transaction, on the subject as it stands there.
// A change of `null` touches the job alone; `obsolete` says that the subject moved on and nobody needs this
// work any more: the job is deleted, without a dead letter.
export type Step = {
  readonly consumer: string;
  // The event types it reads, older versions included; the store hands them over at their newest.
  readonly types: readonly string[];
  // The dependencies whose breakers decide whether work is taken.
  readonly dependencies: readonly string[];
  readonly admits: (subject: Subject, event: Event) => boolean;
  // Why an event is not admitted, where somebody will ask; kept with the attempts. Absent or null = nobody will.
  readonly skipped?: (subject: Subject, event: Event) => Skipped | null;
  // What a claim changes at once (an intent before the call). `takenOver`: a worker before this one died or
  // froze, and nobody knows what it had done.
  readonly claimed: (subject: Subject, event: Event, now: Date, takenOver: boolean) => Change | null;
  // False where what is called knows no keys: a call whose outcome is not known, a worker's that died included, is
  // not made again; it waits for a person as `outcome-unresolved`.
  readonly mayRepeat?: boolean;
  readonly perform: (work: Work, signal: AbortSignal) => Promise<unknown>;
  readonly decide: (subject: Subject, work: Work, result: unknown, now: Date) => Change | null | 'obsolete';
  // What a retry (charged or not), and what a dead letter, means for the subject.
  readonly retried: (
    subject: Subject,
    work: Work,
    trouble: Trouble,
    charged: boolean,
    now: Date,
  ) => Change | null | 'obsolete';
  readonly parked: (subject: Subject, work: Work, trouble: Trouble, now: Date) => Change | null | 'obsolete';
};

export type Skipped = { readonly code: string; readonly message: string };

// A claim that was won: the right to perform and to settle once, until the lease ends.
export type Work = {
  readonly consumer: string;
  readonly event: Event;
  // As of the claim, with the claim's own change in it. `decide` gets the subject as of the settle.
  readonly subject: Subject;
  // The fencing token: a settle with another one is stale.
  readonly token: string;
  // Raised by each reprocess.
  readonly epoch: number;
  // 1 for the first charged attempt of this epoch.
  readonly attempt: number;
  // How long this job has been waiting uncharged, in ms by the database's clock.
  readonly waitedMs: number;
  // How long the job has been there, in ms by the database's clock.
  readonly ageMs: number;
  // The worker that had it before died or froze.
  readonly takenOver: boolean;
  // Set when the claim itself found that the job must end: nothing is performed.
  readonly exhausted: Trouble | null;
  // Of the attempt; absent before it has begun.
  readonly traceparent?: string | null;
};

// This consumer still has to handle this event.
export type JobKey = { readonly consumer: string; readonly subject: string; readonly version: number };

export type ClaimRequest = {
  readonly step: Step;
  readonly subject: string;
  readonly version: number;
  // Chosen before the first try, so that a repeated claim recognizes its own.
  readonly token: string;
};

// `gone` = there is no such job: it was done, or never was. `obsolete` = the subject moved on; the job is deleted.
export type ClaimAnswer =
  | { readonly answer: 'run'; readonly work: Work }
  | { readonly answer: 'gone' | 'busy' | 'not-due' | 'obsolete' };

export type Ending = {
  readonly state: 'done' | 'waiting' | 'dead';
  // Runs in the settle's transaction on the fresh subject.
  readonly change: (subject: Subject, now: Date) => Change | null | 'obsolete';
  // For `waiting`: from now, by the database's clock.
  readonly dueInMs: number;
  // False gives the attempt back: the wait was not the work's fault.
  readonly charged: boolean;
  // What to keep of a failure; null for `done` and for work released unharmed.
  readonly trouble: Trouble | null;
  // How long the attempt took, in ms; null where none was made.
  readonly durationMs: number | null;
};
export type SettleRequest = {
  readonly work: Work;
  readonly ending: Ending;
  // Absent = its events' jobs wait for a claim of their own.
  readonly claim?: ClaimEarly;
};

// Who in this process handles an event that is about to be written, at once: its job is written as claimed under this
// token. Answers the same for the same event.
export type EarlyClaim = { readonly step: Step; readonly token: string };
export type ClaimEarly = (event: Pick<Event, 'subject' | 'version' | 'type'>) => readonly EarlyClaim[];

// `gone` = the job is not there any more, or waits: nothing is left to write, and nothing follows from it (an
// earlier try of this settle may have committed). `stale` = somebody else has claimed it: nothing was written.
export type SettleAnswer = 'settled' | 'gone' | 'stale';

// `locked` = another transaction holds the row; the entry goes into a later flush.
export type Flush<Entry, Answer> = (entries: readonly Entry[]) => Promise<readonly (Answer | 'locked')[]>;

// What a poll of the jobs claims: work that is due by its consumer's own reckoning; what has waited for a
// dependency longer than is allowed (since its creation or since the dependency is down, whichever is later); or
// events of a version that no release knew for an hour.
export type Sought = 'due' | 'waited-too-long' | 'unknown-version';

export type Jobs = {
  // Claims up to `limit` jobs, longest due first, past those that somebody else has locked, none of `except`. Answers
  // those that it picked; `nextDueInMs` is set where it has seen the end: when the next is due, or null if none waits.
  readonly claimDue: (
    step: Step,
    limit: number,
    sought: Sought,
    except?: readonly string[],
  ) => Promise<{ readonly answers: readonly ClaimAnswer[]; readonly nextDueInMs: number | null | undefined }>;
  // Of these consumers, those that have a job that is due and that nobody holds.
  readonly findDue: (steps: readonly Pick<Step, 'consumer' | 'types'>[]) => Promise<readonly string[]>;
  // Extends the leases that still hold; answers the tokens that are lost.
  readonly renew: (held: readonly (JobKey & { readonly token: string })[]) => Promise<readonly string[]>;
};

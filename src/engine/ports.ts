// What the engine asks of the world: a clock, a bus, and one durable inbox. The engine knows nothing of orders: `S` is
// the subject that facts are about, `C` a change of it; only flow/ and the store look inside.
//
// Promises written at each function: what may be repeated, what is thrown, what silence means.

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

// A fact as the database has it. `subject` is the id of what it is about.
export type Fact = {
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

// What travels: opaque bytes with the keys that a broker needs to route and order them.
export type Message = {
  readonly id: string;
  readonly key: string;
  readonly type: string;
  readonly stream: string;
  // CloudEvents 1.0, structured JSON.
  readonly body: Buffer;
};

// What a bus hands over: the bytes, and nothing that would have to be trusted.
export type Received = { readonly body: Buffer };

// Who reads which types: a group shares its messages among its members, and every group gets them all.
export type ReaderGroup = { readonly group: string; readonly types: readonly string[] };

export type Bus = {
  readonly capabilities: { readonly ordered: boolean; readonly durable: boolean; readonly redelivers: boolean };
  // Resolves when the bus has every message; else throws, and all are published again: readers dedupe.
  readonly publish: (messages: readonly Message[], signal: AbortSignal) => Promise<void>;
  // Hands batches to `receive`; its promise resolved means acknowledged. A pending promise is
  // backpressure: the adapter holds further messages back, in bounded memory.
  readonly subscribe: (
    group: string,
    types: readonly string[],
    receive: (batch: readonly Received[]) => Promise<void>,
  ) => Promise<Subscription>;
  // How many messages wait unacknowledged for each group that this bus knows. Absent where nothing waits
  // on a server. Rejects when the server does not answer in time.
  readonly lag?: () => Promise<ReadonlyMap<string, number>>;
  readonly close: () => Promise<void>;
};
// Resolves when no call of `receive` is running and none will follow.
export type Subscription = { readonly close: () => Promise<void> };

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

// One step of one consumer. `perform` meets the outside world and may run more than once for one fact;
// the rest is pure and runs inside the store's transaction, on the subject as it stands there.
// A change of `null` touches the delivery alone; `obsolete` says that the subject moved on and nobody
// needs this work any more: the delivery ends as skipped, without a letter.
export type Step<S, C> = {
  readonly consumer: string;
  // The fact types it reads, older versions included; the store hands them over at their newest.
  readonly types: readonly string[];
  // The dependencies whose breakers decide whether work is taken.
  readonly dependencies: readonly string[];
  readonly admits: (subject: S, fact: Fact) => boolean;
  // Why a fact is not admitted, where somebody will ask; kept with the attempts. Absent or null = nobody will.
  readonly skipped?: (subject: S, fact: Fact) => Skipped | null;
  // What a claim changes at once (an intent before the call). `takenOver`: a worker before this one died or
  // froze, and nobody knows what it had done.
  readonly claimed: (subject: S, fact: Fact, now: Date, takenOver: boolean) => C | null;
  // False where what is called knows no keys: a call whose outcome is not known, a worker's that died included, is
  // not made again; it waits for a person as `outcome-unresolved`.
  readonly mayRepeat?: boolean;
  readonly perform: (work: Work<S>, signal: AbortSignal) => Promise<unknown>;
  readonly decide: (subject: S, work: Work<S>, result: unknown, now: Date) => C | null | 'obsolete';
  // What a retry (charged or not), and what a dead letter, means for the subject.
  readonly retried: (subject: S, work: Work<S>, trouble: Trouble, charged: boolean, now: Date) => C | null | 'obsolete';
  readonly parked: (subject: S, work: Work<S>, trouble: Trouble, now: Date) => C | null | 'obsolete';
};

export type Skipped = { readonly code: string; readonly message: string };

// A claim that was won: the right to perform and to settle once, until the lease ends.
export type Work<S> = {
  readonly consumer: string;
  readonly fact: Fact;
  // As of the claim, with the claim's own change in it. `decide` gets the subject as of the settle.
  readonly subject: S;
  readonly token: string;
  readonly epoch: number;
  // 1 for the first charged attempt of this epoch.
  readonly attempt: number;
  // How long this delivery has been waiting uncharged, in ms by the database's clock.
  readonly waitedMs: number;
  // Set when the claim itself found that the delivery must end: nothing is performed.
  readonly exhausted: Trouble | null;
};

export type ClaimRequest<S, C> = {
  readonly step: Step<S, C>;
  readonly eventId: string;
  // Chosen before the first try, so that a repeated claim recognizes its own.
  readonly token: string;
  // True while the dependency is known to be down: a new fact is entered as waiting, nothing runs.
  readonly hold: boolean;
};

// Every answer is durable; on each of them the bus is acknowledged.
export type ClaimAnswer<S> =
  | { readonly answer: 'run'; readonly work: Work<S> }
  | { readonly answer: 'duplicate' | 'busy' | 'waiting' | 'obsolete' | 'unknown-fact' };

export type Ending<S, C> = {
  readonly state: 'done' | 'waiting' | 'dead';
  // Runs in the settle's transaction on the fresh subject.
  readonly change: (subject: S, now: Date) => C | null | 'obsolete';
  // For `waiting`: from now, by the database's clock.
  readonly dueInMs: number;
  // False gives the attempt back: the wait was not the work's fault.
  readonly charged: boolean;
  // What to keep of a failure; null for `done` and for work released unharmed.
  readonly trouble: Trouble | null;
};
export type SettleRequest<S, C> = { readonly work: Work<S>; readonly ending: Ending<S, C> };

// `stale` = the token is not the delivery's any more: somebody else owns the work, nothing was written.
export type SettleAnswer = 'settled' | 'stale';

// `locked` = another transaction holds the row; the entry goes into a later flush.
export type Flush<Entry, Answer> = (entries: readonly Entry[]) => Promise<readonly (Answer | 'locked')[]>;

export type Missed = {
  // Facts old enough that the bus should have brought them, oldest first.
  readonly eventIds: readonly string[];
  // True when the scan reached the newest visible fact.
  readonly reachedEnd: boolean;
};

export type Inbox = {
  // Extends the leases that still hold; answers the tokens that are lost.
  readonly renew: (held: readonly { consumer: string; eventId: string; token: string }[]) => Promise<readonly string[]>;
  // Deliveries that are due (retries, deferred work, leases that ended), longest due first. Reads only.
  readonly due: (consumer: string, limit: number, only: 'all' | 'waited-too-long') => Promise<readonly Due[]>;
  // Facts of a type without a delivery; moves the watermark over what certainly has one.
  readonly missed: (consumer: string, type: string, olderThanMs: number, limit: number) => Promise<Missed>;
  // Keeps what a reader could not use, with its bytes; repeated for the same bytes it keeps one letter.
  readonly park: (consumer: string, unread: Unread) => Promise<void>;
  // Ends a parked message that was read anew, unless it was parked again.
  readonly finishUnread: (consumer: string, eventId: string) => Promise<void>;
};
// `raw` is set for a parked message that a person sent back: it is read again from its bytes.
export type Due = { readonly eventId: string; readonly raw: Buffer | null };
export type Unread = {
  readonly body: Buffer;
  readonly eventId: string | null;
  readonly eventType: string | null;
  readonly code: 'unreadable' | 'oversized' | 'unknown-fact';
  readonly message: string;
};

// What stands outside the system: what clients and operators were told, what the partners' ledgers say,
// what the database has committed, what the bus was given, and what befell the machines.
//
// It only ever grows, and it is kept per order, so that asking about one order costs the same in a run of
// ten orders and of ten thousand. Invariants and counters read it; nothing of src/ ever does. recorder.ts writes it.

import type { Order } from '../../src/domain/order.ts';
import type { PlaceCommand } from '../../src/flow/ports.ts';
import type { Brought, LedgerEntry, PartnerAct } from './partners.ts';
import type {
  AnalyticsRow,
  AttemptRow,
  AuditRow,
  CursorRow,
  DeadLetterRow,
  DependencyRow,
  EffectRow,
  EventColumns,
  JobRow,
  KeyRow,
  OrderRow,
} from './rows.ts';

export type RunSettings = {
  // The wall clock of the world when the simulation began; every `atMs` counts from there.
  readonly epochMs: number;
  readonly maxRetries: number;
  readonly retryDelayMs: number;
  readonly retryDelayMsMax: number;
  readonly maxWaitMs: number;
  readonly leaseMs: number;
  // Pieces of work that a consumer of one process may do at once.
  readonly concurrency: number;
  // How far two machines' clocks may be apart.
  readonly skewMs: number;
  // After this long a partner may have forgotten a key.
  readonly keyWindowMs: number;
  // Those that run somewhere.
  readonly consumers: readonly string[];
  // The cursors of what runs somewhere.
  readonly readers: readonly string[];
  // Who of them is owed which events.
  readonly subscribed: readonly { readonly consumer: string; readonly type: string }[];
};

// One request to place an order, as its client sent it. `answer` is null while, and if, none comes.
export type Placement = {
  readonly atMs: number;
  readonly process: string;
  readonly key: string | null;
  readonly command: PlaceCommand;
  // Its own for every request, repetitions included.
  readonly correlationId: string;
  // A row that the database will refuse: its client may be told of an error that nobody foresaw.
  readonly isImpossible: boolean;
  answer: PlaceOutcome | null;
  answeredMs?: number;
};
// Refused, or without an answer that says what is.
export type Unanswered =
  | { readonly answer: 'refused'; readonly code: string }
  | { readonly answer: 'unavailable'; readonly stored: 'nothing' | 'unknown' }
  // Anything else that was thrown.
  | { readonly answer: 'failed'; readonly message: string };
export type PlaceOutcome = { readonly answer: 'placed' | 'replayed'; readonly order: Order } | Unanswered;

// What a person asked for after placing.
export type Act = {
  readonly atMs: number;
  readonly process: string;
  readonly act: 'cancel' | 'reprocess' | 'reprocess-dead-letter';
  readonly orderId: string | null;
  readonly deadLetterId: string | null;
  // Their own reason, for people to read.
  readonly words?: string;
  readonly correlationId: string;
  answer: { readonly answer: 'done'; readonly order: Order | null } | Unanswered | null;
  answeredMs?: number;
};

// What somebody looked at, and saw. `orderId` is null for the list of dead letters.
export type Look = {
  readonly atMs: number;
  readonly process: string;
  readonly at: 'order' | 'timeline' | 'dead letters';
  readonly orderId: string | null;
  answer: Seen | Unanswered | null;
  answeredMs?: number;
};
export type Seen = {
  readonly answer: 'seen';
  readonly order?: Order;
  // Of a timeline, in its order: the ids of its events.
  readonly events?: readonly string[];
};

// A partner call as the calling process saw it; the ledger knows what came of it.
export type Call = {
  readonly atMs: number;
  // By the calling process's own clock that only grows.
  readonly monotonicMs: number;
  readonly process: string;
  readonly dependency: 'payments' | 'carrier' | 'mail' | 'search';
  readonly call: 'authorize' | 'void' | 'lookup' | 'book' | 'recall' | 'send' | 'index';
  readonly key: string;
  readonly orderId: string | null;
  // The effect of this key as it was committed when the call left; null where there was none.
  readonly effect: EffectRow | null;
  // Undefined while it is on its way, null when it was answered.
  trouble?: {
    readonly class: string;
    readonly code: string;
    readonly dependencyDown: boolean;
    readonly isInterrupted: boolean;
    // The partner asked to wait this long.
    readonly retryAfterMs?: number;
  } | null;
  // When that was, by the same clock as `monotonicMs`, and by the clock of the world.
  endedMs?: number;
  endedAtMs?: number;
};

export type Publication = {
  readonly atMs: number;
  readonly process: string;
  readonly eventId: string;
  readonly orderId: string;
  readonly version: number;
  readonly type: string;
  // As the envelope has it.
  readonly sequence: string;
};

export type BreakerChange = {
  readonly process: string;
  readonly dependency: string;
  readonly state: 'open' | 'closed';
  readonly monotonicMs: number;
};

export type Happening = {
  readonly atMs: number;
  readonly process: string;
  readonly what: 'started' | 'killed' | 'frozen' | 'woken' | 'told-to-stop' | 'stopped' | 'database-crashed' | 'healed';
  // Of a start: whether it runs the newer of two releases.
  readonly isNewer?: boolean;
  // Of a stop: how long work under way may take.
  readonly graceMs?: number;
};

// What only the one between engine and database sees. `label` is the last named statement.
export type Noted = {
  readonly atMs: number;
  readonly process: string;
  readonly what:
    | 'answer-lost' // it took effect, and nobody was told
    | 'never-arrived' // it took no effect
    | 'database-error' // with its SQLSTATE
    | 'guard-missed' // rolled back by its author although every statement succeeded; `label` is its first one
    | 'rows-locked' // a lock statement passed rows by that somebody else had locked
    | 'old-version-read' // an event of an older version was handed to a step
    | 'unreadable'; // a message for the consumer `label` that nobody can read
  readonly label: string;
  readonly code: string | null;
};

// How a claim or an attempt ended, by the engine's own count; `end` as it says it (`stale`, `busy` …).
export type Ended = {
  readonly atMs: number;
  readonly process: string;
  readonly consumer: string;
  readonly end: string;
};

export type Token = { readonly process: string; readonly monotonicMs: number; readonly askedMs: number };

export type Moved<T> = {
  // Grows over all commits, so that moves of different rows can be compared.
  readonly sequence: number;
  readonly atMs: number;
  readonly process: string;
  readonly label: string;
  // The first statement of its transaction.
  readonly transaction: string;
  readonly before: T | null;
  readonly after: T | null;
  readonly token: string | null;
};

// A cursor has gone past an event. `wasUnseen` = the event was committed behind the cursor, which will never read it.
export type Pass = {
  readonly reader: string;
  readonly event: EventColumns;
  readonly atMs: number;
  readonly wasUnseen: boolean;
};

export type OrderEvidence = {
  readonly id: string;
  row: OrderRow | null;
  readonly moves: Moved<OrderRow>[];
  // In the order of their commits.
  readonly events: EventColumns[];
  readonly eventSequences: number[];
  // What lies before a cursor, or in its gaps, by reader and version.
  readonly owed: Map<string, { readonly reader: string; readonly event: EventColumns }>;
  readonly passes: Pass[];
  // By consumer and version.
  readonly jobs: Map<string, JobRow>;
  readonly jobMoves: Moved<JobRow>[];
  readonly effects: Map<string, EffectRow>;
  readonly effectMoves: Moved<EffectRow>[];
  readonly deadLetters: Map<string, DeadLetterRow>;
  readonly deadLetterMoves: Moved<DeadLetterRow>[];
  readonly attempts: AttemptRow[];
  readonly attemptSequences: number[];
  readonly audits: AuditRow[];
  readonly publications: Publication[];
  readonly calls: Call[];
  // Acknowledged with this order, and asked for on it.
  readonly acknowledged: Placement[];
  readonly acts: Act[];
};

export type Evidence = {
  readonly settings: RunSettings;
  readonly orders: ReadonlyMap<string, OrderEvidence>;
  readonly placements: readonly Placement[];
  readonly placementsByKey: ReadonlyMap<string, readonly Placement[]>;
  readonly placementOf: ReadonlyMap<string, Placement>;
  readonly acts: readonly Act[];
  readonly looks: readonly Look[];
  readonly actOf: ReadonlyMap<string, Act>;
  readonly keys: ReadonlyMap<string, KeyRow>;
  // Lines of analytics by what they are about.
  readonly analytics: ReadonlyMap<string, AnalyticsRow>;
  readonly cursors: ReadonlyMap<string, CursorRow>;
  readonly cursorMoves: readonly Moved<CursorRow>[];
  // Those that somebody says are down.
  readonly dependencies: ReadonlyMap<string, DependencyRow>;
  readonly dependencyMoves: readonly Moved<DependencyRow>[];
  readonly calls: readonly Call[];
  readonly breakers: readonly BreakerChange[];
  readonly happenings: readonly Happening[];
  readonly noted: readonly Noted[];
  readonly ended: readonly Ended[];
  // Which process made a token, when, and when its breakers were asked whether it may, both by its own clock.
  readonly tokens: ReadonlyMap<string, Token>;
  // What the engine complained of with level error.
  readonly complaints: readonly { readonly process: string; readonly message: string; readonly error: string }[];
  readonly ledger: Ledger;
  // The time of the last thing that was told.
  readonly nowMs: number;
};
export type Ledger = {
  readonly entries: readonly LedgerEntry[];
  readonly entriesOf: (orderId: string) => readonly LedgerEntry[];
  readonly actsOf: (orderId: string) => readonly PartnerAct[];
  // What was brought to the search about an order.
  readonly broughtOf: (orderId: string) => readonly Brought[];
};

// What a bulk replay is, what people may ask of it, and what its driver asks of the store.
//
// Promises: every step of a driver is guarded by its token and by the state of the replay: where either has changed
// nothing is written. Relies on pace.ts for when the next step is due.

import type { Refusal } from '../../domain/refusals.ts';
import type { BoundedCount, DeadLetter, DeadLetterPlace, DeadLetterSelection } from '../dead-letters.ts';
import type { By } from '../ports.ts';
import type { Pace } from './pace.ts';

export type ReplayState = 'running' | 'paused' | 'stopped' | 'canceled' | 'done';
export type Replay = Pace & {
  readonly id: string;
  readonly filter: DeadLetterSelection;
  readonly createdAt: Date;
  readonly reason: string;
  readonly by: By;
  readonly canary: boolean;
  readonly total: BoundedCount;
  readonly state: ReplayState;
  readonly stateReason: string | null;
  readonly endedAt: Date | null;
  readonly skipped: number;
};
export type ReplayRequest = Pick<Replay, 'filter' | 'reason' | 'rate' | 'canary' | 'stopShare'>;
export type Asking = { readonly by: By; readonly correlationId: string };
export type ReplayPage = {
  readonly items: readonly Replay[];
  readonly next: { readonly at: Date; readonly id: string } | null;
};
export type DryRun = BoundedCount & { readonly orders: number; readonly samples: readonly DeadLetter[] };

// For people.
export type Replays = {
  readonly dryRun: (filter: DeadLetterSelection) => Promise<DryRun>;
  readonly start: (request: ReplayRequest, asking: Asking) => Promise<Replay>;
  readonly read: (id: string) => Promise<Replay | Refusal>;
  readonly list: (limit: number, after: string | null) => Promise<ReplayPage>;
  // Each may be repeated.
  readonly pause: (id: string, asking: Asking) => Promise<Replay | Refusal>;
  readonly resume: (id: string, asking: Asking) => Promise<Replay | Refusal>;
  readonly cancel: (id: string, asking: Asking) => Promise<Replay | Refusal>;
};

// What may be sent next; `next` = where to go on, null at the end.
export type ReplayPick = { readonly letterIds: readonly string[]; readonly next: DeadLetterPlace | null };

// For the driver. Null, or false = somebody else drives it by now, or it does not run any more: nothing was written.
export type ReplayStore = {
  // Those that run and nobody else drives: theirs is the lease from here on.
  readonly claim: (token: string) => Promise<readonly Replay[]>;
  // Counts what has ended since.
  readonly judge: (id: string, token: string) => Promise<Replay | null>;
  readonly pick: (replay: Replay, after: DeadLetterPlace | null) => Promise<ReplayPick>;
  // Sends the dead letter back, at `now` and not before the replay's time, in one transaction with all that tells of it.
  readonly send: (replay: Replay, token: string, letterId: string) => Promise<'sent' | 'skipped' | null>;
  readonly advance: (id: string, token: string, stage: number) => Promise<Replay | null>;
  readonly end: (replay: Replay, token: string, state: 'stopped' | 'done', reason: string | null) => Promise<boolean>;
};

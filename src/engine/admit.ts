// The answer to a claim, as a pure function of what the inbox row says.
//
//   (no row) ──▶ running ──▶ done | skipped | dead
//                 │    ▲ due: attempt + 1; lease over: takeovers + 1, same attempt
//                 ▼    │
//               waiting┘
// Promises: one claim of a delivery runs at a time by the row's lease; an attempt is counted before the
// work, so work that kills its process is counted too, but as a takeover, which has a bound of its own.

import type { Trouble } from './ports.ts';
import { unresolved, waitedTooLong } from './retry-policy.ts';

export type Delivery = {
  readonly state: 'running' | 'waiting' | 'done' | 'skipped' | 'dead';
  readonly token: string | null;
  readonly epoch: number;
  readonly attempt: number;
  readonly takeovers: number;
  // By the database's clock: the lease is over, or the wait is.
  readonly isDue: boolean;
  readonly waitedMs: number;
};

export type Admission =
  | { readonly answer: 'duplicate' | 'busy' | 'waiting' | 'obsolete'; readonly row: null }
  | { readonly answer: 'obsolete'; readonly row: NextRow }
  | { readonly answer: 'waiting'; readonly row: NextRow; readonly dueInMs: number }
  | {
      readonly answer: 'run';
      // Null when an earlier try of this very claim has committed: its answer was lost.
      readonly row: NextRow | null;
      readonly takenOver: boolean;
      readonly exhausted: Trouble | null;
    };
export type NextRow = { readonly epoch: number; readonly attempt: number; readonly takeovers: number };

// A worker that died this often on one delivery is probably killed by it.
export const takeoversMax = 10;
// A type version from a newer release is offered to newer workers this often …
export const unknownVersionPauseMs = 60_000;
// … and this long, the time of a rolling deploy that got stuck over lunch; then it is parked.
export const unknownVersionPatienceMs = 3_600_000;
// While its dependency is away, a new fact is entered as due after one probe interval or so.
export const holdMs = 2_000;

export function admit(claim: {
  readonly delivery: Delivery | null;
  readonly token: string;
  readonly hold: boolean;
  readonly maxWaitMs: number;
  // The watermark is past the fact: a missing row was removed after its end.
  readonly isBelowWatermark: boolean;
  // What the step thinks of the fact's type and of the subject's state.
  readonly knows: 'type' | 'name' | 'nothing';
  readonly admits: boolean;
  // False = what a dead worker may have done must not be done again.
  readonly mayRepeat?: boolean;
}): Admission {
  const { delivery } = claim;
  // A message that somebody made up. A row is no message: it was entered by a release that reads this type.
  if (claim.knows === 'nothing' && delivery === null) return { answer: 'obsolete', row: null };
  if (delivery === null && claim.isBelowWatermark) return { answer: 'duplicate', row: null };
  const isMine = delivery?.token === claim.token;
  const isOwn = delivery?.state === 'running' && isMine;
  // An earlier try of this very claim has held it, and its answer was lost; it may have become due since.
  if (delivery?.state === 'waiting' && isMine) return { answer: 'waiting', row: null };
  if (delivery !== null && !isOwn) {
    if (delivery.state !== 'running' && delivery.state !== 'waiting') return { answer: 'duplicate', row: null };
    if (!delivery.isDue) return { answer: delivery.state === 'running' ? 'busy' : 'waiting', row: null };
  }

  const takenOver = delivery?.state === 'running' && !isOwn;
  const row: NextRow = {
    epoch: delivery?.epoch ?? 0,
    attempt: (delivery?.attempt ?? 0) + (takenOver ? 0 : 1),
    takeovers: (delivery?.takeovers ?? 0) + (takenOver ? 1 : 0),
  };
  const waitedMs = delivery?.waitedMs ?? 0;
  const isInDoubt = takenOver && claim.mayRepeat === false;
  const exhausted = isInDoubt
    ? unresolved('a worker died or froze during the call')
    : exhaustionOf(claim, row, waitedMs);
  if (isOwn) return { answer: 'run', row: null, takenOver, exhausted };
  if (exhausted !== null) return { answer: 'run', row, takenOver, exhausted };

  // Nothing runs, so no attempt is counted; one that a dead worker began is given back.
  const idle = { ...row, attempt: row.attempt - 1 };
  if (claim.knows !== 'type') return { answer: 'waiting', row: idle, dueInMs: unknownVersionPauseMs };
  if (!claim.admits) return { answer: 'obsolete', row: idle };
  if (claim.hold) return { answer: 'waiting', row: idle, dueInMs: holdMs };
  return { answer: 'run', row, takenOver, exhausted: null };
}

function exhaustionOf(
  claim: { readonly knows: 'type' | 'name' | 'nothing'; readonly maxWaitMs: number },
  row: NextRow,
  waitedMs: number,
): Trouble | null {
  if (row.takeovers > takeoversMax) {
    return defect('worker-lost', `${row.takeovers} workers died or froze with this work; it may be what kills them`);
  }
  if (claim.knows !== 'type' && waitedMs > unknownVersionPatienceMs) {
    return defect('unknown-version', 'no release that runs here understands this type or version of the fact');
  }
  if (claim.knows === 'type' && waitedMs > claim.maxWaitMs) return waitedTooLong(waitedMs, null);
  return null;
}

function defect(code: string, message: string): Trouble {
  return { class: 'non-retryable', code, message, dependencyDown: false };
}

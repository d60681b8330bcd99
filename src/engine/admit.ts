// The answer to a claim, as a pure function of the job's row.
//
//   (row) ──▶ claimed ──▶ (no row: done, obsolete, or a dead letter)
//     ▲          │  ▲ due: attempt + 1; lease over: takeovers + 1, same attempt
//     └──────────┘  waits until due_at, without a token
// Promises: one claim of a job runs at a time by the row's lease; an attempt is counted before the work,
// so work that kills its process is counted too, but as a takeover, which has a bound of its own.

import type { Trouble } from './ports.ts';
import { unresolved, waitedTooLong } from './retry-policy.ts';

export type Job = {
  // Of the last claim; null while the job waits.
  readonly token: string | null;
  // By the database's clock.
  readonly isLeased: boolean;
  // False also while another one goes before it.
  readonly isDue: boolean;
  readonly epoch: number;
  readonly attempt: number;
  readonly takeovers: number;
  // How long it has been there, and how long it has been waiting uncharged, in ms.
  readonly ageMs: number;
  readonly waitedMs: number;
};

export type Admission =
  // Nothing is written.
  | { readonly answer: 'gone' | 'busy' | 'not-due' }
  // The subject moved on: the job is deleted.
  | { readonly answer: 'obsolete' }
  | {
      readonly answer: 'run';
      // Null when an earlier try of this very claim has committed: its answer was lost.
      readonly row: NextRow | null;
      readonly takenOver: boolean;
      // The attempt of a takeover is the one that was begun; else the next.
      readonly attempt: number;
      readonly exhausted: Trouble | null;
    };
export type NextRow = { readonly attempt: number; readonly takeovers: number };

// A worker that died this often on one job is probably killed by it.
export const takeoversMax = 10;
// A version of an event from a newer release is left to newer workers this long, the time of a rolling deploy
// that got stuck over lunch; then it becomes a dead letter.
export const unknownVersionPatienceMs = 3_600_000;

export function admit(claim: {
  // As read without a lock where the subject is locked by somebody else; null = there is none.
  readonly job: Job | null;
  readonly token: string;
  readonly maxWaitMs: number;
  // Whether the step reads this type and version of the event.
  readonly knows: boolean;
  // What the step thinks of the subject's state.
  readonly admits: boolean;
  // False = what a dead worker may have done must not be done again.
  readonly mayRepeat?: boolean;
}): Admission {
  const { job, knows } = claim;
  if (job === null) return { answer: 'gone' };
  const isOwn = job.token === claim.token;
  if (!isOwn && job.token !== null && job.isLeased) return { answer: 'busy' };
  if (!isOwn && job.token === null && !job.isDue) return { answer: 'not-due' };
  if (!isOwn && !knows && job.ageMs <= unknownVersionPatienceMs) return { answer: 'not-due' };

  const takenOver = job.token !== null && !isOwn;
  const row: NextRow = {
    attempt: job.attempt + (takenOver || isOwn ? 0 : 1),
    takeovers: job.takeovers + (takenOver ? 1 : 0),
  };
  // Only a takeover leaves a count of takeovers with a step that may not repeat: it ends with this claim.
  const isInDoubt = claim.mayRepeat === false && row.takeovers > 0;
  const exhausted = isInDoubt ? unresolved('a worker died or froze during the call') : exhaustionOf(claim, row, job);
  if (exhausted === null && !isOwn && !claim.admits) return { answer: 'obsolete' };
  return { answer: 'run', row: isOwn ? null : row, takenOver, attempt: row.attempt, exhausted };
}

function exhaustionOf(
  claim: { readonly knows: boolean; readonly maxWaitMs: number },
  { takeovers }: NextRow,
  { waitedMs }: Job,
): Trouble | null {
  if (takeovers > takeoversMax) {
    return defect('worker-lost', `${takeovers} workers died or froze with this work; it may be what kills them`);
  }
  if (!claim.knows) return defect('unknown-version', 'no release that runs here understands this version of the event');
  return waitedMs > claim.maxWaitMs ? waitedTooLong(waitedMs, null) : null;
}

function defect(code: string, message: string): Trouble {
  return { class: 'non-retryable', code, message, dependencyDown: false };
}

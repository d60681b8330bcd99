// When a failed attempt is tried again, deferred, or given up: pure functions of what happened.
//
// Promises: charged retries are bounded by maxRetries; waiting that is not the work's fault is not
// charged, and bounded by maxWaitMs; the delay is exponential with full jitter and capped.
// Source of full jitter: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

import type { Trouble } from './ports.ts';

export type RetryPolicy = {
  // Charged retries after the first attempt, per step and epoch.
  readonly maxRetries: number;
  readonly retryDelayMs: number;
  readonly retryDelayMsMax: number;
  // Uncharged waiting at most.
  readonly maxWaitMs: number;
};

export type Verdict =
  | { readonly end: 'retry' | 'defer'; readonly dueInMs: number; readonly trouble: Trouble }
  | { readonly end: 'park'; readonly trouble: Trouble };

export function backoffMs(attempt: number, policy: RetryPolicy, random: number): number {
  const ceiling = Math.min(policy.retryDelayMsMax, policy.retryDelayMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(ceiling * random);
}

// A provider may ask for any wait; beyond this the work is better looked at again.
const retryAfterMsMax = 3_600_000;
// A partner that says "too many" and no more is asked again this often at the least.
const throttledPauseMsMax = 60_000;

export function verdictOn(
  trouble: Trouble,
  work: { readonly attempt: number; readonly waitedMs: number },
  context: {
    readonly policy: RetryPolicy;
    // Whether the dependency's breaker is open or half-open after this failure.
    readonly dependencyIsOut: boolean;
    readonly probeInMs: number;
    // In [0, 1).
    readonly random: number;
  },
): Verdict {
  const { policy, random } = context;
  if (trouble.class === 'non-retryable') return { end: 'park', trouble };
  const isExcused = trouble.class === 'throttled' || (trouble.dependencyDown && context.dependencyIsOut);
  if (isExcused) {
    if (work.waitedMs > policy.maxWaitMs) return { end: 'park', trouble: waitedTooLong(work.waitedMs, trouble) };
    const askedMs = Math.min(retryAfterMsMax, trouble.retryAfterMs ?? 0);
    // Who asked for less is asked ever less often: a pause is half of what was waited before it.
    const easedMs = Math.min(throttledPauseMsMax, work.waitedMs / 2);
    // Whose dependency is away waits for its probe, whatever was asked.
    const isThrottled = trouble.class === 'throttled' && !(trouble.dependencyDown && context.dependencyIsOut);
    const baseMs = isThrottled ? Math.max(askedMs, policy.retryDelayMs, easedMs) : context.probeInMs;
    return { end: 'defer', dueInMs: Math.round(baseMs * (1 + random)), trouble };
  }
  if (work.attempt > policy.maxRetries) return { end: 'park', trouble };
  return { end: 'retry', dueInMs: backoffMs(work.attempt, policy, random), trouble };
}

// The call may have been made, its partner knows no keys, and once is all that is allowed.
export function unresolved(cause: string): Trouble {
  return {
    class: 'unknown',
    code: 'outcome-unresolved',
    message: `it may have been done, and cannot be repeated safely: ${cause}; find out before you send it back`,
    dependencyDown: false,
  };
}

// Null: nobody was called in this claim.
export function waitedTooLong(waitedMs: number, trouble: Trouble | null): Trouble {
  const cause = trouble === null ? '' : `; the last answer was ${trouble.code}: ${trouble.message}`;
  return {
    // What fell silent may have been done, whoever gives up then.
    class: trouble?.class === 'unknown' ? 'unknown' : 'retryable',
    code: 'waited-too-long',
    message: `waited ${Math.round(waitedMs / 1000)} s without being tried${cause}`,
    dependencyDown: false,
    ...(trouble?.dependency === undefined ? {} : { dependency: trouble.dependency }),
  };
}

// What the database refuses as data, it would refuse from every later worker too.
export const cannotBeStored: Trouble = {
  class: 'unknown',
  code: 'settle-refused',
  message: 'the outcome of this attempt cannot be stored, and it may have been done; the log says why',
  dependencyDown: false,
};

// An error that nobody classified is a defect, ours or an adapter's; bounded retries show whether it passes.
export function defect(error: unknown): Trouble {
  const message = error instanceof Error ? error.message : String(error);
  return { class: 'unknown', code: 'defect', message, dependencyDown: false };
}

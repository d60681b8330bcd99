// How a partner's call can fail, one function per kind of failure, so that the in-process partners and
// those over HTTP report the same failure in the same words.
//
// Promises: `dependencyDown` is set only where the partner itself is away or ill. A failure that was
// played for one order never sets it, or a scenario of one order would stop all the others.

import type { PaymentScenario } from '../../domain/order.ts';
import { OutsideError, type Trouble } from '../../engine/ports.ts';
import type { Entry } from './ledger.ts';

// Stands for an answer that will never arrive.
export const noAnswer = Symbol('no answer');

function outside(trouble: Trouble, cause?: unknown): OutsideError {
  return cause === undefined ? new OutsideError(trouble) : new OutsideError(trouble, { cause });
}

// The partner is well, took this one call and certainly did nothing.
export function withoutEffect(code: string, message: string): OutsideError {
  return outside({ class: 'retryable', code, message, dependencyDown: false });
}

// The partner is well and says no to this call for good.
export function refused(code: string, message: string): OutsideError {
  return outside({ class: 'non-retryable', code, message, dependencyDown: false });
}

// The partner is away; the call certainly did nothing.
export function unavailable(message: string, cause?: unknown): OutsideError {
  return outside({ class: 'retryable', code: 'partner-unavailable', message, dependencyDown: true }, cause);
}

export function throttled(retryAfterMs: number | null): OutsideError {
  const trouble = { class: 'throttled', code: 'partner-throttled', dependencyDown: false } as const;
  const message = 'The partner asks to be called more slowly.';
  return outside(retryAfterMs === null ? { ...trouble, message } : { ...trouble, message, retryAfterMs });
}

type BreakCode = 'connection-lost' | 'partner-broken' | 'malformed-answer';

// The call was on its way when the connection or the partner broke: it may have been done.
export function broken(code: BreakCode, message: string, cause?: unknown): OutsideError {
  return outside({ class: 'unknown', code, message, dependencyDown: true }, cause);
}

// The caller gave up waiting. Whether the partner is ill cannot be seen from here, so it is taken from
// the request: a scenario other than `success` plays its silences on purpose.
export function timedOut(scenario: PaymentScenario): OutsideError {
  const message = 'The partner did not answer in time; it may have acted.';
  return outside({ class: 'unknown', code: 'timeout', message, dependencyDown: scenario === 'success' });
}

// The caller had given up before anything was sent.
export function neverSent(): OutsideError {
  return withoutEffect('not-sent', 'The call was given up before it was sent.');
}

// A key belongs to its first use for good. A tombstone has no terms, and an undo names none.
export function assertSameUse(entry: Entry, orderId: string, terms: string | null): void {
  const sameTerms = terms === null || entry.terms === null || entry.terms === terms;
  if (entry.orderId === orderId && sameTerms) return;
  throw refused('key-parameters-changed', 'The key was first used with other parameters.');
}

// The one table of everything that can go wrong over HTTP: stable code, status, title (RFC 9457).
//
// Promises: every error answer is made here, so nothing but a problem document ever leaves; none
// carries a stack, a path or SQL, because `detail` is only ever written by us for the caller.
// A code is stable for ever and scripts branch on it; title and detail are for people.

import { isRefusal, type Refusal, type RefusalCode } from '../../domain/refusals.ts';
import type { UnavailableError } from '../../engine/ports.ts';

const problems = {
  'bad-request': [400, 'The request cannot be read'],
  'invalid-parameter': [400, 'A header or parameter is not valid'],
  'invalid-json': [400, 'The body is not JSON'],
  'invalid-body': [400, 'The body is not valid'],
  unauthorized: [401, 'An operator has to say who asks'],
  'cross-site': [403, 'A page of another site may not ask this'],
  'not-found': [404, 'There is nothing at this address'],
  'order-not-found': [404, 'There is no such order'],
  'no-replay': [404, 'There is no such replay'],
  'nothing-to-pause': [404, 'There is nothing of this kind and name'],
  'no-dead-letter': [404, 'There is no open dead letter'],
  'method-not-allowed': [405, 'The address exists, but not with this method'],
  'request-timeout': [408, 'The request took too long to arrive'],
  'order-already-processed': [409, 'The order is processed already'],
  'order-already-canceled': [409, 'The order is canceled already'],
  'earlier-letter-open': [409, 'An earlier dead letter comes first'],
  'order-needs-cancel': [409, 'The order has to be canceled instead'],
  'pause-over': [409, 'The pause would be over already'],
  'too-many-pauses': [409, 'Too much is paused already'],
  'replay-over': [409, 'The replay is over'],
  'not-correctable': [409, 'There is nothing to correct here'],
  'order-not-failed': [409, 'The order has not failed'],
  'order-failed': [409, 'The order has failed'],
  'order-in-progress': [409, 'The order is in progress'],
  'order-exists': [409, 'The order exists already'],
  'body-too-large': [413, 'The body is too large'],
  'unsupported-media-type': [415, 'The body is of another media type'],
  'expectation-failed': [417, 'The expectation cannot be met'],
  misdirected: [421, 'The service is not known by this name'],
  'idempotency-key-reused': [422, 'The idempotency key belongs to another payload'],
  'too-many-attempts': [429, 'Too many wrong tokens were shown'],
  'headers-too-large': [431, 'The headers are too large'],
  'internal-error': [500, 'Something is wrong on our side'],
  'not-implemented': [501, 'The request asks for what is not supported'],
  unavailable: [503, 'The service cannot take the request now'],
  'outcome-unknown': [504, 'It is unknown whether the request took effect'],
} as const satisfies Record<string, readonly [status: number, title: string]> &
  Record<Exclude<RefusalCode, 'invalid-order'>, readonly [status: number, title: string]>;
export type ProblemCode = keyof typeof problems;
export const problemCodes = Object.keys(problems) as ProblemCode[];

// One mistake in the input: a place in the body (URI-fragment JSON Pointer, RFC 6901), or a
// header or parameter by name.
export type Mistake = { readonly pointer: string; readonly detail: string } | ParameterMistake;
export type ParameterMistake = {
  readonly in: 'header' | 'path' | 'query';
  readonly name: string;
  readonly detail: string;
};

// Thrown in a route, it becomes the answer.
export class ProblemError extends Error {
  readonly code: ProblemCode;
  readonly errors: readonly Mistake[];
  readonly headers: Readonly<Record<string, string>>;
  constructor(
    code: ProblemCode,
    detail: string,
    more: { errors?: readonly Mistake[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail);
    this.name = 'ProblemError';
    this.code = code;
    this.errors = more.errors ?? [];
    this.headers = more.headers ?? {};
  }
}

export function statusOf(code: ProblemCode): number {
  return problems[code][0];
}

export function titleOf(code: ProblemCode): string {
  return problems[code][1];
}

export function invalidParameter(mistake: ParameterMistake): ProblemError {
  return new ProblemError('invalid-parameter', 'The request has one mistake. See errors.', { errors: [mistake] });
}

// Passes every answer through but a refusal, which becomes the problem of the same code.
export function orThrow<Answer>(answer: Answer | Refusal): Answer {
  if (!isRefusal(answer)) return answer;
  if (answer.refused !== 'invalid-order') throw new ProblemError(answer.refused, answer.detail);
  throw new ProblemError('invalid-body', 'The body is JSON, but not a valid order.', {
    errors: [{ pointer: answer.pointer ?? '#', detail: answer.detail }],
  });
}

// The difference between 503 and 504 is a promise: after a 503 nothing is stored, so any client may try
// again; after a 504 only a repetition under the same key is safe. `repetition` says how to go on. Of a read nobody
// asks what it stored.
export function unavailable(
  stored: UnavailableError['stored'] | 'read',
  retryAfterMs: number,
  repetition: string,
): ProblemError {
  const headers = { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) };
  if (stored === 'unknown') {
    return new ProblemError('outcome-unknown', `The request may have taken effect. ${repetition}`, { headers });
  }
  const what = stored === 'read' ? 'The answer cannot be had now' : 'Nothing was stored';
  return new ProblemError('unavailable', `${what}. Try again after the time in Retry-After.`, { headers });
}

export const problemMediaType = 'application/problem+json';

export function toDocument(problem: ProblemError, correlationId: string, traceId: string | null): string {
  return JSON.stringify({
    type: `urn:orderly:problem:${problem.code}`,
    title: titleOf(problem.code),
    status: statusOf(problem.code),
    detail: problem.message,
    code: problem.code,
    correlationId,
    ...(traceId === null ? {} : { traceId }),
    ...(problem.errors.length === 0 ? {} : { errors: problem.errors }),
  });
}

// What an error of PostgreSQL means for the write that met it.
//
// Promises: an error is `data` or `again` only when the server certainly rolled the write back;
// `absent` only when the statement certainly never reached it; everything doubtful is `lost`.
// Source: PostgreSQL documentation, appendix A (SQLSTATE classes), and Node's system error codes.

import type { FlushFailure } from '../../engine/group-commit.ts';
import { UnavailableError } from '../../engine/ports.ts';

// Raised by our own statements when a guarded write missed: roll back, read afresh, run again.
export class GuardMissedError extends Error {
  constructor(guard: string) {
    super(`a guarded write missed: ${guard}`);
    this.name = 'GuardMissedError';
  }
}

// Our own code failed on one entry of a flush: the others must not suffer for it.
export class EntryFailedError extends Error {
  constructor(cause: unknown) {
    super(`a step failed on this entry: ${String(cause)}`, { cause });
    this.name = 'EntryFailedError';
  }
}

// What `decide` and its like throw is the entry's own fault, whatever it is.
export function ofOneEntry<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new EntryFailedError(error);
  }
}

// There was no connection to be had: nothing was sent.
export class NotConnectedError extends Error {
  constructor(cause: unknown) {
    super(isFull(cause) ? 'no connection to the database was free in time' : 'the database cannot be reached', {
      cause,
    });
    this.name = 'NotConnectedError';
  }
}

// What the pool says when all of its connections are in use.
const isFull = (cause: unknown) =>
  cause instanceof Error && cause.message.startsWith('timeout exceeded when trying to connect');

// The server is there; it is this process that has more to ask than it has connections.
export function isCrowded(error: unknown): boolean {
  return error instanceof NotConnectedError && isFull(error.cause);
}

const readOnly = '25006';

// The server behind the connection takes no writes; its code is PostgreSQL's for a write that was tried.
export class ReadOnlyError extends Error {
  readonly code = readOnly;
  constructor() {
    super('it takes no writes: it is a standby, or its database or role is set to read only');
    this.name = 'ReadOnlyError';
  }
}

export function isReadOnlyError(error: unknown): boolean {
  return codeOf(error) === readOnly || (error instanceof NotConnectedError && codeOf(error.cause) === readOnly);
}

// 40001 serialization failure, 40P01 deadlock, 55P03 lock timeout, 57014 statement timeout: rolled back.
const rolledBack = new Set(['40001', '40P01', '55P03', '57014']);
// 57P03 starting up or shutting down, 53300 no connection free, 53100 disk full, 53200 out of memory,
// 25006 read-only after a fail-over, 42501 a right that the role lacks: the server refused before it stored anything.
const refused = new Set(['57P03', '53300', '53100', '53200', readOnly, '42501']);

// Waited in vain for what another transaction holds.
export function isHeldElsewhere(error: unknown): boolean {
  return codeOf(error) === '55P03';
}

export function failureOf(error: unknown): FlushFailure {
  if (error instanceof GuardMissedError) return 'again';
  if (error instanceof EntryFailedError) return 'data';
  if (error instanceof NotConnectedError) return 'absent';
  const code = codeOf(error);
  if (code === null) return isLostConnection(error) ? 'lost' : 'bug';
  if (rolledBack.has(code)) return 'again';
  if (refused.has(code)) return 'absent';
  if (/^(22|23)/.test(code)) return 'data';
  // 08 connection exceptions, 57P shutdown and crash, 25P03 and 25P04 a session that the server ended
  // because this process froze inside a transaction; anything that is no SQLSTATE is the socket's (no class
  // of SQLSTATE begins with E, as EPIPE does).
  if (/^(08|57P|25P0[34]|E)/.test(code) || !/^[0-9A-Z]{5}$/.test(code)) return 'lost';
  return 'bug';
}

export function isAway(error: unknown): boolean {
  const failure = failureOf(error);
  return failure === 'lost' || failure === 'absent';
}

// The server is away, which is told once for all who notice; see server-watch.ts.
export function isToldOf(error: unknown): boolean {
  const { cause } = (error ?? {}) as { cause?: unknown };
  if (error instanceof UnavailableError) return cause !== undefined && isToldOf(cause);
  return isAway(error) && !isCrowded(error);
}

// For whoever waits for the answer; a mistake of ours stays one.
export function unavailable(error: unknown, maybeStored: boolean): unknown {
  const failure = failureOf(error);
  if (failure === 'bug' || failure === 'data') return error;
  const stored = maybeStored ? 'unknown' : 'nothing';
  return new UnavailableError(stored, 'the database does not answer', undefined, { cause: error });
}

// The same for a whole piece of work.
export async function orUnavailable<T>(maybeStored: boolean, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw unavailable(error, maybeStored);
  }
}

function codeOf(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : null;
}

// What pg says without a code when the socket ends under a statement or the answer does not come.
function isLostConnection(error: unknown): boolean {
  return (
    error instanceof Error &&
    /Connection terminated|Query read timeout|Client was closed|not queryable/i.test(error.message)
  );
}

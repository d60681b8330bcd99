// The readers of the event log that keep the analytics and the documents.
//
// Promises: building starts nothing. What is kept in PostgreSQL is written in the transaction of its reader's cursor;
// documents elsewhere under a lease on it.

import { type CursorReader, createCursorReader } from '../engine/cursor.ts';
import { createLeasedTurns, createLockedTurns, type Turns, type View } from '../engine/cursor-turns.ts';
import type { Cursors, LoggedEvent } from '../engine/event-log.ts';
import type { Observer } from '../engine/observer.ts';
import { type Log, OutsideError, type System, type Trouble } from '../engine/ports.ts';
import { inBatch, silentTracer, type Tracer } from '../engine/tracer.ts';
import { createIndexing, silentCode, UntoldError } from '../flow/projections/index-orders.ts';
import type { ReadHistories, Search } from '../flow/projections/search-ports.ts';
import { knownTypes, type ProjectionName, projections } from '../flow/subscriptions.ts';
import { countEvents } from '../io/postgres/analytics.ts';
import type { Query } from '../io/postgres/database.ts';
import { indexEvents } from '../io/postgres/documents.ts';
import { failureOf, isToldOf } from '../io/postgres/errors.ts';

// Some tens of milliseconds of work, a fraction of what a transaction may take, and the more events of one order the
// fewer documents.
const batchMax = 1_000;
// A commit of this process, or the bus, wakes a reader; this is for what other processes write and the bus loses.
export const pollMs = 1_000;
// Where this process knows all writers: an upper bound, against a mistake of ours.
const quietPollMs = 60_000;
// Twice the time of a call that hangs until its timeout, and as long as others wait for a reader that died.
const leaseMs = (timeoutMs: number) => Math.max(5_000, 3 * timeoutMs);

type Surroundings = {
  readonly cursors: Cursors<Query>;
  // True where no other process writes events.
  readonly knowsAllWriters?: boolean;
  readonly system: System;
  readonly log: Log;
  readonly observer?: Pick<Observer, 'read'>;
  readonly tracer?: Tracer;
  // What people hold back: then it stands by.
  readonly isPaused?: (consumer: ProjectionName) => boolean;
};

export function createAnalyticsReader(parts: Surroundings): CursorReader {
  const { cursors } = parts;
  return readerOf('analytics', createLockedTurns({ reader: 'analytics', cursors, handle: countEvents }), parts);
}

export function createSearchReader(parts: OutsideParts & { readonly search: Search }): CursorReader {
  const { search, cursors } = parts;
  const reader = `search.${search.kind}`;
  if (search.kind !== 'postgres') return createOutsideIndexing({ ...parts, reader, index: search.index });
  return readerOf('search', createLockedTurns({ reader, cursors, handle: indexEvents }), parts);
}

type OutsideParts = Surroundings & {
  readonly readHistories: ReadHistories;
  readonly timeoutMs: number;
  readonly onAnswer?: (trouble: Trouble | null) => void;
};

// Documents that no transaction of the database can hold.
export function createOutsideIndexing(
  parts: OutsideParts & { readonly reader: string; readonly index: Search['index'] },
): CursorReader {
  const { reader, cursors, timeoutMs, system } = parts;
  const handle = createIndexing(parts);
  const leased = createLeasedTurns({
    ...{ reader, cursors, leaseMs: leaseMs(timeoutMs), storeEveryMs: 0, handle, system },
  });
  return readerOf('search', leased, parts);
}

const known = new Set(knownTypes);

function readerOf(
  consumer: ProjectionName,
  turns: Turns,
  { knowsAllWriters = false, system, log, observer, tracer = silentTracer, isPaused = () => false }: Surroundings,
): CursorReader {
  const take: Turns['take'] = async (work, ...asked) => {
    if (isPaused(consumer)) return null;
    const step = await turns.take((view) => work({ ...view, handle: (events) => traced(view, events) }), ...asked);
    if (step !== null && step.passed > 0) observer?.read(consumer, step.passed, step.deadLetters);
    return step;
  };
  const traced = (view: View, events: readonly LoggedEvent[]) => {
    const traceparents = events.map(({ event }) => event.traceparent);
    return inBatch(tracer, { operation: 'process', reader: consumer }, traceparents, () => view.handle(events));
  };
  return createCursorReader({
    consumer,
    turns: { ...turns, take },
    knows: (type) => known.has(type),
    isPoison: (error) => error instanceof UntoldError || failureOf(error) === 'data',
    isTooMuch: (error) =>
      error instanceof OutsideError ? error.trouble.code === silentCode : failureOf(error) === 'again',
    batchMax,
    pollMs: knowsAllWriters ? quietPollMs : pollMs,
    // A search that is away is told of by its breaker.
    isTold: (error) => (error instanceof OutsideError ? error.trouble.dependencyDown : isToldOf(error)),
    gatherMs: projections.find((row) => row.consumer === consumer)?.gatherMs ?? 0,
    system,
    log,
  });
}

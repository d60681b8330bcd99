// An event log in memory with one cursor, which keeps the promises of its port: a read is of one moment, a store
// needs the token and what it began from. Transactions are the test's own: `begin` opens one, which holds `xmin` back.

import type { CursorDeadLetter, CursorState, Cursors, LoggedEvent, Span } from '../../src/engine/event-log.ts';
import { isSame, within } from '../../src/engine/gaps.ts';
import type { Event, System } from '../../src/engine/ports.ts';

export type Committed = Event & { readonly position: number; readonly ageMs?: number };

export function eventAt(position: number, subject: string, version: number): Committed {
  const id = `00000000-0000-7000-8000-${String(position).padStart(12, '0')}`;
  const time = new Date('2026-11-21T07:00:00.000Z');
  const event = { id, type: 'OrderCreatedV1', subject, version, time, correlationId: 'c-1', data: {} };
  return { position, ...event, causationId: null, traceparent: null };
}

type Open = { -readonly [K in keyof Cursors<string>]: Cursors<string>[K] };

export function createEventLog(system: Pick<System, 'monotonicMs'>) {
  const events: LoggedEvent[] = [];
  const story: string[] = [];
  const deadLetters: CursorDeadLetter[] = [];
  const open = new Set<bigint>();
  let nextXact = 1n;
  let row: CursorState = { readTo: 0, gaps: [] };
  let token: string | null = null;
  let leaseUntilMs = Number.NEGATIVE_INFINITY;
  let isLocked = false;

  const begin = () => {
    const xact = nextXact;
    nextXact += 1n;
    open.add(xact);
    return { xact, end: () => void open.delete(xact) };
  };
  const single = () => {
    const { xact, end } = begin();
    end();
    return xact;
  };
  const xmin = () => [...open].reduce((least, one) => (one < least ? one : least), nextXact);
  const inWords = (gaps: readonly Span[]) => `{${gaps.map(({ from, to }) => `${from}-${to}`).join(' ')}}`;
  const see = (at: CursorState, limit: number) => {
    const isUnhandled = ({ position }: LoggedEvent) =>
      position > at.readTo || within([{ from: position, to: position }], at.gaps).length > 0;
    return { events: events.filter(isUnhandled).slice(0, limit), xmin: xmin() };
  };

  const cursors: Open = {
    hold: async (_, by, leaseMs) => {
      story.push('hold');
      if (token !== by && leaseUntilMs > system.monotonicMs()) return null;
      token = by;
      leaseUntilMs = system.monotonicMs() + leaseMs;
      return row;
    },
    release: async (_, by) => {
      story.push('release');
      if (token !== by) return;
      token = null;
      leaseUntilMs = Number.NEGATIVE_INFINITY;
    },
    read: async (at, limit) => {
      story.push(`read behind ${at.readTo}`);
      return see(at, limit);
    },
    store: async ({ token: by, from, to, deadLetters: parked }) => {
      const xact = single();
      if (token !== by || !isSame(from, row)) return null;
      story.push(`store ${to.readTo} ${inWords(to.gaps)}`);
      row = to;
      deadLetters.push(...parked);
      return xact;
    },
    locked: async (_, work) => {
      if (isLocked) return null;
      isLocked = true;
      const { xact, end } = begin();
      const state = row;
      let stored: { to: CursorState; parked: readonly CursorDeadLetter[] } | null = null;
      try {
        const done = await work({
          ...{ transaction: `transaction ${xact}`, state, xact },
          read: async (limit) => see(state, limit),
          store: async (to, parked) => {
            stored = { to, parked };
          },
        });
        const { to, parked } = stored ?? { to: row, parked: [] as readonly CursorDeadLetter[] };
        row = to;
        deadLetters.push(...parked);
        return done;
      } finally {
        end();
        isLocked = false;
      }
    },
  };

  return {
    cursors,
    story,
    deadLetters,
    begin,
    commit: (...some: readonly Committed[]) => {
      for (const { position, ageMs = 0, ...event } of some) events.push({ position, ageMs, event });
      events.sort((one, other) => one.position - other.position);
    },
    state: () => row,
    // As a person's request does it.
    reopen: (position: number) => {
      row = {
        ...row,
        gaps: [...row.gaps, { from: position, to: position }].sort((one, other) => one.from - other.from),
      };
    },
    endLease: () => {
      leaseUntilMs = Number.NEGATIVE_INFINITY;
    },
  };
}

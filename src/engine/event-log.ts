// What a reader asks of the event log and of its cursor.
//
// The log has all events in rising positions, which are rising versions for each subject. A cursor says how far one
// reader is. Who meets the outside between reading and storing holds a lease on it; who does not, holds its lock.
// Promises written at each function: what may be repeated, what is thrown, what silence means.

import type { Event, Trouble } from './ports.ts';

// Positions of the event log, both ends included.
export type Span = { readonly from: number; readonly to: number };
// How far a reader is: the highest position it has read, and the positions below that are not handled yet.
// Spans are sorted and neither touch nor overlap.
export type CursorState = { readonly readTo: number; readonly gaps: readonly Span[] };
// `ageMs` = since the event's time, by the database's clock.
export type LoggedEvent = { readonly position: number; readonly ageMs: number; readonly event: Event };
// What a reader has not handled, in rising positions, which is rising versions for each subject; and the oldest
// transaction of the whole server that was still open, both of one moment.
export type Snapshot = { readonly events: readonly LoggedEvent[]; readonly xmin: bigint };
// An event that is handled by becoming a dead letter.
export type Refused = { readonly position: number; readonly trouble: Trouble };
export type CursorDeadLetter = { readonly consumer: string; readonly event: Event; readonly trouble: Trouble };

// The cursors of all readers. `T` is what statements of one transaction run on. Every call throws when the database
// does not answer; then nothing is known, and the reader begins again from the row.
export type Cursors<T> = {
  // Takes the lease where it is free or over, and renews one's own: answers the row. Null = another one has it.
  readonly hold: (reader: string, token: string, leaseMs: number) => Promise<CursorState | null>;
  readonly release: (reader: string, token: string) => Promise<void>;
  // One statement, one snapshot, at most `limit` events.
  readonly read: (at: CursorState, limit: number) => Promise<Snapshot>;
  // Writes `to` and the dead letters together, if the token has the row and the row is `from`. Answers the id of its
  // transaction; null = it missed, nothing is written.
  readonly store: (moved: {
    readonly reader: string;
    readonly token: string;
    readonly from: CursorState;
    readonly to: CursorState;
    readonly deadLetters: readonly CursorDeadLetter[];
  }) => Promise<bigint | null>;
  // One transaction under the row's lock. Null = another one has it; nothing ran.
  readonly locked: <R>(reader: string, work: (cursor: LockedCursor<T>) => Promise<R>) => Promise<R | null>;
};
export type LockedCursor<T> = {
  readonly transaction: T;
  readonly state: CursorState;
  // The transaction's own id: older than the read of this transaction, younger than any that was before it.
  readonly xact: bigint;
  readonly read: (limit: number) => Promise<Snapshot>;
  readonly store: (to: CursorState, deadLetters: readonly CursorDeadLetter[]) => Promise<void>;
};

// What the simulated partners remember: `ledger.sqlite` in a directory of one process, apart from the
// order database, so that an audit can compare both.
//
// Promises: an answer leaves only after its entry is written, and what is written survives a kill of
// this process at any point, for it lies in the system's page cache; a loss of power is not covered.
// Memory stays flat however many entries there are. An entry is never removed; only its state moves on.
// Relies on node:sqlite, whose calls are synchronous and short.

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DirectoryError, orDirectoryError } from '../directory-lock.ts';
import { makePrivateDirectory } from '../private-directory.ts';
import type { EntryState, PartnerName } from './entry-states.ts';

export type Entry = {
  // Grows by one per entry: the order in which the partners acted.
  readonly position: number;
  readonly partner: PartnerName;
  // Our idempotency key; unique per partner.
  readonly key: string;
  readonly orderId: string;
  readonly state: EntryState;
  // The partner's own id of what was done, or null where nothing was.
  readonly reference: string | null;
  // Why it was declined or rejected.
  readonly code: string | null;
  // What the key was first used for, as JSON; null on a tombstone.
  readonly terms: string | null;
  readonly expiresAtMs: number | null;
  readonly createdAtMs: number;
  readonly changedAtMs: number;
};
export type NewEntry = Omit<Entry, 'position' | 'changedAtMs'>;

// An undo that came first takes the key for good.
export function tombstone(partner: PartnerName, of: Pick<Entry, 'key' | 'orderId'>, now: Date): NewEntry {
  const nothing = { reference: null, code: null, terms: null, expiresAtMs: null };
  return { partner, key: of.key, orderId: of.orderId, state: 'closed', ...nothing, createdAtMs: now.getTime() };
}

export type EntryFilter = { readonly orderId: string | null; readonly afterPosition: number; readonly limit: number };
// By order instead: from one order to another, both included; null = no end on that side.
export type OrderRange = {
  readonly from: string | null;
  readonly upTo: string | null;
  readonly after: { readonly orderId: string; readonly position: number } | null;
  readonly limit: number;
};
export type OrderCalls = { readonly call: string; readonly calls: number };
// Calls that reached a partner in one second of the wall clock. `admitted` is false while it was down
// or throttling and turned them away unread.
export type Traffic = {
  readonly second: number;
  readonly call: string;
  readonly admitted: boolean;
  readonly calls: number;
};

export type Ledger = {
  // Runs `work` at once; resolves when what it wrote is durable. All that happens in one turn of the
  // event loop shares a transaction, which halves the cost per call. A throw of `work` undoes nothing.
  readonly inTurn: <T>(work: () => T) => Promise<T>;
  // These five belong inside `inTurn`.
  readonly find: (partner: PartnerName, key: string) => Entry | null;
  readonly add: (entry: NewEntry) => void;
  readonly move: (partner: PartnerName, key: string, state: EntryState, atMs: number) => void;
  // Counts one more call for the order and answers how many there have been.
  readonly countCall: (orderId: string, call: string) => number;
  readonly countArrival: (call: string, admitted: boolean, atMs: number) => void;
  // For audits; oldest first.
  readonly entries: (filter: EntryFilter) => readonly Entry[];
  // For who compares order by order; by order id, and oldest first within one.
  readonly entriesByOrder: (range: OrderRange) => readonly Entry[];
  readonly callsOf: (orderId: string) => readonly OrderCalls[];
  readonly traffic: (fromSecond: number, toSecond: number) => readonly Traffic[];
  readonly counts: () => readonly {
    readonly partner: PartnerName;
    readonly state: EntryState;
    readonly entries: number;
  }[];
  readonly close: () => void;
};

const nameOf = (directory: string) => `The ledger of the simulated partners in ${directory}`;

// `locking_mode` comes first: held by one process alone, the log needs no shared memory, and a second
// process is told at once. A checkpoint per 16 MiB of log instead of 4 halves what is written twice.
const settings = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = OFF;
  PRAGMA wal_autocheckpoint = 4000;
  PRAGMA cache_size = -4000;`;

const tables = `
  CREATE TABLE IF NOT EXISTS entries (
    position INTEGER PRIMARY KEY, partner TEXT NOT NULL, key TEXT NOT NULL, orderId TEXT NOT NULL,
    state TEXT NOT NULL, reference TEXT, code TEXT, terms TEXT, expiresAtMs INTEGER,
    createdAtMs INTEGER NOT NULL, changedAtMs INTEGER NOT NULL, UNIQUE (partner, key)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS entries_by_order ON entries (orderId);
  CREATE TABLE IF NOT EXISTS calls (
    orderId TEXT NOT NULL, call TEXT NOT NULL, calls INTEGER NOT NULL, PRIMARY KEY (orderId, call)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS traffic (
    second INTEGER NOT NULL, call TEXT NOT NULL, admitted INTEGER NOT NULL, calls INTEGER NOT NULL,
    PRIMARY KEY (second, call, admitted)
  ) STRICT, WITHOUT ROWID;`;

// Behind every order id there can be.
const lastOrder = '\u{10ffff}';

function open(directory: string): DatabaseSync {
  makePrivateDirectory(directory);
  const database = new DatabaseSync(join(directory, 'ledger.sqlite'));
  try {
    database.exec(settings);
    database.exec(`BEGIN IMMEDIATE; ${tables} COMMIT;`);
    return database;
  } catch (error) {
    database.close();
    const sqliteBusy = 5;
    if (error instanceof Error && 'errcode' in error && error.errcode === sqliteBusy) {
      throw new DirectoryError(`${nameOf(directory)} is in use by another process.`);
    }
    throw error;
  }
}

export function openLedger({ directory }: { directory: string }): Ledger {
  const database = orDirectoryError(nameOf(directory), () => open(directory));
  const sql = {
    begin: database.prepare('BEGIN IMMEDIATE'),
    commit: database.prepare('COMMIT'),
    find: database.prepare('SELECT * FROM entries WHERE partner = ? AND key = ?'),
    add: database.prepare(
      `INSERT INTO entries (partner, key, orderId, state, reference, code, terms, expiresAtMs, createdAtMs, changedAtMs)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    move: database.prepare('UPDATE entries SET state = ?, changedAtMs = ? WHERE partner = ? AND key = ?'),
    countCall: database.prepare(
      `INSERT INTO calls VALUES (?, ?, 1)
       ON CONFLICT (orderId, call) DO UPDATE SET calls = calls + 1 RETURNING calls`,
    ),
    countArrivals: database.prepare(
      `INSERT INTO traffic VALUES (?, ?, ?, ?)
       ON CONFLICT (second, call, admitted) DO UPDATE SET calls = calls + excluded.calls`,
    ),
    all: database.prepare('SELECT * FROM entries WHERE position > ? ORDER BY position LIMIT ?'),
    ofOrder: database.prepare('SELECT * FROM entries WHERE orderId = ? AND position > ? ORDER BY position LIMIT ?'),
    byOrder: database.prepare(
      `SELECT * FROM entries WHERE orderId >= ? AND orderId <= ? AND (orderId > ? OR position > ?)
       ORDER BY orderId, position LIMIT ?`,
    ),
    callsOf: database.prepare('SELECT call, calls FROM calls WHERE orderId = ? ORDER BY call'),
    traffic: database.prepare('SELECT * FROM traffic WHERE second >= ? AND second < ? ORDER BY second, call, admitted'),
    counts: database.prepare(
      'SELECT partner, state, count(*) AS entries FROM entries GROUP BY partner, state ORDER BY partner, state',
    ),
  };

  // `arrivals` are summed up per turn: one row for the many calls of one kind that come together.
  type Turn = { readonly committed: Promise<void>; readonly end: () => void; readonly arrivals: Map<string, Traffic> };
  let turn: Turn | null = null;

  function startTurn(): Turn {
    sql.begin.run();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const arrivals = new Map<string, Traffic>();
    const end = () => {
      turn = null;
      try {
        for (const { second, call, admitted, calls } of arrivals.values()) {
          sql.countArrivals.run(second, call, admitted ? 1 : 0, calls);
        }
        sql.commit.run();
        resolve();
      } catch (error) {
        // A full disk: none of the turn's answers may leave, for none of its entries is kept.
        if (database.isTransaction) database.exec('ROLLBACK');
        reject(error);
      }
    };
    // Microtasks run in the order they are queued, so whoever is already waiting still joins this turn.
    queueMicrotask(() => turn?.end());
    return { committed: promise, end, arrivals };
  }

  // An audit shows only what is durable.
  function read<T>(query: () => T): T {
    turn?.end();
    return query();
  }

  return {
    inTurn: async (work) => {
      turn ??= startTurn();
      const { committed } = turn;
      try {
        return work();
      } finally {
        // Crash here: the entry may be kept without its answer; the same key repeats the answer.
        await committed;
      }
    },
    find: (partner, key) => (sql.find.get(partner, key) as unknown as Entry | undefined) ?? null,
    add: (entry) => {
      const { partner, key, orderId, state, reference, code, terms, expiresAtMs, createdAtMs } = entry;
      sql.add.run(partner, key, orderId, state, reference, code, terms, expiresAtMs, createdAtMs, createdAtMs);
    },
    move: (partner, key, state, atMs) => void sql.move.run(state, atMs, partner, key),
    countCall: (orderId, call) => (sql.countCall.get(orderId, call) as { calls: number }).calls,
    countArrival: (call, admitted, atMs) => {
      const second = Math.floor(atMs / 1000);
      const name = `${second} ${call} ${admitted}`;
      const calls = (turn?.arrivals.get(name)?.calls ?? 0) + 1;
      turn?.arrivals.set(name, { second, call, admitted, calls });
    },
    entries: ({ orderId, afterPosition, limit }) =>
      read(() => {
        const rows =
          orderId === null ? sql.all.all(afterPosition, limit) : sql.ofOrder.all(orderId, afterPosition, limit);
        return rows as unknown as Entry[];
      }),
    entriesByOrder: ({ from, upTo, after, limit }) =>
      read(() => {
        const start = after?.orderId ?? from ?? '';
        const rows = sql.byOrder.all(start, upTo ?? lastOrder, start, after?.position ?? 0, limit);
        return rows as unknown as Entry[];
      }),
    callsOf: (orderId) => read(() => sql.callsOf.all(orderId) as unknown as OrderCalls[]),
    traffic: (fromSecond, toSecond) =>
      read(() => {
        const rows = sql.traffic.all(fromSecond, toSecond) as unknown as (Omit<Traffic, 'admitted'> & {
          admitted: number;
        })[];
        return rows.map((row) => ({ ...row, admitted: row.admitted === 1 }));
      }),
    counts: () => read(() => sql.counts.all() as unknown as ReturnType<Ledger['counts']>),
    close: () => {
      turn?.end();
      database.close();
    },
  };
}

// A table: rows with at most one open version each, one lock each, a primary key and indexes.
//
// Promises, as READ COMMITTED needs them: a transaction sees what is committed and what it wrote itself; a
// row has one writer at a time; a second one waits for the end of the first and then sees the newest row.
// An insert of a key waits for the transaction that is inserting, changing or deleting it.
// What may wait is a generator that yields the transaction to wait for. A statement collects its rows
// before it waits for the first time: that is its snapshot. Rows are never changed, only replaced.

import type { Transaction } from './transactions.ts';
import { SqlError } from './values.ts';

// biome-ignore lint/suspicious/noExplicitAny: transactions hold slots of every table.
export type Slot<R = any> = {
  readonly key: string;
  readonly table: { readonly name: string; readonly keep: (slot: Slot) => void; readonly drop: (slot: Slot) => void };
  committed: R | null;
  // What the owner made of it; undefined = it has the lock alone, null = deleted.
  pending: R | null | undefined;
  owner: Transaction | null;
  // The owner's statement that wrote it last, by its number (0 = none) and name, and the token it named.
  writtenIn: number;
  label: string;
  token: string | null;
};

export type Waiting<T> = Generator<Transaction, T>;
export type Found<R> = {
  readonly slot: Slot<R>;
  readonly row: R;
};
// One row to change: `where` is asked again when somebody else has changed it meanwhile.
export type Change<R> = {
  readonly found: Found<R> | null;
  readonly where: (row: R) => boolean;
  // Null = delete.
  readonly to: (row: R) => R | null;
  // Whose write it is, for those who watch: the token that the statement brought for this row.
  readonly token?: string | null;
};

export type Table<R, I extends string = string> = ReturnType<typeof createTable<R, I>>;

export function createTable<R, I extends string = never>(options: {
  readonly name: string;
  // Of a row without a primary key any unique text.
  readonly key: (row: R) => string;
  // Null = the row is not in the index.
  readonly indexes?: Readonly<Record<I, (row: R) => string | null>>;
  readonly unique?: readonly I[];
  // Throws for a row that a constraint refuses.
  readonly check: (row: R) => void;
  // For an index that is sorted: a new row is committed.
  readonly onInserted?: (row: R) => void;
}) {
  const { name, key, unique = [], check, onInserted } = options;
  const indexes = (options.indexes ?? {}) as Readonly<Record<I, (row: R) => string | null>>;
  const indexNames = Object.keys(indexes) as I[];
  const slots = new Map<string, Slot<R>>();
  const buckets = new Map(indexNames.map((index) => [index, new Map<string, Set<Slot<R>>>()]));
  let rows: readonly R[] | null = [];

  // A slot is in an index while any of its versions belongs there.
  function link(slot: Slot<R>, row: R): void {
    for (const index of indexNames) {
      const value = indexes[index](row);
      if (value === null) continue;
      const bucket = buckets.get(index) as Map<string, Set<Slot<R>>>;
      const found = bucket.get(value);
      if (found === undefined) bucket.set(value, new Set([slot]));
      else found.add(slot);
    }
  }
  function unlink(slot: Slot<R>, row: R): void {
    for (const index of indexNames) {
      const keyIn = indexes[index];
      const value = keyIn(row);
      if (value === null) continue;
      if (slot.committed !== null && keyIn(slot.committed) === value) continue;
      if (slot.pending && keyIn(slot.pending) === value) continue;
      const bucket = buckets.get(index) as Map<string, Set<Slot<R>>>;
      const found = bucket.get(value);
      found?.delete(slot);
      if (found?.size === 0) bucket.delete(value);
    }
  }

  const table = {
    name,
    keep: (slot: Slot<R>) => {
      const { committed, pending } = slot;
      if (pending === undefined) return;
      rows = null;
      slot.committed = pending;
      slot.pending = undefined;
      if (committed !== null) unlink(slot, committed);
      else if (pending !== null) onInserted?.(pending);
      if (pending === null && slots.get(slot.key) === slot) slots.delete(slot.key);
    },
    drop: (slot: Slot<R>) => {
      const { pending } = slot;
      slot.pending = undefined;
      if (pending) unlink(slot, pending);
      if (slot.committed === null && slots.get(slot.key) === slot) slots.delete(slot.key);
    },
  };

  const slotOf = (value: string, committed: R | null): Slot<R> => ({
    ...{ key: value, table, committed, pending: undefined },
    ...{ owner: null, writtenIn: 0, label: '', token: null },
  });

  function write(tx: Transaction, slot: Slot<R>, row: R | null, token: string | null): void {
    const former = slot.pending;
    slot.pending = row;
    slot.writtenIn = tx.command;
    slot.label = tx.label;
    slot.token = token;
    if (row !== null) link(slot, row);
    if (former) unlink(slot, former);
  }

  function read(tx: Transaction, slot: Slot<R>): R | null {
    return slot.owner === tx && slot.pending !== undefined ? slot.pending : slot.committed;
  }
  function found(tx: Transaction, slot: Slot<R> | undefined): Found<R> | null {
    if (slot === undefined) return null;
    const row = read(tx, slot);
    return row === null ? null : { slot, row };
  }
  function* bySlots(tx: Transaction, among: Iterable<Slot<R>>): Generator<Found<R>> {
    for (const slot of among) {
      const one = found(tx, slot);
      if (one !== null) yield one;
    }
  }

  const isOpenElsewhere = (tx: Transaction, slot: Slot<R>) =>
    slot.owner !== null && slot.owner !== tx && slot.pending !== undefined;

  // The row that has the key; waits for everybody who may be about to bring or remove it.
  function* holderOf(tx: Transaction, row: R, index: I | null): Waiting<Slot<R> | null> {
    const keyIn = index === null ? key : indexes[index];
    const value = keyIn(row);
    if (value === null) return null;
    for (;;) {
      const one = slots.get(value);
      const some: Iterable<Slot<R>> =
        index === null ? (one === undefined ? [] : [one]) : (buckets.get(index)?.get(value) ?? []);
      let blocker: Transaction | null = null;
      for (const slot of some) {
        if (isOpenElsewhere(tx, slot)) {
          blocker = slot.owner;
          continue;
        }
        const live = read(tx, slot);
        if (live !== null && keyIn(live) === value) return slot;
      }
      if (blocker === null) return null;
      yield blocker;
    }
  }

  // The lock of a row, waited for; false where the row is gone by then.
  function* lock(tx: Transaction, slot: Slot<R>): Waiting<boolean> {
    while (slot.owner !== null && slot.owner !== tx) yield slot.owner;
    if (slot.committed === null && slot.pending === undefined) return false;
    tx.own(slot);
    return true;
  }

  // Answers the row that is in the way of `arbiter` instead of inserting; any other one is an error.
  function* insert(
    tx: Transaction,
    row: R,
    arbiter: I | 'key' | null = null,
    token: string | null = null,
  ): Waiting<Slot<R> | null> {
    check(row);
    if (arbiter !== null) {
      const holder = yield* holderOf(tx, row, arbiter === 'key' ? null : arbiter);
      if (holder !== null) return holder;
    }
    for (const index of [null, ...unique]) {
      if ((index ?? 'key') === arbiter) continue;
      const holder = yield* holderOf(tx, row, index);
      if (holder !== null) throw new SqlError('23505', `duplicate key in ${name} by ${index ?? 'its primary key'}`);
    }
    // The own row of the same key that this transaction has deleted.
    let slot = slots.get(key(row));
    if (slot === undefined) {
      slot = slotOf(key(row), null);
      slots.set(slot.key, slot);
    }
    tx.own(slot);
    write(tx, slot, row, token);
    return null;
  }

  return {
    name,
    insert,
    // INSERT … ON CONFLICT DO UPDATE; a change of null is a WHERE that does not hold. Answers whether it wrote.
    *upsert(tx: Transaction, row: R, change: (old: R) => R | null, token: string | null = null): Waiting<boolean> {
      for (;;) {
        const slot = yield* insert(tx, row, 'key', token);
        if (slot === null) return true;
        if (slot.owner === tx && slot.writtenIn === tx.command) {
          throw new SqlError('21000', 'ON CONFLICT DO UPDATE command cannot affect row a second time');
        }
        const old = (yield* lock(tx, slot)) ? read(tx, slot) : null;
        if (old === null) continue;
        const next = change(old);
        if (next === null) return false;
        check(next);
        write(tx, slot, next, token);
        return true;
      }
    },
    // UPDATE and DELETE: the rows that were found, one after the other; answers those it wrote, as they are now
    // (as they were, where they are deleted).
    *change(tx: Transaction, changes: readonly Change<R>[]): Waiting<R[]> {
      const written: R[] = [];
      const wanted = changes.filter((one) => one.found !== null && one.where(one.found.row));
      for (const { found: seen, where, to, token = null } of wanted) {
        const { slot, row } = seen as Found<R>;
        // Found twice by one statement: the first change counts.
        if (slot.owner === tx && slot.writtenIn === tx.command) continue;
        const live = (yield* lock(tx, slot)) ? read(tx, slot) : null;
        if (live === null || (live !== row && !where(live))) continue;
        const next = to(live);
        if (next !== null) check(next);
        write(tx, slot, next, token);
        written.push(next ?? live);
      }
      return written;
    },
    // SELECT … FOR UPDATE of rows found before; answers them as they are now.
    *lockAll(tx: Transaction, some: readonly Found<R>[], where: (row: R) => boolean): Waiting<Found<R>[]> {
      const locked: Found<R>[] = [];
      for (const { slot, row } of some) {
        const live = (yield* lock(tx, slot)) ? read(tx, slot) : null;
        if (live !== null && (live === row || where(live))) locked.push({ slot, row: live });
      }
      return locked;
    },
    // The same with SKIP LOCKED: answers whether the lock was had, and never waits.
    tryLock: (tx: Transaction, { slot }: Found<R>): boolean => {
      if (slot.owner !== null && slot.owner !== tx) return false;
      tx.own(slot);
      return true;
    },
    get: (tx: Transaction, value: string): R | null => {
      const slot = slots.get(value);
      return slot === undefined ? null : read(tx, slot);
    },
    find: (tx: Transaction, value: string): Found<R> | null => found(tx, slots.get(value)),
    // What the transaction sees of an index, in the order of insertion.
    findAll: (tx: Transaction, index: I, value: string): Found<R>[] => {
      const bucket = buckets.get(index)?.get(value);
      if (bucket === undefined) return [];
      return [...bySlots(tx, bucket)].filter(({ row }) => indexes[index](row) === value);
    },
    // All that the transaction sees: for statements that run rarely, and for tables that stay small.
    all: (tx: Transaction): Generator<Found<R>> => bySlots(tx, slots.values()),
    committed: (): readonly R[] => {
      if (rows !== null) return rows;
      const now: R[] = [];
      for (const slot of slots.values()) if (slot.committed !== null) now.push(slot.committed);
      rows = now;
      return now;
    },
    // A row that is there from the beginning.
    seed: (row: R): void => {
      const slot = slotOf(key(row), row);
      slots.set(slot.key, slot);
      link(slot, row);
      rows = null;
    },
  };
}

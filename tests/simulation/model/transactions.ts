// Transactions: ids, who is running, and the end of one.
//
// Promises: an id is given at the first row that a transaction locks or writes, as PostgreSQL does; ids
// grow by one; what is below `xmin` has ended. The end of a transaction takes effect at once: its rows are
// everybody's (or gone), its locks are free, and who waited for it is handed back to be resumed, in order.

import type { Slot } from './table.ts';

export type Transaction = {
  xid: number | null;
  readonly session: number;
  // now(), in ms.
  readonly startedMs: number;
  // Counts the statements: a row is written once by one statement.
  command: number;
  // The name of the statement that runs, and of the first one.
  label: string;
  first: string;
  // Every row that it locked or wrote.
  readonly slots: Slot[];
  // Called when it has ended.
  waiters: (() => void)[];
  waitsFor: Transaction | null;
  // Takes the row's lock, which must be free or its own.
  readonly own: (slot: Slot) => void;
  readonly assignXid: () => number;
};

// A server that was just made has given out its first ids to the making of its own tables.
const firstXid = 1_000;

export function createTransactions() {
  let nextXid = firstXid;
  const running = new Set<Transaction>();

  function begin(session: number, startedMs: number): Transaction {
    const own = (slot: Slot) => {
      if (slot.owner === tx) return;
      assignXid();
      slot.owner = tx;
      slot.writtenIn = 0;
      tx.slots.push(slot);
    };
    const assignXid = () => {
      if (tx.xid !== null) return tx.xid;
      running.add(tx);
      tx.xid = nextXid;
      nextXid += 1;
      return tx.xid;
    };
    const tx: Transaction = {
      xid: null,
      session,
      startedMs,
      command: 0,
      label: '',
      first: '',
      slots: [],
      waiters: [],
      waitsFor: null,
      own,
      assignXid,
    };
    return tx;
  }

  function end(tx: Transaction, how: 'commit' | 'rollback'): (() => void)[] {
    for (const slot of tx.slots) {
      slot.owner = null;
      if (how === 'commit') slot.table.keep(slot);
      else slot.table.drop(slot);
    }
    running.delete(tx);
    const { waiters } = tx;
    tx.waiters = [];
    return waiters;
  }

  return {
    begin,
    end,
    // Every transaction below has ended. Ids are given in order, so the first of the running has the lowest.
    xmin: (): number => {
      for (const tx of running) return tx.xid as number;
      return nextXid;
    },
  };
}

// Whether a transaction waits for itself in the end.
export function isDeadlocked(tx: Transaction): boolean {
  let other = tx.waitsFor;
  const seen = new Set<Transaction>();
  while (other !== null && !seen.has(other)) {
    if (other === tx) return true;
    seen.add(other);
    other = other.waitsFor;
  }
  return false;
}

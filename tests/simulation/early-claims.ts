// A job that was claimed as it was written, as the oracles look at it: first it is written, then it is claimed, in one
// commit. So every law about a job's birth and every law about a claim holds for both halves.

import { noEffects } from './model/schema.ts';
import type { Change, JobRow, OrderRow } from './rows.ts';

export function asTwo(change: Change): readonly Change[] {
  if (change.table === 'jobs' && change.before === null && isClaimed(change.after)) {
    const written: JobRow = { ...change.after, token: null, lease_until: null, attempt: change.after.attempt - 1 };
    return [
      { ...change, after: written },
      { ...change, before: written, label: 'claim-jobs', token: change.after.token },
    ];
  }
  // Its first claim moves an order from PENDING to PROCESSING, and writes what it intends.
  if (change.table === 'orders' && change.before === null && change.after?.status === 'PROCESSING') {
    const first: OrderRow = { ...change.after, ...noEffects, status: 'PENDING', payment: 'none' };
    return [
      { ...change, after: first },
      { ...change, before: first, label: 'update-orders' },
    ];
  }
  return [change];
}

const isClaimed = (row: JobRow | null): row is JobRow => row !== null && row.token !== null;

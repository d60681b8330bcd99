// Claiming: the durable write before any work. Jobs that were hinted at are claimed here, by key; those that are due in
// due-jobs.ts, which picks them first.
//
// Promises: an answer is given only after its row is committed; a core claim's intent and its PROCESSING are
// in the same transaction. Three statements: lock the orders, leaving out what somebody else has locked; read
// the jobs, in a snapshot of their own; write, guarded by what was read. A repeated claim finds its own token.
// Process dies after the commit: the lease ends, and the next claim counts a takeover, not an attempt.

import type { OrderChange, OrderRecord } from '../../domain/order-record.ts';
import { admit } from '../../engine/admit.ts';
import type { ClaimAnswer, ClaimRequest, Flush, JobKey, Sought, System } from '../../engine/ports.ts';
import type { Database, Query } from './database.ts';
import { type AttemptWrite, writeAttempts } from './dead-letters.ts';
import { GuardMissedError, ofOneEntry } from './errors.ts';
import { toNewestEvent } from './events.ts';
import {
  claimJobsIfUnchanged,
  deleteJobsIfHeld,
  type JobClaim,
  type JobEnd,
  type JobRow,
  keyOf,
  readJobs,
  toJob,
} from './jobs.ts';
import { lockOrdersById, type OrderUpdate, recordAfter, updateOrdersIfUnchanged } from './orders.ts';

const keyOfClaim = ({ step, subject, version }: ClaimRequest) => keyOf({ consumer: step.consumer, subject, version });

export type ClaimOptions = {
  readonly database: Database;
  readonly system: System;
  readonly leaseMs: number;
  readonly maxWaitMs: number;
};

// For hints: many claims of any consumers in one transaction.
export function createClaim({ database, ...options }: ClaimOptions): Flush<ClaimRequest, ClaimAnswer> {
  return (claims) =>
    database.transaction(async (query) => {
      const keys = claims.map(({ step, subject, version }) => ({ consumer: step.consumer, subject, version }));
      // Started together they travel together, and each has a snapshot of its own.
      const [records, rows] = await Promise.all([
        lockOrdersById(query, [...new Set(claims.map((claim) => claim.subject))]),
        readJobs(query, keys),
      ]);
      return answerAll(query, claims, records, rows, options);
    });
}

// The answers to claims whose orders are locked, as far as they were to be had, and all that follows from them.
export async function answerAll(
  query: Query,
  claims: readonly ClaimRequest[],
  records: ReadonlyMap<string, OrderRecord>,
  rows: readonly JobRow[],
  options: Omit<ClaimOptions, 'database'> & { readonly sought?: Sought },
): Promise<(ClaimAnswer | 'locked')[]> {
  const jobs = new Map(rows.map((row) => [keyOfRow(row), row]));
  const writes = createWrites();
  const taken = new Set<string>();
  const answers = claims.map((claim) => {
    const row = jobs.get(keyOfClaim(claim));
    // Read without a lock where the order was not to be had: only no row at all is sure.
    if (row === undefined) return { answer: 'gone' as const };
    const record = records.get(claim.subject);
    // Two entries of one order would not see each other's writes.
    if (record === undefined || taken.has(claim.subject)) return 'locked' as const;
    const answer = ofOneEntry(() => answerTo(claim, record, row, writes, options));
    if (answer.answer === 'run' || answer.answer === 'obsolete') taken.add(claim.subject);
    return answer;
  });
  await writes.flush(query, options.leaseMs);
  return answers;
}

const keyOfRow = (row: JobRow) =>
  keyOf({ consumer: row.consumer, subject: row.event_order_id, version: row.event_version });

function answerTo(
  claim: ClaimRequest,
  record: OrderRecord,
  row: JobRow,
  writes: Writes,
  { system, maxWaitMs, sought }: Omit<ClaimOptions, 'database'> & { readonly sought?: Sought },
): ClaimAnswer {
  const { step, token } = claim;
  const event = toNewestEvent(row);
  const job = toJob(row);
  const knows = step.types.includes(event.type);
  const admits = knows && step.admits(record, event);
  // What was picked for having waited too long was not touched while it waited: its own row says nothing of it.
  const waitedMs = sought === 'waited-too-long' ? Math.max(job.waitedMs, job.ageMs) : job.waitedMs;
  const mayRepeat = step.mayRepeat !== false;
  const admission = admit({ job: { ...job, waitedMs }, token, maxWaitMs, knows, admits, mayRepeat });
  const key: JobKey = { consumer: step.consumer, subject: claim.subject, version: claim.version };
  const at = system.now();
  const note = { ...key, eventId: event.id, epoch: job.epoch, dueInMs: null, durationMs: null, at };
  if (admission.answer === 'obsolete') {
    writes.ends.push({ ...key, token: job.token });
    const left = step.skipped?.(record, event);
    if (left != null) writes.attempts.push({ ...note, attempt: job.attempt, outcome: 'skipped', ...left });
    return admission;
  }
  if (admission.answer !== 'run') return admission;
  const { attempt, exhausted, takenOver } = admission;
  let subject = record;
  if (admission.row !== null) {
    if (takenOver) writes.attempts.push({ ...note, attempt, ...takeover });
    writes.claims.push({ ...key, ...admission.row, before: job.token, token });
    // Also where nothing will run any more: whoever ends the job must own its effect.
    const change = admits ? step.claimed(record, event, at, takenOver) : null;
    if (change !== null) subject = writes.apply(record, change, token);
  }
  const work = { consumer: step.consumer, event, subject, token, epoch: job.epoch, attempt, waitedMs };
  return { answer: 'run', work: { ...work, ageMs: job.ageMs, takenOver, exhausted } };
}

const takeover = {
  outcome: 'takeover',
  code: 'lease-over',
  message: 'the worker that held this died or froze; another one took over',
} as const;

type Writes = ReturnType<typeof createWrites>;

function createWrites() {
  const claims: JobClaim[] = [];
  const ends: JobEnd[] = [];
  const attempts: AttemptWrite[] = [];
  const orders: OrderUpdate[] = [];
  return {
    claims,
    ends,
    attempts,
    // A claim's change has no events: it is an intent, and PROCESSING.
    apply: (from: OrderRecord, change: OrderChange, token: string): OrderRecord => {
      const to = recordAfter(from, change, token);
      orders.push({ from, to });
      return to;
    },
    flush: async (query: Query, leaseMs: number) => {
      const [claimed, ended, updated] = await Promise.all([
        claimJobsIfUnchanged(query, claims, leaseMs),
        deleteJobsIfHeld(query, ends),
        updateOrdersIfUnchanged(query, orders),
        writeAttempts(query, attempts),
      ]);
      // A lease was renewed between our reading and our writing: decide again on what is there now.
      if (claimed !== claims.length) throw new GuardMissedError('claimJobsIfUnchanged');
      if (ended !== ends.length) throw new GuardMissedError('deleteJobsIfHeld');
      if (updated !== orders.length) throw new GuardMissedError('updateOrdersIfUnchanged');
    },
  };
}

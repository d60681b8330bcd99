// Settling in groups: the end of an attempt, with everything that follows from it, in one transaction.
//
// Promises: only the token that holds the job settles it; what the result means is decided on the order as it
// stands under its lock, so a cancel that came meanwhile is seen; job, order with its effects, events with their
// jobs, dead letter and attempt are written together or not at all.
// A repeated settle finds its job gone or waiting: nothing is left to write, and nothing follows from that.
// Process dies before the commit: the lease ends and the work is performed again, under the same key.

import type { OrderChange, OrderRecord } from '../../domain/order-record.ts';
import type { Event, Flush, SettleAnswer, SettleRequest, System, Trouble, Work } from '../../engine/ports.ts';
import type { Database } from './database.ts';
import { type AttemptWrite, type DeadLetterWrite, writeAttempts, writeDeadLetters } from './dead-letters.ts';
import { claimEarly } from './early-claims.ts';
import { GuardMissedError, ofOneEntry } from './errors.ts';
import { appendEvents, type EventWrite } from './events.ts';
import { deleteJobsIfHeld, type JobEnd, type JobPause, keyOf, pauseJobsIfHeld, readTokens } from './jobs.ts';
import { lockOrders, type OrderUpdate, recordAfter, updateOrdersIfUnchanged } from './orders.ts';

export function createSettle(options: {
  readonly database: Database;
  readonly system: System;
  // Of the jobs that are claimed with their events.
  readonly leaseMs: number;
  // Told of what this process has written, and of the work that it has claimed with it.
  readonly onCommitted: (events: readonly Event[], works: readonly Work[]) => void;
}): Flush<SettleRequest, SettleAnswer> {
  const { database, system, leaseMs, onCommitted } = options;

  return async (settles) => {
    const { answers, events, works } = await database.transaction(async (query) => {
      const keys = settles.map(({ work }) => keyOfWork(work));
      const [records, tokens] = await Promise.all([
        lockOrders(
          query,
          settles.map(({ work }) => work.subject.order),
        ),
        readTokens(query, keys),
      ]);
      const batch: Batch = { ends: [], pauses: [], orders: [], events: [], deadLetters: [], attempts: [], works: [] };
      const answered = settles.map((settle): SettleAnswer | 'locked' => {
        const { work } = settle;
        const job = tokens.get(keyOf(keyOfWork(work)));
        // Read without a lock where the order was not to be had: no row, or one that waits, is all that is sure.
        if (job === undefined || job.token === null) return 'gone';
        if (job.token !== work.token) return 'stale';
        const record = records.get(work.event.subject);
        if (record === undefined) return 'locked';
        // One entry per order: two would not see each other's writes.
        records.delete(work.event.subject);
        ofOneEntry(() => collect(batch, settle, record, job.takeovers));
        return 'settled';
      });
      const [ended, paused, updated] = await Promise.all([
        deleteJobsIfHeld(query, batch.ends),
        pauseJobsIfHeld(query, batch.pauses),
        updateOrdersIfUnchanged(query, batch.orders),
        appendEvents(query, batch.events, leaseMs),
        writeDeadLetters(query, batch.deadLetters),
        writeAttempts(query, batch.attempts),
      ]);
      if (ended !== batch.ends.length) throw new GuardMissedError('deleteJobsIfHeld');
      if (paused !== batch.pauses.length) throw new GuardMissedError('pauseJobsIfHeld');
      if (updated !== batch.orders.length) throw new GuardMissedError('updateOrdersIfUnchanged');
      return { answers: answered, events: batch.events, works: batch.works };
    });
    if (events.length > 0) onCommitted(events, works);
    return answers;
  };

  function collect(batch: Batch, { work, ending, claim }: SettleRequest, record: OrderRecord, takeovers: number): void {
    const at = system.now();
    const change = ending.change(record, at);
    const state = change === 'obsolete' ? 'obsolete' : ending.state;
    const { consumer, token, epoch, attempt } = work;
    const key = keyOfWork(work);
    if (state === 'waiting') {
      const isCharged = ending.charged;
      const pause = { takeovers, dueInMs: ending.dueInMs, attempt: isCharged ? attempt : attempt - 1, isCharged };
      batch.pauses.push({ ...key, token, ...pause });
    } else batch.ends.push({ ...key, token });
    if (change === 'obsolete') return;
    const { durationMs, trouble } = ending;
    const events = change === null ? [] : toEvents(change, { system, at, causationId: work.event.id });
    if (change !== null) {
      assertHeld(record, change, token);
      const claimed = claimEarly(recordAfter(record, change, token), events, claim, at);
      if (change.order !== record.order || change.effects.length > 0) {
        batch.orders.push({ from: record, to: claimed.record });
      }
      batch.works.push(...claimed.works);
      const [first, ...others] = claimed.events;
      // The attempt behind an event is told with its first one.
      if (first !== undefined) batch.events.push({ ...first, attempt, durationMs }, ...others);
    }
    const note = { ...key, eventId: work.event.id, epoch, attempt, durationMs, at };
    if (trouble === null) {
      // No event says so: a mail was sent.
      if (state === 'done' && events.length === 0) {
        batch.attempts.push({
          ...note,
          outcome: 'done',
          code: 'done',
          message: `${consumer} succeeded`,
          dueInMs: null,
        });
      }
      return;
    }
    const outcome = state === 'dead' ? 'dead' : ending.charged ? 'retry' : 'wait';
    const dueInMs = state === 'waiting' ? Math.round(ending.dueInMs) : null;
    batch.attempts.push({ ...note, outcome, code: trouble.code, message: trouble.message, dueInMs });
    if (state === 'dead') batch.deadLetters.push(toDeadLetter(work, trouble, at));
  }

  function toDeadLetter(
    { event, consumer, epoch, attempt }: SettleRequest['work'],
    trouble: Trouble,
    at: Date,
  ): DeadLetterWrite {
    return {
      id: system.newId(),
      subject: event.subject,
      version: event.version,
      consumer,
      eventId: event.id,
      eventType: event.type,
      epoch,
      trouble,
      attempts: attempt,
      failedAt: at,
    };
  }
}

const keyOfWork = ({ consumer, event }: SettleRequest['work']) => ({
  consumer,
  subject: event.subject,
  version: event.version,
});

type Batch = {
  readonly ends: JobEnd[];
  readonly pauses: JobPause[];
  readonly orders: OrderUpdate[];
  readonly events: EventWrite[];
  readonly deadLetters: DeadLetterWrite[];
  readonly attempts: AttemptWrite[];
  readonly works: Work[];
};

// A step that writes what its claim does not hold is a defect, and would undo what an undo has done.
function assertHeld({ order, effects }: OrderRecord, change: OrderChange, token: string): void {
  const foreign = change.effects.find(({ name }) => effects[name]?.token !== token);
  if (foreign !== undefined) throw new Error(`another claim holds the ${foreign.name} of order ${order.id}`);
}

// Each event is caused by the one before it, the first by what the change answers to.
export function toEvents(
  change: Pick<OrderChange, 'order' | 'events' | 'traceparent'>,
  context: { readonly system: Pick<System, 'newId'>; readonly at: Date; readonly causationId: string | null },
): Event[] {
  let causationId = context.causationId;
  return change.events.map((happened) => {
    const event: Event = {
      id: context.system.newId(),
      type: happened.type,
      subject: change.order.id,
      version: happened.version,
      time: context.at,
      correlationId: change.order.correlationId,
      causationId,
      traceparent: change.traceparent ?? change.order.traceparent,
      data: happened.data,
    };
    causationId = event.id;
    return event;
  });
}

// Settling in groups: the end of an attempt, with everything that follows from it, in one transaction.
//
// Promises: only the token that holds the delivery settles it; what the result means is decided on the
// order as it stands under its lock, so a cancel that came meanwhile is seen; delivery, effect, order,
// facts, letter and attempt are written together or not at all. Of do and undo of an effect one writes: the
// one whose token the row has, compared in code under that lock (`assertHeld`), for nobody can change it meanwhile.
// A repeated flush finds its own token on a delivery that has ended, and answers `settled`.
// Process dies before the commit: the lease ends and the work is performed again, under the same key.

import type { Fact, Flush, SettleAnswer, SettleRequest, System, Trouble } from '../../engine/ports.ts';
import type { OrderChange, OrderRecord } from '../../flow/ports.ts';
import type { Database } from './database.ts';
import { type AttemptWrite, type LetterWrite, writeAttempts, writeLetters } from './dead-letters.ts';
import { type DeliveryWrite, endDeliveriesIfHeld, keyOf, readDeliveries } from './deliveries.ts';
import { GuardMissedError, ofOneEntry } from './errors.ts';
import { appendFacts } from './events.ts';
import { lockOrders, type OrderUpdate, recordAfter, updateOrdersIfUnchanged } from './orders.ts';

export type OrderSettle = SettleRequest<OrderRecord, OrderChange>;

export function createSettle(options: {
  readonly database: Database;
  readonly system: System;
  readonly onCommitted: () => void;
}): Flush<OrderSettle, SettleAnswer> {
  const { database, system, onCommitted } = options;

  return async (settles) => {
    const { answers, hasFacts } = await database.transaction(async (query) => {
      const known = settles.map(({ work }) => work.subject.order);
      const keys = settles.map(({ work }) => ({ consumer: work.consumer, eventId: work.fact.id }));
      const [records, deliveries] = await Promise.all([lockOrders(query, known), readDeliveries(query, keys)]);
      const batch: Batch = { deliveries: [], orders: [], facts: [], letters: [], attempts: [] };
      const answered = settles.map(({ work, ending }, index): SettleAnswer | 'locked' => {
        const record = records.get(work.fact.subject);
        if (record === undefined) return 'locked';
        const delivery = deliveries.get(keyOf(keys[index] as (typeof keys)[number]));
        if (delivery?.token !== work.token) return 'stale';
        // An earlier try of this very settle has committed; its answer was lost.
        if (delivery.state !== 'running') return 'settled';
        // One entry per order: two would not see each other's writes.
        records.delete(work.fact.subject);
        ofOneEntry(() => collect(batch, { work, ending }, record, delivery.takeovers));
        return 'settled';
      });
      const [ended, updated] = await Promise.all([
        endDeliveriesIfHeld(query, batch.deliveries),
        updateOrdersIfUnchanged(query, batch.orders),
        appendFacts(query, batch.facts),
        writeLetters(query, batch.letters),
        writeAttempts(query, batch.attempts),
      ]);
      if (ended !== batch.deliveries.length) throw new GuardMissedError('endDeliveriesIfHeld');
      if (updated !== batch.orders.length) throw new GuardMissedError('updateOrdersIfUnchanged');
      return { answers: answered, hasFacts: batch.facts.length > 0 };
    });
    if (hasFacts) onCommitted();
    return answers;
  };

  function collect(batch: Batch, settle: OrderSettle, record: OrderRecord, takeovers: number): void {
    const { work, ending } = settle;
    const at = system.now();
    const change = ending.change(record, at);
    const state = change === 'obsolete' ? 'skipped' : ending.state;
    batch.deliveries.push({
      consumer: work.consumer,
      eventId: work.fact.id,
      orderId: record.order.id,
      state,
      token: work.token,
      epoch: work.epoch,
      attempt: state === 'waiting' && !ending.charged ? work.attempt - 1 : work.attempt,
      takeovers,
      dueInMs: state === 'waiting' ? ending.dueInMs : null,
      wait: state === 'waiting' && !ending.charged ? 'start' : 'end',
    });
    if (change === 'obsolete') return;
    if (change !== null) applyChange(batch, record, change, work, at);
    if (ending.trouble === null) return;
    const outcome = state === 'dead' ? 'dead' : ending.charged ? 'retry' : 'wait';
    const dueInMs = state === 'waiting' ? Math.round(ending.dueInMs) : null;
    batch.attempts.push(toAttempt(work, ending.trouble, { outcome, dueInMs, at }));
    if (state === 'dead') batch.letters.push(toLetter(work, ending.trouble, at));
  }

  function applyChange(batch: Batch, record: OrderRecord, change: OrderChange, work: OrderSettle['work'], at: Date) {
    assertHeld(record, change, work.token);
    if (change.order !== record.order || change.effects.length > 0) {
      batch.orders.push({ from: record, to: recordAfter(record, change, work.token) });
    }
    batch.facts.push(...toFacts(change, { system, at, causationId: work.fact.id }));
  }

  function toLetter(work: OrderSettle['work'], trouble: Trouble, at: Date): LetterWrite {
    return {
      id: system.newId(),
      orderId: work.fact.subject,
      consumer: work.consumer,
      eventId: work.fact.id,
      eventType: work.fact.type,
      trouble,
      attempts: work.attempt,
      failedAt: at,
    };
  }
}

type Batch = {
  readonly deliveries: DeliveryWrite[];
  readonly orders: OrderUpdate[];
  readonly facts: Fact[];
  readonly letters: LetterWrite[];
  readonly attempts: AttemptWrite[];
};

// A step that writes what its claim does not hold is a defect, and would undo what an undo has done.
function assertHeld({ order, effects }: OrderRecord, change: OrderChange, token: string): void {
  const foreign = change.effects.find(({ name }) => effects[name]?.token !== token);
  if (foreign !== undefined) throw new Error(`another claim holds the ${foreign.name} of order ${order.id}`);
}

// Each fact is caused by the one before it, the first by what the change answers to.
export function toFacts(
  change: Pick<OrderChange, 'order' | 'facts'>,
  context: { readonly system: Pick<System, 'newId'>; readonly at: Date; readonly causationId: string | null },
): Fact[] {
  let causationId = context.causationId;
  return change.facts.map((happened) => {
    const fact: Fact = {
      id: context.system.newId(),
      type: happened.type,
      subject: change.order.id,
      version: happened.version,
      time: context.at,
      correlationId: change.order.correlationId,
      causationId,
      traceparent: change.order.traceparent,
      data: happened.data,
    };
    causationId = fact.id;
    return fact;
  });
}

function toAttempt(
  work: OrderSettle['work'],
  trouble: Trouble,
  end: Pick<AttemptWrite, 'outcome' | 'dueInMs' | 'at'>,
): AttemptWrite {
  return {
    orderId: work.fact.subject,
    consumer: work.consumer,
    eventId: work.fact.id,
    epoch: work.epoch,
    attempt: work.attempt,
    code: trouble.code,
    message: trouble.message,
    ...end,
  };
}

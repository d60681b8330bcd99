// Settling in groups: the end of an attempt, with everything that follows from it, in one transaction.
//
// Promises: only the token that holds the delivery settles it; what the result means is decided on the
// order as it stands under its lock, so a cancel that came meanwhile is seen; delivery, effect, order,
// facts, letter and attempt are written together or not at all.
// A repeated flush finds its own token on a delivery that has ended, and answers `settled`.
// Process dies before the commit: the lease ends and the work is performed again, under the same key.

import type { Fact, Flush, SettleAnswer, SettleRequest, System, Trouble } from '../../engine/ports.ts';
import type { OrderChange, OrderRecord } from '../../flow/ports.ts';
import type { Database } from './database.ts';
import { type AttemptWrite, type LetterWrite, writeAttempts, writeLetters } from './dead-letters.ts';
import { type DeliveryWrite, endDeliveriesIfHeld, keyOf, readDeliveries } from './deliveries.ts';
import { type EffectsByOrder, type EffectWrite, readEffects, updateEffectsIfHeld } from './effects.ts';
import { GuardMissedError, ofOneEntry } from './errors.ts';
import { appendFacts } from './events.ts';
import { lockOrders, type OrderUpdate, updateOrdersIfUnchanged } from './orders.ts';

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
      const [orders, deliveries] = await Promise.all([lockOrders(query, known), readDeliveries(query, keys)]);
      // Only an undo takes an effect away from the claim that holds it, and only of a canceled order.
      const canceled = [...orders.values()].filter((order) => order.status === 'CANCELED').map((order) => order.id);
      const effects: EffectsByOrder = canceled.length === 0 ? new Map() : await readEffects(query, canceled);
      const batch: Batch = { deliveries: [], effects: [], orders: [], facts: [], letters: [], attempts: [] };
      const answered = settles.map(({ work, ending }, index): SettleAnswer | 'locked' => {
        const order = orders.get(work.fact.subject);
        if (order === undefined) return 'locked';
        const delivery = deliveries.get(keyOf(keys[index] as (typeof keys)[number]));
        if (delivery?.token !== work.token) return 'stale';
        // An earlier try of this very settle has committed; its answer was lost.
        if (delivery.state !== 'running') return 'settled';
        // One entry per order: two would not see each other's writes.
        orders.delete(work.fact.subject);
        const record = { order, effects: effects.get(order.id) ?? work.subject.effects };
        ofOneEntry(() => collect(batch, { work, ending }, record, delivery.takeovers));
        return 'settled';
      });
      const [ended, updated, held] = await Promise.all([
        endDeliveriesIfHeld(query, batch.deliveries),
        updateOrdersIfUnchanged(query, batch.orders),
        updateEffectsIfHeld(query, batch.effects),
        appendFacts(query, batch.facts),
        writeLetters(query, batch.letters),
        writeAttempts(query, batch.attempts),
      ]);
      if (ended !== batch.deliveries.length) throw new GuardMissedError('endDeliveriesIfHeld');
      if (updated !== batch.orders.length) throw new GuardMissedError('updateOrdersIfUnchanged');
      if (held !== batch.effects.length) throw new GuardMissedError('updateEffectsIfHeld');
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
    if (change.order !== record.order) batch.orders.push({ from: record.order, to: change.order });
    for (const effect of change.effects) {
      batch.effects.push({ orderId: record.order.id, effect: { ...effect, token: work.token } });
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
  readonly effects: EffectWrite[];
  readonly orders: OrderUpdate[];
  readonly facts: Fact[];
  readonly letters: LetterWrite[];
  readonly attempts: AttemptWrite[];
};

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

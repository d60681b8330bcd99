// Claiming in groups: the durable write before any work.
//
// Promises: an answer is given only after its row is committed; a core claim's intent and its PROCESSING
// are in the same transaction. Locks go orders first, sorted; an order that somebody else has locked is
// left for a later flush. A repeated flush finds its own tokens and gives the same answers.
// Process dies after the commit: the lease ends, and the next claim counts a takeover, not an attempt.

import { type Admission, admit, type Delivery } from '../../engine/admit.ts';
import { nameOf } from '../../engine/envelope.ts';
import type { ClaimAnswer, ClaimRequest, Fact, Flush, System, Work } from '../../engine/ports.ts';
import type { OrderChange, OrderRecord } from '../../flow/ports.ts';
import type { Database, Query } from './database.ts';
import { type AttemptWrite, writeAttempts } from './dead-letters.ts';
import { claimDeliveriesIfDue, type DeliveryWrite, keyOf, readDeliveries } from './deliveries.ts';
import { GuardMissedError, ofOneEntry } from './errors.ts';
import { type FactRow, factColumns, toNewestFact } from './events.ts';
import {
  type OrderUpdate,
  type RecordRow,
  recordAfter,
  recordColumns,
  toRecord,
  updateOrdersIfUnchanged,
} from './orders.ts';

export type OrderClaim = ClaimRequest<OrderRecord, OrderChange>;
export type OrderWork = Work<OrderRecord>;

type Found = { readonly fact: Fact; readonly record: OrderRecord; readonly isBelowWatermark: boolean };

export function createClaim(options: {
  readonly database: Database;
  readonly system: System;
  readonly leaseMs: number;
  readonly maxWaitMs: number;
}): Flush<OrderClaim, ClaimAnswer<OrderRecord>> {
  const { database, system, leaseMs, maxWaitMs } = options;

  return (claims) =>
    database.transaction(async (query) => {
      const eventIds = claims.map((claim) => claim.eventId);
      const keys = claims.map((claim) => ({ consumer: claim.step.consumer, eventId: claim.eventId }));
      // Started together they travel together; each sees what was committed before the locks were had.
      const [facts, deliveries] = await Promise.all([lockOrdersOfFacts(query, keys), readDeliveries(query, keys)]);
      const absent = eventIds.filter((_, index) => !facts.has(keyOf(keys[index] as (typeof keys)[number])));
      const known = absent.length === 0 ? new Set() : await readKnown(query, absent);
      const writes = createWrites();
      const taken = new Set<string>();
      const answers = claims.map((claim): ClaimAnswer<OrderRecord> | 'locked' => {
        const row = facts.get(keyOf({ consumer: claim.step.consumer, eventId: claim.eventId }));
        if (row === undefined) return known.has(claim.eventId) ? 'locked' : { answer: 'unknown-fact' };
        const fact = ofOneEntry(() => toNewestFact(row));
        const key = keyOf({ consumer: claim.step.consumer, eventId: claim.eventId });
        // Two entries of one order, or of one delivery, would not see each other's writes.
        if (taken.has(fact.subject) || taken.has(key)) return 'locked';
        const found = { fact, record: toRecord(row), isBelowWatermark: row.is_below_watermark };
        const answer = ofOneEntry(() => answerTo(claim, found, deliveries.get(key) ?? null, writes));
        // One that does not run leaves the order as it is: the next entry of the order may have it.
        taken.add(answer.answer === 'run' ? fact.subject : key);
        return answer;
      });
      await writes.flush(query);
      return answers;
    });

  function answerTo(claim: OrderClaim, found: Found, delivery: Delivery | null, writes: Writes) {
    const { step, token } = claim;
    const { fact, record } = found;
    const admission = admit({
      delivery,
      token,
      hold: claim.hold,
      maxWaitMs,
      isBelowWatermark: found.isBelowWatermark,
      knows: step.types.includes(fact.type) ? 'type' : step.types.some(sameName(fact.type)) ? 'name' : 'nothing',
      admits: step.admits(record, fact),
      mayRepeat: step.mayRepeat !== false,
    });
    const at = system.now();
    if (admission.answer === 'run' && admission.takenOver)
      writes.attempts.push({ ...noteOf(claim, fact, admission, at), ...takenOver });
    if (admission.answer !== 'run') {
      if (admission.row !== null) writes.deliveries.push(toWrite(claim, fact, admission, admission.answer));
      const left = admission.answer === 'obsolete' && admission.row !== null ? step.skipped?.(record, fact) : null;
      if (left != null) writes.attempts.push({ ...noteOf(claim, fact, admission, at), outcome: 'skipped', ...left });
      return { answer: admission.answer };
    }
    let subject = record;
    if (admission.row !== null) {
      writes.deliveries.push(toWrite(claim, fact, admission, 'run'));
      // Also where nothing will run any more: whoever ends the delivery must own its effect.
      const change = step.admits(record, fact) ? step.claimed(record, fact, at, admission.takenOver) : null;
      if (change !== null) subject = writes.apply(record, change, token);
    }
    const work: OrderWork = {
      consumer: step.consumer,
      fact,
      subject,
      token,
      epoch: admission.row?.epoch ?? delivery?.epoch ?? 0,
      attempt: admission.row?.attempt ?? delivery?.attempt ?? 1,
      waitedMs: delivery?.waitedMs ?? 0,
      exhausted: admission.exhausted,
    };
    return { answer: 'run' as const, work };
  }

  function toWrite(
    claim: OrderClaim,
    fact: Fact,
    admission: Admission,
    how: 'run' | 'waiting' | 'obsolete' | 'duplicate' | 'busy',
  ): DeliveryWrite {
    const row = admission.row;
    if (row === null) throw new Error('only an admission with a row is written');
    const end = {
      run: { state: 'running', dueInMs: leaseMs, wait: 'keep' },
      waiting: { state: 'waiting', dueInMs: 'dueInMs' in admission ? admission.dueInMs : 0, wait: 'start' },
      obsolete: { state: 'skipped', dueInMs: null, wait: 'end' },
    } as const;
    const { consumer } = claim.step;
    const key = { consumer, eventId: claim.eventId, orderId: fact.subject, token: claim.token };
    return { ...key, ...row, ...end[how as keyof typeof end] };
  }
}

const sameName = (type: string) => (other: string) => nameOf(other) === nameOf(type);

const takenOver = {
  outcome: 'takeover',
  code: 'lease-over',
  message: 'the worker that held this died or froze; another one took over',
} as const;

function noteOf(claim: OrderClaim, fact: Fact, admission: Admission, at: Date) {
  return {
    orderId: fact.subject,
    consumer: claim.step.consumer,
    eventId: claim.eventId,
    epoch: admission.row?.epoch ?? 0,
    attempt: admission.row?.attempt ?? 0,
    dueInMs: null,
    at,
  };
}

type Writes = ReturnType<typeof createWrites>;

function createWrites() {
  const deliveries: DeliveryWrite[] = [];
  const attempts: AttemptWrite[] = [];
  const orders: OrderUpdate[] = [];
  return {
    deliveries,
    attempts,
    // A claim's change has no facts: it is an intent, and PROCESSING.
    apply: (record: OrderRecord, change: OrderChange, token: string): OrderRecord => {
      const to = recordAfter(record, change, token);
      if (change.order !== record.order || change.effects.length > 0) orders.push({ from: record, to });
      return to;
    },
    flush: async (query: Query) => {
      const [claimed, updated] = await Promise.all([
        claimDeliveriesIfDue(query, deliveries),
        updateOrdersIfUnchanged(query, orders),
        writeAttempts(query, attempts),
      ]);
      // A lease was renewed between our reading and our writing: decide again on what is there now.
      if (claimed !== deliveries.length) throw new GuardMissedError('claimDeliveriesIfDue');
      if (updated !== orders.length) throw new GuardMissedError('updateOrdersIfUnchanged');
    },
  };
}

type Key = { readonly consumer: string; readonly eventId: string };
type FoundRow = FactRow & RecordRow & { consumer: string; is_below_watermark: boolean };

async function lockOrdersOfFacts(query: Query, keys: readonly Key[]) {
  const rows = await query<FoundRow>(
    `/* lock-orders-of-facts */ SELECT k.consumer, ${factColumns}, ${recordColumns}, coalesce(e.xid <= m.xid, false) AS is_below_watermark
     FROM unnest($1::uuid[], $2::text[]) AS k(event_id, consumer)
     JOIN events e ON e.id = k.event_id
     JOIN orders o ON o.id = e.order_id
     LEFT JOIN watermarks m ON m.consumer = k.consumer AND m.type = e.type
     ORDER BY o.id FOR NO KEY UPDATE OF o SKIP LOCKED`,
    [keys.map((key) => key.eventId), keys.map((key) => key.consumer)],
  );
  return new Map(rows.map((row) => [keyOf({ consumer: row.consumer, eventId: row.event_id }), row]));
}

// Tells a fact whose order is locked from a fact that does not exist.
async function readKnown(query: Query, eventIds: readonly string[]): Promise<Set<string>> {
  const rows = await query<{ id: string }>('/* read-known-facts */ SELECT id FROM events WHERE id = ANY($1::uuid[])', [
    eventIds,
  ]);
  return new Set(rows.map((row) => row.id));
}

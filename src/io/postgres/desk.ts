// What people ask for: reading an order and its timeline, canceling, reprocessing.
//
// Promises: a change is decided on the order and its open dead letters under the order's lock, and written
// with its events, its dead letters and a row of the audit log in one transaction. The audit row's id is
// chosen before the first try: a request whose commit got no answer finds it and is done.
// Process dies before the commit: nothing happened; after it: the client repeats and sees the result.

import type { Order, OrderId } from '../../domain/order.ts';
import type { OrderRecord } from '../../domain/order-record.ts';
import { isRefusal, refuse } from '../../domain/refusals.ts';
import type { Event, Hint, System } from '../../engine/ports.ts';
import type { DeadLetterClosing } from '../../flow/dead-letters.ts';
import type { DeskChange, OrderStore } from '../../flow/ports.ts';
import { createAnalytics } from './analytics-reads.ts';
import { reopenEvents } from './cursors.ts';
import type { Database, Query } from './database.ts';
import { byIndex, readDeadLetters } from './dead-letter-list.ts';
import { closeDeadLettersIfOpen, readDeadLettersOfOrder } from './dead-letters.ts';
import { failureOf, GuardMissedError, orUnavailable, unavailable } from './errors.ts';
import { appendEvents } from './events.ts';
import { recreateJobs } from './jobs.ts';
import { lockOrder, readOrder, readOrders, recordAfter, updateOrdersIfUnchanged } from './orders.ts';
import { toEvents } from './settle.ts';
import { readTimeline } from './timeline.ts';

// A person waits for the answer: a locked or restarting database gets this many tries.
const triesMax = 3;
const pauseMs = 100;

// `also` writes in the same transaction, after the change; what it throws takes everything back.
export type ChangeOrder = (
  ...asked: [...Parameters<OrderStore['change']>, also?: (query: Query, change: DeskChange) => Promise<void>]
) => ReturnType<OrderStore['change']>;

type Written = { readonly events: readonly Event[]; readonly again: readonly Hint[] };

export function createOrderStore(options: {
  readonly database: Database;
  readonly system: System;
  // Events that are new, and jobs that are there again.
  readonly onCommitted: (events: readonly Event[], again: readonly Hint[]) => void;
}): Omit<OrderStore, 'place' | 'change'> & { readonly change: ChangeOrder } {
  const { database, system, onCommitted } = options;

  const reading = <T>(read: (query: Query) => Promise<T>) => orUnavailable(false, () => read(database.query));

  // Runs the transaction again where it was rolled back, or may have been lost.
  async function changing<T>(work: (query: Query, written: Written) => Promise<T>): Promise<T> {
    let maybeStored = false;
    for (let tries = 1; ; tries += 1) {
      const written: Written = { events: [], again: [] };
      try {
        const result = await database.transaction((query) => work(query, written));
        onCommitted(written.events, written.again);
        return result;
      } catch (error) {
        const failure = failureOf(error);
        maybeStored ||= failure === 'lost';
        if (failure === 'bug' || failure === 'data' || tries === triesMax) throw unavailable(error, maybeStored);
        await system.sleep(pauseMs * tries);
      }
    }
  }

  async function wasDone(query: Query, auditId: string): Promise<boolean> {
    return (await query('/* find-audit */ SELECT 1 FROM audit_log WHERE id = $1', [auditId])).length > 0;
  }

  // Answers what there is to do from here on.
  async function write(query: Query, from: OrderRecord, change: DeskChange, auditId: string): Promise<Written> {
    const at = system.now();
    const { id } = from.order;
    const events = toEvents(change, { system, at, causationId: change.causationId });
    if (change.order !== from.order || change.effects.length > 0) {
      const updated = await updateOrdersIfUnchanged(query, [{ from, to: recordAfter(from, change, null) }]);
      if (updated !== 1) throw new GuardMissedError('updateOrdersIfUnchanged');
    }
    if (change.order.customerEmail !== from.order.customerEmail) await correctEmail(query, change.order);
    await appendEvents(query, events);
    const again = await endDeadLetters(query, id, change.closes, change.closing, at);
    await audit(query, { ...change, id: auditId, orderId: id, at });
    return { events, again };
  }

  async function endDeadLetters(
    query: Query,
    orderId: string,
    ids: readonly string[],
    how: DeadLetterClosing,
    at: Date,
  ): Promise<Hint[]> {
    const closed = await closeDeadLettersIfOpen(query, ids, how, at);
    if (how !== 'reprocessed') return [];
    await recreateJobs(query, orderId, closed);
    await reopenEvents(query, orderId, closed);
    return closed.map(({ version, eventType: type }) => ({ subject: orderId, version, type }));
  }

  return {
    read: (id) => reading((query) => readOrder(query, id)),
    readAll: (ids) => reading((query) => readOrders(query, ids)),
    timeline: (id) => reading((query) => readTimeline(query, id, system.now())),
    deadLetters: (filter) => reading(() => readDeadLetters(byIndex(database), filter)),
    orderOfDeadLetter: (deadLetterId) => reading((query) => readOwner(query, deadLetterId)),

    change: async (id, decide, also) => {
      const auditId = system.newId();
      return changing(async (query, written) => {
        const record = await lockOrder(query, id);
        if (record === null) return refuse('order-not-found', `there is no order ${id}`);
        if (await wasDone(query, auditId)) return record.order;
        const deadLetters = await readDeadLettersOfOrder(query, id);
        const change = decide(record, deadLetters, system.now());
        if (isRefusal(change)) return change;
        if (change === null) return record.order;
        Object.assign(written, await write(query, record, change, auditId));
        await also?.(query, change);
        return change.order;
      });
    },

    analytics: createAnalytics(database),
  };
}

async function readOwner(query: Query, deadLetterId: string): Promise<OrderId | null> {
  const rows = await query<{ order_id: OrderId }>(
    '/* find-dead-letter */ SELECT order_id FROM dead_letters WHERE id = $1 AND closed_at IS NULL',
    [deadLetterId],
  );
  return rows[0]?.order_id ?? null;
}

// Under the order's lock. The first answer to its key shows it from then on, too.
async function correctEmail(query: Query, { id, customerEmail, updatedAt }: Order): Promise<void> {
  await query('/* correct-email */ UPDATE orders SET customer_email = $2, updated_at = $3 WHERE id = $1', [
    id,
    customerEmail,
    updatedAt,
  ]);
}

export async function audit(
  query: Query,
  entry: Pick<DeskChange, 'detail' | 'correlationId' | 'by'> & {
    readonly id: string;
    readonly at: Date;
    readonly action: string;
    readonly orderId: string | null;
  },
): Promise<void> {
  const { id, at, action, orderId, detail, correlationId, by } = entry;
  await query(
    `/* write-audit */ INSERT INTO audit_log (id, at, action, order_id, detail, correlation_id, operator)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [id, at, action, orderId, JSON.stringify(detail), correlationId, by ?? null],
  );
}

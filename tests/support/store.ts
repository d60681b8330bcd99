// The store for a test: accept, claim, settle, jobs, cursors and desk over one database, with the real
// steps of the subscriptions. No partner is ever called here: a test gives their answers itself.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EffectName, EffectState } from '../../src/domain/effects.ts';
import type { Order, OrderId } from '../../src/domain/order.ts';
import type { OrderRecord } from '../../src/domain/order-record.ts';
import { createGroupCommit } from '../../src/engine/group-commit.ts';
import type {
  ClaimAnswer,
  ClaimRequest,
  Event,
  SettleAnswer,
  SettleRequest,
  System,
  Trouble,
  Work,
} from '../../src/engine/ports.ts';
import { createOrderDesk } from '../../src/flow/orders/order-desk.ts';
import type { Partners, PlaceAnswer, PlaceRequest } from '../../src/flow/ports.ts';
import { type JobConsumer, subscriptions, toStep } from '../../src/flow/subscriptions.ts';
import { createAccept } from '../../src/io/postgres/accept.ts';
import { createClaim } from '../../src/io/postgres/claim.ts';
import { createCursors } from '../../src/io/postgres/cursors.ts';
import { connectServer, type Database } from '../../src/io/postgres/database.ts';
import { createOrderStore } from '../../src/io/postgres/desk.ts';
import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { createJobs } from '../../src/io/postgres/due-jobs.ts';
import { openEmbedded } from '../../src/io/postgres/embedded.ts';
import { failureOf } from '../../src/io/postgres/errors.ts';
import { migrate } from '../../src/io/postgres/migrate.ts';
import { createSettle } from '../../src/io/postgres/settle.ts';
import { createSystem } from '../../src/io/system.ts';
import { subscribedTypes } from '../../src/main/open-database.ts';
import { orderWith, someTime } from './orders.ts';
import { type Postgres, startPostgres } from './postgres.ts';
import { silentLog } from './silent-log.ts';
import { until } from './until.ts';

export type JobRow = {
  token: string | null;
  lease_until: Date | null;
  epoch: number;
  attempt: number;
  takeovers: number;
  due_at: Date;
  waiting_since: Date | null;
};

export const authorized = { outcome: 'authorized', authorizationId: 'auth-1', expiresAt: someTime } as const;
export const declined = { outcome: 'declined', code: 'do-not-honor' } as const;
export const booked = { outcome: 'booked', bookingId: 'book-1' } as const;

export function troubleOf(given: Partial<Trouble> = {}): Trouble {
  return { class: 'retryable', code: 'provider-failed', message: 'it failed', dependencyDown: false, ...given };
}

export type Store = ReturnType<typeof createStore>;

export function createStore(
  database: Database,
  given: { readonly system?: System; readonly leaseMs?: number; readonly maxWaitMs?: number } = {},
) {
  const { system = createSystem(), leaseMs = 60_000, maxWaitMs = 86_400_000 } = given;
  const sql = database.query;
  // What was claimed with its event.
  const works: Work[] = [];
  const onCommitted = (_: readonly Event[], claimed: readonly Work[]) => void works.push(...claimed);
  const accept = createAccept({ database, system, leaseMs, onCommitted });
  const claim = createClaim({ database, system, leaseMs, maxWaitMs });
  const settle = createSettle({ database, system, leaseMs, onCommitted });
  const search = createPostgresSearch(database);
  const partners = { payments: {}, carrier: {}, mail: {} } as Partners;

  const stepOf = (consumer: JobConsumer) => {
    const row = subscriptions.find((one) => one.consumer === consumer);
    assert.ok(row);
    return toStep(row, partners, system);
  };

  function requestOf(given: Partial<Order> & { key?: string | null; payload?: string } = {}): PlaceRequest {
    const { key = null, payload = 'a payload', ...rest } = given;
    const order = orderWith({
      id: system.newId() as OrderId,
      createdAt: system.now(),
      updatedAt: system.now(),
      ...rest,
    });
    const { id, amount, currency, country } = order;
    return {
      order,
      event: { type: 'OrderCreatedV1', version: 1, data: { orderId: id, amount, currency, country } },
      eventId: system.newId(),
      key,
      fingerprint: createHash('sha256').update(payload).digest(),
    };
  }
  const placed = async (given: Partial<Order> = {}) => {
    const request = requestOf(given);
    assert.deepEqual(answersOf(await accept([request])), ['placed']);
    keyOf(request);
    return { order: request.order, eventId: request.eventId };
  };

  // Tests name events by their ids; the store by order and version.
  const keys = new Map<string, { readonly subject: string; readonly version: number }>();
  const keyOf = ({ eventId, order }: PlaceRequest) => void keys.set(eventId, { subject: order.id, version: 1 });
  const keyOfEvent = (eventId: string) => {
    const key = keys.get(eventId);
    assert.ok(key, `no test has asked for the event ${eventId}`);
    return key;
  };

  const claimOf = (consumer: JobConsumer, eventId: string, given: { token?: string } = {}): ClaimRequest => ({
    step: stepOf(consumer),
    ...keyOfEvent(eventId),
    token: given.token ?? system.newToken(),
  });
  // One claim, as the engine would make it: again, while somebody else holds the order.
  const claimOnce = (request: ClaimRequest): Promise<ClaimAnswer> =>
    until(async () => {
      const [answer] = await claim([request]);
      return answer === 'locked' ? null : answer;
    }, 'an answer to a claim');
  const claimed = async (consumer: JobConsumer, eventId: string): Promise<Work> => {
    const answer = await claimOnce(claimOf(consumer, eventId));
    assert.ok(answer.answer === 'run', `the claim was answered ${answer.answer}`);
    return answer.work;
  };

  const endingOf = (work: Work, ending: Partial<SettleRequest['ending']>): SettleRequest => ({
    work,
    ending: { state: 'done', change: () => null, dueInMs: 0, charged: true, trouble: null, durationMs: 1, ...ending },
  });
  const doneWith = (work: Work, result: unknown): SettleRequest => {
    const step = stepOf(work.consumer as JobConsumer);
    return endingOf(work, { change: (record, now) => step.decide(record, work, result, now) });
  };
  const waitingFor = (work: Work, dueInMs: number, charged: boolean, trouble = troubleOf()): SettleRequest => {
    const step = stepOf(work.consumer as JobConsumer);
    const change = (record: OrderRecord, now: Date) => step.retried(record, work, trouble, charged, now);
    return endingOf(work, { state: 'waiting', change, dueInMs, charged, trouble });
  };
  const deadBy = (work: Work, trouble: Trouble): SettleRequest => {
    const step = stepOf(work.consumer as JobConsumer);
    const change = (record: OrderRecord, now: Date) => step.parked(record, work, trouble, now);
    return endingOf(work, { state: 'dead', change, trouble });
  };
  const settleOnce = (request: SettleRequest): Promise<SettleAnswer> =>
    until(async () => {
      const [answer] = await settle([request]);
      return answer === 'locked' ? null : answer;
    }, 'an answer to a settle');

  const eventOf = async (orderId: string, type: string): Promise<string> => {
    const [row] = await sql<{ id: string; version: number }>(
      'SELECT id, version FROM events WHERE order_id = $1 AND type = $2',
      [orderId, type],
    );
    assert.ok(row, `order ${orderId} has no ${type}`);
    keys.set(row.id, { subject: orderId, version: row.version });
    return row.id;
  };
  // An order whose money is authorized; `eventId` is the event that fulfillment waits for.
  const paid = async (given: Partial<Order> = {}) => {
    const { order, eventId } = await placed(given);
    assert.equal(await settleOnce(doneWith(await claimed('payment', eventId), authorized)), 'settled');
    return { order, created: eventId, eventId: await eventOf(order.id, 'PaymentAuthorizedV1') };
  };

  const job = async (consumer: JobConsumer, eventId: string): Promise<JobRow | null> => {
    const { subject, version } = keyOfEvent(eventId);
    const rows = await sql<JobRow>(
      `SELECT token, lease_until, epoch, attempt, takeovers, due_at, waiting_since FROM jobs
       WHERE consumer = $1 AND order_id = $2 AND version = $3`,
      [consumer, subject, version],
    );
    return rows[0] ?? null;
  };
  // `attempt/takeovers`, behind who has it.
  const jobInWords = async (consumer: JobConsumer, eventId: string): Promise<string> => {
    const row = await job(consumer, eventId);
    if (row === null) return 'no job';
    return `${row.token === null ? 'waits' : 'claimed'} ${row.attempt}/${row.takeovers}`;
  };
  const order = async (id: string): Promise<Order> => {
    const found = await store.read(id as OrderId);
    assert.ok(found, `there is no order ${id}`);
    return found;
  };
  const eventsOf = async (orderId: string): Promise<string[]> => {
    const rows = await sql<{ type: string }>('SELECT type FROM events WHERE order_id = $1 ORDER BY version', [orderId]);
    return rows.map((row) => row.type);
  };
  const effect = async (orderId: string, name: EffectName): Promise<{ state: EffectState; token: string } | null> => {
    const rows = await sql<{ state: EffectState; token: string }>(
      `SELECT ${name}_state AS state, ${name}_token AS token FROM orders WHERE id = $1 AND ${name}_state IS NOT NULL`,
      [orderId],
    );
    return rows[0] ?? null;
  };
  // Rows per table that belong to an order, and keys: what "nothing was written twice" is measured by.
  const rowsOf = async (orderId: string): Promise<Record<string, number>> => {
    const [row] = await sql<Record<string, number>>(
      `SELECT (SELECT count(*) FROM orders WHERE id = $1) AS orders,
              (SELECT count(*) FROM idempotency_keys WHERE order_id = $1) AS keys,
              (SELECT count(*) FROM events WHERE order_id = $1) AS events,
               (SELECT count(*) FROM jobs WHERE order_id = $1) AS jobs,
               (SELECT count(authorization_state) + count(booking_state) FROM orders WHERE id = $1) AS effects,
              (SELECT count(*) FROM attempts WHERE order_id = $1) AS attempts,
              (SELECT count(*) FROM dead_letters WHERE order_id = $1) AS "deadLetters"`,
      [orderId],
    );
    assert.ok(row);
    return row;
  };
  // As if the time until then had passed: of a lease, or of a wait.
  const makeDue = async (consumer: JobConsumer, eventId: string) => {
    const { subject, version } = keyOfEvent(eventId);
    await sql(
      `UPDATE jobs SET due_at = least(due_at, clock_timestamp()), lease_until = CASE WHEN token IS NOT NULL THEN clock_timestamp() END
       WHERE consumer = $1 AND order_id = $2 AND version = $3`,
      [consumer, subject, version],
    );
  };
  const waitingSince = async (consumer: JobConsumer, eventId: string, agoMs: number) => {
    const { subject, version } = keyOfEvent(eventId);
    await sql(
      `UPDATE jobs SET waiting_since = clock_timestamp() - $4::float8 * interval '1 millisecond'
       WHERE consumer = $1 AND order_id = $2 AND version = $3`,
      [consumer, subject, version, agoMs],
    );
  };

  const store = createOrderStore({ database, system, onCommitted: () => {} });
  const place = async (request: PlaceRequest): Promise<PlaceAnswer> => {
    const [answer] = await accept([request]);
    assert.ok(answer !== undefined && answer !== 'locked');
    return answer;
  };
  const desk = createOrderDesk({ store: { ...store, place }, search, system, simulatedPartners: true });
  const claims = createGroupCommit<ClaimRequest, ClaimAnswer>({
    ...{ flush: claim, failureOf, system, maxRows: 256, capacity: 1_000, patienceMs: 5_000 },
  });
  const jobs = createJobs({ database, claims, system, leaseMs, maxWaitMs, knowsAllWriters: true });
  const cursors = createCursors({ database, system });

  return {
    ...{ database, system, sql, search, accept, claim, settle, desk, jobs, cursors, stepOf, keyOf, keyOfEvent },
    ...{ requestOf, placed, claimOf, claimOnce, claimed, paid, eventOf },
    works,
    ...{ endingOf, doneWith, waitingFor, deadBy, settleOnce },
    ...{ job, jobInWords, order, eventsOf, effect, rowsOf, makeDue, waitingSince },
  };
}

// The answers of a flush in words, for comparing.
export function answersOf(answers: readonly (string | { readonly answer: string })[]): string[] {
  return answers.map((answer) => (typeof answer === 'string' ? answer : answer.answer));
}

// A server whose databases are born with the schema.
export function startServer(settings: Readonly<Record<string, string>> = {}): Promise<Postgres> {
  return startPostgres({
    // No test of the store pulls the plug, so nothing waits for the disk.
    settings: { fsync: 'off', ...settings },
    prepare: async (url) => {
      const database = connectServer({ url, poolMax: 1, log: silentLog });
      await migrate(database, subscribedTypes);
      await database.close();
    },
  });
}

export const connect = (url: string, poolMax = 4): Database => connectServer({ url, poolMax, log: silentLog });

export type Opened = { readonly database: Database; readonly close: () => Promise<void> };

export async function openServer(): Promise<Opened> {
  const postgres = await startServer();
  const database = connect(await postgres.createDatabase());
  const close = async () => {
    await database.close();
    await postgres.stop();
  };
  return { database, close };
}

export async function openEmbeddedAnew(): Promise<Opened> {
  const directory = mkdtempSync(join(tmpdir(), 'orderly-embedded-'));
  const database = await openEmbedded({ directory, log: silentLog });
  await migrate(database, subscribedTypes);
  const close = async () => {
    await database.close();
    rmSync(directory, { recursive: true });
  };
  return { database, close };
}

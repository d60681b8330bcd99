// The audit: when all work is done, what the customers hold in their hands, what the database says and
// what the partners' ledger says must agree. The three know nothing of each other.
//
// `awaitRest` waits until nothing is owed to anybody; `audit` judges. Each finding names what offends.
// Relies on invariants.ts for what holds in any system at rest; what is here needs the customers' word.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import type { Entry, Ledger } from '../../src/io/partners/ledger.ts';
import type { LedgerPage } from '../../src/io/partners/messages.ts';
import type { Query } from '../../src/io/postgres/database.ts';
import type { Client, Scenario } from './client.ts';
import { invariants, unread } from './invariants.ts';
import { until } from './until.ts';

// From outside nobody sees what the memory bus of another process was given.
export const unseen = ['every event was published, and first in the order of its versions'];

// Where each scenario ends, and how many retries it explains, however often anything died. Silences are not
// among them: a call may also take too long because the machine is busy.
const outcomes: Readonly<Record<Scenario, { readonly status: string; readonly retriesMax: number }>> = {
  success: { status: 'PROCESSED', retriesMax: 0 },
  failure: { status: 'CANCELED', retriesMax: 0 },
  flaky: { status: 'PROCESSED', retriesMax: 2 },
  timeout: { status: 'PROCESSED', retriesMax: 0 },
  'lost-answer': { status: 'PROCESSED', retriesMax: 0 },
  outage: { status: 'FAILED', retriesMax: 3 },
  fatal: { status: 'FAILED', retriesMax: 0 },
};

// The look reads whole tables.
const lookAgainMs = 100;

export async function awaitRest(sql: Query, patienceMs = 20_000): Promise<void> {
  const look = async () => {
    const rows = await sql<{ owed: string; count: number }>(
      `SELECT 'under way' AS owed, count(*)::integer AS count FROM orders WHERE status IN ('PENDING', 'PROCESSING')
       UNION ALL SELECT 'not read by ' || reader, count(*)::integer FROM (${unread}) AS unread GROUP BY 1
       UNION ALL SELECT consumer, count(*)::integer FROM jobs GROUP BY 1`,
    );
    const owed = rows.filter(({ count }) => count > 0);
    if (owed.length === 0) return true;
    await pause(lookAgainMs);
    throw new Error(JSON.stringify(owed));
  };
  await until(look, 'nothing owed to anybody', { patienceMs });
}

export async function audit(options: {
  readonly client: Client;
  readonly sql: Query;
  readonly ledger: readonly Entry[];
  // How many more retries than its scenario explains an order may have been charged; 0 unless told.
  readonly retriesMore?: number;
}): Promise<void> {
  const { client, sql, ledger, retriesMore = 0 } = options;
  const orders = new Map((await readOrders(sql)).map((order) => [order.id, order]));
  const keys = await sql<{ key: string; order_id: string }>('SELECT key, order_id FROM idempotency_keys');
  const byKey = new Map(keys.map((row) => [row.key, row.order_id]));

  const promised = [...client.acknowledged.values()];
  none(
    'acknowledged with 201, and not there',
    promised.filter(({ orderId }) => !orders.has(orderId)),
  );
  none(
    'acknowledged under a key of another order',
    promised.filter(({ key, orderId }) => byKey.get(key) !== orderId),
  );
  // Each request had a key, so an order that no key points at is a second one of some request.
  const owned = new Set(keys.map((row) => row.order_id));
  none(
    'a second order of one request',
    [...orders.values()].filter(({ id }) => !owned.has(id)),
  );
  none('two keys of one order', owned.size === keys.length ? [] : keys);
  none(
    'stored under a key that nobody sent',
    keys.filter(({ key }) => !client.sent.has(key)),
  );

  none(
    'a cancel that was answered, and an order that is not canceled',
    [...client.canceled].filter((id) => orders.get(id)?.status !== 'CANCELED'),
  );
  none(
    'not at the end of its scenario',
    [...orders.values()].filter(
      (order) => order.status !== outcomes[order.scenario].status && !client.canceled.has(order.id),
    ),
  );
  none(
    'charged more than its scenario explains',
    [...orders.values()].filter((order) => order.retries > outcomes[order.scenario].retriesMax + retriesMore),
  );

  none('charged an attempt that nobody ended', await sql(attemptsThatNobodyEnded));

  const seen = { sql, published: [], ledger: { entries: () => ledger } as unknown as Ledger };
  for (const [name, offenders] of Object.entries(invariants)) {
    if (!unseen.includes(name)) none(name, await offenders(seen));
  }
}

function none(finding: string, offenders: readonly unknown[]): void {
  assert.deepEqual(offenders.slice(0, 5), [], `${finding} (${offenders.length})`);
}

type AuditedOrder = {
  readonly id: string;
  readonly status: string;
  readonly scenario: Scenario;
  readonly retries: number;
};

function readOrders(sql: Query): Promise<AuditedOrder[]> {
  return sql<AuditedOrder>(
    `SELECT o.id, o.status, o.payment_scenario AS scenario, count(a.at)::integer AS retries FROM orders o
     LEFT JOIN attempts a ON a.order_id = o.id AND a.outcome = 'retry' AND a.code <> 'timeout' GROUP BY o.id`,
  );
}

// A worker that dies or freezes ends no attempt, so nothing says "retry" for it: its attempt goes on. What an
// attempt wrote says its number.
const attemptsThatNobodyEnded = `
  SELECT ended.*, count(a.at)::integer AS retries FROM (
    SELECT e.order_id, c.id AS event_id, e.attempt FROM events e JOIN events c ON c.order_id = e.order_id AND c.id = e.causation_id
    WHERE e.attempt IS NOT NULL AND e.type <> 'OrderFailedV1'
  ) AS ended
  LEFT JOIN attempts a ON a.event_id = ended.event_id AND a.outcome = 'retry' AND a.consumer = CASE
    WHEN ended.event_id IN (SELECT id FROM events WHERE type = 'OrderCreatedV1') THEN 'payment'
    WHEN ended.event_id IN (SELECT id FROM events WHERE type = 'PaymentAuthorizedV1') THEN 'fulfillment'
    ELSE 'compensation' END
    AND a.epoch = (SELECT max(l.epoch) FROM attempts l WHERE l.event_id = a.event_id AND l.consumer = a.consumer)
  GROUP BY ended.order_id, ended.event_id, ended.attempt HAVING ended.attempt <> 1 + count(a.at)`;

// How many attempts had their worker die or freeze under them.
export async function countTakeovers(sql: Query): Promise<number> {
  const rows = await sql<{ count: number }>(
    `SELECT count(*)::integer AS count FROM attempts WHERE outcome = 'takeover'`,
  );
  return rows[0]?.count ?? 0;
}

// The whole ledger of a sandbox, as its own process tells it.
export async function readLedger(sandboxUrl: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let cursor: string | null = '0'; cursor !== null; ) {
    const response = await fetch(`${sandboxUrl}/ledger?limit=1000&cursor=${cursor}`);
    const page = (await response.json()) as LedgerPage;
    entries.push(...page.items.map(toEntry));
    cursor = page.nextCursor;
  }
  return entries;
}

function toEntry({ expiresAt, createdAt, changedAt, terms, ...entry }: LedgerPage['items'][number]): Entry {
  return {
    ...entry,
    terms: terms === null ? null : JSON.stringify(terms),
    expiresAtMs: expiresAt === null ? null : Date.parse(expiresAt),
    createdAtMs: Date.parse(createdAt),
    changedAtMs: Date.parse(changedAt),
  };
}

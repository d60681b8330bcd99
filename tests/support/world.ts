// The whole system in this process for a test: one database, one ledger of the simulated partners, one
// bus, and as many engines on them as the test builds.
//
// What happens at the edges is recorded (calls to partners, messages published, breakers), nothing is
// replaced: the engine, PostgreSQL and the partners are the real ones, only their settings are short.
// `inWorld` ends every test with the invariants and leaves nothing running.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Order, OrderId } from '../../src/domain/order.ts';
import { isUnderWay } from '../../src/domain/order-machine.ts';
import type { OrderRecord } from '../../src/domain/order-record.ts';
import { isRefusal, type Refusal } from '../../src/domain/refusals.ts';
import type { Bus, Message } from '../../src/engine/bus.ts';
import { endOf, silentObserver } from '../../src/engine/observer.ts';
import type { ClaimAnswer, Log, SettleAnswer, System, Work } from '../../src/engine/ports.ts';
import type { DeadLetter } from '../../src/flow/dead-letters.ts';
import type { Pause } from '../../src/flow/operators/pauses.ts';
import type { OperatorDesk } from '../../src/flow/operators/ports.ts';
import type { OrderDesk, Partners, PlaceCommand } from '../../src/flow/ports.ts';
import { type ConsumerName, type JobConsumer, subscriptions, toStep } from '../../src/flow/subscriptions.ts';
import { type Entry, type Ledger, openLedger } from '../../src/io/partners/ledger.ts';
import { createIdOnlyPartners, createLocalPartners } from '../../src/io/partners/local.ts';
import { createStage, type Stage } from '../../src/io/partners/stage.ts';
import { createClaim } from '../../src/io/postgres/claim.ts';
import { connectServer, type Database, type Query } from '../../src/io/postgres/database.ts';
import { createPostgresSearch } from '../../src/io/postgres/documents.ts';
import { migrate } from '../../src/io/postgres/migrate.ts';
import { createSettle } from '../../src/io/postgres/settle.ts';
import { createSystem } from '../../src/io/system.ts';
import { subscribedTypes } from '../../src/main/open-database.ts';
import { allRoles, createEngine } from '../../src/main/wire.ts';
import type { EngineSettings } from '../../src/main/workers.ts';
import { createTestBus } from './bus.ts';
import { assertInvariants, unread } from './invariants.ts';
import { type Postgres, startPostgres } from './postgres.ts';
import { until } from './until.ts';

export type PartnerCall = {
  readonly call: 'authorize' | 'void' | 'lookup' | 'book' | 'recall' | 'send';
  readonly key: string;
  readonly orderId: string | null;
  readonly atMs: number;
};
export type BreakerChange = { readonly dependency: string; readonly state: 'open' | 'closed'; readonly atMs: number };

export type WorldEngine = {
  readonly desk: OrderDesk;
  readonly operators: OperatorDesk;
  // What it holds back now.
  readonly pauses: () => readonly Pause[];
  readonly start: () => Promise<void>;
  readonly stop: (graceMs?: number) => Promise<void>;
  // How many claims were answered this way. A hint that comes late is a claim too.
  readonly claims: (consumer: ConsumerName, answer: ClaimAnswer['answer']) => number;
  // How many attempts ended this way.
  readonly ends: (consumer: ConsumerName, end: string) => number;
  // How many messages to this consumer could not be read.
  readonly unreadable: (consumer: ConsumerName) => number;
  readonly breakerChanges: readonly BreakerChange[];
};
export type EngineOptions = {
  readonly settings?: Partial<EngineSettings>;
  // Null = no bus: each engine hints its own consumers.
  readonly bus?: Bus | null;
  // What the engine meets instead of the world's partners, made from them.
  readonly partners?: (real: Partners) => Partners;
  readonly system?: System;
};

// A worker played by the test: it holds a claim and goes on when, and if, the test says so.
export type Hand = {
  readonly work: Work;
  readonly perform: () => Promise<unknown>;
  readonly settle: (result: unknown) => Promise<SettleAnswer>;
};

export type World = {
  readonly sql: Query;
  readonly database: Database;
  readonly stage: Stage;
  readonly ledger: Ledger;
  readonly partners: Partners;
  readonly calls: readonly PartnerCall[];
  readonly bus: Bus;
  // Every message that any engine gave to any bus, in order.
  readonly published: readonly Message[];
  // What the engines warned of, in words.
  readonly said: () => readonly string[];
  // The engine that every world has.
  readonly engine: WorldEngine;
  // Its desk, which answers also while it does not run.
  readonly desk: OrderDesk;
  readonly newEngine: (options?: EngineOptions) => WorldEngine;
  readonly place: (command?: PlaceCommand, desk?: OrderDesk) => Promise<Order>;
  readonly order: (id: OrderId) => Promise<Order>;
  readonly cancel: (id: OrderId) => Promise<Order | Refusal>;
  // Resolves with the order when it is at its end, or in the status that is named.
  readonly ended: (id: OrderId, status?: Order['status']) => Promise<Order>;
  // Resolves when nothing is owed to anybody: every event read by the readers of the log, every job done.
  readonly settled: () => Promise<void>;
  // Everything that waits becomes due, as if the time had passed.
  readonly passTime: () => Promise<void>;
  readonly openDeadLetters: () => Promise<readonly DeadLetter[]>;
  readonly events: (id: OrderId) => Promise<readonly string[]>;
  // The number of the last attempt that a core step has ended, or is at.
  readonly attempts: (consumer: 'payment' | 'fulfillment', id: OrderId) => Promise<number>;
  // Resolves when the consumer has tried, and waits for its next attempt.
  readonly waits: (consumer: JobConsumer, id: OrderId) => Promise<unknown>;
  // The newest job of a consumer; null where it has none.
  readonly job: (consumer: JobConsumer, id: OrderId) => Promise<JobRow | null>;
  readonly entries: (id: OrderId, partner?: Entry['partner']) => readonly Entry[];
  readonly callsOf: (id: OrderId) => readonly PartnerCall['call'][];
  readonly takeByHand: (consumer: JobConsumer, id: OrderId, leaseMs?: number) => Promise<Hand>;
};
export type JobRow = { isClaimed: boolean; epoch: number; attempt: number; takeovers: number };

export type WorldOptions = EngineOptions & {
  // False: the test starts the engine itself.
  readonly start?: boolean;
  // False: the test leaves something owed, or something illegal, on purpose.
  readonly check?: boolean;
  // False: partners that undo by their own id alone, behind their adapter.
  readonly hasTombstones?: boolean;
};

export const quickSettings: EngineSettings = {
  maxRetries: 3,
  retryDelayMs: 5,
  retryDelayMsMax: 20,
  maxWaitMs: 600_000,
  failureProbability: 0,
  processingDelayMs: 0,
  timeoutMs: 300,
  leaseMs: 10_000,
  concurrency: 64,
};
// A hanging test is worse than a failing one.
export const slowestTest = { timeout: 60_000 };
const connections = 4;
const retention = { keysHours: 168, rowsDays: 30 };

export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

// A server whose databases are born with the schema. Nobody pulls its plug here, so it need not sync.
export const startServer = (): Promise<Postgres> =>
  startPostgres({
    settings: { fsync: 'off' },
    prepare: async (url) => {
      const database = connectServer({ url, poolMax: 1, log: silent });
      await migrate(database, subscribedTypes);
      await database.close();
    },
  });

// Databases that a world has left clean, to be used again: emptying one costs a tenth of making one.
const emptied = new WeakMap<Postgres, string[]>();

async function empty(database: Database): Promise<void> {
  const tables = await database.query<{ names: string }>(
    `SELECT string_agg(tablename, ', ') AS names FROM pg_tables
     WHERE schemaname = 'public' AND tablename NOT IN ('schema_version', 'cursors', 'subscriptions')`,
  );
  await database.query(`TRUNCATE ${tables[0]?.names}`);
  await database.query(
    `UPDATE cursors SET read_to = (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_position),
       gaps = '{}', token = NULL, lease_until = '-infinity'`,
  );
}

// Whose clock is behind.
export function systemOfThePast(agoMs: number): System {
  const system = createSystem();
  return { ...system, now: () => new Date(system.now().getTime() - agoMs) };
}

export async function inWorld(
  postgres: Postgres,
  options: WorldOptions,
  story: (world: World) => Promise<void>,
): Promise<void> {
  const { world, said, close } = await openWorld(postgres, options);
  let isClean = false;
  try {
    if (options.start !== false) await world.engine.start();
    await story(world);
    if (options.check === false) return;
    await world.settled();
    await assertInvariants(world);
    isClean = true;
  } catch (error) {
    // What the engine said meanwhile is the better half of the story.
    if (error instanceof Error) error.message += `\nThe engine said:\n  ${said.slice(-20).join('\n  ') || 'nothing'}`;
    throw error;
  } finally {
    await close(isClean);
  }
}

async function openWorld(postgres: Postgres, options: WorldOptions) {
  const directory = mkdtempSync(join(tmpdir(), 'orderly-world-'));
  const url = emptied.get(postgres)?.pop() ?? (await postgres.createDatabase());
  const system = createSystem();
  const database = connectServer({ url, poolMax: connections, log: silent });
  const { query: sql } = database;
  const ledger = openLedger({ directory });
  const stage = createStage();
  const calls: PartnerCall[] = [];
  const { hasTombstones = true } = options;
  const create = hasTombstones ? createLocalPartners : createIdOnlyPartners;
  const partners = recordedPartners(create({ ledger, stage, system }), calls);
  const published: Message[] = [];
  const real = createTestBus();
  const bus: Bus = { ...real, publish: recordedPublish(real, published) };
  const said: string[] = [];
  const engines: WorldEngine[] = [];
  const databases: Database[] = [database];

  function newEngine(more: EngineOptions = {}): WorldEngine {
    const own = connectServer({ url, poolMax: connections, log: silent });
    databases.push(own);
    const built = buildEngine(own, {
      settings: { ...options.settings, ...more.settings },
      system: more.system ?? options.system ?? system,
      partners: (more.partners ?? options.partners ?? asTheyAre)(partners),
      bus: more.bus ? { ...more.bus, publish: recordedPublish(more.bus, published) } : more.bus === null ? null : bus,
      said,
    });
    engines.push(built);
    return built;
  }

  const engine = newEngine(options.bus === undefined ? {} : { bus: options.bus });
  const { desk } = engine;
  let placed = 0;
  const world: World = {
    sql,
    database,
    stage,
    ledger,
    partners,
    calls,
    bus,
    published,
    said: () => said,
    engine,
    desk,
    newEngine,
    place: async (command = {}, at = desk) => {
      placed += 1;
      const given: PlaceCommand = { customerEmail: 'a@example.com', amount: 1_999, ...command };
      if (command.items || command.productType) delete (given as { amount?: number }).amount;
      const input = { command: given, received: given, key: null, correlationId: `test-${placed}`, traceparent: null };
      const answer = await at.place(input);
      assert.ok(!isRefusal(answer), JSON.stringify(answer));
      return answer.order;
    },
    order: (id) => readOrder(desk, id),
    cancel: (id) => desk.cancel(id, null, 'test-cancel'),
    ended: (id, status) =>
      until(
        async () => {
          const order = await readOrder(desk, id);
          const isThere = status ? order.status === status : !isUnderWay(order.status);
          if (!isThere) throw new Error(`it is ${order.status}, payment ${order.payment}`);
          return order;
        },
        `the end of order ${id} (${status ?? 'any'})`,
      ),
    settled: async () => {
      await until(async () => {
        const owed = await readOwed(sql);
        if (owed.length > 0) throw new Error(JSON.stringify(owed.slice(0, 5)));
        return true;
      }, 'nothing owed to anybody');
    },
    passTime: async () => {
      await sql(`UPDATE jobs SET due_at = clock_timestamp() WHERE token IS NULL AND due_at > clock_timestamp()`);
    },
    openDeadLetters: async () =>
      (await desk.deadLetters({ limit: 100, after: null, consumer: null, code: null })).items,
    events: async (id) => {
      const rows = await sql<{ type: string }>('SELECT type FROM events WHERE order_id = $1 ORDER BY version', [id]);
      return rows.map((row) => row.type);
    },
    attempts: async (consumer, id) => {
      const types = { payment: 'Payment(Authorized|Failed)', fulfillment: 'Fulfillment(Scheduled|Rejected)' };
      const rows = await sql<{ attempt: number }>(
        `SELECT coalesce(max(attempt), 0) AS attempt FROM (
           SELECT attempt FROM attempts WHERE order_id = $1 AND consumer = $2
           UNION ALL SELECT attempt FROM jobs WHERE order_id = $1 AND consumer = $2
           UNION ALL SELECT attempt FROM events WHERE order_id = $1 AND type ~ $3) AS seen`,
        [id, consumer, types[consumer]],
      );
      return rows[0]?.attempt ?? 0;
    },
    waits: (consumer, id) =>
      until(async () => {
        const job = await world.job(consumer, id);
        return job !== null && !job.isClaimed && job.attempt > 0;
      }, `${consumer} to wait for its next attempt`),
    job: async (consumer, id) => {
      const rows = await sql<JobRow>(
        `SELECT token IS NOT NULL AS "isClaimed", epoch, attempt, takeovers FROM jobs
         WHERE consumer = $1 AND order_id = $2 ORDER BY version DESC LIMIT 1`,
        [consumer, id],
      );
      return rows[0] ?? null;
    },
    entries: (id, partner) =>
      ledger
        .entries({ orderId: id, afterPosition: 0, limit: 100 })
        .filter((entry) => partner === undefined || entry.partner === partner),
    callsOf: (id) => calls.filter((call) => call.orderId === id).map(({ call }) => call),
    takeByHand: (consumer, id, leaseMs = 60_000) => takeByHand({ database, system, partners }, consumer, id, leaseMs),
  };
  const close = async (isClean: boolean) => {
    await Promise.all(engines.map((one) => one.stop(0)));
    if (isClean) {
      await empty(database);
      emptied.set(postgres, [...(emptied.get(postgres) ?? []), url]);
    }
    await Promise.all(databases.map((one) => one.close()));
    ledger.close();
    rmSync(directory, { recursive: true });
  };
  return { world, said, close };
}

const asTheyAre = (real: Partners) => real;

type Parts = Required<Omit<EngineOptions, 'settings' | 'partners'>> & {
  readonly settings: Partial<EngineSettings>;
  readonly partners: Partners;
  readonly said: string[];
};

function buildEngine(database: Database, { settings, system, partners, bus, said }: Parts): WorldEngine {
  const counts = new Map<string, number>();
  const count = (consumer: string, end: string, times = 1) =>
    counts.set(`${consumer} ${end}`, (counts.get(`${consumer} ${end}`) ?? 0) + times);
  const breakerChanges: BreakerChange[] = [];
  const say = (fields: object, message: string) => void said.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = { ...silent, warn: say, error: say };
  const engine = createEngine({
    database,
    // Other engines of the world go on using it.
    bus: bus && { ...bus, close: async () => {} },
    knowsAllWriters: false,
    partners,
    search: createPostgresSearch(database),
    simulatedPartners: true,
    settings: { ...quickSettings, ...settings },
    roles: allRoles,
    retention,
    observer: {
      ...silentObserver,
      unreadable: (group) => counts.set(`${group} unreadable`, (counts.get(`${group} unreadable`) ?? 0) + 1),
      claimed: (consumer, { answer }) => count(`${consumer} claim`, answer),
      settled: ({ consumer }, outcome, answer) => count(consumer, endOf(outcome, answer)),
      read: (consumer, handled, deadLetters) => {
        count(consumer, 'done', handled - deadLetters.length);
        count(consumer, 'dead', deadLetters.length);
      },
      breakerChanged: (dependency, state) => breakerChanges.push({ dependency, state, atMs: performance.now() }),
    },
    system,
    log,
  });
  let stopped: Promise<void> | null = null;
  return {
    desk: engine.desk,
    operators: engine.operators,
    pauses: engine.pauses,
    start: engine.start,
    stop: (graceMs = 0) => {
      stopped ??= engine.stop(graceMs);
      return stopped;
    },
    claims: (consumer, answer) => counts.get(`${consumer} claim ${answer}`) ?? 0,
    ends: (consumer, end) => counts.get(`${consumer} ${end}`) ?? 0,
    unreadable: (consumer) => counts.get(`orderly.${consumer} unreadable`) ?? 0,
    breakerChanges,
  };
}

async function takeByHand(
  { database, system, partners }: { database: Database; system: System; partners: Partners },
  consumer: JobConsumer,
  orderId: OrderId,
  leaseMs: number,
): Promise<Hand> {
  const row = subscriptions.find((one) => one.consumer === consumer);
  assert.ok(row);
  const step = toStep(row, partners, system);
  const claim = createClaim({ database, system, leaseMs, maxWaitMs: quickSettings.maxWaitMs });
  const settle = createSettle({ database, system, leaseMs, onCommitted: () => {} });
  const [event] = await database.query<{ version: number }>(
    'SELECT version FROM events WHERE order_id = $1 AND type = ANY($2) ORDER BY version DESC LIMIT 1',
    [orderId, row.on],
  );
  assert.ok(event, `there is nothing for ${consumer} to take`);
  const request = { step, subject: orderId, version: event.version, token: system.newToken() };
  const work = await until(async () => {
    const [answer] = await claim([request]);
    if (answer === 'locked' || answer?.answer !== 'run') throw new Error(`the claim was answered ${inspectOf(answer)}`);
    return answer.work;
  }, `a claim by hand for ${consumer}`);
  return {
    work,
    perform: () => step.perform(work, new AbortController().signal),
    settle: (result) =>
      until(async () => {
        const ending = {
          state: 'done' as const,
          change: (subject: OrderRecord, now: Date) => step.decide(subject, work, result, now),
          dueInMs: 0,
          charged: true,
          trouble: null,
          durationMs: null,
        };
        const [answer] = await settle([{ work, ending }]);
        return answer === 'locked' ? null : answer;
      }, `a settle by hand for ${consumer}`),
  };
}

const inspectOf = (value: unknown) => JSON.stringify(value);

async function readOrder(desk: OrderDesk, id: OrderId): Promise<Order> {
  const order = await desk.read(id);
  assert.ok(!isRefusal(order), JSON.stringify(order));
  return order;
}

// Events that a reader of the log has not read, and jobs.
const readOwed = (sql: Query) =>
  sql(
    `SELECT 'unread' AS owed, type, reader AS consumer FROM (${unread}) AS unread
     UNION ALL
     SELECT 'to be done', event_type, consumer FROM jobs`,
  );

function recordedPublish(bus: Bus, published: Message[]): Bus['publish'] {
  return (messages, signal) => {
    published.push(...messages);
    return bus.publish(messages, signal);
  };
}

function recordedPartners(partners: Partners, calls: PartnerCall[]): Partners {
  const record = (call: PartnerCall['call'], key: string, orderId: string | null) =>
    void calls.push({ call, key, orderId, atMs: performance.now() });
  const recorded =
    <Q extends { readonly key: string; readonly orderId: string }, A>(
      name: PartnerCall['call'],
      call: (request: Q, signal: AbortSignal) => Promise<A>,
    ) =>
    (request: Q, signal: AbortSignal) => {
      record(name, request.key, request.orderId);
      return call(request, signal);
    };
  const recordedLookup =
    <A>(call: (key: string, signal: AbortSignal) => Promise<A>) =>
    (key: string, signal: AbortSignal) => {
      record('lookup', key, null);
      return call(key, signal);
    };
  const { payments, carrier, mail } = partners;
  return {
    payments: {
      keyWindowMs: payments.keyWindowMs,
      authorize: recorded('authorize', payments.authorize),
      void: recorded('void', payments.void),
      lookup: recordedLookup(payments.lookup),
    },
    carrier: {
      keyWindowMs: carrier.keyWindowMs,
      book: recorded('book', carrier.book),
      recall: recorded('recall', carrier.recall),
      lookup: recordedLookup(carrier.lookup),
    },
    mail: { send: recorded('send', mail.send) },
  };
}

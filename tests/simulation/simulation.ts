// The simulated world, built from a plan: machines, database, bus, partners and clients around one clock.
//
// Promises: everything that stands outside the system is told to the recorder in the order in which it took
// effect; what must always hold of an order is checked after every commit that touched it. `settle` runs
// until nobody is owed anything, and says what is still owed where it does not come to that.

import { subscriptions } from '../../src/flow/subscriptions.ts';
import type { Database } from '../../src/io/postgres/database.ts';
import { subscribedTypes } from '../../src/main/open-database.ts';
import { createSimulatedBus, type SimulatedBus } from './bus.ts';
import { type Clients, createClients } from './clients.ts';
import { type Clock, createClock } from './clock.ts';
import { createDraws, type Draws } from './draws.ts';
import { checkAll, checkOrder, checkSafety, type Violation } from './invariants.ts';
import { createLaziness } from './laziness.ts';
import { epochMs, type Life } from './life.ts';
import { createMachine, type Machine } from './machine.ts';
import { createModelServer, type ModelServer, type RowChange, type StatementSeen } from './model/server.ts';
import { createCounters, createNetwork, type Faults, type World } from './network.ts';
import { owedIn } from './owed.ts';
import { createModelPartners, type ModelPartners } from './partners.ts';
import type { Plan } from './plan.ts';
import { createSimulatedServer, type SimulatedServer } from './pool.ts';
import { createRecorder, type Recorder } from './recorder.ts';
import { newerType, olderType } from './releases.ts';
import type { Change } from './rows.ts';
import { createTrace, rowInWords } from './trace.ts';

export type Simulation = {
  readonly world: World;
  readonly clock: Clock;
  readonly draws: Draws;
  readonly machines: readonly Machine[];
  readonly server: SimulatedServer;
  readonly model: ModelServer;
  readonly bus: SimulatedBus;
  readonly partners: ModelPartners;
  readonly clients: Clients;
  readonly recorder: Recorder;
  // What was found broken so far, each law and order once.
  readonly violations: readonly Violation[];
  // The faults are over: from now on engines that find nothing may doze.
  readonly rest: () => void;
  readonly runFor: (ms: number) => Promise<void>;
  // Answers what is still owed after `boundMs`; nothing when all has ended.
  readonly settle: (boundMs: number) => Promise<readonly string[]>;
  readonly judge: (isQuiet: boolean) => void;
  // What the simulation itself did wrong; must be empty.
  readonly mistakes: () => readonly string[];
};

export type SimulationOptions = {
  readonly plan: Plan;
  readonly keepsLines: boolean;
  // Made from the clock and the draws of this world.
  readonly faults: (draws: Draws, clock: Clock) => Faults;
  // What makes of an order a rejected or an irrevocable one.
  readonly rejects?: (orderId: string) => boolean;
  readonly refusesRecall?: (orderId: string) => boolean;
  readonly refusesDocument?: (orderId: string) => boolean;
  readonly startsAgainAfterMs: () => number;
  // Which release a start runs; one alone unless told.
  readonly isNewer?: (machine: string) => boolean;
  readonly spoil?: (database: Database) => Database;
};

const newerTypes = subscribedTypes
  .filter(({ type }) => type === olderType)
  .map((subscribed) => ({ ...subscribed, type: newerType as typeof subscribed.type }));

// How often it is asked whether everything has ended.
const lookMs = 200;
// A partner forgets a key this much later than it promised: longer than anything is on its way, or frozen.
const forgetsLaterMs = 60_000;

export function createSimulation(options: SimulationOptions): Simulation {
  const { plan } = options;
  const { seed } = plan;
  const clock = createClock(seed);
  const draws = createDraws(seed);
  const counters = createCounters();
  const trace = createTrace({ nowMs: clock.nowMs, keepsLines: options.keepsLines });
  const machines: Machine[] = [];
  const violations: Violation[] = [];
  const wallMs = () => epochMs + clock.nowMs();
  const world: World = {
    clock,
    draws,
    trace,
    counters,
    faults: options.faults(draws, clock),
    kill: (life, ms) => {
      const machine = machines.find((one) => one.life() === life);
      machine?.kill(ms ?? options.startsAgainAfterMs());
    },
  };
  const network = createNetwork(world);
  const laziness = createLaziness(clock, plan.isLazy);

  const partners = createModelPartners({
    nowMs: wallMs,
    ...(options.rejects === undefined ? {} : { rejects: options.rejects }),
    ...(options.refusesRecall === undefined ? {} : { refusesRecall: options.refusesRecall }),
    ...(options.refusesDocument === undefined ? {} : { refusesDocument: options.refusesDocument }),
    forgetsAfterMs: plan.keyWindowMs + forgetsLaterMs,
  });
  const { settings } = plan;
  const deployed = plan.machines.flatMap(({ consumers }) => consumers);
  const recorder = createRecorder(
    {
      epochMs,
      maxRetries: settings.maxRetries,
      retryDelayMs: settings.retryDelayMs,
      retryDelayMsMax: settings.retryDelayMsMax,
      maxWaitMs: settings.maxWaitMs,
      leaseMs: settings.leaseMs,
      concurrency: settings.concurrency,
      skewMs: Math.max(0, ...plan.machines.map((machine) => 2 * Math.abs(machine.skewMs))),
      keyWindowMs: plan.keyWindowMs,
      consumers: deployed,
      readers: [
        ...(plan.machines.some(({ relay }) => relay) ? ['relay'] : []),
        ...(deployed.includes('analytics') ? ['analytics'] : []),
        ...(deployed.includes('search') ? ['search.elasticsearch'] : []),
      ],
      subscribed: subscriptions
        .filter(({ consumer }) => deployed.includes(consumer))
        .flatMap(({ consumer, on }) => on.map((type) => ({ consumer, type }))),
    },
    partners,
  );

  const broken = new Set<string>();
  const say = (found: readonly Violation[]) => {
    for (const violation of found) {
      const key = `${violation.invariant} ${violation.orderId}`;
      if (broken.has(key)) continue;
      broken.add(key);
      violations.push(violation);
      trace.note('INVARIANT', violation.invariant, violation.sentence, violation.orderId);
    }
  };

  const sessions: Life[] = [];
  const mistakes: string[] = [];
  let committed: readonly RowChange[] | null = null;
  const model = createModelServer({
    nowMs: wallMs,
    after: clock.after,
    subscribed: [...subscribedTypes, ...newerTypes],
    onCommit: (changes) => {
      committed = changes;
    },
    // A mistake in here is one of this simulation, not of the statement.
    onStatement: (seen) => {
      try {
        onStatement(seen);
      } catch (error) {
        mistakes.push(String((error as Error).stack));
      }
    },
  });

  function onStatement(seen: StatementSeen): void {
    const process = sessions[seen.session - 1]?.name ?? '';
    const lockedRows = rowsPassedBy(seen);
    if (lockedRows !== null)
      recorder.note({ atMs: clock.nowMs(), process, what: 'rows-locked', label: lockedRows, code: null });
    if (seen.waited) counters.count('a statement waits for a lock');
    if (committed === null) return;
    // A watermark is a hint of the pull's own, and nobody's promise.
    const changes = (committed as readonly Change[]).filter((change) => (change.table as string) !== 'watermarks');
    committed = null;
    if (changes.length === 0) return;
    const touched = recorder.committed(process, clock.nowMs(), changes);
    noteChanges(process, changes);
    for (const id of touched) say(checkOrder(recorder.evidence, id));
    laziness.wake('a commit');
    if (changes.some((change) => change.table === 'events')) laziness.wake('a fact');
  }

  function noteChanges(process: string, changes: readonly Change[]): void {
    for (const change of changes) {
      const row = (change.after ?? change.before) as unknown as Record<string, unknown>;
      const subject = String((change.table === 'orders' ? row.id : row.order_id) ?? '');
      const state = change.after === null ? 'gone' : String(row.state ?? row.status ?? row.type ?? 'written');
      trace.note(process, `${change.table} by ${change.label}`, state, subject, () =>
        rowInWords(change.before, change.after),
      );
    }
  }

  const server = createSimulatedServer({
    world,
    model,
    latencyMs: plan.storeLatencyMs,
    splitting: plan.splitting,
    events: {
      onConnected: (life) => void sessions.push(life),
      onNoted: (life, what, label, code) =>
        recorder.note({ atMs: clock.nowMs(), process: life.name, what, label, code }),
    },
  });
  const bus = createSimulatedBus({
    world,
    network,
    plan: plan.bus,
    onPublished: (life, message) => {
      const { sequence } = JSON.parse(message.body.toString()) as { sequence: string };
      const [eventId, orderId, type] = [message.id, message.key, message.type];
      recorder.published({
        atMs: clock.nowMs(),
        process: life.name,
        eventId,
        orderId,
        version: Number(sequence),
        type,
        sequence,
      });
      trace.note(life.name, 'bus.publish', type, orderId);
    },
    isUnclaimed: (group, { id, key }) => !recorder.isClaimed(consumerOf(group), id, key),
    onAcknowledged: (life, group, { id, key }) => recorder.acknowledged(life.name, consumerOf(group), id, key),
  });
  for (const machine of plan.machines) {
    machines.push(
      createMachine(machine, {
        world,
        network,
        server,
        bus,
        partners,
        recorder,
        settings,
        partnerLatencyMs: plan.partnerLatencyMs,
        keyWindowMs: plan.keyWindowMs,
        timer: laziness.timer,
        onCall: (call, orderId) => clients.interfere(call, orderId),
        isNewer: options.isNewer ?? (() => false),
        ...(options.spoil === undefined ? {} : { spoil: options.spoil }),
      }),
    );
  }
  const clients: Clients = createClients({ world, plan, machines, recorder });

  const owed = () => owedIn({ recorder, clients, machines, nowMs: clock.nowMs });
  const runFor = (ms: number) => {
    const untilMs = clock.nowMs() + ms;
    let isOver = false;
    clock.after(ms, () => {
      isOver = true;
    });
    return clock.run(() => isOver || clock.nowMs() > untilMs);
  };

  return {
    world,
    clock,
    draws,
    machines,
    server,
    model,
    bus,
    partners,
    clients,
    recorder,
    violations,
    rest: laziness.rest,
    runFor,
    settle: async (boundMs) => {
      const untilMs = clock.nowMs() + boundMs;
      for (;;) {
        await runFor(lookMs);
        const isOwed = owed().next().done !== true;
        if (!isOwed || clock.nowMs() > untilMs) return [...owed()];
      }
    },
    mistakes: () => [...mistakes, ...model.mistakes],
    judge: (isQuiet) => {
      // Nothing was committed; the evidence learns what time it is.
      recorder.committed('', clock.nowMs(), []);
      say(isQuiet ? checkAll(recorder.evidence) : checkSafety(recorder.evidence));
    },
  };
}

// As src/main/wire.ts names the groups of the bus.
const consumerOf = (group: string) => group.replace(/^orderly\./, '');

// The lock statement that left out rows which somebody else had locked; null where none did.
function rowsPassedBy({ name, rows, values, code }: StatementSeen): string | null {
  if (code !== null) return null;
  if (name === 'read-known-facts') return rows.length > 0 ? 'lock-orders-of-facts' : null;
  return name === 'lock-orders' && rows.length < countOf(values[0]) ? 'lock-orders' : null;
}

// Elements of an array parameter as src/io/postgres/database.ts writes one.
function countOf(value: unknown): number {
  if (Array.isArray(value)) return value.length;
  const text = String(value);
  return text.length <= 2 ? 0 : text.split(',').length;
}

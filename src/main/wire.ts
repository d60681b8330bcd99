// The whole system from its parts, bottom up: read it to see who knows whom.
//
// Promises: building starts nothing; `start` starts in the order in which work flows, `stop` ends in the
// opposite one: intake, then what runs, then the relay. The database is its caller's to close.

import { factTypes, streamOf } from '../domain/events.ts';
import { createCourtesy } from '../engine/backpressure.ts';
import { type Breaker, createBreaker } from '../engine/breaker.ts';
import { createConsumer } from '../engine/consumer.ts';
import { nameOf } from '../engine/envelope.ts';
import { createGroupCommit } from '../engine/group-commit.ts';
import { createLeases } from '../engine/leases.ts';
import { createPull, type Pull } from '../engine/poller.ts';
import type { Bus, ClaimAnswer, Log, SettleAnswer, Subscription, System } from '../engine/ports.ts';
import { createRelay } from '../engine/relay.ts';
import type { RetryPolicy } from '../engine/retry-policy.ts';
import { createOrderDesk } from '../flow/orders/order-desk.ts';
import type { OrderDesk, OrderRecord, Partners, PlaceAnswer, PlaceRequest } from '../flow/ports.ts';
import type { Search } from '../flow/projections/search-ports.ts';
import { boundPartners } from '../flow/steps/outside.ts';
import { type Rehearsal, rehearse } from '../flow/steps/rehearsal.ts';
import { consumerNames, type Dependency, knownTypes, subscriptions, toStep } from '../flow/subscriptions.ts';
import { createAccept } from '../io/postgres/accept.ts';
import { createClaim, type OrderClaim } from '../io/postgres/claim.ts';
import { createCleanup, type Retention } from '../io/postgres/cleanup.ts';
import { createCursors } from '../io/postgres/cursors.ts';
import type { Database } from '../io/postgres/database.ts';
import { createOrderStore } from '../io/postgres/desk.ts';
import { failureOf, isHeldElsewhere } from '../io/postgres/errors.ts';
import { createReadHistories } from '../io/postgres/histories.ts';
import { createInbox } from '../io/postgres/inbox.ts';
import { createSettle, type OrderSettle } from '../io/postgres/settle.ts';
import type { Metrics } from '../io/telemetry/metrics.ts';
import { createAnalyticsReader, createSearchReader } from './projections.ts';

export type EngineSettings = RetryPolicy &
  Rehearsal & { readonly timeoutMs: number; readonly leaseMs: number; readonly concurrency: number };

// Entries per flush; larger batches win little and hold their locks longer. Measured with bench/.
const flushRowsMax = 256;
// Requests that may wait to be accepted: about a second of work; a later one is better told to come back.
const acceptQueueMax = 4_096;
// A client waits for its answer; then it is told honestly what is known.
const acceptPatienceMs = 4_000;
// Requests under way at once that make a burst; a steady stream at half of what a process can do has fewer.
const crowd = 32;
// A claim that cannot be had by then is left to the pull: the intake must not wait for one locked order.
const claimPatienceMs = 1_000;
// The desk's claims and settles are bounded by the slots that feed them.
const workQueueMax = 65_536;

// What of the whole runs in this process; its desk is always there to be asked.
export type Roles = { readonly relay: boolean; readonly consumers: readonly string[] };
export const allRoles: Roles = { relay: true, consumers: consumerNames };

export type Engine = {
  readonly desk: OrderDesk;
  readonly start: () => Promise<void>;
  // Work that does not finish within `graceMs` is released, uncharged. The database stays open: requests
  // that came before may still need it.
  readonly stop: (graceMs: number) => Promise<void>;
};

export function createEngine(parts: {
  readonly database: Database;
  readonly bus: Bus;
  readonly partners: Partners;
  readonly search: Search;
  readonly simulatedPartners: boolean;
  readonly settings: EngineSettings;
  readonly roles: Roles;
  readonly retention: Retention;
  readonly metrics: Metrics;
  readonly system: System;
  readonly log: Log;
}): Engine {
  const { database, bus, settings, roles, metrics, system, log } = parts;
  const { leaseMs, maxWaitMs } = settings;
  const inbox = createInbox({ database, system, leaseMs, maxWaitMs });
  const cursors = createCursors({ database, system });
  const relay = createRelay({
    cursors,
    bus,
    // Over a bus that keeps nothing, only this process can hear of what it publishes.
    isShared: bus.capabilities.durable,
    streamOf: streamOfAny,
    system,
    log,
    onPublished: metrics.published,
  });

  const shared = { failureOf, system, maxRows: flushRowsMax };
  const accepts = createGroupCommit<PlaceRequest, PlaceAnswer>({
    ...shared,
    flush: createAccept(database, relay.wake),
    capacity: acceptQueueMax,
    patienceMs: acceptPatienceMs,
    twins: { keyOf: (request) => request.key, isHeld: isHeldElsewhere },
  });
  const claim = createClaim({ database, system, leaseMs, maxWaitMs });
  const claims = createGroupCommit<OrderClaim, ClaimAnswer<OrderRecord>>({
    ...shared,
    flush: claim,
    capacity: workQueueMax,
    patienceMs: claimPatienceMs,
    turn: createCourtesy({ isCrowded: () => accepts.pending() >= crowd, system }),
  });
  const settles = createGroupCommit<OrderSettle, SettleAnswer>({
    ...shared,
    flush: createSettle({ database, system, onCommitted: relay.wake }),
    capacity: workQueueMax,
    patienceMs: leaseMs,
  });

  const breakers = createBreakers(metrics, log);
  const leases = createLeases({ inbox, leaseMs, system, log });
  const partners = boundPartners(parts.partners, settings.timeoutMs, system, (dependency) =>
    breakers[dependency].succeeded(system.monotonicMs()),
  );
  const projected = { cursors, system, log, onEnded: metrics.deliveryEnded };
  const readers = {
    analytics: createAnalyticsReader(projected),
    search: createSearchReader({
      ...projected,
      search: parts.search,
      readHistories: createReadHistories(database),
      timeoutMs: settings.timeoutMs,
      onAnswer: (trouble) => {
        const nowMs = system.monotonicMs();
        if (trouble === null) breakers.search.succeeded(nowMs);
        else breakers.search.failed(nowMs, { isProbe: true });
      },
    }),
  };
  const reading = Object.entries(readers).filter(([consumer]) => roles.consumers.includes(consumer));
  const pulls = new Map<string, Pull>();
  const rows = subscriptions.filter((row) => roles.consumers.includes(row.consumer));
  const consumers = rows.map((row) => {
    const step = toStep(row, partners, system);
    const consumer = createConsumer({
      step: row.isCore ? rehearse(step, settings, system) : step,
      claims,
      settles,
      inbox,
      leases,
      breakers: row.dependencies.map((dependency) => breakers[dependency]),
      policy: settings,
      concurrency: Math.min(settings.concurrency, callsMaxOf(row, parts.partners)),
      system,
      log,
      events: {
        ended: metrics.deliveryEnded,
        dueIn: (name, ms) => pulls.get(name)?.wakeIn(ms),
      },
    });
    pulls.set(row.consumer, createPull({ consumer, inbox, system, log }));
    return consumer;
  });

  const store = createOrderStore({ database, system, onCommitted: relay.wake });
  const desk = createOrderDesk({
    store: { ...store, place: accepts.add },
    search: parts.search,
    system,
    simulatedPartners: parts.simulatedPartners,
  });
  const cleanup = createCleanup({ database, system, retention: parts.retention, log });

  const intake = new AbortController();
  const background = new AbortController();
  let subscribed: Subscription[] = [];
  let pulling: Promise<unknown> = Promise.resolve();
  let running: Promise<unknown> = Promise.resolve();

  // A search that is away now is made ready with its first document.
  async function prepareSearch(): Promise<void> {
    await parts.search.prepare(background.signal).catch((error) => {
      if (background.signal.aborted) return;
      log.warn({ error: String(error) }, 'the search is not ready; its documents wait uncharged');
    });
  }

  return {
    desk,
    start: async () => {
      subscribed = await Promise.all([
        ...consumers.map((one) => bus.subscribe(groupOf(one.consumer), one.types, one.receive)),
        // To these a message says that there is something to read, and no more.
        ...reading.map(([name, reader]) => bus.subscribe(groupOf(name), knownTypes, async () => reader.wake())),
      ]);
      pulling = Promise.all(
        [...pulls.values(), ...reading.map(([, reader]) => reader)].map((one) => one.run(intake.signal)),
      );
      const owing = roles.relay ? [relay.run(background.signal), cleanup.run(background.signal)] : [];
      if (roles.consumers.includes('search')) void prepareSearch();
      running = Promise.all([leases.run(background.signal), ...owing]);
    },
    stop: async (graceMs) => {
      intake.abort();
      const drained = Promise.all([
        ...consumers.map((one) => one.stop()),
        ...subscribed.map((one) => one.close()),
        pulling,
      ]);
      // What does not finish by itself is aborted, and goes back uncharged.
      const timer = system.after(graceMs, leases.abortAll);
      await drained;
      timer.cancel();
      await accepts.drained();
      background.abort();
      await running;
      await bus.close();
    },
  };
}

// The name of a consumer's group on every bus.
export const groupOf = (consumer: string) => `orderly.${consumer}`;

// A newer release may have written a type or a version that this one does not know. Its stream is the one
// of its name, else the orders' own; on a wrong one nobody takes it, and its readers pull it.
const streams = new Map(factTypes.map((type) => [nameOf(type), streamOf[type]]));
export const streamOfAny = (type: string) => streams.get(nameOf(type)) ?? streamOf.OrderCreatedV1;

// What a partner takes at once bounds what is claimed for it: nothing is claimed that cannot start.
const callsMaxOf = ({ dependencies }: { dependencies: readonly string[] }, { mail }: Partners) =>
  dependencies.includes('mail') ? (mail.callsMax ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;

function createBreakers(metrics: Metrics, log: Log): Record<Dependency, Breaker> {
  const named = (dependency: Dependency) =>
    createBreaker((state) => {
      metrics.breakerChanged(dependency, state);
      log.warn(
        { dependency },
        state === 'open' ? 'a dependency is away; its work waits uncharged' : 'a dependency is back',
      );
    });
  return { payments: named('payments'), carrier: named('carrier'), mail: named('mail'), search: named('search') };
}

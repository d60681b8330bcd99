// The whole system from its parts, bottom up: read it to see who knows whom.
//
// Promises: building starts nothing; `start` starts in the order in which work flows, `stop` ends in the
// opposite one: intake, then what runs, then the relay. The database is its caller's to close.

import { eventTypes, streamOf } from '../domain/events.ts';
import type { Bus, Subscription } from '../engine/bus.ts';
import { nameOf } from '../engine/envelope.ts';
import { createGroupCommit } from '../engine/group-commit.ts';
import { createHintReader } from '../engine/hints.ts';
import { type Observer, watched } from '../engine/observer.ts';
import type { Event, Hint, Log, System } from '../engine/ports.ts';
import { createRelay } from '../engine/relay.ts';
import { silentTracer, type Tracer } from '../engine/tracer.ts';
import type { Pauses } from '../flow/operators/pauses.ts';
import type { OperatorDesk } from '../flow/operators/ports.ts';
import { createOrderDesk } from '../flow/orders/order-desk.ts';
import { traceStore } from '../flow/orders/traced-store.ts';
import type { OrderDesk, OrderStore, Partners, PlaceAnswer, PlaceRequest } from '../flow/ports.ts';
import type { Search } from '../flow/projections/search-ports.ts';
import { consumerNames, knownTypes, type ProjectionName } from '../flow/subscriptions.ts';
import { createAccept } from '../io/postgres/accept.ts';
import { createCleanup, type Retention } from '../io/postgres/cleanup.ts';
import { carryAlong, createCursors } from '../io/postgres/cursors.ts';
import type { Database } from '../io/postgres/database.ts';
import { createOrderStore } from '../io/postgres/desk.ts';
import { failureOf, isHeldElsewhere, isToldOf } from '../io/postgres/errors.ts';
import { createReadHistories } from '../io/postgres/histories.ts';
import { createOperators, createProcessPauses, toldBreakers } from './operators.ts';
import { createAnalyticsReader, createSearchReader } from './projections.ts';
import { createWorkers, type EngineSettings, flushRowsMax } from './workers.ts';

// Requests that may wait to be accepted: about a second of work; a later one is better told to come back.
const acceptQueueMax = 4_096;
// A client waits for its answer; then it is told honestly what is known.
const acceptPatienceMs = 4_000;
// Requests under way at once that make a burst; a steady stream at half of what a process can do has fewer.
const crowd = 32;
// A bus that is switched on after a crash is told the events of this long; one small statement each time.
const carryMs = 5_000;

// What of the whole runs in this process; its desk is always there to be asked.
export type Roles = {
  readonly relay: boolean;
  readonly consumers: readonly string[];
  // What it is called, for operators.
  readonly name?: string;
  // Whether what operators ask for runs here too: replays where the relay is, pauses, and what it tells of itself.
  readonly operators?: boolean;
};
export const allRoles: Roles = { relay: true, consumers: consumerNames };

export type Engine = {
  readonly desk: OrderDesk;
  readonly operators: OperatorDesk;
  // What this process holds back now.
  readonly pauses: Pauses['all'];
  readonly start: () => Promise<void>;
  // Work that does not finish within `graceMs` is released, uncharged. The database stays open: requests
  // that came before may still need it.
  readonly stop: (graceMs: number) => Promise<void>;
};

export function createEngine(parts: {
  readonly database: Database;
  // Null = no other process is hinted: this one hints its own consumers.
  readonly bus: Bus | null;
  // True where no other process writes to the database: then nothing is polled for.
  readonly knowsAllWriters: boolean;
  readonly partners: Partners;
  readonly search: Search;
  readonly simulatedPartners: boolean;
  readonly settings: EngineSettings;
  readonly roles: Roles;
  readonly retention: Retention;
  readonly observer: Observer;
  readonly tracer?: Tracer;
  readonly system: System;
  readonly log: Log;
}): Engine {
  const { database, bus, knowsAllWriters, settings, roles, observer, tracer = silentTracer, system, log } = parts;

  // What was committed here: whom to tell at once. A process that dies before it leaves that to the polls.
  function committed(events: readonly Event[], again: readonly Hint[] = []): void {
    observer.committed(events);
    for (const [, reader] of reading) reader.wake();
    if (relay !== null) return relay.wake();
    if (bus !== null) return;
    const hints = [...events, ...again];
    for (const { consumer } of workers) for (const hint of hints) consumer.hint(hint);
  }

  const shared = { failureOf, system, maxRows: flushRowsMax };
  const accepts = createGroupCommit<PlaceRequest, PlaceAnswer>({
    ...shared,
    flush: watched(
      'accept',
      createAccept({
        ...{ database, system, leaseMs: settings.leaseMs },
        onCommitted: (events, works) => onCommitted(events, works),
      }),
      parts,
    ),
    capacity: acceptQueueMax,
    patienceMs: acceptPatienceMs,
    twins: { keyOf: (request) => request.key, isHeld: isHeldElsewhere },
  });
  const pauses = createProcessPauses({
    ...{ database, knowsAllWriters, system, log },
    onResumed: () => {
      for (const { poller } of workers) poller.wake();
      for (const [, reader] of reading) reader.wake();
    },
  });
  const watching = toldBreakers(observer, () => operators.presence);
  const { workers, takers, early, onCommitted, leases, down, breakers, succeeded } = createWorkers({
    ...{ database, knowsAllWriters, settings, observer: watching, pauses, tracer, system, log, committed },
    consumers: roles.consumers,
    partners: parts.partners,
    isCrowded: () => accepts.pending() >= crowd,
  });

  const cursors = createCursors({ database, system });
  const relay =
    bus === null || !roles.relay
      ? null
      : createRelay({
          ...{ cursors, bus, streamOf: streamOfAny, system, log, observer, tracer },
          isTold: (error) => isToldOf(error) || bus.isAway?.() === true,
        });
  const isPaused = (consumer: ProjectionName) =>
    pauses.isPaused('consumer', consumer) || (consumer === 'search' && pauses.isPaused('partner', 'search'));
  const projected = { cursors, knowsAllWriters, system, log, observer, tracer, isPaused };
  const readers = {
    analytics: createAnalyticsReader(projected),
    search: createSearchReader({
      ...projected,
      search: parts.search,
      readHistories: createReadHistories(database),
      timeoutMs: settings.timeoutMs,
      onAnswer: (trouble) => {
        if (trouble === null) succeeded('search');
        // One that asks for patience is there.
        else if (trouble.dependencyDown) {
          breakers.search.failed(system.monotonicMs(), { isProbe: true, code: trouble.code });
        }
      },
    }),
  };
  const reading = Object.entries(readers).filter(([consumer]) => roles.consumers.includes(consumer));

  // Nothing is claimed before the start; and where more requests wait than one write takes, they are accepted first.
  let isStarted = false;
  const mayClaim = () => isStarted && accepts.pending() < flushRowsMax;
  const place: OrderStore['place'] = (request) =>
    early.during((claim) => accepts.add(mayClaim() ? { ...request, claim } : request));
  const store = createOrderStore({ database, system, onCommitted: committed });
  const desk = createOrderDesk({
    store: traceStore({ ...store, place }, tracer),
    ...{ search: parts.search, system, simulatedPartners: parts.simulatedPartners },
  });
  const operators = createOperators({
    ...{ database, knowsAllWriters, system, log, pauses, leases, breakers, change: store.change },
    ...{ role: roles.name ?? 'start', consumers: roles.consumers },
  });
  const cleanup = createCleanup({ database, system, retention: parts.retention, log });
  const read = createHintReader({ log, onUnreadable: observer.unreadable, nowMs: system.monotonicMs });

  const intake = new AbortController();
  const background = new AbortController();
  let subscribed: Subscription[] = [];
  let taking: Promise<unknown> = Promise.resolve();
  let running: Promise<unknown> = Promise.resolve();

  // Over no bus the relay's cursor goes along unread, so that a bus that is switched on later is not flooded.
  async function carryRelay(signal: AbortSignal): Promise<void> {
    for (;;) {
      await carryAlong(database.query, 'relay').catch((error) => {
        log.debug({ error: String(error) }, 'the cursor of the relay stays behind until the next try');
      });
      if (signal.aborted) return;
      await system.sleep(carryMs, signal);
    }
  }

  // A search that is away now is made ready with its first document.
  async function prepareSearch(): Promise<void> {
    await parts.search.prepare(background.signal).catch((error) => {
      if (background.signal.aborted) return;
      log.warn({ error: String(error) }, 'the search is not ready; its documents wait uncharged');
    });
  }

  async function subscribe(bus: Bus): Promise<Subscription[]> {
    const hear = (name: string, types: readonly string[], hint: (hint: Hint) => void) =>
      bus.subscribe(groupOf(name), types, read(groupOf(name), hint));
    return Promise.all([
      ...workers.map(({ consumer }) => hear(consumer.consumer, consumer.types, consumer.hint)),
      // To these a message says that there is something to read, and no more.
      ...reading.map(([name, reader]) => hear(name, knownTypes, reader.wake)),
    ]);
  }

  return {
    desk,
    operators: operators.desk,
    pauses: pauses.all,
    start: async () => {
      // Nothing is taken that a person holds back.
      if (roles.operators !== false) await pauses.refresh();
      isStarted = true;
      if (bus !== null) subscribed = await subscribe(bus);
      taking = Promise.all([...takers, ...reading.map(([, reader]) => reader)].map((one) => one.run(intake.signal)));
      if (roles.consumers.includes('search')) void prepareSearch();
      const telling = Object.values(down).map((one) => one.run(background.signal));
      const cleaning = roles.relay ? [cleanup.run(background.signal)] : [];
      if (roles.relay && bus === null) cleaning.push(carryRelay(background.signal));
      if (roles.operators !== false) {
        cleaning.push(pauses.run(background.signal), operators.presence.run(background.signal));
        if (roles.relay) cleaning.push(operators.drive(intake.signal));
      }
      running = Promise.all([leases.run(background.signal), relay?.run(background.signal), ...telling, ...cleaning]);
    },
    stop: async (graceMs) => {
      intake.abort();
      const drained = Promise.all([
        ...workers.map(({ consumer }) => consumer.stop()),
        ...subscribed.map((one) => one.close()),
        taking,
      ]);
      // What does not finish by itself is aborted, and goes back uncharged.
      const timer = system.after(graceMs, leases.abortAll);
      await drained;
      timer.cancel();
      await accepts.drained();
      background.abort();
      await running;
      await bus?.close();
    },
  };
}

// The name of a consumer's group on every bus.
export const groupOf = (consumer: string) => `orderly.${consumer}`;

// A newer release may have written a type or a version that this one does not know. Its stream is the one
// of its name, else the orders' own; on a wrong one nobody hears of it, and its poller finds it.
const streams = new Map(eventTypes.map((type) => [nameOf(type), streamOf[type]]));
export const streamOfAny = (type: string) => streams.get(nameOf(type)) ?? streamOf.OrderCreatedV1;

// What a worker of the differential test does next: an operation of the real store, drawn from a seed, on
// few orders, keys and messages, so that the workers collide.
//
// Promises: the same draws and the same answers give the same operations. What a worker may know of the
// others (events, dead letters, orders) is what they have sent to the database.

import type { OrderId } from '../../../../src/domain/order.ts';
import { isRefusal } from '../../../../src/domain/refusals.ts';
import { nameOf } from '../../../../src/engine/envelope.ts';
import type { CursorDeadLetter, CursorState, LoggedEvent } from '../../../../src/engine/event-log.ts';
import { pass } from '../../../../src/engine/gaps.ts';
import type {
  ClaimAnswer,
  ClaimEarly,
  ClaimRequest,
  EarlyClaim,
  Sought,
  System,
  Work,
} from '../../../../src/engine/ports.ts';
import type { PlaceRequest } from '../../../../src/flow/ports.ts';
import { type JobConsumer, subscriptions, typesOf } from '../../../../src/flow/subscriptions.ts';
import { countEvents } from '../../../../src/io/postgres/analytics.ts';
import { createAnalytics } from '../../../../src/io/postgres/analytics-reads.ts';
import { createCleanup } from '../../../../src/io/postgres/cleanup.ts';
import { carryAlong } from '../../../../src/io/postgres/cursors.ts';
import type { Database } from '../../../../src/io/postgres/database.ts';
import { createDependencies } from '../../../../src/io/postgres/dependencies.ts';
import { createReadHistories } from '../../../../src/io/postgres/histories.ts';
import { lockOrdersOfDueJobs } from '../../../../src/io/postgres/jobs.ts';
import { endAllLeases } from '../../../../src/io/postgres/leases.ts';
import { lockOrder, readOrders } from '../../../../src/io/postgres/orders.ts';
import { someTime } from '../../../support/orders.ts';
import { silentLog } from '../../../support/silent-log.ts';
import { createStore, troubleOf } from '../../../support/store.ts';
import { integers, texts, uuids } from '../values.ts';

export type Draw = ReturnType<typeof createDraw>;

// mulberry32: small, and the same on every machine.
export function createDraw(seed: number) {
  let state = seed >>> 0;
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (n: number) => Math.floor(random() * n);
  return {
    random,
    below,
    chance: (p: number) => random() < p,
    pick: <T>(list: readonly T[]): T => list[below(list.length)] as T,
    some: <T>(list: readonly T[], max: number): T[] =>
      list.length === 0 ? [] : Array.from({ length: 1 + below(max) }, () => list[below(list.length)] as T),
  };
}

// What the workers have sent to the database, committed or not.
export type Known = ReturnType<typeof createKnown>;

export function createKnown() {
  const events: { readonly orderId: string; readonly version: number; readonly type: string }[] = [];
  const deadLetters: string[] = [];
  // Orders that had a dead letter.
  const parked: string[] = [];
  return {
    events,
    deadLetters,
    parked,
    learn: (name: string, values: readonly unknown[]) => {
      if (name === 'accept-orders') {
        const types = texts(values[15]);
        for (const [i, orderId] of uuids(values[0]).entries())
          events.push({ orderId, version: 1, type: types[i] as string });
      }
      if (name === 'append-events') {
        const [versions, types] = [integers(values[2]), texts(values[3])];
        for (const [i, orderId] of uuids(values[1]).entries())
          events.push({ orderId, version: versions[i] as number, type: types[i] as string });
      }
      if (name === 'write-dead-letters') {
        deadLetters.push(...uuids(values[0]));
        parked.push(...uuids(values[1]));
      }
      if (name === 'park-events') deadLetters.push(...uuids(values[0]));
    },
  };
}

// Time stands still within a step; ids sort by it, and no two are the same.
export function createDrawnSystem(worker: number, nowMs: () => number, draw: Draw): System {
  let ids = 0;
  const idOf = (version: number) => {
    ids += 1;
    const time = nowMs().toString(16).padStart(12, '0');
    const tail = `${worker}${ids.toString(16).padStart(10, '0')}${draw.below(16).toString(16)}`;
    return `${time.slice(0, 8)}-${time.slice(8)}-${version}00${worker}-8000-${tail}`;
  };
  return {
    now: () => new Date(nowMs()),
    monotonicMs: nowMs,
    sleep: async () => {},
    after: () => ({ cancel: () => {} }),
    random: draw.random,
    newId: () => idOf(7),
    newToken: () => idOf(4),
  };
}

const hourMs = 3_600_000;
const results: Readonly<Record<JobConsumer, readonly unknown[]>> = {
  payment: [
    { outcome: 'authorized', authorizationId: 'auth-1', expiresAt: someTime },
    { outcome: 'authorized', authorizationId: 'auth-1', expiresAt: someTime },
    { outcome: 'authorized', authorizationId: 'auth-1', expiresAt: someTime },
    { outcome: 'declined', code: 'do-not-honor' },
    { outcome: 'closed' },
  ],
  fulfillment: [
    { outcome: 'booked', bookingId: 'book-1' },
    { outcome: 'booked', bookingId: 'book-1' },
    { outcome: 'rejected', code: 'no-route' },
  ],
  compensation: [
    { recall: { outcome: 'recalled', bookingId: 'book-1' }, voiding: { outcome: 'voided', authorizationId: 'auth-1' } },
    { recall: { outcome: 'nothing-booked' }, voiding: { outcome: 'nothing-held' } },
    { recall: null, voiding: { outcome: 'nothing-held' } },
  ],
  notification: [undefined],
};
const troubles = [
  troubleOf(),
  troubleOf({ class: 'unknown', code: 'timeout' }),
  troubleOf({ class: 'non-retryable', code: 'recall-refused', message: 'a "quoted" word\0, and {a,b}' }),
];
export type Operation = { readonly name: string; readonly run: () => Promise<unknown> };

export function createOperations(options: {
  readonly database: Database;
  readonly system: System;
  readonly draw: Draw;
  readonly known: Known;
  readonly index: number;
}) {
  const { database, system, draw, known, index } = options;
  // Leases that are over at once, or never.
  const stores = [0, hourMs].map((leaseMs) =>
    createStore(database, { system, leaseMs, maxWaitMs: draw.pick([0, hourMs]) }),
  );
  const token = system.newToken();
  const requests: PlaceRequest[] = [];
  const claims: ClaimRequest[] = [];
  let works: Work[] = [];
  // Where each reader's cursor was when this worker last saw it, and what lay behind.
  const seen = new Map<string, { at: CursorState; events: readonly LoggedEvent[] }>();

  const recent = <T>(list: readonly T[]) => list.slice(-6);
  const orderId = () => (draw.pick(recent(known.events))?.orderId ?? system.newId()) as OrderId;
  const parkedId = () => (draw.pick(recent(known.parked)) ?? orderId()) as OrderId;
  const store = () => draw.pick(stores);
  const readerOf = (type: string): JobConsumer => {
    const readers = subscriptions.filter((row) => row.on.some((on) => nameOf(on) === nameOf(type)));
    return draw.pick(readers.length === 0 || draw.chance(0.1) ? subscriptions : readers).consumer;
  };

  function request(): PlaceRequest {
    if (requests.length > 0 && draw.chance(0.15)) return draw.pick(requests);
    const isImpossible = draw.chance(0.1);
    const one = draw.pick(stores).requestOf({
      key: draw.pick([null, 'key-a', 'key-b', 'key-ä']),
      payload: draw.pick(['one payload', 'one payload', 'another']),
      paymentScenario: draw.pick(['success', 'flaky']),
      userId: draw.pick([null, 'a \\ "user", {one}']),
      ...(isImpossible ? draw.pick([{ amount: 0 }, { currency: 'EURO' }, { customerEmail: null, userId: null }]) : {}),
    });
    const made = { ...one, claim: early() };
    requests.push(made);
    return made;
  }

  // Some of those who read an event claim its job with it, and say the same when they are asked again.
  function early(): ClaimEarly {
    const said = new Map<string, readonly EarlyClaim[]>();
    return ({ version, type }) => {
      const key = `${version} ${type}`;
      const claims =
        said.get(key) ??
        subscriptions
          .filter((row) => typesOf(row).includes(type) && draw.chance(0.5))
          .map(({ consumer }) => ({ step: store().stepOf(consumer), token: system.newToken() }));
      said.set(key, claims);
      return claims;
    };
  }

  function claim(): ClaimRequest {
    if (claims.length > 0 && draw.chance(0.15)) return draw.pick(claims);
    const event = draw.chance(0.05) ? undefined : draw.pick(recent(known.events));
    const consumer = readerOf(event?.type ?? 'OrderCreatedV1');
    const made = {
      step: store().stepOf(consumer),
      subject: event?.orderId ?? system.newId(),
      version: event?.version ?? 1,
      token: system.newToken(),
    };
    claims.push(made);
    return made;
  }

  function settle(work: Work) {
    return { ...settleOf(work), claim: early() };
  }

  function settleOf(work: Work) {
    const { doneWith, waitingFor, deadBy, endingOf } = store();
    if (work.exhausted !== null) return deadBy(work, work.exhausted);
    const how = draw.below(10);
    if (how < 5) return doneWith(work, draw.pick(results[work.consumer as JobConsumer]));
    if (how < 7) return waitingFor(work, draw.pick([0, hourMs, hourMs + 0.25]), draw.chance(0.6), draw.pick(troubles));
    if (how < 9) return deadBy(work, draw.pick(troubles));
    return endingOf(work, { state: 'waiting', charged: false, dueInMs: 0 });
  }

  const cursor = () => draw.pick(['relay', 'analytics', 'search.elasticsearch']);
  const placeOf = (reader: string) => seen.get(reader) ?? { at: { readTo: 0, gaps: [] }, events: [] };
  // Some of what was seen, as a reader may have handled it.
  const passed = (at: CursorState, events: readonly LoggedEvent[]) =>
    pass(
      at,
      events.slice(0, draw.below(events.length + 1)).map((one) => one.position),
    );
  const deadLettersOf = (reader: string, events: readonly LoggedEvent[]): CursorDeadLetter[] =>
    reader === 'relay' || draw.chance(0.6)
      ? []
      : events.slice(0, 2).map(({ event }) => {
          const consumer = reader.split('.')[0] as string;
          return { consumer, event, trouble: draw.pick(troubles) };
        });
  // Ids of transactions are each server's own.
  const plainEvents = (events: readonly LoggedEvent[]) => events.map(({ position, event }) => ({ position, event }));

  const keep = (answers: readonly (ClaimAnswer | 'locked')[]) => {
    for (const answer of answers) if (answer !== 'locked' && answer.answer === 'run') works.push(answer.work);
    return answers;
  };
  const keepEarly = () => works.push(...(stores[0]?.works.splice(0) ?? []));
  const sought = () => draw.pick<Sought>(['due', 'due', 'waited-too-long', 'unknown-version']);
  const someDependency = () => draw.pick(['payments', 'carrier', 'mail']);

  const held = () =>
    works
      .map(({ consumer, event: { subject, version }, token: theirs }) => ({
        consumer,
        subject,
        version,
        token: theirs,
      }))
      .concat(draw.chance(0.2) ? [{ consumer: 'payment', subject: system.newId(), version: 1, token }] : []);

  const operations: Readonly<Record<string, readonly [weight: number, run: () => Promise<unknown>]>> = {
    // One request is in one flush once.
    accept: [
      12,
      async () => {
        const answers = await stores[0]?.accept([...new Set(draw.some([0], 3).map(request))]);
        keepEarly();
        return answers;
      },
    ],
    claim: [
      24,
      async () => {
        const some = draw.some([0], 3).map(claim);
        return keep(await store().claim(some));
      },
    ],
    settle: [
      26,
      async () => {
        const some = [...new Set(draw.some(works, 2))];
        if (draw.chance(0.8)) works = works.filter((work) => !some.includes(work));
        const answers = await stores[0]?.settle(some.map(settle));
        keepEarly();
        return answers;
      },
    ],
    cancel: [7, () => store().desk.cancel(orderId(), draw.pick([null, 'a reason']), 'c-cancel')],
    reprocess: [8, () => store().desk.reprocess(draw.chance(0.5) ? parkedId() : orderId(), 'c-again')],
    'reprocess-dead-letter': [
      6,
      () => store().desk.reprocessDeadLetter(draw.pick(recent(known.deadLetters)) ?? system.newId(), 'c-dead-letter'),
    ],
    read: [1, () => store().desk.read(orderId())],
    histories: [2, () => createReadHistories(database)([orderId()])],
    'read-all': [1, () => readOrders(database.query, [orderId()])],
    timeline: [
      2,
      async () => {
        const entries = await store().desk.timeline(orderId());
        // What happened in one millisecond has no order of its own.
        if (isRefusal(entries)) return entries;
        // When an attempt ended, and until when one lasts, is told by the clock of each database.
        const known = entries.map(({ at, text, durationMs: _, until, ...one }) =>
          JSON.stringify({
            ...one,
            isBounded: until !== null,
            ...(/^(running|waiting)$/.test(one.type) ? {} : { at }),
            ...(until === null ? { text } : {}),
          }),
        );
        return known.sort();
      },
    ],
    deadLetters: [
      3,
      async () => {
        const filter = {
          limit: draw.pick([1, 2, 10]),
          consumer: draw.pick([null, null, 'payment']),
          code: draw.pick([null, null, 'unreadable']),
        };
        const first = await store().desk.deadLetters({ ...filter, after: null });
        const second = first.next === null ? null : await store().desk.deadLetters({ ...filter, after: first.next });
        return [first, second];
      },
    ],
    renew: [5, async () => new Set(await store().jobs.renew(held()))],
    poll: [
      14,
      async () => {
        const { jobs, stepOf } = store();
        // Which of those that are due at one moment come first is nobody's promise.
        const { answers, nextDueInMs } = await jobs.claimDue(stepOf(draw.pick(subscriptions).consumer), 100, sought());
        return { answers: new Set(keep(answers)), nextDueInMs };
      },
    ],
    'find-due': [
      4,
      async () => new Set(await store().jobs.findDue(subscriptions.map(({ consumer }) => store().stepOf(consumer)))),
    ],
    // A poll that knows other types, and other bounds.
    'look-for-jobs': [
      6,
      () => {
        const row = draw.pick(subscriptions);
        const { consumer, dependencies } = row;
        const [types, patienceMs] = [draw.pick([typesOf(row), []]), draw.pick([0, 0, hourMs])];
        const asked = { consumer, dependencies, types, patienceMs, sought: sought(), floor: new Date(0), limit: 100 };
        return database.transaction(async (query) => {
          const rows = await lockOrdersOfDueJobs(query, asked);
          return new Set(rows.map((found) => `${found.order_id} ${found.job_version}`));
        });
      },
    ],
    'dependency-down': [2, () => createDependencies(database).down(someDependency())],
    'dependency-up': [1, () => createDependencies(database).up(someDependency())],
    analytics: [2, () => createAnalytics(database).countries({ from: null, to: draw.pick([null, '2000-01-01']) })],
    hold: [
      5,
      async () => {
        const reader = cursor();
        const at = await store().cursors.hold(reader, token, draw.pick([0, hourMs]));
        if (at !== null) seen.set(reader, { at, events: [] });
        return at;
      },
    ],
    release: [1, () => store().cursors.release(cursor(), token)],
    'carry-along': [2, () => carryAlong(database.query, cursor())],
    look: [
      6,
      async () => {
        const reader = cursor();
        const { at } = placeOf(reader);
        const { events } = await store().cursors.read(at, draw.pick([1, 3, 100]));
        seen.set(reader, { at, events });
        return plainEvents(events);
      },
    ],
    store: [
      5,
      async () => {
        const reader = cursor();
        const { at, events } = placeOf(reader);
        const deadLetters = deadLettersOf(reader, events);
        const to = passed(at, events);
        const xact = await store().cursors.store({ reader, token, from: at, to, deadLetters });
        if (xact !== null) seen.set(reader, { at: to, events: [] });
        return xact !== null;
      },
    ],
    locked: [
      6,
      () => {
        const reader = draw.pick(['analytics', 'search.postgres']);
        return store().cursors.locked(reader, async (locked) => {
          const { events } = await locked.read(draw.pick([2, 100]));
          await locked.store(passed(locked.state, events), deadLettersOf(reader, events));
          return plainEvents(events);
        });
      },
    ],
    'count-events': [
      4,
      () =>
        store().cursors.locked('analytics', async ({ transaction, read }) => {
          const { events } = await read(5);
          return countEvents(transaction, events);
        }),
    ],
    cleanup: [
      2,
      () => {
        const retention = { keysHours: draw.pick([0, 0, 48]), rowsDays: draw.pick([0, 0, 2]) };
        return createCleanup({ database, system, retention, log: silentLog }).runOnce();
      },
    ],
    'end-all-leases': [1, () => endAllLeases(database.query)],
    // What no code of ours does: two orders locked in any order, which may end in a deadlock.
    'lock-two': [
      10,
      () => {
        const [one, other] = [orderId(), orderId()];
        return database.transaction(async (query) => [await lockOrder(query, one), await lockOrder(query, other)]);
      },
    ],
  };
  const bag = Object.entries(operations).flatMap(([name, [weight]]) => Array<string>(weight).fill(name));

  return {
    index,
    next: (): Operation => {
      const name = known.events.length === 0 ? 'accept' : draw.pick(bag);
      return { name, run: (operations[name] as readonly [number, () => Promise<unknown>])[1] };
    },
  };
}

// What operators ask for, put together: their desk, and what runs for them beside the work: replays, pauses, presence.
//
// Promises: building starts nothing. Where nobody else can open the database nothing is told or polled: the process that
// is asked is the one that works.

import { hostname } from 'node:os';
import manifest from '../../package.json' with { type: 'json' };
import { refuse } from '../domain/refusals.ts';
import type { Breaker } from '../engine/breaker.ts';
import type { Leases } from '../engine/leases.ts';
import type { Observer } from '../engine/observer.ts';
import type { Log, System } from '../engine/ports.ts';
import { createReplayDriver } from '../flow/operators/drive-replays.ts';
import { createPauses, type Pauses } from '../flow/operators/pauses.ts';
import type { OperatorDesk } from '../flow/operators/ports.ts';
import { createPresence, type Presence } from '../flow/operators/presence.ts';
import { type JobFilter, type Process, waitsFor } from '../flow/operators/waiting.ts';
import type { Database } from '../io/postgres/database.ts';
import { byIndex } from '../io/postgres/dead-letter-list.ts';
import type { ChangeOrder } from '../io/postgres/desk.ts';
import { isToldOf, orUnavailable } from '../io/postgres/errors.ts';
import { createOperatorDesk } from '../io/postgres/operators.ts';
import { endPause, readPauses, writePause } from '../io/postgres/pauses.ts';
import { createReplaySteps } from '../io/postgres/replay-steps.ts';
import { createReplays } from '../io/postgres/replays.ts';
import { createPresenceStore, readJobsByKey, readJobsWaiting, readOverview } from '../io/postgres/waiting.ts';

// Of the work of a process so much is told: what runs longest.
const runningToldMax = 100;

type Surroundings = {
  readonly database: Database;
  readonly knowsAllWriters: boolean;
  readonly system: System;
  readonly log: Log;
};

// Before the workers, who ask it.
export function createProcessPauses(parts: Surroundings & { readonly onResumed: () => void }): Pauses {
  return createPauses({ ...parts, read: () => readPauses(parts.database.query), isTold: isToldOf });
}

// What becomes of breakers is told by this process too.
export function toldBreakers(observer: Observer, presence: () => Presence): Observer {
  const breakerChanged: Observer['breakerChanged'] = (...changed) => {
    observer.breakerChanged(...changed);
    presence().breakerChanged(...changed);
  };
  return { ...observer, breakerChanged };
}

export function createOperators(
  parts: Surroundings & {
    readonly role: string;
    readonly consumers: readonly string[];
    readonly pauses: Pauses;
    readonly leases: Pick<Leases, 'all'>;
    readonly breakers: Readonly<Record<string, Breaker>>;
    readonly change: ChangeOrder;
  },
): {
  readonly desk: OperatorDesk;
  readonly presence: Presence;
  readonly drive: (signal: AbortSignal) => Promise<void>;
} {
  const { database, knowsAllWriters, system, log, role, consumers, pauses, leases, breakers } = parts;
  const driver = createReplayDriver({
    store: createReplaySteps({ database, change: parts.change, system }),
    ...{ knowsAllWriters, system, log, isTold: isToldOf },
  });
  const presence = createPresence({
    store: knowsAllWriters ? null : createPresenceStore(database),
    state: (changes) => {
      const held = leases.all().toSorted((one, other) => other.forMs - one.forMs);
      const running: Record<string, number> = {};
      for (const { consumer } of held) running[consumer] = (running[consumer] ?? 0) + 1;
      return {
        ...{ role, host: hostname(), pid: process.pid, version: manifest.version, consumers, running, changes },
        jobs: held.slice(0, runningToldMax).map(({ subject, version, consumer, forMs }) => ({
          ...{ orderId: subject, version, consumer, since: new Date(system.now().getTime() - forMs).toISOString() },
        })),
        breakers: Object.entries(breakers).map(([name, breaker]) => {
          const last = changes.findLast((change) => change.name === name);
          const state = breaker.state(system.monotonicMs());
          return { name, state, since: last?.at ?? null, code: state === 'closed' ? null : (last?.code ?? null) };
        }),
      };
    },
    ...{ system, log },
  });

  const reading = <T>(read: () => Promise<T>) => orUnavailable(false, read);

  // This process knows itself better than its row does.
  const withSelf = (others: readonly Process[]) => {
    const self = presence.self();
    return [...others.filter(({ id }) => id !== self.id), self];
  };

  const overview = () =>
    reading(async () => {
      const seen = await readOverview(byIndex(database));
      return { ...seen, processes: withSelf(seen.processes) };
    });

  async function jobs(filter: JobFilter) {
    const { down, pauses: paused, processes } = await overview();
    const told = processes
      .filter(({ isAlive }) => isAlive)
      .flatMap((one) => one.jobs.map((job) => ({ ...job, process: one.id })));
    const isSought = (job: { orderId: string; consumer: string }) =>
      (filter.consumer ?? job.consumer) === job.consumer && (filter.orderId ?? job.orderId) === job.orderId;
    const found = await reading(async () => {
      if (filter.state !== 'running') return readJobsWaiting(byIndex(database), filter);
      const running = told.filter(isSought).toSorted((one, other) => (one.since < other.since ? -1 : 1));
      const rows = await readJobsByKey(byIndex(database), running.slice(0, filter.limit));
      return rows.filter(({ state }) => state === 'running');
    });
    const given = { pauses: paused, down: down.map(({ name }) => name) };
    return found.map((job) => {
      const where = told.find(
        (one) => one.orderId === job.orderId && one.version === job.version && one.consumer === job.consumer,
      );
      const isRunning = job.state === 'running';
      return {
        ...{ ...job, ...waitsFor(job, given) },
        ...{ process: isRunning ? (where?.process ?? null) : null, since: isRunning ? (where?.since ?? null) : null },
      };
    });
  }

  // This process at once; the others within a second.
  const reread = () => pauses.refresh().catch(() => {});

  const desk: OperatorDesk = {
    ...createOperatorDesk({ database, system }),
    replays: createReplays({ database, system, onRunning: driver.wake }),
    overview,
    jobs,
    pauses: () => reading(() => readPauses(database.query)),
    pause: async (asked, asking) => {
      const pause = await writePause(database, system, asked, asking);
      await reread();
      if (pause === 'over') return refuse('pause-over', 'its end is not in the future: nothing was paused');
      if (pause === 'full') {
        return refuse(
          'too-many-pauses',
          'so many orders are paused that each would slow down the work: pause a consumer',
        );
      }
      return pause;
    },
    resume: async (asked, asking) => {
      const still = await endPause(database, system, asked, asking);
      await reread();
      return still;
    },
  };
  return { desk, presence, drive: driver.run };
}

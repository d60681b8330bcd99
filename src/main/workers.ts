// The workers of the subscriptions: each a consumer with its poller, its slots and the breakers of its partners, all
// over the same two group commits.
//
// Promises: building starts nothing. Process dies anywhere: leases end by themselves, and what was under way is
// taken over by others.

import { createBackpressure } from '../engine/backpressure.ts';
import { createBreaker } from '../engine/breaker.ts';
import { createConsumer } from '../engine/consumer.ts';
import { createDownSince } from '../engine/down-since.ts';
import { createDueLook } from '../engine/due-look.ts';
import { createEarlyClaims } from '../engine/early-claims.ts';
import { createGroupCommit } from '../engine/group-commit.ts';
import { createLeases } from '../engine/leases.ts';
import { type Observer, watched } from '../engine/observer.ts';
import { createPoller, type Poller } from '../engine/poller.ts';
import type {
  ClaimAnswer,
  ClaimRequest,
  Event,
  Log,
  SettleAnswer,
  SettleRequest,
  System,
  Work,
} from '../engine/ports.ts';
import type { RetryPolicy } from '../engine/retry-policy.ts';
import { createSlots } from '../engine/slots.ts';
import type { Tracer } from '../engine/tracer.ts';
import type { Pauses } from '../flow/operators/pauses.ts';
import type { Partners } from '../flow/ports.ts';
import { type FaultInjection, injectFaults } from '../flow/steps/fault-injection.ts';
import { boundPartners } from '../flow/steps/outside.ts';
import { type Dependency, subscriptions, toStep } from '../flow/subscriptions.ts';
import { createClaim } from '../io/postgres/claim.ts';
import type { Database } from '../io/postgres/database.ts';
import { createDependencies } from '../io/postgres/dependencies.ts';
import { createJobs } from '../io/postgres/due-jobs.ts';
import { failureOf, isToldOf } from '../io/postgres/errors.ts';
import { createSettle } from '../io/postgres/settle.ts';

export type EngineSettings = RetryPolicy &
  FaultInjection & { readonly timeoutMs: number; readonly leaseMs: number; readonly concurrency: number };

// Entries per flush; larger batches win little and hold their locks longer. Measured with bench/.
export const flushRowsMax = 256;
// A claim that cannot be had by then is left to the poller: a slot must not wait for one locked order.
const claimPatienceMs = 1_000;
// Claims and settles are bounded by the slots that feed them.
const workQueueMax = 65_536;

export function createWorkers(parts: {
  readonly database: Database;
  readonly knowsAllWriters: boolean;
  readonly consumers: readonly string[];
  readonly partners: Partners;
  readonly settings: EngineSettings;
  // Whether requests of people crowd in: work then stands back for a while.
  readonly isCrowded: () => boolean;
  // Told of what a settle has committed.
  readonly committed: (events: readonly Event[]) => void;
  readonly observer: Observer;
  readonly pauses: Pick<Pauses, 'isPaused' | 'orders'>;
  readonly tracer: Tracer;
  readonly system: System;
  readonly log: Log;
}) {
  const { database, knowsAllWriters, settings, isCrowded, committed, observer, pauses, tracer, system, log } = parts;
  const { leaseMs, maxWaitMs } = settings;
  const shared = { failureOf, system, maxRows: flushRowsMax, capacity: workQueueMax };
  const early = createEarlyClaims(() => workers.map(({ consumer }) => consumer));
  // First the work that is claimed, so that its hints are known to say nothing new.
  function onCommitted(events: readonly Event[], works: readonly Work[]): void {
    early.begin(works);
    committed(events);
  }
  const turn = () => createBackpressure({ isCrowded, system });
  const claims = createGroupCommit<ClaimRequest, ClaimAnswer>({
    ...shared,
    flush: watched('claim', createClaim({ database, system, leaseMs, maxWaitMs }), parts),
    patienceMs: claimPatienceMs,
    turn: turn(),
  });
  const settles = createGroupCommit<SettleRequest, SettleAnswer>({
    ...shared,
    flush: watched('settle', createSettle({ database, system, leaseMs, onCommitted }), parts),
    patienceMs: leaseMs,
  });
  const jobs = createJobs({ database, claims, system, leaseMs, maxWaitMs, knowsAllWriters });
  const leases = createLeases({ jobs, leaseMs, isTold: isToldOf, system, log });

  const dependencies = createDependencies(database);
  const down = perDependency((dependency) => createDownSince({ dependency, dependencies, system, log }));
  const breakers = perDependency((dependency) =>
    createBreaker((state, code) => {
      observer.breakerChanged(dependency, state, code);
      const isOpen = state === 'open';
      if (isOpen) down[dependency].isDown();
      if (!isOpen) for (const { row, poller } of workers) if (row.dependencies.includes(dependency)) poller.wake();
    }),
  );
  const succeeded = (dependency: Dependency) => {
    down[dependency].isUp();
    breakers[dependency].succeeded(system.monotonicMs());
  };
  const partners = boundPartners(parts.partners, settings.timeoutMs, system, succeeded, observer.called, tracer);

  const isRowPaused = ({ consumer, dependencies }: (typeof subscriptions)[number]) =>
    pauses.isPaused('consumer', consumer) || dependencies.some((name) => pauses.isPaused('partner', name));

  const workers = subscriptions
    .filter((row) => parts.consumers.includes(row.consumer))
    .map((row) => {
      const step = toStep(row, partners, system);
      const consumer = createConsumer({
        step: row.isCore ? injectFaults(step, settings, system) : step,
        claims,
        settles,
        early,
        jobs,
        slots: createSlots(Math.min(settings.concurrency, callsMaxOf(row, parts.partners))),
        leases,
        breakers: row.dependencies.map((dependency) => breakers[dependency]),
        policy: settings,
        pauses: { isPaused: () => isRowPaused(row), subjects: pauses.orders },
        tracer,
        system,
        log,
        events: {
          ...observer,
          left: (name) => {
            observer.hintDropped(name);
            poller.wake();
          },
          dueIn: (_, ms) => poller.wakeIn(ms),
        },
      });
      const poller: Poller = createPoller({ consumer, turn: turn(), isTold: isToldOf, system, log });
      return { row, step, consumer, poller };
    });

  // Whoever knows all writers knows of each job when it is due.
  const looks = knowsAllWriters ? [] : [createDueLook({ jobs, consumers: workers, isTold: isToldOf, system, log })];
  const takers = [...looks, ...workers.map(({ poller }) => poller)];

  return { workers, takers, early, onCommitted, leases, down, breakers, succeeded };
}

// What a partner takes at once bounds what is claimed for it: nothing is claimed that cannot start.
const callsMaxOf = ({ dependencies }: { dependencies: readonly string[] }, { mail }: Partners) =>
  dependencies.includes('mail') ? (mail.callsMax ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;

const perDependency = <T>(create: (dependency: Dependency) => T): Record<Dependency, T> => ({
  payments: create('payments'),
  carrier: create('carrier'),
  mail: create('mail'),
  search: create('search'),
});

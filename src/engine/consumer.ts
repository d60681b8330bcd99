// One consumer: takes jobs by hint and by poll, and carries each through claim → perform → settle.
//
// Promises: an event has its effect once, however often it is hinted at; a slot is free before a claim is
// made, so nothing is claimed that cannot start at once; what finds no slot stays a row in `jobs`, and the
// poller comes to it. The state is the database's alone: what this file keeps in memory may be lost at any line.

import { createAttempts } from './attempt.ts';
import type { Breaker } from './breaker.ts';
import type { EarlyClaimer, EarlyClaims } from './early-claims.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Leases } from './leases.ts';
import { endOf, type Observer } from './observer.ts';
import { abandon, createPermits } from './permits.ts';
import {
  type ClaimAnswer,
  type ClaimRequest,
  type Ending,
  type Hint,
  type Jobs,
  type Log,
  RefusedError,
  type SettleAnswer,
  type SettleRequest,
  type Sought,
  type Step,
  type System,
  type Work,
} from './ports.ts';
import { cannotBeStored, type RetryPolicy } from './retry-policy.ts';
import type { Slots } from './slots.ts';
import { createCreation, startProcess, startReceive, startSettle, type Tracer } from './tracer.ts';

export type Consumer = EarlyClaimer & {
  readonly consumer: string;
  readonly types: readonly string[];
  // Claims the job if a slot is free. Returns at once and never throws.
  readonly hint: (hint: Hint) => void;
  // Claims what is due, for as many slots as are free, and at least one: waits for it. Answers how many jobs it
  // picked, and when the next one is due where it saw the end. Throws when the database does not answer.
  readonly claimDue: (sought: Sought, signal: AbortSignal) => Promise<Picked>;
  // `probe` or `none` while a dependency is away.
  readonly mode: () => 'all' | 'probe' | 'none';
  // Takes nothing new; resolves when all that runs has settled.
  readonly stop: () => Promise<void>;
};
export type Picked = { readonly count: number; readonly nextDueInMs: number | null | undefined };

export type ConsumerEvents = Pick<Observer, 'claimed' | 'settled' | 'refused' | 'unsettled'> & {
  // A hint found no slot: there is work for the poller.
  readonly left: (consumer: string) => void;
  // A job of this consumer will be due in this many ms.
  readonly dueIn: (consumer: string, ms: number) => void;
};

// What a claim by key needs to know.
type Known = Pick<Hint, 'subject' | 'version' | 'traceparent'>;

// Per poll: a batch of a few milliseconds. A poll holds its slots while it asks, so it asks for twice of what the last
// one found: the others stay free for what comes new.
const dueMax = 256;
const dueMin = 8;
// Begun without a hint that may still come: more than a bus keeps under way, a quarter of a megabyte.
const begunMax = 4_096;

export function createConsumer(options: {
  readonly step: Step;
  readonly claims: GroupCommit<ClaimRequest, ClaimAnswer>;
  readonly settles: GroupCommit<SettleRequest, SettleAnswer>;
  readonly early: Pick<EarlyClaims, 'during'>;
  readonly jobs: Pick<Jobs, 'claimDue'>;
  readonly slots: Slots;
  readonly leases: Leases;
  readonly breakers: readonly Breaker[];
  readonly policy: RetryPolicy;
  readonly tracer: Tracer;
  readonly system: System;
  readonly log: Log;
  readonly events: ConsumerEvents;
  // What people hold back: all of it, or subjects one by one.
  readonly pauses?: { readonly isPaused: () => boolean; readonly subjects: () => readonly string[] };
}): Consumer {
  const { step, claims, settles, early, jobs, slots, leases, breakers, policy, tracer, system, log, events } = options;
  const { consumer } = step;
  const types = new Set(step.types);
  const { isPaused = () => false, subjects: paused = () => [] } = options.pauses ?? {};
  const permits = createPermits(breakers, system, isPaused);
  const attempts = createAttempts({ step, breakers, policy, system });
  // Keys of jobs that were claimed early, whose hints say nothing new. Forgotten ones cost a look each.
  const begun = new Set<string>();
  let isStopping = false;
  let dueNext = dueMin;

  // A newer version is left to a release that knows it. While a dependency is away its jobs are not touched: the one
  // that has waited longest is the probe, and the poller knows which.
  const takes = (subject: string, type: string) =>
    !isStopping && types.has(type) && permits.mode() === 'all' && !paused().includes(subject);

  function hint(hint: Hint): void {
    const { subject, version, type } = hint;
    if (begun.delete(`${subject} ${version}`) || !takes(subject, type)) return;
    if (slots.tryAcquire()) void claimOne(hint);
    else events.left(consumer);
  }

  // Never rejects. Process dies after the claim: the lease ends, another worker takes over.
  async function claimOne(hint: Known, token = system.newToken()): Promise<void> {
    const { subject, version } = hint;
    const receiving = startReceive(tracer, step, hint);
    try {
      const answered = await claims.add({ step, subject, version, token });
      events.claimed(consumer, answered);
      // As after an end: one that was sent back with it may have waited for it.
      if (answered.answer === 'obsolete') events.dueIn(consumer, 0);
      if (answered.answer !== 'run') return;
      receiving.end();
      await run(answered.work, []);
    } catch (error) {
      log.debug({ consumer, subject, version, error: String(error) }, 'a hint could not be claimed; the poller will');
    } finally {
      slots.release('hint');
    }
  }

  const reserve: Consumer['reserve'] = ({ subject, type }) => {
    if (!takes(subject, type) || !slots.tryAcquire()) return null;
    return { step, token: system.newToken() };
  };

  function begin(work: Work): void {
    begun.add(`${work.event.subject} ${work.event.version}`);
    if (begun.size > begunMax) for (const oldest of begun.values().take(1)) begun.delete(oldest);
    events.claimed(consumer, { answer: 'run', work });
    void run(work, []).finally(() => slots.release('hint'));
  }

  async function claimDue(sought: Sought, signal: AbortSignal): Promise<Picked> {
    const isProbe = sought === 'due' && permits.mode() === 'probe';
    const free = await slots.acquireUpTo(isProbe ? 1 : dueNext, signal);
    let running = 0;
    let probes: readonly Breaker[] = [];
    try {
      if (free === 0 || isPaused()) return { count: 0, nextDueInMs: undefined };
      if (sought === 'due') {
        const asked = permits.ask();
        if (asked === null) return { count: 0, nextDueInMs: undefined };
        probes = asked;
      }
      const { answers, nextDueInMs } = await jobs.claimDue(step, probes.length > 0 ? 1 : free, sought, paused());
      for (const answered of answers) {
        events.claimed(consumer, answered);
        if (answered.answer !== 'run') continue;
        running += 1;
        void run(answered.work, probes).finally(() => slots.release('poller'));
        probes = [];
      }
      dueNext = Math.min(dueMax, Math.max(dueMin, 2 * answers.length));
      return { count: answers.length, nextDueInMs };
    } finally {
      abandon(probes);
      for (let unused = running; unused < free; unused += 1) slots.release('poller');
    }
  }

  // Never rejects: what cannot be settled is left to its lease.
  async function run(claimed: Work, probes: readonly Breaker[]): Promise<void> {
    const span = startProcess(tracer, claimed);
    const work = { ...claimed, traceparent: span.traceparent };
    const held = { consumer, subject: work.event.subject, version: work.event.version, token: work.token };
    const { signal, drop } = leases.hold(held);
    try {
      const startedMs = system.monotonicMs();
      const ended = await tracer.within(span, () => attempts.make(work, signal, probes));
      const durationMs = work.exhausted === null ? Math.round(system.monotonicMs() - startedMs) : null;
      const { ending, answer } = await settle(work, { ...ended, durationMs });
      span.end({ 'orderly.outcome': endOf(ending, answer) }, ending.trouble?.code);
      events.settled(work, ending, answer);
      if (answer !== 'stale' && ending.state === 'waiting') events.dueIn(consumer, ending.dueInMs);
      // One that was sent back with it may have waited for it.
      else if (work.epoch > 0) events.dueIn(consumer, 0);
    } catch (error) {
      span.end({}, 'unsettled');
      events.unsettled(work, error);
    } finally {
      drop();
    }
  }

  // What the database refuses as data ends by its own name, at once: left to its lease it would be refused from every
  // later worker, and in the end be called their death.
  async function settle(work: Work, ending: Ending): Promise<{ ending: Ending; answer: SettleAnswer }> {
    try {
      return { ending, answer: await store(work, ending) };
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      events.refused(work, error);
      const dead = { ...attempts.dead(work, cannotBeStored), durationMs: ending.durationMs };
      return { ending: dead, answer: await store(work, dead) };
    }
  }

  async function store(work: Work, ending: Ending): Promise<SettleAnswer> {
    const span = startSettle(tracer, work, work.traceparent ?? null);
    const creation = createCreation(tracer, () => span.traceparent);
    const change: Ending['change'] = (subject, now) => {
      const made = ending.change(subject, now);
      return made === null || made === 'obsolete' ? made : creation.mark(made);
    };
    const answer = await early.during((claim) => settles.add({ work, ending: { ...ending, change }, claim }));
    if (answer === 'settled') creation.stored();
    span.end();
    return answer;
  }

  return {
    consumer,
    types: step.types,
    hint,
    reserve,
    begin,
    claim: (subject, version, token) => void claimOne({ subject, version }, token),
    free: () => slots.release('hint'),
    claimDue,
    mode: permits.mode,
    stop: async () => {
      isStopping = true;
      await slots.whenAllFree();
    },
  };
}

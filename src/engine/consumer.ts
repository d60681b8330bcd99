// One consumer: takes jobs by hint and by poll, and carries each through claim → perform → settle.
//
// Promises: an event has its effect once, however often it is hinted at; a slot is free before a claim is
// made, so nothing is claimed that cannot start at once; what finds no slot stays a row in `jobs`, and the
// poller comes to it. The state is the database's alone: what this file keeps in memory may be lost at any line.

import type { Breaker } from './breaker.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Leases } from './leases.ts';
import type { Observer } from './observer.ts';
import {
  type ClaimAnswer,
  type ClaimRequest,
  type Ending,
  type Hint,
  type Jobs,
  type Log,
  OutsideError,
  type SettleAnswer,
  type SettleRequest,
  type Sought,
  type Step,
  type Subject,
  type System,
  type Trouble,
  type Work,
} from './ports.ts';
import { cannotBeStored, defect, type RetryPolicy, unresolved, verdictOn } from './retry-policy.ts';
import { settled } from './settled.ts';
import type { Slots } from './slots.ts';

export type Consumer = {
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

// Per poll: enough for all slots; a batch of a few milliseconds.
const dueMax = 256;

export function createConsumer(options: {
  readonly step: Step;
  readonly claims: GroupCommit<ClaimRequest, ClaimAnswer>;
  readonly settles: GroupCommit<SettleRequest, SettleAnswer>;
  readonly jobs: Pick<Jobs, 'claimDue'>;
  readonly slots: Slots;
  readonly leases: Leases;
  readonly breakers: readonly Breaker[];
  readonly policy: RetryPolicy;
  readonly system: System;
  readonly log: Log;
  readonly events: ConsumerEvents;
}): Consumer {
  const { step, claims, settles, jobs, slots, leases, breakers, policy, system, log, events } = options;
  const { consumer } = step;
  const types = new Set(step.types);
  let isStopping = false;

  function hint({ subject, version, type }: Hint): void {
    // A newer version is left to a release that knows it. While a dependency is away its jobs are not touched: the
    // one that has waited longest is the probe, and the poller knows which.
    if (isStopping || !types.has(type) || mode() !== 'all') return;
    if (slots.tryAcquire()) void claimOne(subject, version);
    else events.left(consumer);
  }

  // Never rejects. Process dies after the claim: the lease ends, another worker takes over.
  async function claimOne(subject: string, version: number): Promise<void> {
    try {
      const answered = await claims.add({ step, subject, version, token: system.newToken() });
      events.claimed(consumer, answered);
      if (answered.answer === 'run') await run(answered.work, []);
    } catch (error) {
      log.debug({ consumer, subject, version, error: String(error) }, 'a hint could not be claimed; the poller will');
    } finally {
      slots.release('hint');
    }
  }

  async function claimDue(sought: Sought, signal: AbortSignal): Promise<Picked> {
    const isProbe = sought === 'due' && mode() === 'probe';
    const free = await slots.acquireUpTo(isProbe ? 1 : dueMax, signal);
    let running = 0;
    let probes: readonly Breaker[] = [];
    try {
      if (free === 0) return { count: 0, nextDueInMs: undefined };
      if (sought === 'due') {
        const asked = askBreakers();
        if (asked === null) return { count: 0, nextDueInMs: undefined };
        probes = asked;
      }
      const { answers, nextDueInMs } = await jobs.claimDue(step, probes.length > 0 ? 1 : free, sought);
      for (const answered of answers) {
        events.claimed(consumer, answered);
        if (answered.answer !== 'run') continue;
        running += 1;
        void run(answered.work, probes).finally(() => slots.release('poller'));
        probes = [];
      }
      return { count: answers.length, nextDueInMs };
    } finally {
      abandon(probes);
      for (let unused = running; unused < free; unused += 1) slots.release('poller');
    }
  }

  // Never rejects: what cannot be settled is left to its lease.
  async function run(work: Work, probes: readonly Breaker[]): Promise<void> {
    const held = { consumer, subject: work.event.subject, version: work.event.version, token: work.token };
    const { signal, drop } = leases.hold(held);
    try {
      const startedMs = system.monotonicMs();
      const outcome = await performed(work, signal, probes);
      const durationMs = work.exhausted === null ? Math.round(system.monotonicMs() - startedMs) : null;
      const { ending, answer } = await settled(settles, work, { ...outcome, durationMs }, (refused) => {
        events.refused(work, refused);
        return { ...dead(work, cannotBeStored), durationMs };
      });
      events.settled(work, ending, answer);
      if (answer !== 'stale' && ending.state === 'waiting') events.dueIn(consumer, ending.dueInMs);
    } catch (error) {
      events.unsettled(work, error);
    } finally {
      drop();
    }
  }

  type Ended = Omit<Ending, 'durationMs'>;

  async function performed(work: Work, signal: AbortSignal, probes: readonly Breaker[]): Promise<Ended> {
    if (work.exhausted !== null) {
      abandon(probes);
      return dead(work, work.exhausted);
    }
    try {
      const result = await step.perform(work, signal);
      // Which of several dependencies was called, only the calls know; they tell it themselves.
      if (breakers.length === 1) breakers[0]?.succeeded(system.monotonicMs());
      else abandon(probes);
      return {
        state: 'done',
        change: (subject, now) => step.decide(subject, work, result, now),
        dueInMs: 0,
        charged: true,
        trouble: null,
      };
    } catch (error) {
      return failed(work, error, signal, probes);
    }
  }

  function failed(work: Work, error: unknown, signal: AbortSignal, probes: readonly Breaker[]): Ended {
    const trouble = error instanceof OutsideError ? error.trouble : defect(error);
    // Anything else than an adapter's own word was thrown before its call.
    const isInDoubt = step.mayRepeat === false && error instanceof OutsideError && trouble.class === 'unknown';
    if (signal.aborted) {
      // Stopped or fenced in the middle of a call: it may have been done, and nobody is to blame.
      abandon(probes);
      if (isInDoubt) return dead(work, unresolved(trouble.message));
      return waiting(work, { ...trouble, class: 'unknown', code: 'interrupted' }, 0, false);
    }
    const nowMs = system.monotonicMs();
    const breaker = breakers[Math.max(0, step.dependencies.indexOf(trouble.dependency ?? ''))];
    // Only a call that the dependency answered, or could not, tells its breaker anything; a probe of another goes back.
    const answered = !trouble.dependencyDown && trouble.dependency && trouble.class !== 'unknown';
    if (trouble.dependencyDown) {
      breaker?.failed(nowMs, {
        isProbe: probes.includes(breaker),
        isLastAttempt: work.attempt > policy.maxRetries,
        isPlain: trouble.class === 'retryable',
        code: trouble.code,
      });
    } else if (answered) breaker?.succeeded(nowMs);
    const wasTold = trouble.dependencyDown || answered;
    abandon(probes.filter((probe) => !wasTold || probe !== breaker));
    if (isInDoubt) return dead(work, unresolved(trouble.message));
    const verdict = verdictOn(trouble, work, {
      policy,
      dependencyIsOut: breaker !== undefined && breaker.state(nowMs) !== 'closed',
      probeInMs: breaker?.probeInMs(nowMs) ?? 0,
      random: system.random(),
    });
    if (verdict.end === 'park') return dead(work, verdict.trouble);
    return waiting(work, verdict.trouble, verdict.dueInMs, verdict.end === 'retry');
  }

  function waiting(work: Work, trouble: Trouble, dueInMs: number, charged: boolean): Ended {
    const change = (subject: Subject, now: Date) => step.retried(subject, work, trouble, charged, now);
    return { state: 'waiting', change, dueInMs, charged, trouble };
  }

  function dead(work: Work, trouble: Trouble): Ended {
    const change = (subject: Subject, now: Date) => step.parked(subject, work, trouble, now);
    return { state: 'dead', change, dueInMs: 0, charged: true, trouble };
  }

  function mode(): 'all' | 'probe' | 'none' {
    const answers = breakers.map((breaker) => breaker.peek(system.monotonicMs()));
    if (answers.includes('no')) return 'none';
    return answers.includes('probe') ? 'probe' : 'all';
  }

  // The strictest answer counts: null = nothing may be tried. Probes that are not used are given back.
  function askBreakers(): readonly Breaker[] | null {
    const answers = breakers.map((breaker) => breaker.ask(system.monotonicMs()));
    const probes = breakers.filter((_, index) => answers[index] === 'probe');
    if (!answers.includes('no')) return probes;
    abandon(probes);
    return null;
  }

  // A probe that is never ended would keep its breaker half-open, and everybody's work waiting, for ever.
  function abandon(probes: readonly Breaker[]): void {
    for (const probe of probes) probe.abandoned();
  }

  return {
    consumer,
    types: step.types,
    hint,
    claimDue,
    mode,
    stop: async () => {
      isStopping = true;
      await slots.whenAllFree();
    },
  };
}

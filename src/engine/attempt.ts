// One attempt of a job: the step is performed, and what came of it becomes the end that a settle writes.
//
// Promises: what a failure leads to (again, wait, dead letter) is decided here, once, by its class; only a failure of
// the dependency itself reaches its breaker. Every probe is ended: by the call that was made under it, or given back.
// Process dies during the call: the lease ends, and the call is made again under the same key.

import type { Breaker } from './breaker.ts';
import { abandon } from './permits.ts';
import { type Ending, OutsideError, type Step, type Subject, type System, type Trouble, type Work } from './ports.ts';
import { defect, type RetryPolicy, unresolved, verdictOn } from './retry-policy.ts';

export type Ended = Omit<Ending, 'durationMs'>;
export type Attempts = {
  // Never rejects. `probes` = the breakers that let this one call through.
  readonly make: (work: Work, signal: AbortSignal, probes: readonly Breaker[]) => Promise<Ended>;
  readonly dead: (work: Work, trouble: Trouble) => Ended;
};

export function createAttempts(options: {
  readonly step: Step;
  readonly breakers: readonly Breaker[];
  readonly policy: RetryPolicy;
  readonly system: System;
}): Attempts {
  const { step, breakers, policy, system } = options;

  async function make(work: Work, signal: AbortSignal, probes: readonly Breaker[]): Promise<Ended> {
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

  return { make, dead };
}

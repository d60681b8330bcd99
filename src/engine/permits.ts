// The breakers of one consumer's dependencies, asked as one: may its work go on?
//
// Promises: the strictest breaker counts; a probe that is not used is given back, for one that is never ended would
// keep its breaker half-open, and everybody's work waiting, for ever.

import type { Breaker } from './breaker.ts';
import type { System } from './ports.ts';

export type Permits = {
  // `probe` or `none` while a dependency is away.
  readonly mode: () => 'all' | 'probe' | 'none';
  // The probes that were taken, none while all is well; null = nothing may be tried.
  readonly ask: () => readonly Breaker[] | null;
};

// What a person holds back is taken as little as what an open breaker does.
export function createPermits(
  breakers: readonly Breaker[],
  system: Pick<System, 'monotonicMs'>,
  isPaused: () => boolean = () => false,
): Permits {
  return {
    mode: () => {
      if (isPaused()) return 'none';
      const answers = breakers.map((breaker) => breaker.peek(system.monotonicMs()));
      if (answers.includes('no')) return 'none';
      return answers.includes('probe') ? 'probe' : 'all';
    },
    ask: () => {
      if (isPaused()) return null;
      const answers = breakers.map((breaker) => breaker.ask(system.monotonicMs()));
      const probes = breakers.filter((_, index) => answers[index] === 'probe');
      if (!answers.includes('no')) return probes;
      abandon(probes);
      return null;
    },
  };
}

export function abandon(probes: readonly Breaker[]): void {
  for (const probe of probes) probe.abandoned();
}

// How fast a process that is overloaded answers who asks whether it lives and is ready.
//
// Promises: asks as a platform does, on a new connection each time, far more often; whatever it answers counts.

import { setTimeout as pause } from 'node:timers/promises';
import type { Numbers } from './metrics.ts';
import { quantiles } from './quantiles.ts';
import type { Trial } from './trial.ts';

const everyMs = 20;

// While `work` is under way.
export async function probed<T>(
  trial: Trial,
  work: Promise<T>,
): Promise<{ readonly done: T; readonly numbers: Numbers }> {
  let isOver = false;
  const ask = async (path: string) => {
    const tookMs: number[] = [];
    while (!isOver) {
      const beganMs = performance.now();
      await trial.get(path);
      tookMs.push(performance.now() - beganMs);
      await pause(everyMs);
    }
    return quantiles(tookMs).p99;
  };
  const asking = Promise.all([ask('/healthz'), ask('/readyz')]);
  const done = await work.finally(() => (isOver = true));
  const [healthP99, readyP99] = await asking;
  return { done, numbers: { healthP99, readyP99 } };
}

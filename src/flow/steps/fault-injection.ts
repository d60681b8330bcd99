// Fault injection by settings: every attempt of a core step may be slowed down and may fail.
//
// Promises: an injected failure is retryable, happens before the partner is called, and so is certainly
// without effect; it never counts against a dependency. The delay is outside the call's timeout and ends
// at once when the work is aborted. With both settings at zero the step is used as it is.

import { OutsideError, type Step, type System } from '../../engine/ports.ts';

export type FaultInjection = { readonly failureProbability: number; readonly processingDelayMs: number };

export function injectFaults(step: Step, faults: FaultInjection, system: System): Step {
  const { failureProbability, processingDelayMs } = faults;
  if (failureProbability === 0 && processingDelayMs === 0) return step;
  return {
    ...step,
    perform: async (work, signal) => {
      if (processingDelayMs > 0) await system.sleep(processingDelayMs, signal);
      signal.throwIfAborted();
      if (system.random() < failureProbability) {
        throw new OutsideError({
          class: 'retryable',
          code: 'simulated-failure',
          message: 'this attempt fails because ORDER_WORKER_FAILURE_PROBABILITY says so',
          dependencyDown: false,
        });
      }
      return step.perform(work, signal);
    },
  };
}

// Letting a crowd pass: work that can wait stands back while requests of people crowd in, so that a burst
// is accepted at the speed of the database and worked on right afterwards.
//
// Promises: without a crowd nobody waits; in a crowd a turn comes at least every `turnEveryMs`; and the
// time spent standing back is an allowance that a burst uses up and that grows again in peace, so a crowd
// that stays is worked on at full speed. A token bucket, with milliseconds for tokens.

import type { System } from './ports.ts';

// Between two checks whether the crowd is gone: less than a flush takes.
const pollEveryMs = 5;
// Between an answer and the next request of the same client nobody is seen; the crowd is still there.
const quietMs = 100;
// So many orders still move on in the thick of a burst, some hundred per second.
const turnEveryMs = 250;
// Some twenty thousand orders' accepting.
const allowanceMsMax = 5_000;
// The share of the time in which it grows again: hardly while requests come and go, soon when nobody has
// crowded in for so long.
const refillUnderLoad = 0.02;
const refillInPeace = 0.5;
const peaceMs = 2_000;

// The answer resolves when it is the caller's turn.
export function createBackpressure(options: { readonly isCrowded: () => boolean; readonly system: System }) {
  const { isCrowded, system } = options;
  let allowanceMs = allowanceMsMax;
  let countedMs = system.monotonicMs();
  let seenMs = Number.NEGATIVE_INFINITY;
  let turnMs = Number.NEGATIVE_INFINITY;

  return async (): Promise<void> => {
    for (;;) {
      const nowMs = system.monotonicMs();
      const refill = nowMs - seenMs > peaceMs ? refillInPeace : refillUnderLoad;
      allowanceMs = Math.min(allowanceMsMax, allowanceMs + (nowMs - countedMs) * refill);
      countedMs = nowMs;
      if (isCrowded()) seenMs = nowMs;
      const standsBack = nowMs - seenMs < quietMs && nowMs - turnMs < turnEveryMs && allowanceMs > 0;
      if (!standsBack) {
        turnMs = nowMs;
        return;
      }
      await system.sleep(pollEveryMs);
      allowanceMs -= system.monotonicMs() - nowMs;
    }
  };
}

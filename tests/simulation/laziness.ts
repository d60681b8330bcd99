// How much later than asked the looks of an engine that finds nothing may come: their rounds are most of what a
// simulation computes.
//
// Promises: a timer is never early, and late only as any machine's may be. What a look waits for wakes it: a fact
// that is owed, or the end of any transaction.

import { lockedPauseMs } from '../../src/engine/group-commit.ts';
import { duePollMs, missedPollMs } from '../../src/engine/poller.ts';
import { ownPollMs, sharedPollMs } from '../../src/engine/relay.ts';
import type { Clock } from './clock.ts';
import type { Laziness } from './life.ts';

type Doze = { readonly ms: number; readonly until: 'a fact' | 'a commit' | null };
const dozes: ReadonlyMap<number, Doze> = new Map([
  [sharedPollMs, { ms: 1_500, until: 'a fact' }],
  [ownPollMs, { ms: 1_500, until: 'a fact' }],
  [lockedPauseMs, { ms: 200, until: 'a commit' }],
  [duePollMs, { ms: 1_500, until: null }],
  [missedPollMs, { ms: 3_000, until: null }],
]);

export function createLaziness(clock: Clock, isLazyFromTheStart: boolean) {
  let isLazy = isLazyFromTheStart;
  type Dozing = { readonly dueMs: number; timer: { cancel: () => void }; readonly fire: () => void };
  const dozing = { 'a fact': new Set<Dozing>(), 'a commit': new Set<Dozing>() };
  const wake = (what: keyof typeof dozing) => {
    for (const one of dozing[what]) {
      one.timer.cancel();
      one.timer = clock.after(one.dueMs - clock.nowMs(), one.fire);
    }
    dozing[what].clear();
  };
  const timer: Laziness = (ms, fire) => {
    const doze = isLazy ? dozes.get(ms) : undefined;
    if (doze === undefined) return clock.after(ms, fire);
    const waiting = doze.until === null ? null : dozing[doze.until];
    const run = () => {
      waiting?.delete(one);
      fire();
    };
    const one: Dozing = { dueMs: clock.nowMs() + ms, timer: clock.after(ms + doze.ms, run), fire: run };
    waiting?.add(one);
    return {
      cancel: () => {
        one.timer.cancel();
        waiting?.delete(one);
      },
    };
  };
  return {
    timer,
    wake,
    // Where nothing goes wrong any more, a look that finds nothing shows nothing.
    rest: () => {
      isLazy = true;
    },
  };
}

// Drives the replays that run: one dead letter after the other, each at its time, until none is left or one stops.
//
// Promises: each step is one guarded transaction of its store, so it does not matter who drives, nor when this process
// dies: what was sent is sent once, what was not is sent by the next driver, and the rate is kept by the replay's own
// row. What this file keeps in memory (what to send next) may be lost at any line.

import { createOutage } from '../../engine/outage.ts';
import type { Log, System } from '../../engine/ports.ts';
import { createWakeup } from '../../engine/wakeup.ts';
import type { DeadLetterPlace } from '../dead-letters.ts';
import { intervalMs, lookMs, nextMove, underWayOf } from './pace.ts';
import type { Replay, ReplayStore } from './replays.ts';

// A round: outcomes are counted and leases renewed once in it.
const roundMs = 1_000;
// Where nobody else can start one, a start wakes the driver; else another process may have.
const idleMs = 1_000;
const quietMs = 60_000;

export type ReplayDriver = {
  readonly wake: () => void;
  // One round; answers whether any runs.
  readonly runOnce: (signal: AbortSignal) => Promise<boolean>;
  readonly run: (signal: AbortSignal) => Promise<void>;
};

export function createReplayDriver(options: {
  readonly store: ReplayStore;
  readonly knowsAllWriters: boolean;
  readonly system: System;
  readonly log: Log;
  readonly isTold?: (error: unknown) => boolean;
}): ReplayDriver {
  const { store, knowsAllWriters, system, log, isTold } = options;
  const wakeup = createWakeup(system);
  const outage = createOutage({
    ...{ what: 'replaying dead letters', fails: 'fails', works: 'works again' },
    ...{ advice: 'it goes on where it is', isTold, log, system },
  });
  let ours: string | null = null;
  // Chosen when it is first needed.
  function token(): string {
    ours ??= system.newToken();
    return ours;
  }
  // What to send next, by replay, and where to look for more: null = from the oldest on.
  const plans = new Map<string, { letterIds: string[]; after: DeadLetterPlace | null }>();

  // Null = there is nothing (more) to send, `again` = so many were looked through in vain.
  async function nextLetter(replay: Replay): Promise<string | 'again' | null> {
    const plan = plans.get(replay.id) ?? { letterIds: [], after: null };
    plans.set(replay.id, plan);
    const known = plan.letterIds.shift();
    if (known !== undefined) return known;
    const began = plan.after;
    const { letterIds, next } = await store.pick(replay, began);
    plan.letterIds = [...letterIds];
    plan.after = next;
    const found = plan.letterIds.shift();
    if (found !== undefined) return found;
    // At the end: what came behind an earlier dead letter of its order is looked for once more, from the oldest on.
    return next === null && began === null ? null : 'again';
  }

  // Answers the replay as it stands after the step; null = this round is over for it.
  async function step(replay: Replay, signal: AbortSignal, untilMs: number): Promise<Replay | null> {
    const next = nextMove(replay, system.now());
    if (next.move === 'stop') {
      if (await store.end(replay, token(), 'stopped', next.reason)) {
        log.warn({ replay: replay.id, reason: next.reason }, 'a replay of dead letters has stopped');
      }
      return null;
    }
    if (next.move === 'stage') return store.advance(replay.id, token(), next.stage);
    if (next.move === 'wait') {
      await system.sleep(Math.min(next.ms, Math.max(0, untilMs - system.monotonicMs())), signal);
      return replay;
    }
    const letterId = await nextLetter(replay);
    if (letterId === 'again') return replay;
    if (letterId === null) {
      if (underWayOf(replay) === 0) await store.end(replay, token(), 'done', null);
      else await system.sleep(lookMs, signal);
      return null;
    }
    const now = system.now();
    const result = await store.send(replay, token(), letterId);
    if (result === null) return null;
    if (result === 'skipped') return replay;
    const nextAt = new Date(Math.max(now.getTime(), replay.nextAt.getTime()) + intervalMs(replay));
    return { ...replay, sent: replay.sent + 1, nextAt };
  }

  async function drive(claimed: Replay, signal: AbortSignal): Promise<void> {
    const untilMs = system.monotonicMs() + roundMs;
    let judgedAtMs = Number.NEGATIVE_INFINITY;
    let replay: Replay | null = claimed;
    while (replay !== null && system.monotonicMs() < untilMs && !signal.aborted) {
      if (system.monotonicMs() - judgedAtMs >= lookMs) {
        judgedAtMs = system.monotonicMs();
        replay = await store.judge(claimed.id, token());
      }
      if (replay !== null) replay = await step(replay, signal, untilMs);
    }
  }

  async function runOnce(signal: AbortSignal): Promise<boolean> {
    const claimed = await store.claim(token());
    for (const id of plans.keys()) if (!claimed.some((replay) => replay.id === id)) plans.delete(id);
    await Promise.all(claimed.map((replay) => drive(replay, signal)));
    return claimed.length > 0;
  }

  return {
    wake: wakeup.wake,
    runOnce,
    run: async (signal) => {
      const beganMs = system.monotonicMs();
      while (!signal.aborted) {
        // At the start one may run whose driver died a moment ago: its lease is not over yet.
        let pauseMs = knowsAllWriters && system.monotonicMs() - beganMs > quietMs ? quietMs : idleMs;
        try {
          if (await runOnce(signal)) pauseMs = 0;
          outage.worked('round');
        } catch (error) {
          pauseMs = idleMs;
          if (!signal.aborted) outage.failed('round', error);
        }
        if (pauseMs > 0) await wakeup.sleep(pauseMs, signal);
      }
      outage.left('round');
    },
  };
}

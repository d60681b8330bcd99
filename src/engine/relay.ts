// The relay: brings what is owed to the bus, and forgets it only when the bus has it.
//
// Promises: every committed fact reaches the bus at least once, after any crash; the first occurrences
// of one subject's facts are in the order of their versions; no transaction is open while the bus is
// talked to. A lane belongs to one relay at a time; a relay that froze past its lease can only repeat
// what somebody else has published before it.
// Process dies after publish: the rows are still there and are published again; readers dedupe.

import { createBell } from './bell.ts';
import { toMessage } from './envelope.ts';
import type { Bus, Log, Outbox, Owed, System } from './ports.ts';

// A relay that died leaves its lanes for this long; the consumers' pull bridges the gap.
const laneLeaseMs = 5_000;
// Read at once: a batch that brokers like, and some hundred kilobytes in memory.
const batchMax = 500;
// Across processes nobody wakes the relay, so this is what an idle system adds to a fact's way.
export const idlePollMs = 15;
// Between two rounds at the least: under load the facts of this long travel together, which halves what
// publishing costs the database; on a lone order's way it is hardly ever waited for.
const roundMs = 4;
// Positions are given out before the commit, so a row may appear below one that was read already. The floor
// therefore follows what was read only after this long, ten times what a flush takes to commit …
const floorLagMs = 250;
// … and what commits later than that is found by starting over.
const rescanMs = 2_000;
// After a failed publish; the outbox keeps what is owed meanwhile.
const failurePauseMsMin = 50;
const failurePauseMsMax = 5_000;

export type Relay = {
  readonly run: (signal: AbortSignal) => Promise<void>;
  // One round: answers how many facts were published. For tests and simulation.
  readonly runOnce: () => Promise<number>;
  // A fact was committed in this process: do not wait for the poll.
  readonly wake: () => void;
};

export function createRelay(options: {
  readonly outbox: Outbox;
  readonly bus: Pick<Bus, 'publish'>;
  readonly streamOf: (type: string) => string;
  readonly system: System;
  readonly log: Log;
  readonly onPublished?: (count: number) => void;
}): Relay {
  const { outbox, bus, streamOf, system, log, onPublished = () => {} } = options;
  const token = system.newToken();
  let lanes: readonly number[] = [];
  let heldAtMs = Number.NEGATIVE_INFINITY;
  // Behind it everything has been read; `read` is what it will follow, round by round.
  let floor = -1;
  let read: { readonly sinceMs: number; readonly position: number }[] = [];
  let scannedAtMs = Number.NEGATIVE_INFINITY;
  const bell = createBell(system);

  async function holdLanes(): Promise<void> {
    const nowMs = system.monotonicMs();
    if (nowMs - heldAtMs < laneLeaseMs / 3) return;
    // A lease is counted from before the call, so that ours never outlasts the database's.
    const held = await outbox.holdLanes(token, laneLeaseMs);
    if (held.some((lane) => !lanes.includes(lane))) startOver();
    lanes = held;
    heldAtMs = nowMs;
  }

  function startOver(): void {
    floor = -1;
    read = [];
  }

  async function runOnce(signal: AbortSignal = new AbortController().signal): Promise<number> {
    await holdLanes();
    if (lanes.length === 0) return 0;
    const nowMs = system.monotonicMs();
    const rescans = nowMs - scannedAtMs > rescanMs;
    if (rescans) scannedAtMs = nowMs;
    for (; read[0] !== undefined && nowMs - read[0].sinceMs > floorLagMs; read.shift()) {
      floor = Math.max(floor, read[0].position);
    }
    const owed = await outbox.owed(lanes, rescans ? -1 : floor, batchMax);
    if (owed.length === 0) return 0;
    await publish(owed, signal);
    await outbox.forget(owed);
    const last = Math.max(...owed.map((one) => one.position));
    if (rescans && owed.length === batchMax) {
      // There may be more behind a full batch from below: go on from there.
      floor = last;
      read = [];
    } else {
      read.push({ sinceMs: nowMs, position: last });
    }
    return owed.length;
  }

  async function publish(owed: readonly Owed[], signal: AbortSignal): Promise<void> {
    // A publish that outlasts the lane's lease must not go on: somebody else owns the lane by then.
    const leftMs = heldAtMs + laneLeaseMs - system.monotonicMs();
    if (leftMs <= 0) throw new Error('the lanes were lost before publishing');
    const deadline = new AbortController();
    const abort = () => deadline.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const timer = system.after(leftMs, () => deadline.abort(new Error('the lease on the lanes ran out')));
    try {
      const messages = owed.map(({ fact }) => toMessage(fact, streamOf(fact.type)));
      await bus.publish(messages, deadline.signal);
      onPublished(messages.length);
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', abort);
    }
  }

  return {
    runOnce: () => runOnce(),
    wake: bell.ring,
    run: async (signal) => {
      let failures = 0;
      while (!signal.aborted) {
        const beganMs = system.monotonicMs();
        try {
          const published = await runOnce(signal);
          failures = 0;
          if (published === batchMax) continue;
          const restMs = roundMs - (system.monotonicMs() - beganMs);
          if (published === 0) await bell.sleep(idlePollMs, signal);
          else if (restMs > 0) await system.sleep(restMs, signal);
        } catch (error) {
          if (signal.aborted) break;
          failures += 1;
          startOver();
          const pauseMs = Math.min(failurePauseMsMax, failurePauseMsMin * 2 ** Math.min(failures, 10));
          log.warn({ error: String(error), pauseMs }, 'facts could not be published; they stay owed');
          await system.sleep(pauseMs * (0.5 + system.random() / 2), signal);
        }
      }
      // Process dies before this: the lanes' lease ends by itself.
      await outbox.releaseLanes(token).catch((error) => log.warn({ error: String(error) }, 'lanes were not released'));
    },
  };
}

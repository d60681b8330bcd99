// Commits: how far a member has come, told to the group.
//
// Promises: only positions that lanes moved; one commit at a time, so that none overtakes another; what was
// refused is tried again with what came since. A commit that gets nowhere ends the session.
// Process dies between two commits: what lies between comes again, and readers dedupe.

import type { Consumer } from '@platformatic/kafka';
import type { Log, System } from '../../engine/ports.ts';
import { bounded } from './bounded.ts';
import { refusalOf } from './kafka-client.ts';
import type { Lanes, Position } from './kafka-lanes.ts';

// Each commit is a request; this much comes again after a crash.
const everyMs = 100;
// A commit that takes longer while the broker answers others is one that the library repeats for ever.
const patienceMs = 5_000;

export type Committer = {
  readonly soon: () => void;
  // Resolves when what had moved is committed, or refused; never rejects.
  readonly now: () => Promise<void>;
  readonly stop: () => void;
};

export function createCommitter(options: {
  readonly consumer: Consumer;
  readonly lanes: Lanes;
  readonly group: string;
  // Without the broker a commit simply waits for it.
  readonly isOutage: () => boolean;
  readonly endSession: (why: string) => void;
  readonly system: System;
  readonly log: Log;
}): Committer {
  const { consumer, lanes, group, isOutage, endSession, system, log } = options;
  let timer: { cancel: () => void } | null = null;
  let running: Promise<void> | null = null;
  let isStopped = false;

  function soon(): void {
    if (timer === null && running === null && !isStopped) timer = system.after(everyMs, () => void now());
  }

  // Not the library's message.commit(), which destroys the stream on a refusal.
  async function commit(): Promise<void> {
    // A partition that moved away belongs to its new owner; a commit from here would set it back.
    const positions = lanes.takePositions().filter((position) => isOurs(consumer, position));
    if (positions.length === 0) return;
    // Also what it throws at once is a refusal: from here it would end the process.
    const committing = Promise.try(() => consumer.commit({ offsets: positions }));
    try {
      await bounded(committing, { ms: patienceMs, what: 'a commit', system });
    } catch (error) {
      lanes.giveBack(positions);
      const reason = refusalOf(error);
      log.debug({ group, reason, error: String(error) }, 'a commit was refused; these messages may come again');
      if (reason === null && !isOutage()) return endSession('commits do not get through');
      // One that waits must not be overtaken by later ones: they would arrive in any order.
      await committing.catch(() => {});
    }
  }

  async function now(): Promise<void> {
    // One that is under way has taken its positions; those that moved since need one more.
    await running;
    timer?.cancel();
    timer = null;
    running ??= commit().finally(() => {
      running = null;
      if (lanes.hasMoved()) soon();
    });
    await running;
  }

  return {
    soon,
    now,
    stop: () => {
      isStopped = true;
      timer?.cancel();
    },
  };
}

function isOurs(consumer: Consumer, { topic, partition }: Position): boolean {
  return consumer.assignments?.some((one) => one.topic === topic && one.partitions.includes(partition)) ?? false;
}

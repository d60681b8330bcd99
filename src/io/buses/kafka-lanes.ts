// What a member of a consumer group holds, partition by partition: a lane per partition, its messages in
// their order, one batch of a lane under way at a time.
//
// Promises: a lane's position only moves over batches whose `receive` resolved, without a gap; a refused
// batch comes again before its successors, after a pause that grows, and holds up no other lane; memory is
// bounded. States of a lane: idle · under way · pausing (refused, waits for its next try). A lane that is
// refused and full drops what comes, to be read again from its position (`onDropped`).
// Relies on messages of a partition coming in their order; what came before is skipped.

import type { Log, Received, System } from '../../engine/ports.ts';

// As in the memory bus: handed over at once, so that claims are committed in large groups …
const batchMax = 128;
// … and several, so that those of the next are made while the former wait for their slots.
const batchesUnderWayMax = 8;
// About a second of work, beyond what is under way.
const heldMax = 2_048;
const heldBytesMax = 8 * 1_048_576;
// A lane that is refused may fill a quarter: of four such lanes the cause is not in them, and reading stops.
const refusedShare = 4;
const pauseMsMin = 100;
const pauseMsMax = 5_000;

export type Place = { readonly topic: string; readonly partition: number };
export type Position = Place & { readonly offset: bigint; readonly leaderEpoch: number };
// A body of null is a message that this group does not read: only its place counts.
export type Arrival = Position & { readonly body: Buffer | null };

type Lane = Place & {
  waiting: Arrival[];
  batch: Arrival[] | null;
  state: 'idle' | 'under way' | 'pausing';
  // The offset to be taken next; what is below it is held or done.
  next: bigint;
  // Everything below it is done; null as long as nothing is.
  done: Position | null;
  refusals: number;
  dropped: boolean;
};

export type Lanes = {
  readonly accept: (arrival: Arrival) => void;
  // Resolves when there is room for more, or the signal aborts.
  readonly room: (signal: AbortSignal) => Promise<void>;
  // Positions that moved since they were taken last; `giveBack` those that could not be committed.
  readonly takePositions: () => Position[];
  readonly giveBack: (positions: readonly Position[]) => void;
  readonly hasMoved: () => boolean;
  // Forgets all lanes: their messages come again. What is under way goes on, its answer counts for nothing.
  readonly reset: () => void;
  // Resolves when nothing is under way; after `stop` nothing will be.
  readonly stop: () => Promise<void>;
};

export function createLanes(options: {
  readonly receive: (batch: readonly Received[]) => Promise<void>;
  readonly onMoved: () => void;
  readonly onDropped: () => void;
  readonly system: System;
  readonly log: Log;
}): Lanes {
  const { receive, onMoved, onDropped, system, log } = options;
  let lanes = new Map<string, Lane>();
  let moved = new Set<Lane>();
  let held = 0;
  let heldBytes = 0;
  let forgetting = new AbortController();
  let stopped = false;
  const underWay = new Set<Promise<void>>();
  let roomFound = () => {};

  const hasRoom = () => held < heldMax && heldBytes < heldBytesMax;

  function accept(arrival: Arrival): void {
    const lane = laneOf(arrival);
    if (arrival.offset < lane.next) {
      // It came again after a rebalance: whoever had the partition meanwhile may have committed less than us.
      if (lane.done !== null && arrival.offset < lane.done.offset) markMoved(lane);
      return;
    }
    if (lane.dropped) return;
    if (lane.refusals > 0 && isFull(lane)) {
      lane.dropped = true;
      return;
    }
    lane.next = arrival.offset + 1n;
    lane.waiting.push(arrival);
    count([arrival], 1);
    start(lane);
  }

  function laneOf({ topic, partition, offset }: Arrival): Lane {
    const name = `${topic}:${partition}`;
    const known = lanes.get(name);
    if (known !== undefined) return known;
    const state = 'idle' as const;
    const lane: Lane = {
      ...{ topic, partition, waiting: [], batch: null, state },
      ...{ next: offset, done: null, refusals: 0, dropped: false },
    };
    lanes.set(name, lane);
    return lane;
  }

  const bytesOf = (arrivals: readonly Arrival[]) => arrivals.reduce((sum, { body }) => sum + (body?.length ?? 0), 0);
  const isFull = ({ waiting }: Lane) =>
    waiting.length >= heldMax / refusedShare || bytesOf(waiting) >= heldBytesMax / refusedShare;

  function count(arrivals: readonly Arrival[], sign: 1 | -1): void {
    held += sign * arrivals.length;
    heldBytes += sign * bytesOf(arrivals);
    if (hasRoom()) roomFound();
  }

  function startAll(): void {
    for (const lane of lanes.values()) start(lane);
  }

  function start(lane: Lane): void {
    if (stopped || lane.state !== 'idle' || underWay.size >= batchesUnderWayMax) return;
    lane.batch ??= lane.waiting.length === 0 ? null : lane.waiting.splice(0, batchMax);
    if (lane.batch === null) return;
    // Whoever comes late stands at the end of the map, so that no lane is always the last to be started.
    const name = `${lane.topic}:${lane.partition}`;
    lanes.delete(name);
    lanes.set(name, lane);
    lane.state = 'under way';
    const run = hand(lane, lane.batch, forgetting.signal).finally(() => {
      underWay.delete(run);
      startAll();
    });
    underWay.add(run);
  }

  // Process dies in here: the position was not moved, another member gets the batch.
  async function hand(lane: Lane, batch: readonly Arrival[], forgotten: AbortSignal): Promise<void> {
    const bodies = batch.flatMap(({ body }) => (body === null ? [] : [{ body }]));
    try {
      if (bodies.length > 0) await receive(bodies);
    } catch (error) {
      if (!forgotten.aborted && !stopped) refused(lane, error, forgotten);
      return;
    }
    if (forgotten.aborted) return;
    lane.done = after(batch.at(-1) as Arrival);
    lane.batch = null;
    lane.refusals = 0;
    lane.state = 'idle';
    count(batch, -1);
    markMoved(lane);
    if (lane.dropped) onDropped();
  }

  function refused(lane: Lane, error: unknown, forgotten: AbortSignal): void {
    const { topic, partition } = lane;
    if (lane.refusals === 0) {
      log.warn({ topic, partition, error: String(error) }, 'a batch was not taken; it comes again until it is');
    }
    lane.refusals += 1;
    lane.state = 'pausing';
    const pauseMs = Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(lane.refusals, 10));
    void system.sleep(pauseMs * (0.5 + system.random() / 2), forgotten).then(() => {
      if (forgotten.aborted) return;
      lane.state = 'idle';
      start(lane);
    });
  }

  function markMoved(lane: Lane): void {
    moved.add(lane);
    onMoved();
  }

  function reset(): void {
    forgetting.abort();
    forgetting = new AbortController();
    lanes = new Map();
    moved = new Set();
    held = 0;
    heldBytes = 0;
    roomFound();
  }

  return {
    accept,
    room: (signal) => {
      if (hasRoom() || signal.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const end = () => {
          signal.removeEventListener('abort', end);
          roomFound = () => {};
          resolve();
        };
        roomFound = end;
        signal.addEventListener('abort', end, { once: true });
      });
    },
    takePositions: () => {
      const positions = [...moved].flatMap(({ done }) => (done === null ? [] : [done]));
      moved.clear();
      return positions;
    },
    giveBack: (positions) => {
      for (const { topic, partition } of positions) {
        const lane = lanes.get(`${topic}:${partition}`);
        if (lane !== undefined) moved.add(lane);
      }
    },
    hasMoved: () => moved.size > 0,
    reset,
    stop: async () => {
      stopped = true;
      while (underWay.size > 0) await Promise.all(underWay);
      forgetting.abort();
    },
  };
}

const after = (last: Arrival): Position => {
  const { topic, partition, offset, leaderEpoch } = last;
  return { topic, partition, offset: offset + 1n, leaderEpoch };
};

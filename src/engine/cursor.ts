// A reader of the event log: reads behind its cursor, has a batch handled, stores how far it is, and waits for more.
// How it has the cursor to itself, and who handles a batch, is in its turns: src/engine/cursor-turns.ts.
//
// Promises: nothing is skipped; in one transaction nothing is repeated, outside only what was not stored yet. What
// `handle` refuses, or cannot be given without failing, becomes a dead letter, written with the cursor.
// Process dies anywhere: the row says what is handled, and the next reader begins there.

import type { Turns, View } from './cursor-turns.ts';
import type { CursorDeadLetter, LoggedEvent, Refused } from './event-log.ts';
import { createOutage } from './outage.ts';
import type { Log, System, Trouble } from './ports.ts';
import { createWakeup } from './wakeup.ts';

// A newer release takes what this one does not know; nobody came for it in the time of a rolling deploy that got
// stuck over lunch: it is parked.
export const unknownPatienceMs = 3_600_000;
// A reader that gave up its turn leaves it to others for this long.
const awayMs = 5_000;
// A reader that stands by looks this often whether the turn is free.
export const standbyMs = 1_500;
// Events that fail one after the other are not poisonous: the release is defective.
const poisonsInARowMax = 3;
const failurePauseMsMin = 50;
const failurePauseMsMax = 5_000;
// What gathers for each event of the last read: at 200 events a second the pause is a third of a second, from 400 on
// it is the longest, a second, which is also how often Elasticsearch shows what was written to it.
const gatherMsPerEvent = 2;
const gatherMsMax = 1_000;

export type CursorReader = {
  readonly run: (signal: AbortSignal) => Promise<void>;
  // One round; answers how many events are handled. Throws what `run` would try again. For tests and simulation.
  readonly runOnce: (signal?: AbortSignal) => Promise<number>;
  // An event was committed in this process, or the bus told of one: do not wait for the poll.
  readonly wake: () => void;
};

// `stopped` = too many events in a row failed. `ahead` = the next event is of a type that this release does not know.
type Round = { readonly end: 'through' | 'standby' | 'ahead' | 'stopped'; readonly handled: number };

// What `handle` failed on, where the failure may lie in one of the events.
class PoisonousError extends Error {
  readonly events: readonly LoggedEvent[];
  constructor(events: readonly LoggedEvent[], cause: unknown) {
    super(String(cause), { cause });
    this.events = events;
  }
}

export function createCursorReader(options: {
  // Whose dead letters they are.
  readonly consumer: string;
  readonly turns: Turns;
  // False = stop before events of this type. Absent = everything is known.
  readonly knows?: (type: string) => boolean;
  // True where the failure may lie in one of the events: SQLSTATE 22 and 23, or a pure part of `handle` that threw.
  // Absent = nothing is ever parked.
  readonly isPoison?: (error: unknown) => boolean;
  // True where the batch may have been too large for the time there is: the next try is of half.
  readonly isTooMuch?: (error: unknown) => boolean;
  readonly batchMax: number;
  // Between reads that find nothing.
  readonly pollMs: number;
  // Before each read, so that events of one subject gather; not while there is more than a batch. The more events
  // the last read found the longer, so that under load a subject costs one handling and not one for each event.
  readonly gatherMs?: number;
  // From the begin of one round to the next at the least, where a round is less than a batch.
  readonly roundMs?: number;
  readonly system: System;
  readonly log: Log;
  // True where what an error means is told by somebody else.
  readonly isTold?: ((error: unknown) => boolean) | undefined;
}): CursorReader {
  const { consumer, turns, knows = () => true, isPoison = () => false, isTooMuch = () => false } = options;
  const { batchMax, system, log } = options;
  const { pollMs, gatherMs = 0, roundMs = 0 } = options;
  const wakeup = createWakeup(system);
  const outage = createOutage({
    ...{ what: `handling events for ${consumer}`, fails: 'fails', works: 'works again', advice: 'they are read again' },
    ...{ fields: { consumer }, isTold: options.isTold, log, system },
  });
  let limit = batchMax;
  let poisonsInARow = 0;
  let warnedOf = 0;

  // What is handled by this round, and what becomes a dead letter instead.
  async function oneRound(view: View, parked: Parked | null): ReturnType<Parameters<Turns['take']>[0]> {
    const snapshot = await view.read(limit);
    const { events } = snapshot;
    const unknown = events.findIndex(({ event }) => !knows(event.type));
    const batch = unknown === -1 ? events : events.slice(0, unknown);
    const [first] = events;
    if (first !== undefined && first.position === parked?.position) {
      return view.advance(snapshot, 1, [deadLetterOf(first, parked.trouble)]);
    }
    if (first !== undefined && unknown === 0) {
      const isOld = first.ageMs > unknownPatienceMs;
      if (!isOld) warn(first);
      return view.advance(snapshot, isOld ? 1 : 0, isOld ? [deadLetterOf(first, unknownType(first.event.type))] : []);
    }
    const refused = batch.length === 0 ? [] : await handled(view, batch);
    const troubles = new Map(refused.map(({ position, trouble }) => [position, trouble]));
    const deadLetters = batch.flatMap((one) => {
      const trouble = troubles.get(one.position);
      return trouble === undefined ? [] : [deadLetterOf(one, trouble)];
    });
    return view.advance(snapshot, batch.length, deadLetters);
  }

  async function handled(view: View, batch: readonly LoggedEvent[]): Promise<readonly Refused[]> {
    try {
      return await view.handle(batch);
    } catch (error) {
      if (isPoison(error)) throw new PoisonousError(batch, error);
      if (isTooMuch(error)) limit = Math.max(1, batch.length >> 1);
      throw error;
    }
  }

  // A batch that fails is halved until one event is left, which is parked.
  async function round(signal: AbortSignal): Promise<Round & { readonly isFull: boolean }> {
    let parked: Parked | null = null;
    for (;;) {
      const asked = limit;
      try {
        const taken = await turns.take((view) => oneRound(view, parked), asked, signal);
        if (taken === null) return { end: 'standby', handled: 0, isFull: false };
        const { passed, found, deadLetters } = taken;
        limit = Math.min(batchMax, limit * 2);
        if (parked !== null && deadLetters[0]?.trouble === parked.trouble) poisonsInARow += 1;
        else if (passed > 0) poisonsInARow = 0;
        const end = found > 0 && passed === 0 ? 'ahead' : 'through';
        return { end, handled: passed, isFull: found >= asked };
      } catch (error) {
        if (!(error instanceof PoisonousError)) throw error;
        const [one] = error.events;
        if (error.events.length > 1 || one === undefined) {
          limit = Math.max(1, error.events.length >> 1);
          continue;
        }
        const fields = { consumer, eventId: one.event.id, error: error.message };
        if (poisonsInARow + 1 >= poisonsInARowMax) {
          log.error(
            fields,
            'events in a row cannot be handled: a defect of this release; the reader stops before them',
          );
          return { end: 'stopped', handled: 0, isFull: false };
        }
        log.error(fields, 'an event cannot be handled and becomes a dead letter');
        parked = { position: one.position, trouble: defect(error.message) };
        limit = 1;
      }
    }
  }

  function deadLetterOf({ event }: LoggedEvent, trouble: Trouble): CursorDeadLetter {
    return { consumer, event, trouble };
  }

  function warn({ position, event }: LoggedEvent): void {
    if (warnedOf === position) return;
    warnedOf = position;
    log.warn({ consumer, type: event.type, eventId: event.id }, 'an event of a newer release waits for that release');
  }

  async function rest(
    { end, handled: count, isFull }: Round & { isFull: boolean },
    beganMs: number,
    signal: AbortSignal,
  ) {
    if (end === 'standby') return system.sleep(standbyMs, signal);
    if (end === 'ahead') {
      await turns.giveUp();
      return system.sleep(awayMs, signal);
    }
    if (isFull) return;
    if (count === 0) await wakeup.sleep(Math.min(pollMs, turns.storesInMs()), signal);
    const restMs = roundMs - (system.monotonicMs() - beganMs);
    if (count > 0 && restMs > 0) await system.sleep(restMs, signal);
    if (gatherMs > 0) await system.sleep(Math.min(gatherMsMax, gatherMs + count * gatherMsPerEvent), signal);
  }

  return {
    runOnce: async (signal = new AbortController().signal) => (await round(signal)).handled,
    wake: wakeup.wake,
    run: async (signal) => {
      let failures = 0;
      while (!signal.aborted) {
        const beganMs = system.monotonicMs();
        try {
          const ended = await round(signal);
          failures = 0;
          outage.worked('round');
          if (ended.end === 'stopped') break;
          await rest(ended, beganMs, signal);
        } catch (error) {
          if (signal.aborted) break;
          failures += 1;
          outage.failed('round', error);
          await turns.giveUp();
          const pauseMs = Math.min(failurePauseMsMax, failurePauseMsMin * 2 ** Math.min(failures, 10));
          await system.sleep(pauseMs * (0.5 + system.random() / 2), signal);
        }
      }
      outage.left('round');
      await turns.giveUp();
    },
  };
}

type Parked = { readonly position: number; readonly trouble: Trouble };

function defect(message: string): Trouble {
  return { class: 'non-retryable', code: 'defect', message, dependencyDown: false };
}

function unknownType(type: string): Trouble {
  const message = `no release that runs here understands ${type}`;
  return { class: 'non-retryable', code: 'unknown-version', message, dependencyDown: false };
}

// The relay: brings every event to the bus, and moves its cursor only when the bus has it.
//
// Promises: every committed event reaches the bus at least once, after any crash; the first occurrences of one
// subject's events are in the order of their versions; no transaction is open while the bus is talked to. It never
// parks and never skips. One relay at a time has the cursor's lease; one that froze past it can only repeat what
// somebody else has published before it.
// Process dies after publish: what was not stored is published again; readers dedupe.

import type { Bus } from './bus.ts';
import { type CursorReader, createCursorReader } from './cursor.ts';
import { createLeasedTurns, type Turns } from './cursor-turns.ts';
import { toMessage } from './envelope.ts';
import type { Cursors } from './event-log.ts';
import type { Observer } from './observer.ts';
import type { Log, System } from './ports.ts';
import { inBatch, silentTracer, type Tracer } from './tracer.ts';

// A relay that died leaves its cursor for this long; the consumers' polls bridge the gap.
const leaseMs = 5_000;
// Read at once: a batch that brokers like, and some hundred kilobytes in memory.
const batchMax = 500;
// Across processes nobody wakes the relay, so this is what an idle system adds to an event's way.
export const pollMs = 15;
// Between two rounds at the least: under load the events of this long travel together, which halves what
// publishing costs the database; on a lone order's way it is hardly ever waited for.
const roundMs = 4;
// A cursor that is written this often costs an order next to nothing; a relay that dies repeats this much.
const storeEveryMs = 250;

export function createRelay(options: {
  readonly cursors: Pick<Cursors<never>, 'hold' | 'release' | 'read' | 'store'>;
  readonly bus: Pick<Bus, 'publish'>;
  readonly streamOf: (type: string) => string;
  readonly system: System;
  readonly log: Log;
  readonly observer?: Pick<Observer, 'published' | 'relaying'>;
  readonly tracer?: Tracer;
  readonly isTold?: (error: unknown) => boolean;
}): CursorReader {
  const { cursors, bus, streamOf, system, log, observer, tracer = silentTracer, isTold } = options;
  const turns = createLeasedTurns({
    reader: 'relay',
    cursors,
    leaseMs,
    storeEveryMs,
    system,
    handle: async (events, signal) => {
      const messages = events.map(({ event }) => toMessage(event, streamOf(event.type)));
      const traceparents = events.map(({ event }) => event.traceparent);
      await inBatch(tracer, { operation: 'send', reader: 'events' }, traceparents, () => bus.publish(messages, signal));
      observer?.published(events.length);
      return [];
    },
  });
  const take: Turns['take'] = async (...asked) => {
    const step = await turns.take(...asked);
    observer?.relaying(step !== null);
    return step;
  };
  return createCursorReader({
    consumer: 'relay',
    turns: { ...turns, take },
    batchMax,
    pollMs,
    roundMs,
    system,
    log,
    isTold,
  });
}

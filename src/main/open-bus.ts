// The bus that the settings name.
//
// Promises: nothing waits for a broker here; a process that neither publishes nor reads opens none. The
// client of a broker is loaded only where it is used.
// Relies on every process of an installation having the same table of subscriptions: where a reader has
// a queue of its own, who publishes must know who reads.

import { factTypes } from '../domain/events.ts';
import type { Bus, Log, ReaderGroup, System } from '../engine/ports.ts';
import { readers } from '../flow/subscriptions.ts';
import { createMemoryBus } from '../io/buses/memory.ts';
import type { Config } from './config.ts';
import { groupOf, streamOfAny } from './wire.ts';

// How the brokers' own tools name us.
const clientId = 'orderly';

export async function openBus(
  { kind, kafka, redis, sqs }: Config['bus'],
  parts: {
    // False = nothing is published or read here.
    readonly isUsed: boolean;
    readonly system: System;
    readonly log: Log;
    readonly onDropped: (group: string) => void;
  },
): Promise<Bus> {
  const { isUsed, system, log } = parts;
  if (!isUsed) return createMemoryBus(parts);
  const groups: ReaderGroup[] = readers.map(({ consumer, types }) => ({ group: groupOf(consumer), types }));
  switch (kind) {
    case 'memory':
      return createMemoryBus(parts);
    case 'kafka': {
      const { createKafkaBus } = await import('../io/buses/kafka.ts');
      return createKafkaBus({ ...kafka, clientId, types: factTypes, streamOf: streamOfAny, system, log });
    }
    case 'redis': {
      const { createRedisBus } = await import('../io/buses/redis.ts');
      return createRedisBus({ ...redis, readers: groups, system, log });
    }
    case 'sqs': {
      const { createSqsBus } = await import('../io/buses/sqs.ts');
      return createSqsBus({ ...sqs, readers: groups, system, log });
    }
  }
}

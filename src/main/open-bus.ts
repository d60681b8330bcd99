// The bus that the settings name.
//
// Promises: null with BUS=memory, where one process does everything and hints to itself. Nothing waits for a broker here;
// the client of a broker is loaded only where it is used.
// Relies on every process of an installation having the same table of subscriptions: where a reader has
// a queue of its own, who publishes must know who reads.

import { eventTypes } from '../domain/events.ts';
import type { Bus, ReaderGroup } from '../engine/bus.ts';
import type { Log, System } from '../engine/ports.ts';
import { readers } from '../flow/subscriptions.ts';
import type { Config } from './config.ts';
import { groupOf, streamOfAny } from './wire.ts';

// How the brokers' own tools name us.
const clientId = 'orderly';

export async function openBus(
  { kind, kafka, redis, sqs }: Config['bus'],
  { system, log }: { readonly system: System; readonly log: Log },
): Promise<Bus | null> {
  const groups: ReaderGroup[] = readers.map(({ consumer, types }) => ({ group: groupOf(consumer), types }));
  switch (kind) {
    case 'memory':
      return null;
    case 'kafka': {
      const { createKafkaBus } = await import('../io/kafka/bus.ts');
      return createKafkaBus({ ...kafka, clientId, types: eventTypes, streamOf: streamOfAny, system, log });
    }
    case 'redis': {
      const { createRedisBus } = await import('../io/redis/bus.ts');
      return createRedisBus({ ...redis, readers: groups, system, log });
    }
    case 'sqs': {
      const { createSqsBus } = await import('../io/sqs/bus.ts');
      return createSqsBus({ ...sqs, readers: groups, system, log });
    }
  }
}

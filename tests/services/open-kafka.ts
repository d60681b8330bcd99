// A bus on the Kafka of the test run, for the suite and for the processes that it starts.

import type { Log } from '../../src/engine/ports.ts';
import { createKafkaBus, type KafkaSettings } from '../../src/io/kafka/bus.ts';
import { createSystem } from '../../src/io/system.ts';
import type { World } from './bus-world.ts';

export const brokers = () => (process.env.KAFKA_BROKERS ?? '127.0.0.1:9092').split(',');

export function openBus(world: World, log: Log, chosen: Partial<KafkaSettings> = {}) {
  return createKafkaBus({
    brokers: brokers(),
    clientId: 'orderly-test',
    layout: 'by-stream',
    partitions: 6,
    groupProtocol: 'consumer',
    instanceId: null,
    tls: false,
    sasl: null,
    types: world.readers.flatMap(({ types }) => types),
    streamOf: () => world.stream,
    system: createSystem(),
    log,
    ...chosen,
  });
}

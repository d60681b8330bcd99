// The bus on a real broker: the suite of all buses, under both protocols for groups.

import { join } from 'node:path';
import { kill, start, stop } from '../support/services.ts';
import { busContract } from './bus.contract.ts';
import { openBus } from './open-kafka.ts';
import { openBus as openClassicBus } from './open-kafka-classic.ts';

process.env.KAFKA_BROKERS = await start('kafka');

const fileOf = (name: string) => join(import.meta.dirname, name);
// The broker takes a mebibyte at once.
const refusedBytes = 2 * 1_048_576;

busContract({
  name: 'Kafka',
  openBus,
  file: fileOf('open-kafka.ts'),
  server: { stop: () => stop('kafka'), kill: () => kill('kafka'), start: async () => void (await start('kafka')) },
  refusedBytes,
});

busContract({
  name: 'Kafka with classic groups',
  openBus: openClassicBus,
  file: fileOf('open-kafka-classic.ts'),
  server: null,
  refusedBytes,
});

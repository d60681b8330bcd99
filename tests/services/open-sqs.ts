// A bus on the SQS-compatible server of the test run, for the suite and for the processes that it starts.

import type { Log } from '../../src/engine/ports.ts';
import { createSqsBus } from '../../src/io/sqs/bus.ts';
import { createSystem } from '../../src/io/system.ts';
import type { World } from './bus-world.ts';

export const sqsEndpoint = () => process.env.AWS_ENDPOINT_URL_SQS ?? 'http://127.0.0.1:9324';

export function openBus({ readers }: World, log: Log, fifo = true) {
  const endpoint = sqsEndpoint();
  return createSqsBus({ endpoint, region: 'us-east-1', prefix: 'test-', fifo, readers, system: createSystem(), log });
}

// As open-sqs.ts, with standard queues.

import type { Log } from '../../src/engine/ports.ts';
import type { World } from './bus-world.ts';
import { openBus as openFifo } from './open-sqs.ts';

export const openBus = (world: World, log: Log) => openFifo(world, log, false);

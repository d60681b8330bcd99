// The same with the older protocol of groups, for brokers that do not have the new one.

import type { Log } from '../../src/engine/ports.ts';
import type { World } from './bus-world.ts';
import { openBus as open } from './open-kafka.ts';

export const openBus = (world: World, log: Log) => open(world, log, { groupProtocol: 'classic' });

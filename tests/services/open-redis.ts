// A bus on the Redis of the test run, for the suite and for the processes that it starts.

import type { Log } from '../../src/engine/ports.ts';
import { createRedisBus } from '../../src/io/redis/bus.ts';
import { createSystem } from '../../src/io/system.ts';
import type { World } from './bus-world.ts';

export const redisUrl = () => process.env.REDIS_URL ?? 'redis://127.0.0.1:6379';

export function openBus({ readers }: World, log: Log, url = redisUrl()) {
  return createRedisBus({ url, readers, system: createSystem(), log });
}

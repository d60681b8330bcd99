// The bus on a real Redis: the suite of all buses, and what only BullMQ on Redis has.

import { join } from 'node:path';
import { kill, start, stop } from '../support/services.ts';
import { busContract } from './bus.contract.ts';
import { openBus } from './open-redis.ts';

process.env.REDIS_URL = await start('redis');

busContract({
  name: 'Redis',
  openBus,
  file: join(import.meta.dirname, 'open-redis.ts'),
  server: { stop: () => stop('redis'), kill: () => kill('redis'), start: async () => void (await start('redis')) },
  refusedBytes: null,
});

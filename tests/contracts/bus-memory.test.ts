import { createMemoryBus } from '../../src/io/buses/memory.ts';
import { busContract } from '../services/bus.contract.ts';

busContract({
  name: 'memory',
  openBus: (_, log) => createMemoryBus({ log }),
  file: null,
  server: null,
  refusedBytes: null,
});

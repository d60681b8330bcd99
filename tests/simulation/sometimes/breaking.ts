// What befalls processes, breakers and the database.

import type { BreakerChange, Evidence, Happening } from '../evidence.ts';
import type { Sometimes } from './counter.ts';

const happened = (what: Happening['what'], name: string, sentence: string): Sometimes => ({
  name,
  sentence,
  count: ({ happenings }) => happenings.filter((one) => one.what === what).length,
});
const changes = (state: BreakerChange['state'], name: string, sentence: string): Sometimes => ({
  name,
  sentence,
  count: ({ breakers }: Evidence) => breakers.filter((one) => one.state === state).length,
});

export const breaking: readonly Sometimes[] = [
  changes('open', 'breaker opened', 'A breaker opens.'),
  changes('closed', 'breaker closed', 'A breaker closes again.'),
  happened('killed', 'process killed', 'A process is killed.'),
  happened('frozen', 'process frozen', 'A process is frozen.'),
  happened('woken', 'process woken', 'A frozen process wakes and goes on.'),
  happened('stopped', 'process stopped', 'A process that was told to stop ends by itself.'),
  happened('database-crashed', 'database crashed', 'The database stops at once and comes back.'),
];

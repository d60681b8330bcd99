// Looks at a Redis once, when it is first reached, and tells the log what an operator should know of it.
//
// Promises: a warning when it keeps nothing on disk, and when it may throw keys away to make room; silence
// where it does both well. Nothing depends on the answer: what Redis forgets is pulled from the database.

import type { Redis } from 'ioredis';
import type { Log } from '../../engine/ports.ts';

export async function warnIfForgetful(client: Redis, log: Log): Promise<void> {
  const known = new Map(
    (await client.info())
      .split(/\r?\n/)
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const),
  );
  if (known.get('aof_enabled') === '0' && !(await hasSnapshots(client))) {
    log.warn(
      {},
      'Redis keeps nothing on disk: a restart loses the jobs that wait, and their facts come seconds later, from the database. Set `appendonly yes`',
    );
  }
  const policy = known.get('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    log.warn(
      { policy },
      `Redis may throw jobs away when its memory is full (maxmemory-policy ${policy}). Set it to noeviction`,
    );
  }
}

// Hosted servers often refuse CONFIG; then nobody says that they are kept.
async function hasSnapshots(client: Redis): Promise<boolean> {
  try {
    const [, save] = (await client.config('GET', 'save')) as string[];
    return save !== undefined && save !== '';
  } catch {
    return false;
  }
}

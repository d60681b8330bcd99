// What becomes of accepted orders when the process is killed in the middle (SIGKILL) and started again at once.
//
// Promises: only orders whose 201 had arrived are asked for. Others may exist as well: their client would repeat
// them.

import { setTimeout as pause } from 'node:timers/promises';
import type { Contender } from './contender.ts';
import type { Numbers } from './metrics.ts';
import type { Sizes } from './sizes.ts';
import type { Trial } from './trial.ts';

const connections = 64;
// Time to compile itself, and to have a backlog.
const killAfterMs = 2_500;
// Beyond the 30 s after which the work of a dead process is taken over, and the longest period of looking for it.
const patienceMs = 100_000;
const lookEveryMs = 250;

export async function measureKill(trial: Trial, { endedOnce }: Contender, sizes: Sizes): Promise<Numbers> {
  await trial.start();
  await trial.load({ kind: 'burst', orders: sizes.warmUp, connections });
  const loading = trial.load({ kind: 'interrupted', connections });
  await pause(killAfterMs);
  await trial.kill();
  const ids = Object.keys((await loading).dueMs);
  const left = async () => {
    const [row] = await trial.sql(
      `SELECT count(*)::integer AS orders FROM orders o WHERE id = ANY ($1::uuid[]) AND ${endedOnce}`,
      [ids],
    );
    return ids.length - Number(row?.orders);
  };
  const underWay = await left();
  const started = performance.now();
  await trial.start();
  let unfinished = underWay;
  for (; unfinished > 0 && performance.now() - started < patienceMs; unfinished = await left())
    await pause(lookEveryMs);
  const numbers: Numbers = { killUnderWay: underWay, killLeft: unfinished };
  if (unfinished === 0) numbers.killSeconds = (performance.now() - started) / 1000;
  return numbers;
}

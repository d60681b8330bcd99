// The guard against regressions: what one order costs, as counts with bounds and as a ratio to the floor in the same
// run, so that neither a slow machine nor a busy one can fool it.
//
// Promises: always the same orders; the better of two rounds counts, Orderly and the floor by turns, because
// disturbance only ever adds. The bounds are what was measured, and a third more for what depends on how many
// orders happen to meet in a batch. A change that makes it cheaper lowers them.

import type { Contender } from './contender.ts';
import { countCost } from './cost.ts';
import { type MetricKey, metrics, type Numbers } from './metrics.ts';
import { formatNumber } from './table.ts';
import { withTrial } from './trial.ts';

const rounds = 2;
const warmUp = 1_500;
const measured = 3_000;
const connections = 64;
const unfinishedMax = 2_000;

type Bounds = Partial<Record<MetricKey, number>>;
// Rows depend on how many jobs find a slot as they are written, the others on how many orders share a batch. CPU is what
// it takes of the process and of PostgreSQL, in multiples of the floor.
const bounds = { rows: 18.5, statements: 0.45, commits: 0.22, wal: 12 } as const satisfies Bounds;
const cpuOfFloorMax = 8;

export async function guard(
  orderly: Contender,
  floor: Contender,
  print: (text: string) => void,
): Promise<'kept' | 'broken'> {
  const seen: { readonly orderly: Numbers; readonly floor: Numbers }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    seen.push({ orderly: await costOf(orderly), floor: await costOf(floor) });
  }
  const best = (of: 'orderly' | 'floor', key: MetricKey) =>
    Math.min(...seen.map((round) => round[of][key] ?? Number.POSITIVE_INFINITY));
  const cpu = (of: 'orderly' | 'floor') => best(of, 'processCpu') + best(of, 'postgresCpu');
  const judged = [
    ...(Object.keys(bounds) as (keyof typeof bounds)[]).map((key) => ({
      name: metrics[key].name,
      value: best('orderly', key),
      bound: bounds[key],
      beside: `the floor: ${formatNumber(best('floor', key))}`,
    })),
    {
      name: 'CPU per order, in multiples of the floor',
      value: cpu('orderly') / cpu('floor'),
      bound: cpuOfFloorMax,
      beside: `${formatNumber(cpu('orderly'))} ms and ${formatNumber(cpu('floor'))} ms`,
    },
  ];
  for (const { name, value, bound, beside } of judged) {
    const verdict = value <= bound ? 'kept' : 'BROKEN';
    print(
      `${name.padEnd(42)} ${formatNumber(value).padStart(6)}  at most ${String(bound).padEnd(4)}  ${verdict}  (${beside})`,
    );
  }
  return judged.every(({ value, bound }) => value <= bound) ? 'kept' : 'broken';
}

async function costOf(contender: Contender): Promise<Numbers> {
  return withTrial(contender, 'server', async (trial) => {
    const load = (orders: number) => () =>
      trial.load({
        kind: 'sustained',
        seconds: Number.MAX_SAFE_INTEGER / 1000,
        rampSeconds: 0,
        orders,
        connections,
        unfinishedMax,
      });
    return await countCost(trial, load(warmUp), load(measured));
  });
}

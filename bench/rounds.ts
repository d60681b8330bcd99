// Rounds: each contender once per round, one after the other, so that a machine that changes its speed changes
// it for all of them.
//
// Promises: every second round goes through them backwards.

import type { Contender } from './contender.ts';
import { measure, type Part } from './measurements.ts';
import type { Numbers } from './metrics.ts';
import type { Sizes } from './sizes.ts';
import { type Column, formatNumber } from './table.ts';

export async function runRounds(
  contenders: readonly Contender[],
  rounds: number,
  sizes: Sizes,
  parts: readonly Part[],
): Promise<readonly Column[]> {
  const columns = contenders.map(({ name }) => ({ name, rounds: [] as Numbers[] }));
  for (let round = 0; round < rounds; round += 1) {
    const order = [...contenders.keys()];
    for (const at of round % 2 === 0 ? order : order.reverse()) {
      const contender = contenders[at] as Contender;
      const say = (text: string) => void process.stderr.write(`  round ${round + 1}, ${contender.name}: ${text}\n`);
      const numbers = await measure(contender, sizes, parts, say);
      // What is known stays known when the run is ended early.
      say(
        Object.entries(numbers)
          .map(([key, value]) => `${key} ${formatNumber(value)}`)
          .join(', '),
      );
      columns[at]?.rounds.push(numbers);
    }
  }
  return columns;
}

// What `npm run chaos` takes, and its page of explanation.

import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { Asked } from './schedule.ts';

const help = `
  npm run chaos -- [options]

  Starts a real PostgreSQL, the simulated partners and three processes of Orderly, lets customers place, repeat
  and cancel orders and an operator reprocess, and meanwhile kills, freezes and stops those processes and crashes
  the database, in the middle of work and several at once. Then everything is healed, every order must end, and
  what the customers were answered, the database and the partners' ledger must agree (\`verify --ledger\` and more).

    --seed S      decides the faults: which, to whom, for how long, after how many orders (default: a random one)
    --kills N     SIGKILL for a process of Orderly (default 30); for every ten a stop in order and a kill of the
                  sandbox come along
    --freezes N   SIGSTOP for longer than a lease, then SIGCONT (default 8)
    --crashes N   immediate stop or kill -9 of PostgreSQL (default 8)
    --help        this text

  A seed repeats the schedule of the faults. It does not repeat a run: real processes and a real clock decide what
  each fault meets. What a failed run said lies in .orderly/chaos/.

  Exit code 0: every promise held. 1: one was broken. 2: the command is wrong. 130: interrupted.
`;

// An exit code where there is nothing to run.
export function readArguments(args: readonly string[]): Asked | number {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seed: { type: 'string', default: String(randomInt(1, 1_000_000)) },
        kills: { type: 'string', default: '30' },
        freezes: { type: 'string', default: '8' },
        crashes: { type: 'string', default: '8' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(help);
      return 0;
    }
    const whole = (name: 'seed' | 'kills' | 'freezes' | 'crashes') => {
      const number = Number(values[name]);
      if (Number.isSafeInteger(number) && number >= 0 && values[name] !== '') return number;
      throw new Error(`--${name} ${values[name]}: must be a whole number from 0`);
    };
    return { seed: whole('seed'), kills: whole('kills'), freezes: whole('freezes'), crashes: whole('crashes') };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${help}`);
    return 2;
  }
}

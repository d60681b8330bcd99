// The options of `npm run bench`.
//
// Promises: what cannot be understood is one sentence, and nothing has begun.

import { parseArgs } from 'node:util';
import { type Part, parts } from './measurements.ts';
import { type PeerName, peerNames } from './peers.ts';

export type Options = {
  readonly mode: 'peers' | 'against' | 'guard' | 'soak' | 'full' | 'telemetry' | 'model';
  readonly against: string;
  readonly peers: readonly PeerName[];
  // Null: those of the mode.
  readonly parts: readonly Part[] | null;
  readonly rounds: number | null;
  readonly orders: number | null;
  readonly minutes: number;
  readonly isSaved: boolean;
};

const soakMinutes = 30;

export function readOptions(): Options | string {
  try {
    const { values } = parseArgs({
      options: {
        against: { type: 'string' },
        full: { type: 'boolean' },
        guard: { type: 'boolean' },
        model: { type: 'boolean' },
        soak: { type: 'boolean' },
        telemetry: { type: 'boolean' },
        peer: { type: 'string', multiple: true },
        only: { type: 'string', multiple: true },
        rounds: { type: 'string' },
        orders: { type: 'string' },
        minutes: { type: 'string' },
        save: { type: 'boolean', default: false },
      },
    });
    const modes = (['against', 'full', 'guard', 'model', 'soak', 'telemetry'] as const).filter(
      (name) => values[name] !== undefined,
    );
    if (modes.length > 1) return `--${modes.join(' and --')} cannot be had together: choose one.`;
    const mode = modes[0] ?? 'peers';
    if (values.save && !['peers', 'soak', 'model'].includes(mode))
      return `--save is for the peers, --soak and --model.`;
    for (const name of ['rounds', 'orders', 'minutes'] as const) {
      const given = values[name];
      if (given !== undefined && !/^[1-9]\d{0,8}$/.test(given))
        return `--${name} ${given}: it must be a whole number above 0.`;
    }
    const number = (given: string | undefined) => (given === undefined ? null : Number(given));
    return {
      mode,
      against: values.against ?? '',
      peers: choiceOf('peer', peerNames, values.peer) ?? peerNames,
      parts: choiceOf('only', parts, values.only),
      rounds: number(values.rounds),
      orders: number(values.orders),
      minutes: number(values.minutes) ?? soakMinutes,
      isSaved: values.save,
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function choiceOf<T extends string>(
  option: string,
  known: readonly T[],
  given: readonly string[] | undefined,
): T[] | null {
  if (given === undefined) return null;
  return given.map((name) => {
    const found = known.find((each) => each === name);
    if (found === undefined) throw new Error(`--${option} ${name}: there is no such thing; use ${known.join(', ')}.`);
    return found;
  });
}

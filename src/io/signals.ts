// The signals that ask this process to stop: SIGTERM of a platform, SIGINT of a person, SIGHUP of a terminal
// that closes.
//
// Promises: `stop` is called once; a second signal, given by somebody who does not want to wait, ends the
// process at once with 130. One stroke of Ctrl-C is one signal, although it comes twice under npm: from the
// terminal, and from npm, which passes it on.

import type { System } from '../engine/ports.ts';

// npm passes on within milliseconds, on a loaded machine within some hundred.
const sameSignalMs = 1_000;

export function onStopSignal(
  stop: () => void,
  system: Pick<System, 'monotonicMs'>,
  end: () => void = () => process.exit(130),
): void {
  let firstMs: number | null = null;
  const hear = () => {
    if (firstMs === null) {
      firstMs = system.monotonicMs();
      stop();
    } else if (system.monotonicMs() - firstMs > sameSignalMs) end();
  };
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, hear);
}

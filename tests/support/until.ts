// Waiting for something that another process or connection does: look, look again, and say what was
// awaited and what was seen last when it does not come.

import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';

// Long enough for a loaded machine; a test that passes never waits for it.
const patienceMs = 15_000;
const intervalMs = 10;

// Resolves with the first answer of `look` that is neither null, undefined nor false. A look that throws
// is repeated too: what is awaited may not be reachable yet.
export async function until<T>(
  look: () => Promise<T> | T,
  what: string,
  options: { readonly patienceMs?: number } = {},
): Promise<Exclude<T, null | undefined | false>> {
  const deadline = performance.now() + (options.patienceMs ?? patienceMs);
  for (;;) {
    let seen: unknown;
    try {
      const answer = await look();
      if (answer !== null && answer !== undefined && answer !== false) {
        return answer as Exclude<T, null | undefined | false>;
      }
      seen = answer;
    } catch (error) {
      seen = error;
    }
    if (performance.now() > deadline) throw new Error(`${what}: did not come about; seen last: ${inspect(seen)}`);
    await pause(intervalMs);
  }
}

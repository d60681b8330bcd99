// `bounded`, for what can be called off: whoever is asked gets a signal.
//
// Promises: settles as `bounded` does; the signal aborts as soon as nobody waits any more. What was asked
// may have been done all the same: everything that is asked through here may be repeated.

import type { System } from '../../engine/ports.ts';
import { bounded } from './bounded.ts';

export async function within<T>(
  bounds: { readonly what: string; readonly ms: number; readonly signal: AbortSignal; readonly system: System },
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  bounds.signal.throwIfAborted();
  const asked = new AbortController();
  try {
    return await bounded(ask(asked.signal), bounds);
  } finally {
    asked.abort();
  }
}

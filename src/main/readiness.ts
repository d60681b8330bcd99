// Whether requests can be served now, for probes: the answer comes at once, also where the database is slow to say.
//
// Promises: one question under way at a time, however many ask. Who asks waits for it a moment; then the last answer
// counts for as long as it is young, and after that the database has failed. Nothing is asked where nobody asks.

import type { System } from '../engine/ports.ts';
import type { Check } from '../io/postgres/health.ts';

// Within the tenth of a second that probes are promised.
const waitMs = 60;
// Under overload a question waits for a connection, a few seconds at most; what is silent for longer is away.
const youngMs = 10_000;

export function createReadiness(options: {
  readonly check: () => Promise<readonly Check[]>;
  // What the start has found.
  readonly initial: readonly Check[];
  readonly isStopping: () => boolean;
  readonly system: System;
}) {
  const { check, initial, isStopping, system } = options;
  let running: Promise<void> | null = null;
  let known: { readonly checks: readonly Check[]; readonly atMs: number } = {
    checks: initial,
    atMs: system.monotonicMs(),
  };

  async function ask(): Promise<void> {
    try {
      known = { checks: await check(), atMs: system.monotonicMs() };
    } finally {
      running = null;
    }
  }

  async function checked(): Promise<readonly Check[]> {
    running ??= ask();
    await Promise.race([running, system.sleep(waitMs)]);
    const ageMs = system.monotonicMs() - known.atMs;
    if (ageMs <= youngMs) return known.checks;
    const detail = `has not answered for ${Math.round(ageMs / 1_000)} s`;
    return [{ name: 'database', status: 'failed', detail }];
  }

  return async () => {
    const checks = [...(await checked())];
    const isLeaving = isStopping();
    checks.push({
      name: 'process',
      status: isLeaving ? 'failed' : 'ok',
      detail: isLeaving ? 'stopping' : 'running',
    });
    return { status: checks.every(({ status }) => status === 'ok') ? ('ok' as const) : ('failed' as const), checks };
  };
}

// Whether requests can be served now, for probes: the answer comes at once, also where the database is slow to say.
//
// Promises: one question under way at a time, however many ask. Who asks waits for it a moment; then the last answer
// counts for as long as it is young, and after that the database has failed. Where answers come too late for who asks,
// the next one finds them: it is asked on for half a minute after the last one who did.

import type { System } from '../engine/ports.ts';
import type { Check } from '../io/postgres/health.ts';

// Within the tenth of a second that probes are promised.
const waitMs = 60;
// Under overload a question waits for a connection, a few seconds at most; what is silent for longer is away.
const youngMs = 10_000;
// Probes come every ten seconds, as a rule.
const probedMs = 30_000;
// Between an answer and the next question of our own: well within its age; soon where it was bad, for it keeps requests
// away.
const againMs = 5_000;
const againAfterFailureMs = 1_000;

export function createReadiness(options: {
  readonly check: () => Promise<readonly Check[]>;
  // What the start has found.
  readonly initial: readonly Check[];
  readonly isStopping: () => boolean;
  // What people hold back here, in words; it is none of the reasons to be not ready.
  readonly paused: () => readonly string[];
  readonly system: System;
}) {
  const { check, initial, isStopping, paused, system } = options;
  let running: Promise<void> | null = null;
  let probedAtMs = Number.NEGATIVE_INFINITY;
  let next: { cancel: () => void } | null = null;
  let known: { readonly checks: readonly Check[]; readonly atMs: number } = {
    checks: initial,
    atMs: system.monotonicMs(),
  };

  async function ask(): Promise<void> {
    next?.cancel();
    try {
      known = { checks: await check(), atMs: system.monotonicMs() };
    } finally {
      running = null;
    }
    if (system.monotonicMs() - probedAtMs > probedMs) return;
    const isWell = known.checks.every(({ status }) => status === 'ok');
    next = system.after(isWell ? againMs : againAfterFailureMs, () => {
      running ??= ask();
    });
  }

  async function checked(): Promise<readonly Check[]> {
    probedAtMs = system.monotonicMs();
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
    const held = paused();
    if (held.length > 0)
      checks.push({ name: 'pauses', status: 'ok', detail: `paused: ${held.slice(0, 10).join(', ')}` });
    return { status: checks.every(({ status }) => status === 'ok') ? ('ok' as const) : ('failed' as const), checks };
  };
}

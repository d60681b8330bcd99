// Breakers: when they open and close, how often a probe leaves, and what an outage may cost an order.
//
// A breaker is asked before the token of a claim is made; that tells which calls were its probes.

import type { Call, Evidence } from '../evidence.ts';
import { callsOf, consumersOf, deadLetterWith, endOf, isClaim, isSettle, jobOf } from './calls.ts';
import { type Invariant, ofAll, ofOrder } from './law.ts';

const probeIntervalMs = 2_000;
// A partner that answered this lately is not away.
const aliveForMs = 10_000;
const throttled = 'partner-throttled';

export const breakers: readonly Invariant[] = [
  ofAll('end', 'a breaker opens and closes by what its partner answers', (evidence, say) => {
    const changedMs = new Map<string, number>();
    for (const { process, dependency, state, monotonicMs } of evidence.breakers) {
      const about = `${process} ${dependency}`;
      const sinceMs = changedMs.get(about) ?? Number.NEGATIVE_INFINITY;
      changedMs.set(about, monotonicMs);
      const its = evidence.calls.filter((call) => call.process === process && call.dependency === dependency);
      if (state === 'open') {
        const wasAway = its.some(
          ({ trouble, endedMs = 0 }) => trouble?.dependencyDown && endedMs >= sinceMs && endedMs <= monotonicMs,
        );
        if (!wasAway) say(`${about} was opened, and nobody had found it away since it was closed`);
      } else if (!its.some((call) => isAnswer(call, sinceMs, monotonicMs))) {
        say(`${about} was closed, and nobody had answered`);
      }
    }
  }),

  ofOrder('end', 'a failure from before an outage does not postpone its probe', (order, say, evidence) => {
    for (const [index, { consumer, outcome, code, due_in_ms }] of order.attempts.entries()) {
      if (outcome !== 'wait' || code === throttled) continue;
      const end = endOf(order, index);
      if (!end?.after) continue;
      const call = lastCallOf(order, consumer, end.process, end.token, end.atMs, evidence);
      if (!call?.trouble?.dependencyDown || call.trouble.isInterrupted) continue;
      const endedMs = call.endedMs ?? 0;
      const askedMs = askedFor(call, evidence);
      const openedMs = openedBefore(endedMs, call, evidence);
      // It left while the breaker was closed, came back when it was open, and no probe had left meanwhile.
      if (openedMs === null || askedMs === null || askedMs >= openedMs || endedMs - openedMs >= probeIntervalMs)
        continue;
      const longestMs = 2 * (probeIntervalMs - (endedMs - openedMs));
      if ((due_in_ms ?? 0) > longestMs + 1 && !hadProbe(call, openedMs, endedMs, evidence)) {
        say(`had ${consumer} wait ${due_in_ms} ms after an opening that was ${Math.round(endedMs - openedMs)} ms ago`);
      }
    }
  }),

  ofOrder('end', 'an outage costs no order its last attempt', (order, say, evidence) => {
    for (const move of order.jobMoves) {
      if (!isSettle(move) || move.after !== null) continue;
      const { sequence, process, token, atMs } = move;
      const { consumer } = jobOf(move);
      // Written with this end, after a call that told of its partner being away.
      const deadLetter = deadLetterWith(order, move);
      const call = lastCallOf(order, consumer, process, token, atMs, evidence);
      if (deadLetter === undefined || call === null || !isAway(deadLetter.code) || !call.trouble?.dependencyDown)
        continue;
      if (!wasAlive(call, evidence)) {
        say(`was parked by ${consumer} (${deadLetter.code}, commit ${sequence}) while its partner answered nobody`);
      }
    }
  }),

  ofAll('end', 'an open breaker lets one probe through per interval', (evidence, say) => {
    for (const [about, probes] of probesOf(evidence)) {
      for (const [index, probe] of probes.entries()) {
        const before = probes[index - 1];
        const sinceMs = probe.askedMs - Math.max(probe.openedMs, before?.askedMs ?? Number.NEGATIVE_INFINITY);
        // A probe that told nothing of the dependency is given back, and another one may go at once.
        if (before !== undefined && before.openedMs === probe.openedMs && !tells(before.call)) continue;
        if (sinceMs < probeIntervalMs)
          say(`${about} was called ${Math.round(sinceMs)} ms after its opening or last probe`);
      }
    }
  }),
];

const isAway = (code: string) =>
  ['partner-unavailable', 'timeout', 'connection-lost', 'malformed-answer'].includes(code);

function isAnswer({ trouble, endedMs = 0 }: Call, fromMs: number, toMs: number): boolean {
  if (endedMs < fromMs || endedMs > toMs) return false;
  return trouble === null || (trouble?.dependencyDown === false && trouble.class !== 'unknown');
}

// The last call that the claim with this token has made.
function lastCallOf(...which: Parameters<typeof callsOf>): Call | null {
  return callsOf(...which).at(-1) ?? null;
}

// Whether the partner has answered this process lately; rather too often than too rarely.
function wasAlive(call: Call, { calls }: Evidence): boolean {
  return calls.some(
    (other) =>
      other.process === call.process &&
      other.dependency === call.dependency &&
      Math.abs(call.monotonicMs - other.monotonicMs) < 2 * aliveForMs &&
      (other.trouble === null || (other.trouble?.dependencyDown === false && other.trouble.class !== 'unknown')),
  );
}

function tells({ trouble }: Call): boolean {
  if (trouble === undefined || trouble === null) return true;
  return !trouble.isInterrupted && (trouble.dependencyDown || trouble.class !== 'unknown');
}

type Probe = { readonly askedMs: number; readonly openedMs: number; readonly call: Call };

// The calls to a dependency whose work was claimed while its breaker stood open in that process.
function probesOf(evidence: Evidence): Map<string, Probe[]> {
  const found = new Map<string, Probe[]>();
  for (const call of evidence.calls) {
    const about = `${call.process} ${call.dependency}`;
    const askedMs = askedFor(call, evidence);
    if (askedMs === null) continue;
    const openedMs = openedBefore(askedMs, call, evidence);
    if (openedMs === null) continue;
    const probes = found.get(about) ?? [];
    // One piece of work may call a dependency more than once.
    if (probes.at(-1)?.askedMs !== askedMs) probes.push({ askedMs, openedMs, call });
    found.set(about, probes);
  }
  for (const probes of found.values()) probes.sort((one, other) => one.askedMs - other.askedMs);
  return found;
}

// Somebody of the same process has left for the same partner within these moments.
function hadProbe(call: Call, fromMs: number, toMs: number, evidence: Evidence): boolean {
  return evidence.calls.some((other) => {
    if (other.process !== call.process || other.dependency !== call.dependency) return false;
    const askedMs = askedFor(other, evidence);
    return askedMs !== null && askedMs > fromMs && askedMs <= toMs;
  });
}

function askedFor(call: Call, { orders, tokens }: Evidence): number | null {
  const consumer = consumersOf[call.call];
  let found: { readonly monotonicMs: number; readonly askedMs: number } | null = null;
  for (const move of orders.get(call.orderId ?? '')?.jobMoves ?? []) {
    if (!isClaim(move) || jobOf(move).consumer !== consumer || move.process !== call.process) continue;
    const token = tokens.get(move.token ?? '');
    if (token === undefined || token.monotonicMs > call.monotonicMs) continue;
    if (found === null || token.monotonicMs > found.monotonicMs) found = token;
  }
  return found?.askedMs ?? null;
}

// When the breaker was opened that stood open at `askedMs`; null where it was closed.
function openedBefore(askedMs: number, call: Call, { breakers }: Evidence): number | null {
  let openedMs: number | null = null;
  for (const { process, dependency, state, monotonicMs } of breakers) {
    if (process !== call.process || dependency !== call.dependency || monotonicMs > askedMs) continue;
    // Who closes it wakes those that wait for it, in the same moment.
    if (monotonicMs === askedMs && state === 'open') continue;
    openedMs = state === 'open' ? monotonicMs : null;
  }
  return openedMs;
}

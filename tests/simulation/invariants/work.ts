// Work: attempts, retries, waits, calls, and what becomes of them when a process stops.

import type { Call, Evidence, Happening } from '../evidence.ts';
import { callsOf, consumersOf, endOf, isClaim, isSettle, type JobMove, jobOf } from './calls.ts';
import { type Invariant, ofAll, ofOrder } from './law.ts';

// Deaths of workers that one job survives before it is given up; whoever gives it up may die of something else.
const takeoversMax = 10;
const deathsMax = 10;
const throttled = 'partner-throttled';
// From the moment at which a claim reads the rows to its commit, locks and late statements included.
const readingMs = 20_000;
// A partner may ask for any wait; beyond this the work is better looked at again.
const retryAfterMsMax = 3_600_000;
// By which the clock of a process may go wrong, of a timer.
const driftMs = (ms: number) => 1 + ms * 0.002;

function waitedAt({ before, atMs }: JobMove, { settings }: Evidence): number {
  const since = before?.waiting_since;
  return since ? settings.epochMs + atMs - since.getTime() : 0;
}

// For how long a process stood still after this moment.
function frozenSince(fromMs: number, process: string, happenings: readonly Happening[], nowMs: number): number {
  let sumMs = 0;
  let sinceMs: number | null = null;
  for (const { process: whose, what, atMs } of happenings) {
    if (whose !== process) continue;
    if (what === 'frozen') sinceMs ??= atMs;
    if (what !== 'woken' || sinceMs === null) continue;
    sumMs += Math.max(0, atMs - Math.max(fromMs, sinceMs));
    sinceMs = null;
  }
  return sinceMs === null ? sumMs : sumMs + Math.max(0, nowMs - Math.max(fromMs, sinceMs));
}

export const work: readonly Invariant[] = [
  ofOrder('always', 'attempts and takeovers stay within their bounds', (order, say, { settings }) => {
    for (const { consumer, attempt, takeovers } of order.jobs.values()) {
      if (attempt < 0 || attempt > settings.maxRetries + 1) say(`had attempt ${attempt} of ${consumer}`);
      if (takeovers > takeoversMax + deathsMax) say(`had ${takeovers} takeovers of ${consumer}`);
    }
  }),

  ofOrder(
    'history',
    'a retry is charged once, waits no longer than its backoff, and the last one parks',
    (order, say, { settings }) => {
      const { maxRetries, retryDelayMs, retryDelayMsMax } = settings;
      const charged = new Set<string>();
      for (const { consumer, event_id, epoch, attempt, outcome, code, due_in_ms } of order.attempts) {
        const name = `attempt ${attempt} of ${consumer}`;
        if (code === 'defect') say(`${name} failed of a defect`);
        const waitMs = due_in_ms ?? 0;
        if (outcome === 'wait' && code === 'simulated-failure')
          say(`${name} was not charged although it was made to fail`);
        if (outcome === 'wait' && code === throttled && waitMs < retryDelayMs)
          say(`${name} waits ${waitMs} ms of throttling`);
        if (outcome !== 'retry') continue;
        const key = `${consumer} ${event_id} ${epoch} ${attempt}`;
        if (charged.has(key)) say(`${name} was charged twice in epoch ${epoch}`);
        charged.add(key);
        if (attempt > maxRetries) say(`${name} is retried, and only ${maxRetries} retries are allowed`);
        const ceilingMs = Math.min(retryDelayMsMax, retryDelayMs * 2 ** (attempt - 1));
        if (waitMs < 0 || waitMs > Math.round(ceilingMs))
          say(`${name} waits ${waitMs} ms, at most ${ceilingMs} are due`);
        // None is passed over: each attempt before it was charged too.
        if (attempt > 1 && !charged.has(`${consumer} ${event_id} ${epoch} ${attempt - 1}`))
          say(`${name} has none before it`);
      }
      for (const { consumer, attempts, failure_class, code } of order.deadLetters.values()) {
        if (code === 'waited-too-long' || failure_class === 'non-retryable') continue;
        if (failure_class === 'throttled') say(`was parked by ${consumer} for being throttled`);
        else if (attempts !== maxRetries + 1) say(`was parked by ${consumer} (${code}) after ${attempts} attempts`);
      }
    },
  ),

  ofAll('end', 'no statement is wrong by itself', ({ noted }, say) => {
    for (const { what, label, code } of noted) {
      if (what === 'database-error' && /^(21|23|42)/.test(code ?? '')) say(`${label} was refused with ${code}`);
    }
  }),

  ofOrder('history', 'work that is given up is not performed', (order, say, evidence) => {
    const { maxWaitMs } = evidence.settings;
    for (const { call, process, atMs } of order.calls) {
      const consumer = consumersOf[call];
      // Of a notification an order may have several at once.
      if (consumer === '' || consumer === 'notification') continue;
      const claim = order.jobMoves.findLast(
        (move) => isClaim(move) && move.process === process && jobOf(move).consumer === consumer && move.atMs <= atMs,
      );
      const waitedMs = claim ? waitedAt(claim, evidence) : 0;
      if ((claim?.after?.takeovers ?? 0) > takeoversMax) say(`had ${call} called after ${takeoversMax} takeovers`);
      if (waitedMs > maxWaitMs + readingMs) say(`had ${call} called after ${Math.round(waitedMs)} ms of waiting`);
    }
  }),

  ofOrder('history', 'what has waited for too long is given up', (order, say, evidence) => {
    for (const claim of order.jobMoves) {
      if (!isClaim(claim) || waitedAt(claim, evidence) <= evidence.settings.maxWaitMs + readingMs) continue;
      const end = order.jobMoves.find((move) => isSettle(move) && move.token === claim.after?.token);
      if (end?.after) say(`had ${end.after.consumer} wait on after ${Math.round(waitedAt(claim, evidence))} ms`);
    }
  }),

  ofOrder('history', 'a partner that asks for a pause gets it', (order, say, evidence) => {
    for (const [index, { consumer, outcome, code }] of order.attempts.entries()) {
      if (outcome !== 'wait' || code !== throttled) continue;
      const end = endOf(order, index);
      if (!end?.after) continue;
      const its = callsOf(order, consumer, end.process, end.token, end.atMs, evidence);
      const call = its.at(-1);
      // Of a notification an order may have several at once.
      if (call?.trouble?.code !== throttled || (consumer === 'notification' && its.length > 1)) continue;
      const askedMs = Math.min(retryAfterMsMax, call.trouble.retryAfterMs ?? 0);
      const pausedMs = end.after.due_at.getTime() - evidence.settings.epochMs - (call.endedAtMs ?? 0);
      // The database writes a moment down in whole milliseconds.
      if (pausedMs < askedMs - 1)
        say(`has ${consumer} due ${Math.round(pausedMs)} ms after it was asked for ${askedMs}`);
    }
  }),

  ofAll('end', 'a process that stops lets go of its work', (evidence, say) => {
    const { happenings, calls, nowMs } = evidence;
    for (const { process, what, atMs, graceMs = 0 } of happenings) {
      if (what !== 'told-to-stop') continue;
      const untilMs = atMs + graceMs + driftMs(graceMs) + frozenSince(atMs, process, happenings, nowMs);
      for (const { dependency, call, orderId, endedAtMs = 0, ...its } of calls) {
        if (its.process !== process || dependency === 'search' || endedAtMs <= untilMs) continue;
        say(`${process} had ${call} under way ${Math.round(endedAtMs - untilMs)} ms after its time`, orderId);
      }
    }
  }),

  ofAll('end', 'a consumer does no more at once than it has slots', (evidence, say) => {
    const underWay = new Map<string, Call[]>();
    for (const call of evidence.calls) {
      const consumer = consumersOf[call.call];
      if (consumer === '') continue;
      const about = `${consumer} of ${call.process}`;
      const others = (underWay.get(about) ?? []).filter(
        ({ endedMs = Number.POSITIVE_INFINITY }) => endedMs > call.monotonicMs,
      );
      others.push(call);
      underWay.set(about, others);
      if (others.length > evidence.settings.concurrency) say(`${about} had ${others.length} calls under way`);
    }
  }),

  ofOrder('end', 'an interrupted attempt goes back uncharged', (order, say, evidence) => {
    for (const [index, attempt] of order.attempts.entries()) {
      const { consumer, outcome, code } = attempt;
      if (outcome !== 'retry' && outcome !== 'dead') continue;
      const end = endOf(order, index);
      const its = end ? callsOf(order, consumer, end.process, end.token, end.atMs, evidence) : [];
      // Of two runs in one process nobody can tell whose call it was: one that was not interrupted will do.
      // Nor whether it was the attempt's own: one that failed before its call, by an injected fault or because it had
      // waited for too long, has the interrupted call of the run before it here, and another code than that call.
      const wasInterrupted =
        its.every(({ trouble }) => trouble?.isInterrupted) && its.some(({ trouble }) => trouble?.code === code);
      if (wasInterrupted || code === 'interrupted') say(`had an interruption of ${consumer} charged`);
    }
  }),
];

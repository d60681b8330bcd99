// Work: claims, leases, attempts, letters, breakers.

import type { Call, Evidence, Moved, OrderEvidence } from '../evidence.ts';
import type { DeliveryRow } from '../rows.ts';
import { type Invariant, ofAll, ofOrder } from './law.ts';

// Deaths of workers that one delivery survives before it is given up; whoever gives it up may die of something else.
const takeoversMax = 10;
const deathsMax = 10;
const probeIntervalMs = 2_000;
// A partner that answered this lately is not away.
const aliveForMs = 10_000;
const throttled = 'partner-throttled';
// From the moment at which a claim reads the rows to its commit, locks and late statements included.
const readingMs = 20_000;
// The largest message that is read; of a larger one a byte more is kept, so that it stays too large.
const messageBytesMax = 65_536;

// Whose effect is in the database alone, in the transaction of the claim.
const endsAtClaim: ReadonlySet<string> = new Set(['analytics']);

type Say = (sentence: string) => void;

// A claim takes what is due, under a new token of its own, and counts either an attempt or a takeover.
function lookAtClaim(move: Moved<DeliveryRow>, after: DeliveryRow, say: Say, { tokens, settings }: Evidence): void {
  const nowMs = settings.epochMs + move.atMs;
  const { before, process } = move;
  const name = `${after.consumer} of ${after.event_id}`;
  const runs = after.state === 'running' || after.state === 'done' ? 1 : 0;
  const isEnd = after.state === 'done' && endsAtClaim.has(after.consumer);
  if (!isEnd && !['running', 'waiting', 'skipped'].includes(after.state))
    say(`${name} was claimed and is ${after.state}`);
  if (after.token !== null && tokens.get(after.token)?.process !== process)
    say(`${name} was claimed in a foreign name`);
  if (before === null) {
    if (after.epoch !== 0 || after.takeovers !== 0 || after.attempt !== runs) say(`${name} began as ${count(after)}`);
    return;
  }
  if (before.state !== 'running' && before.state !== 'waiting') say(`${name} was claimed after it was ${before.state}`);
  if (before.due_at === null || before.due_at.getTime() > nowMs) say(`${name} was claimed before it was due`);
  if (after.token === before.token) say(`${name} was claimed twice under one token`);
  const isTakeover = before.state === 'running';
  const attempt = before.attempt + runs - (isTakeover ? 1 : 0);
  const takeovers = before.takeovers + (isTakeover ? 1 : 0);
  if (after.epoch !== before.epoch || after.attempt !== attempt || after.takeovers !== takeovers) {
    say(`${name} went by a claim from ${before.state} ${count(before)} to ${after.state} ${count(after)}`);
  }
}

// A settle ends what its own claim holds; only a wait that nobody is to blame for gives the attempt back.
function lookAtSettle(move: Moved<DeliveryRow>, after: DeliveryRow, say: Say, { tokens }: Evidence): void {
  const { before, process } = move;
  const name = `${after.consumer} of ${after.event_id}`;
  if (before === null) return say(`${name} was settled without a claim`);
  const token = move.token ?? after.token;
  if (before.state !== 'running') say(`${name} was settled while it was ${before.state}`);
  if (token !== before.token || after.token !== before.token) say(`${name} was settled under a stale token`);
  if (token !== null && tokens.get(token)?.process !== process) say(`${name} was settled by one who never claimed it`);
  const isGivenBack = after.state === 'waiting' && after.attempt === before.attempt - 1;
  if (after.epoch !== before.epoch || after.takeovers !== before.takeovers)
    say(`${name} changed its epoch in a settle`);
  if (after.attempt !== before.attempt && !isGivenBack) {
    say(`${name} went by a settle from attempt ${before.attempt} to ${after.attempt}, ${after.state}`);
  }
}

function count({ epoch, attempt, takeovers }: DeliveryRow): string {
  return `(epoch ${epoch}, attempt ${attempt}, takeovers ${takeovers})`;
}

function isDead(order: OrderEvidence, consumer: string, eventId: string): boolean {
  return order.deliveries.get(`${consumer} ${eventId}`)?.state === 'dead';
}

export const work: readonly Invariant[] = [
  ofOrder(
    'history',
    'a delivery moves by its claim, its settle, or a person, and by nothing else',
    (order, say, evidence) => {
      for (const move of order.deliveryMoves) {
        const { before, after, label } = move;
        if (after === null) {
          if (before?.state !== 'done' && before?.state !== 'skipped') say(`lost a delivery that was ${before?.state}`);
          continue;
        }
        const name = `${after.consumer} of ${after.event_id}`;
        switch (label) {
          case 'claim-deliveries':
            lookAtClaim(move, after, say, evidence);
            break;
          case 'end-deliveries':
            lookAtSettle(move, after, say, evidence);
            break;
          case 'renew-leases':
            if (before?.state !== 'running' || after.token !== before.token || after.attempt !== before.attempt) {
              say(`${name} was renewed while ${before?.state}`);
            }
            break;
          case 'reopen-deliveries':
            if (before?.state !== 'dead' || after.state !== 'waiting')
              say(`${name} was sent back while ${before?.state}`);
            if (after.epoch !== (before?.epoch ?? 0) + 1 || after.attempt !== 0 || after.takeovers !== 0) {
              say(`${name} was sent back as ${count(after)}`);
            }
            break;
          case 'park-unread':
          case 'finish-unread':
            if (after.order_id !== null) say(`${name} was treated as unread although its order is known`);
            break;
          default:
            say(`${name} was changed by ${label}`);
        }
      }
    },
  ),

  ofOrder('always', 'attempts and takeovers stay within their bounds', (order, say, { settings }) => {
    for (const { consumer, attempt, takeovers } of order.deliveries.values()) {
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
      for (const { consumer, attempts, failure_class, code, order_id } of order.letters.values()) {
        if (order_id === null || code === 'waited-too-long' || failure_class === 'non-retryable') continue;
        if (failure_class === 'throttled') say(`was parked by ${consumer} for being throttled`);
        else if (attempts !== maxRetries + 1) say(`was parked by ${consumer} (${code}) after ${attempts} attempts`);
      }
    },
  ),

  ofOrder('always', 'what is parked has a letter, and a letter has something parked', (order, say) => {
    const open = new Set<string>();
    for (const { consumer, delivery_id, closed_at, code } of order.letters.values()) {
      if (closed_at !== null) continue;
      const key = `${consumer} ${delivery_id}`;
      if (open.has(key)) say(`has two open letters of ${key}`);
      open.add(key);
      if (code === '') say(`has a letter of ${consumer} without a reason`);
      if (!isDead(order, consumer, delivery_id)) say(`has an open letter of ${consumer} that nobody can send back`);
    }
    for (const [key, { state }] of order.deliveries) {
      if (state !== 'dead' || open.has(key)) continue;
      const wasCanceled = [...order.letters.values()].some(
        (letter) => `${letter.consumer} ${letter.delivery_id}` === key && letter.closed_how === 'canceled',
      );
      if (!wasCanceled) say(`has ${key} parked without a letter`);
    }
  }),

  ofOrder('end', 'a message that is too large is parked as that', (order, say) => {
    for (const { code, raw } of order.letters.values()) {
      if (raw === null || (code !== 'unreadable' && code !== 'oversized')) continue;
      const isTooLarge = raw.length > messageBytesMax;
      if (isTooLarge !== (code === 'oversized')) say(`has a message of ${raw.length} bytes parked as ${code}`);
      if (raw.length > messageBytesMax + 1) say(`has ${raw.length} bytes of a message kept`);
    }
  }),

  ofAll('end', 'no statement is wrong by itself', ({ noted }, say) => {
    for (const { what, label, code } of noted) {
      if (what === 'database-error' && /^(21|23|42)/.test(code ?? '')) say(`${label} was refused with ${code}`);
    }
  }),

  ofOrder('history', 'work that is given up is not performed', (order, say, { settings }) => {
    for (const { call, process, atMs } of order.calls) {
      const consumer = consumersOf[call];
      // Of a notification an order may have several at once.
      if (consumer === '' || consumer === 'notification') continue;
      const claim = order.deliveryMoves.findLast(
        (move) =>
          move.label === 'claim-deliveries' &&
          move.process === process &&
          move.after?.consumer === consumer &&
          move.atMs <= atMs,
      );
      const since = claim?.before?.waiting_since;
      const waitedMs = claim && since ? settings.epochMs + claim.atMs - since.getTime() : 0;
      if ((claim?.after?.takeovers ?? 0) > takeoversMax) say(`had ${call} called after ${takeoversMax} takeovers`);
      if (waitedMs > settings.maxWaitMs + readingMs)
        say(`had ${call} called after ${Math.round(waitedMs)} ms of waiting`);
    }
  }),

  ofOrder('history', 'what has waited for too long is given up', (order, say, { settings }) => {
    for (const { label, before, after, atMs } of order.deliveryMoves) {
      if (label !== 'claim-deliveries' || after?.state !== 'waiting' || before?.state !== 'waiting') continue;
      // A fact of another release may wait for longer.
      const type = order.facts.find(({ id }) => id === after.event_id)?.type;
      if (!settings.subscribed.some((one) => one.type === type) || before.waiting_since === null) continue;
      const waitedMs = settings.epochMs + atMs - before.waiting_since.getTime();
      if (waitedMs > settings.maxWaitMs + readingMs)
        say(`had ${after.consumer} wait on after ${Math.round(waitedMs)} ms`);
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
      const its = end ? callsOf(order, consumer, end.process, end.after?.token ?? null, end.atMs, evidence) : [];
      // Of two runs in one process nobody can tell whose call it was: one that was not interrupted will do.
      const wasInterrupted = its.length > 0 && its.every(({ trouble }) => trouble?.isInterrupted);
      if (wasInterrupted || code === 'interrupted') say(`had an interruption of ${consumer} charged`);
    }
  }),

  ofAll('end', 'a breaker opens and closes by what its partner answers', (evidence, say) => {
    const openedMs = new Map<string, number>();
    for (const { process, dependency, state, monotonicMs } of evidence.breakers) {
      const about = `${process} ${dependency}`;
      const sinceMs = openedMs.get(about) ?? 0;
      const its = evidence.calls.filter((call) => call.process === process && call.dependency === dependency);
      if (state === 'open') {
        openedMs.set(about, monotonicMs);
        const wasAway = its.some(({ trouble, endedMs = 0 }) => trouble?.dependencyDown && endedMs <= monotonicMs);
        if (!wasAway) say(`${about} was opened, and nobody had found it away`);
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
      const call = lastCallOf(order, consumer, end.process, end.after.token, end.atMs, evidence);
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
    for (const { sequence, process, label, after, atMs } of order.deliveryMoves) {
      if (label !== 'end-deliveries' || after?.state !== 'dead') continue;
      const letter = [...order.letters.values()].find(
        (one) =>
          one.consumer === after.consumer && one.delivery_id === after.event_id && one.attempts === after.attempt,
      );
      const call = lastCallOf(order, after.consumer, process, after.token, atMs, evidence);
      // The very letter of this end, after a call that told of its partner being away.
      if (letter === undefined || call === null || !isAway(letter.code) || !call.trouble?.dependencyDown) continue;
      if (!wasAlive(call, evidence)) {
        say(`was parked by ${after.consumer} (${letter.code}, commit ${sequence}) while its partner answered nobody`);
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

// The settle that wrote the attempt.
function endOf(order: OrderEvidence, index: number): Moved<DeliveryRow> | undefined {
  const [attempt, written] = [order.attempts[index], order.attemptSequences[index]];
  return order.deliveryMoves.find(
    ({ label, after, sequence }) =>
      label === 'end-deliveries' &&
      sequence === written &&
      after?.event_id === attempt?.event_id &&
      after?.consumer === attempt?.consumer,
  );
}

function isAnswer({ trouble, endedMs = 0 }: Call, fromMs: number, toMs: number): boolean {
  if (endedMs < fromMs || endedMs > toMs) return false;
  return trouble === null || (trouble?.dependencyDown === false && trouble.class !== 'unknown');
}

// The last call that the claim with this token has made.
function lastCallOf(...which: Parameters<typeof callsOf>): Call | null {
  return callsOf(...which).at(-1) ?? null;
}

// What a process has called for a consumer since this token was made: the calls of its claim, and those of
// another run of the same work in the same process, if there was one.
function callsOf(
  order: OrderEvidence,
  consumer: string,
  process: string,
  token: string | null,
  // When its attempt ended.
  atMs: number,
  { tokens }: Evidence,
): readonly Call[] {
  const sinceMs = tokens.get(token ?? '')?.monotonicMs ?? 0;
  const isIts = (call: Call) =>
    call.process === process &&
    consumersOf[call.call] === consumer &&
    call.monotonicMs >= sinceMs &&
    call.atMs <= atMs &&
    call.trouble !== undefined;
  return order.calls.filter(isIts);
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

// The calls to a dependency whose work was claimed while its breaker stood open in that process: it was
// asked at the moment at which the claim's token was made.
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

const consumersOf: Readonly<Record<Call['call'], string>> = {
  authorize: 'payment',
  lookup: '',
  book: 'fulfillment',
  void: 'compensation',
  recall: 'compensation',
  send: 'notification',
  // One call carries the documents of many.
  index: '',
};

function askedFor(call: Call, { orders, tokens }: Evidence): number | null {
  const consumer = consumersOf[call.call];
  const moves = orders.get(call.orderId ?? '')?.deliveryMoves ?? [];
  let askedMs: number | null = null;
  for (const { label, after, process } of moves) {
    if (label !== 'claim-deliveries' || after?.consumer !== consumer || process !== call.process) continue;
    // A claim that took the work over only to hold it has let nothing through.
    if (after.state !== 'running') continue;
    const token = tokens.get(after.token ?? '');
    if (token !== undefined && token.monotonicMs <= call.monotonicMs)
      askedMs = Math.max(askedMs ?? 0, token.monotonicMs);
  }
  return askedMs;
}

// When the breaker was opened that stood open at `askedMs`; null where it was closed.
function openedBefore(askedMs: number, call: Call, { breakers }: Evidence): number | null {
  let openedMs: number | null = null;
  for (const { process, dependency, state, monotonicMs } of breakers) {
    if (process !== call.process || dependency !== call.dependency || monotonicMs >= askedMs) continue;
    openedMs = state === 'open' ? monotonicMs : null;
  }
  return openedMs;
}

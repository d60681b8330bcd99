// Work: claims, leases, attempts, letters.

import type { Call, Evidence, Moved, OrderEvidence } from '../evidence.ts';
import { isOfReader } from '../readers.ts';
import type { DeliveryRow } from '../rows.ts';
import { callsOf, consumersOf, endOf } from './calls.ts';
import { type Invariant, ofAll, ofOrder } from './law.ts';

// Deaths of workers that one delivery survives before it is given up; whoever gives it up may die of something else.
const takeoversMax = 10;
const deathsMax = 10;
const throttled = 'partner-throttled';
// From the moment at which a claim reads the rows to its commit, locks and late statements included.
const readingMs = 20_000;
// The largest message that is read; of a larger one a byte more is kept, so that it stays too large.
const messageBytesMax = 65_536;

type Say = (sentence: string) => void;

// A claim takes what is due, under a new token of its own, and counts either an attempt or a takeover.
function lookAtClaim(move: Moved<DeliveryRow>, after: DeliveryRow, say: Say, { tokens, settings }: Evidence): void {
  const nowMs = settings.epochMs + move.atMs;
  const { before, process } = move;
  const name = `${after.consumer} of ${after.event_id}`;
  const runs = after.state === 'running' ? 1 : 0;
  if (!['running', 'waiting', 'skipped'].includes(after.state)) say(`${name} was claimed and is ${after.state}`);
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

// What a reader of the log has parked lies behind its cursor.
function isDead(order: OrderEvidence, consumer: string, eventId: string): boolean {
  if (isOfReader(consumer)) {
    return ![...order.owed.values()].some(({ reader, fact }) => reader.startsWith(consumer) && fact.id === eventId);
  }
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
      // Nor whether it was the attempt's own: one that failed before its call, as in a rehearsal or because it had
      // waited for too long, has the interrupted call of the run before it here, and another code than that call.
      const wasInterrupted =
        its.every(({ trouble }) => trouble?.isInterrupted) && its.some(({ trouble }) => trouble?.code === code);
      if (wasInterrupted || code === 'interrupted') say(`had an interruption of ${consumer} charged`);
    }
  }),
];

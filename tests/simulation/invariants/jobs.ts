// Jobs: who may make, claim, put back and end one, and what must come with its end.
//
// What a consumer is needed for is written here a second time, from the design and not from src/flow.

import type { Evidence, Moved, OrderEvidence } from '../evidence.ts';
import type { EffectRow, JobRow } from '../rows.ts';
import { deadLetterWith, eventOf, isClaim, isSettle, type JobMove, jobOf } from './calls.ts';
import { coreConsumers, type Invariant, nameOfType, ofOrder } from './law.ts';

type Say = (sentence: string) => void;

const nameOfJob = ({ consumer, version }: JobRow) => `${consumer} of version ${version}`;
const count = ({ epoch, attempt, takeovers }: JobRow) => `(epoch ${epoch}, attempt ${attempt}, takeovers ${takeovers})`;
const isLeasedAt = ({ lease_until }: JobRow, ms: number) => lease_until !== null && lease_until.getTime() > ms;

// With its event, or by a person who sends a dead letter back.
function lookAtBirth({ label, sequence }: JobMove, after: JobRow, order: OrderEvidence, say: Say): void {
  const name = nameOfJob(after);
  if (after.token !== null || after.attempt !== 0 || after.takeovers !== 0 || after.waiting_since !== null)
    say(`${name} began as ${count(after)}`);
  if (after.due_at > after.created_at) say(`${name} began with a wait`);
  const nth = order.events.findIndex(({ version }) => version === after.version);
  if (order.events[nth]?.type !== after.event_type)
    return say(`${name} is of ${after.event_type}, which is no event of it`);
  if (label === 'recreate-jobs') {
    const isOfDeadLetter = order.deadLetterMoves.some(
      (move) =>
        move.sequence === sequence &&
        move.after?.closed_how === 'reprocessed' &&
        move.after.consumer === after.consumer &&
        move.after.version === after.version &&
        move.after.epoch === after.epoch - 1,
    );
    if (!isOfDeadLetter) say(`${name} began again in epoch ${after.epoch} without a dead letter that was sent back`);
  } else if (order.eventSequences[nth] !== sequence || after.epoch !== 0) say(`${name} began without its event`);
}

// A claim takes what is due and nobody's, under a new token of its own, and counts either an attempt or a takeover.
function lookAtClaim(move: JobMove, before: JobRow, after: JobRow, say: Say, { tokens, settings }: Evidence): void {
  const { process, atMs } = move;
  const nowMs = settings.epochMs + atMs;
  const name = nameOfJob(after);
  if (after.token === null || tokens.get(after.token)?.process !== process)
    say(`${name} was claimed in a foreign name`);
  if (after.token === before.token) say(`${name} was claimed twice under one token`);
  lookIfFree(before, nowMs, 'claimed', say);
  const isTakeover = before.token !== null;
  const attempt = before.attempt + (isTakeover ? 0 : 1);
  const takeovers = before.takeovers + (isTakeover ? 1 : 0);
  if (after.epoch !== before.epoch || after.attempt !== attempt || after.takeovers !== takeovers)
    say(`${name} went by a claim from ${count(before)} to ${count(after)}`);
  if (Number(after.due_at) !== Number(before.due_at)) say(`${name} had its time changed by a claim`);
  if (Number(after.lease_until) > nowMs + settings.leaseMs) say(`${name} was leased for too long`);
}

function lookIfFree(before: JobRow, nowMs: number, how: string, say: Say): void {
  if (before.token === null && before.due_at.getTime() > nowMs)
    say(`${nameOfJob(before)} was ${how} before it was due`);
  if (isLeasedAt(before, nowMs)) say(`${nameOfJob(before)} was ${how} while somebody else held it`);
}

// A settle ends or puts back what its own claim holds; only a wait that nobody is to blame for gives the attempt back.
function lookAtSettle(move: JobMove, before: JobRow, say: Say, { tokens, settings }: Evidence): void {
  const { after, token, process, atMs } = move;
  const name = nameOfJob(before);
  if (token === null || token !== before.token) say(`${name} was settled under a stale token`);
  if (token !== null && tokens.get(token)?.process !== process) say(`${name} was settled by one who never claimed it`);
  if (after === null) return;
  const isGivenBack = after.attempt === before.attempt - 1;
  if (after.epoch !== before.epoch || after.takeovers !== before.takeovers)
    say(`${name} changed its epoch in a settle`);
  if (after.attempt !== before.attempt && !isGivenBack)
    say(`${name} went by a settle from attempt ${before.attempt} to ${after.attempt}`);
  if (after.token !== null || after.lease_until !== null) say(`${name} waits, and is held`);
  // A charged attempt ends an uncharged wait; an uncharged one goes on with it, or begins it.
  const sinceMs = after.waiting_since?.getTime() ?? null;
  const nowMs = settings.epochMs + atMs;
  const isRight = isGivenBack
    ? sinceMs !== null &&
      (before.waiting_since === null ? sinceMs <= nowMs : sinceMs === before.waiting_since.getTime())
    : sinceMs === null;
  if (!isRight) say(`${name} has waited since ${after.waiting_since}, by a settle of attempt ${after.attempt}`);
}

// What a job's end must bring with it: its effect, its dead letter, or the reason why nobody needs it any more.
function lookAtEnd(move: JobMove, before: JobRow, order: OrderEvidence, say: Say): void {
  const { sequence } = move;
  const event = eventOf(order, before);
  if (isSettle(move)) {
    if (deadLetterWith(order, move) !== undefined) return;
    const hasEvent = order.events.some(
      ({ causation_id, type }, nth) =>
        order.eventSequences[nth] === sequence && causation_id === event?.id && nameOfType(type) !== 'OrderFailed',
    );
    const isTold = order.attempts.some(
      ({ consumer, event_id, outcome }, nth) =>
        order.attemptSequences[nth] === sequence &&
        consumer === before.consumer &&
        event_id === event?.id &&
        outcome === 'done',
    );
    if (hasEvent || isTold) return;
  }
  if (isNeeded(order, before, sequence - 1)) say(`${nameOfJob(before)} was ended, and nothing came of it`);
}

type Keyed = Pick<JobRow, 'consumer' | 'version'>;
const isSame = (one: Keyed | null, { consumer, version }: Keyed) =>
  one !== null && one.consumer === consumer && one.version === version;

const isOwed = (effect: EffectRow | undefined) =>
  effect !== undefined && ['intent', 'unknown', 'done', 'stuck'].includes(effect.state);

// Whether an order, as a commit left it, is one that the consumer still has to do something for.
function isNeeded(order: OrderEvidence, job: JobRow, sequence: number): boolean {
  const row = lastOf(order.moves, sequence);
  const event = eventOf(order, job);
  if (!row || event === undefined) return false;
  const isOpen = row.status === 'PENDING' || row.status === 'PROCESSING';
  const isDeclined = row.reason_code === 'payment-declined';
  switch (`${job.consumer} ${nameOfType(event.type)}`) {
    case 'payment OrderCreated':
      return isOpen;
    case 'fulfillment PaymentAuthorized':
      return isOpen && row.payment === 'authorized';
    case 'compensation OrderCanceled': {
      const effects = (['authorization', 'booking'] as const).map((name) =>
        lastOf(
          order.effectMoves.filter(({ after }) => after?.name === name),
          sequence,
        ),
      );
      return row.status === 'CANCELED' && effects.some((effect) => isOwed(effect ?? undefined));
    }
    case 'notification FulfillmentScheduled':
      return row.status === 'PROCESSED';
    case 'notification PaymentFailed':
      return isDeclined;
    case 'notification OrderCanceled':
      return !isDeclined;
    case 'notification OrderFailed':
      return row.status === 'FAILED';
    default:
      return true;
  }
}

const lastOf = <T>(moves: readonly Moved<T>[], sequence: number): T | null | undefined =>
  moves.findLast((move) => move.sequence <= sequence)?.after;

export const jobs: readonly Invariant[] = [
  ofOrder(
    'history',
    'a job moves by its event, its claim, its settle, or a person, and by nothing else',
    (order, say, evidence) => {
      for (const move of order.jobMoves) {
        const { before, after, label, atMs } = move;
        const name = nameOfJob(jobOf(move));
        if (before === null) {
          if (after !== null) lookAtBirth(move, after, order, say);
        } else if (isSettle(move)) lookAtSettle(move, before, say, evidence);
        else if (after === null) {
          if (label !== 'delete-jobs') say(`${name} was removed by ${label}`);
          lookIfFree(before, evidence.settings.epochMs + atMs, 'ended by a claim', say);
        } else if (isClaim(move)) lookAtClaim(move, before, after, say, evidence);
        else if (label === 'renew-leases') {
          const isSame = after.token === before.token && after.attempt === before.attempt;
          if (before.token === null || !isSame || Number(after.lease_until) < Number(before.lease_until))
            say(`${name} was renewed as ${count(before)}`);
        } else if (label !== 'end-all-leases') say(`${name} was changed by ${label}`);
      }
    },
  ),

  ofOrder('history', 'a job ends only with its effect, its dead letter, or because nobody needs it', (order, say) => {
    for (const move of order.jobMoves) {
      if (move.before !== null && move.after === null) lookAtEnd(move, move.before, order, say);
    }
  }),

  ofOrder('always', 'an event has a job for each consumer that subscribes to it', (order, say, { settings }) => {
    for (const [nth, event] of order.events.entries()) {
      for (const { consumer, type } of settings.subscribed) {
        if (type !== event.type) continue;
        const born = order.jobMoves.find(
          ({ before, after }) => before === null && after?.consumer === consumer && after.version === event.version,
        );
        if (born?.sequence !== order.eventSequences[nth])
          say(`has ${event.type} (version ${event.version}) without a job of ${consumer}`);
      }
    }
  }),

  ofOrder('always', 'an order under way has the job of its next step', ({ row, events, jobs }, say) => {
    if (row?.status !== 'PENDING' && row?.status !== 'PROCESSING') return;
    const isPaid = events.some(({ type }) => nameOfType(type) === 'PaymentAuthorized');
    const next = isPaid ? 'fulfillment' : 'payment';
    if (![...jobs.values()].some(({ consumer }) => consumer === next))
      say(`is ${row.status}, and has no job of ${next}`);
  }),

  ofOrder('always', 'what a canceled order has outside is owed its undoing', (order, say) => {
    if (order.row?.status !== 'CANCELED') return;
    const isUndone = ![...order.effects.values()].some(isOwed);
    const isSaid =
      [...order.jobs.values()].some(({ consumer }) => consumer === 'compensation') ||
      [...order.deadLetters.values()].some(
        ({ consumer, closed_at }) => consumer === 'compensation' && closed_at === null,
      );
    if (!isUndone && !isSaid) say('is CANCELED, has something outside, and nobody is to undo it');
  }),

  ofOrder('always', 'work has a job or an open dead letter, never both', (order, say) => {
    const open = new Set<string>();
    for (const { consumer, version, closed_at, code } of order.deadLetters.values()) {
      if (closed_at !== null) continue;
      const key = `${consumer} ${version}`;
      if (open.has(key)) say(`has two open dead letters of ${consumer} of version ${version}`);
      open.add(key);
      if (code === '') say(`has a dead letter of ${consumer} without a reason`);
      if (order.jobs.has(key)) say(`has an open dead letter of ${consumer} of version ${version}, and its job`);
    }
  }),

  ofOrder(
    'history',
    'a dead letter comes with the end of its job, and brings it back when a person says so',
    (order, say, evidence) => {
      const withJobs = new Set(evidence.settings.subscribed.map(({ consumer }) => consumer));
      for (const { before, after, sequence, label } of order.deadLetterMoves) {
        if (after === null) {
          if (before?.closed_at === null) say(`lost an open dead letter of ${before.consumer}`);
          continue;
        }
        const end = order.jobMoves.find(
          (move) => move.sequence === sequence && move.after === null && isSame(move.before, after),
        );
        if (before === null && withJobs.has(after.consumer) && end === undefined)
          say(`has a dead letter of ${after.consumer} of version ${after.version}, whose job had not ended`);
        if (before === null && end?.before && end.before.epoch !== after.epoch)
          say(`has a dead letter of epoch ${after.epoch} of a job of epoch ${end.before.epoch}`);
        if (before !== null && label !== 'close-dead-letters')
          say(`had a dead letter of ${after.consumer} changed by ${label}`);
        if (before?.closed_at === null && after.closed_how === 'reprocessed') {
          // What reads behind a cursor has no jobs.
          const isBack = withJobs.has(after.consumer)
            ? order.jobMoves.some((move) => move.sequence === sequence && isSame(move.after, after))
            : evidence.cursorMoves.some((move) => move.sequence === sequence && move.label === 'reopen-events');
          if (!isBack)
            say(`had a dead letter of ${after.consumer} of version ${after.version} sent back, and nothing came of it`);
        }
        if (after.closed_how === 'canceled' && !coreConsumers.has(after.consumer))
          say(`had a dead letter of ${after.consumer} closed by a cancel`);
      }
    },
  ),
];

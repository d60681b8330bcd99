// Situations of the engine's own: claims, settles, waits, dead letters.

import type { OrderEvidence } from '../evidence.ts';
import { deadLetterWith, isClaim, isSettle, isTakeover, type JobMove, jobOf } from '../invariants/calls.ts';
import { coreConsumers, nameOfType } from '../invariants/law.ts';
import { ofCommits, ofNotes, rare, type Sometimes } from './counter.ts';

const movesLike = (order: OrderEvidence, is: (move: JobMove) => boolean) => order.jobMoves.filter(is).length;
const endsLike = ({ ended }: Run, end: string) => ended.filter((one) => one.end === end).length;
// A claim that is the first of its job, in a transaction that begins so.
const isFirstClaim = (move: JobMove, transaction: string) =>
  isClaim(move) && move.transaction === transaction && move.before?.epoch === 0 && move.before.attempt === 0;
const claimsByHint = 'lock-orders-by-id';
const claimsByPoll = 'lock-orders-of-due-jobs';
const claimsWithEvent = ['accept-orders', 'lock-orders'];
const attemptsLike = (order: OrderEvidence, outcome: string, code?: string) =>
  order.attempts.filter((one) => one.outcome === outcome && (code === undefined || one.code === code)).length;
const deadLettersLike = (order: OrderEvidence, code: string) =>
  [...order.deadLetters.values()].filter((deadLetter) => deadLetter.code === code).length;
const isBusy = (order: OrderEvidence, consumer: string, until: number) =>
  (order.jobMoves.findLast((move) => move.sequence < until && jobOf(move).consumer === consumer)?.after?.token ??
    null) !== null;
const cancelsWhile = (order: OrderEvidence, is: (sequence: number) => boolean) =>
  order.moves.filter(
    (move) =>
      move.before !== null && move.after?.reason_code === 'canceled-by-request' && is(move.sequence) && isCancel(move),
  ).length;
const isCancel = ({ before, after }: OrderEvidence['moves'][number]) =>
  before?.status !== 'CANCELED' && after?.status === 'CANCELED';

export const working: readonly Sometimes[] = [
  ofCommits('takeover', 'A claim takes over from a worker whose lease is over.', (order) =>
    movesLike(order, isTakeover),
  ),
  {
    name: 'zombie refused',
    sentence: 'A settle comes too late, under a token that is not the job’s any more.',
    count: (evidence) => endsLike(evidence, 'stale'),
  },
  {
    name: 'lease renewed',
    sentence: 'Work that lasts longer than a third of its lease keeps it.',
    count: ({ orders }) =>
      [...orders.values()].reduce((sum, order) => sum + movesLike(order, ({ label }) => label === 'renew-leases'), 0),
  },
  ofCommits(
    'job claimed with its event',
    'A job is written as claimed by the process that writes its event.',
    (order) => movesLike(order, (move) => claimsWithEvent.some((transaction) => isFirstClaim(move, transaction))),
  ),
  ofCommits('job claimed by its hint', 'A hint brings a consumer to a new job.', (order) =>
    movesLike(order, (move) => isFirstClaim(move, claimsByHint)),
  ),
  ofCommits('job claimed by a poll', 'A poll finds a new job whose hint was lost, or came to no slot.', (order) =>
    movesLike(order, (move) => isFirstClaim(move, claimsByPoll)),
  ),
  ofCommits('retry claimed by a poll', 'A poll finds a job whose wait is over.', (order) =>
    movesLike(order, (move) => isClaim(move) && move.transaction === claimsByPoll && (move.before?.attempt ?? 0) > 0),
  ),
  {
    name: 'hint of a job that is gone',
    sentence: 'A message comes again, or late, and there is nothing to do; or a repeated settle finds it done.',
    count: (evidence) => endsLike(evidence, 'gone'),
  },
  {
    name: 'hint of a job under way',
    sentence: 'A message comes while somebody is at work on its job.',
    count: (evidence) => endsLike(evidence, 'busy'),
  },
  {
    name: 'hint during a wait',
    sentence: 'A message comes while its job waits, and spends no attempt.',
    count: (evidence) => endsLike(evidence, 'not-due'),
  },
  ofNotes(
    'unreadable message dropped',
    'A message that nobody can read is counted and dropped.',
    ({ what }) => what === 'unreadable',
  ),
  ofCommits(
    'event published twice',
    'An event is given to the bus more than once.',
    (order) => order.publications.length - new Set(order.publications.map(({ eventId }) => eventId)).size,
  ),
  ofNotes(
    'settle decided again',
    'A settle misses a guard, or its order is locked, and is decided anew.',
    ({ what, label }) => (what === 'guard-missed' || what === 'rows-locked') && label === 'lock-orders',
  ),
  rare(
    ofNotes(
      'claim decided again',
      'A claim misses a guard, for a lease was renewed meanwhile, and is decided anew.',
      ({ what, label }) => what === 'guard-missed' && [claimsByHint, claimsByPoll].includes(label),
    ),
  ),
  ofNotes(
    'claim of a locked order',
    'A claim leaves an order that somebody has locked for later.',
    (note) => note.what === 'rows-locked' && note.label === claimsByHint,
  ),
  {
    name: 'flush split for one bad row',
    sentence: 'A row that the database refuses fails alone.',
    count: ({ placements }) =>
      placements.filter(({ isImpossible, answer }) => isImpossible && answer?.answer === 'failed').length,
  },
  ofNotes(
    'lost answer of a settle found by its token',
    'A settle commits, its answer is lost, and it is not repeated in effect.',
    (note, evidence) =>
      note.what === 'answer-lost' && note.label === 'COMMIT of lock-orders' && livedOn(note, evidence),
  ),
  ...[claimsByHint, claimsByPoll].map((transaction) =>
    ofNotes(
      `lost answer of a claim found by its token: ${transaction}`,
      'A claim commits, its answer is lost, and its repetition runs.',
      (note, evidence) =>
        note.what === 'answer-lost' && note.label === `COMMIT of ${transaction}` && livedOn(note, evidence),
    ),
  ),
  ofNotes(
    'lost answer of an accept found by its order',
    'Orders are written, the answer is lost, the identical write follows.',
    (note, evidence) =>
      note.what === 'answer-lost' && note.label === 'COMMIT of accept-orders' && livedOn(note, evidence),
  ),
  ofNotes(
    'deadlock or lock timeout survived',
    'The database gives one up for another.',
    ({ what, code }) => what === 'database-error' && ['40P01', '40001', '55P03', '57014'].includes(code ?? ''),
  ),
  ofNotes(
    'lost answer of the analytics found by their cursor',
    'Events are counted, the answer is lost, and the next look is behind them.',
    (note, evidence) =>
      note.what === 'answer-lost' && note.label === 'COMMIT of lock-cursor' && livedOn(note, evidence),
  ),
  {
    name: 'document brought twice',
    sentence: 'Documents are brought, and their cursor is not stored: they are brought again.',
    count: ({ orders, ledger }) =>
      [...orders.values()].filter(({ id }) => ledger.broughtOf(id).some(({ isStored }) => !isStored)).length,
  },
  {
    name: 'replay answered',
    sentence: 'A repeated request gets its first answer again.',
    count: ({ placements }) => placements.filter(({ answer }) => answer?.answer === 'replayed').length,
  },
  {
    name: 'told that nothing is stored',
    sentence: 'A client is told that nothing is stored, and so it is.',
    count: ({ placements }) =>
      placements.filter(({ answer }) => answer?.answer === 'unavailable' && answer.stored === 'nothing').length,
  },
  {
    name: 'told that it may be stored',
    sentence: 'A client is told that its order may be stored.',
    count: ({ placements }) =>
      placements.filter(({ answer }) => answer?.answer === 'unavailable' && answer.stored === 'unknown').length,
  },
  ...[...coreConsumers].map((consumer) =>
    ofCommits(`canceled during ${consumer}`, `A cancel comes while ${consumer} is at work.`, (order) =>
      cancelsWhile(order, (sequence) => isBusy(order, consumer, sequence)),
    ),
  ),
  ofCommits(
    'canceled between the steps',
    'A cancel comes when the money is held and nobody has begun to book.',
    (order) =>
      cancelsWhile(
        order,
        (sequence) =>
          !isBusy(order, 'fulfillment', sequence) &&
          order.moves.findLast((move) => move.sequence < sequence)?.after?.payment === 'authorized',
      ),
  ),
  ofCommits('reprocess succeeded', 'An order that failed is sent back and processed.', (order) =>
    order.row?.status === 'PROCESSED' && order.events.some(({ type }) => nameOfType(type) === 'OrderReprocessed')
      ? 1
      : 0,
  ),
  {
    name: 'reprocess refused the second time',
    sentence: 'Two people send an order back, and one is told that there is nothing to send back.',
    count: ({ acts }) => {
      const done = new Set(
        acts
          .filter(({ act, answer }) => act === 'reprocess' && answer?.answer === 'done')
          .map(({ orderId }) => orderId),
      );
      return acts.filter(
        ({ act, answer, orderId }) => act === 'reprocess' && answer?.answer === 'refused' && done.has(orderId),
      ).length;
    },
  },
  ofCommits('second dead letter', 'Work that was sent back is parked again.', (order) => {
    const seen = [...order.deadLetters.values()].map(({ consumer, version }) => `${consumer} ${version}`);
    return seen.length - new Set(seen).size;
  }),
  {
    name: 'cursor taken over',
    sentence: 'A reader takes a cursor whose owner is gone.',
    count: ({ cursorMoves }) =>
      cursorMoves.filter(
        ({ before, after }) =>
          before?.token && after?.token && before.token !== after.token && before.reader === after.reader,
      ).length,
  },
  {
    name: 'gap read late',
    sentence: 'A reader finds an event that was committed after one with a higher position.',
    count: ({ cursorMoves }) =>
      cursorMoves.filter(
        ({ before, after }) => before && after && before.gaps !== '{}' && after.gaps.length < before.gaps.length,
      ).length,
  },
  rare(
    ofNotes(
      'old event version upcast',
      'An event of an older version is read at the newest.',
      ({ what }) => what === 'old-version-read',
    ),
  ),
  ofCommits(
    'graceful stop released uncharged',
    'Work is given back by a process that stops, without a charge.',
    (order) => attemptsLike(order, 'wait', 'interrupted'),
  ),
  {
    name: 'outage written down',
    sentence: 'A dependency is away, and the database is told since when.',
    count: ({ dependencyMoves }) => dependencyMoves.filter(({ before }) => before === null).length,
  },
  {
    name: 'outage over',
    sentence: 'The first success of anybody tells the database that a dependency is back.',
    count: ({ dependencyMoves }) => dependencyMoves.filter(({ after }) => after === null).length,
  },
  ofCommits('waited too long', 'What waited for longer than it may is parked.', (order) =>
    deadLettersLike(order, 'waited-too-long'),
  ),
  rare(
    ofCommits('waited too long untouched', 'A job that nobody touched while its partner was away is parked.', (order) =>
      movesLike(order, (move) => {
        if (!isSettle(move) || deadLetterWith(order, move)?.code !== 'waited-too-long') return false;
        return order.jobMoves.some(({ token, before }) => token === move.token && before?.waiting_since === null);
      }),
    ),
  ),
  rare(
    ofCommits('worker lost', 'Work that workers die of is parked.', (order) => deadLettersLike(order, 'worker-lost')),
  ),
  ofCommits('attempt retried', 'A failed attempt is charged and tried again.', (order) => attemptsLike(order, 'retry')),
  ofCommits(
    'retry at once',
    'A retry is due within a quarter of its longest wait, so waves of them break up.',
    (order, evidence) => shareOfBackoff(order, evidence, (share) => share < 0.25),
  ),
  ofCommits('retry late', 'A retry is due in the last quarter of its longest wait.', (order, evidence) =>
    shareOfBackoff(order, evidence, (share) => share > 0.75),
  ),
  ofCommits('attempt waits uncharged', 'An attempt ends as a wait that nobody is charged for.', (order) =>
    attemptsLike(order, 'wait'),
  ),
  ofCommits('attempt parked', 'The last attempt fails, and a dead letter is written.', (order) =>
    attemptsLike(order, 'dead'),
  ),
  ofCommits('obsolete at its claim', 'A claim finds work that nobody needs any more, and ends it.', (order) =>
    movesLike(order, (move) => move.before !== null && move.after === null && !isSettle(move)),
  ),
  ofCommits('obsolete at its settle', 'Work is done when nobody needs it any more.', (order) =>
    movesLike(
      order,
      (move) =>
        isSettle(move) &&
        move.after === null &&
        deadLetterWith(order, move) === undefined &&
        ![...order.eventSequences, ...order.attemptSequences].includes(move.sequence),
    ),
  ),
];

type Run = Parameters<Sometimes['count']>[0];

function shareOfBackoff(order: OrderEvidence, { settings }: Run, is: (share: number) => boolean): number {
  const { retryDelayMs, retryDelayMsMax } = settings;
  const ceilingMs = (attempt: number) => Math.min(retryDelayMsMax, retryDelayMs * 2 ** (attempt - 1));
  return order.attempts.filter(
    ({ outcome, attempt, due_in_ms }) => outcome === 'retry' && is((due_in_ms ?? 0) / ceilingMs(attempt)),
  ).length;
}

// Whoever lost the answer lived on for long enough to try again.
function livedOn(note: { readonly process: string; readonly atMs: number }, evidence: Run): boolean {
  const { happenings, nowMs } = evidence;
  const end = happenings.find(
    ({ process, what, atMs }) =>
      process === note.process && atMs >= note.atMs && (what === 'killed' || what === 'stopped'),
  );
  return (end?.atMs ?? nowMs) - note.atMs > 1_000;
}

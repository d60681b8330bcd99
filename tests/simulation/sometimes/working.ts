// Situations of the engine's own: claims, settles, waits, letters.

import type { OrderEvidence } from '../evidence.ts';
import { coreConsumers, nameOfType } from '../invariants/law.ts';
import type { DeliveryRow } from '../rows.ts';
import { ofCommits, ofNotes, rare, type Sometimes } from './counter.ts';

type Move = { readonly before: DeliveryRow | null; readonly after: DeliveryRow | null; readonly label: string };
const movesLike = (order: OrderEvidence, is: (move: Move) => boolean) => order.deliveryMoves.filter(is).length;
const attemptsLike = (order: OrderEvidence, outcome: string, code?: string) =>
  order.attempts.filter((one) => one.outcome === outcome && (code === undefined || one.code === code)).length;
const lettersLike = (order: OrderEvidence, code: string) =>
  [...order.letters.values()].filter((letter) => letter.code === code).length;
const isBusy = (order: OrderEvidence, consumer: string, until: number) =>
  order.deliveryMoves.findLast((move) => move.sequence < until && move.after?.consumer === consumer)?.after?.state ===
  'running';
const cancelsWhile = (order: OrderEvidence, is: (sequence: number) => boolean) =>
  order.moves.filter(
    (move) =>
      move.before !== null && move.after?.reason_code === 'canceled-by-request' && is(move.sequence) && isCancel(move),
  ).length;
const isCancel = ({ before, after }: OrderEvidence['moves'][number]) =>
  before?.status !== 'CANCELED' && after?.status === 'CANCELED';

export const working: readonly Sometimes[] = [
  ofCommits('takeover', 'A claim takes over from a worker whose lease is over.', (order) =>
    movesLike(
      order,
      ({ label, before, after }) => label === 'claim-deliveries' && before?.state === 'running' && after !== null,
    ),
  ),
  {
    name: 'zombie refused',
    sentence: 'A settle comes too late, under a token that is not the delivery’s any more.',
    count: ({ ended }) => ended.filter(({ end }) => end === 'stale').length,
  },
  {
    name: 'lease renewed',
    sentence: 'Work that lasts longer than a third of its lease keeps it.',
    count: ({ orders }) =>
      [...orders.values()].reduce((sum, order) => sum + movesLike(order, ({ label }) => label === 'renew-leases'), 0),
  },
  ofCommits('fact pulled', 'A consumer is at work on a fact that no bus has been given yet.', pulledIn),
  ofCommits(
    'fact published twice',
    'A fact is given to the bus more than once.',
    (order) => order.publications.length - new Set(order.publications.map(({ eventId }) => eventId)).size,
  ),
  ofNotes(
    'message acknowledged while its work runs',
    'The bus is rid of a message as soon as the database has its work.',
    (note, { orders }) =>
      note.what === 'acknowledged-at-work' &&
      [...orders.values()].some(({ deliveryMoves }) => {
        const settled = deliveryMoves.find(
          ({ label, after, atMs }) => label === 'end-deliveries' && after?.token === note.label && atMs > note.atMs,
        );
        // It was the message that brought the work, and not a retry of it.
        const begun = deliveryMoves.find(
          ({ after }) => after?.event_id === settled?.after?.event_id && after?.consumer === settled?.after?.consumer,
        );
        return settled !== undefined && begun?.after?.token === note.label;
      }),
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
      ({ what, label }) => what === 'guard-missed' && label === 'lock-orders-of-facts',
    ),
  ),
  ofNotes(
    'claim of a locked order',
    'A claim leaves an order that somebody has locked for later.',
    (note) => note.what === 'rows-locked' && note.label === 'lock-orders-of-facts',
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
    'lost answer of the books found by their cursor',
    'Facts are counted, the answer is lost, and the next look is behind them.',
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
    order.row?.status === 'PROCESSED' && order.facts.some(({ type }) => nameOfType(type) === 'OrderReprocessed')
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
    const seen = [...order.letters.values()].map(({ consumer, delivery_id }) => `${consumer} ${delivery_id}`);
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
    sentence: 'A reader finds a fact that was committed after one with a higher position.',
    count: ({ cursorMoves }) =>
      cursorMoves.filter(
        ({ before, after }) => before && after && before.gaps !== '{}' && after.gaps.length < before.gaps.length,
      ).length,
  },
  ofCommits('message parked as unreadable', 'A message that nobody can read is kept with its bytes.', (order) =>
    order.id === '' ? lettersLike(order, 'unreadable') + lettersLike(order, 'oversized') : 0,
  ),
  ofCommits('message parked as of no fact', 'A message with an id that no fact has is kept with its bytes.', (order) =>
    order.id === '' ? lettersLike(order, 'unknown-fact') : 0,
  ),
  ofCommits('unread message read again', 'A person sends an unread message back, and it is parked again.', (order) =>
    movesLike(order, ({ label, before }) => label === 'park-unread' && before?.state === 'waiting'),
  ),
  rare(
    ofCommits(
      'unread message finished',
      'A message that was sent back is of use after all, or of none any more.',
      (order) =>
        movesLike(order, ({ label, before, after }) => label === 'finish-unread' && before?.state !== after?.state),
    ),
  ),
  rare(
    ofNotes(
      'old fact version upcast',
      'A fact of an older version is read at the newest.',
      ({ what }) => what === 'old-version-read',
    ),
  ),
  ofCommits(
    'graceful stop released uncharged',
    'Work is given back by a process that stops, without a charge.',
    (order) => attemptsLike(order, 'wait', 'interrupted'),
  ),
  ofCommits('hold while a breaker is open', 'A new fact is entered as waiting, because its partner is away.', (order) =>
    movesLike(
      order,
      ({ label, before, after }) => label === 'claim-deliveries' && before === null && after?.state === 'waiting',
    ),
  ),
  ofCommits('waited too long', 'What waited for longer than it may is parked.', (order) =>
    lettersLike(order, 'waited-too-long'),
  ),
  rare(ofCommits('worker lost', 'Work that workers die of is parked.', (order) => lettersLike(order, 'worker-lost'))),
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
  ofCommits('attempt parked', 'The last attempt fails, and a letter is written.', (order) =>
    attemptsLike(order, 'dead'),
  ),
  ofCommits('delivery skipped', 'Work that nobody needs any more ends as skipped.', (order) =>
    movesLike(order, ({ before, after }) => after?.state === 'skipped' && before?.state !== 'skipped'),
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

// Sure ones only: what the bus has lost after it had it is pulled too.
function pulledIn(order: OrderEvidence): number {
  return order.deliveryMoves.filter(
    ({ before, after, atMs }) =>
      before === null &&
      after?.state === 'running' &&
      !order.publications.some((one) => one.eventId === after.event_id && one.atMs <= atMs),
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

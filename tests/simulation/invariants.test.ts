// Each invariant is shown an evidence that it accepts and one that it must not: an oracle that never
// speaks would let everything pass.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { moved, type Stories, tellStories } from './clean-evidence.ts';
import type { Act, Look, Noted, OrderEvidence, PlaceOutcome } from './evidence.ts';
import { isSettle, type JobMove } from './invariants/calls.ts';
import { checkAll, invariants } from './invariants.ts';
import type { DeadLetterRow, EffectRow, EventColumns, JobRow, OrderRow } from './rows.ts';
import { missingOf, sometimes, tally } from './sometimes.ts';

type Spoil = (stories: Stories) => void;

const setRow = (order: OrderEvidence, change: Partial<OrderRow>) => {
  order.row = { ...(order.row as OrderRow), ...change };
};
// A job that the stories have ended, as it was before.
const bringBack = (order: OrderEvidence, key: string, change: Partial<JobRow> = {}) => {
  const job = order.jobMoves.findLast(
    ({ before }) => before !== null && `${before.consumer} ${before.version}` === key,
  );
  order.jobs.set(key, { ...(job?.before as JobRow), ...change });
};
const setEffect = (order: OrderEvidence, name: string, change: Partial<EffectRow>) =>
  order.effects.set(name, { ...(order.effects.get(name) as EffectRow), ...change });
const raised = (order: OrderEvidence) =>
  order.effectMoves.find(({ before, after }) => before !== null && before.generation !== after?.generation) as {
    sequence: number;
    before: EffectRow | null;
  };
const lastDeadLetter = (order: OrderEvidence) => [...order.deadLetters.values()].at(-1) as DeadLetterRow;
const setDeadLetter = (order: OrderEvidence, change: Partial<DeadLetterRow>) =>
  order.deadLetters.set(lastDeadLetter(order).id, { ...lastDeadLetter(order), ...change });
const setEvent = (order: OrderEvidence, index: number, change: Partial<EventColumns>) => {
  order.events[index] = { ...(order.events[index] as EventColumns), ...change };
};
const answerOf = (order: OrderEvidence) => order.acknowledged[0]?.answer as Extract<PlaceOutcome, { order: unknown }>;
const authorizeAgain = ({ partners }: Stories, id: string, key: string, amount = 1_999) => {
  const terms = { amount, currency: 'USD', scenario: 'success', epoch: 0 } as const;
  return partners.payments.authorize({ key, orderId: id as never, ...terms });
};
const bookAgain = (stories: Stories, id: string, key: string) =>
  stories.partners.carrier.book({
    key,
    orderId: id as never,
    country: 'US',
    items: stories.orderOf(id).row?.items ?? [],
  });
// Changes the first move of a job that the stories have told and that was made so.
const spoilMove = (
  order: OrderEvidence,
  label: string,
  change: Partial<JobMove>,
  row: { readonly before?: Partial<JobRow>; readonly after?: Partial<JobRow> } = {},
) => {
  const index = order.jobMoves.findIndex((move) => move.label === label);
  const move = order.jobMoves[index];
  assert.ok(move);
  const before = move.before === null ? null : { ...move.before, ...row.before };
  const after = move.after === null ? null : { ...move.after, ...row.after };
  order.jobMoves[index] = { ...move, before, after, ...change };
};
const ended = (order: OrderEvidence, consumer: string) => {
  const move = order.jobMoves.find(({ before, after }) => before?.consumer === consumer && after === null);
  assert.ok(move);
  return move;
};

// An unknown booking of `failed`, sent again so long after the end of its key's window.
const bookAtAge = ({ call, evidence, now, orderOf, skip }: Stories, afterMs: number) => {
  setEffect(orderOf('failed'), 'booking', { state: 'unknown' });
  const { epochMs, keyWindowMs } = evidence.settings;
  const { first_used_at, key } = orderOf('failed').effects.get('booking') as EffectRow;
  skip(first_used_at.getTime() - epochMs - now() + keyWindowMs + afterMs);
  call('carrier', 'book', 'failed', key);
};
const away = { class: 'retryable', code: 'partner-unavailable', dependencyDown: true, isInterrupted: false };
// The booking of `failed` was interrupted, and its first charged attempt gives this as its reason.
const interrupt = ({ evidence, orderOf, recorder }: Stories, code: string) => {
  const { attempts, jobMoves } = orderOf('failed');
  const index = attempts.findIndex(({ outcome }) => outcome === 'retry');
  const end = jobMoves.find(({ label }) => label === 'pause-jobs');
  const askedMs = evidence.tokens.get(end?.token ?? '')?.monotonicMs ?? 0;
  const asked = { atMs: askedMs, monotonicMs: askedMs, process: 'worker#1', orderId: 'failed' } as const;
  const told = recorder.called({ ...asked, dependency: 'carrier', call: 'book', key: 'failed:booking:0' });
  Object.assign(told, { trouble: { ...away, isInterrupted: true }, endedMs: askedMs });
  attempts[index] = { ...(attempts[index] as (typeof attempts)[number]), code };
};

// By the invariant, what it must speak up about.
const spoiled: Readonly<Record<string, Readonly<Record<string, Spoil>>>> = {
  'an acknowledged order is there, as it was sent': {
    'the order is gone': ({ orderOf }) => {
      orderOf('paid').row = null;
    },
    'its amount is another': ({ orderOf }) => setRow(orderOf('paid'), { amount: 2_000 }),
    'a replay shows how it went on': ({ orderOf }) => {
      const placement = orderOf('paid').acknowledged[1];
      assert.ok(placement);
      placement.answer = { answer: 'replayed', order: { ...answerOf(orderOf('paid')).order, status: 'PROCESSED' } };
    },
  },
  'a key has one order, and one answer': {
    'two orders are answered under one key': ({ recorder, orderOf, evidence }) => {
      const [first] = evidence.placementsByKey.get('key-1') ?? [];
      assert.ok(first);
      recorder.answered(first, { answer: 'placed', order: answerOf(orderOf('failed')).order });
    },
    'the key leads elsewhere': ({ commit }) =>
      commit('api#1', [
        { table: 'idempotency_keys', label: '', before: null, after: { key: 'key-1', order_id: 'failed' } },
      ]),
  },
  'an order comes from a request that may have placed it': {
    'nobody asked for it': ({ orderOf }) => setRow(orderOf('paid'), { correlation_id: 'nobody' }),
    'its client was told that nothing is stored': ({ orderOf, evidence }) => {
      const placement = evidence.placementOf.get(orderOf('failed').row?.correlation_id ?? '');
      assert.ok(placement);
      placement.answer = { answer: 'unavailable', stored: 'nothing' };
    },
    'its request was refused': ({ evidence }) => {
      const placement = evidence.placementOf.get('request-failed');
      assert.ok(placement);
      placement.answer = { answer: 'refused', code: 'invalid-order' };
    },
  },
  'nobody is turned away before their time': {
    'after a second': ({ evidence, recorder }) => {
      const placement = evidence.placementOf.get('request-again');
      assert.ok(placement);
      recorder.answered(placement, { answer: 'unavailable', stored: 'nothing' }, placement.atMs + 1_000);
    },
  },
  'a key is refused only for another payload': {
    'a repetition is refused': ({ evidence }) => {
      const placement = evidence.placementOf.get('request-again');
      assert.ok(placement);
      placement.answer = { answer: 'refused', code: 'idempotency-key-reused' };
    },
  },
  'nobody is told of an error that nobody foresaw': {
    'a request fails': ({ evidence }) => {
      const placement = evidence.placementOf.get('request-again');
      assert.ok(placement);
      placement.answer = { answer: 'failed', message: 'boom' };
    },
    'a look fails': ({ look }) => look('paid', 'timeline', { answer: 'failed', message: 'boom' }),
    'work cannot be settled': ({ recorder }) =>
      recorder.complained('worker#1', 'work could not be settled', 'Error: boom'),
  },
  'an order is charged at most once': {
    'it is authorized under a second key': (stories) => authorizeAgain(stories, 'paid', 'paid:authorization:1'),
    'it is charged anew after its money was released': (stories) =>
      authorizeAgain(stories, 'canceled', 'canceled:authorization:1'),
    'it is charged another amount': (stories) => authorizeAgain(stories, 'failed', 'failed:authorization:1', 7),
    'its key is used for another amount': (stories) =>
      assert.throws(() => authorizeAgain(stories, 'paid', 'paid:authorization:0', 7)),
  },
  'an order is booked at most once, and only while it is paid': {
    'it is booked under a second key': (stories) => bookAgain(stories, 'paid', 'paid:booking:1'),
    'it is booked when the money is gone': (stories) => bookAgain(stories, 'canceled', 'canceled:booking:0'),
    'the money goes while it ships': ({ partners }) =>
      partners.payments.void({ key: 'paid:authorization:0', orderId: 'paid' as never }),
    'it is booked to another country': ({ partners, orderOf }) =>
      partners.carrier.book({
        ...{ key: 'failed:booking:1', orderId: 'failed' as never, country: 'DE' },
        items: orderOf('failed').row?.items ?? [],
      }),
  },
  'PROCESSED means authorized and booked': {
    'nothing was booked': ({ orderOf }) => setRow(orderOf('failed'), { status: 'PROCESSED' }),
    'it shows another state': ({ orderOf }) => setRow(orderOf('paid'), { payment: 'unknown' }),
  },
  'only what was canceled is undone': {
    'money of a failed order is released': ({ partners }) =>
      partners.payments.void({ key: 'failed:authorization:0', orderId: 'failed' as never }),
    'a key is closed before its use': ({ partners }) =>
      partners.carrier.recall({ key: 'failed:booking:1', orderId: 'failed' as never }),
  },
  'CANCELED means that nothing is held or booked': {
    'its money is held': (stories) => authorizeAgain(stories, 'canceled', 'canceled:authorization:1'),
    'it shows a shipment': ({ orderOf }) => setRow(orderOf('canceled'), { fulfillment: 'scheduled' }),
    'its dead letter says that it ships, and nothing ships': ({ orderOf }) => {
      const deadLetter = { ...lastDeadLetter(orderOf('failed')), consumer: 'compensation', code: 'recall-refused' };
      orderOf('canceled').deadLetters.set('dead letter', { ...deadLetter, order_id: 'canceled' });
    },
  },
  'what is shown of money and parcel is what the ledgers say': {
    'it shows money that was released': ({ orderOf }) => setRow(orderOf('canceled'), { payment: 'authorized' }),
    'it shows money as released that is held': ({ orderOf }) => setRow(orderOf('paid'), { payment: 'voided' }),
    'it shows a shipment that nobody booked': ({ orderOf }) => setRow(orderOf('failed'), { fulfillment: 'scheduled' }),
    'it shows none and one is booked': ({ orderOf }) => setRow(orderOf('paid'), { fulfillment: 'none' }),
  },
  'a call is made under a key whose intent is committed': {
    'no effect has the key': ({ call }) => call('payments', 'authorize', 'paid', 'paid:authorization:7'),
    'an unknown outcome is sent again after a day': ({ call, orderOf, skip }) => {
      setEffect(orderOf('failed'), 'booking', { state: 'unknown' });
      skip(86_500_000);
      call('carrier', 'book', 'failed', 'failed:booking:1');
    },
    'an unknown outcome is sent again in the first millisecond after the window': (stories) => bookAtAge(stories, 1),
  },
  'a new key is taken only when nothing was done under the old one': {
    'the generation is raised while the outcome is unknown': ({ orderOf }) => {
      const move = raised(orderOf('failed'));
      move.before = { ...(move.before as EffectRow), state: 'unknown' };
    },
    'the generation is raised while a claim of the key has not ended': ({ orderOf }) => {
      const order = orderOf('failed');
      const first = order.effectMoves.find(({ after }) => after?.key === 'failed:booking:0')?.after?.token;
      const end = order.jobMoves.findIndex((move) => isSettle(move) && move.token === first);
      order.jobMoves.splice(end, 1);
    },
    'the generation is raised after a call that may have been done': ({ call }) => {
      const told = call('carrier', 'book', 'failed', 'failed:booking:0');
      told.trouble = { class: 'unknown', code: 'timeout', dependencyDown: true, isInterrupted: false };
    },
    'the generation is raised and nobody has asked for it': ({ orderOf }) => {
      const move = raised(orderOf('failed'));
      move.sequence += 0.5;
    },
    'it is taken without a claim': ({ orderOf }) => {
      const before = orderOf('paid').effects.get('booking') as EffectRow;
      orderOf('paid').effectMoves.push(moved('update-orders', before, { ...before, token: 'foreign' }));
    },
    'a claim writes what another one holds': ({ orderOf }) => {
      const before = orderOf('paid').effects.get('booking') as EffectRow;
      orderOf('paid').effectMoves.push(moved('update-orders', before, { ...before, state: 'unknown' }));
    },
  },
  'a customer is told a thing once, and only what is true': {
    twice: ({ partners }) =>
      partners.mail.send({
        ...{ key: 'another', orderId: 'paid' as never, kind: 'processed', to: 'a@example.com', subject: '', text: '' },
      }),
    'a lie': ({ partners }) =>
      partners.mail.send({
        ...{
          key: 'another',
          orderId: 'failed' as never,
          kind: 'processed',
          to: 'a@example.com',
          subject: '',
          text: '',
        },
      }),
    'to somebody else': ({ partners }) =>
      partners.mail.send({
        ...{ key: 'another', orderId: 'failed' as never, kind: 'failed', to: 'b@example.com', subject: '', text: '' },
      }),
  },
  'a customer knows how the order ended': {
    'a canceled order whose reason was another': ({ orderOf }) =>
      setRow(orderOf('canceled'), { reason_code: 'payment-declined' }),
    'a failed order that is processed after all': ({ orderOf }) => setRow(orderOf('failed'), { status: 'PROCESSED' }),
  },
  'the order is the fold of its events': {
    'a version is missing': ({ orderOf }) => orderOf('paid').events.splice(1, 1),
    'an event comes twice': ({ orderOf }) => {
      const { events } = orderOf('canceled');
      events.push({ ...(events[0] as (typeof events)[number]), version: events.length + 1 });
    },
    'something happens after the end': ({ orderOf }) => {
      const { events } = orderOf('paid');
      events.push({ ...(events[1] as (typeof events)[number]), version: events.length + 1 });
      setRow(orderOf('paid'), { version: events.length });
    },
    'the status is another': ({ orderOf }) => setRow(orderOf('paid'), { status: 'CANCELED' }),
    'the payment is another': ({ orderOf }) => setRow(orderOf('paid'), { payment: 'declined' }),
    'the shipment is another': ({ orderOf }) => setRow(orderOf('paid'), { fulfillment: 'canceled' }),
    'the reason is another': ({ orderOf }) => setRow(orderOf('failed'), { reason_code: 'because' }),
    'an event names another status': ({ orderOf }) => {
      const { events } = orderOf('canceled');
      const index = events.findIndex((event) => event.type === 'OrderCanceledV1');
      const event = events[index] as (typeof events)[number];
      events[index] = { ...event, data: { ...event.data, previousStatus: 'FAILED' } };
    },
  },
  'an order moves only as the design allows, a version per event': {
    'out of its end': ({ orderOf }) => {
      const row = orderOf('paid').row as OrderRow;
      orderOf('paid').moves.push(moved('update-orders', row, { ...row, status: 'CANCELED', version: 4 }));
    },
    'without an event': ({ orderOf }) => {
      const row = orderOf('failed').row as OrderRow;
      orderOf('failed').moves.push(moved('update-orders', row, { ...row, status: 'PENDING' }));
    },
    'with a version too many': ({ orderOf }) => {
      const row = orderOf('failed').row as OrderRow;
      orderOf('failed').moves.push(moved('update-orders', row, { ...row, version: row.version + 1 }));
    },
    'to another price': ({ orderOf }) => {
      const row = orderOf('failed').row as OrderRow;
      orderOf('failed').moves.push(moved('update-orders', row, { ...row, amount: 1 }));
    },
  },
  'FAILED means an open dead letter of a core step': {
    'the dead letter is closed': ({ orderOf }) =>
      setDeadLetter(orderOf('failed'), { closed_at: new Date(0), closed_how: 'reprocessed' }),
    'the order is not FAILED': ({ orderOf }) => setRow(orderOf('failed'), { status: 'PROCESSING' }),
  },
  'the retries that are shown are those that were charged': {
    'one is forgotten': ({ orderOf }) => orderOf('failed').attemptSequences.fill(1e6),
    'one is made up': ({ orderOf }) => setRow(orderOf('paid'), { retry_count: 1 }),
  },
  'a job moves by its event, its claim, its settle, or a person, and by nothing else': {
    'it is claimed before it is due': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'claim-jobs', {}, { before: { due_at: new Date(8e15) } }),
    'it is claimed while another one holds it': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'claim-jobs', {}, { before: { token: 'token-0', lease_until: new Date(8e15) } }),
    'a claim counts nothing': ({ orderOf }) => spoilMove(orderOf('paid'), 'claim-jobs', {}, { after: { attempt: 0 } }),
    'a claim begins a new epoch': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'claim-jobs', {}, { after: { epoch: 5 } }),
    'a claim changes when it is due': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'claim-jobs', {}, { after: { due_at: new Date(0) } }),
    'a claim lasts for a day': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'claim-jobs', {}, { after: { lease_until: new Date(8e15) } }),
    'a claim has the token of another process': ({ orderOf, recorder }) => {
      recorder.tokenMade('worker#2', 'foreign', 0);
      spoilMove(orderOf('paid'), 'claim-jobs', {}, { after: { token: 'foreign' } });
    },
    'a death is charged as an attempt': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'claim-jobs', {}, { before: { token: 'token-0', lease_until: new Date(0) } }),
    'a settle comes from a process that never claimed': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'delete-jobs', { process: 'worker#2' }),
    'a settle has an old token': ({ orderOf }) => spoilMove(orderOf('paid'), 'delete-jobs', { token: 'token-0' }),
    'a settle ends what is not held': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'delete-jobs', {}, { before: { token: null, lease_until: null } }),
    'a settle gives back two attempts': ({ orderOf }) =>
      spoilMove(orderOf('failed'), 'pause-jobs', {}, { after: { attempt: -1 } }),
    'a settle puts back what goes on being held': ({ orderOf }) =>
      spoilMove(orderOf('failed'), 'pause-jobs', {}, { after: { token: 'token-1' } }),
    'a charged attempt begins an uncharged wait': ({ orderOf }) =>
      spoilMove(orderOf('failed'), 'pause-jobs', {}, { after: { waiting_since: new Date(0) } }),
    'an uncharged wait does not begin': ({ orderOf }) =>
      spoilMove(orderOf('failed'), 'pause-jobs', {}, { after: { attempt: 0 } }),
    'it begins without its event': ({ orderOf }) => spoilMove(orderOf('paid'), 'append-events', { sequence: 1e6 }),
    'it begins with attempts': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'append-events', {}, { after: { attempt: 1 } }),
    'it is of no event': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'append-events', {}, { after: { event_type: 'OrderCanceledV1' } }),
    'a dead letter is sent back in its old epoch': ({ orderOf }) =>
      spoilMove(orderOf('failed'), 'recreate-jobs', {}, { after: { epoch: 0 } }),
    'an unknown statement moves it': ({ orderOf }) => {
      const row = ended(orderOf('paid'), 'payment').before;
      orderOf('paid').jobMoves.push(moved('surprise', row, row));
    },
    'a lease is renewed that nobody has': ({ orderOf }) => {
      const row = { ...(ended(orderOf('paid'), 'payment').before as JobRow), token: null };
      orderOf('paid').jobMoves.push(moved('renew-leases', row, row));
    },
    'it is removed': ({ orderOf }) =>
      orderOf('paid').jobMoves.push(moved('remove', ended(orderOf('paid'), 'payment').before, null)),
  },
  'a job ends only with its effect, its dead letter, or because nobody needs it': {
    'its event is missing': ({ orderOf }) => setEvent(orderOf('paid'), 1, { causation_id: 'another' }),
    'its dead letter is missing': ({ orderOf }) => orderOf('failed').deadLetterMoves.splice(0),
    'nothing says that a mail was sent': ({ orderOf }) => orderOf('paid').attempts.splice(0),
    'a claim ends what an open order needs': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'delete-jobs', { transaction: 'lock-orders-by-id' }),
    'an undo ends, and the order has something outside': ({ orderOf }) => {
      const { sequence, before } = ended(orderOf('canceled'), 'compensation');
      const { effectMoves, events } = orderOf('canceled');
      effectMoves.splice(effectMoves.findIndex((move) => move.sequence === sequence));
      setEvent(orderOf('canceled'), events.length - 1, { causation_id: before?.consumer ?? '' });
    },
  },
  'an event has a job for each consumer that subscribes to it': {
    'one is missing': ({ orderOf }) => orderOf('paid').jobMoves.splice(0, 1),
    'one comes later': ({ orderOf }) => spoilMove(orderOf('paid'), 'accept-orders', { sequence: 1e6 }),
  },
  'an order under way has the job of its next step': {
    'of an order that is not paid': ({ orderOf }) => {
      setRow(orderOf('failed'), { status: 'PENDING' });
      orderOf('failed').events.splice(1);
    },
    'of one that is': ({ orderOf }) => {
      setRow(orderOf('failed'), { status: 'PROCESSING' });
      bringBack(orderOf('failed'), 'payment 1');
    },
  },
  'what a canceled order has outside is owed its undoing': {
    'its money is held': ({ orderOf }) => setEffect(orderOf('canceled'), 'authorization', { state: 'done' }),
  },
  'work has a job or an open dead letter, never both': {
    both: ({ orderOf }) => bringBack(orderOf('failed'), 'fulfillment 2'),
    'two dead letters of one': ({ orderOf }) =>
      orderOf('failed').deadLetters.set('copy', { ...lastDeadLetter(orderOf('failed')), id: 'copy' }),
    'a dead letter without a reason': ({ orderOf }) => setDeadLetter(orderOf('failed'), { code: '' }),
  },
  'a dead letter comes with the end of its job, and brings it back when a person says so': {
    'nothing comes of it': ({ orderOf }) => {
      const { jobMoves } = orderOf('failed');
      jobMoves.splice(
        jobMoves.findIndex(({ label }) => label === 'recreate-jobs'),
        1,
      );
    },
    'the event of a projection stays behind its cursor': ({ orderOf }) => {
      const before = { ...lastDeadLetter(orderOf('failed')), consumer: 'search' };
      orderOf('failed').deadLetterMoves.push(
        moved('close-dead-letters', before, { ...before, closed_how: 'reprocessed' }),
      );
    },
    'its job went on': ({ orderOf }) => {
      const { jobMoves, deadLetterMoves } = orderOf('failed');
      const ends = jobMoves.findIndex(
        ({ sequence, after }) => after === null && sequence === deadLetterMoves[0]?.sequence,
      );
      jobMoves.splice(ends, 1);
    },
    'it is of another epoch': ({ orderOf }) => {
      const [move] = orderOf('failed').deadLetterMoves;
      assert.ok(move?.after);
      orderOf('failed').deadLetterMoves[0] = { ...move, after: { ...move.after, epoch: 3 } };
    },
    'it is removed while it is open': ({ orderOf }) =>
      orderOf('failed').deadLetterMoves.push(moved('remove', lastDeadLetter(orderOf('failed')), null)),
    'it is changed by somebody else': ({ orderOf }) =>
      orderOf('failed').deadLetterMoves.push(
        moved('surprise', lastDeadLetter(orderOf('failed')), lastDeadLetter(orderOf('failed'))),
      ),
    'a cancel closes what is none of a core step': ({ orderOf }) => {
      const before = { ...lastDeadLetter(orderOf('failed')), consumer: 'compensation' };
      orderOf('failed').deadLetterMoves.push(
        moved('close-dead-letters', before, { ...before, closed_how: 'canceled' }),
      );
    },
  },
  'attempts and takeovers stay within their bounds': {
    'an attempt too many': ({ orderOf }) => bringBack(orderOf('failed'), 'fulfillment 2', { attempt: 3 }),
    'a takeover too many': ({ orderOf }) => bringBack(orderOf('failed'), 'fulfillment 2', { takeovers: 21 }),
  },
  'a retry is charged once, waits no longer than its backoff, and the last one parks': {
    'charged twice': ({ orderOf }) => orderOf('failed').attempts.push(...orderOf('failed').attempts.slice(0, 1)),
    'one too many': ({ orderOf }) =>
      orderOf('failed').attempts.push({ ...(orderOf('failed').attempts[0] as never as object), attempt: 2 } as never),
    'too long a wait': ({ orderOf }) => {
      const { attempts } = orderOf('failed');
      attempts[0] = { ...(attempts[0] as (typeof attempts)[number]), due_in_ms: 101 };
    },
    'parked too early': ({ orderOf }) => setDeadLetter(orderOf('failed'), { failure_class: 'retryable' }),
    'a defect': ({ orderOf }) => {
      const { attempts } = orderOf('failed');
      attempts[0] = { ...(attempts[0] as (typeof attempts)[number]), code: 'defect' };
    },
  },
  'an outage costs no order its last attempt': {
    'its partner was away and had answered nobody': ({ orderOf, evidence }) => {
      const isBooked = (call: (typeof evidence.calls)[number]) => call.dependency === 'carrier';
      for (const call of evidence.calls.filter(isBooked)) call.trouble = away;
      const move = orderOf('failed').jobMoves.findLast(
        ({ before, after }) => before?.consumer === 'fulfillment' && after === null,
      );
      assert.ok(move);
      const token = evidence.tokens.get(move.token ?? '');
      const { deadLetterMoves } = orderOf('failed');
      const deadLetter = deadLetterMoves.findIndex(({ sequence }) => sequence === move.sequence);
      const written = deadLetterMoves[deadLetter] as (typeof deadLetterMoves)[number];
      deadLetterMoves[deadLetter] = {
        ...written,
        after: { ...lastDeadLetter(orderOf('failed')), code: 'partner-unavailable' },
      };
      orderOf('failed').calls.push({
        ...{ atMs: 0, monotonicMs: token?.monotonicMs ?? 0, process: 'worker#1', dependency: 'carrier', call: 'book' },
        ...{ key: 'failed:booking:1', orderId: 'failed', effect: null, trouble: away },
      });
    },
  },
  'work that is given up is not performed': {
    'it was taken over for the eleventh time': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'claim-jobs', {}, { after: { takeovers: 11 } }),
    'it had waited for a day': ({ orderOf }) =>
      spoilMove(orderOf('paid'), 'claim-jobs', {}, { before: { waiting_since: new Date(0) } }),
  },
  'what has waited for too long is given up': {
    'it waits on': ({ orderOf }) => {
      const { jobMoves } = orderOf('failed');
      const end = jobMoves.find(({ label }) => label === 'pause-jobs');
      const claim = jobMoves.findIndex(({ label, token }) => label === 'claim-jobs' && token === end?.token);
      const move = jobMoves[claim] as JobMove;
      jobMoves[claim] = { ...move, before: { ...(move.before as JobRow), waiting_since: new Date(0) } };
    },
  },
  'a partner that asks for a pause gets it': {
    'it is asked again too soon': ({ orderOf, evidence }) => {
      const { attempts, calls } = orderOf('failed');
      const end = orderOf('failed').jobMoves.find(({ label }) => label === 'pause-jobs');
      const askedMs = evidence.tokens.get(end?.token ?? '')?.monotonicMs ?? 0;
      attempts[0] = { ...(attempts[0] as (typeof attempts)[number]), outcome: 'wait', code: 'partner-throttled' };
      const trouble = { ...away, class: 'throttled', code: 'partner-throttled', dependencyDown: false };
      calls.push({
        ...{ atMs: askedMs, monotonicMs: askedMs, process: 'worker#1', dependency: 'carrier', call: 'book' },
        ...{ key: 'failed:booking:0', orderId: 'failed', effect: null, endedMs: askedMs, endedAtMs: askedMs },
        trouble: { ...trouble, retryAfterMs: 5_000 },
      });
    },
  },
  'a process that stops lets go of its work': {
    'a call goes on': ({ recorder, call, now }) => {
      const told = call('payments', 'authorize', 'paid', 'paid:authorization:0');
      recorder.happened({ atMs: now(), process: 'worker#1', what: 'told-to-stop', graceMs: 100 });
      told.endedAtMs = now() + 500;
    },
  },
  'a consumer does no more at once than it has slots': {
    'two calls with one slot': ({ call }) => {
      for (const key of ['one', 'other']) call('mail', 'send', 'paid', key).endedMs = Number.POSITIVE_INFINITY;
    },
  },
  'a customer is told of a failure only while it stands': {
    'it was sent back before': ({ orderOf }) => orderOf('failed').jobMoves.splice(0),
  },
  'an interrupted attempt goes back uncharged': {
    'it is charged': (stories) => interrupt(stories, 'interrupted'),
    'it is charged, and said to be what the call had': (stories) => interrupt(stories, away.code),
  },
  'a breaker opens and closes by what its partner answers': {
    'it opens, and nobody was called': ({ recorder }) =>
      recorder.breakerChanged({ process: 'worker#1', dependency: 'mail', state: 'open', monotonicMs: 1e9 }),
    'it opens again by what it was opened by before': ({ recorder, evidence }) => {
      const call = evidence.calls.find((one) => one.call === 'book');
      assert.ok(call);
      call.trouble = away;
      const breaker = { process: 'worker#1', dependency: 'carrier' } as const;
      recorder.breakerChanged({ ...breaker, state: 'open', monotonicMs: call.endedMs ?? 0 });
      Object.assign(recorder.called({ ...call, monotonicMs: 1e9 }), { trouble: null, endedMs: 1e9 });
      recorder.breakerChanged({ ...breaker, state: 'closed', monotonicMs: 1e9 });
      recorder.breakerChanged({ ...breaker, state: 'open', monotonicMs: 1e9 + 1 });
    },
    'it closes, and nobody was called': ({ recorder, evidence }) => {
      for (const call of evidence.calls) if (call.dependency === 'mail') call.trouble = away;
      const breaker = { process: 'worker#1', dependency: 'mail', monotonicMs: 1e9 } as const;
      recorder.breakerChanged({ ...breaker, state: 'open' });
      recorder.breakerChanged({ ...breaker, state: 'closed', monotonicMs: 1e9 + 1 });
    },
  },
  'a failure from before an outage does not postpone its probe': {
    'it waits for longer than until the next probe': ({ recorder, orderOf, evidence }) => {
      const waiting = orderOf('failed').jobMoves.find(({ label }) => label === 'pause-jobs');
      const askedMs = evidence.tokens.get(waiting?.token ?? '')?.monotonicMs ?? 0;
      const calls = orderOf('failed').calls as { trouble?: object; endedMs?: number }[];
      calls.push({
        ...{ atMs: waiting?.atMs, monotonicMs: askedMs + 1, process: 'worker#1', dependency: 'carrier', call: 'book' },
        ...{ key: 'failed:booking:0', orderId: 'failed', effect: null, trouble: away, endedMs: askedMs + 502 },
      });
      recorder.breakerChanged({ process: 'worker#1', dependency: 'carrier', state: 'open', monotonicMs: askedMs + 2 });
      const { attempts } = orderOf('failed');
      const [attempt] = attempts;
      attempts[0] = { ...(attempt as (typeof attempts)[number]), outcome: 'wait', due_in_ms: 3_500 };
    },
  },
  'no statement is wrong by itself': {
    'it writes a row twice': ({ recorder }) =>
      recorder.note({ atMs: 0, process: 'worker#1', what: 'database-error', label: 'claim-jobs', code: '21000' }),
  },
  'an open breaker lets one probe through per interval': {
    'work is claimed while it is open': ({ recorder, skip, now, claim, orderOf, call }) => {
      recorder.breakerChanged({ process: 'worker#1', dependency: 'payments', state: 'open', monotonicMs: now() + 1 });
      skip(500);
      bringBack(orderOf('paid'), 'payment 1', { token: null, lease_until: null, attempt: 0 });
      claim('paid', 'payment', 1, 'authorization');
      call('payments', 'authorize', 'paid', 'paid:authorization:0');
    },
  },
  'the first occurrences on the bus are in the order of the versions': {
    'the second before the first': ({ orderOf }) => orderOf('paid').publications.splice(0, 1),
    'a sequence that does not sort': ({ orderOf }) => {
      const { publications } = orderOf('paid');
      publications[0] = { ...(publications[0] as (typeof publications)[number]), sequence: '1' };
    },
    'no event of the order': ({ orderOf }) => {
      const { publications } = orderOf('paid');
      publications.push({ ...(publications[0] as (typeof publications)[number]), eventId: 'made-up' });
    },
  },
  'an event names its cause': {
    'it has none': ({ orderOf }) => setEvent(orderOf('failed'), 3, { causation_id: null }),
    'it is of another order': ({ orderOf }) => setEvent(orderOf('paid'), 2, { causation_id: 'failed-event-1' }),
    'a request is taken for an event': ({ orderOf }) =>
      setEvent(orderOf('canceled'), 2, { causation_id: 'canceled-event-1' }),
    'two of one commit have the same': ({ orderOf }) => {
      orderOf('paid').eventSequences.fill(1);
      setEvent(orderOf('paid'), 2, { causation_id: 'paid-event-1' });
    },
  },
  'an event of a newer release waits for that release': {
    'an older one works on it': ({ orderOf }) => setEvent(orderOf('paid'), 1, { type: 'PaymentAuthorizedV2' }),
  },
  'what a person wrote is in no event': {
    'it is in the event that they caused': ({ orderOf }) => {
      const [act] = orderOf('canceled').acts;
      orderOf('canceled').acts[0] = { ...(act as Act), words: 'my own words' };
      setEvent(orderOf('canceled'), 2, { data: { reason: 'my own words' } });
    },
  },
  'no event is committed behind a cursor': {
    'one that the relay will never read': ({ commit, orderOf }) => {
      const [first] = orderOf('paid').events;
      assert.ok(first);
      commit('worker#1', [{ table: 'events', label: '', before: null, after: { ...first, id: 'late', version: 9 } }]);
    },
  },
  "the relay's cursor passes no event that the bus has not": {
    'passed before it was published': ({ orderOf }) => {
      const [first] = orderOf('paid').publications;
      assert.ok(first);
      orderOf('paid').publications[0] = { ...first, atMs: 1e6 };
    },
    'passed unpublished': ({ orderOf }) => orderOf('paid').publications.splice(2, 1),
  },
  'every event reached every subscriber, once in effect': {
    'never given': ({ orderOf }) => {
      const { jobMoves } = orderOf('paid');
      jobMoves.splice(
        jobMoves.findIndex(({ before, after }) => before === null && after?.consumer === 'notification'),
        1,
      );
    },
    'not ended': ({ orderOf }) => {
      const { jobMoves } = orderOf('paid');
      jobMoves.splice(jobMoves.indexOf(ended(orderOf('paid'), 'notification')), 1);
    },
    'ended twice': ({ orderOf }) => orderOf('paid').jobMoves.push(ended(orderOf('paid'), 'payment')),
  },
  'an act has one row in the audit log, and a row has its act': {
    'nobody acted': ({ orderOf }) =>
      orderOf('paid').audits.push({ id: 'x', action: 'canceled', order_id: 'paid', correlation_id: 'nobody' }),
    twice: ({ orderOf }) => orderOf('failed').audits.push(...orderOf('failed').audits),
    'a refused act has an effect': ({ orderOf }) => {
      (orderOf('canceled').acts[0] as Act).answer = { answer: 'refused', code: 'order-already-processed' };
    },
    'an act has an effect whose author was told otherwise': ({ orderOf }) => {
      (orderOf('canceled').acts[0] as Act).answer = { answer: 'unavailable', stored: 'nothing' };
    },
  },
  'what only a person may do was done by one': {
    'canceled by nobody': ({ orderOf }) => orderOf('canceled').audits.splice(0, 1),
    'sent back by nobody': ({ orderOf }) => orderOf('failed').audits.splice(0, 1),
  },
  'an act is answered with what is true': {
    'a cancel that did nothing': ({ orderOf }) => setRow(orderOf('canceled'), { status: 'PROCESSED' }),
    'a reprocess that did nothing': ({ orderOf }) => orderOf('failed').audits.splice(0, 1),
    'a reprocess that finds no dead letter, of an order that stays FAILED': ({ orderOf, evidence, now }) => {
      const act = { atMs: now(), process: 'api#1', act: 'reprocess', orderId: 'failed', deadLetterId: null } as const;
      const answer = { answer: 'refused', code: 'no-dead-letter' } as const;
      (evidence.acts as Act[]).push({ ...act, correlationId: 'act-late', answer, answeredMs: now() });
      assert.equal(orderOf('failed').row?.status, 'FAILED');
    },
    'a reprocess that finds no dead letter, and it is open': ({ orderOf, evidence, now }) => {
      const deadLetterId = lastDeadLetter(orderOf('failed')).id;
      const act = {
        atMs: now(),
        process: 'api#1',
        act: 'reprocess-dead-letter',
        orderId: 'failed',
        deadLetterId,
      } as const;
      const answer = { answer: 'refused', code: 'no-dead-letter' } as const;
      (evidence.acts as Act[]).push({ ...act, correlationId: 'act-late', answer, answeredMs: now() });
    },
    'a refusal that contradicts the order': ({ orderOf }) => {
      (orderOf('failed').acts[0] as Act).answer = { answer: 'refused', code: 'order-not-failed' };
    },
  },
  'the analytics are the fold of the events': {
    'an event was counted twice': ({ commit, evidence }) => {
      const [before] = [...evidence.analytics.values()];
      assert.ok(before);
      commit('worker#1', [
        { table: 'analytics', label: 'add-counts', before, after: { ...before, count: 2, amount: '3998' } },
      ]);
    },
    'an order stands in another line': ({ orderOf }) => setRow(orderOf('paid'), { status: 'CANCELED' }),
    'the sum is another': ({ orderOf }) => setRow(orderOf('paid'), { amount: 2_000 }),
    'a line is missing': ({ orderOf }) => {
      const [event] = orderOf('failed').events.filter(({ type }) => type === 'OrderFailedV1');
      assert.ok(event);
      setEvent(orderOf('failed'), event.version - 1, { data: { ...event.data, reason: 'another' } });
    },
    'it took longer': ({ orderOf }) => setEvent(orderOf('paid'), 2, { time: new Date('2026-11-21T07:00:02Z') }),
  },
  'what somebody is shown of an order is so when they ask': {
    'as it was before': ({ look, orderOf }) =>
      look('paid', 'order', { answer: 'seen', order: answerOf(orderOf('paid')).order }),
    'as it never was': ({ evidence }) => {
      const answer = evidence.looks[0]?.answer;
      assert.ok(answer?.answer === 'seen' && answer.order !== undefined);
      (evidence.looks[0] as Look).answer = { ...answer, order: { ...answer.order, payment: 'voided' } };
    },
    'as if it were not there': ({ look }) => look('paid', 'order', { answer: 'refused', code: 'order-not-found' }),
    'a timeline without its last event': ({ look }) =>
      look('paid', 'timeline', { answer: 'seen', events: ['paid-event-1', 'paid-event-2'] }),
    'a timeline that tells an event first that came later': ({ look }) =>
      look('paid', 'timeline', { answer: 'seen', events: ['paid-event-2', 'paid-event-1', 'paid-event-3'] }),
  },
  'a document tells the events of its version and no others': {
    'one is missing': ({ bring, documentOf }) => bring({ ...documentOf('paid'), version: 3, timeline: [] }),
    'it shows another step': ({ bring, documentOf }) => bring({ ...documentOf('paid'), status: 'OrderCreated' }),
  },
  'an older document never replaces a newer one': {
    'the first one comes last': ({ bring, documentOf }) => {
      const { timeline, ...paid } = documentOf('paid');
      bring({ ...paid, version: 1, status: 'OrderCreated', timeline: timeline.slice(0, 1) });
    },
  },
  'each order has its document, unless a person was told': {
    'its status is another': ({ orderOf }) => setRow(orderOf('paid'), { status: 'CANCELED' }),
    'its customer is another': ({ orderOf }) => setRow(orderOf('paid'), { customer_email: 'b@example.com' }),
    'its reason is another': ({ orderOf }) => setRow(orderOf('failed'), { reason_code: 'another' }),
  },
  'every order ends': {
    'one is under way': ({ orderOf }) => setRow(orderOf('failed'), { status: 'PROCESSING' }),
  },
  'nothing is owed any more': {
    'an event to the bus': ({ orderOf }) =>
      orderOf('paid').owed.set('relay 3', { reader: 'relay', event: orderOf('paid').events[2] as EventColumns }),
    'a job to its consumer': ({ orderOf }) => bringBack(orderOf('paid'), 'payment 1'),
  },
  'no outcome is left open unless a person was told': {
    'of a canceled order': ({ orderOf }) => setEffect(orderOf('canceled'), 'authorization', { state: 'unknown' }),
    'of a processed order': ({ orderOf }) => setEffect(orderOf('paid'), 'booking', { state: 'intent' }),
  },
  'every key leads to an order': {
    'to none': ({ commit }) =>
      commit('api#1', [{ table: 'idempotency_keys', label: '', before: null, after: { key: 'x', order_id: 'none' } }]),
  },
  'no cursor is held by the dead': {
    'its relay was killed long ago': ({ recorder }) =>
      recorder.happened({ atMs: -60_000, process: 'relay#1', what: 'killed' }),
  },
};

// By the invariant, what looks like its breach, and is nothing but the grain of what is seen.
const suspicious: Readonly<Record<string, Readonly<Record<string, Spoil>>>> = {
  'a call is made under a key whose intent is committed': {
    'in the last millisecond of the window, as clocks tell it': (stories) => bookAtAge(stories, 0.9),
  },
  'an interrupted attempt goes back uncharged': {
    'an attempt that failed before its call, after an interrupted one in the same process': (stories) =>
      interrupt(stories, 'simulated-failure'),
  },
};

describe('the invariants', () => {
  it('accept what went as it should', () => {
    assert.deepEqual(checkAll(tellStories().evidence), []);
  });

  for (const [name, accepted] of Object.entries(suspicious)) {
    for (const [how, change] of Object.entries(accepted)) {
      it(`let pass, where ${name}: ${how}`, () => {
        const stories = tellStories();
        change(stories);
        assert.deepEqual(invariants.find((one) => one.name === name)?.check(stories.evidence), []);
      });
    }
  }

  it('have a case here each, and no case is of none', () => {
    assert.deepEqual(Object.keys(spoiled).sort(), invariants.map(({ name }) => name).sort());
  });

  for (const invariant of invariants) {
    describe(`that say that ${invariant.name}`, () => {
      for (const [how, spoil] of Object.entries(spoiled[invariant.name] ?? {})) {
        it(`speak up: ${how}`, () => {
          const stories = tellStories();
          spoil(stories);
          assert.notDeepEqual(invariant.check(stories.evidence), []);
        });
      }
    });
  }
});

describe('the counters of what must have happened', () => {
  it('have a name each', () => {
    assert.equal(new Set(sometimes.map(({ name }) => name)).size, sometimes.length);
  });

  it('see what the stories tell, and miss what they do not', () => {
    const seen = new Map<string, number>();
    tally(seen, tellStories().evidence);
    const missing = new Set(missingOf(seen).map(({ name }) => name));
    const told = ['replay answered', 'authorization voided', 'attempt retried', 'second dead letter', 'breaker opened'];
    for (const name of [...told, 'transition FAILED OrderReprocessed', 'refused idempotency-key-reused']) {
      assert.equal(missing.has(name), false, name);
    }
    for (const name of ['takeover', 'recall refused', 'zombie refused']) assert.equal(missing.has(name), true, name);
  });

  it('take no other transaction for a settle or an accept', () => {
    const counted = (what: Noted['what'], label: string) => {
      const { recorder, evidence, skip } = tellStories();
      recorder.note({ atMs: 0, process: 'api#1', what, label, code: null });
      recorder.committed('', skip(10_000), []);
      return sometimes.flatMap(({ name, count }) => (count(evidence) > 0 && /settle|accept/.test(name) ? [name] : []));
    };
    const found = 'lost answer of a settle found by its token';
    assert.deepEqual(counted('answer-lost', 'COMMIT of lock-orders'), [found]);
    assert.deepEqual(counted('answer-lost', 'COMMIT of lock-orders-by-id'), []);
    assert.deepEqual(counted('answer-lost', 'COMMIT of accept-orders'), [
      'lost answer of an accept found by its order',
    ]);
    assert.deepEqual(counted('answer-lost', 'accept-orders'), []);
    assert.deepEqual(counted('guard-missed', 'lock-orders'), ['settle decided again']);
    assert.deepEqual(counted('guard-missed', 'lock-orders-by-id'), []);
  });
});

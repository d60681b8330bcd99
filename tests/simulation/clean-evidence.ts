// Three orders and a refused request as they should go, told to a recorder step by step: the clean evidence that the
// tests of the invariants then spoil, one detail at a time.

import type { Order } from '../../src/domain/order.ts';
import type { PlaceCommand } from '../../src/flow/ports.ts';
import type { OrderDocument } from '../../src/flow/projections/search-ports.ts';
import type { Act, Look, Moved, OrderEvidence, Placement } from './evidence.ts';
import { newJob, noEffects } from './model/schema.ts';
import { type Brought, createModelPartners } from './partners.ts';
import { createRecorder } from './recorder.ts';
import type { AttemptRow, Change, DeadLetterRow, EventColumns, JobRow, OrderRow } from './rows.ts';

const epochMs = Date.UTC(2026, 10, 21, 7);
const subscribed = [
  ['payment', 'OrderCreatedV1'],
  ['fulfillment', 'PaymentAuthorizedV1'],
  ['compensation', 'OrderCanceledV1'],
  ['notification', 'FulfillmentScheduledV1'],
  ['notification', 'OrderCanceledV1'],
  ['notification', 'OrderFailedV1'],
] as const;

export type Stories = ReturnType<typeof tellStories>;

export function tellStories() {
  let nowMs = 0;
  const partners = createModelPartners({ nowMs: () => epochMs + nowMs });
  const settings = {
    ...{ epochMs, maxRetries: 1, retryDelayMs: 100, retryDelayMsMax: 1_000, maxWaitMs: 60_000, leaseMs: 1_000 },
    concurrency: 1,
    readers: ['relay'],
    consumers: ['payment', 'fulfillment', 'compensation', 'notification', 'search', 'analytics'],
    ...{ skewMs: 0, keyWindowMs: 86_400_000, subscribed: subscribed.map(([consumer, type]) => ({ consumer, type })) },
  };
  const recorder = createRecorder(settings, partners);
  const { evidence } = recorder;
  const worker = 'worker#1';
  let tokens = 0;
  let positions = 0;
  const nextPosition = () => {
    positions += 1;
    return positions;
  };

  function commit(process: string, changes: readonly Change[]): void {
    nowMs += 10;
    recorder.committed(process, nowMs, changes);
  }
  const orderOf = (id: string) => evidence.orders.get(id) as OrderEvidence;
  const rowOf = (id: string) => orderOf(id).row as OrderRow;
  const ask = (id: string, key: string | null, command: PlaceCommand, isImpossible = false) =>
    recorder.asked({ atMs: nowMs, process: 'api#1', key, command, correlationId: `request-${id}`, isImpossible });

  // New events of an order, and the row that they make.
  function eventsOf(id: string, label: string, row: Partial<OrderRow>, types: readonly [string, object][]): Change[] {
    const before = rowOf(id);
    const after = { ...before, ...row, version: before.version + types.length };
    return [
      { table: 'orders', label, before, after },
      ...types.flatMap(([type, data], index): Change[] => {
        const version = before.version + index + 1;
        const event: EventColumns = {
          id: `${id}-event-${version}`,
          order_id: id,
          version,
          type,
          data: { orderId: id, ...data },
          causation_id: type === 'OrderCanceledV1' ? null : `${id}-event-${version - 1}`,
          time: new Date(epochMs + 1_000),
          position: nextPosition(),
        };
        return [{ table: 'events', label, before: null, after: event }, ...jobsOf(event)];
      }),
    ];
  }

  // What the subscriptions make of an event.
  function jobsOf({ order_id, version, type }: EventColumns, label = 'append-events'): Change[] {
    return subscribed
      .filter(([, on]) => on === type)
      .map(([consumer]): Change => {
        const job = newJob({ order_id, version, consumer }, type, epochMs + nowMs);
        return { table: 'jobs', label, before: null, after: job };
      });
  }

  function publish(id: string): void {
    const owed = [...orderOf(id).owed.values()];
    for (const { event } of owed) {
      const { version, type, id: eventId } = event;
      const sequence = String(version).padStart(10, '0');
      recorder.published({ atMs: nowMs, process: 'relay#1', eventId, orderId: id, version, type, sequence });
    }
    const before = evidence.cursors.get('relay') ?? null;
    const after = { reader: 'relay', read_to: positions, gaps: '{}', token: null, lease_until: -Infinity };
    commit('relay#1', [{ table: 'cursors', label: 'store-cursor', before, after }]);
  }

  function place(id: string, key: string | null, command: PlaceCommand): Placement {
    const placement = ask(id, key, command);
    const row: OrderRow = {
      ...{ id, status: 'PENDING', payment: 'none', fulfillment: 'none', retry_count: 0, version: 1, reason_code: null },
      ...{ amount: 1_999, currency: 'USD', country: 'US', items: [{ sku: 'item', quantity: 1, unitPrice: 1_999 }] },
      ...{ customer_email: 'a@example.com', user_id: null, product_type: null, payment_scenario: 'success' },
      correlation_id: `request-${id}`,
      created_at: new Date(epochMs),
      ...noEffects,
    };
    const event = {
      id: `${id}-event-1`,
      order_id: id,
      version: 1,
      type: 'OrderCreatedV1',
      data: { orderId: id },
      causation_id: null,
      time: new Date(epochMs),
      position: nextPosition(),
    };
    const label = 'accept-orders';
    commit('api#1', [
      ...(key === null
        ? []
        : [{ table: 'idempotency_keys' as const, label, before: null, after: { key, order_id: id } }]),
      { table: 'orders', label, before: null, after: row },
      { table: 'events', label, before: null, after: event },
      ...jobsOf(event, label),
    ]);
    recorder.answered(placement, { answer: 'placed', order: firstAnswer(row) });
    publish(id);
    return placement;
  }

  function claim(
    id: string,
    consumer: string,
    version: number,
    effect: 'authorization' | 'booking' | 'undo' | null,
  ): string {
    const order = orderOf(id);
    const before = jobOf(id, consumer, version);
    nowMs = Math.max(nowMs, before.due_at.getTime() - epochMs);
    tokens += 1;
    const token = `token-${tokens}`;
    recorder.tokenMade(worker, token, nowMs);
    const lease_until = new Date(epochMs + nowMs + 1_000);
    const after: JobRow = { ...before, token, lease_until, attempt: before.attempt + 1 };
    const row = rowOf(id);
    const changes: Change[] = [
      { table: 'jobs', label: 'claim-jobs', transaction: 'lock-orders-by-id', before, after, token },
    ];
    if (effect === 'undo') {
      const taken = [...order.effects.keys()].map((name) => [`${name}_token`, token]);
      changes.push({
        table: 'orders',
        label: 'update-orders',
        before: row,
        after: { ...row, ...Object.fromEntries(taken) },
      });
    } else if (effect !== null) {
      const intent = {
        [`${effect}_generation`]: row[`${effect}_generation`] ?? 0,
        [`${effect}_state`]: 'intent',
        [`${effect}_token`]: token,
        [`${effect}_first_used_at`]: row[`${effect}_first_used_at`] ?? new Date(epochMs + nowMs),
      };
      const summary = effect === 'authorization' ? { payment: 'pending' } : { fulfillment: 'pending' };
      changes.push({
        table: 'orders',
        label: 'update-orders',
        before: row,
        after: { ...row, ...intent, ...summary, status: 'PROCESSING' },
      });
    }
    commit(worker, changes);
    return token;
  }

  function call(
    dependency: 'payments' | 'carrier' | 'mail',
    name: 'authorize' | 'book' | 'void' | 'send',
    id: string,
    key: string,
  ) {
    const called = {
      atMs: nowMs,
      monotonicMs: nowMs,
      process: worker,
      dependency,
      call: name,
      key,
      orderId: id,
    } as const;
    const told = recorder.called(called);
    told.trouble = null;
    told.endedMs = nowMs;
    return told;
  }

  const jobOf = (id: string, consumer: string, version: number) =>
    orderOf(id).jobs.get(`${consumer} ${version}`) as JobRow;

  // Ends the job, or puts it back.
  function settle(
    id: string,
    consumer: string,
    version: number,
    pause: Partial<JobRow> | null,
    changes: readonly Change[] = [],
  ) {
    const before = jobOf(id, consumer, version);
    const after = pause === null ? null : { ...before, token: null, lease_until: null, ...pause };
    const label = pause === null ? 'delete-jobs' : 'pause-jobs';
    commit(worker, [
      { table: 'jobs', label, transaction: 'lock-orders', before, after, token: before.token },
      ...changes,
    ]);
    publish(id);
  }
  // A claim that finds that nobody needs it any more.
  function skip(id: string, consumer: string, version: number): void {
    const before = jobOf(id, consumer, version);
    const transaction = 'lock-orders-by-id';
    commit(worker, [{ table: 'jobs', label: 'delete-jobs', transaction, before, after: null, token: null }]);
  }
  function attempt(id: string, consumer: string, version: number, more: Partial<AttemptRow>): Change {
    const { epoch, attempt: nth } = jobOf(id, consumer, version);
    const after = {
      order_id: id,
      consumer,
      event_id: `${id}-event-${version}`,
      epoch,
      attempt: nth,
      outcome: 'retry',
      code: 'partner-failed',
      due_in_ms: null,
      ...more,
    };
    return { table: 'attempts', label: 'write-attempts', before: null, after };
  }

  function authorize(id: string): void {
    claim(id, 'payment', 1, 'authorization');
    const key = `${id}:authorization:0`;
    call('payments', 'authorize', id, key);
    const orderId = id as Order['id'];
    partners.payments.authorize({ key, orderId, amount: 1_999, currency: 'USD', scenario: 'success', epoch: 0 });
    const row = { payment: 'authorized', fulfillment: 'pending', authorization_state: 'done' };
    const events = eventsOf(id, 'update-orders', row, [['PaymentAuthorizedV1', {}]]);
    settle(id, 'payment', 1, null, events);
  }

  function book(id: string): void {
    claim(id, 'fulfillment', 2, 'booking');
    const key = orderOf(id).effects.get('booking')?.key ?? '';
    call('carrier', 'book', id, key);
    partners.carrier.book({ key, orderId: id as Order['id'], country: 'US', items: rowOf(id).items });
    const data = { previousStatus: 'PROCESSING', status: 'PROCESSED' };
    const row = { status: 'PROCESSED', fulfillment: 'scheduled', booking_state: 'done' };
    const events = eventsOf(id, 'update-orders', row, [['FulfillmentScheduledV1', data]]);
    settle(id, 'fulfillment', 2, null, events);
  }

  function mail(id: string, version: number, kind: 'processed' | 'canceled' | 'failed'): void {
    claim(id, 'notification', version, null);
    const key = `${id}:mail:${kind}`;
    call('mail', 'send', id, key);
    partners.mail.send({ key, orderId: id as Order['id'], kind, to: 'a@example.com', subject: '', text: '' });
    settle(id, 'notification', version, null, [
      attempt(id, 'notification', version, { outcome: 'done', code: 'done' }),
    ]);
  }

  // A core step that gives up: dead letter, FAILED and its event in one.
  function park(
    id: string,
    consumer: string,
    version: number,
    effect: string,
    deadLetter: Partial<DeadLetterRow>,
  ): void {
    const { attempt: attempts, epoch } = jobOf(id, consumer, version);
    const { status } = rowOf(id);
    const written: DeadLetterRow = {
      ...{ id: `${id}-dead-letter-${orderOf(id).deadLetters.size + 1}`, order_id: id, version, consumer },
      ...{
        event_id: `${id}-event-${version}`,
        epoch,
        failure_class: 'retryable',
        code: 'partner-failed',
        message: 'no',
      },
      ...{ attempts, closed_at: null, closed_how: null, partner: '' },
      ...deadLetter,
    };
    const row = {
      status: 'FAILED',
      reason_code: written.code,
      ...(effect === 'booking' ? { fulfillment: 'none' } : { payment: 'none' }),
      [`${effect}_state`]: 'none',
    };
    const data = { previousStatus: status, status: 'FAILED', reason: written.code };
    settle(id, consumer, version, null, [
      ...eventsOf(id, 'update-orders', row, [['OrderFailedV1', data]]),
      attempt(id, consumer, version, { outcome: 'dead', code: written.code }),
      { table: 'dead_letters', label: 'write-dead-letters', before: null, after: written },
    ]);
  }

  function act(id: string, what: Act['act']): Act {
    const correlationId = `act-${evidence.acts.length + 1}`;
    return recorder.acted({ atMs: nowMs, process: 'api#1', act: what, orderId: id, deadLetterId: null, correlationId });
  }
  const auditOf = ({ correlationId, orderId }: Act, action: string): Change => ({
    table: 'audit_log',
    label: 'write-audit',
    before: null,
    after: { id: `audit-${correlationId}`, action, order_id: orderId, correlation_id: correlationId },
  });
  const closed = (id: string, how: string): Change[] =>
    [...orderOf(id).deadLetters.values()].map((before) => ({
      table: 'dead_letters' as const,
      label: 'close-dead-letters',
      before,
      after: { ...before, closed_at: new Date(epochMs + nowMs), closed_how: how },
    }));

  function cancel(id: string): void {
    const asked = act(id, 'cancel');
    const row = { status: 'CANCELED', reason_code: 'canceled-by-request' };
    const data = { previousStatus: rowOf(id).status, status: 'CANCELED', reason: 'canceled-by-request' };
    const events = eventsOf(id, 'update-orders', { ...row, fulfillment: 'none' }, [['OrderCanceledV1', data]]);
    commit('api#1', [...events, ...closed(id, 'canceled'), auditOf(asked, 'canceled')]);
    asked.answer = { answer: 'done', order: { ...firstAnswer(rowOf(id)), status: 'CANCELED' } };
    publish(id);
  }

  function reprocess(id: string): void {
    const asked = act(id, 'reprocess');
    const again = [...orderOf(id).effects.values()]
      .filter(({ state }) => state === 'none')
      .map(({ name, generation }) => [`${name}_generation`, generation + 1]);
    const row = { status: 'PENDING', reason_code: null, retry_count: 0, ...Object.fromEntries(again) };
    const events = eventsOf(id, 'update-orders', row, [
      ['OrderReprocessedV1', { previousStatus: 'FAILED', status: 'PENDING' }],
    ]);
    const open = [...orderOf(id).deadLetters.values()].filter(({ closed_at }) => closed_at === null);
    commit('api#1', [
      ...events,
      ...closed(id, 'reprocessed'),
      ...open.map(({ consumer, version, epoch }): Change => {
        const type = orderOf(id).events[version - 1]?.type ?? '';
        const job = newJob({ order_id: id, version, consumer }, type, epochMs + nowMs);
        return { table: 'jobs', label: 'recreate-jobs', before: null, after: { ...job, epoch: epoch + 1 } };
      }),
      auditOf(asked, 'reprocessed'),
    ]);
    asked.answer = { answer: 'done', order: firstAnswer(rowOf(id)) };
    publish(id);
  }

  function look(id: string, at: Look['at'], answer: Look['answer']): Look {
    const told = recorder.looked({ atMs: nowMs, process: 'api#1', at, orderId: id });
    return Object.assign(told, { answer, answeredMs: nowMs });
  }

  // The document of an order as it is now.
  function documentOf(id: string): OrderDocument {
    const { events } = orderOf(id);
    const row = rowOf(id);
    const steps = events.map(({ type }) => type.replace(/V\d+$/, ''));
    return {
      ...{ id: id as Order['id'], version: row.version, state: row.status as Order['status'] },
      ...{ status: steps.at(-1) ?? '', facts: [...new Set(steps)] },
      reason: row.reason_code === null ? null : { code: row.reason_code, message: 'no' },
      ...{ amount: row.amount, currency: row.currency, country: row.country, items: row.items },
      ...{ customerEmail: row.customer_email, userId: row.user_id, productType: null },
      correlationId: row.correlation_id,
      timeline: events.map(({ type, id: eventId, time, causation_id: causationId }) => ({
        ...{ type, at: time.toISOString(), eventId, correlationId: row.correlation_id, causationId },
      })),
      ...{ createdAt: row.created_at.toISOString(), updatedAt: row.created_at.toISOString(), words: [] },
    };
  }
  // As if the index had stored it, whatever was there.
  const bring = (document: OrderDocument) =>
    (partners.broughtOf(document.id) as Brought[]).push({ atMs: nowMs, document, isStored: true });

  const command = { customerEmail: 'a@example.com', amount: 1_999 };

  // `paid` goes all the way, and its request comes twice.
  place('paid', 'key-1', command);
  recorder.answered(ask('again', 'key-1', command), { answer: 'replayed', order: firstAnswer(rowOf('paid')) });
  authorize('paid');
  book('paid');
  mail('paid', 3, 'processed');
  look('paid', 'order', { answer: 'seen', order: stateOf(rowOf('paid')) });
  look('paid', 'timeline', { answer: 'seen', events: orderOf('paid').events.map(({ id }) => id) });

  // `canceled` has its money held when somebody cancels it.
  place('canceled', null, command);
  authorize('canceled');
  cancel('canceled');
  skip('canceled', 'fulfillment', 2);
  claim('canceled', 'compensation', 3, 'undo');
  const held = 'canceled:authorization:0';
  call('payments', 'void', 'canceled', held);
  partners.payments.void({ key: held, orderId: 'canceled' as Order['id'] });
  settle('canceled', 'compensation', 3, null, [
    ...eventsOf('canceled', 'update-orders', { payment: 'voided', authorization_state: 'undone' }, [
      ['PaymentVoidedV1', {}],
    ]),
  ]);
  mail('canceled', 3, 'canceled');

  // `failed` uses up its attempts, is sent back, and fails again for good.
  place('failed', null, command);
  authorize('failed');
  claim('failed', 'fulfillment', 2, 'booking');
  const row = rowOf('failed');
  settle('failed', 'fulfillment', 2, { due_at: new Date(epochMs + nowMs + 60) }, [
    attempt('failed', 'fulfillment', 2, { due_in_ms: 50 }),
    { table: 'orders', label: 'update-orders', before: row, after: { ...row, retry_count: 1, booking_state: 'none' } },
  ]);
  claim('failed', 'fulfillment', 2, 'booking');
  park('failed', 'fulfillment', 2, 'booking', {});
  mail('failed', 3, 'failed');
  reprocess('failed');
  claim('failed', 'fulfillment', 2, 'booking');
  park('failed', 'fulfillment', 2, 'booking', { failure_class: 'non-retryable', code: 'partner-refused' });
  mail('failed', 5, 'failed');

  for (const id of ['paid', 'canceled', 'failed']) partners.search.index([documentOf(id)]);

  // One key for two payloads.
  const late = ask('refused', 'key-1', { ...command, amount: 5 });
  recorder.answered(late, { answer: 'refused', code: 'idempotency-key-reused' });

  // The analytics of the three orders, as they are in the end; a second from created to processed.
  const lines = [
    ...['status PROCESSED', 'status CANCELED', 'status FAILED', 'canceled canceled-by-request'],
    ...['failed partner-failed', 'failed partner-refused'],
  ];
  const line = { day: '2026-11-21', currency: 'USD', country: 'US', count: 1, amount: '1999' };
  const duration = { ...line, measure: 'duration', value: '173', currency: '', country: '', amount: '0' };
  commit(worker, [
    ...lines.map((about): Change => {
      const [measure = '', value = ''] = about.split(' ');
      return { table: 'analytics', label: 'add-counts', before: null, after: { ...line, measure, value } };
    }),
    { table: 'analytics', label: 'add-counts', before: null, after: duration },
  ]);

  const asked = { atMs: nowMs, monotonicMs: 1e9, process: worker, dependency: 'payments', call: 'lookup' } as const;
  const lost = recorder.called({ ...asked, key: 'of nobody', orderId: null });
  lost.trouble = { class: 'retryable', code: 'partner-unavailable', dependencyDown: true, isInterrupted: false };
  lost.endedMs = 1e9;
  recorder.breakerChanged({ process: worker, dependency: 'payments', state: 'open', monotonicMs: 1e9 });
  recorder.committed('relay#1', nowMs, [
    {
      table: 'cursors',
      label: 'hold-cursor',
      before: null,
      after: {
        ...{ reader: 'relay', read_to: positions, gaps: '{}' },
        ...{ token: 'cursor-token', lease_until: new Date(epochMs + nowMs + 5_000) },
      },
    },
  ]);
  recorder.tokenMade('relay#1', 'cursor-token', 0);
  return {
    recorder,
    evidence,
    partners,
    commit,
    orderOf,
    documentOf,
    bring,
    claim,
    call,
    look,
    now: () => nowMs,
    skip: (ms: number) => (nowMs += ms),
  };
}

function firstAnswer(row: OrderRow): Order {
  return {
    ...{
      id: row.id as Order['id'],
      status: 'PENDING',
      payment: 'none',
      fulfillment: 'none',
      retryCount: 0,
      reason: null,
    },
    ...{ amount: row.amount, currency: row.currency, country: row.country, items: row.items, version: 1 },
    ...{ customerEmail: row.customer_email, userId: row.user_id, productType: null, paymentScenario: 'success' },
    ...{
      correlationId: row.correlation_id,
      traceparent: null,
      createdAt: new Date(epochMs),
      updatedAt: new Date(epochMs),
    },
  };
}

// The order as somebody is shown it who asks now.
function stateOf(row: OrderRow): Order {
  const { status, payment, fulfillment, version, retry_count: retryCount } = row;
  return { ...firstAnswer(row), ...({ status, payment, fulfillment, version, retryCount } as Partial<Order>) };
}

// A move of a row that the stories did not make.
export function moved<T>(label: string, before: T | null, after: T | null, more: Partial<Moved<T>> = {}): Moved<T> {
  const at = { sequence: 1e6, atMs: 1e6, process: 'worker#1', transaction: label };
  return { ...at, label, before, after, token: null, ...more };
}

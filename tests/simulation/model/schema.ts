// The tables of the migrations with their keys, indexes and constraints.
//
// Promises: a row has the columns of its table, with values as pg gives them; a row that PostgreSQL
// refuses is refused with its SQLSTATE (23502 for a missing value, 23514 for a check).

import { toSpans } from './spans.ts';
import { createTable, type Table } from './table.ts';
import { SqlError } from './values.ts';

export type OrderRow = EffectColumns & {
  readonly id: string;
  readonly status: string;
  readonly payment: string;
  readonly fulfillment: string;
  readonly retry_count: number;
  readonly amount: number;
  readonly currency: string;
  readonly country: string;
  readonly items: readonly { readonly sku: string; readonly quantity: number; readonly unitPrice: number }[];
  readonly customer_email: string | null;
  readonly user_id: string | null;
  readonly product_type: string | null;
  readonly payment_scenario: string;
  readonly reason_code: string | null;
  readonly reason_message: string | null;
  readonly correlation_id: string;
  readonly traceparent: string | null;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
};
// All null where an effect was never meant to be.
export type EffectColumns = {
  readonly authorization_generation: number | null;
  readonly authorization_state: string | null;
  readonly authorization_token: string | null;
  readonly authorization_first_used_at: Date | null;
  readonly authorization_reference: string | null;
  readonly authorization_expires_at: Date | null;
  readonly booking_generation: number | null;
  readonly booking_state: string | null;
  readonly booking_token: string | null;
  readonly booking_first_used_at: Date | null;
  readonly booking_reference: string | null;
};
export type KeyRow = {
  readonly key: string;
  readonly fingerprint: Buffer;
  readonly order_id: string;
  readonly created_at: Date;
};
export type EventRow = {
  readonly id: string;
  readonly order_id: string;
  readonly version: number;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly correlation_id: string;
  readonly causation_id: string | null;
  readonly traceparent: string | null;
  readonly time: Date;
  readonly attempt: number | null;
  readonly duration_ms: number | null;
  readonly position: number;
  // The transaction that wrote it: the system column xmin.
  readonly xid: string;
};
export type CursorRow = {
  readonly reader: string;
  readonly read_to: number;
  // As the database writes a multirange.
  readonly gaps: string;
  readonly token: string | null;
  // `-infinity` is a number for pg.
  readonly lease_until: Date | number;
};
export type JobRow = {
  readonly order_id: string;
  readonly version: number;
  readonly consumer: string;
  readonly event_type: string;
  readonly created_at: Date;
  readonly due_at: Date;
  readonly waiting_since: Date | null;
  readonly token: string | null;
  readonly lease_until: Date | null;
  readonly epoch: number;
  readonly attempt: number;
  readonly takeovers: number;
};
export type SubscriptionRow = { readonly event_type: string; readonly consumer: string };
export type DependencyRow = { readonly name: string; readonly down_since: Date };
export type DeadLetterRow = {
  readonly id: string;
  readonly order_id: string;
  readonly version: number;
  readonly consumer: string;
  readonly event_id: string;
  readonly event_type: string;
  readonly epoch: number;
  readonly failure_class: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly failed_at: Date;
  readonly closed_at: Date | null;
  readonly closed_how: string | null;
  readonly partner: string;
};
export type AttemptRow = {
  readonly order_id: string;
  readonly consumer: string;
  readonly event_id: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly outcome: string;
  readonly code: string;
  readonly message: string;
  readonly due_in_ms: number | null;
  readonly at: Date;
  readonly duration_ms: number | null;
};
export type AuditRow = {
  readonly id: string;
  readonly at: Date;
  readonly action: string;
  readonly order_id: string | null;
  readonly detail: unknown;
  readonly correlation_id: string;
  readonly operator: string | null;
};
export type AnalyticsRow = {
  readonly day: string;
  readonly measure: string;
  readonly value: string;
  readonly currency: string;
  readonly country: string;
  readonly count: number;
  // numeric: its digits, as pg hands it out.
  readonly amount: string;
};

function checks<R extends object>(
  name: string,
  required: readonly (keyof R & string)[],
  rules: Readonly<Record<string, (row: R) => boolean>> = {},
) {
  const named = Object.entries(rules);
  return (row: R): void => {
    for (const column of required) {
      if (row[column] === null) throw new SqlError('23502', `null value in column "${column}" of "${name}"`);
    }
    for (const [rule, holds] of named) {
      if (!holds(row)) throw new SqlError('23514', `new row for relation "${name}" violates check "${rule}"`);
    }
  };
}
const among = (...values: string[]) => {
  const known = new Set(values);
  return (value: string) => known.has(value);
};
const statuses = among('PENDING', 'PROCESSING', 'PROCESSED', 'FAILED', 'CANCELED');
const payments = among('none', 'pending', 'authorized', 'declined', 'voided', 'unknown');
const fulfillments = among('none', 'pending', 'scheduled', 'rejected', 'canceled', 'unknown');
const effectStates = among('intent', 'unknown', 'none', 'done', 'declined', 'undone', 'stuck');
const outcomes = among('done', 'retry', 'wait', 'takeover', 'dead', 'skipped');
const measures = among('status', 'declined', 'canceled', 'failed', 'duration');
const closings = among('reprocessed', 'canceled', 'discarded');
// PostgreSQL counts code points.
const lengthOf = (text: string) => [...text].length;

type EffectCells = { readonly state: string | null; readonly needed: unknown[]; readonly others: unknown[] };
const authorizationOf = (row: OrderRow): EffectCells => ({
  state: row.authorization_state,
  needed: [row.authorization_generation, row.authorization_token, row.authorization_first_used_at],
  others: [row.authorization_reference, row.authorization_expires_at],
});
const bookingOf = (row: OrderRow): EffectCells => ({
  state: row.booking_state,
  needed: [row.booking_generation, row.booking_token, row.booking_first_used_at],
  others: [row.booking_reference],
});
const isWhole = ({ state, needed, others }: EffectCells) =>
  state === null ? [...needed, ...others].every((value) => value === null) : needed.every((value) => value !== null);

export const noEffects: EffectColumns = {
  ...{ authorization_generation: null, authorization_state: null, authorization_token: null },
  ...{ authorization_first_used_at: null, authorization_reference: null, authorization_expires_at: null },
  ...{ booking_generation: null, booking_state: null, booking_token: null },
  ...{ booking_first_used_at: null, booking_reference: null },
};

export type Tables = ReturnType<typeof createTables>;
export type Subscribed = { readonly consumer: string; readonly type: string };

export function createTables(subscribed: readonly Subscribed[]) {
  const orders: Table<OrderRow, never> = createTable<OrderRow>({
    name: 'orders',
    key: (row) => row.id,
    check: checks<OrderRow>(
      'orders',
      [
        ...(['id', 'status', 'payment', 'fulfillment', 'retry_count', 'amount', 'currency', 'country'] as const),
        ...(['items', 'payment_scenario', 'correlation_id', 'version', 'created_at', 'updated_at'] as const),
      ],
      {
        status: (row) => statuses(row.status),
        payment: (row) => payments(row.payment),
        fulfillment: (row) => fulfillments(row.fulfillment),
        retry_count: (row) => row.retry_count >= 0,
        amount: (row) => row.amount >= 1 && row.amount <= Number.MAX_SAFE_INTEGER,
        currency: (row) => lengthOf(row.currency) === 3,
        country: (row) => lengthOf(row.country) === 2,
        version: (row) => row.version >= 1,
        orders_have_a_customer: (row) => row.customer_email !== null || row.user_id !== null,
        orders_that_ended_badly_say_why: (row) =>
          (row.status === 'FAILED' || row.status === 'CANCELED') === (row.reason_code !== null) &&
          (row.reason_code === null) === (row.reason_message === null),
        orders_processed_are_paid_and_booked: (row) =>
          row.status !== 'PROCESSED' || (row.payment === 'authorized' && row.fulfillment === 'scheduled'),
        effect_states: (row) =>
          [row.authorization_state, row.booking_state].every((state) => state === null || effectStates(state)),
        effect_generations: (row) => (row.authorization_generation ?? 0) >= 0 && (row.booking_generation ?? 0) >= 0,
        orders_effects_are_whole: (row) => isWhole(authorizationOf(row)) && isWhole(bookingOf(row)),
        orders_effects_done_have_a_reference: (row) =>
          (row.authorization_state !== 'done' || row.authorization_reference !== null) &&
          (row.booking_state !== 'done' || row.booking_reference !== null),
      },
    ),
  });

  const idempotencyKeys = createTable<KeyRow>({
    name: 'idempotency_keys',
    key: (row) => row.key,
    check: checks<KeyRow>('idempotency_keys', ['key', 'fingerprint', 'order_id', 'created_at'], {
      fingerprint: (row) => row.fingerprint.length === 32,
    }),
  });

  // By position, for the readers of the log.
  const byPosition: EventRow[] = [];
  const events = createTable<EventRow, 'order' | 'position'>({
    name: 'events',
    key: (row) => `${row.order_id} ${row.version}`,
    indexes: { order: (row) => row.order_id, position: (row) => String(row.position) },
    unique: ['position'],
    check: checks<EventRow>(
      'events',
      ['id', 'order_id', 'version', 'type', 'data', 'correlation_id', 'time', 'position'],
      { version: (row) => row.version >= 1 },
    ),
    onInserted: (row) => {
      let place = byPosition.length;
      while (place > 0 && (byPosition[place - 1] as EventRow).position > row.position) place -= 1;
      byPosition.splice(place, 0, row);
    },
  });

  const cursors = createTable<CursorRow>({
    name: 'cursors',
    key: (row) => row.reader,
    check: checks<CursorRow>('cursors', ['reader', 'read_to', 'gaps', 'lease_until'], {
      read_to: (row) => row.read_to >= 0,
      cursors_gaps_lie_below: (row) => (toSpans(row.gaps).at(-1)?.to ?? 0) <= row.read_to,
    }),
  });
  for (const reader of ['relay', 'analytics', 'search.postgres', 'search.elasticsearch']) {
    cursors.seed({ reader, read_to: 0, gaps: '{}', token: null, lease_until: -Infinity });
  }

  const jobs = createTable<JobRow, 'order' | 'consumer'>({
    name: 'jobs',
    key: jobKey,
    indexes: { order: (row) => row.order_id, consumer: (row) => row.consumer },
    check: checks<JobRow>(
      'jobs',
      [
        ...(['order_id', 'version', 'consumer', 'event_type', 'created_at', 'due_at', 'epoch'] as const),
        ...(['attempt', 'takeovers'] as const),
      ],
      {
        epoch: (row) => row.epoch >= 0,
        attempt: (row) => row.attempt >= 0,
        takeovers: (row) => row.takeovers >= 0,
        jobs_claimed_have_a_lease: (row) => (row.token === null) === (row.lease_until === null),
      },
    ),
  });

  const subscriptions = createTable<SubscriptionRow, 'type'>({
    name: 'subscriptions',
    key: (row) => `${row.event_type} ${row.consumer}`,
    indexes: { type: (row) => row.event_type },
    check: checks<SubscriptionRow>('subscriptions', ['event_type', 'consumer']),
  });
  for (const { consumer, type } of subscribed) subscriptions.seed({ event_type: type, consumer });

  const dependencies = createTable<DependencyRow>({
    name: 'dependencies',
    key: (row) => row.name,
    check: checks<DependencyRow>('dependencies', ['name', 'down_since']),
  });

  const deadLetters = createTable<DeadLetterRow, 'open' | 'order'>({
    name: 'dead_letters',
    key: (row) => row.id,
    indexes: {
      open: (row) => (row.closed_at === null ? jobKey(row) : null),
      order: (row) => row.order_id,
    },
    unique: ['open'],
    check: checks<DeadLetterRow>(
      'dead_letters',
      [
        ...(['id', 'order_id', 'version', 'consumer', 'event_id', 'event_type', 'epoch', 'failure_class'] as const),
        ...(['code', 'message', 'attempts', 'failed_at'] as const),
      ],
      {
        attempts: (row) => row.attempts >= 0,
        closed_how: (row) => row.closed_how === null || closings(row.closed_how),
        dead_letters_closed_say_how: (row) => (row.closed_at === null) === (row.closed_how === null),
      },
    ),
  });

  // It has no key of its own: each row gets the next number.
  let attemptsWritten = 0;
  const attempts = createTable<AttemptRow, 'order'>({
    name: 'attempts',
    key: numbered(() => {
      attemptsWritten += 1;
      return attemptsWritten;
    }),
    indexes: { order: (row) => row.order_id },
    check: checks<AttemptRow>(
      'attempts',
      ['order_id', 'consumer', 'event_id', 'epoch', 'attempt', 'outcome', 'code', 'message', 'at'],
      { outcome: (row) => outcomes(row.outcome) },
    ),
  });

  const auditLog = createTable<AuditRow, 'order'>({
    name: 'audit_log',
    key: (row) => row.id,
    indexes: { order: (row) => row.order_id },
    check: checks<AuditRow>('audit_log', ['id', 'at', 'action', 'detail', 'correlation_id']),
  });

  const analytics = createTable<AnalyticsRow>({
    name: 'analytics',
    key: (row) => [row.measure, row.day, row.value, row.currency, row.country].join('\n'),
    check: checks<AnalyticsRow>('analytics', ['day', 'measure', 'value', 'currency', 'country', 'count', 'amount'], {
      measure: (row) => measures(row.measure),
    }),
  });

  // A sequence: numbers are never given back.
  let position = 0;
  const nextPosition = () => {
    position += 1;
    return position;
  };

  return {
    ...{ orders, idempotencyKeys, events, cursors, jobs, subscriptions, dependencies },
    ...{ deadLetters, attempts, auditLog, analytics },
    nextPosition,
    // Committed ones, from the first above this position on.
    eventsAbove: (above: number): readonly EventRow[] => {
      let from = byPosition.length;
      while (from > 0 && (byPosition[from - 1] as EventRow).position > above) from -= 1;
      return byPosition.slice(from);
    },
  };
}

export const jobKey = ({ order_id, version, consumer }: Pick<JobRow, 'order_id' | 'version' | 'consumer'>) =>
  `${order_id} ${version} ${consumer}`;

// A job as its columns' defaults make it, in a transaction that began at `nowMs`.
export function newJob(
  key: Pick<JobRow, 'order_id' | 'version' | 'consumer'>,
  event_type: string,
  nowMs: number,
): JobRow {
  const now = new Date(nowMs);
  return {
    ...{ ...key, event_type, created_at: now, due_at: now, waiting_since: null, token: null, lease_until: null },
    ...{ epoch: 0, attempt: 0, takeovers: 0 },
  };
}

function numbered<R extends object>(next: () => number): (row: R) => string {
  const numbers = new WeakMap<R, string>();
  return (row) => {
    const known = numbers.get(row);
    if (known !== undefined) return known;
    const number = String(next());
    numbers.set(row, number);
    return number;
  };
}

// Committed rows as the oracles read them: of each table of the model the columns that an invariant asks
// about. Rows are never changed in place; a write makes a new one.

import type * as table from './model/schema.ts';

export type OrderRow = Omit<
  table.OrderRow,
  'reason_message' | 'traceparent' | 'updated_at' | `${string}_reference` | 'authorization_expires_at'
>;
export type KeyRow = Pick<table.KeyRow, 'key' | 'order_id'>;
export type EventColumns = Pick<
  table.EventRow,
  'id' | 'order_id' | 'version' | 'type' | 'data' | 'causation_id' | 'time' | 'position'
>;
export type CursorRow = table.CursorRow;
export type JobRow = table.JobRow;
export type DependencyRow = table.DependencyRow;
// What the columns of an order say about one of its effects, with the key that follows from them.
export type EffectRow = {
  readonly order_id: string;
  readonly name: string;
  readonly key: string;
  readonly generation: number;
  readonly state: string;
  readonly token: string;
  readonly first_used_at: Date;
};
export type DeadLetterRow = Omit<table.DeadLetterRow, 'event_type' | 'failed_at'>;
export type AttemptRow = Omit<table.AttemptRow, 'message' | 'at' | 'duration_ms'>;
export type AnalyticsRow = table.AnalyticsRow;
export type AuditRow = Pick<table.AuditRow, 'id' | 'action' | 'order_id' | 'correlation_id'>;

type Rows = {
  readonly orders: OrderRow;
  readonly idempotency_keys: KeyRow;
  readonly events: EventColumns;
  readonly cursors: CursorRow;
  readonly jobs: JobRow;
  readonly dependencies: DependencyRow;
  readonly dead_letters: DeadLetterRow;
  readonly attempts: AttemptRow;
  readonly audit_log: AuditRow;
  readonly analytics: AnalyticsRow;
};

// One row that a committed transaction has inserted (`before` null), changed or deleted (`after` null).
// A row that it changed twice appears twice, or once from its first to its last state; both are fine.
// `label` is the name of the writing statement, `transaction` that of the first one of its transaction; `token` the
// claim's token among the statement's values for this row (claim-jobs, delete-jobs, pause-jobs), where there is one.
export type Change = {
  readonly [T in keyof Rows]: {
    readonly table: T;
    readonly label: string;
    readonly transaction?: string;
    readonly before: Rows[T] | null;
    readonly after: Rows[T] | null;
    readonly token?: string | null | undefined;
  };
}[keyof Rows];

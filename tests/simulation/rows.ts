// Committed rows as the oracles read them: of each table the columns that an invariant asks about, named
// and typed as the database gives them. Rows are never changed in place; a write makes a new one.

export type OrderRow = {
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
  readonly correlation_id: string;
  readonly version: number;
};

export type KeyRow = { readonly key: string; readonly order_id: string };

export type FactRow = {
  readonly id: string;
  readonly order_id: string;
  readonly version: number;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly causation_id: string | null;
};

export type OwedRow = { readonly order_id: string; readonly version: number; readonly event_id: string };

export type LaneRow = { readonly lane: number; readonly token: string | null; readonly lease_until: Date | number };

export type DeliveryRow = {
  readonly event_id: string;
  readonly consumer: string;
  // Null for a message that could not be read.
  readonly order_id: string | null;
  readonly state: string;
  readonly token: string | null;
  readonly epoch: number;
  readonly attempt: number;
  readonly takeovers: number;
  readonly due_at: Date | null;
  readonly waiting_since: Date | null;
};

export type EffectRow = {
  readonly order_id: string;
  readonly name: string;
  readonly key: string;
  readonly generation: number;
  readonly state: string;
  readonly token: string;
  readonly first_used_at: Date;
};

export type LetterRow = {
  readonly id: string;
  readonly order_id: string | null;
  readonly consumer: string;
  readonly delivery_id: string;
  readonly event_id: string | null;
  readonly failure_class: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  // The bytes of a message that could not be read.
  readonly raw: Uint8Array | null;
  readonly closed_at: Date | null;
  readonly closed_how: string | null;
};

export type AttemptRow = {
  readonly order_id: string;
  readonly consumer: string;
  readonly event_id: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly outcome: string;
  readonly code: string;
  readonly due_in_ms: number | null;
};

export type AuditRow = {
  readonly id: string;
  readonly action: string;
  readonly order_id: string | null;
  readonly correlation_id: string;
};

type Rows = {
  readonly orders: OrderRow;
  readonly idempotency_keys: KeyRow;
  readonly events: FactRow;
  readonly outbox: OwedRow;
  readonly relay_lanes: LaneRow;
  readonly deliveries: DeliveryRow;
  readonly effects: EffectRow;
  readonly dead_letters: LetterRow;
  readonly attempts: AttemptRow;
  readonly audit_log: AuditRow;
};

// One row that a committed transaction has inserted (`before` null), changed or deleted (`after` null).
// A row that it changed twice appears twice, or once from its first to its last state; both are fine.
// `label` is the name of the writing statement; `token` the claim's token among the statement's values
// for this row (claim-deliveries, end-deliveries, take-effects, update-effects), where there is one.
export type Change = {
  readonly [T in keyof Rows]: {
    readonly table: T;
    readonly label: string;
    readonly before: Rows[T] | null;
    readonly after: Rows[T] | null;
    readonly token?: string | null | undefined;
  };
}[keyof Rows];

-- The whole schema. Orders, events and effects stay for ever; everything else is work in progress or
-- has a retention. No foreign keys on these hot tables: every row is written in the transaction of the
-- order it belongs to, under that order's lock, and `orders.id` never goes away.

-- The order as it stands. Every guarded write is `WHERE id AND version AND status`; fillfactor leaves
-- room for HOT updates, so no index may be put on a column that changes.
CREATE TABLE orders (
  id uuid PRIMARY KEY,
  status text NOT NULL CHECK (status IN ('PENDING', 'PROCESSING', 'PROCESSED', 'FAILED', 'CANCELED')),
  payment text NOT NULL CHECK (payment IN ('none', 'pending', 'authorized', 'declined', 'voided', 'unknown')),
  fulfillment text NOT NULL
    CHECK (fulfillment IN ('none', 'pending', 'scheduled', 'rejected', 'canceled', 'unknown')),
  retry_count integer NOT NULL CHECK (retry_count >= 0),
  -- Minor units; the upper bound is what a JSON number holds exactly (2^53 - 1).
  amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991),
  currency text NOT NULL CHECK (length(currency) = 3),
  country text NOT NULL CHECK (length(country) = 2),
  items json NOT NULL,
  customer_email text,
  user_id text,
  product_type text,
  payment_scenario text NOT NULL,
  reason_code text,
  reason_message text,
  correlation_id text NOT NULL,
  traceparent text,
  version integer NOT NULL CHECK (version >= 1),
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  CONSTRAINT orders_have_a_customer CHECK (customer_email IS NOT NULL OR user_id IS NOT NULL),
  CONSTRAINT orders_that_ended_badly_say_why
    CHECK ((status IN ('FAILED', 'CANCELED')) = (reason_code IS NOT NULL)
       AND (reason_code IS NULL) = (reason_message IS NULL)),
  CONSTRAINT orders_processed_are_paid_and_booked
    CHECK (status <> 'PROCESSED' OR (payment = 'authorized' AND fulfillment = 'scheduled'))
) WITH (fillfactor = 50);

-- One row per Idempotency-Key. The unique key is the arbiter between equal requests; the fingerprint
-- tells a repetition from another payload. BRIN finds the old ones for the cleanup at almost no cost.
CREATE TABLE idempotency_keys (
  key text PRIMARY KEY,
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
  order_id uuid NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys USING brin (created_at);

-- The facts, append-only: what a consumer reads by id, the spine of the timeline.
-- `xid` is the writing transaction: below pg_snapshot_xmin every fact is certainly visible, which a
-- sequence number cannot promise (numbers are given out before the commit).
CREATE TABLE events (
  id uuid PRIMARY KEY,
  order_id uuid NOT NULL,
  version integer NOT NULL CHECK (version >= 1),
  type text NOT NULL,
  -- The bus carries at most 64 KiB; a fact that would not fit is refused here, before it is promised.
  data json NOT NULL CHECK (octet_length(data::text) <= 60000),
  correlation_id text NOT NULL,
  causation_id uuid,
  traceparent text,
  time timestamptz NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  -- Gives the timeline its order, and makes two writers of one version impossible.
  UNIQUE (order_id, version)
);
-- For the pull: facts of one type behind a watermark, oldest transaction first.
CREATE INDEX events_by_type ON events (type, xid);

-- A row = still owed to the bus; deleted when the bus has it. Positions grow, so the relay reads what is
-- owed behind its floor in the order it was written; one row per fact is seen to by events.
CREATE TABLE outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id uuid NOT NULL,
  version integer NOT NULL,
  event_id uuid NOT NULL,
  -- Share of the orders that one relay owns at a time, 0-15.
  lane smallint NOT NULL CHECK (lane BETWEEN 0 AND 15)
);

-- Who owns which lane of the outbox; a lease that ended is anybody's.
CREATE TABLE relay_lanes (
  lane smallint PRIMARY KEY CHECK (lane BETWEEN 0 AND 15),
  token uuid,
  lease_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO relay_lanes (lane) SELECT generate_series(0, 15);

-- The inbox: one row per consumer and fact, with its lease. `event_id` first in the key: UUIDv7 sorts by
-- time, so the cleanup walks the oldest. `order_id` is null for a message that could not be read.
CREATE TABLE deliveries (
  event_id uuid NOT NULL,
  consumer text NOT NULL,
  order_id uuid,
  state text NOT NULL CHECK (state IN ('running', 'waiting', 'done', 'skipped', 'dead')),
  -- The fencing token of the last claim; kept after the end, so that a repeated settle knows itself.
  token uuid,
  epoch integer NOT NULL CHECK (epoch >= 0),
  attempt integer NOT NULL CHECK (attempt >= 0),
  takeovers integer NOT NULL CHECK (takeovers >= 0),
  -- End of the lease while running, time of the next try while waiting.
  due_at timestamptz,
  -- Since when it has been waiting without being charged.
  waiting_since timestamptz,
  PRIMARY KEY (event_id, consumer),
  CONSTRAINT deliveries_owed_are_due CHECK ((due_at IS NOT NULL) = (state IN ('running', 'waiting')))
);
-- For the workers' poll of what is due, ended leases included.
CREATE INDEX deliveries_due ON deliveries (consumer, due_at) WHERE due_at IS NOT NULL;

-- What was meant to happen outside, and what came of it. Do and undo of one effect share the row; its
-- token lets one of them write.
CREATE TABLE effects (
  order_id uuid NOT NULL,
  name text NOT NULL CHECK (name IN ('authorization', 'booking')),
  key text NOT NULL,
  generation integer NOT NULL CHECK (generation >= 0),
  state text NOT NULL CHECK (state IN ('intent', 'unknown', 'none', 'done', 'declined', 'undone', 'stuck')),
  token uuid NOT NULL,
  first_used_at timestamptz NOT NULL,
  reference text,
  expires_at timestamptz,
  PRIMARY KEY (order_id, name),
  CONSTRAINT effects_done_have_a_reference CHECK (state <> 'done' OR reference IS NOT NULL)
) WITH (fillfactor = 50);

-- What a person must look at. Closed, never deleted before its retention.
CREATE TABLE dead_letters (
  id uuid PRIMARY KEY,
  order_id uuid,
  consumer text NOT NULL,
  -- The delivery that it belongs to: the fact's id, or an id made from the bytes of an unread message.
  delivery_id uuid NOT NULL,
  event_id uuid,
  event_type text,
  failure_class text NOT NULL,
  code text NOT NULL,
  message text NOT NULL,
  attempts integer NOT NULL CHECK (attempts >= 0),
  failed_at timestamptz NOT NULL,
  -- The message as it came, where no fact could be read from it.
  raw bytea,
  closed_at timestamptz,
  closed_how text CHECK (closed_how IN ('reprocessed', 'canceled')),
  CONSTRAINT dead_letters_closed_say_how CHECK ((closed_at IS NULL) = (closed_how IS NULL))
);
-- One open letter per consumer and fact, whatever is delivered again.
CREATE UNIQUE INDEX dead_letters_open ON dead_letters (consumer, delivery_id) WHERE closed_at IS NULL;
-- For GET /dlq, newest first.
CREATE INDEX dead_letters_by_time ON dead_letters (failed_at DESC, id DESC) WHERE closed_at IS NULL;
-- For the order's reprocess and its timeline.
CREATE INDEX dead_letters_of_order ON dead_letters (order_id) WHERE order_id IS NOT NULL;

-- What did not succeed, insert-only: the flesh of the timeline.
CREATE TABLE attempts (
  order_id uuid NOT NULL,
  consumer text NOT NULL,
  event_id uuid NOT NULL,
  epoch integer NOT NULL,
  attempt integer NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('retry', 'wait', 'takeover', 'dead')),
  code text NOT NULL,
  message text NOT NULL,
  due_in_ms integer,
  at timestamptz NOT NULL
);
-- For the order's timeline.
CREATE INDEX attempts_of_order ON attempts (order_id);
CREATE INDEX attempts_by_age ON attempts USING brin (at);

-- How far each consumer has certainly been given every fact of a type: all facts written by
-- transactions up to `xid` have a delivery row, or had one that was removed since.
CREATE TABLE watermarks (
  consumer text NOT NULL,
  type text NOT NULL,
  xid xid8 NOT NULL,
  PRIMARY KEY (consumer, type)
);

-- What people asked for: cancels and reprocesses. The id is chosen by the request, so that a request
-- whose commit got no answer finds itself.
CREATE TABLE audit_log (
  id uuid PRIMARY KEY,
  at timestamptz NOT NULL,
  action text NOT NULL,
  order_id uuid,
  detail json NOT NULL,
  correlation_id text NOT NULL
);
-- For the order's timeline.
CREATE INDEX audit_log_of_order ON audit_log (order_id) WHERE order_id IS NOT NULL;

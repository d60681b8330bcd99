-- What each consumer still has to do, one row per event and consumer: the row is the debt, and is deleted in the
-- transaction that has its effect. `SELECT consumer, count(*) FROM jobs GROUP BY consumer` is the backlog.
-- No index on a column that a claim writes, and room for HOT updates: a claim costs one tuple.
CREATE TABLE jobs (
  order_id uuid NOT NULL,
  version integer NOT NULL,
  consumer text NOT NULL,
  event_type text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- Does not change while the job is claimed.
  due_at timestamptz NOT NULL DEFAULT now(),
  -- Since when it has been deferred without being charged.
  waiting_since timestamptz,
  -- The fencing token of the claim that holds it, until the lease ends and somebody else claims it.
  token uuid,
  lease_until timestamptz,
  -- Raised by each reprocess.
  epoch integer NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
  takeovers integer NOT NULL DEFAULT 0 CHECK (takeovers >= 0),
  PRIMARY KEY (order_id, version, consumer),
  CONSTRAINT jobs_claimed_have_a_lease CHECK ((token IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 50);
-- For the poller, longest due first.
CREATE INDEX jobs_due ON jobs (consumer, due_at);

-- Which consumers an event of a type has. The statement that inserts an event joins it, so a release also creates
-- the jobs of a consumer that it does not know.
CREATE TABLE subscriptions (
  event_type text NOT NULL,
  consumer text NOT NULL,
  PRIMARY KEY (event_type, consumer)
);

-- Since when a dependency is down: jobs that wait for it are not touched meanwhile.
CREATE TABLE dependencies (
  name text PRIMARY KEY,
  down_since timestamptz NOT NULL
);

-- The attempt that wrote an event, and how long it took. Null where nobody attempted anything.
ALTER TABLE events ADD COLUMN attempt integer, ADD COLUMN duration_ms integer;
-- A step that succeeds without an event is told of here: a mail was sent.
ALTER TABLE attempts DROP CONSTRAINT attempts_outcome_check;
ALTER TABLE attempts ADD CONSTRAINT attempts_outcome_check
  CHECK (outcome IN ('done', 'retry', 'wait', 'takeover', 'dead', 'skipped')) NOT VALID;

-- From deliveries to jobs, with every process stopped. What runs has a worker that is gone: its lease is over, and
-- what it did is in doubt.
INSERT INTO jobs (order_id, version, consumer, event_type, created_at, due_at, waiting_since, token, lease_until, epoch,
                  attempt, takeovers)
SELECT e.order_id, e.version, d.consumer, e.type, e.time, CASE d.state WHEN 'waiting' THEN d.due_at ELSE now() END,
       d.waiting_since, CASE d.state WHEN 'running' THEN d.token END, CASE d.state WHEN 'running' THEN now() END,
       d.epoch, d.attempt, d.takeovers
FROM deliveries d JOIN events e ON e.id = d.event_id
WHERE d.state IN ('running', 'waiting');
-- What no consumer has taken yet.
INSERT INTO jobs (order_id, version, consumer, event_type, created_at)
SELECT e.order_id, e.version, w.consumer, e.type, e.time
FROM watermarks w JOIN events e ON e.type = w.type AND e.xid > w.xid
WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.event_id = e.id AND d.consumer = w.consumer);
INSERT INTO subscriptions (event_type, consumer) SELECT type, consumer FROM watermarks;

-- What the deliveries told the timeline.
UPDATE events e
SET attempt = d.attempt, duration_ms = extract(epoch FROM d.ended_at - d.started_at) * 1000
FROM deliveries d
WHERE d.event_id = e.causation_id AND d.state = 'done'
  AND d.consumer = CASE WHEN e.type IN ('PaymentAuthorizedV1', 'PaymentFailedV1') THEN 'payment'
                        WHEN e.type IN ('FulfillmentScheduledV1', 'FulfillmentRejectedV1') THEN 'fulfillment'
                        WHEN e.type IN ('FulfillmentCanceledV1', 'PaymentVoidedV1') THEN 'compensation' END;
INSERT INTO attempts (order_id, consumer, event_id, epoch, attempt, outcome, code, message, at, duration_ms)
SELECT d.order_id, d.consumer, d.event_id, d.epoch, d.attempt, 'done', 'done', d.consumer || ' succeeded',
       coalesce(d.ended_at, e.time), extract(epoch FROM d.ended_at - d.started_at) * 1000
FROM deliveries d JOIN events e ON e.id = d.event_id
WHERE d.state = 'done' AND d.consumer = 'notification';

-- A dead letter belongs to a job, by its key. What could not be read from a bus is no work that could be lost.
DELETE FROM dead_letters WHERE order_id IS NULL OR event_id IS NULL;
ALTER TABLE dead_letters ADD COLUMN version integer, ADD COLUMN epoch integer NOT NULL DEFAULT 0;
UPDATE dead_letters l SET version = e.version FROM events e WHERE e.id = l.event_id;
UPDATE dead_letters l SET epoch = d.epoch FROM deliveries d
WHERE d.event_id = l.event_id AND d.consumer = l.consumer AND l.closed_at IS NULL;
DROP INDEX dead_letters_open;
ALTER TABLE dead_letters DROP COLUMN delivery_id, DROP COLUMN raw, ALTER COLUMN order_id SET NOT NULL,
  ALTER COLUMN event_id SET NOT NULL, ALTER COLUMN event_type SET NOT NULL, ALTER COLUMN version SET NOT NULL,
  ALTER COLUMN epoch DROP DEFAULT;
-- One open dead letter per job, whatever happens again; also for the order's reprocess.
CREATE UNIQUE INDEX dead_letters_open ON dead_letters (order_id, version, consumer) WHERE closed_at IS NULL;

-- The key of an event is its order and version.
ALTER TABLE events DROP CONSTRAINT events_pkey, DROP CONSTRAINT events_order_id_version_key,
  ADD PRIMARY KEY (order_id, version);
DROP INDEX events_by_type;
ALTER TABLE events DROP COLUMN xid;

-- A forgotten process of the release before fails loudly. They may be dropped at any time.
ALTER TABLE deliveries RENAME TO deliveries_before_jobs;
ALTER TABLE watermarks RENAME TO watermarks_before_jobs;

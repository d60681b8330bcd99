-- Dead letters sent back in bulk: what was asked for, how far it is, and who drives it. One row each.
CREATE TABLE replays (
  id uuid PRIMARY KEY,
  -- Which dead letters, in the words of the API; of those that had failed by then.
  filter json NOT NULL,
  created_at timestamptz NOT NULL,
  reason text NOT NULL,
  operator text,
  correlation_id text NOT NULL,
  -- Per second; null = a ramp.
  rate double precision CHECK (rate > 0),
  canary boolean NOT NULL,
  stop_share double precision NOT NULL CHECK (stop_share BETWEEN 0 AND 1),
  total integer NOT NULL,
  total_is_at_least boolean NOT NULL,
  state text NOT NULL CHECK (state IN ('running', 'paused', 'stopped', 'canceled', 'done')),
  state_reason text,
  ended_at timestamptz,
  -- 0 = the canary; then the steps of the ramp.
  stage integer NOT NULL CHECK (stage >= 0),
  stage_since timestamptz NOT NULL,
  -- No dead letter is sent before: this keeps the rate, whoever drives.
  next_at timestamptz NOT NULL,
  sent integer NOT NULL DEFAULT 0,
  done integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  skipped integer NOT NULL DEFAULT 0,
  -- Outcomes before it was resumed after a stop are not held against it again.
  judged_done integer NOT NULL DEFAULT 0,
  judged_failed integer NOT NULL DEFAULT 0,
  -- Who drives it; a lease that ended is anybody's.
  token uuid,
  lease_until timestamptz NOT NULL DEFAULT '-infinity'
);

-- What a replay has sent: the work of a dead letter, once, however often it fails again. `skipped` = it could not be
-- sent. Written in the transaction that sends it.
CREATE TABLE replay_letters (
  replay_id uuid NOT NULL,
  order_id uuid NOT NULL,
  version integer NOT NULL,
  consumer text NOT NULL,
  letter_id uuid NOT NULL,
  sent_at timestamptz NOT NULL,
  -- Null = under way.
  outcome text CHECK (outcome IN ('done', 'failed', 'skipped')),
  PRIMARY KEY (replay_id, order_id, version, consumer)
);
-- For what is under way.
CREATE INDEX replay_letters_under_way ON replay_letters (replay_id) WHERE outcome IS NULL;

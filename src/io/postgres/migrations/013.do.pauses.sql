-- What people hold back: a consumer, a partner, or one order, until they resume it or its time is over.
CREATE TABLE pauses (
  kind text NOT NULL CHECK (kind IN ('consumer', 'partner', 'order')),
  -- Of the consumer or the partner, or the id of the order.
  name text NOT NULL,
  reason text NOT NULL,
  operator text,
  at timestamptz NOT NULL,
  until timestamptz,
  PRIMARY KEY (kind, name)
);

-- Who works on this database, and what on: one row per process, written every few seconds while it runs.
CREATE TABLE processes (
  id uuid PRIMARY KEY,
  started_at timestamptz NOT NULL,
  seen_at timestamptz NOT NULL,
  state json NOT NULL
);

-- A rebuild of the search under way: where it is, and who is at it. One row per search engine, gone at the end.
CREATE TABLE search_rebuilds (
  kind text PRIMARY KEY,
  -- The index that is being filled.
  target text NOT NULL,
  -- Facts of transactions from here on may be missing from it.
  since xid8 NOT NULL,
  -- Every order up to here is in it.
  after uuid NOT NULL,
  token uuid NOT NULL,
  alive_at timestamptz NOT NULL
);

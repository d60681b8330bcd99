-- The event log gets positions, and what reads all of it gets cursors. To be run with everything stopped.

-- Numbers are given out before the commit, so a lower one may appear after a higher one: see src/engine/gaps.ts. The
-- transaction has its id before its number, and no session keeps numbers back: both are what a gap is judged by.
CREATE SEQUENCE events_position AS bigint CACHE 1;
ALTER TABLE events ADD COLUMN position bigint;
-- Each order's versions rise with their positions; nobody relies on more.
UPDATE events e SET position = counted.position
FROM (SELECT order_id, version, row_number() OVER (ORDER BY order_id, version) AS position FROM events) AS counted
WHERE e.order_id = counted.order_id AND e.version = counted.version;
SELECT setval('events_position', max(position)) FROM events HAVING max(position) IS NOT NULL;
ALTER TABLE events
  ALTER COLUMN position SET DEFAULT (CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('events_position') END),
  ALTER COLUMN position SET NOT NULL,
  ADD CONSTRAINT events_position_key UNIQUE (position);
ALTER SEQUENCE events_position OWNED BY events.position;

-- How far each reader of the event log is: everything up to `read_to` is handled but for the gaps.
CREATE TABLE cursors (
  -- `relay`, `analytics`, `search.` and the name of a search engine.
  reader text PRIMARY KEY,
  read_to bigint NOT NULL CHECK (read_to >= 0),
  gaps int8multirange NOT NULL,
  -- Who reads, where the outside is met between reading and storing; a lease that ended is anybody's.
  token uuid,
  lease_until timestamptz NOT NULL DEFAULT '-infinity',
  CONSTRAINT cursors_gaps_lie_below CHECK (isempty(gaps) OR upper(gaps) <= read_to + 1)
);

-- Where each reader was, in the words of the tables before. Events that have an open dead letter wait for a person.
CREATE TABLE still_owed AS
  SELECT 'relay' AS reader, e.position FROM outbox o JOIN events e ON e.id = o.event_id
  UNION ALL
  SELECT 'analytics', e.position FROM events e
  LEFT JOIN deliveries d ON d.event_id = e.id AND d.consumer = 'analytics'
  LEFT JOIN watermarks m ON m.consumer = 'analytics' AND m.type = e.type
  WHERE d.state IN ('running', 'waiting')
     OR (d.event_id IS NULL AND (m.xid IS NULL OR e.xid > m.xid)
         AND e.type IN ('OrderCreatedV1', 'FulfillmentScheduledV1', 'OrderFailedV1', 'OrderReprocessedV1',
                        'OrderCanceledV1', 'PaymentFailedV1'))
  UNION ALL
  -- An order's last event brings its document.
  SELECT 'search.postgres', e.position FROM orders o JOIN events e ON e.order_id = o.id AND e.version = o.version
  LEFT JOIN order_documents w ON w.order_id = o.id
  LEFT JOIN dead_letters l ON l.consumer = 'search' AND l.event_id = e.id AND l.closed_at IS NULL
  WHERE (w.version IS NULL OR w.version < o.version) AND l.id IS NULL
  UNION ALL
  SELECT 'search.elasticsearch', e.position FROM orders o JOIN events e ON e.order_id = o.id AND e.version = o.version
  LEFT JOIN deliveries d ON d.event_id = e.id AND d.consumer = 'search'
  LEFT JOIN watermarks m ON m.consumer = 'search' AND m.type = e.type
  WHERE d.state IN ('running', 'waiting') OR (d.event_id IS NULL AND (m.xid IS NULL OR e.xid > m.xid));

INSERT INTO cursors (reader, read_to, gaps)
SELECT r.reader, last.position,
       coalesce((SELECT range_agg(int8range(o.position, o.position + 1)) FROM still_owed o WHERE o.reader = r.reader), '{}')
FROM (VALUES ('relay'), ('analytics')) AS r(reader), (SELECT coalesce(max(position), 0) AS position FROM events) AS last;

-- A search engine that was not used begins at the first event, and so finds the past. Documents in the embedded one
-- were kept exactly where that was in use.
INSERT INTO cursors (reader, read_to, gaps)
SELECT r.reader, CASE WHEN r.was_used THEN last.position ELSE 0 END,
       CASE WHEN r.was_used THEN coalesce((SELECT range_agg(int8range(o.position, o.position + 1)) FROM still_owed o
                                          WHERE o.reader = r.reader), '{}') ELSE '{}' END
FROM (SELECT 'search.postgres' AS reader, EXISTS (SELECT FROM order_documents) AS was_used
      UNION ALL
      SELECT 'search.elasticsearch', NOT EXISTS (SELECT FROM order_documents)
                                     AND EXISTS (SELECT FROM deliveries WHERE consumer = 'search' AND state = 'done')) AS r,
     (SELECT coalesce(max(position), 0) AS position FROM events) AS last;

DROP TABLE still_owed, outbox, relay_lanes;
-- Messages that could not be read belong to no event, and these two read messages no more.
UPDATE dead_letters SET closed_at = clock_timestamp(), closed_how = 'canceled'
WHERE consumer IN ('search', 'analytics') AND order_id IS NULL AND closed_at IS NULL;
DELETE FROM deliveries WHERE consumer IN ('search', 'analytics');
DELETE FROM watermarks WHERE consumer IN ('search', 'analytics');

-- A rebuild under way begins anew, with a cursor of its own instead of a transaction's id.
DELETE FROM search_rebuilds;
ALTER TABLE search_rebuilds DROP COLUMN since;

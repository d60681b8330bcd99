-- Whose call failed; empty where no partner was called, and where an older release wrote the row.
ALTER TABLE dead_letters ADD COLUMN partner text NOT NULL DEFAULT '';
-- For the causes of what waits for a person, and for the dead letters of one.
CREATE INDEX dead_letters_by_cause ON dead_letters (consumer, code, partner, failed_at DESC, id DESC)
  WHERE closed_at IS NULL;
-- For the list of those that are closed, newest first.
CREATE INDEX dead_letters_closed ON dead_letters (failed_at DESC, id DESC) WHERE closed_at IS NOT NULL;

-- Who acted, by the name of the token; null where nobody is asked. Ids sort by time, which gives the list its order.
ALTER TABLE audit_log ADD COLUMN operator text;

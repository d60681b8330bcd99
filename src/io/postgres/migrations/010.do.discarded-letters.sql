-- A dead letter that nobody wants ends without its work being done; who ended it, and why, is in the audit log.
ALTER TABLE dead_letters
  DROP CONSTRAINT dead_letters_closed_how_check,
  ADD CONSTRAINT dead_letters_closed_how_check CHECK (closed_how IN ('reprocessed', 'canceled', 'discarded'));

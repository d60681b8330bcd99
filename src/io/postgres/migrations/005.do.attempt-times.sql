-- When the last attempt of a delivery began and ended, and how long each failed one took: for the timeline. Null where
-- an older release wrote the row, and where nothing was attempted.
ALTER TABLE deliveries ADD COLUMN started_at timestamptz, ADD COLUMN ended_at timestamptz;
ALTER TABLE attempts ADD COLUMN duration_ms integer;

-- The books of the consumer `analytics`: counts and sums by the UTC day on which an order was placed. Only ever
-- added to, in the transaction that writes the receipt of the fact (deliveries); fillfactor leaves room for
-- HOT updates. The key finds the lines of a measure in a range of days.
CREATE TABLE analytics (
  day date NOT NULL,
  measure text NOT NULL CHECK (measure IN ('status', 'declined', 'canceled', 'failed', 'duration')),
  -- A status, the code of a reason, or a bucket of the histogram of durations.
  value text NOT NULL,
  -- Both empty where the measure is about time.
  currency text NOT NULL,
  country text NOT NULL,
  -- Below zero for a moment, where a fact overtook the one before it.
  count bigint NOT NULL,
  -- Minor units; a sum may be more than a bigint holds.
  amount numeric NOT NULL,
  PRIMARY KEY (measure, day, value, currency, country)
) WITH (fillfactor = 50);

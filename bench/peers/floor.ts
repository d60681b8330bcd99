// The floor: the rows that Orderly leaves behind, written by raw SQL, many orders in each statement, and no engine
// at all. What is under way is in memory: a crash forgets it, nothing is retried, nothing can be canceled.
//
// Left behind are, per order, its key, its row, three events, that a mail was sent, and its search document: nine
// row writes. No row is a job, a lease or an intent.

import { randomUUID } from 'node:crypto';
import { type Body, callPartner, countFinished, pool, type StepName, serve } from './work.ts';

// Enough that a larger one wins nothing.
const batchMax = 500;

await pool.query(`
  CREATE TABLE IF NOT EXISTS idempotency_keys (
    key text PRIMARY KEY, fingerprint bytea NOT NULL, order_id uuid NOT NULL, created_at timestamptz NOT NULL);
  CREATE TABLE IF NOT EXISTS orders (
    id uuid PRIMARY KEY, status text NOT NULL, customer_email text NOT NULL, currency text NOT NULL, items json NOT NULL,
    amount bigint NOT NULL, authorization_id uuid, booking uuid, version integer NOT NULL, correlation_id text NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL) WITH (fillfactor = 50);
  CREATE TABLE IF NOT EXISTS events (
    order_id uuid NOT NULL, version integer NOT NULL, id uuid NOT NULL, type text NOT NULL, data json NOT NULL,
    correlation_id text NOT NULL, causation_id uuid, time timestamptz NOT NULL,
    position bigint GENERATED ALWAYS AS IDENTITY UNIQUE, PRIMARY KEY (order_id, version));
  CREATE TABLE IF NOT EXISTS attempts (order_id uuid NOT NULL, consumer text NOT NULL, outcome text NOT NULL, at timestamptz NOT NULL);
  CREATE INDEX IF NOT EXISTS attempts_of_order ON attempts (order_id);
  CREATE TABLE IF NOT EXISTS order_documents (
    order_id uuid PRIMARY KEY, version integer NOT NULL, created_at timestamptz NOT NULL, words tsvector NOT NULL);
  CREATE INDEX IF NOT EXISTS documents_by_time ON order_documents (created_at DESC, order_id DESC);
  CREATE INDEX IF NOT EXISTS documents_by_words ON order_documents USING gin (words)`);

const accept = `
  WITH request AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::json[], $7::uuid[])
      AS r(id, key, fingerprint, email, currency, items, event_id)
  ), won AS (
    INSERT INTO idempotency_keys SELECT key, fingerprint, id, now() FROM request ORDER BY key
    ON CONFLICT (key) DO NOTHING RETURNING order_id
  ), event AS (
    INSERT INTO events (order_id, version, id, type, data, correlation_id, time)
    SELECT id, 1, event_id, 'OrderCreatedV1', json_build_object('orderId', id, 'amount', 2500, 'currency', currency), id, now()
    FROM request ORDER BY id
  )
  INSERT INTO orders SELECT id, 'PENDING', email, currency, items, 2500, NULL, NULL, 1, id, now(), now()
  FROM request JOIN won ON won.order_id = request.id`;

// $1 = ids, $2 = what the partner answered.
const applies: Readonly<Record<StepName, string>> = {
  payment: stepWith('PROCESSING', 'authorization_id', 2, 'PaymentAuthorizedV1', ''),
  fulfillment: stepWith(
    'PROCESSED',
    'booking',
    3,
    'FulfillmentScheduledV1',
    `, document AS (
       INSERT INTO order_documents
       SELECT id, 3, created_at, to_tsvector('simple', concat_ws(' ', customer_email, currency, 'PROCESSED')) FROM changed)`,
  ),
  notification: `INSERT INTO attempts SELECT id, 'notification', 'done', now() FROM unnest($1::uuid[], $2::uuid[]) AS t(id, r)`,
};

function stepWith(status: string, column: string, version: number, type: string, more: string): string {
  return `
    WITH changed AS (
      UPDATE orders o SET status = '${status}', ${column} = t.reference, version = ${version}, updated_at = clock_timestamp()
      FROM unnest($1::uuid[], $2::uuid[]) AS t(id, reference) WHERE o.id = t.id AND o.version = ${version - 1}
      RETURNING o.*
    )${more}
    INSERT INTO events (order_id, version, id, type, data, correlation_id, time)
    SELECT id, ${version}, gen_random_uuid(), '${type}', json_build_object('orderId', id, '${column}', ${column}),
           correlation_id, now()
    FROM changed ORDER BY id`;
}

type Placed = { readonly id: string; readonly key: string; readonly fingerprint: Buffer; readonly body: Body };
const place = createBatches<Placed>((all) =>
  pool.query(accept, [
    all.map(({ id }) => id),
    all.map(({ key }) => key),
    all.map(({ fingerprint }) => fingerprint),
    all.map(({ body }) => body.customerEmail),
    all.map(({ body }) => body.currency),
    all.map(({ body }) => JSON.stringify(body.items)),
    all.map(() => randomUUID()),
  ]),
);
type Applied = { readonly id: string; readonly reference: string };
const settleOf = (step: StepName) =>
  createBatches<Applied>((all) =>
    pool.query(applies[step], [all.map(({ id }) => id), all.map(({ reference }) => reference)]),
  );
const [pay, fulfill, notify] = [settleOf('payment'), settleOf('fulfillment'), settleOf('notification')];

await serve(
  async (id, body, key) => {
    await place({ id, key, fingerprint: Buffer.alloc(32, id), body });
    void goOn(id);
  },
  async () => undefined,
);

async function goOn(id: string): Promise<void> {
  await pay({ id, reference: await callPartner('payment') });
  await fulfill({ id, reference: await callPartner('fulfillment') });
  await notify({ id, reference: await callPartner('notification') });
  countFinished(1);
}

// While one batch is in the database, those who come next make up the one after it.
function createBatches<T>(write: (entries: readonly T[]) => Promise<unknown>) {
  let waiting: { entry: T; done: () => void }[] = [];
  let isBusy = false;
  const flush = async () => {
    isBusy = true;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, batchMax);
      waiting = waiting.slice(batchMax);
      await write(batch.map(({ entry }) => entry));
      for (const { done } of batch) done();
    }
    isBusy = false;
  };
  return (entry: T) =>
    new Promise<void>((resolve) => {
      waiting.push({ entry, done: resolve });
      if (!isBusy) void flush();
    });
}

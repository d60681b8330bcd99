// The work, the same for every peer: POST /orders is durable before its answer; payment, fulfillment and
// notification are durable steps, each a call to a simulated partner and one change of the order with an effect
// row beside it that can be there once.
//
// Promises: `apply` moves any number of orders one step in one statement, and may be repeated. Partners answer
// after PARTNER_MS (payment and fulfillment; 0 = in the next turn of the event loop), as Orderly's own do.

import { randomUUID } from 'node:crypto';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import Fastify from 'fastify';
import pg from 'pg';

export type Body = { readonly customerEmail: string; readonly currency: string; readonly items: readonly object[] };
export type StepName = 'payment' | 'fulfillment' | 'notification';

export const steps: readonly StepName[] = ['payment', 'fulfillment', 'notification'];
export const nextOf: Readonly<Record<StepName, StepName | null>> = {
  payment: 'fulfillment',
  fulfillment: 'notification',
  notification: null,
};

export const databaseUrl = process.env.DATABASE_URL ?? '';
export const pool = new pg.Pool({ connectionString: databaseUrl, max: 20 });
const partnerMs = Number(process.env.PARTNER_MS ?? 0);
let finished = 0;

export async function createTables(): Promise<void> {
  await pool.query(`
    CREATE TABLE IF NOT EXISTS orders (
      id uuid PRIMARY KEY, status text NOT NULL, customer_email text NOT NULL, currency text NOT NULL, items json NOT NULL,
      amount bigint NOT NULL, payment text, booking text, notified boolean NOT NULL DEFAULT false,
      created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50);
    CREATE TABLE IF NOT EXISTS effects (order_id uuid, kind text, reference uuid NOT NULL, PRIMARY KEY (order_id, kind))`);
}

export async function callPartner(step: StepName): Promise<string> {
  if (partnerMs > 0 && step !== 'notification') await pause(partnerMs);
  else await turn();
  return randomUUID();
}

// Values of `insertOrders`: one array per column.
export function columnsOf(orders: readonly { readonly id: string; readonly body: Body }[]): unknown[] {
  return [
    orders.map(({ id }) => id),
    orders.map(({ body }) => body.customerEmail),
    orders.map(({ body }) => body.currency),
    orders.map(({ body }) => JSON.stringify(body.items)),
    orders.map(() => 2_500),
  ];
}

export const insertOrders = `
  INSERT INTO orders (id, status, customer_email, currency, items, amount)
  SELECT id, 'PENDING', email, currency, items, amount
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::json[], $5::bigint[]) AS o(id, email, currency, items, amount)
  ON CONFLICT (id) DO NOTHING RETURNING id`;

const changes: Readonly<Record<StepName, string>> = {
  payment: `status = 'PROCESSING', payment = e.reference, updated_at = clock_timestamp()`,
  fulfillment: `status = 'PROCESSED', booking = e.reference, updated_at = clock_timestamp()`,
  // When the order was processed stays readable.
  notification: 'notified = true',
};

// $1 = ids, $2 = references; answers the ids. An effect that is there already changes nothing, and its order is
// not among the answer.
export const applies = Object.fromEntries(
  steps.map((step) => [
    step,
    `WITH effect AS (
       INSERT INTO effects (order_id, kind, reference)
       SELECT id, '${step}', reference FROM unnest($1::uuid[], $2::uuid[]) AS t(id, reference)
       ON CONFLICT DO NOTHING RETURNING order_id, reference
     ) UPDATE orders o SET ${changes[step]} FROM effect e WHERE o.id = e.order_id RETURNING o.id`,
  ]),
) as Readonly<Record<StepName, string>>;

export function countFinished(orders: number): void {
  finished += orders;
}

export async function transaction<T>(act: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await act(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  } finally {
    client.release();
  }
}

// The front, the same for all. `accept` resolves when the order is durable.
export async function serve(
  accept: (id: string, body: Body, key: string) => Promise<void>,
  stop: () => Promise<unknown>,
) {
  const app = Fastify();
  const body = {
    type: 'object',
    required: ['customerEmail', 'currency', 'items'],
    properties: { customerEmail: { type: 'string' }, currency: { type: 'string' }, items: { type: 'array' } },
  };
  app.post<{ Body: Body }>('/orders', { schema: { body } }, async (request, reply) => {
    const id = randomUUID();
    await accept(id, request.body, String(request.headers['idempotency-key']));
    reply.code(201).header('location', `/orders/${id}`);
    return { id, status: 'PENDING' };
  });
  app.get('/metrics', async () => `orders_finished_total ${finished}\n`);
  await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
  process.once('SIGTERM', () => {
    app
      .close()
      .then(stop)
      .then(
        () => process.exit(0),
        () => process.exit(1),
      );
  });
}

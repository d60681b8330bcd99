// Restate, a handler per order with four journaled steps; its server keeps the journal in a store of its own.
//
// Tuned: the order's row is written by the first step, so that accepting is one durable write (the invocation, sent
// with the order's id as its idempotency key); steps are one repeatable statement each.

import * as restate from '@restatedev/restate-sdk';
import {
  applies,
  type Body,
  callPartner,
  columnsOf,
  countFinished,
  createTables,
  insertOrders,
  pool,
  serve,
  steps,
} from './work.ts';

const ingress = process.env.RESTATE_INGRESS ?? '';
const admin = process.env.RESTATE_ADMIN ?? '';
const retryPolicy = { maxRetryAttempts: 4, initialRetryInterval: { seconds: 1 } };
const json = { 'content-type': 'application/json' };

await createTables();
const orders = restate.service({
  name: 'orders',
  handlers: {
    process: async (context: restate.Context, { id, body }: { id: string; body: Body }) => {
      await context.run(
        'order',
        async () => void (await pool.query(insertOrders, columnsOf([{ id, body }]))),
        retryPolicy,
      );
      for (const step of steps) {
        const apply = async () => void (await pool.query(applies[step], [[id], [await callPartner(step)]]));
        await context.run(step, apply, retryPolicy);
      }
      countFinished(1);
    },
  },
});
const port = await restate.endpoint().bind(orders).listen(Number(process.env.RESTATE_SERVICE_PORT));
const registered = await fetch(`${admin}/deployments`, {
  method: 'POST',
  headers: json,
  body: JSON.stringify({ uri: `http://127.0.0.1:${port}`, force: true }),
});
if (!registered.ok) throw new Error(`the server does not take the service: ${await registered.text()}`);

await serve(
  async (id, body) => {
    const sent = await fetch(`${ingress}/orders/process/send`, {
      method: 'POST',
      headers: { ...json, 'idempotency-key': id },
      body: JSON.stringify({ id, body }),
    });
    const answer = await sent.text();
    if (!sent.ok) throw new Error(answer);
  },
  async () => undefined,
);

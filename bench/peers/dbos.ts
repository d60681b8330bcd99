// DBOS Transact, a workflow per order.
//
// Tuned: the order's row is written by the first step, so that accepting is one durable write (the workflow with
// its input); steps are one repeatable statement each instead of transactions with a record of their own; the
// pool has 20 connections instead of 10.

import { DBOS } from '@dbos-inc/dbos-sdk';
import {
  applies,
  type Body,
  callPartner,
  columnsOf,
  countFinished,
  createTables,
  databaseUrl,
  insertOrders,
  pool,
  serve,
  steps,
} from './work.ts';

await createTables();
DBOS.setConfig({
  name: 'orders',
  systemDatabaseUrl: databaseUrl,
  systemDatabasePoolSize: 20,
  // A process that is started again goes on with what it began before.
  applicationVersion: '1',
  executorID: 'orders',
  logLevel: 'error',
});
const retried = { retriesAllowed: true, maxAttempts: 4, intervalSeconds: 1 };
const process = DBOS.registerWorkflow(
  async (id: string, body: Body) => {
    await DBOS.runStep(async () => void (await pool.query(insertOrders, columnsOf([{ id, body }]))), {
      name: 'order',
      ...retried,
    });
    for (const step of steps) {
      const apply = async () => void (await pool.query(applies[step], [[id], [await callPartner(step)]]));
      await DBOS.runStep(apply, { name: step, ...retried });
    }
    countFinished(1);
  },
  { name: 'process' },
);
await DBOS.launch();
await serve(
  async (id, body) => void (await DBOS.startWorkflow(process, { workflowID: id })(id, body)),
  () => DBOS.shutdown(),
);

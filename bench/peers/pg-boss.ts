// pg-boss, a queue per step.
//
// Tuned: fetches of 50 with four workers per queue; one statement and one `insert` of the next jobs per batch, in
// one transaction; no pause while batches come back full; NOTIFY instead of a poll every two seconds. A job of a
// worker that died is run again after 30 s, as with Orderly's lease, instead of after 15 minutes.

import type { PoolClient } from 'pg';
import { PgBoss } from 'pg-boss';
import {
  applies,
  callPartner,
  columnsOf,
  countFinished,
  createTables,
  databaseUrl,
  insertOrders,
  nextOf,
  serve,
  steps,
  transaction,
} from './work.ts';

await createTables();
const boss = new PgBoss({
  connectionString: databaseUrl,
  max: 20,
  useListenNotify: true,
  superviseIntervalSeconds: 10,
});
boss.on('error', (error) => console.error(error.message));
await boss.start();
const within = (client: PoolClient) => ({
  db: { executeSql: (text: string, values: unknown[] = []) => client.query(text, values) },
});
for (const step of steps) {
  await boss.createQueue(step, { retryLimit: 3, retryDelay: 1, retryBackoff: true, expireInSeconds: 30, notify: true });
}
for (const step of steps) {
  const options = { batchSize: 50, localConcurrency: 4, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true };
  await boss.work<{ id: string }>(step, { ...options, notifyPollingIntervalSeconds: 0.5 }, async (jobs) => {
    const ids = jobs.map(({ data }) => data.id);
    const references = await Promise.all(ids.map(() => callPartner(step)));
    const next = nextOf[step];
    await transaction(async (client) => {
      const { rows } = await client.query<{ id: string }>(applies[step], [ids, references]);
      if (next !== null)
        await boss.insert(
          next,
          rows.map(({ id }) => ({ data: { id } })),
          within(client),
        );
    });
    if (next === null) countFinished(ids.length);
  });
}
await serve(
  (id, body) =>
    transaction(async (client) => {
      await client.query(insertOrders, columnsOf([{ id, body }]));
      await boss.send('payment', { id }, within(client));
    }),
  () => boss.stop({ graceful: true, timeout: 5_000 }),
);

// BullMQ on Redis with an append-only file that is synced each second, the orders in PostgreSQL.
//
// Tuned: one job per order that goes through its steps and keeps its place in the job's data, as BullMQ's own
// documentation has it for steps, instead of three jobs; 100 at a time. What it cannot give: order and job are
// written to two stores, so a crash in between leaves an order without a job, and Redis may lose its last second.

import { Queue, Worker } from 'bullmq';
import {
  applies,
  callPartner,
  columnsOf,
  countFinished,
  createTables,
  insertOrders,
  pool,
  type StepName,
  serve,
  steps,
} from './work.ts';

await createTables();
const url = new URL(process.env.REDIS_URL ?? '');
const connection = {
  host: url.hostname,
  port: Number(url.port),
  db: Number(url.pathname.slice(1) || 0),
  maxRetriesPerRequest: null,
};
type Place = { id: string; step: StepName };
const queue = new Queue<Place>('orders', { connection });
const worker = new Worker<Place>(
  'orders',
  async (job) => {
    const { id, step: first } = job.data;
    for (const step of steps.slice(steps.indexOf(first))) {
      if (step !== first) await job.updateData({ id, step });
      await pool.query(applies[step], [[id], [await callPartner(step)]]);
    }
    countFinished(1);
  },
  { connection, concurrency: 100 },
);
worker.on('error', (error) => console.error(error.message));
const options = { attempts: 4, backoff: { type: 'exponential', delay: 1_000 }, removeOnComplete: true };
await serve(
  async (id, body) => {
    await pool.query(insertOrders, columnsOf([{ id, body }]));
    await queue.add('order', { id, step: 'payment' }, { ...options, jobId: id });
  },
  () => worker.close().then(() => queue.close()),
);

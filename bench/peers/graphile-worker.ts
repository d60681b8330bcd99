// graphile-worker, a task per step.
//
// Tuned: a local queue of 200 jobs for 24 at a time, completions in batches; the order's change and the next job
// are one statement, so that a step is one round trip; the same at the accept.

import { makeWorkerUtils, run } from 'graphile-worker';
import {
  applies,
  callPartner,
  columnsOf,
  countFinished,
  createTables,
  insertOrders,
  nextOf,
  pool,
  serve,
  steps,
} from './work.ts';

await createTables();
const utils = await makeWorkerUtils({ pgPool: pool });
await utils.migrate();
const maxAttempts = 4;
// A statement that answers ids, one of ours, with a job for each of them.
const withJob = (statement: string, task: string) => {
  const [effect = '', change] = statement.split(') UPDATE');
  const written = change === undefined ? `WITH done AS (${effect})` : `${effect}), done AS (UPDATE${change})`;
  return `${written} SELECT graphile_worker.add_job('${task}', json_build_object('id', id), max_attempts := ${maxAttempts})
          FROM done`;
};
const taskList = Object.fromEntries(
  steps.map((step) => {
    const next = nextOf[step];
    const statement = next === null ? applies[step] : withJob(applies[step], next);
    return [
      step,
      async (payload: unknown) => {
        const { id } = payload as { id: string };
        await pool.query(statement, [[id], [await callPartner(step)]]);
        if (next === null) countFinished(1);
      },
    ];
  }),
);
const runner = await run({
  pgPool: pool,
  concurrency: 24,
  pollInterval: 500,
  noHandleSignals: true,
  taskList,
  preset: { worker: { localQueue: { size: 200 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
});
const accept = withJob(insertOrders, 'payment');
await serve(
  async (id, body) => void (await pool.query(accept, columnsOf([{ id, body }]))),
  () => runner.stop(),
);

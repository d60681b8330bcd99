// The floor: the same rows by the same statements, many orders in each, and no engine at all. What is under way
// is in memory: a crash forgets it. Nothing that does this work durably in PostgreSQL can cost less.

import {
  applies,
  type Body,
  callPartner,
  columnsOf,
  countFinished,
  createTables,
  insertOrders,
  nextOf,
  pool,
  type StepName,
  serve,
} from './work.ts';

// Enough that a larger one wins nothing.
const batchMax = 500;

await createTables();
const settle = {
  payment: settleOf('payment'),
  fulfillment: settleOf('fulfillment'),
  notification: settleOf('notification'),
};
const insert = createBatches<{ id: string; body: Body }>((orders) => pool.query(insertOrders, columnsOf(orders)));
await serve(
  async (id, body) => {
    await insert({ id, body });
    void go(id, 'payment');
  },
  async () => undefined,
);

async function go(id: string, step: StepName): Promise<void> {
  await settle[step]({ id, reference: await callPartner(step) });
  const next = nextOf[step];
  if (next === null) countFinished(1);
  else void go(id, next);
}

function settleOf(step: StepName) {
  return createBatches<{ id: string; reference: string }>((all) =>
    pool.query(applies[step], [all.map(({ id }) => id), all.map(({ reference }) => reference)]),
  );
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

// Workers that freeze, die, stop and work beside each other on one database.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { paymentScenarios } from '../../src/domain/order.ts';
import type { System } from '../../src/engine/ports.ts';
import type { Partners } from '../../src/flow/ports.ts';
import { createSystem } from '../../src/io/system.ts';
import { createTestBus } from '../support/bus.ts';
import { storiesOnServer } from '../support/stories.ts';
import { until } from '../support/until.ts';

const test = storiesOnServer();

// A machine that can be stopped: no timer of it ends until it is woken, as after SIGSTOP and SIGCONT.
function createFreezer() {
  const real = createSystem();
  let thawed = Promise.resolve();
  let wake = () => {};
  const system: System = {
    ...real,
    sleep: async (ms, signal) => {
      await real.sleep(ms, signal);
      await thawed;
    },
    after: (ms, call) => {
      let isCanceled = false;
      const timer = real.after(ms, () => {
        void thawed.then(() => {
          if (!isCanceled) call();
        });
      });
      return {
        cancel: () => {
          isCanceled = true;
          timer.cancel();
        },
      };
    },
  };
  return {
    system,
    freeze: () => {
      thawed = new Promise((resolve) => {
        wake = resolve;
      });
      return thawed;
    },
    thaw: () => wake(),
  };
}

describe('a worker that freezes past its lease', { concurrency: 4 }, () => {
  for (const dependency of ['payment', 'fulfillment'] as const) {
    for (const moment of ['before', 'after'] as const) {
      const name = `${moment} its call for ${dependency} wakes to a stale claim, and its end is refused`;
      test(name, { start: false, settings: { timeoutMs: 5_000 } }, async (world) => {
        const freezer = createFreezer();
        let frozen = false;
        // The call is heard by nobody else while its worker stands still: its signal is of no use.
        const freezing = <Q extends readonly unknown[], A>(call: (...request: Q) => Promise<A>) => {
          return async (...request: Q): Promise<A> => {
            if (frozen) return call(...request);
            frozen = true;
            const thawed = freezer.freeze();
            const deaf = [request[0], new AbortController().signal] as unknown as Q;
            if (moment === 'before') await thawed;
            const answer = await call(...deaf);
            await thawed;
            return answer;
          };
        };
        const partners = ({ payments, carrier, mail }: Partners): Partners =>
          dependency === 'payment'
            ? { payments: { ...payments, authorize: freezing(payments.authorize) }, carrier, mail }
            : { payments, carrier: { ...carrier, book: freezing(carrier.book) }, mail };
        // Only its lease is short: the other one shall lose none, however slow the machine is.
        const settings = { leaseMs: 1_000, timeoutMs: 200 };
        const sleeper = world.newEngine({ system: freezer.system, partners, bus: createTestBus(), settings });
        try {
          const { id } = await world.place();
          await sleeper.start();
          await until(() => frozen, 'a frozen worker');
          const other = world.newEngine();
          await other.start();
          await world.ended(id, 'PROCESSED');
          freezer.thaw();
          await until(() => sleeper.ends(dependency, 'gone') === 1, 'the late settle refused');
          assert.equal(await world.attempts(dependency, id), 1);
          const takeovers = await world.sql(`SELECT FROM attempts WHERE outcome = 'takeover'`);
          assert.equal(takeovers.length, 1);
          assert.equal((await world.order(id)).retryCount, 0);
        } finally {
          freezer.thaw();
        }
      });
    }
  }
});

describe('a worker that works for longer than its lease', () => {
  const settings = { leaseMs: 1_000, timeoutMs: 30_000 };
  test('keeps it by renewing, and nobody takes over', { settings }, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-before' });
    const { id } = await world.place();
    await until(() => world.stage.state().hanging === 1, 'the call');
    const dueAt = async () =>
      (
        await world.sql<{ due_at: Date }>(
          "SELECT lease_until AS due_at FROM jobs WHERE order_id = $1 AND consumer = 'payment'",
          [id],
        )
      )[0]?.due_at ?? 0;
    const first = await dueAt();
    const other = world.newEngine();
    await other.start();
    // A lease and more, by the database's clock.
    await until(async () => Number(await dueAt()) - Number(first) > 1_200, 'the lease renewed');
    const job = await world.job('payment', id);
    assert.deepEqual(job, { isClaimed: true, epoch: 0, attempt: 1, takeovers: 0 });
    assert.deepEqual(world.callsOf(id), ['authorize']);
    await world.engine.stop(0);
    await world.ended(id, 'PROCESSED');
  });
});

describe('a worker', () => {
  test('that lost its lease is aborted in the middle of its call', {
    settings: { leaseMs: 600, timeoutMs: 30_000 },
  }, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-before' });
    const { id } = await world.place();
    await until(() => world.stage.state().hanging === 1, 'the call');
    // Another worker owns the job from here on.
    await world.sql(`UPDATE jobs SET token = gen_random_uuid() WHERE order_id = $1`, [id]);
    await until(() => world.stage.state().hanging === 0, 'the call aborted');
    await world.ended(id, 'PROCESSED');
    await until(() => world.engine.ends('payment', 'stale') === 1, 'the stale settle refused');
  });
});

describe('a worker that dies', { concurrency: 4 }, () => {
  test('five times on one order charges no attempt', { start: false }, async (world) => {
    const { id } = await world.place();
    for (let deaths = 0; deaths < 5; deaths += 1) await world.takeByHand('payment', id, 1);
    await world.engine.start();
    assert.equal((await world.ended(id, 'PROCESSED')).retryCount, 0);
    assert.equal(await world.attempts('payment', id), 1);
    const attempts = await world.sql(`SELECT outcome, code FROM attempts WHERE outcome <> 'done'`);
    assert.deepEqual(attempts, Array(5).fill({ outcome: 'takeover', code: 'lease-over' }));
  });

  test('after the provider took the money leaves it to be found by the next one', { start: false }, async (world) => {
    const { id } = await world.place();
    const dead = await world.takeByHand('payment', id, 1);
    await dead.perform();
    await world.engine.start();
    await world.ended(id, 'PROCESSED');
    const [first] = world.entries(id, 'payments');
    assert.equal(first?.state, 'authorized');
    assert.equal(world.callsOf(id).filter((call) => call === 'authorize').length, 2);
  });
});

describe('two engines on one database', { concurrency: 4 }, () => {
  const narrow = { concurrency: 4, processingDelayMs: 10, timeoutMs: 100 };
  test('share the work, and each order ends once', { start: false, settings: narrow }, async (world) => {
    const other = world.newEngine();
    await Promise.all([world.engine.start(), other.start()]);
    const desks = [world.engine.desk, other.desk];
    const placed = await Promise.all(
      Array.from({ length: 42 }, (_, index) => {
        const paymentScenario = paymentScenarios[index % paymentScenarios.length] ?? 'success';
        return world.place({ paymentScenario }, desks[index % 2]);
      }),
    );
    const statuses = await Promise.all(placed.map(async ({ id }) => (await world.ended(id)).status));
    const count = (status: string) => statuses.filter((one) => one === status).length;
    assert.deepEqual([count('PROCESSED'), count('CANCELED'), count('FAILED')], [24, 6, 12]);
    await world.settled();
    for (const engine of [world.engine, other]) assert.ok(engine.ends('payment', 'done') > 0, 'both have worked');
    const runs = world.engine.claims('payment', 'run') + other.claims('payment', 'run');
    const calls = world.calls.filter(({ call }) => call === 'authorize').length;
    assert.equal(calls, runs, "every call was somebody's claim");
  });

  test('that share no bus find through the database what the other has written', { start: false }, async (world) => {
    // Neither hints the other.
    const other = world.newEngine({ bus: createTestBus() });
    await Promise.all([world.engine.start(), other.start()]);
    const placed = await Promise.all(
      Array.from({ length: 20 }, (_, index) => world.place({}, index % 2 ? world.engine.desk : other.desk)),
    );
    for (const { id } of placed) await world.ended(id, 'PROCESSED');
  });
});

describe('an engine that is told to stop', { concurrency: 4 }, () => {
  const patient = { timeoutMs: 15_000, leaseMs: 60_000, concurrency: 16 };
  test('releases what it holds uncharged, and the next one goes on', { settings: patient }, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-before', times: 4 });
    world.stage.direct({ call: 'authorize', act: 'hang-after', times: 4 });
    world.stage.direct({ call: 'book', act: 'hang-after', times: 3 });
    const placed = await Promise.all(Array.from({ length: 40 }, () => world.place()));
    await until(() => world.stage.state().hanging === 11, 'eleven calls that hang');
    await world.engine.stop(20);
    assert.equal(world.stage.state().hanging, 0);
    const running = await world.sql('SELECT * FROM jobs WHERE token IS NOT NULL');
    assert.deepEqual(running, [], 'nothing is left to its lease');
    const held = await world.sql('SELECT * FROM cursors WHERE token IS NOT NULL');
    assert.deepEqual(held, [], 'the cursors are free');
    const kept = (
      await world.sql<{ outcome: string; code: string }>(`SELECT outcome, code FROM attempts WHERE outcome <> 'done'`)
    ).map(({ outcome, code }) => `${outcome} ${code}`);
    assert.deepEqual([...new Set(kept)], ['wait interrupted']);

    const next = world.newEngine();
    await next.start();
    for (const { id } of placed) assert.equal((await world.ended(id, 'PROCESSED')).retryCount, 0);
    await world.settled();
    const charged = await world.sql(`SELECT order_id FROM events WHERE attempt > 1
                                     UNION SELECT order_id FROM attempts WHERE outcome IN ('retry', 'takeover')`);
    assert.deepEqual(charged, []);
  });

  const endless = { timeoutMs: 15_000, leaseMs: 60_000 };
  test('releases also what it is given after it was told', {
    start: false,
    settings: endless,
  }, async (world) => {
    world.stage.direct({ call: 'authorize', act: 'hang-before', times: 8 });
    const placed = await Promise.all(Array.from({ length: 8 }, () => world.place()));
    let stopping: Promise<void> | undefined;
    // Their claims are on the way, and held up until the stop has begun.
    await world.database.transaction(async (query) => {
      await query('SELECT 1 FROM orders FOR NO KEY UPDATE');
      await world.engine.start();
      await until(() => world.published.length >= placed.length, 'the events on their way');
      stopping = world.engine.stop(0);
      // Timers run in the order in which they were set: the one of its grace is over after this.
      await pause(5);
    });
    await stopping;
    assert.deepEqual(await world.sql('SELECT * FROM jobs WHERE token IS NOT NULL'), []);
    const next = world.newEngine();
    await next.start();
    world.stage.clear();
    for (const { id } of placed) assert.equal((await world.ended(id, 'PROCESSED')).retryCount, 0);
  });

  test('finishes what ends by itself within its grace', {
    settings: { processingDelayMs: 300 },
  }, async (world) => {
    const placed = await Promise.all(Array.from({ length: 10 }, () => world.place()));
    const statuses = () => world.sql<{ status: string }>('SELECT DISTINCT status FROM orders');
    await until(async () => (await statuses()).every(({ status }) => status === 'PROCESSING'), 'all taken up');
    await world.engine.stop(20_000);
    for (const { id } of placed) assert.equal((await world.order(id)).payment, 'authorized');
    assert.deepEqual(await world.sql(`SELECT * FROM attempts WHERE outcome <> 'done'`), []);
    const next = world.newEngine();
    await next.start();
    for (const { id } of placed) await world.ended(id, 'PROCESSED');
  });

  test('and is followed by another again and again loses nothing', {
    start: false,
    settings: { processingDelayMs: 30 },
  }, async (world) => {
    const placed = [];
    for (let generation = 0; generation < 5; generation += 1) {
      const engine = world.newEngine();
      await engine.start();
      placed.push(...(await Promise.all(Array.from({ length: 8 }, () => world.place({}, engine.desk)))));
      await until(() => engine.claims('payment', 'run') > 0, 'work taken up');
      await engine.stop(0);
    }
    await world.engine.start();
    for (const { id } of placed) assert.equal((await world.ended(id, 'PROCESSED')).retryCount, 0);
  });
});

// Bulk replays on a real PostgreSQL server: by one driver and by several, beside people, killed at every statement.
// The clock is the test's: whoever sleeps moves it on.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { isRefusal } from '../../src/domain/refusals.ts';
import type { System } from '../../src/engine/ports.ts';
import { createReplayDriver } from '../../src/flow/operators/drive-replays.ts';
import type { Replay, ReplayRequest } from '../../src/flow/operators/replays.ts';
import type { Database, Query } from '../../src/io/postgres/database.ts';
import { createOrderStore } from '../../src/io/postgres/desk.ts';
import { createOperatorDesk } from '../../src/io/postgres/operators.ts';
import { createReplaySteps } from '../../src/io/postgres/replay-steps.ts';
import { createReplays } from '../../src/io/postgres/replays.ts';
import { createSystem } from '../../src/io/system.ts';
import { silentLog } from '../support/silent-log.ts';
import { createStore, type Opened, openServer, type Store, troubleOf } from '../support/store.ts';

const never = new AbortController().signal;
const ann = { by: 'ann', correlationId: 'c-ann' };

function createClock(): System {
  const real = createSystem();
  let elapsedMs = 0;
  const startMs = Date.now();
  return {
    ...real,
    now: () => new Date(startMs + elapsedMs),
    monotonicMs: () => elapsedMs,
    sleep: async (ms) => {
      elapsedMs += Math.max(1, Math.ceil(ms));
    },
  };
}

// Ends the process at the nth statement, transaction's end included: whatever it asks from then on fails.
function dying(database: Database, atPoint: number) {
  let points = 0;
  const pass = () => {
    points += 1;
    if (points >= atPoint) throw new Error('the process has died');
  };
  const mortal =
    (query: Query): Query =>
    async (text, values) => {
      pass();
      const rows = await query(text, values);
      return rows as never;
    };
  const wrapped: Database = {
    ...database,
    query: async (text, values) => {
      const rows = await mortal(database.query)(text, values);
      pass();
      return rows as never;
    },
    transaction: async (work, options) => {
      const result = await database.transaction((query) => work(mortal(query)), options);
      pass();
      return result;
    },
  };
  return { database: wrapped, hasDied: () => points >= atPoint };
}

describe('a replay', () => {
  let opened: Opened;
  let store: Store;
  let clock: System;
  before(async () => {
    opened = await openServer();
    clock = createClock();
    store = createStore(opened.database, { system: clock });
  });
  after(() => opened.close());
  // A driver takes up whatever runs: nothing of one test is left to the next.
  afterEach(() => opened.database.query(`UPDATE replays SET state = 'canceled' WHERE state = 'running'`));

  let tests = 0;
  const uniqueCode = () => {
    tests += 1;
    return `replay-${tests}`;
  };
  const parked = async (code: string, count: number) => {
    const works: { orderId: string; eventId: string }[] = [];
    for (let n = 0; n < count; n += 1) {
      const { order, eventId } = await store.placed();
      await store.settleOnce(store.deadBy(await store.claimed('payment', eventId), troubleOf({ code })));
      works.push({ orderId: order.id, eventId });
    }
    // A moment later.
    await clock.sleep(1);
    return works;
  };
  const replaysOf = (database = opened.database) => createReplays({ database, system: clock, onRunning: () => {} });
  const driverOf = (database = opened.database) =>
    createReplayDriver({
      store: createReplaySteps({
        database,
        change: createOrderStore({ database, system: clock, onCommitted: () => {} }).change,
        system: clock,
      }),
      ...{ knowsAllWriters: false, system: clock, log: silentLog },
    });
  const start = (code: string, given: Partial<ReplayRequest> = {}) =>
    replaysOf().start(
      { filter: { code }, reason: 'it is back', rate: 100, canary: false, stopShare: 1, ...given },
      ann,
    );
  const read = async (id: string): Promise<Replay> => {
    const replay = await replaysOf().read(id);
    assert.ok(!isRefusal(replay));
    return replay;
  };
  const sentAt = async (id: string) =>
    (
      await opened.database.query<{ sent_at: Date }>(
        `SELECT sent_at FROM replay_letters WHERE replay_id = $1 AND outcome IS DISTINCT FROM 'skipped' ORDER BY sent_at`,
        [id],
      )
    ).map(({ sent_at }) => sent_at.getTime());
  // How often each order of the code was sent back, by whomever: the jobs' epochs, and what the audit log says.
  const timesSent = async (code: string) =>
    opened.database.query<{ letters: number; jobs: number; acts: number; open: number }>(
      `SELECT count(*) FILTER (WHERE l.closed_how = 'reprocessed')::int AS letters,
              count(*) FILTER (WHERE l.closed_at IS NULL)::int AS open,
              (SELECT count(*)::int FROM jobs j WHERE j.order_id = l.order_id AND j.consumer = 'payment' AND j.epoch = 1) AS jobs,
              (SELECT count(*)::int FROM audit_log g WHERE g.order_id = l.order_id) AS acts
       FROM dead_letters l WHERE l.code = $1 GROUP BY l.order_id`,
      [code],
    );
  const assertSentOnce = async (code: string, orders: number) => {
    const rows = await timesSent(code);
    assert.equal(rows.length, orders);
    for (const row of rows) assert.deepEqual(row, { letters: 1, open: 0, jobs: 1, acts: 1 });
  };
  const isOver = async (id: string) => (await read(id)).state !== 'running';
  const endWork = (code: string) =>
    opened.database.query(
      `DELETE FROM jobs j USING dead_letters l WHERE l.code = $1 AND j.order_id = l.order_id AND j.epoch > 0`,
      [code],
    );
  const drive = async (driver: ReturnType<typeof driverOf>, until: () => Promise<boolean>) => {
    for (let rounds = 0; !(await until()); rounds += 1) {
      assert.ok(rounds < 300, 'the replay comes to no end');
      await driver.runOnce(never);
    }
  };

  it('sends each dead letter of its selection once, never above its rate, and is done with the work', async () => {
    const code = uniqueCode();
    const works = await parked(code, 30);
    await parked(uniqueCode(), 2);
    const { id, total } = await start(code, { rate: 7 });
    assert.deepEqual(total, { count: 30, isAtLeast: false });
    const driver = driverOf();
    await drive(driver, async () => (await read(id)).sent === 30);
    const times = await sentAt(id);
    for (const [index, at] of times.entries()) {
      assert.ok(index < 7 || at - (times[index - 7] ?? 0) >= 1_000, 'more than seven within a second');
    }
    await assertSentOnce(code, works.length);
    assert.equal((await read(id)).state, 'running');
    await endWork(code);
    await drive(driver, () => isOver(id));
    const { state, stateReason, done, failed, sent } = await read(id);
    assert.deepEqual(
      { state, stateReason, done, failed, sent },
      { state: 'done', stateReason: null, done: 30, failed: 0, sent: 30 },
    );
    const { items } = await createAuditReader().audit({ limit: 5, after: null, by: 'ann' });
    assert.ok(items.some(({ detail }) => (detail as { replay?: string }).replay === id));
  });

  it('tried dry says how many, and stores nothing', async () => {
    const code = uniqueCode();
    await parked(code, 7);
    const { count, isAtLeast, orders, samples } = await replaysOf().dryRun({ code });
    assert.deepEqual([count, isAtLeast, orders, samples.length], [7, false, 7, 5]);
    assert.deepEqual(
      (await timesSent(code)).map(({ open }) => open),
      Array(7).fill(1),
    );
  });

  it('sends one canary and stops where that fails again; resumed, it tries another one and goes on', async () => {
    const code = uniqueCode();
    const works = await parked(code, 12);
    const { id } = await start(code, { canary: true, stopShare: 0.1 });
    const driver = driverOf();
    await driver.runOnce(never);
    await driver.runOnce(never);
    assert.equal((await read(id)).sent, 1);
    const [first] = works;
    await store.settleOnce(store.deadBy(await store.claimed('payment', first?.eventId ?? ''), troubleOf({ code })));
    await drive(driver, () => isOver(id));
    assert.deepEqual([(await read(id)).state, (await read(id)).stateReason], ['stopped', 'the canary failed again']);
    await replaysOf().resume(id, ann);
    await driver.runOnce(never);
    await driver.runOnce(never);
    assert.equal((await read(id)).sent, 2);
    await endWork(code);
    await drive(driver, async () => (await read(id)).sent === 12);
    await endWork(code);
    await drive(driver, () => isOver(id));
    // What failed again is there for the next one, and was not sent twice by this one.
    const { state, done, failed } = await read(id);
    assert.deepEqual({ state, done, failed }, { state: 'done', done: 11, failed: 1 });
    assert.equal((await timesSent(code)).filter(({ open }) => open === 1).length, 1);
  });

  it('beside another over the same dead letters, and people who send back single ones, sends each once', async () => {
    const code = uniqueCode();
    const works = await parked(code, 40);
    const letters = await opened.database.query<{ id: string }>('SELECT id FROM dead_letters WHERE code = $1', [code]);
    const [one, other] = [await start(code, { rate: 1_000 }), await start(code, { rate: 1_000 })];
    const drivers = [driverOf(), driverOf(), driverOf()];
    const people = async () => {
      let sent = 0;
      for (const { id } of letters.filter((_, index) => index % 3 === 0)) {
        const answer = await store.desk.reprocessDeadLetter(id, 'c-person');
        if (!isRefusal(answer)) sent += 1;
      }
      return sent;
    };
    const [byPeople] = await Promise.all([
      people(),
      ...drivers.map(async (driver) => {
        for (let rounds = 0; rounds < 15; rounds += 1) await driver.runOnce(never);
      }),
    ]);
    await assertSentOnce(code, works.length);
    const byReplays = (await read(one.id)).sent + (await read(other.id)).sent;
    assert.equal(byReplays + byPeople, works.length);
    await endWork(code);
  });

  it('killed at any statement loses none, sends none twice, and keeps its rate', async () => {
    for (let point = 1; ; point += 1) {
      const code = uniqueCode();
      const works = await parked(code, 3);
      const { id } = await start(code, { rate: 10 });
      const mortal = dying(opened.database, point);
      const doomed = driverOf(mortal.database);
      for (let rounds = 0; rounds < 4 && !mortal.hasDied(); rounds += 1) await doomed.runOnce(never).catch(() => {});
      const wasKilled = mortal.hasDied();
      // Its lease ends.
      await opened.database.query(`UPDATE replays SET lease_until = '-infinity' WHERE id = $1`, [id]);
      const next = driverOf();
      await drive(next, async () => (await read(id)).sent === 3);
      await assertSentOnce(code, works.length);
      const times = await sentAt(id);
      assert.equal(times.length, 3);
      for (const [index, at] of times.entries())
        assert.ok(index === 0 || at - (times[index - 1] ?? 0) >= 100, `point ${point}`);
      await endWork(code);
      await drive(next, () => isOver(id));
      const { state, done } = await read(id);
      assert.deepEqual([state, done], ['done', 3]);
      if (!wasKilled) break;
    }
  });

  it('paused or canceled sends nothing after the answer, by whoever drives it; acts may be repeated', async () => {
    const code = uniqueCode();
    await parked(code, 6);
    const { id } = await start(code, { rate: 1_000 });
    const steps = createReplaySteps({
      database: opened.database,
      change: createOrderStore({ database: opened.database, system: clock, onCommitted: () => {} }).change,
      system: clock,
    });
    const token = clock.newToken();
    const replay = (await steps.claim(token)).find((one) => one.id === id);
    assert.ok(replay);
    const { letterIds } = await steps.pick(replay, null);
    assert.equal(await steps.send(replay, token, letterIds[0] ?? ''), 'sent');
    // Not before its time, nor by who does not hold it.
    assert.equal(await steps.send(replay, token, letterIds[1] ?? ''), null);
    await clock.sleep(1);
    assert.equal(await steps.send(replay, clock.newToken(), letterIds[1] ?? ''), null);
    for (let times = 0; times < 2; times += 1) {
      const paused = await replaysOf().pause(id, ann);
      assert.ok(!isRefusal(paused) && paused.state === 'paused');
    }
    assert.equal(await steps.send(replay, token, letterIds[1] ?? ''), null);
    assert.deepEqual(await steps.claim(token), []);
    assert.equal((await timesSent(code)).filter(({ open }) => open === 1).length, 5);
    await replaysOf().resume(id, ann);
    await replaysOf().cancel(id, ann);
    assert.equal(await steps.send(replay, token, letterIds[1] ?? ''), null);
    for (const act of ['pause', 'resume'] as const) {
      const answer = await replaysOf()[act](id, ann);
      assert.ok(isRefusal(answer) && answer.refused === 'replay-over');
    }
    const again = await replaysOf().cancel(id, ann);
    assert.ok(!isRefusal(again) && again.state === 'canceled');
    await endWork(code);
  });

  it('sends what one consumer owes an order in the order of its events, each when the one before is done', async () => {
    const { placed, claimed, settleOnce, deadBy, eventOf, desk } = store;
    const code = uniqueCode();
    const { order, eventId } = await placed();
    await settleOnce(deadBy(await claimed('payment', eventId), troubleOf()));
    const failed = await eventOf(order.id, 'OrderFailedV1');
    await desk.cancel(order.id, null, 'c-1');
    const canceled = await eventOf(order.id, 'OrderCanceledV1');
    // The later one gave up first.
    await settleOnce(deadBy(await claimed('notification', canceled), troubleOf({ code })));
    await clock.sleep(1);
    // The order is canceled, so the mail of its failure is no news any more: claimed by hand.
    await opened.database.query(
      `INSERT INTO dead_letters (id, order_id, version, consumer, event_id, event_type, epoch, failure_class, code, message, attempts, failed_at)
       SELECT $1, e.order_id, e.version, 'notification', e.id, e.type, 0, 'retryable', $3, '', 1, $4 FROM events e WHERE e.id = $2`,
      [clock.newId(), failed, code, clock.now()],
    );
    await opened.database.query(`DELETE FROM jobs WHERE order_id = $1`, [order.id]);
    await clock.sleep(1);
    const { id } = await start(code);
    const driver = driverOf();
    const sent = async () =>
      (
        await opened.database.query<{ version: number }>(
          `SELECT version FROM jobs WHERE order_id = $1 AND consumer = 'notification' ORDER BY version`,
          [order.id],
        )
      ).map(({ version }) => version);
    for (let rounds = 0; rounds < 3; rounds += 1) await driver.runOnce(never);
    assert.deepEqual(await sent(), [2]);
    await opened.database.query(`DELETE FROM jobs WHERE order_id = $1`, [order.id]);
    await drive(driver, async () => (await read(id)).sent === 2);
    assert.deepEqual(await sent(), [3]);
    await opened.database.query(`DELETE FROM jobs WHERE order_id = $1`, [order.id]);
    await drive(driver, () => isOver(id));
  });

  it('leaves alone what failed after it was started, and says what it could not send', async () => {
    const code = uniqueCode();
    await parked(code, 1);
    const { id } = await start(code);
    await clock.sleep(1);
    const [later] = await parked(code, 1);
    const driver = driverOf();
    await drive(driver, async () => (await read(id)).sent === 1);
    await endWork(code);
    await drive(driver, () => isOver(id));
    const open = await opened.database.query<{ order_id: string }>(
      'SELECT order_id FROM dead_letters WHERE code = $1 AND closed_at IS NULL',
      [code],
    );
    assert.deepEqual(open, [{ order_id: later?.orderId }]);
  });

  function createAuditReader() {
    return createOperatorDesk({ database: opened.database, system: clock });
  }
});

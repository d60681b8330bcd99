// Connections that break at the worst moment, on a real server: whatever was written is written once, and
// who waited gets the answer of the first time.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { isRefusal } from '../../src/domain/refusals.ts';
import { createGroupCommit } from '../../src/engine/group-commit.ts';
import type { ClaimAnswer, ClaimRequest, Flush, SettleAnswer, SettleRequest } from '../../src/engine/ports.ts';
import type { PlaceAnswer, PlaceRequest } from '../../src/flow/ports.ts';
import type { Database } from '../../src/io/postgres/database.ts';
import { failureOf } from '../../src/io/postgres/errors.ts';
import { createSystem } from '../../src/io/system.ts';
import type { Postgres } from '../support/postgres.ts';
import { type Cut, type PostgresProxy, startProxy } from '../support/proxy.ts';
import { authorized, connect, createStore, type Store, startServer, troubleOf } from '../support/store.ts';
import { until } from '../support/until.ts';

const system = createSystem();
let postgres: Postgres;
let url: string;
let direct: Database;
let proxy: PostgresProxy;
let proxied: Database;
// What a test looks with, and what it acts through.
let look: Store;
let store: Store;

before(async () => {
  postgres = await startServer();
  url = await postgres.createDatabase();
  direct = connect(url);
  proxy = await startProxy(url);
  proxied = connect(proxy.url, 1);
  look = createStore(direct);
  store = createStore(proxied);
});
after(async () => {
  await proxied.close();
  await proxy.close();
  await direct.close();
  await postgres.stop();
});

function grouped<Entry, Answer>(flush: Flush<Entry, Answer>) {
  let flushes = 0;
  const counted: Flush<Entry, Answer> = (entries) => {
    flushes += 1;
    return flush(entries);
  };
  const options = { flush: counted, failureOf, system, maxRows: 100, capacity: 1_000, patienceMs: 15_000 };
  return { add: createGroupCommit<Entry, Answer>(options).add, flushes: () => flushes };
}
// As it goes over the wire: a statement alone, with its end. BEGIN says READ COMMITTED.
const commit = 'COMMIT\0';

// Runs `act` with one connection cut on the way, and makes sure that it was.
async function withCut<T>(marker: string, cut: Cut, act: () => Promise<T>): Promise<T> {
  let wasCut = false;
  void proxy.cutNext(marker, cut).then(() => {
    wasCut = true;
  });
  const result = await act();
  await until(() => wasCut, `a connection to be cut at ${marker}`);
  return result;
}

for (const cut of ['the answer', 'the statement'] as const) {
  describe(`when a connection breaks and ${cut} is lost`, { timeout: 90_000 }, () => {
    it('orders are placed once, and answered as placed', async () => {
      const requests = [
        look.requestOf({ key: `lost ${cut}` }),
        look.requestOf(),
        look.requestOf({ key: `other ${cut}` }),
      ];
      const group = grouped<PlaceRequest, PlaceAnswer>(store.accept);
      const answers = await withCut('idempotency_keys', cut, () => Promise.all(requests.map(group.add)));
      assert.equal(group.flushes(), 2);
      for (const [index, { order, key }] of requests.entries()) {
        assert.deepEqual(answers[index], { answer: 'placed', order });
        const { orders, keys, events } = await look.rowsOf(order.id);
        assert.deepEqual([orders, keys, events], [1, key === null ? 0 : 1, 1]);
      }
    });

    it('work is claimed once, by the claim that asked', async () => {
      const placed = await Promise.all([look.placed(), look.placed()]);
      const requests = placed.map(({ eventId }) => look.claimOf('payment', eventId));
      const group = grouped<ClaimRequest, ClaimAnswer>(store.claim);
      const answers = await withCut(commit, cut, () => Promise.all(requests.map(group.add)));
      // More often where the server still holds the locks of the connection that broke.
      assert.ok(group.flushes() >= 2);
      for (const [index, { order, eventId }] of placed.entries()) {
        const answer = answers[index];
        assert.ok(answer?.answer === 'run' && answer.work.token === requests[index]?.token);
        assert.deepEqual([answer.work.attempt, answer.work.subject.order.status], [1, 'PROCESSING']);
        assert.equal(await look.jobInWords('payment', eventId), 'claimed 1/0');
        const { jobs, effects, attempts } = await look.rowsOf(order.id);
        assert.deepEqual([jobs, effects, attempts], [1, 1, 0]);
      }
    });

    it('what a poll has picked is claimed once, and known to who polled', async () => {
      await look.sql('DELETE FROM jobs');
      // The first look of a process asks where the jobs begin, in a transaction of its own.
      await store.jobs.claimDue(store.stepOf('payment'), 10, 'due');
      const placed = await Promise.all([look.placed(), look.placed()]);
      const { answers } = await withCut(commit, cut, () => store.jobs.claimDue(store.stepOf('payment'), 10, 'due'));
      const found = answers.flatMap((answer) => (answer.answer === 'run' ? [answer.work.event.subject] : []));
      assert.deepEqual(found.sort(), placed.map(({ order }) => order.id as string).sort());
      for (const { eventId } of placed) assert.equal(await look.jobInWords('payment', eventId), 'claimed 1/0');
    });

    it('a takeover is counted once', async () => {
      const { eventId, order } = await look.placed();
      await look.claimed('payment', eventId);
      await look.makeDue('payment', eventId);
      const group = grouped<ClaimRequest, ClaimAnswer>(store.claim);
      const answer = await withCut(commit, cut, () => group.add(look.claimOf('payment', eventId)));
      assert.equal(answer.answer, 'run');
      assert.equal(await look.jobInWords('payment', eventId), 'claimed 1/1');
      assert.equal((await look.rowsOf(order.id)).attempts, 1);
    });

    it('results are settled once, with their events', async () => {
      const placed = await Promise.all([look.placed(), look.placed()]);
      const works = await Promise.all(placed.map(({ eventId }) => look.claimed('payment', eventId)));
      const group = grouped<SettleRequest, SettleAnswer>(store.settle);
      const settles = works.map((work) => look.doneWith(work, authorized));
      const answers = await withCut(commit, cut, () => Promise.all(settles.map(group.add)));
      // Where the first try has committed, the second one finds nothing left to write.
      const answer = cut === 'the statement' ? 'settled' : 'gone';
      assert.deepEqual(answers, [answer, answer]);
      assert.ok(group.flushes() >= 2);
      for (const { order } of placed) {
        assert.deepEqual(await look.eventsOf(order.id), ['OrderCreatedV1', 'PaymentAuthorizedV1']);
        assert.equal((await look.order(order.id)).version, 2);
      }
    });

    it('a retry is charged once', async () => {
      const { order, eventId } = await look.placed();
      const work = await look.claimed('payment', eventId);
      const group = grouped<SettleRequest, SettleAnswer>(store.settle);
      await withCut(commit, cut, () => group.add(look.waitingFor(work, 60_000, true)));
      assert.equal((await look.order(order.id)).retryCount, 1);
      assert.equal((await look.rowsOf(order.id)).attempts, 1);
    });

    it('an order is canceled once, and who asked sees it canceled', async () => {
      const { order } = await look.placed();
      const canceled = await withCut(commit, cut, () => store.desk.cancel(order.id, 'no need', `c ${cut}`));
      assert.ok(!isRefusal(canceled));
      assert.deepEqual([canceled.status, canceled.version], ['CANCELED', 2]);
      assert.deepEqual(await look.eventsOf(order.id), ['OrderCreatedV1', 'OrderCanceledV1']);
      const audit = await direct.query('SELECT action FROM audit_log WHERE order_id = $1', [order.id]);
      assert.deepEqual(audit, [{ action: 'canceled' }]);
    });

    it('an order is reprocessed once, in one new epoch', async () => {
      const { order, eventId } = await look.placed();
      await look.settleOnce(look.deadBy(await look.claimed('payment', eventId), troubleOf()));
      const again = await withCut(commit, cut, () => store.desk.reprocess(order.id, `c ${cut}`));
      assert.ok(!isRefusal(again));
      assert.deepEqual([again.status, again.version], ['PENDING', 3]);
      const job = await look.job('payment', eventId);
      assert.deepEqual([job?.token, job?.epoch, job?.attempt], [null, 1, 0]);
      const audit = await direct.query('SELECT action FROM audit_log WHERE order_id = $1', [order.id]);
      assert.deepEqual(audit, [{ action: 'reprocessed' }]);
    });
  });
}

describe('when the server ends a connection in the middle of a flush', { timeout: 90_000 }, () => {
  // The backend of ours that waits for a lock of `holder`.
  const blockedBackend = async () => {
    const { pid } = await until(
      async () =>
        (
          await direct.query<{ pid: number }>(
            `SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'orderly' AND wait_event_type = 'Lock'`,
          )
        )[0],
      'a flush that waits for a lock',
    );
    return pid;
  };
  // Holds locks of a stranger until the flush that runs into them was ended.
  async function whileEnded<T>(lock: string, values: unknown[], act: () => Promise<T>): Promise<T> {
    const stranger = new Client({ connectionString: url });
    await stranger.connect();
    try {
      await stranger.query('BEGIN');
      await stranger.query(lock, values);
      const result = act();
      const pid = await blockedBackend();
      await direct.query('SELECT pg_terminate_backend($1)', [pid]);
      await stranger.query('ROLLBACK');
      return await result;
    } finally {
      await stranger.end();
    }
  }

  it('accepting runs again and places each order once', async () => {
    const requests = [look.requestOf({ key: 'terminated' }), look.requestOf({ key: 'a bystander' })];
    const group = grouped<PlaceRequest, PlaceAnswer>(store.accept);
    const lock = `INSERT INTO idempotency_keys VALUES ('terminated', decode(repeat('00', 32), 'hex'), gen_random_uuid(), now())`;
    const answers = await whileEnded(lock, [], () => Promise.all(requests.map(group.add)));
    assert.deepEqual(
      answers,
      requests.map(({ order }) => ({ answer: 'placed', order })),
    );
    assert.ok(group.flushes() >= 2);
    for (const { order } of requests) assert.equal((await look.rowsOf(order.id)).events, 1);
  });

  it('claiming runs again and counts one attempt', async () => {
    const { eventId } = await look.placed();
    await look.settleOnce(look.waitingFor(await look.claimed('payment', eventId), 0, true));
    await look.makeDue('payment', eventId);
    const group = grouped<ClaimRequest, ClaimAnswer>(store.claim);
    const lock = 'SELECT 1 FROM jobs WHERE order_id = $1 FOR UPDATE';
    const answer = await whileEnded(lock, [look.keyOfEvent(eventId).subject], () =>
      group.add(look.claimOf('payment', eventId)),
    );
    assert.equal(answer.answer, 'run');
    assert.ok(group.flushes() >= 2);
    assert.equal(await look.jobInWords('payment', eventId), 'claimed 2/0');
  });

  it('settling runs again and writes its events once', async () => {
    const { order, eventId } = await look.placed();
    const work = await look.claimed('payment', eventId);
    const group = grouped<SettleRequest, SettleAnswer>(store.settle);
    const lock = 'SELECT 1 FROM jobs WHERE order_id = $1 FOR UPDATE';
    const answer = await whileEnded(lock, [look.keyOfEvent(eventId).subject], () =>
      group.add(look.doneWith(work, authorized)),
    );
    assert.equal(answer, 'settled');
    assert.ok(group.flushes() >= 2);
    assert.deepEqual(await look.eventsOf(order.id), ['OrderCreatedV1', 'PaymentAuthorizedV1']);
  });
});

describe('when the whole server is killed and comes back', { timeout: 90_000 }, () => {
  it('requests that came meanwhile are placed, each once', async () => {
    const group = grouped<PlaceRequest, PlaceAnswer>(store.accept);
    const requests = Array.from({ length: 20 }, (_, nth) => look.requestOf(nth % 2 ? { key: `restart ${nth}` } : {}));
    const first = requests.slice(0, 10).map(group.add);
    const killed = postgres.kill9();
    const second = requests.slice(10).map(group.add);
    await killed;
    await postgres.restart();
    const answers = await Promise.all([...first, ...second]);
    assert.deepEqual(
      answers.map(({ answer }) => answer),
      Array(20).fill('placed'),
    );
    for (const { order } of requests) {
      const { orders, events } = await look.rowsOf(order.id);
      assert.deepEqual([orders, events], [1, 1]);
    }
  });
});

// Several processes, strangers and late commits on a real server. Each process is a pool of its own.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import type { OrderId } from '../../src/domain/order.ts';
import { isRefusal } from '../../src/domain/refusals.ts';
import type { Message } from '../../src/engine/bus.ts';
import { createGroupCommit } from '../../src/engine/group-commit.ts';
import type {
  ClaimAnswer,
  ClaimRequest,
  Flush,
  SettleAnswer,
  SettleRequest,
  Step,
  Work,
} from '../../src/engine/ports.ts';
import { createRelay } from '../../src/engine/relay.ts';
import { createCursors } from '../../src/io/postgres/cursors.ts';
import type { Database } from '../../src/io/postgres/database.ts';
import { failureOf } from '../../src/io/postgres/errors.ts';
import { createSystem } from '../../src/io/system.ts';
import { createAnalyticsReader } from '../../src/main/projections.ts';
import { unread } from '../support/invariants.ts';
import type { Postgres } from '../support/postgres.ts';
import { silentLog } from '../support/silent-log.ts';
import { answersOf, authorized, booked, connect, createStore, type Store, startServer } from '../support/store.ts';
import { until } from '../support/until.ts';

const system = createSystem();
let postgres: Postgres;
let url: string;
const databases: Database[] = [];
// Two processes over one database, and the same to look with.
let one: Store;
let other: Store;

function newProcess(): Store {
  const database = connect(url);
  databases.push(database);
  return createStore(database);
}
before(async () => {
  postgres = await startServer();
  url = await postgres.createDatabase();
  one = newProcess();
  other = newProcess();
});
after(async () => {
  for (const database of databases) await database.close();
  await postgres.stop();
});

// A session that is none of ours, with a transaction open until `end`.
async function stranger() {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query('BEGIN');
  return {
    query: (text: string, values: unknown[] = []) => client.query(text, values),
    end: async (how: 'COMMIT' | 'ROLLBACK' = 'ROLLBACK') => {
      await client.query(how);
      await client.end();
    },
  };
}

// Resolves when so many of our statements wait for a lock.
const waitingForLock = (count: number) =>
  until(async () => {
    const waiting = await one.sql(
      `SELECT 1 FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'orderly' AND wait_event_type = 'Lock'`,
    );
    return waiting.length === count;
  }, `${count} statements that wait for a lock`);

function grouped<Entry, Answer>(flush: Flush<Entry, Answer>) {
  const options = { flush, failureOf, system, maxRows: 128, capacity: 10_000, patienceMs: 15_000 };
  return createGroupCommit<Entry, Answer>(options).add;
}

// Flushes until every entry has its answer; an error of the database fails the test.
async function flushAll<Entry, Answer>(flush: Flush<Entry, Answer>, entries: readonly Entry[]): Promise<Answer[]> {
  const answers = new Map<Entry, Answer>();
  await until(async () => {
    const left = entries.filter((entry) => !answers.has(entry));
    const got = await flush(left);
    for (const [index, entry] of left.entries()) {
      const answer = got[index];
      if (answer !== undefined && answer !== 'locked') answers.set(entry, answer);
    }
    return answers.size === entries.length;
  }, 'answers to all entries');
  return entries.map((entry) => answers.get(entry) as Answer);
}

const shuffled = <T>(list: readonly T[]): T[] =>
  list
    .map((value) => ({ value, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);

describe('two processes', { timeout: 90_000 }, () => {
  // A step that only counts: each settle adds one to the order's row.
  const counting = (consumer: string): Step => ({
    ...one.stepOf('payment'),
    consumer,
    admits: () => true,
    claimed: ({ order }) => ({ order: { ...order, retryCount: order.retryCount + 1 }, events: [], effects: [] }),
    decide: ({ order }) => ({ order: { ...order, retryCount: order.retryCount + 1 }, events: [], effects: [] }),
  });

  it('that flush the same orders in opposite order neither deadlock nor lose an update', async () => {
    const placed = await Promise.all(Array.from({ length: 24 }, () => one.placed()));
    const rounds = 15;
    for (let round = 1; round <= rounds; round += 1) {
      const run = async (store: Store, events: readonly string[]) => {
        const consumer = `counter-${round}-${store === one ? 'one' : 'other'}`;
        const step = counting(consumer);
        await one.sql(
          `INSERT INTO jobs (order_id, version, consumer, event_type)
           SELECT id, 1, $2, 'OrderCreatedV1' FROM unnest($1::uuid[]) AS id`,
          [events.map((eventId) => one.keyOfEvent(eventId).subject), consumer],
        );
        const claims = events.map(
          (eventId): ClaimRequest => ({
            step,
            ...one.keyOfEvent(eventId),
            token: system.newToken(),
          }),
        );
        const answers = await flushAll(store.claim, claims);
        const settles = answers.map((answer): SettleRequest => {
          assert.ok(answer.answer === 'run');
          const { work } = answer;
          return store.endingOf(work, { change: (record, now) => step.decide(record, work, null, now) });
        });
        assert.deepEqual(new Set(await flushAll(store.settle, settles)), new Set(['settled']));
      };
      const events = shuffled(placed.map(({ eventId }) => eventId));
      await Promise.all([run(one, events), run(other, [...events].reverse())]);
    }
    for (const { order } of placed) assert.equal((await one.order(order.id)).retryCount, rounds * 4);
  });

  it('that accept the same keys in opposite order place one order per key', async () => {
    for (let round = 0; round < 20; round += 1) {
      const keys = shuffled(Array.from({ length: 20 }, (_, nth) => `round ${round}, key ${nth}`));
      const requests = [keys, [...keys].reverse()].map((list) => list.map((key) => one.requestOf({ key })));
      const [first = [], second = []] = requests;
      const answers = await Promise.all([flushAll(one.accept, first), flushAll(other.accept, second)]);
      const words = answersOf(answers.flat());
      assert.equal(words.filter((word) => word === 'placed').length, 20);
      assert.equal(words.filter((word) => word === 'replayed').length, 20);
    }
  });

  it('that accept the same keys never wait for each other in a circle', async () => {
    const keys = ['a', 'm', 'z'].map((key) => `circle ${key}`);
    const them = await stranger();
    await them.query(
      `INSERT INTO idempotency_keys VALUES ('circle m', decode(repeat('00', 32), 'hex'), gen_random_uuid(), now())`,
    );
    const first = one.accept(keys.map((key) => one.requestOf({ key })));
    await waitingForLock(1);
    const second = other.accept([...keys].reverse().map((key) => one.requestOf({ key })));
    await waitingForLock(2);
    await them.end();
    const words = answersOf((await Promise.all([first, second])).flat());
    assert.deepEqual(words.sort(), ['placed', 'placed', 'placed', 'replayed', 'replayed', 'replayed']);
  });

  it('that claim the same events run each of them once', async () => {
    const placed = await Promise.all(Array.from({ length: 40 }, () => one.placed()));
    const claims = (store: Store, list: typeof placed) =>
      flushAll(
        store.claim,
        list.map(({ eventId }) => one.claimOf('payment', eventId)),
      );
    const [mine, theirs] = await Promise.all([claims(one, placed), claims(other, [...placed].reverse())]);
    const words = placed.map((_, index) => [mine[index]?.answer, theirs.at(-1 - index)?.answer].sort().join(' '));
    assert.deepEqual(new Set(words), new Set(['busy run']));
  });

  it('one canceling what the other settles, agree on one history of every order', async () => {
    const placed = await Promise.all(Array.from({ length: 30 }, () => one.placed()));
    const works = await Promise.all(placed.map(({ eventId }) => one.claimed('payment', eventId)));
    const settle = grouped<SettleRequest, SettleAnswer>(one.settle);
    const ends = await Promise.all([
      ...works.map((work) => settle(one.doneWith(work, authorized))),
      ...shuffled(placed).map(({ order }) => other.desk.cancel(order.id, null, 'c-2')),
    ]);
    assert.ok(ends.every((end) => end === 'settled' || !isRefusal(end)));
    for (const { order } of placed) {
      const { status, payment, version } = await one.order(order.id);
      assert.deepEqual([status, payment, version], ['CANCELED', 'authorized', 3]);
      const events = await one.eventsOf(order.id);
      assert.deepEqual(events.slice(1).sort(), ['OrderCanceledV1', 'PaymentAuthorizedV1']);
    }
  });

  it('one canceling what the other brings to its end, leave each order at exactly one end', async () => {
    const paid = await Promise.all(Array.from({ length: 30 }, () => one.paid()));
    const works = await Promise.all(paid.map(({ eventId }) => one.claimed('fulfillment', eventId)));
    const settle = grouped<SettleRequest, SettleAnswer>(one.settle);
    const canceled = shuffled(paid).map(({ order }) => other.desk.cancel(order.id, null, 'c-2'));
    const settled = works.map((work) => settle(one.doneWith(work, booked)));
    await Promise.all([...settled, ...canceled]);
    for (const { order } of paid) {
      const { status, fulfillment, version } = await one.order(order.id);
      const events = await one.eventsOf(order.id);
      assert.equal(fulfillment, 'scheduled');
      assert.equal(version, events.length);
      assert.equal(events.includes('OrderCanceledV1'), status === 'CANCELED');
    }
  });
});

describe('an order that a stranger has locked', { timeout: 90_000 }, () => {
  it('stalls itself alone: the others of its flush go through, and it follows after the release', async () => {
    const placed = await Promise.all(Array.from({ length: 5 }, () => one.placed()));
    const locked = placed[2];
    assert.ok(locked);
    const them = await stranger();
    await them.query('SELECT 1 FROM orders WHERE id = $1 FOR UPDATE', [locked.order.id]);

    const claims = placed.map(({ eventId }) => one.claimOf('payment', eventId));
    assert.deepEqual(answersOf(await one.claim(claims)), ['run', 'run', 'locked', 'run', 'run']);
    const claim = grouped<ClaimRequest, ClaimAnswer>(one.claim);
    let isAnswered = false;
    const stalled = claim(claims[2] as ClaimRequest).finally(() => {
      isAnswered = true;
    });
    const later = await Promise.all([one.placed(), one.placed()]);
    const answers = await Promise.all(later.map(({ eventId }) => claim(one.claimOf('payment', eventId))));
    assert.deepEqual(answersOf(answers), ['run', 'run']);
    assert.equal(isAnswered, false);
    assert.equal(await one.jobInWords('payment', locked.eventId), 'waits 0/0');
    await them.end();
    assert.equal((await stalled).answer, 'run');
    assert.equal(await one.jobInWords('payment', locked.eventId), 'claimed 1/0');
  });

  it('stalls its own settle alone, uncharged', async () => {
    const placed = await Promise.all([one.placed(), one.placed(), one.placed()]);
    const works: Work[] = [];
    for (const { eventId } of placed) works.push(await one.claimed('payment', eventId));
    const them = await stranger();
    await them.query('SELECT 1 FROM orders WHERE id = $1 FOR UPDATE', [placed[1]?.order.id]);
    const settle = grouped<SettleRequest, SettleAnswer>(one.settle);
    const settles = works.map((work) => settle(one.doneWith(work, authorized)));
    assert.deepEqual([await settles[0], await settles[2]], ['settled', 'settled']);
    assert.equal((await one.order(placed[1]?.order.id ?? '')).payment, 'pending');
    await them.end();
    assert.equal(await settles[1], 'settled');
    assert.equal(await one.jobInWords('payment', placed[1]?.eventId ?? ''), 'no job');
  });

  it('is not mistaken for one that has no job', async () => {
    const { order, eventId } = await one.placed();
    const them = await stranger();
    await them.query('SELECT 1 FROM orders WHERE id = $1 FOR UPDATE', [order.id]);
    const claim = one.claimOf('payment', eventId);
    const answers = await one.claim([claim, { ...claim, subject: system.newId() }]);
    assert.deepEqual(answersOf(answers), ['locked', 'gone']);
    await them.end();
  });
});

// A stranger who keeps to no rule changes a row between our reading it and our writing it.
describe('a row that changes between reading and writing', { timeout: 90_000 }, () => {
  // Commits `text` when somebody of ours waits for the row it has locked.
  async function whileWaited<T>(text: string, values: unknown[], act: () => Promise<T>): Promise<T> {
    const them = await stranger();
    await them.query(text, values);
    const acting = act();
    // Its failure is the test's to look at, later.
    acting.catch(() => {});
    await waitingForLock(1);
    await them.end('COMMIT');
    return acting;
  }

  it('is not claimed when it is not due any more: the claim is decided anew', async () => {
    const { eventId } = await one.placed();
    const token = (await one.claimed('payment', eventId)).token;
    await one.makeDue('payment', eventId);
    const extend = `UPDATE jobs SET lease_until = clock_timestamp() + interval '1 hour' WHERE order_id = $1`;
    const claim = grouped<ClaimRequest, ClaimAnswer>(one.claim);
    const answer = await whileWaited(extend, [one.keyOfEvent(eventId).subject], () =>
      claim(one.claimOf('payment', eventId)),
    );
    assert.equal(answer.answer, 'busy');
    assert.equal((await one.job('payment', eventId))?.token, token);
    assert.equal(await one.jobInWords('payment', eventId), 'claimed 1/0');
  });

  it('is seen as it is when its order has been locked, not as it was before', async () => {
    const { eventId } = await one.placed();
    const them = await stranger();
    await them.query('LOCK TABLE orders IN ACCESS EXCLUSIVE MODE');
    const claiming = one.claim([one.claimOf('payment', eventId)]);
    // Its failure is looked at below.
    claiming.catch(() => {});
    await waitingForLock(1);
    const take = `UPDATE jobs SET token = gen_random_uuid(), lease_until = clock_timestamp() + interval '1 hour' WHERE order_id = $1`;
    await them.query(take, [one.keyOfEvent(eventId).subject]);
    await them.end('COMMIT');
    assert.deepEqual(answersOf(await claiming), ['busy']);
  });

  it('is not ended when somebody else owns it now: the settle is stale and writes nothing', async () => {
    const { order, eventId } = await one.placed();
    const work = await one.claimed('payment', eventId);
    const steal = 'UPDATE jobs SET token = gen_random_uuid() WHERE order_id = $1';
    const settle = grouped<SettleRequest, SettleAnswer>(one.settle);
    const answer = await whileWaited(steal, [order.id], () => settle(one.doneWith(work, authorized)));
    assert.equal(answer, 'stale');
    assert.equal(await one.jobInWords('payment', eventId), 'claimed 1/0');
    assert.deepEqual(await one.eventsOf(order.id), ['OrderCreatedV1']);
  });
});

describe('processes on one backlog', { timeout: 90_000 }, () => {
  const poll = (store: Store, limit: number) => store.jobs.claimDue(store.stepOf('payment'), limit, 'due');
  const worksOf = ({ answers }: Awaited<ReturnType<typeof poll>>) =>
    answers.flatMap((answer) => (answer.answer === 'run' ? [answer.work.event.subject] : []));

  it('claim each job once, however many poll at once', async () => {
    await one.sql('DELETE FROM jobs');
    const placed = await Promise.all(Array.from({ length: 200 }, () => one.placed()));
    const stores = [one, other, newProcess(), newProcess()];
    const found: string[] = [];
    await Promise.all(
      stores.map(async (store) => {
        for (;;) {
          const picked = await poll(store, 7);
          found.push(...worksOf(picked));
          if (picked.nextDueInMs !== undefined) return;
        }
      }),
    );
    assert.equal(found.length, placed.length);
    assert.deepEqual(new Set(found), new Set(placed.map(({ order }) => order.id)));
  });

  it('claim past the oldest orders where a stranger holds them', async () => {
    await one.sql('DELETE FROM jobs');
    const held = await Promise.all(Array.from({ length: 20 }, () => one.placed()));
    const free = await one.placed();
    const them = await stranger();
    await them.query('SELECT 1 FROM orders WHERE id = ANY($1) FOR UPDATE', [held.map(({ order }) => order.id)]);
    assert.deepEqual(worksOf(await poll(one, 5)), [free.order.id]);
    await them.end();
    assert.equal(worksOf(await poll(one, 100)).length, held.length);
  });

  it('claim a job by hint and by poll once', async () => {
    await one.sql('DELETE FROM jobs');
    for (let round = 0; round < 20; round += 1) {
      const { order, eventId } = await one.placed();
      const claim = grouped<ClaimRequest, ClaimAnswer>(one.claim);
      const [hinted, polled] = await Promise.all([claim(one.claimOf('payment', eventId)), poll(other, 10)]);
      const wins = [hinted.answer === 'run', worksOf(polled).includes(order.id)].filter(Boolean).length;
      assert.equal(wins, 1);
    }
  });

  it('find what was picked again where the answer to the commit was lost', async () => {
    await one.sql('DELETE FROM jobs');
    await one.placed();
    const [{ answers }] = await Promise.all([poll(one, 10)]);
    const [answer] = answers;
    assert.ok(answer?.answer === 'run');
    const { subject, version } = answer.work.event;
    const repeated = { step: one.stepOf('payment'), subject, version, token: answer.work.token };
    const [again] = await one.claim([repeated]);
    assert.ok(again !== 'locked' && again?.answer === 'run');
    const { ageMs } = answer.work;
    assert.deepEqual({ ...again.work, ageMs }, answer.work);
  });
});

describe('two relays', { timeout: 90_000 }, () => {
  const endLease = () => one.sql(`UPDATE cursors SET lease_until = '-infinity' WHERE reader = 'relay'`);

  it('never hold the cursor both, however many reach for it at once', async () => {
    for (let round = 0; round < 15; round += 1) {
      await endLease();
      const tokens = Array.from({ length: 6 }, () => system.newToken());
      const held = await Promise.all(
        tokens.map((token, nth) => ([one, other][nth % 2] as Store).cursors.hold('relay', token, 60_000)),
      );
      assert.equal(held.filter((at) => at !== null).length, 1);
    }
    await endLease();
  });

  it('publish every event, the first occurrences in the order of each order, also when one freezes and is replaced', async (context) => {
    const published: string[] = [];
    const sequenceOf = (message: Message) => Number(JSON.parse(message.body.toString()).sequence);
    const keep = (messages: readonly Message[]) =>
      void published.push(...messages.map((message) => `${message.key} ${sequenceOf(message)}`));
    let thaw = () => {};
    let isFrozen = false;
    const freeze = new Promise<void>((resolve) => {
      thaw = resolve;
    });
    // Whichever of them has the cursor freezes in the middle of its work, once.
    const bus = {
      publish: async (messages: readonly Message[]) => {
        if (published.length > 20 && !isFrozen) {
          isFrozen = true;
          await freeze;
        }
        keep(messages);
      },
    };
    const relayOf = ({ cursors }: Store) =>
      createRelay({ cursors, bus, streamOf: () => 'orders.events.v1', system, log: silentLog });
    const stopping = new AbortController();
    const running = [relayOf(one).run(stopping.signal), relayOf(other).run(stopping.signal)];
    // Also where the test fails half-way: nothing may run on.
    context.after(async () => {
      thaw();
      stopping.abort();
      await Promise.all(running);
      await endLease();
    });

    const paid: OrderId[] = [];
    for (let count = 0; count < 30; count += 1) {
      const { order, eventId } = await one.paid();
      await one.settleOnce(one.doneWith(await one.claimed('fulfillment', eventId), booked));
      paid.push(order.id);
      // The frozen one's lease is over; the other one takes the cursor.
      if (isFrozen) await endLease();
    }
    await until(() => isFrozen, 'one relay to have frozen');
    await endLease();
    const isOnBus = (id: OrderId) => [1, 2, 3].every((version) => published.includes(`${id} ${version}`));
    await until(() => paid.every(isOnBus), 'every event on the bus');
    thaw();
    await until(
      async () => (await one.sql(`${unread} AND c.reader = 'relay'`)).length === 0,
      'a relay with nothing to do',
    );
    for (const id of paid) {
      const firsts = [...new Set(published)].filter((line) => line.startsWith(id));
      assert.deepEqual(
        firsts,
        [1, 2, 3].map((version) => `${id} ${version}`),
      );
    }
  });
});

describe('events that two readers count at once', { timeout: 60_000 }, () => {
  const linesOf = async (createdAt: Date) =>
    (
      await one.sql<{ country: string; count: number }>(
        'SELECT country, count FROM analytics WHERE day = $1 ORDER BY country',
        [createdAt.toISOString().slice(0, 10)],
      )
    ).map(({ country, count }) => `${country} ${count}`);
  const newReader = () => createAnalyticsReader({ cursors: one.cursors, system, log: silentLog });

  it('are counted by the one that holds the cursor, and the other one waits for nothing', async () => {
    const createdAt = new Date('2001-02-01T12:00:00Z');
    await one.placed({ createdAt });
    const first = await stranger();
    await first.query(`SELECT FROM cursors WHERE reader = 'analytics' FOR NO KEY UPDATE`);
    assert.equal(await newReader().runOnce(), 0);
    assert.deepEqual(await linesOf(createdAt), []);
    // As if it had counted them: what it has passed is nobody's any more.
    await first.query(`UPDATE cursors SET read_to = (SELECT max(position) FROM events) WHERE reader = 'analytics'`);
    await first.end('COMMIT');
    assert.equal(await newReader().runOnce(), 0);
    assert.deepEqual(await linesOf(createdAt), []);
    await one.placed({ createdAt });
    assert.equal(await newReader().runOnce(), 1);
    assert.deepEqual(await linesOf(createdAt), ['US 1']);
  });

  it('are not counted twice where the answer to the commit was lost', async () => {
    const createdAt = new Date('2001-02-02T12:00:00Z');
    await one.placed({ createdAt });
    const { database } = one;
    const losing: Database = {
      ...database,
      transaction: async (work, options) => {
        await database.transaction(work, options);
        throw new Error('Connection terminated');
      },
    };
    const reader = createAnalyticsReader({
      cursors: createCursors({ database: losing, system }),
      system,
      log: silentLog,
    });
    await assert.rejects(reader.runOnce(), /terminated/);
    assert.deepEqual(await linesOf(createdAt), ['US 1']);
    assert.equal(await newReader().runOnce(), 0);
    assert.deepEqual(await linesOf(createdAt), ['US 1']);
  });
});

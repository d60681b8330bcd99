// Several processes, strangers and late commits on a real server. Each process is a pool of its own.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import type { OrderId } from '../../src/domain/order.ts';
import { isRefusal } from '../../src/domain/refusals.ts';
import { createGroupCommit } from '../../src/engine/group-commit.ts';
import type { ClaimAnswer, Flush, Message, SettleAnswer, Step } from '../../src/engine/ports.ts';
import { createRelay } from '../../src/engine/relay.ts';
import type { OrderChange, OrderRecord } from '../../src/flow/ports.ts';
import type { OrderClaim, OrderWork } from '../../src/io/postgres/claim.ts';
import { createCursors } from '../../src/io/postgres/cursors.ts';
import type { Database } from '../../src/io/postgres/database.ts';
import { failureOf } from '../../src/io/postgres/errors.ts';
import type { OrderSettle } from '../../src/io/postgres/settle.ts';
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
  const counting = (consumer: string): Step<OrderRecord, OrderChange> => ({
    ...one.stepOf('payment'),
    consumer,
    admits: () => true,
    claimed: ({ order }) => ({ order: { ...order, retryCount: order.retryCount + 1 }, facts: [], effects: [] }),
    decide: ({ order }) => ({ order: { ...order, retryCount: order.retryCount + 1 }, facts: [], effects: [] }),
  });

  it('that flush the same orders in opposite order neither deadlock nor lose an update', async () => {
    const placed = await Promise.all(Array.from({ length: 24 }, () => one.placed()));
    const rounds = 15;
    for (let round = 1; round <= rounds; round += 1) {
      const run = async (store: Store, events: readonly string[]) => {
        const step = counting(`counter-${round}-${store === one ? 'one' : 'other'}`);
        const claims = events.map((eventId): OrderClaim => ({ step, eventId, token: system.newToken(), hold: false }));
        const answers = await flushAll(store.claim, claims);
        const settles = answers.map((answer): OrderSettle => {
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

  it('that claim the same facts run each of them once', async () => {
    const placed = await Promise.all(Array.from({ length: 40 }, () => one.placed()));
    const claims = (store: Store, list: typeof placed) =>
      flushAll(
        store.claim,
        list.map(({ eventId }) => store.claimOf('payment', eventId)),
      );
    const [mine, theirs] = await Promise.all([claims(one, placed), claims(other, [...placed].reverse())]);
    const words = placed.map((_, index) => [mine[index]?.answer, theirs.at(-1 - index)?.answer].sort().join(' '));
    assert.deepEqual(new Set(words), new Set(['busy run']));
  });

  it('one canceling what the other settles, agree on one history of every order', async () => {
    const placed = await Promise.all(Array.from({ length: 30 }, () => one.placed()));
    const works = await Promise.all(placed.map(({ eventId }) => one.claimed('payment', eventId)));
    const settle = grouped<OrderSettle, SettleAnswer>(one.settle);
    const ends = await Promise.all([
      ...works.map((work) => settle(one.doneWith(work, authorized))),
      ...shuffled(placed).map(({ order }) => other.desk.cancel(order.id, null, 'c-2')),
    ]);
    assert.ok(ends.every((end) => end === 'settled' || !isRefusal(end)));
    for (const { order } of placed) {
      const { status, payment, version } = await one.order(order.id);
      assert.deepEqual([status, payment, version], ['CANCELED', 'authorized', 3]);
      const facts = await one.factsOf(order.id);
      assert.deepEqual(facts.slice(1).sort(), ['OrderCanceledV1', 'PaymentAuthorizedV1']);
    }
  });

  it('one canceling what the other brings to its end, leave each order at exactly one end', async () => {
    const paid = await Promise.all(Array.from({ length: 30 }, () => one.paid()));
    const works = await Promise.all(paid.map(({ eventId }) => one.claimed('fulfillment', eventId)));
    const settle = grouped<OrderSettle, SettleAnswer>(one.settle);
    const canceled = shuffled(paid).map(({ order }) => other.desk.cancel(order.id, null, 'c-2'));
    const settled = works.map((work) => settle(one.doneWith(work, booked)));
    await Promise.all([...settled, ...canceled]);
    for (const { order } of paid) {
      const { status, fulfillment, version } = await one.order(order.id);
      const facts = await one.factsOf(order.id);
      assert.equal(fulfillment, 'scheduled');
      assert.equal(version, facts.length);
      assert.equal(facts.includes('OrderCanceledV1'), status === 'CANCELED');
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
    const claim = grouped<OrderClaim, ClaimAnswer<OrderRecord>>(one.claim);
    let isAnswered = false;
    const stalled = claim(claims[2] as OrderClaim).finally(() => {
      isAnswered = true;
    });
    const later = await Promise.all([one.placed(), one.placed()]);
    const answers = await Promise.all(later.map(({ eventId }) => claim(one.claimOf('payment', eventId))));
    assert.deepEqual(answersOf(answers), ['run', 'run']);
    assert.equal(isAnswered, false);
    assert.equal(await one.deliveryInWords('payment', locked.eventId), 'no row');
    await them.end();
    assert.equal((await stalled).answer, 'run');
    assert.equal(await one.deliveryInWords('payment', locked.eventId), 'running 1/0');
  });

  it('stalls its own settle alone, uncharged', async () => {
    const placed = await Promise.all([one.placed(), one.placed(), one.placed()]);
    const works: OrderWork[] = [];
    for (const { eventId } of placed) works.push(await one.claimed('payment', eventId));
    const them = await stranger();
    await them.query('SELECT 1 FROM orders WHERE id = $1 FOR UPDATE', [placed[1]?.order.id]);
    const settle = grouped<OrderSettle, SettleAnswer>(one.settle);
    const settles = works.map((work) => settle(one.doneWith(work, authorized)));
    assert.deepEqual([await settles[0], await settles[2]], ['settled', 'settled']);
    assert.equal((await one.order(placed[1]?.order.id ?? '')).payment, 'pending');
    await them.end();
    assert.equal(await settles[1], 'settled');
    assert.equal(await one.deliveryInWords('payment', placed[1]?.eventId ?? ''), 'done 1/0');
  });

  it('is not mistaken for a fact that does not exist', async () => {
    const { order, eventId } = await one.placed();
    const them = await stranger();
    await them.query('SELECT 1 FROM orders WHERE id = $1 FOR UPDATE', [order.id]);
    const answers = await one.claim([one.claimOf('payment', eventId), one.claimOf('payment', system.newId())]);
    assert.deepEqual(answersOf(answers), ['locked', 'unknown-fact']);
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
    const extend = `UPDATE deliveries SET due_at = clock_timestamp() + interval '1 hour' WHERE event_id = $1`;
    const claim = grouped<OrderClaim, ClaimAnswer<OrderRecord>>(one.claim);
    const answer = await whileWaited(extend, [eventId], () => claim(one.claimOf('payment', eventId)));
    assert.equal(answer.answer, 'busy');
    assert.equal((await one.delivery('payment', eventId))?.token, token);
    assert.equal(await one.deliveryInWords('payment', eventId), 'running 1/0');
  });

  it('is not ended when somebody else owns it now: the settle is stale and writes nothing', async () => {
    const { order, eventId } = await one.placed();
    const work = await one.claimed('payment', eventId);
    const steal = 'UPDATE deliveries SET token = gen_random_uuid() WHERE event_id = $1';
    const settle = grouped<OrderSettle, SettleAnswer>(one.settle);
    const answer = await whileWaited(steal, [eventId], () => settle(one.doneWith(work, authorized)));
    assert.equal(answer, 'stale');
    assert.equal(await one.deliveryInWords('payment', eventId), 'running 1/0');
    assert.deepEqual(await one.factsOf(order.id), ['OrderCreatedV1']);
  });
});

describe('a fact that is committed late', { timeout: 90_000 }, () => {
  // The rows of a placed order, written by a session whose transaction stays open.
  async function placedLate() {
    const request = one.requestOf();
    const { id } = request.order;
    const them = await stranger();
    await them.query(
      `INSERT INTO orders (id, status, payment, fulfillment, retry_count, amount, currency, country, items, user_id,
                           payment_scenario, correlation_id, version, created_at, updated_at)
       VALUES ($1, 'PENDING', 'none', 'none', 0, 1, 'EUR', 'US', '[]', 'u', 'success', 'c-1', 1, now(), now())`,
      [id],
    );
    await them.query(
      `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
       VALUES ($1, $2, 1, 'OrderCreatedV1', '{}', 'c-1', now() - interval '1 hour')`,
      [request.eventId, id],
    );
    return { id, eventId: request.eventId, commit: () => them.end('COMMIT') };
  }

  it('is never behind the watermark, and is found when it is there', async () => {
    const mark = async () => {
      const [row] = await one.sql<{ passed: boolean }>(
        `SELECT m.xid >= e.xid AS passed FROM watermarks m, events e
         WHERE m.consumer = 'payment' AND e.id = $1`,
        [late.eventId],
      );
      return row?.passed;
    };
    // Everything so far has a delivery: nothing else holds the watermark.
    const deliverAll = () =>
      one.sql(
        `INSERT INTO deliveries (event_id, consumer, order_id, state, token, epoch, attempt, takeovers)
         SELECT id, 'payment', order_id, 'done', gen_random_uuid(), 0, 1, 0 FROM events
         WHERE type = 'OrderCreatedV1' ON CONFLICT DO NOTHING`,
      );
    const late = await placedLate();
    for (let count = 0; count < 3; count += 1) {
      await one.placed();
      await deliverAll();
      await Promise.all([
        one.inbox.missed('payment', 'OrderCreatedV1', 0, 100),
        other.inbox.missed('payment', 'OrderCreatedV1', 0, 100),
      ]);
    }
    await late.commit();
    assert.equal(await mark(), false);
    const { eventIds } = await one.inbox.missed('payment', 'OrderCreatedV1', 0, 100);
    assert.deepEqual(eventIds, [late.eventId]);
    assert.equal(await mark(), false);
    await one.claimed('payment', late.eventId);
    await one.inbox.missed('payment', 'OrderCreatedV1', 0, 100);
    assert.equal(await mark(), true);
  });

  it('is never lost among many writers that commit in any order while several processes scan', async () => {
    const type = 'RacedV1';
    await one.sql(`INSERT INTO watermarks (consumer, type, xid) VALUES ('racer', $1, '0')`, [type]);
    const writers = 4;
    const factsPerWriter = 40;
    let written = 0;
    const write = async () => {
      const client = new Client({ connectionString: url });
      await client.connect();
      for (let count = 0; count < factsPerWriter; count += 1) {
        await client.query('BEGIN');
        await client.query(
          `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
           VALUES (gen_random_uuid(), gen_random_uuid(), 1, $1, '{}', 'c-1', now() - interval '1 hour')`,
          [type],
        );
        await client.query('SELECT pg_sleep($1)', [Math.random() * 0.008]);
        await client.query('COMMIT');
      }
      await client.end();
      written += 1;
    };
    const found = new Set<string>();
    const scan = async (store: Store) => {
      for (let isLast = false; ; ) {
        const { eventIds } = await store.inbox.missed('racer', type, 0, 500);
        for (const eventId of eventIds) {
          found.add(eventId);
          await store.sql(
            `INSERT INTO deliveries (event_id, consumer, order_id, state, token, epoch, attempt, takeovers)
             VALUES ($1, 'racer', gen_random_uuid(), 'done', gen_random_uuid(), 0, 1, 0) ON CONFLICT DO NOTHING`,
            [eventId],
          );
        }
        const [row] = await store.sql<{ lost: number }>(
          `SELECT count(*) AS lost FROM events e JOIN watermarks m USING (type)
           WHERE m.consumer = 'racer' AND e.type = $1 AND e.xid <= m.xid
             AND NOT EXISTS (SELECT FROM deliveries d WHERE d.event_id = e.id AND d.consumer = 'racer')`,
          [type],
        );
        assert.equal(row?.lost, 0, 'the watermark has passed a fact that nobody was given');
        if (isLast && eventIds.length === 0) return;
        isLast = written === writers;
      }
    };
    await Promise.all([...Array.from({ length: writers }, write), scan(one), scan(other)]);
    assert.equal(found.size, writers * factsPerWriter);
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

  it('publish every fact, the first occurrences in the order of each order, also when one freezes and is replaced', async (context) => {
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
      createRelay({ cursors, bus, isShared: true, streamOf: () => 'orders.events.v1', system, log: silentLog });
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
    await until(() => paid.every(isOnBus), 'every fact on the bus');
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

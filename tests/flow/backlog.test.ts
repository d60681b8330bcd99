// The relay alone, on a database whose event log was filled by SQL.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Bus, Message } from '../../src/engine/bus.ts';
import type { Cursors } from '../../src/engine/event-log.ts';
import type { System } from '../../src/engine/ports.ts';
import { createRelay } from '../../src/engine/relay.ts';
import { createCursors } from '../../src/io/postgres/cursors.ts';
import type { Query } from '../../src/io/postgres/database.ts';
import { createSystem } from '../../src/io/system.ts';
import { unread } from '../support/invariants.ts';
import type { Postgres } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { inWorld, silent, slowestTest, startServer, type World } from '../support/world.ts';

let postgres: Postgres;
before(async () => {
  postgres = await startServer();
});
after(() => postgres.stop());

const test = (name: string, story: (world: World) => Promise<void>) =>
  it(name, slowestTest, () => inWorld(postgres, { start: false, check: false }, story));

// Orders with this many events each; the events of one version were all written before those of the next.
async function fillLog(world: World, orders: number, versions: number): Promise<void> {
  await world.sql(`CREATE TABLE filled AS SELECT gen_random_uuid() AS order_id FROM generate_series(1, ${orders})`);
  for (let version = 1; version <= versions; version += 1) {
    await world.sql(
      `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
       SELECT gen_random_uuid(), order_id, $1, 'OrderCreatedV1', '{}', 'c', clock_timestamp() FROM filled`,
      [version],
    );
  }
}

const owed = async (world: World) => (await world.sql(`${unread} AND c.reader = 'relay' LIMIT 1`)).length;

type Parts = Partial<Pick<Cursors<Query>, 'store'>> & { readonly system?: System };

function relayTo(world: World, publish: Bus['publish'], { system = createSystem(), ...more }: Parts = {}) {
  const cursors = { ...createCursors({ database: world.database, system }), ...more };
  const bus = { publish };
  return createRelay({ cursors, bus, streamOf: () => 'orders.events.v1', system, log: silent });
}

// The lease ends, as if its time had passed.
const endLease = (world: World) => world.sql('UPDATE cursors SET lease_until = clock_timestamp()');

// First occurrences only: a repetition is allowed, a later version before an earlier one is not.
function assertInOrder(messages: readonly Message[]): void {
  const last = new Map<string, number>();
  const seen = new Set<string>();
  for (const { id, key, body } of messages) {
    if (seen.has(id)) continue;
    seen.add(id);
    const { sequence } = JSON.parse(body.toString()) as { sequence: string };
    assert.equal(Number(sequence), (last.get(key) ?? 0) + 1, `${key} in the order of its versions`);
    last.set(key, Number(sequence));
  }
}

describe('the relay', () => {
  test('publishes a backlog of 100 000 events, each once and in order per order', async (world) => {
    await fillLog(world, 25_000, 4);
    const messages: Message[] = [];
    const relay = relayTo(world, async (batch) => void messages.push(...batch));
    while ((await relay.runOnce()) > 0);
    assert.equal(messages.length, 100_000);
    assert.equal(new Set(messages.map(({ id }) => id)).size, 100_000);
    assertInOrder(messages);
    // It stores its place four times a second.
    await until(async () => (await relay.runOnce()) === 0 && (await owed(world)) === 0, 'a relay with nothing to do');
  });

  test('repeats what the bus may not have, and keeps the order all the same', async (world) => {
    await fillLog(world, 500, 4);
    const messages: Message[] = [];
    let calls = 0;
    const relay = relayTo(world, async (batch) => {
      calls += 1;
      // A part arrives, the answer does not.
      messages.push(...(calls % 3 === 0 ? batch.slice(0, batch.length / 2) : batch));
      if (calls % 3 === 0) throw new Error('the connection broke');
    });
    const stopping = new AbortController();
    const running = relay.run(stopping.signal);
    await until(async () => (await owed(world)) === 0, 'a relay with nothing to do');
    stopping.abort();
    await running;
    assert.equal(new Set(messages.map(({ id }) => id)).size, 2_000);
    assert.ok(messages.length > 2_000, 'something was repeated');
    assertInOrder(messages);
  });

  test('that dies before it has stored its place leaves all to the next one, once its lease is over', async (world) => {
    await fillLog(world, 200, 3);
    const messages: Message[] = [];
    const publish = async (batch: readonly Message[]) => void messages.push(...batch);
    const dying = relayTo(world, publish, { store: () => Promise.reject(new Error('killed')) });
    await assert.rejects(dying.runOnce(), /killed/);
    assert.ok(messages.length > 0);
    const next = relayTo(world, publish);
    assert.equal(await next.runOnce(), 0, 'the cursor is still held');
    await endLease(world);
    const later = relayTo(world, publish);
    while ((await later.runOnce()) > 0);
    assert.equal(new Set(messages.map(({ id }) => id)).size, 600);
    assertInOrder(messages);
  });

  test('that freezes while it publishes can only repeat what its successor has published', async (world) => {
    await fillLog(world, 200, 3);
    const messages: Message[] = [];
    const gate = Promise.withResolvers<void>();
    const frozen = relayTo(world, async (batch) => {
      await gate.promise;
      messages.push(...batch);
    });
    const waking = frozen.runOnce();
    await until(async () => (await world.sql('SELECT 1 FROM cursors WHERE token IS NOT NULL')).length > 0, 'a lease');
    await endLease(world);
    const successor = relayTo(world, async (batch) => void messages.push(...batch));
    while ((await successor.runOnce()) > 0);
    gate.resolve();
    await waking;
    assert.equal(new Set(messages.map(({ id }) => id)).size, 600);
    assert.equal(messages.length, 600 + 500);
    assertInOrder(messages);
  });

  test('brings an event that was committed late before the later ones of its order', async (world) => {
    const order = '00000000-0000-7000-8000-000000000001';
    const write = (query: Query, version: number) =>
      query(
        `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
         VALUES (gen_random_uuid(), $1, $2, 'OrderCreatedV1', '{}', 'c', clock_timestamp())`,
        [order, version],
      );
    const messages: Message[] = [];
    const relay = relayTo(world, async (batch) => void messages.push(...batch));
    await world.database.transaction(async (query) => {
      await write(query, 1);
      // Written and published meanwhile.
      await fillLog(world, 10, 1);
      assert.equal(await relay.runOnce(), 10);
    });
    await write(world.sql, 2);
    assert.equal(await relay.runOnce(), 2);
    assertInOrder(messages);
  });
});

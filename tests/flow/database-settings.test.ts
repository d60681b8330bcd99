// A database that people have set up for others, too: whatever its role says, orders are what they always are.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { isRefusal } from '../../src/domain/refusals.ts';
import type { PlaceInput } from '../../src/flow/ports.ts';
import type { Postgres } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { inWorld, slowestTest, startServer, type World } from '../support/world.ts';

// Some have several values: a role each.
const roles: readonly Readonly<Record<string, string>>[] = [
  {
    DateStyle: "'German, DMY'",
    IntervalStyle: 'sql_standard',
    TimeZone: "'Asia/Kathmandu'",
    standard_conforming_strings: 'off',
    bytea_output: 'escape',
    extra_float_digits: "'-15'",
    array_nulls: 'off',
    default_transaction_isolation: 'serializable',
    default_transaction_deferrable: 'on',
    client_min_messages: 'debug2',
    row_security: 'off',
    lock_timeout: '1',
  },
  {
    DateStyle: "'SQL, MDY'",
    IntervalStyle: 'iso_8601',
    default_transaction_isolation: "'repeatable read'",
    client_min_messages: 'error',
  },
  { DateStyle: "'Postgres, DMY'", TimeZone: "'America/St_Johns'", enable_indexscan: 'off' },
];

let postgres: Postgres;
before(async () => {
  postgres = await startServer();
});
after(() => postgres.stop());

// What is shown of two orders: one that is processed, and one that fails and is reprocessed.
async function story({ desk, place, ended, settled, sql, database }: World) {
  const before = new Date(Date.now() - 1_000);
  const input: PlaceInput = {
    command: {
      customerEmail: 'jane\\doe@example.com',
      items: [{ sku: "a 'lamp\\", quantity: 3, unitPrice: 3_002_399_751_580_330 }],
    },
    received: { some: 'payload' },
    key: 'a key',
    correlationId: 'c\\1',
    traceparent: null,
  };
  const answers = [await desk.place(input), await desk.place(input)];
  const [first, again] = answers;
  assert.ok(first && again && !isRefusal(first) && !isRefusal(again), JSON.stringify(answers));
  const good = await ended(first.order.id);
  const bad = await ended((await place({ paymentScenario: 'fatal' })).id);
  await settled();
  const deadLetters = await desk.deadLetters({ limit: 1, after: null, consumer: 'payment', code: null });
  const timeline = await desk.timeline(good.id);
  assert.ok(!isRefusal(timeline));
  const any = { words: [], customerEmail: null, productType: null, country: null, from: before, to: null };
  const found = await until(async () => {
    const { items } = await desk.find({ ...any, status: null, limit: 100, after: null });
    return items.length === 2 && items;
  }, 'both orders to be found');
  await until(async () => (await desk.count(any)).FAILED === 1, 'both orders to be counted');
  const analytics = await until(async () => {
    const lines = await desk.analytics.statuses({ from: null, to: null });
    return lines.some(({ status }) => status === 'FAILED') && lines;
  }, 'the analytics');
  const times = [
    good.createdAt,
    good.updatedAt,
    ...timeline.map(({ at }) => at),
    ...deadLetters.items.map(({ failedAt }) => failedAt),
  ];
  const now = new Date();
  assert.ok(
    times.every((time) => time > before && time <= now),
    times.map(String).join(', '),
  );
  const [setting] = await sql<{ isolation: string }>(`SELECT current_setting('transaction_isolation') AS isolation`);
  const inTransaction = await database.transaction((query) => query(`SHOW transaction_isolation`));
  return {
    isolation: [setting, ...inTransaction],
    replayed: [
      again.replayed,
      again.order.id === good.id,
      again.order.createdAt.getTime() === good.createdAt.getTime(),
    ],
    good: [good.status, good.amount, good.customerEmail, good.items, good.correlationId],
    bad: [bad.status, bad.reason?.code],
    deadLetters: deadLetters.items.map(({ code, attempts }) => [code, attempts]),
    // Two that happened in the same moment may stand either way.
    timeline: timeline.map(({ type, outcome }) => `${type} ${outcome}`).sort(),
    found: found.map(({ status }) => status),
    analytics: analytics.map(({ day, ...line }) => ({
      ...line,
      isToday: day === good.createdAt.toISOString().slice(0, 10),
    })),
  };
}

describe('a database', slowestTest, () => {
  let expected: Awaited<ReturnType<typeof story>>;
  it('without settings of its own shows orders as they are', () =>
    inWorld(postgres, {}, async (world) => {
      expected = await story(world);
      assert.deepEqual(expected.good.slice(0, 2), ['PROCESSED', 9_007_199_254_740_990]);
    }));

  for (const settings of roles) {
    it(`whose role has settings of its own changes no answer: ${Object.keys(settings).join(', ')}`, async () => {
      const client = new Client({ connectionString: await postgres.createDatabase() });
      await client.connect();
      try {
        for (const [name, value] of Object.entries(settings)) {
          await client.query(`ALTER ROLE CURRENT_USER SET ${name} = ${value}`);
        }
        await inWorld(postgres, {}, async (world) => assert.deepEqual(await story(world), expected));
      } finally {
        await client.query('ALTER ROLE CURRENT_USER RESET ALL').finally(() => client.end());
      }
    });
  }
});

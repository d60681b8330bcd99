// Readers of the event log beside writers that commit late, roll back, die or hang, on a real server: generated
// schedules of what sessions do one after the other, and a storm in which they do it at once.
//
// Two readers are judged: `counter` counts in its own transaction, so each event exactly once; `relay` keeps what it
// was given, so each event at least once, first occurrences in the order of their versions, and again only what a
// reader that died or froze had not stored.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { Client } from 'pg';
import { type CursorReader, createCursorReader } from '../../src/engine/cursor.ts';
import { createLeasedTurns, createLockedTurns } from '../../src/engine/cursor-turns.ts';
import type { Cursors, LoggedEvent } from '../../src/engine/event-log.ts';
import { createCursors } from '../../src/io/postgres/cursors.ts';
import type { Database, Query } from '../../src/io/postgres/database.ts';
import { createSystem } from '../../src/io/system.ts';
import type { Postgres } from '../support/postgres.ts';
import { silentLog } from '../support/silent-log.ts';
import { connect, startServer } from '../support/store.ts';

const system = createSystem();
let postgres: Postgres;
let url: string;
let elsewhere: string;
let database: Database;

before(async () => {
  postgres = await startServer();
  url = await postgres.createDatabase();
  elsewhere = await postgres.createDatabase();
  database = connect(url, 6);
  await database.query('CREATE TABLE counted (position bigint PRIMARY KEY)');
});
after(async () => {
  await database.close();
  await postgres.stop();
});

const key = ({ event }: LoggedEvent) => `${event.subject.slice(-2)} ${event.version}`;
const orderId = (nth: number) => `00000000-0000-7000-8000-0000000000${String(nth).padStart(2, '0')}`;

async function begin(of: string) {
  const client = new Client({ connectionString: of });
  // One that is terminated says so by an event as well.
  client.on('error', () => {});
  await client.connect();
  await client.query('BEGIN');
  return client;
}

// Statements of a reader that dies: the one that lights the fuse is the last, done or not.
type Fuse = { left: number; isDone: boolean };
// What happens beside a reader's round, before or after its read.
type Beside = { before: (() => Promise<void>) | null; after: (() => Promise<void>) | null };
class KilledError extends Error {}
function dying(cursors: Cursors<Query>, fuse: Fuse, beside: Beside): Cursors<Query> {
  const besides =
    (read: Cursors<Query>['read']): Cursors<Query>['read'] =>
    async (...asked) => {
      const { before, after: later } = beside;
      Object.assign(beside, { before: null, after: null });
      await before?.();
      const seen = await read(...asked);
      await later?.();
      return seen;
    };
  const burn =
    <A extends readonly unknown[], R>(call: (...given: A) => Promise<R>) =>
    async (...given: A): Promise<R> => {
      fuse.left -= 1;
      if (fuse.left === 0 && !fuse.isDone) throw new KilledError();
      const answer = await call(...given);
      if (fuse.left === 0) throw new KilledError();
      return answer;
    };
  return {
    hold: burn(cursors.hold),
    release: cursors.release,
    read: burn(besides(cursors.read)),
    store: burn(cursors.store),
    locked: burn((reader, work) =>
      cursors.locked(reader, (cursor) => {
        const read = besides((_, limit) => cursor.read(limit));
        return work({ ...cursor, read: burn((limit) => read(cursor.state, limit)), store: burn(cursor.store) });
      }),
    ),
  };
}

const never: Fuse = { left: Number.POSITIVE_INFINITY, isDone: true };
// So few that a batch is often cut.
const fewEvents = 4;

const alone = (): Beside => ({ before: null, after: null });

function newRelay(published: string[], { fuse = never, batchMax = fewEvents, beside = alone() } = {}): CursorReader {
  const turns = createLeasedTurns({
    reader: 'relay',
    cursors: dying(createCursors({ database, system }), fuse, beside),
    leaseMs: 60_000,
    storeEveryMs: 0,
    system,
    handle: async (events) => {
      published.push(...events.map(key));
      return [];
    },
  });
  return createCursorReader({ consumer: 'relay', turns, batchMax, pollMs: 5, system, log: silentLog });
}

function newCounter({ fuse = never, batchMax = fewEvents, beside = alone() } = {}): CursorReader {
  const turns = createLockedTurns<Query>({
    reader: 'analytics',
    cursors: dying(createCursors({ database, system }), fuse, beside),
    // An event that is counted twice fails on the key.
    handle: async (query, events) => {
      await query('INSERT INTO counted SELECT unnest($1::bigint[])', [events.map((one) => one.position)]);
      return [];
    },
  });
  return createCursorReader({ consumer: 'analytics', turns, batchMax, pollMs: 5, system, log: silentLog });
}

async function startAnew(): Promise<void> {
  await database.query('TRUNCATE events, counted');
  // Not from the first number: readers begin in the middle of a log, too.
  await database.query(`SELECT setval('events_position', 40)`);
  await database.query(
    `UPDATE cursors SET read_to = CASE reader WHEN 'relay' THEN 40 ELSE 7 END, gaps = '{}', token = NULL, lease_until = '-infinity'`,
  );
}

// The same events must be behind both cursors and what they were for.
async function judge(published: readonly string[]): Promise<void> {
  const rows = await database.query<{ position: number; name: string; order_id: string; counted: boolean }>(
    `SELECT e.position, right(e.order_id::text, 2) || ' ' || e.version AS name, e.order_id, c.position IS NOT NULL AS counted
     FROM events e LEFT JOIN counted c USING (position) ORDER BY e.order_id, e.version`,
  );
  assert.deepEqual(
    rows.filter((row) => !row.counted).map((row) => row.name),
    [],
    'events that are not counted',
  );
  const firsts = [...new Set(published)];
  assert.deepEqual([...firsts].sort(), rows.map((row) => row.name).sort(), 'published is what was committed');
  for (const subject of new Set(rows.map((row) => row.name.slice(0, 2)))) {
    const versions = firsts.filter((name) => name.startsWith(subject)).map((name) => Number(name.slice(3)));
    assert.deepEqual(
      versions,
      [...versions].sort((one, other) => one - other),
      `versions of ${subject}`,
    );
  }
}

const readAll = async (reader: CursorReader) => {
  for (let round = 0; round < 500; round += 1) if ((await reader.runOnce()) === 0) return;
  assert.fail('the reader finds no end');
};

// ORDERLY_SCHEDULES asks for more than a normal run has time for.
const schedules = 15 + Number(process.env.ORDERLY_SCHEDULES ?? 0);
const writers = 4;
const orders = 6;
type Writing =
  | { readonly act: 'write'; readonly writer: number; readonly order: number; readonly events: number }
  | { readonly act: 'undo-part'; readonly writer: number }
  | { readonly act: 'end'; readonly writer: number; readonly how: 'COMMIT' | 'ROLLBACK' | 'terminate' };
type Act =
  | Writing
  | { readonly act: 'stranger'; readonly where: 'here' | 'elsewhere' }
  | { readonly act: 'jump' }
  | {
      readonly act: 'read';
      readonly reader: 'relay' | 'counter';
      readonly rounds: number;
      readonly before: readonly Writing[];
      readonly after: readonly Writing[];
    }
  | { readonly act: 'catch-up' }
  | { readonly act: 'kill'; readonly reader: 'relay' | 'counter'; readonly after: number; readonly isDone: boolean }
  | { readonly act: 'thaw' };

const writer = fc.nat(writers - 1);
const reader = fc.constantFrom('relay' as const, 'counter' as const);
const act = <A extends Act['act']>(name: A) => fc.constant(name);
const write = fc.record({
  ...{ act: act('write'), writer, order: fc.nat(orders - 1), events: fc.integer({ min: 1, max: 3 }) },
});
const how = fc.constantFrom<'COMMIT' | 'ROLLBACK' | 'terminate'>('COMMIT', 'COMMIT', 'ROLLBACK', 'terminate');
const end = fc.record({ act: act('end'), writer, how });
const beside = fc.array(fc.oneof(write, end), { maxLength: 4 });
const acts: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: write },
  { weight: 1, arbitrary: fc.record({ act: act('undo-part'), writer }) },
  { weight: 6, arbitrary: end },
  { weight: 1, arbitrary: fc.record({ act: act('stranger'), where: fc.constantFrom('here', 'elsewhere') }) },
  { weight: 1, arbitrary: fc.record({ act: act('jump') }) },
  {
    weight: 8,
    arbitrary: fc.record({
      ...{ act: act('read'), reader, rounds: fc.integer({ min: 1, max: 3 }), before: beside, after: beside },
    }),
  },
  { weight: 1, arbitrary: fc.record({ act: act('catch-up') }) },
  {
    weight: 3,
    arbitrary: fc.record({ act: act('kill'), reader, after: fc.integer({ min: 1, max: 6 }), isDone: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ act: act('thaw') }) },
);

async function play(schedule: readonly Act[]): Promise<void> {
  await startAnew();
  const open = new Map<number, { client: Client; versions: Map<number, number> }>();
  const versions = new Map<number, number>();
  const strangers: Client[] = [];
  const published: string[] = [];
  const besides = { relay: alone(), counter: alone() };
  const newReader = {
    relay: () => newRelay(published, { beside: besides.relay }),
    counter: () => newCounter({ beside: besides.counter }),
  };
  const readers = { relay: newReader.relay(), counter: newReader.counter() };
  // Relays that froze: they hold what they had in memory, and go on when it suits nobody.
  const frozen: CursorReader[] = [];

  const end = async (nth: number, how: 'COMMIT' | 'ROLLBACK' | 'terminate') => {
    const writing = open.get(nth);
    if (writing === undefined) return;
    open.delete(nth);
    if (how === 'terminate') {
      const { rows } = await writing.client.query('SELECT pg_backend_pid() AS pid');
      await database.query('SELECT pg_terminate_backend($1, 5000)', [rows[0].pid]);
    } else await writing.client.query(how);
    await writing.client.end().catch(() => {});
    if (how === 'COMMIT') for (const [order, version] of writing.versions) versions.set(order, version);
  };
  const isHeld = (order: number, but: number) =>
    [...open].some(([nth, { versions: own }]) => nth !== but && own.has(order));
  const perform: { [A in Act['act']]: (act: Extract<Act, { act: A }>) => Promise<unknown> } = {
    write: async ({ writer: nth, order, events }) => {
      // As the order's row would have it: one writer of an order at a time.
      if (isHeld(order, nth)) return;
      const writing = open.get(nth) ?? { client: await begin(url), versions: new Map() };
      open.set(nth, writing);
      const from = writing.versions.get(order) ?? versions.get(order) ?? 0;
      await writing.client.query(
        `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
         SELECT gen_random_uuid(), $1, $2 + nth, 'OrderCreatedV1', '{}', 'c', now() FROM generate_series(1, $3::int) nth ORDER BY nth`,
        [orderId(order), from, events],
      );
      writing.versions.set(order, from + events);
    },
    'undo-part': async ({ writer: nth }) =>
      open.get(nth)?.client.query(
        `SAVEPOINT part; INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
         VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'OrderCreatedV1', '{}', 'c', now()); ROLLBACK TO part`,
      ),
    end: ({ writer: nth, how }) => end(nth, how),
    // One that has an id, and so holds back what every snapshot of the server calls its oldest transaction.
    stranger: async ({ where }) => {
      const client = await begin(where === 'here' ? url : elsewhere);
      await client.query('SELECT pg_current_xact_id()');
      strangers.push(client);
    },
    jump: () => database.query(`SELECT setval('events_position', (SELECT last_value + 33 FROM events_position))`),
    read: async ({ reader: name, rounds, before: early, after: late }) => {
      const all = (some: readonly Writing[]) => async () => {
        for (const one of some) await perform[one.act](one as never);
      };
      Object.assign(besides[name], { before: all(early), after: all(late) });
      for (let round = 0; round < rounds; round += 1) await readers[name].runOnce();
      Object.assign(besides[name], alone());
    },
    // Whoever is open: what is committed is read.
    'catch-up': async () => {
      await readAll(readers.relay);
      await readAll(readers.counter);
      await judge(published);
    },
    kill: async ({ reader: name, after: left, isDone }) => {
      const fuse = { left, isDone };
      const victim = name === 'relay' ? newRelay(published, { fuse }) : newCounter({ fuse });
      if (name === 'relay') {
        frozen.push(readers.relay);
        await database.query(`UPDATE cursors SET lease_until = '-infinity'`);
      }
      for (let round = 0; round < 4; round += 1) {
        try {
          await victim.runOnce();
        } catch (error) {
          assert.ok(error instanceof KilledError, String(error));
          break;
        }
      }
      await database.query(`UPDATE cursors SET lease_until = '-infinity'`);
      if (name === 'relay') readers.relay = newReader.relay();
    },
    thaw: async () => {
      await frozen.shift()?.runOnce();
      await database.query(`UPDATE cursors SET lease_until = '-infinity'`);
    },
  };

  try {
    for (const act of schedule) await perform[act.act](act as never);
    for (const nth of [...open.keys()]) await end(nth, 'COMMIT');
    await perform['catch-up']({ act: 'catch-up' });
    for (const client of strangers.splice(0)) await client.end();
    // Nothing is open any more: the next looks forget every gap.
    for (let round = 0; round < 3; round += 1) {
      await end(0, 'COMMIT');
      await perform.write({ act: 'write', writer: 0, order: 0, events: 1 });
      await end(0, 'COMMIT');
      await perform['catch-up']({ act: 'catch-up' });
    }
    const rows = await database.query<{ reader: string; gaps: string }>(
      `SELECT reader, gaps::text FROM cursors WHERE reader IN ('relay', 'analytics') AND NOT isempty(gaps)`,
    );
    assert.deepEqual(rows, [], 'gaps that are never forgotten');
  } finally {
    for (const nth of [...open.keys()]) await end(nth, 'ROLLBACK').catch(() => {});
    for (const client of strangers) await client.end();
  }
}

describe('a cursor', { timeout: 170_000 }, () => {
  it('skips nothing and repeats nothing, whoever commits late, rolls back, dies, hangs or jumps beside it', async () => {
    await fc.assert(fc.asyncProperty(fc.array(acts, { minLength: 5, maxLength: 60, size: 'max' }), play), {
      ...{ numRuns: schedules, seed: 7 },
      // What fails is replayed by the seed and path that are printed; without this it is made smaller.
      endOnFailure: true,
    });
  });

  it('waits for a transaction that has its number and has written nothing yet', async () => {
    await startAnew();
    const [row] = await database.query<{ number: string }>(
      `SELECT pg_get_expr(adbin, adrelid) AS number FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
       WHERE adrelid = 'events'::regclass AND attname = 'position'`,
    );
    // The first number after a setting is written to the log, which gives its transaction an id by itself.
    await database.query(`SELECT nextval('events_position')`);
    const late = await begin(url);
    const { rows } = await late.query(`SELECT ${row?.number} AS position`);
    const insert = (position: unknown, order: number) =>
      `INSERT INTO events (id, order_id, version, type, data, correlation_id, time, position)
       VALUES (gen_random_uuid(), '${orderId(order)}', 1, 'OrderCreatedV1', '{}', 'c', now(), ${position})`;
    const [published, counter] = [[] as string[], newCounter()];
    const relay = newRelay(published);
    for (let order = 1; order <= 4; order += 1) {
      await database.query(insert('DEFAULT', order));
      for (const reader of [relay, counter]) await readAll(reader);
    }
    await late.query(insert(rows[0].position, 0));
    await late.query('COMMIT');
    await late.end();
    for (const reader of [relay, counter]) await readAll(reader);
    await judge(published);
  });

  it('does not take its own transaction for younger than one that began beside it', async () => {
    await startAnew();
    const insert = (order: number) =>
      `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
       VALUES (gen_random_uuid(), '${orderId(order)}', 1, 'OrderCreatedV1', '{}', 'c', now())`;
    const published: string[] = [];
    await database.query(insert(1));
    const newReaders = [
      (beside: Beside) => newRelay(published, { beside }),
      (beside: Beside) => newCounter({ beside }),
    ];
    const readers: CursorReader[] = [];
    for (const [nth, newReader] of newReaders.entries()) {
      await readAll(newReader(alone()));
      await database.query(`UPDATE cursors SET lease_until = '-infinity'`);
      const late = await begin(url);
      // The reader has its row, and has not looked yet.
      const before = async () => {
        await late.query(insert(2 + 2 * nth));
        await database.query(insert(3 + 2 * nth));
      };
      const reader = newReader({ before, after: null });
      readers.push(reader);
      for (let round = 0; round < 4; round += 1) {
        await reader.runOnce();
        await database.query(insert(10 + 4 * nth + round));
      }
      await late.query('COMMIT');
      await late.end();
    }
    for (const reader of readers) await readAll(reader);
    await judge(published);
  });

  it('skips nothing and repeats nothing in a storm of writers', async () => {
    await startAnew();
    const published: string[] = [];
    let isOver = false;
    const write = async (nth: number) => {
      const client = new Client({ connectionString: url });
      await client.connect();
      let version = 0;
      for (let round = 0; !isOver; round += 1) {
        // From the round alone, so that a failure can be looked at again.
        const chance = (nth * 7_919 + round * 104_729) % 100;
        const events = 1 + (chance % 3);
        await client.query('BEGIN');
        await client.query(
          `INSERT INTO events (id, order_id, version, type, data, correlation_id, time)
           SELECT gen_random_uuid(), $1, $2 + nth, 'OrderCreatedV1', '{}', 'c', now() FROM generate_series(1, $3::int) nth ORDER BY nth`,
          [orderId(nth), version, events],
        );
        if (chance < 30) await pause(chance % 10);
        const isKept = chance % 5 > 0;
        await client.query(isKept ? 'COMMIT' : 'ROLLBACK');
        if (isKept) version += events;
      }
      await client.end();
    };
    const stopping = new AbortController();
    const many = { batchMax: 100 };
    const reading = [newRelay(published, many), newRelay(published, many), newCounter(many), newCounter(many)].map(
      (one) => one.run(stopping.signal),
    );
    const writing = Array.from({ length: 6 }, (_, nth) => write(nth));
    await pause(3_000);
    isOver = true;
    await Promise.all(writing);
    stopping.abort();
    await Promise.all(reading);
    await readAll(newRelay(published, many));
    await readAll(newCounter(many));
    await judge(published);
    assert.equal(new Set(published).size, published.length, 'nothing is published twice while nobody dies');
  });
});

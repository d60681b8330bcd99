// The model of PostgreSQL against PostgreSQL and PGlite: the same operations of the real store, statement by
// statement in the same order, must get the same answers, block each other at the same places and leave the
// same rows. ORDERLY_SCHEDULES asks for more schedules than a normal run has time for.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { OrderId } from '../../src/domain/order.ts';
import type { OrderRecord } from '../../src/domain/order-record.ts';
import { createAccept } from '../../src/io/postgres/accept.ts';
import type { Database, Query } from '../../src/io/postgres/database.ts';
import { writeDeadLetters } from '../../src/io/postgres/dead-letters.ts';
import { createDependencies } from '../../src/io/postgres/dependencies.ts';
import {
  claimJobsIfUnchanged,
  deleteJobsIfHeld,
  type JobClaim,
  lockOrdersOfDueJobs,
  pauseJobsIfHeld,
} from '../../src/io/postgres/jobs.ts';
import { lockOrder, updateOrdersIfUnchanged } from '../../src/io/postgres/orders.ts';
import { createSystem } from '../../src/io/system.ts';
import { effectWith, orderWith, someToken } from '../support/orders.ts';
import { troubleOf } from '../support/store.ts';
import { type Backend, settled } from './model/differential/backend.ts';
import { openModel, openPglite, openPostgres } from './model/differential/backends.ts';
import { plain } from './model/differential/compare.ts';
import { type Run, runSchedule, type Schedule } from './model/differential/lockstep.ts';
import { statements } from './model/server.ts';

const schedules = 24 + Number(process.env.ORDERLY_SCHEDULES ?? 0);
const serialSchedules = 6;
// Fewer than these would hardly be in each other's way.
const blockedMin = 40;
const failedMin = 8;
// A held job is due after two seconds; a run that was interrupted for so long is made again.
const runMsMax = 1_500;
const runsMax = 5;

// Asked by tools and by a start, or of an empty database: no running engine sends them.
const notModelled: Readonly<Record<string, string>> = {
  'find-missing-subscription': 'the start and the readiness probe',
  'lock-subscriptions': 'migrating',
  'lock-migrations': 'migrating',
  'enter-subscriptions': 'migrating',
  'find-schema': 'migrating',
  'find-schema-version': 'the start',
  'read-schema-version': 'the start',
  'look-around': 'the start and the readiness probe',
  'look-for-rights': 'the start and the readiness probe',
  'look-whether-back': 'a server that was away',
  'look-whether-read-only': 'a new connection to a server',
  'check-positions': 'the start',
  'read-undocumented': 'the search on the database itself',
  'gauge-jobs': 'the metrics',
  'gauge-dead-letters': 'the metrics',
  'gauge-cursors': 'the metrics',
  'gauge-pauses': 'the metrics',
  'gauge-tables': 'the metrics',
  'gauge-server': 'the metrics',
  'group-dead-letters': 'what operators look at',
  'group-dead-letters-by-cause': 'what operators look at',
  'find-end-of-look': 'what operators look at',
  'count-dead-letters': 'what operators look at',
  'read-dead-letter': 'what operators look at',
  'read-dead-letters-ever': 'what operators look at',
  'read-event-of-dead-letter': 'what operators look at',
  'read-attempts': 'what operators look at',
  'read-audit': 'what operators look at',
  'find-end-of-audit-look': 'what operators look at',
  'start-replay': 'a replay',
  'list-replays': 'a replay',
  'read-replay': 'a replay',
  'move-replay': 'a replay',
  'claim-replays': 'a replay',
  'hold-replay': 'a replay',
  'pick-for-replay': 'a replay',
  'take-replay-turn': 'a replay',
  'note-replay-letter': 'a replay',
  'advance-replay': 'a replay',
  'end-replay': 'a replay',
  'read-order-of-letter': 'a replay',
  'judge-replay': 'a replay',
  'read-down': 'what operators look at',
  'count-jobs': 'what operators look at',
  'count-dead-letters-by-consumer': 'what operators look at',
  'read-cursor-places': 'what operators look at',
  'read-processes': 'what operators look at',
  'list-jobs': 'what operators look at',
  'read-jobs-by-key': 'what operators look at',
  'tell-process': 'what a process tells of itself',
  'remove-process': 'what a process tells of itself',
  'read-pauses': 'a pause',
  'remove-ended-pauses': 'a pause',
  'write-pause': 'a pause',
  'look-whether-over': 'a pause',
  'end-pause': 'a pause',
  'correct-email': 'an address, which decides nothing',
  'write-documents': 'the search, which the simulation has as a partner',
  'find-newest': 'the search',
  'find-among-newest': 'the search',
  'find-by-words': 'the search',
  'count-by-status': 'the search',
  'share-of-newest': 'the search',
  'read-histories-after': 'the rebuild of the search',
  'take-rebuild': 'the rebuild',
  'restart-rebuild': 'the rebuild',
  'save-rebuild': 'the rebuild',
  'release-rebuild': 'the rebuild',
  'finish-rebuild': 'the rebuild',
  'start-rebuild-cursor': 'the rebuild',
  'put-search-back': 'the rebuild',
  'estimate-orders': 'the rebuild',
};
const notModelledPrefix = 'verify-';

const hourMs = 3_600_000;
// The same for all databases: events are an hour old by the clock of each.
const startMs = Date.now();
const exercised = new Set<string>();

async function runUndisturbed(backend: Backend, schedule: Schedule): Promise<Run> {
  for (let runs = 1; runs <= runsMax; runs += 1) {
    const run = await runSchedule(backend, schedule, startMs);
    if ((run.ticks.at(-1) ?? 0) - (run.ticks[0] ?? 0) < runMsMax) return run;
  }
  throw new Error('this machine is too slow to tell what is due');
}

async function compare(real: Backend, schedule: Schedule): Promise<Run> {
  const expected = await runUndisturbed(real, schedule);
  const model = openModel(schedule.workers, expected.ticks);
  const found = await runSchedule(model, { ...schedule, replay: expected.choices }, startMs);
  for (const name of found.names) exercised.add(name);
  assert.deepEqual(model.server().mistakes, []);
  const length = Math.max(expected.lines.length, found.lines.length);
  for (let at = 0; at < length; at += 1) {
    if (expected.lines[at] === found.lines[at]) continue;
    const before = expected.lines.slice(Math.max(0, at - 3), at).map((line) => `both        ${line}`);
    const both = [`${real.name}  ${expected.lines[at]}`, `the model   ${found.lines[at]}`];
    assert.fail(`seed ${schedule.seed}: ${real.name} and the model differ\n${[...before, ...both].join('\n')}`);
  }
  return expected;
}

describe('the model of PostgreSQL', () => {
  let postgres: Backend;
  before(async () => {
    postgres = await openPostgres(3);
  });
  after(() => postgres?.close());

  it('answers and blocks like PostgreSQL, statement by statement', async () => {
    const counts = { blocked: 0, failed: 0 };
    for (let seed = 1; seed <= schedules; seed += 1) {
      const run = await compare(postgres, { seed, workers: 2 + (seed % 2), steps: 200, replay: null });
      counts.blocked += run.counts.blocked;
      counts.failed += run.counts.failed;
    }
    assert.ok(counts.blocked >= blockedMin && counts.failed >= failedMin, JSON.stringify(counts));
  });

  it('answers like PostgreSQL and PGlite where nobody is in the way', async () => {
    const pglite = await openPglite();
    try {
      for (let seed = 1_001; seed <= 1_000 + serialSchedules; seed += 1) {
        const schedule = { seed, workers: 1, steps: 200, replay: null };
        await compare(postgres, schedule);
        await compare(pglite, schedule);
      }
    } finally {
      await pglite.close();
    }
  });

  it('queues for a row, looks at it again after a wait, and ends what has failed as PostgreSQL does', async () => {
    const [expected, found] = await Promise.all([postgres, openModel(3, [startMs, startMs])].map(playScenes));
    assert.deepEqual(found, expected);
    assert.match(String(expected), /1: 55P03/);
  });

  it('knows every statement of the running system, and the comparison exercises each', () => {
    const folder = join(import.meta.dirname, '../../src/io/postgres');
    const sources = readdirSync(folder).filter((name) => name.endsWith('.ts'));
    const names = sources.flatMap((name) =>
      [...readFileSync(join(folder, name), 'utf8').matchAll(/\/\* ([a-z0-9-]+) \*\//g)].map((match) => match[1] ?? ''),
    );
    const asked = names.filter((name) => !(name in notModelled) && !name.startsWith(notModelledPrefix));
    assert.deepEqual(Object.keys(statements).sort(), [...new Set(asked)].sort());
    assert.deepEqual(
      Object.keys(statements).filter((name) => !exercised.has(name)),
      [],
    );
  });
});

// What the schedules leave to chance: who comes next, what a wait finds in the end, limits, failed transactions.
async function playScenes(backend: Backend): Promise<string[]> {
  await backend.reset();
  const trace: string[] = [];
  const inFlight = new Set<number>();
  const players = backend.connections.slice(0, 3).map((_, index) => ({ isInFlight: () => inFlight.has(index) }));
  const queryOf =
    (index: number): Query =>
    async <R extends object>(text: string, values?: readonly unknown[]) => {
      inFlight.add(index);
      const answer = backend.connections[index]?.query(text, values);
      return ((await answer?.finally(() => inFlight.delete(index)))?.rows ?? []) as R[];
    };

  let steps = 0;
  let said: string[] = [];
  const play = async (index: number, what: string, ask: (query: Query) => Promise<unknown>) => {
    steps += 1;
    backend.tick(steps);
    ask(queryOf(index)).then(
      (value) => said.push(`${index}: ${what} ${plain(value)}`),
      (error) => said.push(`${index}: ${(error as { code: string }).code}`),
    );
    const waits = await settled(backend, players);
    trace.push(`${said.sort().join(', ')}; waiting: ${[...waits.keys()].sort()}`);
    said = [];
  };
  const say = (index: number, text: string) => play(index, text, (query) => query(text).then(() => 'ok'));
  const lock = (index: number, id = order.id) =>
    play(index, 'lock', async (query) => (await lockOrder(query, id))?.order.version ?? 'none');
  const raise = (index: number, from: number, effects: OrderRecord['effects'] = {}) => {
    const at = (version: number, effects = {}) => ({ order: { ...order, version }, effects });
    const update = { from: at(from), to: at(from + 1, effects) };
    return play(index, 'raise', (query) => updateOrdersIfUnchanged(query, [update]));
  };
  const place = (index: number, key: string, id: string) =>
    play(index, 'place', async (query) => {
      const data = { orderId: id, amount: 1, currency: 'EUR', country: 'US' };
      const event = { type: 'OrderCreatedV1', version: 1, data } as const;
      const request = {
        order: { ...order, id: id as OrderId },
        event,
        eventId: id,
        key,
        fingerprint: Buffer.alloc(32),
      };
      const database = { query, once: query } as Database;
      const accept = createAccept({ database, system: createSystem(), leaseMs: hourMs, onCommitted: () => {} });
      return (await accept([request])).map(plainAnswer);
    });
  const order = orderWith({ createdAt: new Date(startMs - hourMs) });
  const another = someToken as OrderId;
  const [firstOfKey, secondOfKey, third, fourth] = [3, 4, 5, 6].map(
    (digit) => `01993b1e-7c3a-7d4e-9f10-2b6c8d0e4f1${digit}`,
  ) as [string, string, string, string];

  await place(0, 'first', order.id);
  await place(0, 'second', another);

  trace.push('Who waits for a row gets it in the order in which they came');
  for (const index of [0, 1, 2]) await say(index, 'BEGIN');
  for (const index of [0, 1, 2]) await lock(index);
  for (const index of [0, 1, 2]) await say(index, 'COMMIT');

  trace.push('A guard is asked again on the row as it is after the wait');
  for (const end of ['COMMIT', 'ROLLBACK']) {
    await say(0, 'BEGIN');
    await raise(0, end === 'COMMIT' ? 1 : 2);
    await raise(1, end === 'COMMIT' ? 1 : 2);
    await lock(2);
    await say(0, end);
  }

  trace.push('A key that somebody else is writing is waited for');
  for (const end of ['ROLLBACK', 'COMMIT']) {
    await say(0, 'BEGIN');
    await place(0, `key of a ${end}`, firstOfKey);
    await place(1, `key of a ${end}`, secondOfKey);
    await say(0, end);
  }

  trace.push('Each guard holds, also where the code before it has not looked');
  const job = { consumer: 'payment', subject: order.id as string, version: 1 };
  const claim: JobClaim = { ...job, before: null, token: someToken, attempt: 1, takeovers: 0 };
  const claims = [claim, { ...claim, token: order.id }, { ...claim, before: someToken, token: order.id }];
  for (const one of claims) await play(0, 'claim', (query) => claimJobsIfUnchanged(query, [one], hourMs));
  const held = { ...job, token: someToken };
  const pause = { ...held, dueInMs: 0, attempt: 0, takeovers: 0, isCharged: false };
  for (const one of [{ ...pause, token: order.id }, pause, pause])
    await play(0, 'pause', (query) => pauseJobsIfHeld(query, [one]));
  await play(0, 'claim', (query) => claimJobsIfUnchanged(query, [claim], 0));
  // A lease that is over may be taken, by whoever knows whose it was.
  const taken = { ...claim, before: someToken, token: order.id };
  await play(0, 'claim', (query) => claimJobsIfUnchanged(query, [taken], hourMs));
  const ends = [held, { ...job, token: order.id }, { ...job, token: order.id }];
  for (const one of ends) await play(0, 'end', (query) => deleteJobsIfHeld(query, [one]));
  for (const id of [order.id, another]) {
    const deadLetter = {
      ...{ ...job, id, eventId: order.id, eventType: 'OrderCreatedV1', epoch: 0, attempts: 1 },
      ...{ failedAt: order.createdAt, trouble: troubleOf() },
    };
    await play(0, 'dead letter', (query) => writeDeadLetters(query, [deadLetter]));
  }

  trace.push('A look finds what is due, longest first, no more than it may, and passes by what is locked');
  const look = (index: number, limit: number, more: object = {}) =>
    play(index, `look for ${limit}`, async (query) => {
      const known = { types: ['OrderCreatedV1'], dependencies: ['payments'], patienceMs: 0, floor: new Date(0) };
      const asked = { ...known, consumer: 'payment', sought: 'due' as const, limit, ...more };
      return (await lockOrdersOfDueJobs(query, asked)).map((row) => row.order_id);
    });
  await place(0, 'third', third);
  await look(0, 1);
  await look(0, 100);
  await say(0, 'BEGIN');
  await lock(0, another);
  await look(1, 1);
  await look(1, 100);
  await say(0, 'COMMIT');
  // now() is the begin of the transaction: what became due after it is not yet.
  await say(1, 'BEGIN');
  await place(0, 'fourth', fourth);
  await look(1, 100);
  await say(1, 'COMMIT');
  await look(1, 100);
  await look(1, 100, { types: [] });
  await look(1, 100, { types: [], sought: 'unknown-version' });
  await look(1, 100, { sought: 'waited-too-long' });
  await play(0, 'down', (query) => createDependencies({ query } as Database).down('payments'));
  await look(1, 100, { sought: 'waited-too-long' });
  await look(1, 100, { sought: 'waited-too-long', patienceMs: hourMs });
  await play(0, 'up', (query) => createDependencies({ query } as Database).up('payments'));
  await look(1, 100, { sought: 'waited-too-long' });

  trace.push('What has failed has freed its locks, and takes no statement but its end');
  await say(0, 'BEGIN');
  await lock(0);
  await raise(0, 3, { booking: effectWith('booking', { state: 'done' }) });
  await raise(1, 3);
  await lock(0);
  await say(0, 'COMMIT');
  await lock(0);

  trace.push('Who closes a circle of waits is sent away');
  for (const index of [0, 1]) await say(index, 'BEGIN');
  await lock(0);
  await lock(1, another);
  await lock(0, another);
  await lock(1);
  for (const index of [1, 0]) await say(index, 'ROLLBACK');

  trace.push('Nobody waits longer than its limit');
  await say(0, 'BEGIN');
  await lock(0);
  await say(1, 'BEGIN; SET LOCAL lock_timeout = 20');
  const late = lockOrder(queryOf(1), order.id).catch((error) => trace.push(`1: ${error.code}`));
  while (inFlight.has(1)) await backend.blockers([1]).then(() => turn());
  await late;
  for (const index of [0, 1]) await say(index, 'ROLLBACK');
  return trace;
}

const plainAnswer = (answer: string | { readonly answer: string }) =>
  typeof answer === 'string' ? answer : answer.answer;

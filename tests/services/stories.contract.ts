// The core story over a bus, with real servers and every role a process of its own: all scenarios, dead
// letters and their way back, a cancel, a worker more, dead ones, an outage, a bus that forgets.
//
// `verify --ledger`, a process of its own too, has the last word each time.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { consumerNames, coreConsumers } from '../../src/flow/subscriptions.ts';
import { type Client, type Scenario, startLoad } from '../support/client.ts';
import { type Installation, inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import type { Running, Settings } from '../support/process.ts';
import { readSamples } from '../support/prometheus.ts';
import * as servers from '../support/services.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';
import { type BusKind, type BusServer, openBusServer } from './bus-server.ts';

// The core steps in processes of their own, the others together: what counts is that all of them are apart.
const coreWorkers = coreConsumers.map((name) => `worker ${name}` as const);
const others = consumerNames.filter((name) => !coreConsumers.includes(name));
const roles = ['api', 'relay', ...coreWorkers, `worker ${others.join(' ')}` as const] as const;
type Role = (typeof roles)[number];
export const mixed: readonly Scenario[] = ['success', 'flaky', 'success', 'failure', 'success', 'lost-answer'];
// What the contract says of each scenario: status, payment, the most attempts of payment, a dead letter or not.
const contract: Readonly<Record<Scenario, readonly [string, string, number, boolean]>> = {
  success: ['PROCESSED', 'authorized', 1, false],
  failure: ['CANCELED', 'declined', 1, false],
  flaky: ['PROCESSED', 'authorized', 3, false],
  timeout: ['PROCESSED', 'authorized', 2, false],
  'lost-answer': ['PROCESSED', 'authorized', 2, false],
  outage: ['FAILED', 'none', 4, true],
  fatal: ['FAILED', 'none', 1, true],
};
const scenarios = Object.keys(contract) as Scenario[];
// OUTAGE_SECONDS says otherwise, as it does for the partners.
const awayMs = Number(process.env.OUTAGE_SECONDS ?? 60) * 1_000;
// A dozen processes and their servers share two cores here: a call that is well may take its time. An API that
// stops answers on for a moment, as one behind a balancer does.
export const patient: Settings = {
  ORDER_WORKER_LEASE_MS: 8_000,
  ORDER_WORKER_TIMEOUT_MS: 5_000,
  DATABASE_POOL_MAX: 3,
  SHUTDOWN_DRAIN_MS: 1_000,
};

export function storyContract(kind: BusKind): void {
  describe(`orders over ${kind}, every role a process`, { timeout: 9 * slowestTest.timeout }, () => {
    let postgres: Postgres;
    let bus: BusServer;
    before(async () => {
      postgres = await startServer();
    });
    after(() => postgres.stop());

    // A bus that holds nothing of the stories before. Ends when a stranger has looked at database and partners.
    const story = (promise: string, tell: (stage: Installation & Cast) => Promise<void>) =>
      it(promise, async () => {
        bus = await openBusServer(kind);
        try {
          await inInstallation(postgres, { ...bus.settings, ...patient }, async (installation) => {
            await tell({ ...installation, ...(await startAll(installation)) });
            const { processes, settings, sandbox } = installation;
            const { code, stdout, stderr } = await processes.run(['verify', '--ledger', sandbox().url], settings);
            assert.equal(code, 0, stdout + stderr);
          });
        } finally {
          await bus.close();
        }
      });

    story(
      'end as their scenario says, and what gave up comes back by its dead letter',
      async ({ client, audited, sql, get, post, reaches }) => {
        const placed = await Promise.all(
          scenarios.map(async (scenario) => ({ scenario, ...(await client.place({ scenario })) })),
        );
        await audited();
        const deadLetters = (await get('/dlq')) as { items: { orderId: string }[] };
        for (const { scenario, orderId } of placed) {
          const [status, payment, attemptsMax, hasDeadLetter] = contract[scenario];
          const order = (await get(`/orders/${orderId}`)) as Record<string, unknown>;
          assert.deepEqual([order.status, order.payment], [status, payment], scenario);
          assert.equal(
            deadLetters.items.some((deadLetter) => deadLetter.orderId === orderId),
            hasDeadLetter,
            scenario,
          );
          const [row] = await sql<{ attempt: number }>(
            `SELECT max(attempt) AS attempt FROM (
               SELECT attempt FROM attempts WHERE order_id = $1 AND consumer = 'payment'
               UNION ALL SELECT attempt FROM events WHERE order_id = $1 AND type LIKE 'Payment%') AS seen`,
            [orderId],
          );
          assert.ok(row && row.attempt <= attemptsMax, `${scenario}: ${row?.attempt} attempts`);
        }

        const idOf = (scenario: Scenario) => placed.find((one) => one.scenario === scenario)?.orderId ?? '';
        assert.equal(await post(`/dlq/${idOf('outage')}/reprocess`), 202);
        assert.equal(await post(`/dlq/${idOf('fatal')}/reprocess`), 202);
        await reaches(idOf('outage'), 'PROCESSED');
        await reaches(idOf('fatal'), 'FAILED');
      },
    );

    story(
      'hold nothing once they are canceled while the provider keeps silent',
      async ({ client, direct, hanging, audited }) => {
        await direct({ call: 'authorize', act: 'hang-after' });
        const { orderId } = await client.place();
        await hanging(1);
        await client.cancel(orderId);
        await audited({ retriesMore: 1 });
      },
    );

    story(
      'are shared by a worker that is started beside another, and go on when one of them is killed',
      async ({ client, audited, startRole, of }) => {
        const load = startLoad(client, { scenarios: mixed });
        await load.more(30);
        const second = await startRole('worker payment', { WORKER_PORT: 0 });
        await until(async () => (await paymentsOf(second)) > 5, 'work of the second worker');
        await of('worker payment').kill9();
        await load.more(40);
        await load.stop();
        await audited();
      },
    );

    story(
      'lose nothing when their relay is killed: another one takes its cursor',
      async ({ client, audited, startRole, sql, of }) => {
        const owners = () =>
          sql<{ token: string }>(
            `SELECT token FROM cursors WHERE reader = 'relay' AND lease_until > clock_timestamp()`,
          );
        const [first] = await until(
          async () => ((await owners()).length === 1 ? owners() : null),
          'a relay with the cursor',
        );
        await startRole('relay');
        const load = startLoad(client, { scenarios: mixed });
        await load.more(40);
        assert.deepEqual(await owners(), [first], 'the cursor belongs to one relay at a time');
        await of('relay').kill9();
        await until(
          async () => (await owners()).some(({ token }) => token !== first?.token),
          'the cursor in other hands',
        );
        await load.more(40);
        await load.stop();
        await audited();
      },
    );

    story(
      'charge no attempt and fail nobody while all roles are replaced one after the other',
      async ({ client, audited, startRole, sql, of }) => {
        const load = startLoad(client, { scenarios: ['success'], customers: 2, pauseMs: 100 });
        await load.more(30);
        for (const role of roles) {
          const old = of(role);
          await startRole(role);
          old.signal('SIGTERM');
          assert.equal(await old.exit(), 0, old.said());
          assert.equal(old.log().at(-1)?.msg, 'stopped');
          await load.more(20);
        }
        await load.stop();
        assertNoneFailed(client);
        await audited({ patienceMs: 60_000 });
        assert.deepEqual(await sql(`SELECT * FROM attempts WHERE outcome NOT IN ('wait', 'done')`), []);
      },
    );

    story(
      `are taken while the broker is away for ${awayMs / 1_000} s, and all are worked off afterwards`,
      async ({ client, audited, sql }) => {
        const load = startLoad(client, { scenarios: ['success'], customers: 2, pauseMs: 200 });
        await load.more(10);
        await servers.stop(kind);
        const before = client.acknowledged.size;
        // How long it lasts is what this is about.
        await pause(awayMs);
        assert.ok(client.acknowledged.size > before, 'orders are taken all the while');
        await servers.start(kind);
        await load.more(10);
        await load.stop();
        assertNoneFailed(client);
        await audited({ patienceMs: 60_000 });
        assert.deepEqual(await sql('SELECT consumer, code FROM dead_letters'), []);
      },
    );

    story('come to their end when the bus forgets everything on the way', async ({ client, audited }) => {
      const load = startLoad(client, { scenarios: mixed });
      await load.more(40);
      await bus.wipe();
      await load.more(40);
      await bus.wipe();
      await load.stop();
      await audited({ patienceMs: 60_000 });
    });
  });
}

type Cast = Awaited<ReturnType<typeof startAll>>;

// All roles on one installation, each a process of its own.
async function startAll({ startRole }: Installation) {
  const all = new Map<Role, Running>();
  await Promise.all(roles.map(async (role) => all.set(role, await startRole(role, { WORKER_PORT: 0 }))));
  const of = (role: Role): Running => {
    const process = all.get(role);
    assert.ok(process);
    return process;
  };
  const { url } = of('api');
  const get = async (path: string) => (await fetch(`${url}${path}`)).json() as Promise<Record<string, unknown>>;
  return {
    of,
    get,
    post: async (path: string) => (await fetch(`${url}${path}`, { method: 'POST' })).status,
    reaches: (orderId: string, status: string) =>
      until(async () => (await get(`/orders/${orderId}`)).status === status, `the order ${orderId} to be ${status}`),
  };
}

function assertNoneFailed({ statuses }: Client): void {
  for (const status of [0, 503, 504]) assert.equal(statuses.get(status), undefined, `answered ${status}`);
}

// How many attempts of payment this worker has ended.
async function paymentsOf({ url }: Running): Promise<number> {
  const samples = readSamples(await (await fetch(`${url}/metrics`)).text());
  return samples.get('orderly_jobs_total{consumer="payment",end="done"}') ?? 0;
}

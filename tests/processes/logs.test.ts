// What the processes write to their logs: whether a person finds an order and an outage in them, and nobody a customer.

import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { inInstallation, slowestTest } from '../support/installation.ts';
import type { Postgres } from '../support/postgres.ts';
import type { LogLine, Running } from '../support/process.ts';
import { until } from '../support/until.ts';
import { startServer } from '../support/world.ts';

describe('the log of a process', slowestTest, () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startServer();
  });
  after(() => postgres.stop());

  it('has a line for each step of an order, with its ids, and says who writes it and with which settings', async () => {
    await inInstallation(postgres, {}, async ({ start, client, audited }) => {
      const orderly = await start();
      const { orderId } = await client.place({ scenario: 'flaky' });
      await audited({ retriesMore: 2 });
      await until(() => linesOf(orderly, orderId).length >= 7, 'the lines of the order');
      const lines = linesOf(orderly, orderId);
      assert.deepEqual(
        lines.filter(({ consumer }) => consumer === 'payment').map(({ msg }) => msg),
        ['attempt failed; it is retried', 'attempt failed; it is retried', 'step done'],
      );
      for (const msg of ['order accepted', 'order ended'])
        assert.equal(lines.filter((one) => one.msg === msg).length, 1);
      for (const line of orderly.log()) {
        const { service, role, host, pid } = line;
        assert.deepEqual([service, role, host, pid], ['orderly', 'start', hostname(), orderly.pid]);
      }
      for (const { eventId, correlationId, consumer, attempt, msg } of lines) {
        assert.ok(eventId && correlationId && (msg.startsWith('order ') || (consumer && attempt)), msg);
      }
      const [started] = orderly.log().filter(({ msg }) => msg.startsWith('Orderly is running at '));
      assert.ok(started);
      const { DATABASE_URL, ORDER_WORKER_LEASE_MS } = started.settings as Record<string, unknown>;
      assert.match(`${DATABASE_URL}`, /^postgres:\/\/\*\*\*@127\.0\.0\.1:\d+\/orderly_\d+$/);
      assert.equal(ORDER_WORKER_LEASE_MS, 2_500);
    });
  });

  it('tells of a database that goes and comes back once each, whoever notices, where it is and for how long', async () => {
    const away: { BUS: string; KAFKA_BROKERS: string; WORKER_PORT: number } = {
      ...{ BUS: 'kafka', KAFKA_BROKERS: '127.0.0.1:1', WORKER_PORT: 0 },
    };
    await inInstallation(postgres, away, async ({ startRole, client }) => {
      const roles = [await startRole('api'), await startRole('relay'), await startRole('worker')];
      const { orderId } = await client.place({ scenario: 'success' });
      await postgres.stopAtOnce();
      const ofDatabase = (role: Running) => role.log().filter(({ dependency }) => dependency === 'database');
      await until(() => roles.every((role) => ofDatabase(role).length === 1), 'the outage in every log');
      await postgres.restart();
      await until(() => roles.every((role) => ofDatabase(role).length === 2), 'its end in every log');
      await until(async () => (await client.read(orderId)).status === 'PROCESSED', 'the end of the order');
      for (const role of roles) {
        const [gone, back] = ofDatabase(role);
        assert.match(gone?.msg ?? '', /^the database orderly_\d+ at 127\.0\.0\.1:\d+ cannot be used: /);
        assert.match(back?.msg ?? '', /^the database orderly_\d+ at 127\.0\.0\.1:\d+ is back after \d+ s$/);
        assert.equal(back?.since, gone?.since);
        const others = role.log().filter(({ level, dependency }) => level >= 40 && dependency !== 'database');
        assert.deepEqual(
          others.filter(({ dependency }) => dependency !== 'kafka').map(({ msg }) => msg),
          [],
        );
      }
    });
  });

  it('holds nothing that a customer or an operator wrote, whatever goes wrong with it', async () => {
    const settings = {
      LOG_LEVEL: 'trace',
      SMTP_URL: 'smtp://mailer:canarysmtp@127.0.0.1:1',
      MAIL_FROM: 'o@shop.example',
    };
    await inInstallation(postgres, settings, async ({ start, processes, sql }) => {
      const canary = (name: string) => {
        const word = `canary${name}`;
        processes.keepSecret(word);
        return word;
      };
      processes.keepSecret('canarysmtp');
      // What the database refuses, it quotes.
      await sql('ALTER TABLE orders ADD CONSTRAINT odd CHECK (amount <> 1313)');
      const { url } = await start();
      const ask = async (method: string, path: string, body: unknown = null, headers: Record<string, string> = {}) => {
        const answer = await fetch(`${url}${path}`, {
          method,
          headers: {
            ...{ 'content-type': 'application/json', authorization: `Bearer ${canary('token')}` },
            ...{ cookie: canary('cookie'), 'user-agent': canary('agent'), ...headers },
          },
          ...(body === null ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        });
        return { status: answer.status, body: (await answer.json()) as { id?: string } };
      };
      const order = {
        customerEmail: `${canary('email')}@shop.example`,
        userId: canary('user'),
        items: [{ sku: canary('sku'), quantity: 1, unitPrice: 500 }],
      };
      const statuses: number[] = [];
      let failed = '';
      for (const paymentScenario of ['success', 'failure', 'fatal', 'lost-answer'] as const) {
        const placed = await ask(
          'POST',
          '/orders',
          { ...order, paymentScenario },
          { 'idempotency-key': canary(`key${paymentScenario}`) },
        );
        statuses.push(placed.status);
        if (paymentScenario === 'fatal') failed = placed.body.id ?? '';
      }
      assert.deepEqual(statuses, [201, 201, 201, 201]);
      const refused = { ...order, items: [{ sku: canary('refused'), quantity: 1, unitPrice: 1_313 }] };
      assert.equal((await ask('POST', '/orders', refused)).status, 500);
      for (const body of [
        `{"customerEmail":"${canary('broken')}`,
        { [canary('member')]: 1 },
        { amount: canary('amount') },
      ]) {
        assert.equal((await ask('POST', '/orders', body)).status, 400);
      }
      await ask('GET', `/orders?q=${canary('words')}&customerEmail=${canary('address')}@shop.example`);
      await ask('GET', `/orders/${canary('id')}`);
      await ask('GET', `/${canary('path')}`);
      await until(
        async () =>
          (await ask('GET', `/orders/${failed}`)).body && (await sql('SELECT 1 FROM dead_letters')).length > 0,
        'a dead letter',
      );
      await ask('POST', `/orders/${failed}/cancel`, { reason: canary('reason') });
      // Mail to nobody: what a mail server is asked for has an address in it.
      await until(
        async () => (await sql("SELECT 1 FROM attempts WHERE consumer = 'notification'")).length > 0,
        'a mail that fails',
      );
    });
  });
});

const linesOf = (role: Running, orderId: string): readonly LogLine[] =>
  role.log().filter((line) => line.orderId === orderId);

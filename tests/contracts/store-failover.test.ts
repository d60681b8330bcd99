// A fail-over as people meet it: for some seconds the address leads to a server that takes no writes.

import assert from 'node:assert/strict';
import { type AddressInfo, connect as connectTo, createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { createOrderStore } from '../../src/io/postgres/desk.ts';
import { isAway, NotConnectedError } from '../../src/io/postgres/errors.ts';
import { checkDatabase } from '../../src/io/postgres/health.ts';
import { createSystem } from '../../src/io/system.ts';
import { subscribedTypes } from '../../src/main/open-database.ts';
import type { Postgres } from '../support/postgres.ts';
import { connect, createStore, startServer } from '../support/store.ts';

// A balancer: each new connection goes to the port that is named by then, and stays there.
async function startBalancer(port: number) {
  let target = port;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connectTo(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    leadTo: (port: number) => {
      target = port;
    },
    cut: () => {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('a database that takes no writes for a while', { timeout: 120_000 }, () => {
  let primary: Postgres;
  let standby: Postgres;
  let url: string;
  let balancer: Awaited<ReturnType<typeof startBalancer>>;
  let throughBalancer: string;
  before(async () => {
    primary = await startServer();
    url = await primary.createDatabase();
    standby = await primary.startStandby();
    balancer = await startBalancer(primary.port);
    throughBalancer = url.replace(`:${primary.port}/`, `:${balancer.port}/`);
  });
  after(async () => {
    await balancer.close();
    await standby.stop();
    await primary.stop();
  });

  it('answers no read from before: an order that was placed is there', async () => {
    const database = connect(throughBalancer, 8);
    const { requestOf, accept } = createStore(database);
    const { read } = createOrderStore({ database, system: createSystem(), onCommitted: () => {} });
    let placed = 0;
    const placeAndRead = async () => {
      const request = requestOf();
      // Nothing is placed while the standby is what answers.
      const isPlaced = await accept([request]).then(
        () => true,
        (error) => assert.ok(isAway(error), String(error)),
      );
      if (isPlaced !== true) return;
      placed += 1;
      // Several at once, so that more than one connection is asked.
      const reads = await Promise.allSettled(Array.from({ length: 4 }, () => read(request.order.id)));
      for (const one of reads) assert.ok(one.status === 'rejected' || one.value !== null, 'it was not there');
    };
    for (let n = 0; n < 10; n += 1) await placeAndRead();
    balancer.leadTo(standby.port);
    balancer.cut();
    for (let n = 0; n < 10; n += 1) await placeAndRead();
    balancer.leadTo(primary.port);
    for (let n = 0; n < 30; n += 1) await placeAndRead();
    await database.close();
    assert.equal(placed, 40);
  });

  it('answers no read from before to who only reads: what others have placed is there', async () => {
    const [readers, others] = [connect(throughBalancer, 4), connect(url)];
    const { read } = createOrderStore({ database: readers, system: createSystem(), onCommitted: () => {} });
    const { requestOf, accept } = createStore(others);
    const crowd = (id: Parameters<typeof read>[0]) =>
      Promise.allSettled(Array.from({ length: 4 }, () => read(id))).then((ends) =>
        ends.map((end) => (end.status === 'fulfilled' ? end.value?.id : 'unavailable')),
      );
    const before = requestOf();
    await accept([before]);
    balancer.leadTo(standby.port);
    // Refused, or its connections would be kept.
    assert.deepEqual(await crowd(before.order.id), Array(4).fill('unavailable'));
    balancer.leadTo(primary.port);
    const request = requestOf();
    await accept([request]);
    assert.deepEqual(await crowd(request.order.id), Array(4).fill(request.order.id));
    await Promise.all([readers.close(), others.close()]);
  });

  it('is not ready, and says why, until it takes writes again', async () => {
    const database = connect(throughBalancer);
    balancer.leadTo(standby.port);
    const away = await checkDatabase(database, subscribedTypes);
    assert.deepEqual(away, [
      { name: 'database', status: 'failed', detail: 'takes no writes: a standby, or set to read only' },
    ]);
    await assert.rejects(database.query('SELECT 1'), NotConnectedError);
    balancer.leadTo(primary.port);
    assert.ok((await checkDatabase(database, subscribedTypes)).every(({ status }) => status === 'ok'));
    await database.close();
  });

  it('costs every connection of its age, once one of them was refused a write', async () => {
    const database = connect(url, 3);
    const pids = () =>
      Promise.all(
        [1, 2, 3].map(() =>
          database.transaction(async (query) => {
            const [row] = await query<{ pid: number }>('SELECT pg_backend_pid() AS pid, pg_sleep(0.2)');
            return row?.pid;
          }),
        ),
      );
    const administer = async (...statements: readonly string[]) => {
      const client = new Client({ connectionString: url });
      await client.connect();
      // Each by itself: none of them may run in a transaction.
      for (const statement of statements) await client.query(statement);
      await client.end();
    };
    const before = await pids();
    assert.equal(new Set(before).size, 3);
    await administer('ALTER SYSTEM SET default_transaction_read_only = on', 'SELECT pg_reload_conf()');
    const write = () => createStore(database).accept([createStore(database).requestOf()]);
    await assert.rejects(
      async () => {
        // The server hears of its new setting a moment later.
        for (let n = 0; n < 100; n += 1) await write();
      },
      (error) => isAway(error),
    );
    await assert.rejects(database.query('SELECT 1'), NotConnectedError);
    await administer(
      'SET default_transaction_read_only = off',
      'ALTER SYSTEM RESET default_transaction_read_only',
      'SELECT pg_reload_conf()',
    );
    const afterwards = await pids();
    assert.deepEqual(
      before.filter((pid) => afterwards.includes(pid)),
      [],
    );
    await database.close();
  });
});

// Each way in which a connection fails, met on real servers and sockets, is told by one sentence of its own.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connectionTrouble } from '../../src/io/postgres/connection-trouble.ts';
import { connectServer } from '../../src/io/postgres/database.ts';
import { migrate } from '../../src/io/postgres/migrate.ts';
import { withPlainTls } from '../../src/io/postgres/tls.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { findPort } from '../support/process.ts';
import { silentLog } from '../support/silent-log.ts';

const fast = { settings: { fsync: 'off' } };

describe('a connection that does not come about', { timeout: 60_000 }, () => {
  let postgres: Postgres;
  let good: URL;
  before(async () => {
    postgres = await startPostgres(fast);
    good = new URL(await postgres.createDatabase());
  });
  after(() => postgres.stop());

  async function troubleAt(change: Partial<URL>): Promise<string | null> {
    const url = new URL(good);
    Object.assign(url, change);
    const database = connectServer({ url: url.href, poolMax: 1, log: silentLog });
    try {
      return await database.query('SELECT 1').then(
        () => assert.fail('it came about'),
        (error: unknown) => connectionTrouble(error),
      );
    } finally {
      await database.close();
    }
  }

  it('is told by what is wrong and what to do', async () => {
    const refused = await findPort();
    const cases: [change: Partial<URL>, expected: RegExp][] = [
      [{ password: 'open-sesame' }, /does not accept this user with this password/],
      [{ username: 'nobody' }, /does not accept this user with this password/],
      [{ password: '' }, /asks for a password, and the URL has none/],
      [{ pathname: '/elsewhere' }, /no database of this name/],
      [{ port: String(refused) }, /nothing listens there/],
      [{ hostname: 'nobody.invalid' }, /host name/],
      [{ search: 'sslmode=verify-full' }, /offers no TLS/],
      [{ search: 'sslrootcert=missing.pem' }, /a file that its URL names cannot be read/],
      [{ search: 'host=/missing' }, /no socket that may be used there/],
    ];
    for (const [change, expected] of cases) {
      const told = await troubleAt(change);
      assert.match(told ?? 'null', expected);
      assert.doesNotMatch(told ?? '', /open-sesame|nobody/);
    }
  });

  it('says nothing else, however its address asks for TLS', async () => {
    const warnings: string[] = [];
    const hear = ({ message }: Error) => warnings.push(message);
    process.on('warning', hear);
    try {
      for (const mode of ['prefer', 'require', 'verify-ca', 'verify-full']) {
        assert.match((await troubleAt({ search: `sslmode=${mode}&application_name=shop` })) ?? 'null', /offers no TLS/);
      }
    } finally {
      process.off('warning', hear);
    }
    assert.deepEqual(warnings, []);
    const kept = 'postgres://h/d?uselibpqcompat=true&sslmode=require';
    assert.equal(withPlainTls(kept), kept);
  });

  it('with something that is no PostgreSQL, or that keeps silent, is told too', async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => void (isSilent ? sockets.push(socket) : socket.destroy())).listen(
      0,
      '127.0.0.1',
    );
    let isSilent = false;
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const there = { port: String(port) };
    assert.match((await troubleAt(there)) ?? 'null', /closes the connection/);
    isSilent = true;
    assert.match((await troubleAt(there)) ?? 'null', /does not answer/);
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it('as a role that may connect and no more is told what it lacks', async () => {
    const owner = connectServer({ url: good.href, poolMax: 1, log: silentLog });
    await owner.query("CREATE ROLE visitor LOGIN PASSWORD 'visitor'");
    await owner.query('CREATE TABLE theirs ()');
    await owner.close();
    const url = new URL(good);
    [url.username, url.password] = ['visitor', 'visitor'];
    const database = connectServer({ url: url.href, poolMax: 1, log: silentLog });
    for (const [work, expected] of [
      [() => migrate(database, []), /may not create tables in its schema: GRANT CREATE/],
      [() => database.query('SELECT * FROM theirs'), /may not use or change the tables that are there/],
      [() => database.query('DROP TABLE theirs'), /may not use or change the tables that are there/],
    ] as const) {
      await assert.rejects(work, (error) => {
        assert.match(connectionTrouble(error) ?? 'null', expected);
        return true;
      });
    }
    await database.close();
  });

  it('is not what a statement of ours fails with', async () => {
    const database = connectServer({ url: good.href, poolMax: 1, log: silentLog });
    const trouble = await database.query('SELECT nothing').catch(connectionTrouble);
    assert.equal(trouble, null);
    await database.close();
  });
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from 'pg';
import { type Postgres, startPostgres } from './postgres.ts';

describe('the PostgreSQL server of the tests', () => {
  let postgres: Postgres;
  before(async () => {
    postgres = await startPostgres({
      prepare: (url) => ask(url, 'CREATE TABLE notes (text text)').then(() => undefined),
    });
  });
  after(() => postgres.stop());

  it('gives every caller an empty database of the prepared schema', async () => {
    const [first, second] = await Promise.all([postgres.createDatabase(), postgres.createDatabase()]);
    assert.notEqual(first, second);
    await ask(first, "INSERT INTO notes VALUES ('mine')");
    assert.deepEqual(await ask(second, 'SELECT text FROM notes'), []);
  });

  it('keeps what was committed when the server is killed', async () => {
    const url = await postgres.createDatabase();
    await ask(url, "INSERT INTO notes VALUES ('committed')");
    await postgres.kill9();
    await assert.rejects(ask(url, 'SELECT 1'), { code: 'ECONNREFUSED' });
    await postgres.restart();
    assert.deepEqual(await ask(url, 'SELECT text FROM notes'), [{ text: 'committed' }]);
    assert.match(postgres.log(), /automatic recovery in progress/);
  });

  it('syncs to disk at every commit', async () => {
    const url = await postgres.createDatabase();
    assert.deepEqual(await ask(url, 'SHOW fsync'), [{ fsync: 'on' }]);
    assert.deepEqual(await ask(url, 'SHOW synchronous_commit'), [{ synchronous_commit: 'on' }]);
  });

  it('leaves neither server nor data behind when its owner is killed', async () => {
    const source = `
      const { startPostgres } = await import(${JSON.stringify(new URL('./postgres.ts', import.meta.url).href)});
      const postgres = await startPostgres();
      console.log(await postgres.createDatabase());
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [url] = (await once(owner.stdout.setEncoding('utf8'), 'data')) as [string];
    const [row] = await ask(url.trim(), "SELECT current_setting('data_directory') AS path");
    owner.kill('SIGKILL');
    while (existsSync(String(row?.path))) await pause(20);
    await assert.rejects(ask(url.trim(), 'SELECT 1'), { code: 'ECONNREFUSED' });
  });
});

async function ask(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<Record<string, unknown>>(statement).finally(() => client.end());
  return rows;
}

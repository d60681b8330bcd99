// Brings the schema and the subscriptions' watermarks up to this release, or says that they are not.
//
// Promises: each migration runs once, whole or not at all; two processes that migrate at the same time
// take turns; running it again changes nothing. Forward only: a release must run on the schema of the
// next one, so a rollback needs no migration.
// Relies on postgrator for order and checksums of the `.sql` files.

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Postgrator from 'postgrator';
import type { Database, Query } from './database.ts';

export type Subscribed = { readonly consumer: string; readonly type: string; readonly start: 'beginning' | 'now' };

const folder = fileURLToPath(new URL('./migrations/', import.meta.url));
// The library takes a pattern, and a checkout may lie in a folder such as `orderly [v2]`.
const literally = (path: string) => path.replace(/[\\?*+@!()[\]{}|]/g, '\\$&');
// The number that all migrating processes of one database agree on; its value means nothing.
const migrationLock = 727_001;

export async function migrate(database: Database, subscriptions: readonly Subscribed[]): Promise<number> {
  return database.transaction(async (query) => {
    // Another process may migrate for longer than any statement of ours may take.
    await query('SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0');
    // A migration reads whole tables.
    await query('SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on');
    await query('/* lock-migrations */ SELECT pg_advisory_xact_lock($1)', [migrationLock]);
    const currentSchema = await schemaOf(query);
    const postgrator = new Postgrator({
      driver: 'pg',
      migrationPattern: `${literally(folder)}*.sql`,
      schemaTable: 'schema_version',
      // Without it a table of that name anywhere in the database would count as ours. The library also makes it the
      // search path of the session, which it is by itself, and a pooler's session is not ours to change.
      currentSchema,
      execQuery: async (text) => ({ rows: text.startsWith('SET search_path') ? [] : await query(text) }),
      execSqlScript: async (script) => {
        await query(script);
      },
    });
    await postgrator.migrate();
    const version = await postgrator.getDatabaseVersion();
    if (version < expectedVersion()) throw new Error(`the migrations in ${folder} were not found`);
    await enterSubscriptions(query, subscriptions);
    return version;
  });
}

// Where unqualified names are created, and looked for first.
async function schemaOf(query: Query): Promise<string> {
  const rows = await query<{ schema: string }>('/* find-schema */ SELECT current_schema()::text AS schema');
  return rows[0]?.schema ?? 'public';
}

// A subscription that is new starts where it declares: at the first fact ever, or behind every fact whose
// transaction has ended by now.
async function enterSubscriptions(query: Query, subscriptions: readonly Subscribed[]): Promise<void> {
  await query(
    `/* start-watermarks */ INSERT INTO watermarks (consumer, type, xid)
     SELECT s.consumer, s.type,
            CASE s.start WHEN 'beginning' THEN '0'::xid8
            ELSE (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text::xid8 END
     FROM unnest($1::text[], $2::text[], $3::text[]) AS s(consumer, type, start)
     ON CONFLICT (consumer, type) DO NOTHING`,
    [subscriptions.map((s) => s.consumer), subscriptions.map((s) => s.type), subscriptions.map((s) => s.start)],
  );
}

export function expectedVersion(): number {
  return Math.max(
    ...readdirSync(folder, { encoding: 'utf8' })
      .filter((name) => name.endsWith('.sql'))
      .map((name) => Number.parseInt(name, 10)),
  );
}

// The version the database is at; 0 where nothing was ever migrated.
export async function schemaVersion(database: Database): Promise<number> {
  // A search path may name other schemas behind it, in which another installation has its own.
  const found = await database.query<{ there: string | null }>(
    "/* find-schema-version */ SELECT to_regclass(quote_ident(current_schema()) || '.schema_version')::text AS there",
  );
  if (!found[0]?.there) return 0;
  const rows = await database.query<{ version: number }>(
    '/* read-schema-version */ SELECT max(version)::int AS version FROM schema_version',
  );
  return rows[0]?.version ?? 0;
}

// The users of the database and their rights, as docs/security.md has them. Runs in the image, as the owner, before and
// after `migrate`. May be repeated; a changed password is set.
import pg from 'pg';

const { escapeLiteral } = pg;
const isAfter = process.argv.at(-1) === 'after';
const client = new pg.Client({ connectionString: process.env.DATABASE_URL, connectionTimeoutMillis: 30_000 });
await client.connect();
try {
  await client.query('BEGIN');
  for (const statement of isAfter ? after() : before()) await client.query(statement);
  await client.query('COMMIT');
} finally {
  await client.end();
}

function before() {
  const password = escapeLiteral(process.env.APP_PASSWORD);
  return [
    `DO $$ BEGIN CREATE ROLE orderly_app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
    `ALTER ROLE orderly_app PASSWORD ${password}`,
    'REVOKE ALL ON SCHEMA public FROM PUBLIC',
    'GRANT USAGE, CREATE ON SCHEMA public TO orderly_owner',
    'GRANT USAGE ON SCHEMA public TO orderly_app',
    // So that the relay sees transactions of others that stay open, and OrderlyHorizonHeld fires for them.
    'GRANT pg_monitor TO orderly_app',
    'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO orderly_app',
    'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO orderly_app',
  ];
}

function after() {
  return [
    'REVOKE UPDATE, DELETE, TRUNCATE ON events, audit_log FROM orderly_app',
    'REVOKE DELETE, TRUNCATE ON orders FROM orderly_app',
    'REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON schema_version FROM orderly_app',
  ];
}

// What must be so of a database that this release works on, whatever its schema: its encoding, its being writable,
// what our role may do there.
//
// Promises: each question is one short statement; the answer is one sentence that says what is wrong and what to do.
// What a role or a database may set without harm is no question: each transaction sets it anew (database.ts).

import type { Database } from './database.ts';

// `reads`: for who changes nothing, and may look at a standby.
export type Use = 'reads' | 'writes';

// Asked before there is a schema, too.
export async function surroundingsMistake(database: Database, use: Use): Promise<string | null> {
  const rows = await database.query<{ encoding: string; read_only: boolean; schema: string | null }>(
    `/* look-around */ SELECT current_setting('server_encoding') AS encoding,
            current_setting('transaction_read_only') = 'on' AS read_only, current_schema()::text AS schema`,
  );
  const { encoding = 'UTF8', read_only: isReadOnly = false, schema = null } = rows[0] ?? {};
  if (encoding !== 'UTF8') {
    return `The database is encoded in ${encoding}, which cannot hold every text: create one with ENCODING 'UTF8'.`;
  }
  if (schema === null) {
    return 'None of the schemas in the search_path of this user exists: create one of them, or set another search_path.';
  }
  if (/["'.]/.test(schema)) {
    return `The schema ${schema} has a quote or a dot in its name: rename it, or set another search_path.`;
  }
  return isReadOnly && use === 'writes'
    ? 'The database takes no writes: it is a standby, or its database or role is set to read only.'
    : null;
}

// Rights that whoever works on orders needs; without them each request would fail for itself.
const rights = [
  ['orders', 'SELECT'],
  ['orders', 'INSERT'],
  ['orders', 'UPDATE'],
  ['events', 'INSERT'],
] as const;

export async function rightsMistake(database: Database): Promise<string | null> {
  const rows = await database.query<{ role: string; missing: string | null }>(
    `/* look-for-rights */ SELECT current_user::text AS role,
            (SELECT string_agg(r.right || ' on ' || r.name, ', ') FROM unnest($1::text[], $2::text[]) AS r(name, "right")
             WHERE NOT has_table_privilege(r.name, r.right)) AS missing`,
    [rights.map(([name]) => name), rights.map(([, right]) => right)],
  );
  const { role = '', missing = null } = rows[0] ?? {};
  return missing === null
    ? null
    : `The database's role ${role} lacks ${missing}: grant it, or set another DATABASE_URL.`;
}

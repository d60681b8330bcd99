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

// What each table is used for, by whoever works on orders: S = SELECT, I = INSERT, U = UPDATE, D = DELETE; and the
// sequence of the events' positions. Without one of them requests and work would fail one by one, without end.
const uses: Readonly<Record<string, string>> = {
  ...{ orders: 'SIU', events: 'SI', jobs: 'SIUD', idempotency_keys: 'SID', subscriptions: 'S' },
  ...{ attempts: 'SID', dead_letters: 'SIUD', audit_log: 'SI', dependencies: 'SID', cursors: 'SIUD' },
  ...{ order_documents: 'SIU', search_rebuilds: 'SIUD', analytics: 'SIU' },
  ...{ replays: 'SIUD', replay_letters: 'SIUD', pauses: 'SIUD', processes: 'SIUD' },
};
const words: Readonly<Record<string, string>> = { S: 'SELECT', I: 'INSERT', U: 'UPDATE', D: 'DELETE' };
const rights = [
  ...Object.entries(uses).flatMap(([name, letters]) => [...letters].map((letter) => [name, words[letter]])),
  ...['SELECT', 'USAGE'].map((right) => ['events_position', right]),
];
// Named in the sentence; whoever grants them one by one is told of the next ones.
const namedMax = 3;

export async function rightsMistake(database: Database): Promise<string | null> {
  const rows = await database.query<{ role: string; missing: string }>(
    `/* look-for-rights */ SELECT current_user::text AS role, r.right || ' on ' || r.name AS missing
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS r(name, "right", nth)
     WHERE NOT CASE r.right WHEN 'USAGE' THEN has_sequence_privilege(to_regclass(r.name), r.right)
                            ELSE has_table_privilege(to_regclass(r.name), r.right) END
     ORDER BY r.nth`,
    [rights.map(([name]) => name), rights.map(([, right]) => right)],
  );
  const [first] = rows;
  if (first === undefined) return null;
  const named = rows.slice(0, namedMax).map(({ missing }) => missing);
  const more = rows.length > namedMax ? ` and ${rows.length - namedMax} more` : '';
  return (
    `The database's role ${first.role} lacks ${named.join(', ')}${more}: grant what docs/security.md lists, or set ` +
    'another DATABASE_URL.'
  );
}

// What one order costs the database, as PostgreSQL counts it, and the CPU of both.
//
// Promises: everything of that time is counted, polls and renewals included.

import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../tests/support/until.ts';
import type { LoadReport } from './load.ts';
import type { Numbers } from './metrics.ts';
import type { Trial } from './trial.ts';

// What follows an order (search, analytics) and what the database does in the background is part of the cost.
export const settleMs = 2_000;

// Backends hand in their counts when they end, so what is counted stands between two stops.
// `warmUp` is counted with `load`, but for CPU: a process that has just begun is still compiling itself.
export async function countCost(
  trial: Trial,
  warmUp: () => Promise<LoadReport>,
  load: () => Promise<LoadReport>,
): Promise<Numbers> {
  const { sql } = trial;
  await trial.stop();
  await backendsGone(trial);
  const [{ name } = { name: '' }] = await sql(`SELECT quote_ident(current_database()) AS name`);
  await sql(`ALTER DATABASE ${name} SET "pg_stat_statements.track" = 'top'`);
  await sql('CHECKPOINT');
  await sql(`SELECT pg_stat_reset(), pg_stat_reset_shared('wal'), pg_stat_statements_reset()`);
  await trial.start();
  const { accepted: warm } = await warmUp();
  const before = trial.cpu();
  const { accepted } = await load();
  await pause(settleMs);
  const after = trial.cpu();
  await trial.stop();
  await backendsGone(trial);
  const [cost] = await sql(
    `SELECT (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables)::float8 AS rows,
            (SELECT sum(calls) FROM pg_stat_statements
             WHERE dbid = d.oid AND query !~* '^(begin|set|commit|rollback)')::float8 AS statements,
            pg_stat_get_db_xact_commit(d.oid)::float8 AS commits, wal_bytes::float8 / 1000 AS wal,
            pg_database_size(d.oid)::float8 / 1000 AS size
     FROM pg_database d, pg_stat_wal WHERE datname = current_database()`,
  );
  const perOrder = (column: 'rows' | 'statements' | 'commits' | 'wal' | 'size') =>
    Number(cost?.[column]) / (warm + accepted);
  return {
    processCpu: (after.process - before.process) / accepted,
    postgresCpu: (after.postgres - before.postgres) / accepted,
    rows: perOrder('rows'),
    statements: perOrder('statements'),
    commits: perOrder('commits'),
    wal: perOrder('wal'),
  };
}

// A backend hands in its counts before it leaves the list.
async function backendsGone({ sql }: Trial): Promise<void> {
  const look = async () => {
    const [row] = await sql(
      `SELECT count(*)::integer AS backends FROM pg_stat_activity
       WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    );
    return row?.backends === 0;
  };
  await until(look, 'the end of all connections');
}

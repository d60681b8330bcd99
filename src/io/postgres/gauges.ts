// What is owed and how the server fares, as numbers for the metrics.
//
// Promises: a few statements, each without a lock and answered from indexes or in one pass over the jobs, which are few
// but in a backlog; at a million jobs and a million orders they take about half a second. Nothing in the flow depends
// on them. Relies on its caller to ask seldom.

import type { Database } from './database.ts';

// As the metrics have it: name, labels, value.
type Sample = readonly [name: Name, labels: Readonly<Record<string, string>>, value: number];
type Name =
  | 'jobs'
  | 'job_oldest_due_seconds'
  | 'jobs_stalled'
  | 'dead_letters_open'
  | 'paused'
  | 'unpublished_oldest_seconds'
  | 'unread_oldest_seconds'
  | 'unread_events'
  | 'database_dead_rows'
  | 'database_oldest_transaction_seconds'
  | 'database_size_bytes';

export type GaugeOptions = {
  // Consumers that have jobs; all consumers.
  readonly jobs: readonly string[];
  readonly consumers: readonly string[];
  // Names of cursors.
  readonly readers: readonly string[];
};

export async function readGauges(database: Database, options: GaugeOptions): Promise<readonly Sample[]> {
  const parts = [readJobGauges, readDeadLetterGauges, readPauseGauges, readCursorGauges, readServerGauges];
  const samples: Sample[] = [];
  // One after the other: one connection of the pool is enough for them.
  for (const part of parts) samples.push(...(await part(database, options)));
  return samples;
}

async function readJobGauges({ query }: Database, { jobs }: GaugeOptions): Promise<Sample[]> {
  type Row = { consumer: string; due: number; waiting: number; claimed: number; oldest: number; stalled: number };
  const rows = await query<Row>(
    `/* gauge-jobs */ SELECT consumer,
            count(*) FILTER (WHERE due_at <= now() AND is_free)::float8 AS due,
            count(*) FILTER (WHERE due_at > now() AND is_free)::float8 AS waiting,
            count(*) FILTER (WHERE NOT is_free)::float8 AS claimed,
            coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now() AND is_free)), 0)::float8 AS oldest,
            count(*) FILTER (WHERE created_at < now() - interval '10 minutes')::float8 AS stalled
     FROM (SELECT consumer, due_at, created_at, lease_until IS NULL OR lease_until <= now() AS is_free FROM jobs) AS j
     GROUP BY consumer`,
  );
  const found = new Map(rows.map((row) => [row.consumer, row]));
  return jobs.flatMap((consumer): Sample[] => {
    const { due = 0, waiting = 0, claimed = 0, oldest = 0, stalled = 0 } = found.get(consumer) ?? {};
    return [
      ['jobs', { consumer, state: 'due' }, due],
      ['jobs', { consumer, state: 'waiting' }, waiting],
      ['jobs', { consumer, state: 'claimed' }, claimed],
      ['job_oldest_due_seconds', { consumer }, oldest],
      ['jobs_stalled', { consumer }, stalled],
    ];
  });
}

async function readDeadLetterGauges({ query }: Database, { consumers }: GaugeOptions): Promise<Sample[]> {
  const rows = await query<{ consumer: string; count: number }>(
    `/* gauge-dead-letters */ SELECT consumer, count(*)::float8 AS count FROM dead_letters
     WHERE closed_at IS NULL GROUP BY consumer`,
  );
  const found = new Map(rows.map(({ consumer, count }) => [consumer, count]));
  return consumers.map((consumer): Sample => ['dead_letters_open', { consumer }, found.get(consumer) ?? 0]);
}

async function readPauseGauges({ query }: Database): Promise<Sample[]> {
  const rows = await query<{ kind: string; count: number }>(
    `/* gauge-pauses */ SELECT kind, count(*)::float8 AS count FROM pauses
     WHERE until IS NULL OR until > clock_timestamp() GROUP BY kind`,
  );
  const found = new Map(rows.map(({ kind, count }) => [kind, count]));
  return ['consumer', 'partner', 'order'].map((kind): Sample => ['paused', { kind }, found.get(kind) ?? 0]);
}

// Positions are given out once each; a rolled back one counts as an event until the cursor has passed it.
async function readCursorGauges({ query }: Database, { readers }: GaugeOptions): Promise<Sample[]> {
  const rows = await query<{ reader: string; age: number; behind: number }>(
    `/* gauge-cursors */ SELECT c.reader, greatest(0, coalesce(extract(epoch FROM clock_timestamp() - (
              SELECT min(oldest.time) FROM (
                (SELECT e.time FROM events e WHERE e.position > c.read_to ORDER BY e.position LIMIT 1)
                UNION ALL
                (SELECT late.time FROM unnest(c.gaps) AS gap CROSS JOIN LATERAL (
                   SELECT e.time FROM events e WHERE e.position >= lower(gap) AND e.position < upper(gap)
                   ORDER BY e.position LIMIT 1) AS late LIMIT 1)) AS oldest)), 0))::float8 AS age,
            greatest(0, coalesce((SELECT max(position) FROM events), 0) - c.read_to)::float8
              + coalesce((SELECT sum(upper(gap) - lower(gap)) FROM unnest(c.gaps) AS gap), 0)::float8 AS behind
     FROM cursors c WHERE c.reader = ANY($1::text[])`,
    [readers],
  );
  return rows.flatMap(({ reader: name, age, behind }): Sample[] => {
    const reader = name.split('.')[0] ?? name;
    const events: Sample = ['unread_events', { reader }, behind];
    if (reader === 'relay') return [['unpublished_oldest_seconds', {}, age], events];
    return [['unread_oldest_seconds', { reader }, age], events];
  });
}

// Transactions of other users are seen where this one is a member of pg_monitor.
async function readServerGauges({ query }: Database): Promise<Sample[]> {
  const tables = await query<{ name: string; dead: number }>(
    `/* gauge-tables */ SELECT relname AS name, n_dead_tup::float8 AS dead FROM pg_stat_user_tables
     WHERE schemaname = current_schema()`,
  );
  const [server] = await query<{ oldest: number; bytes: number }>(
    `/* gauge-server */ SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::float8 AS oldest,
            pg_database_size(current_database())::float8 AS bytes
     FROM pg_stat_activity WHERE backend_type = 'client backend'`,
  );
  return [
    ...tables.map(({ name, dead }): Sample => ['database_dead_rows', { table: name }, dead]),
    ['database_oldest_transaction_seconds', {}, server?.oldest ?? 0],
    ['database_size_bytes', {}, server?.bytes ?? 0],
  ];
}

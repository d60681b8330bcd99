// Rows of `pauses`: what people hold back.
//
// Promises: a pause, its end and the row of the audit log are one transaction; each may be repeated. When a pause ends by
// its time is the database's to say.

import type { System } from '../../engine/ports.ts';
import type { Pause } from '../../flow/operators/pauses.ts';
import type { Asking } from '../../flow/operators/replays.ts';
import type { Database, Query } from './database.ts';
import { audit } from './desk.ts';
import { orUnavailable } from './errors.ts';

type Row = Omit<Pause, 'by' | 'endsInMs'> & { operator: string | null; ends_in_ms: number | null };

const columns = `kind, name, reason, operator, at, until,
  (extract(epoch FROM until - clock_timestamp()) * 1000)::float8 AS ends_in_ms`;
const toPause = ({ operator, ends_in_ms, ...row }: Row): Pause => ({ ...row, by: operator, endsInMs: ends_in_ms });

// More than anybody holds back one by one; each is asked about before a job is taken.
const pausesMax = 1_000;

export async function readPauses(query: Query): Promise<Pause[]> {
  const rows = await query<Row>(
    `/* read-pauses */ SELECT ${columns} FROM pauses WHERE until IS NULL OR until > clock_timestamp()
     ORDER BY at, kind, name LIMIT ${pausesMax}`,
  );
  return rows.map(toPause);
}

type Asked = Pick<Pause, 'kind' | 'name' | 'reason' | 'until'>;

// `full` = there are too many already; `over` = it would have ended already, by the clock that ends it.
export async function writePause(
  database: Database,
  system: System,
  { kind, name, reason, until }: Asked,
  { by, correlationId }: Asking,
): Promise<Pause | 'full' | 'over'> {
  const at = system.now();
  return writing(database, async (query) => {
    await query('/* remove-ended-pauses */ DELETE FROM pauses WHERE until <= clock_timestamp()');
    const passed = await query('/* look-whether-over */ SELECT 1 WHERE $1::timestamptz <= clock_timestamp()', [until]);
    if (passed.length > 0) return 'over';
    const rows = await query<Row>(
      `/* write-pause */ INSERT INTO pauses (kind, name, reason, operator, at, until)
       SELECT $1::text, $2::text, $3::text, $4::text, $5::timestamptz, $6::timestamptz WHERE (SELECT count(*) FROM pauses) < ${pausesMax}
       ON CONFLICT (kind, name) DO UPDATE SET reason = excluded.reason, operator = excluded.operator, at = excluded.at,
         until = excluded.until
       RETURNING ${columns}`,
      [kind, name, reason, by, at, until],
    );
    if (rows[0] === undefined) return 'full';
    const detail = { kind, name, reason, until };
    const orderId = kind === 'order' ? name : null;
    await audit(query, { id: system.newId(), at, action: 'paused', orderId, detail, correlationId, by });
    return toPause(rows[0]);
  });
}

// Answers what is still paused.
export async function endPause(
  database: Database,
  system: System,
  { kind, name }: Pick<Pause, 'kind' | 'name'>,
  { by, correlationId }: Asking,
): Promise<Pause[]> {
  const at = system.now();
  return writing(database, async (query) => {
    const ended = await query('/* end-pause */ DELETE FROM pauses WHERE kind = $1 AND name = $2 RETURNING 1', [
      kind,
      name,
    ]);
    const orderId = kind === 'order' ? name : null;
    if (ended.length > 0) {
      await audit(query, {
        id: system.newId(),
        at,
        action: 'resumed',
        orderId,
        detail: { kind, name },
        correlationId,
        by,
      });
    }
    return readPauses(query);
  });
}

const writing = <T>(database: Database, work: (query: Query) => Promise<T>) =>
  orUnavailable(true, () => database.transaction(work));

// The leases of jobs: extended while their workers live, ended where nobody can live any more.
//
// Promises: a lease is renewed only while it runs, by the token that holds it. All times are the database's.

import type { Held } from '../../engine/leases.ts';
import { plainArray, type Query } from './database.ts';
import { keyValues } from './jobs.ts';

// Extends the leases that still run; answers the tokens that are not theirs any more. A row that a settle
// has locked is left out of both: waiting for it could deadlock, and it is about to end.
export async function renewLeases(query: Query, held: readonly Held[], leaseMs: number): Promise<string[]> {
  const values = [...keyValues(held), plainArray(held.map((one) => one.token))];
  const arrays = 'unnest($1::uuid[], $2::integer[], $3::text[], $4::uuid[]) AS h(order_id, version, consumer, token)';
  await query(
    `/* renew-leases */ WITH mine AS (
       SELECT j.order_id, j.version, j.consumer FROM ${arrays} JOIN jobs j USING (order_id, version, consumer, token)
       WHERE j.lease_until > clock_timestamp()
       ORDER BY j.order_id, j.version, j.consumer FOR NO KEY UPDATE OF j SKIP LOCKED
     )
     UPDATE jobs j SET lease_until = clock_timestamp() + $5::float8 * interval '1 millisecond'
     FROM mine WHERE j.order_id = mine.order_id AND j.version = mine.version AND j.consumer = mine.consumer`,
    [...values, leaseMs],
  );
  const lost = await query<{ token: string }>(
    `/* find-lost-leases */ SELECT h.token FROM ${arrays} LEFT JOIN jobs j USING (order_id, version, consumer)
     WHERE j.token IS DISTINCT FROM h.token OR j.lease_until <= clock_timestamp()`,
    values,
  );
  return lost.map((row) => row.token);
}

// The embedded database has one process at a time: whatever a former one held, it is dead. The tokens stay: what
// it may have done is in doubt.
export async function endAllLeases(query: Query): Promise<void> {
  await query('/* end-all-leases */ UPDATE jobs SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL');
}

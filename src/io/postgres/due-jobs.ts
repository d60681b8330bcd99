// What the poller and the leases ask of the jobs: claim what is due, keep what is held.
//
// Promises: the poll is the claim: its first statement locks the orders of what is due, oldest first, past those that
// somebody else has locked. A claim whose answer was lost is repeated by key, and finds its own token.

import { unknownVersionPatienceMs } from '../../engine/admit.ts';
import type { GroupCommit } from '../../engine/group-commit.ts';
import type { ClaimAnswer, ClaimRequest, Jobs, Step, System } from '../../engine/ports.ts';
import { answerAll, type ClaimOptions } from './claim.ts';
import { plainArray, type Query } from './database.ts';
import { failureOf } from './errors.ts';
import { isOpen, lockOrdersOfDueJobs, readFloor, readJobs, readNextDue } from './jobs.ts';
import { renewLeases } from './leases.ts';
import { toRecord } from './orders.ts';

// A full poll once in a while, by index; then every poll begins behind what was deleted before it.
const floorLastsMs = 60_000;

export function createJobs(
  options: ClaimOptions & {
    readonly claims: GroupCommit<ClaimRequest, ClaimAnswer>;
    // True where nobody needs to know when the next job is due: others write jobs too, so it is looked for anyway.
    readonly knowsAllWriters: boolean;
  },
): Jobs {
  const { database, claims, system, leaseMs, maxWaitMs, knowsAllWriters } = options;
  const floors = new Map<string, { readonly floor: Date; readonly readAtMs: number }>();

  async function floorOf(consumer: string): Promise<Date> {
    const known = floors.get(consumer);
    const nowMs = system.monotonicMs();
    if (known !== undefined && nowMs - known.readAtMs < floorLastsMs) return known.floor;
    const floor = await readFloor(database.query, consumer);
    floors.set(consumer, { floor, readAtMs: nowMs });
    return floor;
  }

  return {
    renew: (held) => renewLeases(database.query, held, leaseMs),

    // Behind the floor of the last poll; before the first one from the beginning.
    findDue: (steps) =>
      findDueConsumers(database.query, {
        consumers: steps.map(({ consumer }) => consumer),
        floors: steps.map(({ consumer }) => floors.get(consumer)?.floor ?? new Date(0)),
        types: steps.flatMap(({ types }) => types),
      }),

    claimDue: async (step, limit, sought, except = []) => {
      const floor = await floorOf(step.consumer);
      const { consumer, types, dependencies } = step;
      const patienceMs = sought === 'unknown-version' ? unknownVersionPatienceMs : maxWaitMs;
      const poll = { consumer, types, dependencies, sought, patienceMs, floor, limit, except };
      let picked: readonly ClaimRequest[] = [];
      try {
        const answers = await database.transaction(async (query) => {
          const rows = await lockOrdersOfDueJobs(query, poll);
          if (rows.length === 0) return [];
          picked = rows.map((row) => toClaim(step, row.order_id, row.job_version, system));
          const records = new Map(rows.map((row) => [row.order_id, toRecord(row)]));
          const jobs = await readJobs(
            query,
            picked.map(({ subject, version }) => ({ consumer, subject, version })),
          );
          return answerAll(query, picked, records, jobs, { ...options, sought });
        });
        const isEnd = answers.length < limit && !answers.includes('locked');
        const nextDueInMs = !isEnd ? undefined : knowsAllWriters ? await readNextDue(database.query, consumer) : null;
        return { answers: answers.filter((answer) => answer !== 'locked'), nextDueInMs };
      } catch (error) {
        if (failureOf(error) !== 'lost' || picked.length === 0) throw error;
        // It may have been committed: the same claims by their keys, which find their tokens.
        const repeated = await Promise.allSettled(picked.map(claims.add));
        const answers = repeated.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
        return { answers, nextDueInMs: undefined };
      }
    },
  };
}

// The oldest job of each that could be claimed is enough, and the index has it first.
async function findDueConsumers(
  query: Query,
  { consumers, floors, types }: { consumers: readonly string[]; floors: readonly Date[]; types: readonly string[] },
): Promise<readonly string[]> {
  const rows = await query<{ consumer: string }>(
    `/* find-due */ SELECT c.consumer FROM unnest($1::text[], $2::timestamptz[]) AS c(consumer, floor)
     CROSS JOIN LATERAL (
       SELECT FROM jobs j
       WHERE j.consumer = c.consumer AND j.due_at >= c.floor AND ${isOpen} AND j.event_type = ANY($3::text[])
       ORDER BY j.due_at LIMIT 1) AS due`,
    [plainArray(consumers), plainArray(floors), types],
  );
  return rows.map(({ consumer }) => consumer);
}

const toClaim = (step: Step, subject: string, version: number, system: System): ClaimRequest => ({
  step,
  subject,
  version,
  token: system.newToken(),
});

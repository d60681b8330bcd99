// Worlds that once broke a promise, each with a sentence. A seed is a world only together with its commit: what a
// later commit draws for it may be another one. So each of these is pinned to what the mistake needed, and has
// several seeds, each of which was seen to fail without the fix; each mistake has a test beside its code as well. What a
// statement had wrong is wrong here by its model alone: whether PostgreSQL agrees the differential test says.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FaultClass, faultClasses, type Plan } from './plan.ts';
import { runSeed } from './run.ts';

type Regression = {
  readonly because: string;
  readonly seeds: readonly number[];
  readonly change: (plan: Plan) => Plan;
};

// No fault but these, also of the bus, and no bursts.
function only(plan: Plan, faults: Partial<Plan['faults']>): Plan {
  const none = Object.fromEntries(Object.keys(faultClasses).map((name) => [name, 0])) as Record<FaultClass, number>;
  const still = { loses: 0, doubles: 0, delays: 0, corrupts: 0, forges: 0, losesAcks: 0, publishesPart: 0 };
  return { ...plan, bursts: [], bus: { ...plan.bus, ...still }, faults: { ...none, ...faults } };
}

const hourMs = 3_600_000;

const regressions: readonly Regression[] = [
  {
    because:
      'A client was told that nothing is stored, and its order was: requests that travel together were accepted in ' +
      'two statements, and the failure of the second one, for the repeated keys, was taken for that of both.',
    seeds: [7, 8, 11],
    change: (plan) => ({
      ...only(plan, { statementRefused: 0.6 }),
      chaosMs: 12_000,
      storeLatencyMs: [1, 20],
      orders: 40,
      placedWithinMs: 2_000,
      clients: { ...plan.clients, repeats: 0.7 },
    }),
  },
  {
    because:
      'After every answer to a void was lost the order went on showing its money as authorized, and the provider ' +
      'had released it: what may have been undone shows as unknown until a person has looked.',
    seeds: [6, 7, 13, 19],
    change: (plan) => ({
      ...only(plan, { partnerBreaks: 0.5 }),
      settings: { ...plan.settings, maxRetries: 1 },
      clients: { ...plan.clients, cancels: 0.8, interferes: 0.4, reprocesses: 0 },
    }),
  },
  {
    because:
      'An undo was done and its answer lost, the next attempt was refused for good, and the order went on showing ' +
      'what was given back as held: a refusal says what its own call did, and nothing of the one before.',
    seeds: [13, 15],
    change: (plan) => ({
      ...only(plan, { partnerBreaks: 0.3, partnerRefuses: 0.3 }),
      clients: { ...plan.clients, cancels: 0.8, interferes: 0.4, reprocesses: 0 },
    }),
  },
  {
    because:
      'The pull looked for events that are old enough, and an API whose clock was an hour ahead wrote events that ' +
      'were not old for an hour: what the bus had lost of them nobody found.',
    seeds: [1, 2, 3],
    change: (plan) => {
      const machines = plan.machines.map((machine) => ({ ...machine, skewMs: machine.isApi ? hourMs : 0, drift: 1 }));
      const still = only(plan, {});
      return { ...still, machines, bus: { ...still.bus, loses: 0.5 } };
    },
  },
  {
    because:
      'A search that asked for patience was taken for one that is away: its breaker opened, and nobody had found it away.',
    seeds: [4, 10, 23],
    change: (plan) => only(plan, { partnerThrottles: 0.9 }),
  },
];

describe('a world of the past', () => {
  for (const { because, seeds, change } of regressions) {
    it(`keeps every promise now. ${because}`, async () => {
      for (const seed of seeds) {
        const { failures } = await runSeed(seed, { change });
        assert.deepEqual(failures, [], `seed ${seed}`);
      }
    });
  }
});

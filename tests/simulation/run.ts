// One seed, from its plan to its verdict: chaos, then healing, then the judgment.
//
// Promises: the same seed at the same commit is the same run, to the last bit of its hash. While faults are on,
// safety must hold; after they are off, everything must come to its end within a bound of virtual time.

import type { Database } from '../../src/io/postgres/database.ts';
import { EndlessError } from './clock.ts';
import { createDraws } from './draws.ts';
import type { Evidence } from './evidence.ts';
import { createDrawnFaults, type Dependency, type DrawnFaults } from './faults.ts';
import { drawPlan, type Plan } from './plan.ts';
import { createSimulation, type Simulation } from './simulation.ts';

export type Failure = { readonly what: string; readonly orderId: string | null; readonly sentence: string };
export type Outcome = {
  readonly seed: number;
  readonly failures: readonly Failure[];
  readonly counters: Readonly<Record<string, number>>;
  readonly traceHash: string;
  readonly drawn: Plan;
  readonly evidence: Evidence;
  // Readable, where lines were asked for.
  readonly trace: (subject?: string) => readonly string[];
  readonly virtualMs: number;
  readonly events: number;
};

export type RunOptions = {
  readonly keepsLines?: boolean;
  readonly change?: (plan: Plan) => Plan;
  readonly spoil?: (database: Database) => Database;
};

// The longest thing that may still go on when the faults end: a statement whose answer never comes (15 s), a
// lease, a cursor's lease, an event that the bus forgot, a throttling, and a few rounds of all of that.
const boundMs = 120_000;

export async function runSeed(seed: number, options: RunOptions = {}): Promise<Outcome> {
  const drawn = drawPlan(seed, createDraws(seed));
  const plan = options.change?.(drawn) ?? drawn;
  let drawnFaults: DrawnFaults | null = null;
  // The same for an order whenever it is asked, and whoever else was asked about before.
  const decides = (name: string, share: number) => (orderId: string) =>
    createDraws(seed)(`${name} ${orderId}`).isHit(share);
  const pauses = createDraws(seed)('restarts');
  const deploys = createDraws(seed)('deploys');
  const simulation: Simulation = createSimulation({
    plan,
    // Once the faults are over, the deploy ends: an event of the newer version waits for somebody who knows it.
    isNewer: () => plan.isDeploying && (simulation.clock.nowMs() >= plan.chaosMs || deploys.isHit(0.4)),
    keepsLines: options.keepsLines ?? false,
    faults: (draws, clock) => {
      drawnFaults = createDrawnFaults(plan, draws, clock);
      return drawnFaults;
    },
    rejects: decides('the carrier rejects', plan.faults.carrierRejects),
    refusesRecall: decides('the carrier recalls not', plan.faults.recallRefused),
    startsAgainAfterMs: () => (pauses.isHit(0.7) ? pauses.between(1, 100) : pauses.between(100, 2_500)),
    ...(options.spoil === undefined ? {} : { spoil: options.spoil }),
  });
  const failures: Failure[] = [];
  const fail = (what: string, sentence: string) => void failures.push({ what, orderId: null, sentence });
  const onRejection = (error: unknown) =>
    fail('no promise is left to reject', String((error as Error)?.stack ?? error));
  process.on('unhandledRejection', onRejection);
  try {
    await live(simulation, plan, drawnFaults as unknown as DrawnFaults, fail);
  } catch (error) {
    if (error instanceof EndlessError) fail('everything ends', error.message);
    else fail('the simulation itself works', String((error as Error)?.stack ?? error));
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  for (const mistake of simulation.mistakes()) fail('the simulation itself works', mistake);
  for (const { invariant, orderId, sentence } of simulation.violations)
    failures.push({ what: invariant, orderId, sentence });
  return {
    seed,
    failures,
    counters: simulation.world.counters.all(),
    traceHash: simulation.world.trace.hash(),
    drawn: plan,
    evidence: simulation.recorder.evidence,
    trace: simulation.world.trace.lines,
    virtualMs: simulation.clock.nowMs(),
    events: simulation.clock.calls(),
  };
}

async function live(
  simulation: Simulation,
  plan: Plan,
  faults: DrawnFaults,
  fail: (what: string, sentence: string) => void,
): Promise<void> {
  const { clients, machines, recorder, bus } = simulation;
  for (const machine of machines) machine.start();
  scheduleTroubles(simulation, plan, faults);
  clients.start();
  await simulation.runFor(plan.chaosMs);

  faults.heal();
  bus.heal();
  clients.calm();
  simulation.rest();
  recorder.happened({ atMs: simulation.clock.nowMs(), process: '', what: 'healed' });
  simulation.world.trace.note('world', 'healed', '');
  if (plan.isDeploying) {
    for (const machine of machines) if (!machine.runsNewer()) machine.stop(200, 10);
  }
  let owed = await simulation.settle(boundMs);
  if (owed.length === 0 && plan.clients.reprocesses > 0) {
    clients.reprocessAll();
    owed = await simulation.settle(boundMs);
  }
  if (owed.length > 0)
    fail('everything ends', `after ${boundMs / 1000} s without faults: ${owed.slice(0, 8).join('; ')}`);
  simulation.judge(owed.length === 0);
}

// What befalls whole machines, the database, the bus and the partners, at drawn moments.
function scheduleTroubles(simulation: Simulation, plan: Plan, faults: DrawnFaults): void {
  const { clock, draws, machines, server, bus, recorder } = simulation;
  const { faults: rates, chaosMs, settings } = plan;
  const often = (perMinute: number, name: string, happen: (luck: ReturnType<typeof draws>) => void) => {
    const luck = draws(name);
    const count = Math.floor((perMinute * chaosMs) / 60_000 + luck.next());
    for (let nth = 0; perMinute > 0 && nth < count; nth += 1) clock.after(luck.between(0, chaosMs), () => happen(luck));
  };
  often(rates.killsPerMinute, 'kills', (luck) => luck.pick(machines).kill(luck.between(1, 3_000)));
  often(rates.freezesPerMinute, 'freezes', (luck) =>
    luck.pick(machines).freeze(luck.between(100, settings.leaseMs * 2 + 1_000)),
  );
  often(rates.stopsPerMinute, 'stops', (luck) =>
    luck.pick(machines).stop(luck.between(0, 500), luck.between(1, 1_000)),
  );
  often(rates.databaseCrashesPerMinute, 'database crashes', (luck) => {
    recorder.happened({ atMs: simulation.clock.nowMs(), process: '', what: 'database-crashed' });
    server.crash(luck.isHit(0.15) ? luck.between(4_000, 7_000) : luck.between(20, 1_500));
  });
  often(rates.busWipesPerMinute, 'wipes', () => bus.wipe());
  often(rates.partnerOutagesPerMinute, 'outages', (luck) => {
    faults.awayFor(luck.pick<Dependency>(['payments', 'carrier', 'mail', 'search']), luck.between(200, 6_000));
  });
}

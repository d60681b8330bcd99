// A machine: one simulated process after the other, each with the real engine of src/main/wire.ts inside.
//
// Promises: a start builds every object anew, so what a process kept in memory is gone with it. Of the engine
// nothing is replaced; only its clock, its pool, its bus and its partners are the simulation's.

import { endOf, silentObserver } from '../../src/engine/observer.ts';
import type { Log, System } from '../../src/engine/ports.ts';
import type { OrderDesk } from '../../src/flow/ports.ts';
import { createDatabase, type Database } from '../../src/io/postgres/database.ts';
import { endAllLeases } from '../../src/io/postgres/leases.ts';
import { createEngine, type Engine } from '../../src/main/wire.ts';
import type { EngineSettings } from '../../src/main/workers.ts';
import type { SimulatedBus } from './bus.ts';
import type { Happening } from './evidence.ts';
import { createLife, createLifeSystem, type Laziness, type Life } from './life.ts';
import { createOutside, type OutsideParts } from './outside.ts';
import type { MachinePlan } from './plan.ts';
import { withPolls } from './polls.ts';
import type { SimulatedServer } from './pool.ts';
import { createNewerRelease, newerConsumer } from './releases.ts';

export type Machine = {
  readonly plan: MachinePlan;
  readonly start: () => void;
  // kill -9; it starts again after this long.
  readonly kill: (startsAgainAfterMs: number) => void;
  readonly freeze: (ms: number) => void;
  // SIGTERM: the engine's own stop, then a new start.
  readonly stop: (graceMs: number, startsAgainAfterMs: number) => void;
  // Null while it is down.
  readonly life: () => Life | null;
  readonly desk: () => OrderDesk | null;
  readonly runsNewer: () => boolean;
};

export type MachineParts = OutsideParts & {
  readonly server: SimulatedServer;
  // Null = there is none: it hints itself.
  readonly bus: SimulatedBus | null;
  readonly settings: EngineSettings;
  readonly timerOf: (life: Life, consumers: readonly string[]) => Laziness;
  // Two releases run beside each other; which one a start runs.
  readonly isDeploying: boolean;
  readonly isNewer: (machine: string) => boolean;
  // What a test puts between the engine and its database, to break it on purpose.
  readonly spoil?: (database: Database) => Database;
};

const startAgainMs = 100;
const retention = { keysHours: 168, rowsDays: 30 };

export function createMachine(plan: MachinePlan, parts: MachineParts): Machine {
  const { world, server, bus, recorder, settings } = parts;
  const { clock, trace, counters } = world;
  let life: Life | null = null;
  let engine: Engine | null = null;
  let lives = 0;
  let runsNewer = false;
  // Whose look has just ended.

  const tell = (who: Life, what: Happening['what'], more = '', told: Pick<Happening, 'isNewer' | 'graceMs'> = {}) => {
    recorder.happened({ ...told, atMs: clock.nowMs(), process: who.name, what });
    trace.note(who.name, what, more);
  };

  function start(): void {
    if (life !== null) return;
    lives += 1;
    const born = createLife(plan.name, lives, clock);
    life = born;
    born.onFreeze((ms) => {
      tell(born, 'frozen', `for ${Math.round(ms)} ms`);
      counters.count('a process freezes');
      clock.after(ms, () => {
        // Another freeze may have come meanwhile.
        if (!born.isOver() && !born.isFrozen()) tell(born, 'woken');
      });
    });
    const system = systemOf(born);
    const pool = server.poolFor(born, plan.connections);
    const log = logOf(born);
    const database = createDatabase({ pool, log, turn: null, onClose: async () => {} });
    runsNewer = parts.isNewer(plan.name);
    const onOlder = () =>
      recorder.note({ atMs: clock.nowMs(), process: born.name, what: 'old-version-read', label: '', code: null });
    const spoiled = parts.spoil?.(database) ?? database;
    const observed = withPolls(spoiled, system.monotonicMs, recorder.tokenAskedFor);
    const newer = runsNewer ? createNewerRelease(onOlder) : null;
    const ownBus = bus?.busFor(born) ?? null;
    const knowsAllWriters = plan.isEmbedded === true;
    const ended = (consumer: string, end: string) => {
      trace.note(born.name, consumer, end);
      recorder.ended({ atMs: clock.nowMs(), process: born.name, consumer, end });
    };
    engine = createEngine({
      database: newer?.database(observed) ?? observed,
      bus: ownBus === null ? null : (newer?.bus(ownBus) ?? ownBus),
      knowsAllWriters,
      ...createOutside(parts, born, system),
      simulatedPartners: true,
      settings,
      roles: { relay: plan.relay, consumers: consumersOfRelease(), operators: false },
      retention,
      observer: {
        ...silentObserver,
        unreadable: (group) => {
          trace.note(born.name, 'unreadable', group);
          recorder.note({ atMs: clock.nowMs(), process: born.name, what: 'unreadable', label: group, code: null });
        },
        claimed: (consumer, { answer }) => ended(consumer, answer),
        settled: ({ consumer }, outcome, answer) => ended(consumer, endOf(outcome, answer)),
        read: (consumer, handled, deadLetters) => {
          if (handled > deadLetters.length) ended(consumer, 'done');
          if (deadLetters.length > 0) ended(consumer, 'dead');
        },
        breakerChanged: (dependency, state) => {
          trace.note(born.name, `breaker of ${dependency}`, state);
          recorder.breakerChanged({ process: born.name, dependency, state, monotonicMs: system.monotonicMs() });
        },
      },
      system,
      log,
    });
    tell(born, 'started', runsNewer ? 'the newer release' : '', { isNewer: runsNewer });
    // As src/main/open-database.ts does it: nobody else can have opened the embedded database.
    if (knowsAllWriters) void endLeases(spoiled, system, engine.start);
    else void engine.start();
  }

  async function endLeases(database: Database, system: System, then: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await endAllLeases(database.query);
        return await then();
      } catch {
        // A start that cannot have its database ends; its supervisor tries again.
        await system.sleep(startAgainMs);
      }
    }
  }

  function consumersOfRelease(): readonly string[] {
    if (!parts.isDeploying || runsNewer) return plan.consumers;
    return plan.consumers.filter((consumer) => consumer !== newerConsumer);
  }

  function end(who: Life, startsAgainAfterMs: number): void {
    if (who.isOver()) return;
    who.end();
    life = null;
    engine = null;
    clock.after(startsAgainAfterMs, start);
  }

  function systemOf(born: Life): System {
    const { draws } = world;
    const system = createLifeSystem({
      life: born,
      clock,
      draws,
      skewMs: plan.skewMs,
      drift: plan.drift,
      timer: parts.timerOf(born, plan.consumers),
    });
    return {
      ...system,
      newToken: () => {
        const token = system.newToken();
        recorder.tokenMade(born.name, token, system.monotonicMs());
        return token;
      },
    };
  }

  function logOf(born: Life): Log {
    return {
      debug: () => {},
      info: () => {},
      warn: (fields, message) => {
        trace.note(born.name, 'warns', message, null, () => JSON.stringify(fields));
        counters.count(`said: ${message}`);
      },
      error: (fields, message) => {
        trace.note(born.name, 'complains', message, null, () => JSON.stringify(fields));
        const { error = '' } = fields as { error?: unknown };
        recorder.complained(born.name, message, String(error));
      },
    };
  }

  return {
    plan,
    start,
    life: () => life,
    desk: () => engine?.desk ?? null,
    runsNewer: () => runsNewer,
    kill: (startsAgainAfterMs) => {
      const who = life;
      if (who === null) return;
      tell(who, 'killed');
      counters.count('a process is killed');
      end(who, startsAgainAfterMs);
    },
    freeze: (ms) => life?.freeze(ms),
    stop: (graceMs, startsAgainAfterMs) => {
      const [who, what] = [life, engine];
      if (who === null || what === null) return;
      counters.count('a process is told to stop');
      who.resume(() => {
        tell(who, 'told-to-stop', '', { graceMs });
        void what.stop(graceMs).then(() => {
          if (who.isOver()) return;
          tell(who, 'stopped');
          end(who, startsAgainAfterMs);
        });
      });
    },
  };
}

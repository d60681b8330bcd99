// A machine: one simulated process after the other, each with the real engine of src/main/wire.ts inside.
//
// Promises: a start builds every object anew, so what a process kept in memory is gone with it. Of the engine
// nothing is replaced; only its clock, its pool, its bus and its partners are the simulation's.

import type { Log, System } from '../../src/engine/ports.ts';
import type { OrderDesk } from '../../src/flow/ports.ts';
import { createDatabase, type Database } from '../../src/io/postgres/database.ts';
import { createEngine, type Engine, type EngineSettings } from '../../src/main/wire.ts';
import type { SimulatedBus } from './bus.ts';
import { createLife, createLifeSystem, type Laziness, type Life } from './life.ts';
import { createOutside, type OutsideParts } from './outside.ts';
import type { MachinePlan } from './plan.ts';
import type { SimulatedServer } from './pool.ts';
import { asNewerRelease, withNewerType } from './releases.ts';

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
  readonly bus: SimulatedBus;
  readonly settings: EngineSettings;
  readonly timer: Laziness;
  // Which release a start runs.
  readonly isNewer: (machine: string) => boolean;
  // What a test puts between the engine and its database, to break it on purpose.
  readonly spoil?: (database: Database) => Database;
};

const retention = { keysHours: 168, rowsDays: 30 };

export function createMachine(plan: MachinePlan, parts: MachineParts): Machine {
  const { world, server, bus, recorder, settings } = parts;
  const { clock, trace, counters } = world;
  let life: Life | null = null;
  let engine: Engine | null = null;
  let lives = 0;
  let runsNewer = false;

  const tell = (who: Life, what: 'started' | 'killed' | 'frozen' | 'woken' | 'told-to-stop' | 'stopped', more = '') => {
    const isNewer = what === 'started' && runsNewer;
    recorder.happened({ atMs: clock.nowMs(), process: who.name, what, isNewer });
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
    const ownBus = bus.busFor(born);
    engine = createEngine({
      database: runsNewer ? asNewerRelease(spoiled, onOlder) : spoiled,
      bus: runsNewer ? withNewerType(ownBus) : ownBus,
      ...createOutside(parts, born, system),
      simulatedPartners: true,
      settings,
      roles: { relay: plan.relay, consumers: plan.consumers },
      retention,
      metrics: {
        published: () => {},
        hintDropped: () => {},
        jobEnded: (consumer, end) => {
          trace.note(born.name, consumer, end);
          recorder.ended({ atMs: clock.nowMs(), process: born.name, consumer, end });
        },
        breakerChanged: (dependency, state) => {
          trace.note(born.name, `breaker of ${dependency}`, state);
          recorder.breakerChanged({ process: born.name, dependency, state, monotonicMs: system.monotonicMs() });
        },
        scrape: async () => ({ contentType: '', body: '' }),
      },
      system,
      log,
    });
    tell(born, 'started', runsNewer ? 'the newer release' : '');
    void engine.start();
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
      timer: parts.timer,
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
      tell(who, 'told-to-stop');
      counters.count('a process is told to stop');
      who.resume(() => {
        void what.stop(graceMs).then(() => {
          if (who.isOver()) return;
          tell(who, 'stopped');
          end(who, startsAgainAfterMs);
        });
      });
    },
  };
}

// A machine: one simulated process after the other, each with the real engine of src/main/wire.ts inside.
//
// Promises: a start builds every object anew, so what a process kept in memory is gone with it. Of the engine
// nothing is replaced; only its clock, its pool, its bus and its partners are the simulation's.

import { lockedPauseMs } from '../../src/bus/group-commit.ts';
import { type Log, OutsideError, type System } from '../../src/bus/ports.ts';
import { duePollMs, missedPollMs } from '../../src/bus/pull.ts';
import { idlePollMs } from '../../src/bus/relay.ts';
import type { OrderDesk, Partners } from '../../src/flow/ports.ts';
import type { Search } from '../../src/flow/search-ports.ts';
import { broken, timedOut } from '../../src/io/partners/troubles.ts';
import { createDatabase, type Database } from '../../src/io/postgres/database.ts';
import { createEngine, type Engine, type EngineSettings } from '../../src/main/wire.ts';
import type { SimulatedBus } from './bus.ts';
import type { SimulatedServer } from './connection.ts';
import type { Call as PartnerCall, Recorder } from './evidence.ts';
import { createLife, createLifeSystem, type Laziness, type Life } from './life.ts';
import type { createNetwork, World } from './network.ts';
import type { ModelPartners, silence } from './partners.ts';
import type { MachinePlan, Plan } from './plan.ts';
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

export type MachineParts = {
  readonly world: World;
  readonly network: ReturnType<typeof createNetwork>;
  readonly server: SimulatedServer;
  readonly bus: SimulatedBus;
  readonly partners: ModelPartners;
  readonly recorder: Recorder;
  readonly settings: EngineSettings;
  readonly partnerLatencyMs: Plan['partnerLatencyMs'];
  readonly keyWindowMs: number;
  readonly timer: Laziness;
  // Somebody is calling a partner about an order.
  readonly onCall: (call: PartnerCall['call'], orderId: string) => void;
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
        if (!born.isOver()) tell(born, 'woken');
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
      ...outsideOf(born, system),
      simulatedPartners: true,
      settings,
      roles: { relay: plan.relay, consumers: plan.consumers },
      retention,
      metrics: {
        published: () => {},
        hintDropped: () => {},
        deliveryEnded: (consumer, end) => {
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

  function outsideOf(born: Life, system: System): { partners: Partners; search: Search } {
    const { payments, carrier, mail, search } = parts.partners;
    const lost = () => broken('connection-lost', 'The connection to the partner broke.');

    async function call<A>(
      asked: Pick<PartnerCall, 'dependency' | 'call' | 'key' | 'orderId'>,
      signal: AbortSignal,
      act: () => A | typeof silence,
      gaveUp: () => Error = () => timedOut('success'),
    ): Promise<A> {
      const atMs = clock.nowMs();
      const told = recorder.called({ ...asked, atMs, monotonicMs: system.monotonicMs(), process: born.name });
      const label = `${asked.dependency}.${asked.call}`;
      if (asked.orderId !== null) parts.onCall(asked.call, asked.orderId);
      try {
        const latencyMs = parts.partnerLatencyMs[asked.call];
        const answer = await parts.network.call<A>({
          life: born,
          label,
          subject: asked.orderId,
          latencyMs,
          signal,
          act,
          lost,
          gaveUp,
        });
        told.trouble = null;
        told.endedMs = system.monotonicMs();
        return answer;
      } catch (error) {
        const trouble = error instanceof OutsideError ? error.trouble : { class: 'unknown', dependencyDown: false };
        // The bound of the call aborts too, and says so.
        const isInterrupted = signal.aborted && !String(signal.reason).includes('no answer within');
        told.trouble = { class: trouble.class, dependencyDown: trouble.dependencyDown, isInterrupted };
        told.endedMs = system.monotonicMs();
        throw error;
      }
    }

    const partners: Partners = {
      payments: {
        keyWindowMs: parts.keyWindowMs,
        authorize: (request, signal) => {
          const { key, orderId, scenario } = request;
          const asked = { dependency: 'payments', call: 'authorize', key, orderId } as const;
          return call(
            asked,
            signal,
            () => payments.authorize(request),
            () => timedOut(scenario),
          );
        },
        void: (request, signal) => {
          const { key, orderId } = request;
          return call({ dependency: 'payments', call: 'void', key, orderId }, signal, () => payments.void(request));
        },
        lookup: (key, signal) =>
          call({ dependency: 'payments', call: 'lookup', key, orderId: null }, signal, () => payments.lookup(key)),
      },
      carrier: {
        keyWindowMs: parts.keyWindowMs,
        book: (request, signal) => {
          const { key, orderId } = request;
          return call({ dependency: 'carrier', call: 'book', key, orderId }, signal, () => carrier.book(request));
        },
        recall: (request, signal) => {
          const { key, orderId } = request;
          return call({ dependency: 'carrier', call: 'recall', key, orderId }, signal, () => carrier.recall(request));
        },
        lookup: (key, signal) =>
          call({ dependency: 'carrier', call: 'lookup', key, orderId: null }, signal, () => carrier.lookup(key)),
      },
      mail: {
        send: (request, signal) => {
          const { key, orderId } = request;
          return call({ dependency: 'mail', call: 'send', key, orderId }, signal, () => mail.send(request));
        },
      },
    };
    return {
      partners,
      search: {
        prepare: async () => {},
        index: (documents, signal) => {
          const asked = { dependency: 'search', call: 'index', key: '', orderId: null } as const;
          return call(asked, signal, () => search.index(documents));
        },
        find: async () => ({ ids: [], next: null }),
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

// How much later than asked the looks of an engine that finds nothing may come: their rounds are most of what a
// simulation computes. A timer may be late on any machine. What it waits for wakes it: a fact that is owed, or
// the end of any transaction.
type Doze = { readonly ms: number; readonly until: 'a fact' | 'a commit' | null };
const dozes: ReadonlyMap<number, Doze> = new Map([
  [idlePollMs, { ms: 1_500, until: 'a fact' }],
  [lockedPauseMs, { ms: 200, until: 'a commit' }],
  [duePollMs, { ms: 1_500, until: null }],
  [missedPollMs, { ms: 3_000, until: null }],
]);

export function createLaziness(clock: World['clock'], isLazyFromTheStart: boolean) {
  let isLazy = isLazyFromTheStart;
  type Dozing = { readonly dueMs: number; timer: { cancel: () => void }; readonly fire: () => void };
  const dozing = { 'a fact': new Set<Dozing>(), 'a commit': new Set<Dozing>() };
  const wake = (what: keyof typeof dozing) => {
    for (const one of dozing[what]) {
      one.timer.cancel();
      one.timer = clock.after(one.dueMs - clock.nowMs(), one.fire);
    }
    dozing[what].clear();
  };
  const timer: Laziness = (ms, fire) => {
    const doze = isLazy ? dozes.get(ms) : undefined;
    if (doze === undefined) return clock.after(ms, fire);
    const waiting = doze.until === null ? null : dozing[doze.until];
    const run = () => {
      waiting?.delete(one);
      fire();
    };
    const one: Dozing = { dueMs: clock.nowMs() + ms, timer: clock.after(ms + doze.ms, run), fire: run };
    waiting?.add(one);
    return {
      cancel: () => {
        one.timer.cancel();
        waiting?.delete(one);
      },
    };
  };
  return {
    timer,
    wake,
    // Where nothing goes wrong any more, a look that finds nothing shows nothing.
    rest: () => {
      isLazy = true;
    },
  };
}

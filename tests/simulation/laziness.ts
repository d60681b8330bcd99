// How much later than asked the looks of an idle engine may come: looks that find nothing are most of what a
// simulation would compute.
//
// Promises: a timer is never early, and late only as any machine's may be. Once there is something to find, a look
// comes soon; while there is nothing, seldom. Relies on finds.ts for what a look would find.

import { standbyMs } from '../../src/engine/cursor.ts';
import { lockedPauseMs } from '../../src/engine/group-commit.ts';
import { pollMs } from '../../src/engine/poller.ts';
import { pollMs as relayPollMs } from '../../src/engine/relay.ts';
import { pollMs as readerPollMs } from '../../src/main/projections.ts';
import type { Clock } from './clock.ts';
import type { Stream } from './draws.ts';
import type { Finds } from './finds.ts';
import type { Laziness, Life } from './life.ts';

// A look of which nothing says that it would find anything comes this much later.
const seldomMs = 6_000;
// Who waits for a lock gives up waiting sooner than that.
const lockedMs = 200;
// So long a hint is ahead of the poll.
const hintedMs = 1_000;

type Kind = {
  // What must have been written for there to be anything new to find.
  readonly of: 'jobs' | 'log' | 'anything';
  // From when, by the clock of the world; null = nothing is known of.
  readonly findsAt: () => number | null;
  readonly laterMsMax: number;
  readonly seldomMs: number;
};
type Doze = {
  readonly kind: Kind;
  readonly life: Life;
  readonly dueMs: number;
  readonly fire: () => void;
  wakesMs: number;
  timer: { cancel: () => void };
};

export function createLaziness(options: {
  readonly clock: Clock;
  readonly luck: Stream;
  readonly isLazyFromTheStart: boolean;
  readonly finds: Finds;
  // Of jobs; whoever keeps one looks three times in it.
  readonly leaseMs: number;
}) {
  const { clock, luck, finds, leaseMs } = options;
  let isLazy = options.isLazyFromTheStart;
  const dozing = new Set<Doze>();

  function sleepUntil(doze: Doze, atMs: number): void {
    doze.timer.cancel();
    doze.wakesMs = atMs;
    doze.timer = clock.after(atMs - clock.nowMs(), () => wake(doze));
  }

  function wake(doze: Doze): void {
    const { kind, life, dueMs, fire } = doze;
    const isOver = life.isOver() || clock.nowMs() >= dueMs + kind.seldomMs;
    const found = kind.findsAt();
    // What was there to find is found.
    if (!isOver && (found === null || found > clock.nowMs())) return sleep(doze);
    dozing.delete(doze);
    fire();
  }

  // When there is something to find, at the earliest.
  function soonMs({ kind, dueMs }: Doze): number {
    const found = kind.findsAt();
    return found === null ? Number.POSITIVE_INFINITY : Math.max(dueMs, found);
  }

  function sleep(doze: Doze): void {
    const { kind, dueMs } = doze;
    const laterMs = kind.laterMsMax > 0 ? luck.between(0, kind.laterMsMax) : 0;
    sleepUntil(doze, Math.min(soonMs(doze) + laterMs, dueMs + kind.seldomMs));
  }

  // The timers of one process, which looks for the jobs of all its consumers at once.
  function timerOf(life: Life, consumers: readonly string[]): Laziness {
    const readers = (names: readonly string[]): Kind => ({
      ...{ of: 'log', laterMsMax: 0, seldomMs, findsAt: () => finds.event(names, life.name) },
    });
    const kinds = new Map<number, Kind>([
      [lockedPauseMs, { of: 'anything', findsAt: () => 0, laterMsMax: 0, seldomMs: lockedMs }],
      [pollMs, { of: 'jobs', findsAt: () => finds.job(consumers, life.name), laterMsMax: hintedMs, seldomMs }],
      [relayPollMs, readers(['relay'])],
      [readerPollMs, readers(['analytics', 'search.elasticsearch'])],
      [standbyMs, readers(['relay', 'analytics', 'search.elasticsearch'])],
      [
        Math.floor(leaseMs / 3),
        { of: 'jobs', findsAt: () => (finds.isHolding(life.name) ? 0 : null), laterMsMax: 0, seldomMs },
      ],
    ]);
    return (ms, fire) => {
      const kind = isLazy ? kinds.get(ms) : undefined;
      if (kind === undefined) return clock.after(ms, fire);
      const dueMs = clock.nowMs() + ms;
      const doze: Doze = { kind, life, dueMs, fire, wakesMs: 0, timer: { cancel: () => {} } };
      dozing.add(doze);
      if (kind.of === 'anything') sleepUntil(doze, dueMs + kind.seldomMs);
      else sleep(doze);
      return {
        cancel: () => {
          doze.timer.cancel();
          dozing.delete(doze);
        },
      };
    };
  }

  return {
    timerOf,
    committed: (tables: ReadonlySet<string>) => {
      const hasJobs = tables.has('jobs');
      const hasLog = tables.has('events') || tables.has('cursors');
      for (const doze of dozing) {
        const { of } = doze.kind;
        const isConcerned = of === 'anything' || (of === 'jobs' && hasJobs) || (of === 'log' && hasLog);
        if (isConcerned && soonMs(doze) < doze.wakesMs) sleep(doze);
      }
    },
    // Where nothing goes wrong any more, a look that finds nothing shows nothing.
    rest: () => {
      isLazy = true;
    },
  };
}

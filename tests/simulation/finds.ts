// What a look of the engine would find, and from when: for a simulation that leaves out the looks in vain.
//
// Promises: reads what is committed and changes nothing. Times are of the world's clock, from its beginning; null =
// nothing is there.

import type { Evidence } from './evidence.ts';
import { newerType } from './releases.ts';

export type Finds = {
  // A job of one of these consumers that is due, or whose lease is over, and that the process knows.
  readonly job: (consumers: readonly string[], process: string) => number | null;
  // An event before one of these cursors, where the process has it or may have it.
  readonly event: (readers: readonly string[], process: string) => number | null;
  readonly isHolding: (process: string) => boolean;
};

export function createFinds(evidence: () => Evidence): Finds {
  const earlier = (one: number | null, other: number) => (one === null ? other : Math.min(one, other));

  return {
    job: (consumers, process) => {
      const { orders, settings, happenings } = evidence();
      const knowsNewer = happenings.some((one) => one.process === process && one.isNewer);
      let found: number | null = null;
      for (const { jobs } of orders.values()) {
        for (const { consumer, event_type, due_at, lease_until } of jobs.values()) {
          if (!consumers.includes(consumer) || (event_type === newerType && !knowsNewer)) continue;
          found = earlier(found, Math.max(due_at.getTime(), lease_until?.getTime() ?? 0) - settings.epochMs);
        }
      }
      return found;
    },

    event: (readers, process) => {
      const { orders, settings, cursors, tokens } = evidence();
      let found: number | null = null;
      for (const { owed } of orders.values()) {
        for (const { reader } of owed.values()) {
          if (!readers.includes(reader)) continue;
          const cursor = cursors.get(reader);
          const isOwn = !cursor?.token || tokens.get(cursor.token)?.process === process;
          found = earlier(found, isOwn ? 0 : Number(cursor?.lease_until) - settings.epochMs);
        }
      }
      return found;
    },

    isHolding: (process) => {
      const { orders, tokens } = evidence();
      for (const { jobs } of orders.values()) {
        for (const { token } of jobs.values())
          if (token !== null && tokens.get(token)?.process === process) return true;
      }
      return false;
    },
  };
}

// Tells the log of a server that cannot be reached: once when it goes, once when it is back.
//
// Promises: one warning per outage, however many connections, queues and tries meet it; a complaint that
// repeats itself is said at most every ten seconds, with how often it came.
// Clients retry in the background for as long as it takes, so a line per try would bury the log.

import type { Log, System } from '../../engine/ports.ts';

// A person who reads along sees that it goes on; a day of it fills no disk.
const complaintMs = 10_000;

export type Outage = {
  // One of the ways to the server is broken, or whole again.
  readonly failed: (way: string, error: unknown) => void;
  readonly worked: (way: string) => void;
  // The way is used no more; whether it was broken does not matter.
  readonly left: (way: string) => void;
  readonly isBroken: (way: string) => boolean;
};

export function createOutage(options: {
  readonly server: string;
  readonly address: string;
  // What to look at.
  readonly advice?: string;
  readonly log: Log;
}): Outage {
  const { server, address, advice = 'Check that it runs', log } = options;
  const broken = new Set<string>();
  return {
    failed: (way, error) => {
      if (broken.size === 0) {
        const what = `${server} at ${address} cannot be used: ${reasonOf(error)}`;
        log.warn({ error: reasonOf(error) }, `${what}; facts stay in the database and wait. ${advice}`);
      }
      broken.add(way);
    },
    worked: (way) => {
      if (broken.delete(way) && broken.size === 0) log.info({}, `${server} at ${address} is back`);
    },
    left: (way) => void broken.delete(way),
    isBroken: (way) => broken.has(way),
  };
}

export type Complaint = (fields: object, message: string) => void;

export function createComplaint(log: Log, system: Pick<System, 'monotonicMs'>): Complaint {
  const said = new Map<string, { atMs: number; since: number }>();
  return (fields, message) => {
    const nowMs = system.monotonicMs();
    const last = said.get(message);
    if (last !== undefined && nowMs - last.atMs < complaintMs) {
      last.since += 1;
      return;
    }
    log.warn(last === undefined ? fields : { ...fields, timesSince: last.since }, message);
    said.set(message, { atMs: nowMs, since: 0 });
  };
}

// An error of a connection to several addresses has its reasons inside, and a message that says little or
// nothing; libraries wrap what happened. Several tries mostly have one reason.
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(reasonOf))].join('; ');
  }
  if (!(error instanceof Error)) return String(error);
  const said = error.message || error.name;
  return error.cause instanceof Error ? `${said} (${reasonOf(error.cause)})` : said;
}

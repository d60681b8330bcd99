// Tells the log of a server that cannot be reached: once when it goes, once when it is back.
//
// Promises: one warning per outage, however many connections, queues and tries meet it.
// Clients retry in the background for as long as it takes, so a line per try would bury the log.

import type { Log } from '../engine/ports.ts';

export type Outage = {
  // One of the ways to the server is broken, or whole again.
  readonly failed: (way: string, error: unknown) => void;
  readonly worked: (way: string) => void;
  // The way is used no more; whether it was broken does not matter.
  readonly left: (way: string) => void;
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
        log.warn({ error: reasonOf(error) }, `${what}; events stay in the database and wait. ${advice}`);
      }
      broken.add(way);
    },
    worked: (way) => {
      if (broken.delete(way) && broken.size === 0) log.info({}, `${server} at ${address} is back`);
    },
    left: (way) => void broken.delete(way),
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

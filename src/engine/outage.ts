// Tells the log of what fails for a while, such as a server that cannot be reached: when it begins, that it goes on,
// and when it is over.
//
// Promises: one warning per outage, however many connections, loops and tries meet it; a reminder each minute; one line
// with how long it took when it is over. What a caller says is told elsewhere is not told here.
// Process dies: an outage that goes on is told anew by the next one.

import type { Log, System } from './ports.ts';

const reminderMs = 60_000;

export type Outage = {
  // One of the ways to it is broken, or whole again. Costs nothing where nothing is broken.
  readonly failed: (way: string, error: unknown) => void;
  readonly worked: (way: string) => void;
  // The way is used no more; whether it was broken does not matter.
  readonly left: (way: string) => void;
  readonly isOpen: () => boolean;
};

export function createOutage(options: {
  // What fails, with its address where it has one.
  readonly what: string;
  readonly fails?: string;
  readonly works?: string;
  // What becomes of the work meanwhile, and what to look at.
  readonly advice: string;
  // Members of each of its lines.
  readonly fields?: object;
  // True where what the error means is told by somebody else.
  readonly isTold?: ((error: unknown) => boolean) | undefined;
  readonly log: Log;
  readonly system: System;
}): Outage {
  const { what, fails = 'cannot be used', works = 'is back', advice, fields = {}, log, system } = options;
  const { isTold = () => false } = options;
  const broken = new Set<string>();
  let open: { since: Date; sinceMs: number; failures: number; error: string; timer: { cancel: () => void } } | null =
    null;

  const remindLater = () => system.after(reminderMs, remind);

  function remind(): void {
    if (open === null) return;
    const { since, sinceMs, failures, error } = open;
    const forMs = Math.round(system.monotonicMs() - sinceMs);
    log.warn({ ...fields, since, forMs, failures, error }, `${what} still ${fails}: ${error}; ${advice}`);
    open.timer = remindLater();
  }

  // An outage that nobody will see the end of is not told of any more.
  function close(): typeof open {
    const was = open;
    was?.timer.cancel();
    open = null;
    return was;
  }

  return {
    failed: (way, error) => {
      if (isTold(error)) return;
      broken.add(way);
      const reason = reasonOf(error);
      if (open !== null) {
        open.failures += 1;
        open.error = reason;
        return;
      }
      const since = system.now();
      open = { since, sinceMs: system.monotonicMs(), failures: 1, error: reason, timer: remindLater() };
      log.warn({ ...fields, since, error: reason }, `${what} ${fails}: ${reason}; ${advice}`);
    },
    worked: (way) => {
      if (!broken.delete(way) || broken.size > 0) return;
      const was = close();
      if (was === null) return;
      const forMs = Math.round(system.monotonicMs() - was.sinceMs);
      const { since, failures } = was;
      log.info({ ...fields, since, forMs, failures }, `${what} ${works} after ${Math.round(forMs / 1_000)} s`);
    },
    left: (way) => {
      if (broken.delete(way) && broken.size === 0) close();
    },
    isOpen: () => open !== null,
  };
}

const shownMax = 300;

// An error of a connection to several addresses has its reasons inside, and a message that says little or
// nothing; libraries wrap what happened. Several tries mostly have one reason.
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(reasonOf))].join('; ').slice(0, shownMax);
  }
  if (!(error instanceof Error)) return String(error).slice(0, shownMax);
  const said = error.message || error.name;
  return (error.cause instanceof Error ? `${said} (${reasonOf(error.cause)})` : said).slice(0, shownMax);
}

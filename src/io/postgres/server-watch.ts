// Watches whether the server of the database can be reached, for the log: away and back are a pair of lines, whoever
// notices.
//
// Promises: a connection that breaks alone is no outage: the server is asked first. While it is away it is asked once a
// second, so that the end is told also where nobody else needs the database. Costs nothing while all is well.
// Relies on nothing but errors being passed in; nothing in the flow depends on it.

import type { Pool } from 'pg';
import { createOutage } from '../../engine/outage.ts';
import type { Log, System } from '../../engine/ports.ts';
import { connectionTrouble } from './connection-trouble.ts';
import { isAway, isCrowded, NotConnectedError } from './errors.ts';

const askEveryMs = 1_000;

export type ServerWatch = {
  // A statement failed, or no connection came about.
  readonly failed: (error: unknown) => void;
  readonly close: () => void;
};

export function createServerWatch(options: {
  // In words, with its address and nothing secret.
  readonly name: string;
  readonly pool: Pool;
  readonly log: Log;
  readonly system: System;
}): ServerWatch {
  const { name, pool, log, system } = options;
  const outage = createOutage({
    what: name,
    advice: 'what was accepted waits; nothing is lost',
    fields: { dependency: 'database' },
    log,
    system,
  });
  // Before the first connection a failure is told by whoever starts.
  let wasThere = false;
  let isAsking = false;
  let isClosed = false;

  function opened(error: unknown): void {
    if (isClosed || !wasThere) return;
    outage.failed('server', wordedOf(error));
  }

  // Until it answers. One loop at a time.
  async function look(): Promise<void> {
    if (isAsking || isClosed || !wasThere) return;
    isAsking = true;
    while (!isClosed) {
      try {
        await pool.query('/* look-whether-back */ SELECT 1');
        break;
      } catch (error) {
        opened(error);
        await system.sleep(askEveryMs);
      }
    }
    isAsking = false;
    if (!isClosed) outage.worked('server');
  }

  pool.on('connect', () => {
    wasThere = true;
  });
  pool.on('error', (error) => {
    log.debug({ error: error.message }, 'an idle database connection ended');
    void look();
  });

  return {
    failed: (error) => {
      if (!isAway(error) || isCrowded(error) || isClosed) return;
      // It was refused a connection: there is nothing to ask any more.
      if (error instanceof NotConnectedError) opened(error);
      void look();
    },
    close: () => {
      isClosed = true;
      outage.left('server');
    },
  };
}

// What to do about it, where that is known; else what was thrown.
function wordedOf(error: unknown): unknown {
  const cause = error instanceof NotConnectedError ? error.cause : error;
  const trouble = connectionTrouble(cause);
  return trouble === null ? cause : new Error(trouble);
}

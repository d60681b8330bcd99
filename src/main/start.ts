// The role `start`: everything in one process. API, relay, all consumers, memory bus; the embedded
// database and simulated partners unless the settings name others.
//
// Promises: what keeps it from starting is one sentence; a signal stops it gracefully within the set
// time; the next start goes on where this one stopped. Killed at any line, it loses nothing.

import { join } from 'node:path';
import type { Logger } from 'pino';
import type { System } from '../bus/ports.ts';
import type { Partners } from '../flow/ports.ts';
import { createMemoryBus } from '../io/buses/memory.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import { createHttpServer } from '../io/http/server.ts';
import { createHttpPartners } from '../io/partners/http.ts';
import { openLedger } from '../io/partners/ledger.ts';
import { createLocalPartners } from '../io/partners/local.ts';
import { createStage } from '../io/partners/stage.ts';
import type { Database } from '../io/postgres/database.ts';
import { checkDatabase, readBacklog } from '../io/postgres/health.ts';
import { createMetrics } from '../io/telemetry/metrics.ts';
import type { Config } from './config.ts';
import { openDatabase, subscribedTypes } from './open-database.ts';
import { cannotListen } from './start-error.ts';
import { allRoles, createEngine } from './wire.ts';

type StartOptions = {
  readonly config: Config;
  readonly system: System;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
};

export async function runStart(options: StartOptions): Promise<void> {
  const { config, system, log } = options;
  // The ledger and the embedded database live there; with neither, nothing is locked.
  const needsDirectory = config.database.url === null || config.partners.url === null;
  const unlock = needsDirectory ? lockDirectory(config.dataDir) : () => {};
  try {
    // First what may be in use by somebody else: an open database would have to be closed again.
    const partners = openPartners(config, system);
    try {
      const database = await openDatabase(config, log);
      try {
        await serve({ ...options, database, partners: partners.port });
      } finally {
        await database.close();
      }
    } finally {
      partners.close();
    }
    log.info({}, 'stopped');
  } finally {
    unlock();
  }
}

// From listening to the last answer. What is opened before it is its caller's to close.
async function serve(
  options: StartOptions & { readonly database: Database; readonly partners: Partners },
): Promise<void> {
  const { config, system, log, signal, say, database } = options;
  const metrics = createMetrics(() => readBacklog(database));
  const engine = createEngine({
    database,
    bus: createMemoryBus({ log, onDropped: metrics.hintDropped }),
    partners: options.partners,
    simulatedPartners: true,
    settings: { ...config.worker, retryDelayMsMax: config.worker.retryDelayMaxMs },
    roles: allRoles,
    retention: { keysHours: config.retention.idempotencyHours, rowsDays: config.retention.days },
    metrics,
    system,
    log,
  });
  let isStopping = false;
  const server = createHttpServer({
    desk: engine.desk,
    system,
    log,
    metrics: metrics.scrape,
    readiness: async () => {
      const checks = await checkDatabase(database, subscribedTypes);
      const detail = isStopping ? 'stopping' : 'running';
      checks.push({ name: 'process', status: isStopping ? 'failed' : 'ok', detail });
      return { status: checks.every((check) => check.status === 'ok') ? 'ok' : 'failed', checks };
    },
    settings: { keyMode: config.idempotencyKeyMode, simulatedPartners: true },
  });
  const url = await server.listen({ ...config.http }).catch((error) => {
    throw cannotListen(error, { ...config.http, setting: 'PORT' });
  });
  try {
    await engine.start();
    say(greeting(url));
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  } finally {
    isStopping = true;
    log.info({}, 'stopping: no new work is taken, running work is finished or released');
    // A share for finishing calls; the rest for releasing, settling and closing.
    const graceMs = config.shutdownTimeoutMs / 2;
    await Promise.all([server.close(), engine.stop(graceMs)]);
  }
}

function openPartners(config: Config, system: System) {
  if (config.partners.url !== null) {
    const port = createHttpPartners({ url: config.partners.url });
    return { port, close: port.close };
  }
  const ledger = openLedger({ directory: join(config.dataDir, 'partners') });
  return { port: createLocalPartners({ ledger, stage: createStage(), system }), close: ledger.close };
}

function greeting(url: string): string {
  return `
  Orderly is running at ${url}   (API documentation: ${url}/docs)

  Place an order:

    curl -s ${url}/orders -H 'content-type: application/json' -H 'Idempotency-Key: my-first-order' \\
      -d '{"customerEmail":"user@example.com","productType":"Phone","country":"US","paymentScenario":"flaky"}'

  Then look at ${url}/orders/<id>/timeline. Ctrl-C stops it; nothing is lost.
`;
}

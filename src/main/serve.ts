// One working process: opens what its duties need, works until told to stop, closes everything again.
//
// Promises: what keeps it from starting is one sentence; a signal stops it gracefully within the set
// time; the next start goes on where this one stopped. Killed at any line, it loses nothing. What it does
// not need it does not open: the API takes orders while the broker and the partners are away.

import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import manifest from '../../package.json' with { type: 'json' };
import { eventTypes } from '../domain/events.ts';
import type { Bus } from '../engine/bus.ts';
import type { System } from '../engine/ports.ts';
import { silentTracer, type Tracer } from '../engine/tracer.ts';
import type { Partners } from '../flow/ports.ts';
import type { Search } from '../flow/projections/search-ports.ts';
import { subscriptions } from '../flow/subscriptions.ts';
import { lockDirectory } from '../io/directory-lock.ts';
import { createGate } from '../io/gate.ts';
import { createHttpServer } from '../io/http/server.ts';
import type { Database } from '../io/postgres/database.ts';
import { isToldOf } from '../io/postgres/errors.ts';
import { readGauges } from '../io/postgres/gauges.ts';
import { type Check, checkDatabase, wellChecked } from '../io/postgres/health.ts';
import { both, createEventsLog } from '../io/telemetry/events-log.ts';
import type { Sample } from '../io/telemetry/gauges.ts';
import type { MetricsOf } from '../io/telemetry/instruments.ts';
import { createMetrics } from '../io/telemetry/metrics.ts';
import { allConsumers } from './arguments.ts';
import type { Config } from './config.ts';
import { databaseName } from './database-name.ts';
import { openBus } from './open-bus.ts';
import { openDatabase, readsMaxOf, subscribedTypes } from './open-database.ts';
import { callsPartners, openPartners } from './open-partners.ts';
import { openSearch } from './open-search.ts';
import { createReadiness } from './readiness.ts';
import { cannotListen } from './start-error.ts';
import { createEngine } from './wire.ts';
import { portsFor } from './worker-port.ts';

export type Duties = {
  readonly api: boolean;
  readonly relay: boolean;
  readonly consumers: readonly string[];
  // No other process works on the same orders, unless the settings say that it might.
  readonly isAlone: boolean;
};

export type ServeOptions = {
  readonly duties: Duties;
  readonly config: Config;
  readonly system: System;
  readonly log: Logger;
  readonly signal: AbortSignal;
  // Everything runs; null = it listens nowhere.
  readonly onReady: (url: string | null) => void;
};

export async function serve(options: ServeOptions): Promise<void> {
  const { duties, config, system, log } = options;
  // The ledger and the embedded database live there; with neither, nothing is locked.
  const hasLedger = duties.isAlone && config.partners.url === null && duties.consumers.some(callsPartners);
  const unlock = config.database.url === null || hasLedger ? lockDirectory(config.dataDir) : () => {};
  try {
    // First what may be in use by somebody else: an open database would have to be closed again.
    const { tracer, flush } = await openTracer(options);
    const partners = await openPartners(config, duties, { system, tracer });
    try {
      const database = await openDatabase(config, { system, log });
      try {
        const { search, close } = await openSearch(config, database, { system, log });
        try {
          await work({ ...options, database, partners: partners.port, search, tracer });
        } finally {
          await close();
        }
      } finally {
        await database.close();
      }
    } finally {
      partners.close();
      await flush();
    }
    log.info({}, 'stopped');
  } finally {
    unlock();
  }
}

// From listening to the last answer. What is opened before it is its caller's to close.
async function work(
  options: ServeOptions & {
    readonly database: Database;
    readonly partners: Partners;
    readonly search: Search;
    readonly tracer: Tracer;
  },
): Promise<void> {
  const { duties, config, system, log, signal, database, tracer } = options;
  const metrics = createMetrics(metricsOf(duties, database));
  const isUsed = duties.relay || duties.consumers.length > 0;
  const bus = isUsed ? await openBus(config.bus, { system, log }) : null;
  // Over no bus there is no relay, and one process.
  let isRelaying = bus === null && duties.relay;
  const engine = createEngine({
    database,
    bus,
    // Nobody else can open the embedded database.
    knowsAllWriters: config.database.url === null,
    partners: options.partners,
    search: options.search,
    simulatedPartners: true,
    settings: { ...config.worker, retryDelayMsMax: config.worker.retryDelayMaxMs },
    roles: { ...duties, name: roleOf(duties) },
    retention: { keysHours: config.retention.idempotencyHours, rowsDays: config.retention.days },
    observer: both(
      createEventsLog({ log, system, maxRetries: config.worker.maxRetries, isTold: isToldOf, names: namesOf(config) }),
      { ...metrics.observer, relaying: (isOurs) => (isRelaying = isOurs) },
    ),
    tracer,
    system,
    log,
  });
  let isStopping = false;
  const name = databaseName({ ...config.database, dataDir: config.dataDir });
  const server = createHttpServer({
    desk: duties.api ? engine.desk : null,
    operators: duties.api ? engine.operators : null,
    system,
    log,
    metrics: metrics.scrape,
    watch: metrics.http,
    tracer,
    isLeaving: () => isStopping,
    ...readsMaxOf(config),
    readiness: createReadiness({
      check: async () => (await checkDatabase(database, subscribedTypes)).map((check) => named(check, name)),
      initial: wellChecked.map((check) => named(check, name)),
      isStopping: () => isStopping,
      paused: () => engine.pauses().map(({ kind, name }) => `${kind} ${name}`),
      system,
    }),
    settings: {
      ...{ keyMode: config.idempotencyKeyMode, simulatedPartners: true },
      ...{ docs: config.http.docs, console: config.http.console },
    },
    gate: createGate(config.http),
    tokens: config.http.operators,
  });
  const url = await listen(server, duties, config).catch(async (error) => {
    await bus?.close();
    throw error;
  });
  const ending = new AbortController();
  const cursors = ['relay', 'analytics', `search.${options.search.kind}`];
  const asked = { jobs: subscriptions.map(({ consumer }) => consumer), consumers: allConsumers, readers: cursors };
  const kept: Promise<void>[] = [];
  try {
    await engine.start();
    const source = { isOurs: () => isRelaying, isTold: isToldOf, system, log };
    const read = () => readGauges(database, asked);
    kept.push(metrics.gauges.keep({ ...source, what: 'database', read }, ending.signal));
    if (bus !== null) kept.push(metrics.gauges.keep({ ...source, ...lagOf(bus) }, ending.signal));
    options.onReady(url);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  } finally {
    isStopping = true;
    log.info({}, 'stopping: no new work is taken, running work is finished or released');
    // Who balances requests sees /readyz fail and sends the next one elsewhere, before this port closes.
    const drainMs = duties.api ? config.drainMs : 0;
    if (drainMs > 0) await system.sleep(drainMs);
    // A share for finishing calls; the rest for releasing, settling and closing.
    const graceMs = (config.shutdownTimeoutMs - drainMs) / 2;
    ending.abort();
    await Promise.all([server.close(), engine.stop(graceMs), ...kept]);
  }
}

// Without traces nothing of their SDK is loaded.
async function openTracer({ config: { tracing }, duties, system, log }: ServeOptions) {
  if (tracing === null) return { tracer: silentTracer, flush: async () => {} };
  const { createTracer } = await import('../io/telemetry/tracer.ts');
  const tracer = await createTracer({ tracing, role: roleOf(duties), version: manifest.version, system, log });
  return { tracer, flush: tracer.close };
}

const roleOf = ({ api, relay, isAlone }: Duties) => (isAlone ? 'start' : api ? 'api' : relay ? 'relay' : 'worker');

// Which database it is, for who runs several.
const named = (check: Check, name: string) =>
  check.name === 'database' ? { ...check, detail: `${check.detail}: ${name}` } : check;

// A port that the settings do not name may be taken: then the next one of the role.
async function listen(server: FastifyInstance, duties: Duties, config: Config): Promise<string> {
  const { host } = config.http;
  const setting = duties.api ? 'PORT' : 'WORKER_PORT';
  const given = duties.api ? config.http.port : config.workerPort;
  const ports = given === null ? portsFor(duties) : [given];
  for (const port of ports) {
    try {
      return await server.listen({ host, port });
    } catch (error) {
      const isTaken = (error as { code?: unknown }).code === 'EADDRINUSE';
      if (!isTaken || port === ports.at(-1)) throw cannotListen(error, { host, port, setting });
    }
  }
  throw new Error('no port was tried');
}

// Whom the bus tells of is known to each process for itself.
const lagOf = (bus: Bus) => ({
  what: 'bus',
  // Some brokers take money for an answer, or go through a queue for it.
  everyMs: 15_000,
  isOurs: () => true,
  isTold: () => bus.isAway?.() === true,
  read: async () => [...(await bus.lag())].map(([group, messages]): Sample => ['bus_lag', { group }, messages]),
});

function metricsOf(duties: Duties, { usage }: Database): MetricsOf {
  const { consumers } = duties;
  const rows = subscriptions.filter(({ consumer }) => consumers.includes(consumer));
  return {
    version: manifest.version,
    role: roleOf(duties),
    consumers,
    dependencies: [
      ...new Set([...rows.flatMap((row) => row.dependencies), ...(consumers.includes('search') ? ['search'] : [])]),
    ],
    eventTypes,
    connections: usage ?? (() => ({ open: 0, idle: 0, waiting: 0 })),
  };
}

// What the log calls the dependencies that have breakers.
function namesOf({ partners, search, smtp }: Config): Record<string, string> {
  const where = partners.url === null ? 'simulated in this process' : `at ${new URL(partners.url).host}`;
  const mail = smtp === null ? `the mail partner ${where}` : `the mail server at ${new URL(smtp.url).host}`;
  return {
    payments: `the payment provider ${where}`,
    carrier: `the carrier ${where}`,
    mail,
    search: search.engine === 'postgres' ? 'the search' : `Elasticsearch at ${new URL(search.url).host}`,
  };
}

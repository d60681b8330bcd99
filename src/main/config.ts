// Every setting, read once at the start: the only file that touches the environment.
//
// Promises: one frozen record, or every mistake at once as a line that names the setting, its value and
// what is allowed; never a secret in such a line; nothing is started, printed or ended here.
// An empty value counts as absent. One table per group is the only source of name, default, check,
// meaning (see help.ts) and type.
// Relies on setting.ts for how one value is checked.

import {
  didYouMean,
  oneOf,
  quote,
  type Setting,
  share,
  text,
  timerMaxMs,
  url,
  whole,
  withoutSecrets,
} from './setting.ts';

// PostgreSQL forks a process per connection, and group commit shares the few that do the writing.
const databasePoolMax = 10;

// Orders in flight per process: enough that one flush carries many, few enough that a dead worker
// leaves little work to be taken over.
const workerConcurrency = 256;

// Between the end of an outside call and the end of its lease: time to commit what came of it.
const leaseMarginMs = 1_000;

export const roles = ['start', 'migrate', 'sandbox', 'verify'] as const;
export type Role = (typeof roles)[number];

const http = {
  HOST: text('127.0.0.1', /^[\w.:%-]+$/, 'a host name or an IP address without brackets', 'where the API listens'),
  PORT: whole(3000, 0, 65_535, 'its port; 0 takes any free one'),
  WORKER_PORT: whole(null, 0, 65_535, 'health and metrics of relay and workers; absent = off'),
};
const database = {
  DATABASE_URL: url(['postgres', 'postgresql'], 'PostgreSQL; absent = the embedded database'),
  MIGRATE_DATABASE_URL: url(['postgres', 'postgresql'], 'PostgreSQL as `migrate` reaches it, where that differs'),
  DATABASE_POOL_MAX: whole(databasePoolMax, 1, 1_000, 'connections to PostgreSQL per process'),
  ORDERLY_DATA_DIR: text('.orderly/data', /./, 'a directory', "the embedded database and the partners' ledger"),
};
const bus = {
  BUS: oneOf('memory', ['memory'], 'what carries the facts; `memory` stays inside this process', [
    'kafka',
    'redis',
    'sqs',
  ]),
};
const partners = {
  PARTNERS_URL: url(['http', 'https'], 'the sandbox over HTTP; absent = simulated partners in this process'),
  SANDBOX_PORT: whole(4000, 0, 65_535, 'where the sandbox listens'),
};
const worker = {
  ORDER_WORKER_MAX_RETRIES: whole(3, 0, 1_000, 'retries per step after its first attempt'),
  ORDER_WORKER_RETRY_DELAY_MS: whole(1_000, 0, timerMaxMs, 'base of the exponential backoff with full jitter'),
  ORDER_WORKER_RETRY_DELAY_MAX_MS: whole(60_000, 0, timerMaxMs, 'cap of the backoff'),
  ORDER_WORKER_FAILURE_PROBABILITY: share(0, 'each attempt of a core step fails retryably with it'),
  ORDER_WORKER_PROCESSING_DELAY_MS: whole(0, 0, timerMaxMs, 'added to each attempt of a core step'),
  ORDER_WORKER_TIMEOUT_MS: whole(5_000, 1, timerMaxMs, 'one outside call; below the lease'),
  ORDER_WORKER_MAX_WAIT_MS: whole(86_400_000, 1, timerMaxMs, 'uncharged waiting (breaker open) at most'),
  ORDER_WORKER_CONCURRENCY: whole(workerConcurrency, 1, 100_000, 'orders in flight per worker process'),
  ORDER_WORKER_LEASE_MS: whole(30_000, 1, timerMaxMs, "after this a dead worker's work is taken over"),
};
const keeping = {
  IDEMPOTENCY_KEY_MODE: oneOf('optional', ['optional', 'required'], 'whether POST /orders must carry a key'),
  IDEMPOTENCY_RETENTION_HOURS: whole(168, 1, 87_600, 'how long a key is remembered'),
  RETENTION_DAYS: whole(30, 1, 3_650, 'how long ended deliveries, attempts and closed letters are kept'),
};
const running = {
  SHUTDOWN_TIMEOUT_MS: whole(10_000, 1, timerMaxMs, 'a process told to stop has ended after this'),
  LOG_LEVEL: oneOf('info', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'lowest level'),
};

const settings = { ...http, ...database, ...bus, ...partners, ...worker, ...keeping, ...running };
type Name = keyof typeof settings;
type Values = { readonly [N in Name]: (typeof settings)[N] extends Setting<infer T> ? T : never };

export const settingGroups: Readonly<Record<string, Readonly<Record<string, Setting<unknown>>>>> = {
  Listening: http,
  Database: database,
  Bus: bus,
  Partners: partners,
  'Work on orders': worker,
  'What is kept': keeping,
  'The process': running,
};

export type Config = ReturnType<typeof toConfig>;
export type ConfigReading =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly mistakes: readonly string[] };

export function readEnvironment(role: Role): ConfigReading {
  return readConfig(process.env, role);
}

export function readConfig(env: NodeJS.ProcessEnv, role: Role): ConfigReading {
  const mistakes: string[] = unknownNames(env);
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries<Setting<unknown>>(settings)) {
    const given = env[name]?.trim() ?? '';
    const reading = given === '' ? { value: setting.initial } : setting.read(given);
    if ('value' in reading) values[name] = reading.value;
    else mistakes.push(`${name}=${reading.shown ?? quote(given)}: ${reading.rule}`);
  }
  // What a setting must be beside another is looked at only where each of them is right by itself.
  mistakes.push(...contradictions(values as Partial<Values>, role));
  return mistakes.length > 0 ? { ok: false, mistakes } : { ok: true, config: toConfig(values as Values, role) };
}

function toConfig(values: Values, role: Role) {
  return Object.freeze({
    role,
    http: Object.freeze({ host: values.HOST, port: values.PORT }),
    // Null = no port for health and metrics of relay and workers.
    workerPort: values.WORKER_PORT,
    database: Object.freeze({
      // Null = embedded, under `dataDir`.
      url: values.DATABASE_URL,
      migrateUrl: values.MIGRATE_DATABASE_URL ?? values.DATABASE_URL,
      poolMax: values.DATABASE_POOL_MAX,
    }),
    dataDir: values.ORDERLY_DATA_DIR,
    bus: values.BUS,
    // Null = simulated in this process.
    partners: Object.freeze({ url: values.PARTNERS_URL, sandboxPort: values.SANDBOX_PORT }),
    worker: Object.freeze({
      maxRetries: values.ORDER_WORKER_MAX_RETRIES,
      retryDelayMs: values.ORDER_WORKER_RETRY_DELAY_MS,
      retryDelayMaxMs: values.ORDER_WORKER_RETRY_DELAY_MAX_MS,
      failureProbability: values.ORDER_WORKER_FAILURE_PROBABILITY,
      processingDelayMs: values.ORDER_WORKER_PROCESSING_DELAY_MS,
      timeoutMs: values.ORDER_WORKER_TIMEOUT_MS,
      maxWaitMs: values.ORDER_WORKER_MAX_WAIT_MS,
      concurrency: values.ORDER_WORKER_CONCURRENCY,
      leaseMs: values.ORDER_WORKER_LEASE_MS,
    }),
    idempotencyKeyMode: values.IDEMPOTENCY_KEY_MODE,
    retention: Object.freeze({ idempotencyHours: values.IDEMPOTENCY_RETENTION_HOURS, days: values.RETENTION_DAYS }),
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT_MS,
    logLevel: values.LOG_LEVEL,
  });
}

// A comparison with what could not be read is false: that setting has its own line already.
function contradictions(values: Partial<Values>, role: Role): string[] {
  const found: string[] = [];
  const timeoutMs = values.ORDER_WORKER_TIMEOUT_MS ?? Number.NaN;
  const leaseMs = values.ORDER_WORKER_LEASE_MS ?? Number.NaN;
  if (timeoutMs + leaseMarginMs >= leaseMs) {
    const rule = `must be more than ${leaseMarginMs} below ORDER_WORKER_LEASE_MS, which is ${leaseMs}`;
    found.push(`ORDER_WORKER_TIMEOUT_MS=${timeoutMs}: ${rule} (a call must end before its lease does)`);
  }
  const delayMs = values.ORDER_WORKER_RETRY_DELAY_MS ?? Number.NaN;
  const delayMaxMs = values.ORDER_WORKER_RETRY_DELAY_MAX_MS ?? Number.NaN;
  if (delayMs > delayMaxMs) {
    const rule = `must not be above ORDER_WORKER_RETRY_DELAY_MAX_MS, which is ${delayMaxMs}`;
    found.push(`ORDER_WORKER_RETRY_DELAY_MS=${delayMs}: ${rule}`);
  }
  if (role === 'start' && values.MIGRATE_DATABASE_URL && values.DATABASE_URL === null) {
    const shown = withoutSecrets(values.MIGRATE_DATABASE_URL);
    found.push(`MIGRATE_DATABASE_URL=${shown}: needs DATABASE_URL too, else the start would use the embedded database`);
  }
  return found;
}

// Only prefixes that are ours: platforms inject PORT-like names for services that we know nothing of.
// The value is not printed: under a name that we do not know it may be a secret.
function unknownNames(env: NodeJS.ProcessEnv): string[] {
  const known = Object.keys(settings);
  const isOurs = (name: string) => /^(ORDER_WORKER|ORDERLY)_/.test(name);
  return Object.keys(env)
    .filter((name) => isOurs(name) && !known.includes(name) && env[name]?.trim())
    .map((name) => `${name}: no such setting${didYouMean(name, known.filter(isOurs))}`);
}

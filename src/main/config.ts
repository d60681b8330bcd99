// Every setting, read once at the start: the only file that touches the environment.
//
// Promises: one frozen record, or every mistake at once as a line that names the setting, its value and
// what is allowed; never a secret in such a line; nothing is started, printed or ended here.
// A name that is set to nothing is a mistake: a secret that did not come must not mean the default. What
// Kubernetes puts into every process about its services is passed over. One table per group is the only source of name, default, check,
// meaning (see help.ts) and type.
// Relies on setting.ts for how one value is checked.

import { didYouMean, quote, type Setting, withoutSecrets } from './setting.ts';
import { settings, type Values } from './settings.ts';

// Between the end of an outside call and the end of its lease: time to commit what came of it.
const leaseMarginMs = 1_000;

export const roles = [
  'start',
  'api',
  'relay',
  'worker',
  'migrate',
  'sandbox',
  'verify',
  'reindex',
  'show',
  'dlq',
  'pause',
  'resume',
] as const;
export type Role = (typeof roles)[number];
// What is asked to run: a role, or all of them as processes of their own.
export type Run = Role | 'start --processes';
// These share the database with other processes, and need a bus that reaches them.
const runsApart: readonly Run[] = ['api', 'relay', 'worker', 'start --processes'];

export type Config = ReturnType<typeof toConfig>;
export type ConfigReading =
  | { readonly ok: true; readonly config: Config; readonly shown: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly mistakes: readonly string[] };

export function readEnvironment(run: Run): ConfigReading {
  return readConfig(process.env, run);
}

// The npm that started this very process, whose shell has told it by a script of ours; null where there is none.
export function npmPid(): number | null {
  return Number(process.env.NPM_PID) || null;
}

// For a process that this one starts.
export function environmentWith(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...process.env, ...more };
}

export function readConfig(env: NodeJS.ProcessEnv, run: Run): ConfigReading {
  const mistakes: string[] = unknownNames(env);
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries<Setting<unknown>>(settings)) {
    const given = isInjected(name, env[name]) || isUnset(name, env[name]) ? undefined : env[name]?.trim();
    const reading = given === undefined ? { value: setting.initial } : given === '' ? empty : setting.read(given);
    if ('value' in reading) values[name] = reading.value;
    else mistakes.push(`${name}=${reading.shown ?? quote(given ?? '')}: ${reading.rule}`);
  }
  // What a setting must be beside another is looked at only where each of them is right by itself.
  mistakes.push(...contradictions(values as Partial<Values>, run));
  return mistakes.length > 0
    ? { ok: false, mistakes }
    : { ok: true, config: toConfig(values as Values, env), shown: shownOf(values) };
}

// The settings in effect, without anything secret.
function shownOf(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries<Setting<unknown>>(settings).flatMap(([name, { shown }]) => {
    const value = values[name];
    return value == null ? [] : [[name, shown === undefined ? value : shown(value)]];
  });
  return Object.fromEntries(entries);
}

const empty = { rule: 'is set, but to nothing: give it a value, or take it out of the environment', shown: '""' };

// A Service named `orderly` or `worker` is told to every container beside it in names that look like ours:
// ORDERLY_SERVICE_HOST, ORDERLY_PORT=tcp://10.0.0.1:3000, WORKER_PORT_3000_TCP_ADDR (Kubernetes, "Discovering services").
function isInjected(name: string, value = ''): boolean {
  if (/_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name)) return true;
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name)) return true;
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\/[\da-f.:[\]]+$/i.test(value);
}

// To OpenTelemetry a name that is set to nothing is not set; others' injectors rely on that.
const isUnset = (name: string, value = '') => name.startsWith('OTEL_') && value.trim() === '';

function toConfig(values: Values, env: NodeJS.ProcessEnv) {
  return Object.freeze({
    http: Object.freeze({
      host: values.HOST,
      port: values.PORT,
      allowedHosts: Object.freeze(values.ALLOWED_HOSTS),
      docs: values.API_DOCS,
      console: values.CONSOLE,
      // Null = at host and port.
      url: values.ORDERLY_URL,
      operators: Object.freeze(values.OPERATOR_TOKEN ?? []),
    }),
    // Null = by role; see worker-port.ts.
    workerPort: values.WORKER_PORT,
    database: Object.freeze({
      // Null = embedded, under `dataDir`.
      url: values.DATABASE_URL,
      migrateUrl: values.MIGRATE_DATABASE_URL ?? values.DATABASE_URL,
      migrateSetting: values.MIGRATE_DATABASE_URL === null ? 'DATABASE_URL' : 'MIGRATE_DATABASE_URL',
      poolMax: values.DATABASE_POOL_MAX,
      // The driver reads this one itself.
      isTlsByEnvironment: !['', 'disable'].includes(env.PGSSLMODE ?? ''),
    }),
    dataDir: values.ORDERLY_DATA_DIR,
    // Null = the simulated partner.
    smtp: values.SMTP_URL === null ? null : Object.freeze({ url: values.SMTP_URL, from: values.MAIL_FROM ?? '' }),
    bus: Object.freeze({
      kind: values.BUS,
      kafka: Object.freeze({
        brokers: Object.freeze(values.KAFKA_BROKERS),
        layout: values.KAFKA_TOPIC_LAYOUT,
        partitions: values.KAFKA_PARTITIONS,
        groupProtocol: values.KAFKA_GROUP_PROTOCOL,
        instanceId: values.KAFKA_INSTANCE_ID,
        tls: values.KAFKA_SSL,
        sasl: toSasl(values),
      }),
      redis: Object.freeze({ url: values.REDIS_URL }),
      sqs: Object.freeze({
        // Null = Amazon's own.
        endpoint: values.AWS_ENDPOINT_URL_SQS,
        region: values.AWS_REGION,
        prefix: values.SQS_QUEUE_PREFIX,
        fifo: values.SQS_FIFO,
      }),
    }),
    search: Object.freeze({ engine: values.SEARCH, url: values.ELASTICSEARCH_URL }),
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
    tracing: toTracing(values),
    idempotencyKeyMode: values.IDEMPOTENCY_KEY_MODE,
    retention: Object.freeze({ idempotencyHours: values.IDEMPOTENCY_RETENTION_HOURS, days: values.RETENTION_DAYS }),
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT_MS,
    drainMs: values.SHUTDOWN_DRAIN_MS,
    logLevel: values.LOG_LEVEL,
  });
}

// Null = nothing is traced. What describes the process, and headers, timeout and compression of requests, the SDK reads.
function toTracing(values: Values) {
  const endpoint = values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? values.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (endpoint === null || values.OTEL_SDK_DISABLED || values.OTEL_TRACES_EXPORTER === 'none') return null;
  return Object.freeze({
    endpoint,
    hasHeaders: values.OTEL_EXPORTER_OTLP_HEADERS !== null,
    protocol: values.OTEL_EXPORTER_OTLP_PROTOCOL,
    sampler: values.OTEL_TRACES_SAMPLER,
    ratio: values.OTEL_TRACES_SAMPLER_ARG,
    everyMs: values.OTEL_BSP_SCHEDULE_DELAY,
    timeoutMs: values.OTEL_BSP_EXPORT_TIMEOUT,
    waitingMax: values.OTEL_BSP_MAX_QUEUE_SIZE,
    batchMax: values.OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
  });
}

function toSasl(values: Values) {
  const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password } = values;
  return mechanism === null ? null : Object.freeze({ mechanism, username: username ?? '', password: password ?? '' });
}

// A comparison with what could not be read is false: that setting has its own line already.
function contradictions(values: Partial<Values>, run: Run): string[] {
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
  const timeoutMsMax = values.SHUTDOWN_TIMEOUT_MS ?? Number.NaN;
  const drainMs = values.SHUTDOWN_DRAIN_MS ?? Number.NaN;
  if (drainMs > timeoutMsMax / 2) {
    const rule = `must be at most half of SHUTDOWN_TIMEOUT_MS, which is ${timeoutMsMax}`;
    found.push(`SHUTDOWN_DRAIN_MS=${drainMs}: ${rule} (the rest is for ending what is under way)`);
  }
  if (run === 'start' && values.MIGRATE_DATABASE_URL && values.DATABASE_URL === null) {
    const shown = withoutSecrets(values.MIGRATE_DATABASE_URL);
    found.push(`MIGRATE_DATABASE_URL=${shown}: needs DATABASE_URL too, else the start would use the embedded database`);
  }
  if (values.SMTP_URL && values.MAIL_FROM === null) {
    found.push(`SMTP_URL=${withoutSecrets(values.SMTP_URL)}: needs MAIL_FROM too, the address that mail comes from`);
  }
  const sasl = [values.KAFKA_SASL_MECHANISM, values.KAFKA_SASL_USERNAME, values.KAFKA_SASL_PASSWORD];
  if (!sasl.includes(undefined) && sasl.includes(null) && sasl.some((value) => value !== null)) {
    found.push('KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD: must be set all three, or none');
  }
  if (runsApart.includes(run)) found.push(...missingApart(values, run));
  return found;
}

function missingApart(values: Partial<Values>, run: Run): string[] {
  const found: string[] = [];
  if (values.DATABASE_URL === null) {
    found.push(`DATABASE_URL: must be set for \`${run}\`; the embedded database belongs to one process alone`);
  }
  if (values.BUS === 'memory') {
    found.push(`BUS="memory": must be kafka | redis | sqs for \`${run}\`; the memory bus stays inside one process`);
  }
  return found;
}

// Only prefixes that are ours: platforms inject PORT-like names for services that we know nothing of.
// The value is not printed: under a name that we do not know it may be a secret.
function unknownNames(env: NodeJS.ProcessEnv): string[] {
  const known = Object.keys(settings);
  const isOurs = (name: string) => /^(ORDER_WORKER|ORDERLY)_/.test(name);
  return Object.keys(env)
    .filter((name) => isOurs(name) && !known.includes(name) && !isInjected(name, env[name]))
    .map((name) => `${name}: no such setting${didYouMean(name, known.filter(isOurs))}`);
}

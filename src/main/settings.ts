// The table of settings: every name that the environment may carry, with its default, its check and its
// meaning, in groups as the help page shows them.
//
// Promises: this is their only source; a setting that is not here does not exist.
// Relies on setting.ts for the kinds of settings; config.ts reads them.

import {
  didYouMean,
  flag,
  list,
  noParameters,
  oneOf,
  quote,
  type Setting,
  secret,
  share,
  text,
  timerMaxMs,
  tokens,
  url,
  whole,
} from './setting.ts';

// PostgreSQL forks a process per connection, and group commit shares the few that do the writing.
const databasePoolMax = 10;

// Orders in flight per process: enough that one flush carries many, few enough that a dead worker
// leaves little work to be taken over.
const workerConcurrency = 256;

const http = {
  HOST: text('127.0.0.1', /^[\w.:%-]+$/, 'a host name or an IP address without brackets', 'where the API listens'),
  PORT: whole(3000, 0, 65_535, 'its port; 0 takes any free one'),
  ALLOWED_HOSTS: list(
    [],
    (name) => /^[\w.-]{1,253}$/.test(name),
    'host names without ports, several separated by commas',
    'further names by which it is addressed; see docs/security.md',
  ),
  ORDERLY_URL: url(
    null,
    { schemes: ['http', 'https'], example: 'https://orders.example', parameters: noParameters },
    'where `show`, `dlq`, `pause` and `resume` find the API; absent = at HOST and PORT',
  ),
  OPERATOR_TOKEN: tokens('what operators show: a token, or name=token,…; absent = nobody is asked'),
  API_DOCS: flag(true, 'whether /docs and /openapi.json are served'),
  CONSOLE: flag(true, 'whether /console, the page for operators, is served'),
  WORKER_PORT: whole(null, 0, 65_535, 'health and metrics of relay and workers; absent = from 3001 on, by role'),
};
// The driver takes many and passes others on; a slip in one of these would send everything in the clear.
const tlsParameters = ['ssl', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'sslnegotiation', 'sslpassword'];
const postgresUrl = {
  schemes: ['postgres', 'postgresql'],
  example: 'postgres://user:password@host:5432/database',
  parameters: (name: string) =>
    /^ssl/i.test(name) && !tlsParameters.includes(name)
      ? `has the parameter ${quote(name)}, which nobody reads${didYouMean(name, tlsParameters)}`
      : null,
};
const database = {
  DATABASE_URL: url(null, postgresUrl, 'PostgreSQL; absent = the embedded database'),
  MIGRATE_DATABASE_URL: url(null, postgresUrl, 'PostgreSQL as `migrate` reaches it, where that differs'),
  DATABASE_POOL_MAX: whole(databasePoolMax, 1, 1_000, 'connections to PostgreSQL per process'),
  ORDERLY_DATA_DIR: text('.orderly/data', /./, 'a directory', "the embedded database and the partners' ledger"),
};
const bus = {
  BUS: oneOf('memory', ['memory', 'kafka', 'redis', 'sqs'], 'what carries the events; `memory` within one process'),
};
const broker = (given: string) => {
  const [, port = 0] = /^[\w.-]+:(\d{1,5})$/.exec(given) ?? [];
  return Number(port) >= 1 && Number(port) <= 65_535;
};
const kafka = {
  KAFKA_BROKERS: list(['127.0.0.1:9092'], broker, 'host:port, several separated by commas', 'where Kafka is'),
  KAFKA_TOPIC_LAYOUT: oneOf('by-stream', ['by-stream', 'by-type'], 'topics per stream, or one for each type of event'),
  KAFKA_PARTITIONS: whole(6, 1, 1_000, 'partitions of a topic that is made here: as many workers can share it'),
  KAFKA_GROUP_PROTOCOL: oneOf('consumer', ['consumer', 'classic'], 'how readers share partitions; Kafka 4 has both'),
  KAFKA_INSTANCE_ID: text(
    null,
    /^[\w.-]{1,100}$/,
    '1 to 100 letters, digits and . _ -',
    'static membership: a name that survives restarts; absent = off',
  ),
  KAFKA_SSL: flag(false, 'connect by TLS'),
  KAFKA_SASL_MECHANISM: oneOf(null, ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'], 'how to sign in; absent = not at all'),
  KAFKA_SASL_USERNAME: text(null, /./, 'a name', 'who signs in'),
  KAFKA_SASL_PASSWORD: secret('with what'),
};
// What the path says is the number of a database; at anything else the client fails where nobody can see it.
const redisUrl = {
  schemes: ['redis', 'rediss'],
  example: 'redis://user:password@host:6379/0',
  path: /^\/?\d*$/,
  // The client would take any for an option of its own: whether it speaks TLS, says the scheme.
  parameters: (name: string, value: string) =>
    name === 'family' && /^[046]$/.test(value) ? null : 'takes the parameter family=0|4|6, and no other',
};
const redis = {
  REDIS_URL: url('redis://127.0.0.1:6379', redisUrl, 'where Redis is'),
};
const sqs = {
  AWS_ENDPOINT_URL_SQS: url(
    null,
    { schemes: ['http', 'https'], example: 'http://host:9324', parameters: noParameters },
    "an SQS-compatible server; absent = Amazon's own",
  ),
  AWS_REGION: text('us-east-1', /^[a-z0-9-]+$/, 'a region such as eu-central-1', 'the region of the queues'),
  SQS_QUEUE_PREFIX: text('orderly-', /^[\w-]{0,40}$/, 'at most 40 letters, digits, - and _', 'how queue names begin'),
  SQS_FIFO: flag(true, 'FIFO queues, in order per order; else standard ones'),
};
const search = {
  SEARCH: oneOf('postgres', ['postgres', 'elasticsearch'], 'what finds orders'),
  ELASTICSEARCH_URL: url(
    'http://127.0.0.1:9200',
    { schemes: ['http', 'https'], example: 'http://user:password@host:9200', parameters: noParameters },
    'where Elasticsearch is',
  ),
};
const partners = {
  PARTNERS_URL: url(
    null,
    { schemes: ['http', 'https'], example: 'http://host:4000', parameters: noParameters },
    'the sandbox over HTTP; absent = simulated partners in this process',
  ),
  SANDBOX_PORT: whole(4000, 0, 65_535, 'where the sandbox listens'),
};
const smtpParameters = (name: string, value: string) =>
  name === 'requireTLS' && /^(true|false)$/.test(value)
    ? null
    : 'takes the parameter requireTLS=true|false, and no other';
const mail = {
  SMTP_URL: url(
    null,
    { schemes: ['smtp', 'smtps'], example: 'smtps://user:password@host:465', parameters: smtpParameters },
    'the mail server; absent = mail goes to the simulated partner',
  ),
  MAIL_FROM: text(
    null,
    /^(?:[^<>\p{Cc}]{0,100}<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)$/u,
    'an address, or a name with one, such as Orderly <orders@example.com>',
    'the sender of mail; needed with SMTP_URL',
  ),
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
  RETENTION_DAYS: whole(30, 1, 3_650, 'how long attempts and closed dead letters are kept'),
};
const otlpUrl = { schemes: ['http', 'https'], example: 'http://host:4318', parameters: noParameters };
const samplers = /^(parentbased_)?(always_on|always_off|traceidratio)$/;
const samplerNames = 'always_on, always_off or traceidratio, each also with parentbased_ before it';
const pairs = /^[^=,]+=[^,]*(,[^=,]+=[^,]*)*$/;
// Names and defaults of OpenTelemetry; what is not here its exporter reads itself, such as certificates.
const tracing = {
  OTEL_EXPORTER_OTLP_ENDPOINT: url(null, otlpUrl, 'where traces go, over OTLP; absent = nothing is traced'),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url(null, otlpUrl, 'the same with its whole path'),
  OTEL_EXPORTER_OTLP_PROTOCOL: oneOf('http/protobuf', ['http/protobuf', 'http/json'], 'in which form'),
  OTEL_EXPORTER_OTLP_HEADERS: secret('headers of a request, such as api-key=…,tenant=…'),
  OTEL_EXPORTER_OTLP_TIMEOUT: whole(10_000, 1, timerMaxMs, 'ms for one request'),
  OTEL_EXPORTER_OTLP_COMPRESSION: oneOf('none', ['none', 'gzip'], 'of a request'),
  OTEL_TRACES_EXPORTER: oneOf('otlp', ['otlp', 'none'], 'who takes traces'),
  OTEL_SDK_DISABLED: flag(false, 'nothing is traced, whatever else is set'),
  OTEL_SERVICE_NAME: text(null, /./, 'a name', 'absent = by role: orderly, orderly-api, orderly-worker'),
  OTEL_RESOURCE_ATTRIBUTES: text(
    null,
    pairs,
    'name=value, several separated by commas',
    'what all spans have: name=value',
  ),
  OTEL_TRACES_SAMPLER: text('parentbased_always_on', samplers, samplerNames, 'which traces are kept'),
  OTEL_TRACES_SAMPLER_ARG: share(1, 'of all traces, with a sampler by ratio'),
  OTEL_BSP_SCHEDULE_DELAY: whole(5_000, 1, timerMaxMs, 'ms between two requests'),
  OTEL_BSP_EXPORT_TIMEOUT: whole(30_000, 1, timerMaxMs, 'ms for one request with its retries'),
  OTEL_BSP_MAX_QUEUE_SIZE: whole(2_048, 1, 1_000_000, 'spans that may wait; more are dropped'),
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: whole(512, 1, 100_000, 'spans per request'),
};
const running = {
  SHUTDOWN_TIMEOUT_MS: whole(10_000, 1, timerMaxMs, 'a process told to stop has ended after this'),
  SHUTDOWN_DRAIN_MS: whole(0, 0, timerMaxMs, 'of that, the API answers on while /readyz says that it leaves'),
  LOG_LEVEL: oneOf('info', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'lowest level'),
};

export const settings = {
  ...http,
  ...database,
  ...bus,
  ...kafka,
  ...redis,
  ...sqs,
  ...search,
  ...partners,
  ...mail,
  ...worker,
  ...keeping,
  ...tracing,
  ...running,
};
type Name = keyof typeof settings;
export type Values = { readonly [N in Name]: (typeof settings)[N] extends Setting<infer T> ? T : never };

export const settingGroups: Readonly<Record<string, Readonly<Record<string, Setting<unknown>>>>> = {
  Listening: http,
  Database: database,
  Bus: bus,
  'Bus: Kafka': kafka,
  'Bus: Redis': redis,
  'Bus: SQS': sqs,
  Search: search,
  Partners: partners,
  Mail: mail,
  'Work on orders': worker,
  'What is kept': keeping,
  'Traces (OpenTelemetry)': tracing,
  'The process': running,
};

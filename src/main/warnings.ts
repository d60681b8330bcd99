// What the settings allow and an operator should know of: passwords and customers' data that travel in the
// clear, and doors that stand open.
//
// Promises: pure; a sentence each, naming the setting and what to do, without a secret. Nothing that stays on
// this machine is warned of.

import { isLoopback } from '../io/loopback.ts';
import type { Config, Run } from './config.ts';

// Those that listen for more than metrics and probes.
const serving: readonly Run[] = ['start', 'start --processes', 'api', 'sandbox'];
// Those that ask a running API, and show it a token.
const asking: readonly Run[] = ['show', 'dlq', 'pause', 'resume'];

export function warningsOf(config: Config, run: Run): string[] {
  const found: string[] = [];
  const { host } = config.http;
  if (serving.includes(run) && !isLoopback(host)) {
    const isAsked = run === 'sandbox' || config.http.operators.length > 0;
    found.push(
      isAsked
        ? `HOST=${host}: whoever reaches this port may read and cancel orders: put a gateway in front, see docs/security.md`
        : `HOST=${host}: whoever reaches this port may do what operators do, such as reading customers' addresses and ` +
            'sending back dead letters, for nobody is asked who they are: set OPERATOR_TOKEN, and put a gateway in front, ' +
            'see docs/security.md',
    );
  }
  if (['relay', 'worker'].includes(run) && !isLoopback(host) && config.http.operators.length === 0) {
    found.push(
      `HOST=${host}: whoever reaches this port may read metrics, for nobody is asked who they are: set OPERATOR_TOKEN`,
    );
  }
  const { url: api, operators } = config.http;
  if (asking.includes(run) && isInClearAway(api) && operators.length > 0) {
    found.push('ORDERLY_URL: the token of OPERATOR_TOKEN travels in the clear: use https://');
  }
  if (run === 'sandbox' || asking.includes(run)) return found;
  const { url, migrateUrl, isTlsByEnvironment } = config.database;
  const databases = { DATABASE_URL: url, MIGRATE_DATABASE_URL: migrateUrl === url ? null : migrateUrl };
  for (const [name, address] of Object.entries(databases)) {
    if (address === null || isTlsByEnvironment || !isDatabaseInClear(address)) continue;
    found.push(
      `${name}: the database is on another machine, and orders and password travel in the clear: add ?sslmode=verify-full`,
    );
  }
  found.push(...ofBus(config.bus));
  const urls = {
    ELASTICSEARCH_URL: config.search.engine === 'elasticsearch' ? config.search.url : null,
    PARTNERS_URL: config.partners.url,
    AWS_ENDPOINT_URL_SQS: config.bus.kind === 'sqs' ? config.bus.sqs.endpoint : null,
  };
  for (const [name, address] of Object.entries(urls)) {
    if (isInClearAway(address) && new URL(address).password !== '') found.push(inClear(name, 'https://'));
  }
  const { tracing } = config;
  if (tracing?.hasHeaders && isInClearAway(tracing.endpoint)) {
    found.push(
      'OTEL_EXPORTER_OTLP_HEADERS: the headers travel in the clear: use https:// in OTEL_EXPORTER_OTLP_ENDPOINT',
    );
  }
  if (
    config.smtp?.url.startsWith('smtp:') &&
    hasPasswordForAway(config.smtp.url) &&
    /requireTLS=false/.test(config.smtp.url)
  ) {
    found.push('SMTP_URL: requireTLS=false lets the password travel in the clear where the server offers no TLS');
  }
  return found;
}

function ofBus({ kind, kafka, redis }: Config['bus']): string[] {
  if (kind === 'redis' && redis.url.startsWith('redis:') && hasPasswordForAway(redis.url)) {
    return [inClear('REDIS_URL', 'rediss://')];
  }
  const isAway = kafka.brokers.some((broker) => !isLoopback(broker.replace(/:\d+$/, '')));
  if (kind === 'kafka' && kafka.sasl?.mechanism === 'PLAIN' && !kafka.tls && isAway) {
    return ['KAFKA_SASL_MECHANISM=PLAIN: the password travels in the clear: set KAFKA_SSL=true, or sign in by SCRAM'];
  }
  return [];
}

const inClear = (name: string, scheme: string) => `${name}: the password in it travels in the clear: use ${scheme}`;

const isInClearAway = (address: string | null): address is string =>
  address?.startsWith('http:') === true && !isLoopback(new URL(address).hostname);

function hasPasswordForAway(address: string): boolean {
  const { password, hostname } = new URL(address);
  return password !== '' && !isLoopback(hostname);
}

// Sockets of this machine have a path for a host.
function isDatabaseInClear(address: string): boolean {
  const { hostname, searchParams } = new URL(address);
  const host = searchParams.get('host') ?? decodeURIComponent(hostname);
  if (host === '' || host.startsWith('/') || isLoopback(host)) return false;
  const asksForTls = ['sslmode', 'ssl', 'sslrootcert', 'sslcert', 'sslkey', 'sslnegotiation'].some((name) =>
    searchParams.has(name),
  );
  return (
    !asksForTls || searchParams.get('sslmode') === 'disable' || ['0', 'false'].includes(searchParams.get('ssl') ?? '')
  );
}

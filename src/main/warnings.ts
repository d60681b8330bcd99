// What the settings allow and an operator should know of: passwords and customers' data that travel in the
// clear, and doors that stand open.
//
// Promises: pure; a sentence each, naming the setting and what to do, without a secret. Nothing that stays on
// this machine is warned of.

import { isLoopback } from '../io/loopback.ts';
import type { Config, Run } from './config.ts';

// Those that listen for more than a probe.
const serving: readonly Run[] = ['start', 'start --processes', 'api', 'sandbox'];

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
  if (['sandbox', 'show', 'dlq', 'pause', 'resume'].includes(run)) return found;
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
    if (address?.startsWith('http:') && hasPasswordForAway(address)) found.push(inClear(name, 'https://'));
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

// What every client of Kafka here has in common: where the brokers are, how to prove who we are, and how
// to read the errors of the library.
//
// The library is pinned to an exact version (package.json): an install by an older Node silently takes a
// release two years older, and each rule beside its use was a failure with this very version first.

import type { BaseOptions } from '@platformatic/kafka';

export type KafkaSasl = { readonly mechanism: string; readonly username: string; readonly password: string };

export type KafkaAccess = {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly tls: boolean;
  readonly sasl: KafkaSasl | null;
};

// Between two tries of the library: a broker that restarts is back within seconds.
export const retryDelayMs = 250;
// One request, and one connection; a broker that takes longer is as good as away.
const requestMs = 5_000;

// The type of the event, so that a reader of a stream may leave what it does not read.
export const typeHeader = Buffer.from('ce_type');

type Mechanism = NonNullable<BaseOptions['sasl']>['mechanism'];

export function clientOptions({ brokers, clientId, tls, sasl }: KafkaAccess) {
  return {
    clientId,
    bootstrapBrokers: [...brokers],
    connectTimeout: requestMs,
    timeout: requestMs,
    retryDelay: retryDelayMs,
    // Nobody else creates our topics, with whatever partitions the broker thinks right.
    autocreateTopics: false,
    // The certificate is checked against the name by which the broker was addressed.
    ...(tls ? { tls: {}, tlsServerName: true } : {}),
    ...(sasl === null ? {} : { sasl: { ...sasl, mechanism: sasl.mechanism as Mechanism } }),
  };
}

// The broker's own name for what it refused, such as UNKNOWN_MEMBER_ID; null when it did not answer. The
// library nests what happened in lists of errors, and those in causes.
export function refusalOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  if ('apiId' in error && typeof error.apiId === 'string') return error.apiId;
  const inner = error instanceof AggregateError ? error.errors : [];
  for (const one of [...inner, error.cause]) {
    const reason = refusalOf(one);
    if (reason !== null) return reason;
  }
  return null;
}

// Short ways to make a metric of prom-client.
//
// Promises: each belongs to the one registry that is given; a histogram has buckets for what it measures. Relies on
// names that follow Prometheus' conventions: base units, and `_total` for what only grows.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

// Of which process.
export type MetricsOf = {
  readonly version: string;
  readonly role: string;
  // What works here.
  readonly consumers: readonly string[];
  readonly dependencies: readonly string[];
  readonly eventTypes: readonly string[];
  // Of the pool of the database.
  readonly connections: () => { readonly open: number; readonly idle: number; readonly waiting: number };
};

// From a call within the machine to one that hangs until its timeout.
export const callSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
// From an order that goes through at once to one that a person has sent back the next day.
export const waySeconds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400];

export function instruments(registry: Registry) {
  const registers = [registry];
  return {
    counter: <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
      new Counter<L>({ name, help, labelNames: [...labelNames], registers }),
    gauge: <L extends string>(name: string, help: string, labelNames: readonly L[] = [], collect?: () => void) =>
      new Gauge<L>({ name, help, labelNames: [...labelNames], registers, ...(collect ? { collect } : {}) }),
    histogram: <L extends string>(name: string, help: string, buckets: number[], labelNames: readonly L[] = []) =>
      new Histogram<L>({ name, help, buckets, labelNames: [...labelNames], registers }),
  };
}

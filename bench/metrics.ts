// The numbers of the table: what they are called, in which unit, which way is better.

export type Metric = {
  readonly name: string;
  readonly unit: string;
  // Null: it says how far the others can be trusted.
  readonly better: 'more' | 'less' | null;
};

export const metrics = {
  sustained: { name: 'orders, POST to finished, sustained', unit: '/s', better: 'more' },
  burstFinished: { name: 'orders, POST to finished, in a burst', unit: '/s', better: 'more' },
  burstAccepted: { name: 'orders accepted in a burst', unit: '/s', better: 'more' },
  healthP99: { name: '/healthz in a burst, p99', unit: 'ms', better: 'less' },
  readyP99: { name: '/readyz in a burst, p99', unit: 'ms', better: 'less' },
  processCpu: { name: 'CPU per order, process', unit: 'ms', better: 'less' },
  postgresCpu: { name: 'CPU per order, PostgreSQL', unit: 'ms', better: 'less' },
  peak: { name: 'resident memory of the process, highest', unit: 'MB', better: 'less' },
  postP50: { name: 'POST under the sustained load, p50', unit: 'ms', better: 'less' },
  postP99: { name: 'POST under the sustained load, p99', unit: 'ms', better: 'less' },
  others: { name: 'work of others meanwhile', unit: 'cores', better: null },
  idleP50: { name: 'one order at a time, POST to PROCESSED, p50', unit: 'ms', better: 'less' },
  idleP99: { name: 'one order at a time, POST to PROCESSED, p99', unit: 'ms', better: 'less' },
  rows: { name: 'rows written per order', unit: '', better: 'less' },
  statements: { name: 'statements per order', unit: '', better: 'less' },
  commits: { name: 'commits per order', unit: '', better: 'less' },
  wal: { name: 'WAL per order', unit: 'kB', better: 'less' },
  size: { name: 'database size per order', unit: 'kB', better: 'less' },
  restProcess: { name: 'CPU of the process with nothing to do', unit: '% of a core', better: 'less' },
  restPostgres: { name: 'CPU of PostgreSQL with nothing to do', unit: '% of a core', better: 'less' },
  post25P50: { name: 'POST at 25 % of capacity, p50', unit: 'ms', better: 'less' },
  post25P99: { name: 'POST at 25 % of capacity, p99', unit: 'ms', better: 'less' },
  post25P999: { name: 'POST at 25 % of capacity, p99.9', unit: 'ms', better: 'less' },
  post50P50: { name: 'POST at 50 % of capacity, p50', unit: 'ms', better: 'less' },
  post50P99: { name: 'POST at 50 % of capacity, p99', unit: 'ms', better: 'less' },
  post50P999: { name: 'POST at 50 % of capacity, p99.9', unit: 'ms', better: 'less' },
  post80P50: { name: 'POST at 80 % of capacity, p50', unit: 'ms', better: 'less' },
  post80P99: { name: 'POST at 80 % of capacity, p99', unit: 'ms', better: 'less' },
  post80P999: { name: 'POST at 80 % of capacity, p99.9', unit: 'ms', better: 'less' },
  done25P50: { name: 'POST to PROCESSED at 25 % of capacity, p50', unit: 'ms', better: 'less' },
  done25P99: { name: 'POST to PROCESSED at 25 % of capacity, p99', unit: 'ms', better: 'less' },
  done25P999: { name: 'POST to PROCESSED at 25 % of capacity, p99.9', unit: 'ms', better: 'less' },
  done50P50: { name: 'POST to PROCESSED at 50 % of capacity, p50', unit: 'ms', better: 'less' },
  done50P99: { name: 'POST to PROCESSED at 50 % of capacity, p99', unit: 'ms', better: 'less' },
  done50P999: { name: 'POST to PROCESSED at 50 % of capacity, p99.9', unit: 'ms', better: 'less' },
  done80P50: { name: 'POST to PROCESSED at 80 % of capacity, p50', unit: 'ms', better: 'less' },
  done80P99: { name: 'POST to PROCESSED at 80 % of capacity, p99', unit: 'ms', better: 'less' },
  done80P999: { name: 'POST to PROCESSED at 80 % of capacity, p99.9', unit: 'ms', better: 'less' },
  embedded: { name: 'embedded: orders, POST to finished', unit: '/s', better: 'more' },
  embeddedCpu: { name: 'embedded: CPU per order', unit: 'ms', better: 'less' },
  embeddedPeak: { name: 'embedded: resident memory, highest', unit: 'MB', better: 'less' },
  embeddedRest: { name: 'embedded: CPU with nothing to do', unit: '% of a core', better: 'less' },
  killUnderWay: { name: 'killed: orders under way at that moment', unit: '', better: 'less' },
  killSeconds: { name: 'killed: all of them ended, from the restart', unit: 's', better: 'less' },
  killLeft: { name: 'killed: not ended after 100 s', unit: '', better: 'less' },
} as const satisfies Readonly<Record<string, Metric>>;

export type MetricKey = keyof typeof metrics;
export type Numbers = Partial<Record<MetricKey, number>>;

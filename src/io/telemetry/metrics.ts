// The metrics of a process, as Prometheus and OpenMetrics have them.
//
// Promises: names and labels are few and fixed (no id is ever a label); what belongs to this process is there from its
// start, at 0; counting costs no I/O, and neither does a scrape: what must be asked of others is asked meanwhile, see
// gauges.ts, and is absent where nobody knows it.

import { setImmediate } from 'node:timers/promises';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Observer } from '../../engine/observer.ts';
import { shared } from '../shared.ts';
import { createGaugeMetrics, type GaugeMetrics } from './gauges.ts';
import { createHttpMetrics, type HttpMetrics } from './http-metrics.ts';
import { instruments, type MetricsOf } from './instruments.ts';
import { createWorkMetrics } from './work-metrics.ts';

export type Scraped = { readonly contentType: string; readonly body: string };
export type Metrics = {
  readonly observer: Partial<Observer>;
  readonly http: HttpMetrics;
  readonly gauges: GaugeMetrics;
  // `accept` = the header of the request: OpenMetrics where it is preferred.
  readonly scrape: (accept: string | undefined) => Promise<Scraped>;
};

// Gauges of the library with the ending of a counter, which linters refuse; each of them stands beside it, by type.
const misnamed = ['nodejs_active_resources_total', 'nodejs_active_handles_total', 'nodejs_active_requests_total'];

// The lag of the event loop is looked at so often, and told from this on. At the library's 10 ms an idle process takes
// 0.7 % of a core for it, now 0.15 %.
const lagEveryMs = 50;

export function createMetrics(of: MetricsOf): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: lagEveryMs });
  for (const name of misnamed) registry.removeSingleMetric(name);
  const { gauge } = instruments(registry);
  const { version, role } = of;
  gauge('orderly_build_info', 'What runs: always 1', ['version', 'node', 'role']).set(
    { version, node: process.version, role },
    1,
  );
  const connections = gauge('orderly_database_connections', 'Connections to the database, by use', ['state'], () => {
    const { open, idle } = of.connections();
    connections.set({ state: 'busy' }, open - idle);
    connections.set({ state: 'idle' }, idle);
  });
  const waiting = gauge('orderly_database_waiting', 'Requests that wait for a connection', [], () => {
    waiting.set(of.connections().waiting);
  });
  // Some 10 ms in which nobody else is served: all who ask in one turn of the event loop get one answer.
  const text = shared(async () => {
    await setImmediate();
    // The library's own lag of the event loop is no number before its first measurement.
    return (await registry.metrics()).replaceAll(/^.* Nan\n/gm, '');
  });
  return {
    observer: createWorkMetrics(registry, of),
    http: createHttpMetrics(registry),
    gauges: createGaugeMetrics(registry),
    scrape: async (accept) => {
      const body = await text();
      if (!prefersOpenMetrics(accept)) return { contentType: registry.contentType, body };
      return { contentType: Registry.OPENMETRICS_CONTENT_TYPE, body: toOpenMetrics(body) };
    },
  };
}

// A counter's family has no ending there, only its sample; there are no empty lines, and an end.
// Source: OpenMetrics 1.0.0. The library's own way renames its counters for good, also for the next scrape.
export function toOpenMetrics(text: string): string {
  const counters = new Set([...text.matchAll(/^# TYPE (\S+)_total counter$/gm)].map(([, name]) => name));
  const lines = text.split('\n').filter((line) => line !== '');
  const renamed = lines.map((line) =>
    line.replace(/^# (HELP|TYPE) (\S+)_total /, (all, kind, name) => (counters.has(name) ? `# ${kind} ${name} ` : all)),
  );
  return `${renamed.join('\n')}\n# EOF\n`;
}

// Source: RFC 9110, 12.5.1. Where both are as welcome, the plain format.
function prefersOpenMetrics(accept = ''): boolean {
  const weightOf = (type: RegExp) =>
    Math.max(
      0,
      ...accept
        .toLowerCase()
        .split(',')
        .filter((one) => type.test(one))
        .map((one) => Number(/;\s*q=([\d.]+)/.exec(one)?.[1] ?? 1) || 0),
    );
  const open = weightOf(/^\s*application\/openmetrics-text\s*(;\s*version=1\.0\.0|;\s*q=|;\s*charset|$)/);
  return open > 0 && open >= weightOf(/^\s*(text\/(plain|\*)|\*\/\*)/);
}

// Metrics in Prometheus' text format: what is accepted, what ends how, what is owed, what is ill.
//
// Promises: names and labels are few and fixed (no id is ever a label); counting costs no I/O; what must be
// asked of the database or the bus is asked only when somebody scrapes, and a scrape never fails because of it.

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { endOf, type Observer } from '../../engine/observer.ts';

export type Metrics = {
  readonly observer: Partial<Observer>;
  readonly scrape: () => Promise<{ readonly contentType: string; readonly body: string }>;
};

// Gauges of the library with the ending of a counter, which linters refuse; each of them stands beside it, by type.
const misnamed = ['nodejs_active_resources_total', 'nodejs_active_handles_total', 'nodejs_active_requests_total'];

export function createMetrics(
  // By reader of the event log, and dead letters.
  backlog: () => Promise<{ unreadSeconds: ReadonlyMap<string, number>; openDeadLetters: number }>,
  // By group; bounded in time by whoever answers.
  lag: () => Promise<ReadonlyMap<string, number>> = async () => new Map(),
): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of misnamed) registry.removeSingleMetric(name);
  const registers = [registry];
  const published = new Counter({ name: 'orderly_events_published_total', help: 'Events that the bus has', registers });
  const ended = new Counter({
    name: 'orderly_jobs_total',
    help: 'Answers to claims and ends of attempts, by consumer',
    labelNames: ['consumer', 'end'],
    registers,
  });
  const dropped = new Counter({
    name: 'orderly_hints_dropped_total',
    help: 'Hints that found no slot; the poller comes to their jobs',
    labelNames: ['consumer'],
    registers,
  });
  const unreadable = new Counter({
    name: 'orderly_messages_unreadable_total',
    help: 'Messages of a bus that could not be read and were dropped, by group',
    labelNames: ['group'],
    registers,
  });
  const breaker = new Gauge({
    name: 'orderly_breaker_open',
    help: '1 while the dependency is considered away',
    labelNames: ['dependency'],
    registers,
  });
  const age = new Gauge({
    name: 'orderly_unpublished_oldest_seconds',
    help: 'Age of the oldest unpublished event',
    registers,
  });
  const unread = new Gauge({
    name: 'orderly_unread_oldest_seconds',
    help: 'Age of the oldest event that this reader has not handled. The same from every process',
    labelNames: ['reader'],
    registers,
  });
  const deadLetters = new Gauge({
    name: 'orderly_dead_letters_open',
    help: 'Dead letters that wait for a person',
    registers,
  });
  const waiting = new Gauge({
    name: 'orderly_bus_lag',
    help: 'Messages that wait for a group on the bus; absent while the bus does not say. The same from every process',
    labelNames: ['group'],
    registers,
  });
  return {
    observer: {
      published: (count) => published.inc(count),
      claimed: (consumer, { answer }) => ended.inc({ consumer, end: answer }),
      settled: ({ consumer }, outcome, answer) => ended.inc({ consumer, end: endOf(outcome, answer) }),
      read: (consumer, handled, deadLetters) => {
        ended.inc({ consumer, end: 'done' }, handled - deadLetters.length);
        ended.inc({ consumer, end: 'dead' }, deadLetters.length);
      },
      hintDropped: (consumer) => dropped.inc({ consumer }),
      unreadable: (group) => unreadable.inc({ group }),
      breakerChanged: (dependency, state) => breaker.set({ dependency }, state === 'open' ? 1 : 0),
    },
    scrape: async () => {
      const [now, lags] = await Promise.all([
        backlog().catch(() => ({ unreadSeconds: new Map<string, number>(), openDeadLetters: Number.NaN })),
        lag().catch(() => new Map<string, number>()),
      ]);
      waiting.reset();
      for (const [group, messages] of lags) waiting.set({ group }, messages);
      unread.reset();
      for (const [reader, seconds] of now.unreadSeconds) {
        if (reader !== 'relay') unread.set({ reader: reader.split('.')[0] ?? reader }, seconds);
      }
      age.set(now.unreadSeconds.get('relay') ?? Number.NaN);
      deadLetters.set(now.openDeadLetters);
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

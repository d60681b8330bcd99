import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Registry } from 'prom-client';
import type { Outcome } from '../../src/engine/observer.ts';
import { createGaugeMetrics, type Sample } from '../../src/io/telemetry/gauges.ts';
import { createMetrics } from '../../src/io/telemetry/metrics.ts';
import { orderWith, workOn } from '../support/orders.ts';
import { readSamples } from '../support/prometheus.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const here = {
  version: '1.2.3',
  role: 'worker',
  consumers: ['payment'],
  dependencies: ['payments'],
  eventTypes: ['OrderCreatedV1'],
  connections: () => ({ open: 3, idle: 1, waiting: 2 }),
};
const textOf = async (metrics = createMetrics(here)) => (await metrics.scrape(undefined)).body;
const outcome = { state: 'done', dueInMs: 0, charged: true, trouble: null, durationMs: 12 } satisfies Outcome;
const trouble = { class: 'retryable', code: 'partner-unavailable', message: '', dependencyDown: false } as const;
const record = { order: orderWith({}), effects: {} };

describe('the metrics', () => {
  it('are named as Prometheus has it: a counter ends with _total and nothing else does, and each says what it is', async () => {
    const body = await textOf();
    const types = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    assert.ok(types.length > 20);
    for (const [, name = '', type] of types) {
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      assert.match(body, new RegExp(`^# HELP ${name} \\S`, 'm'));
    }
  });

  it('are written once for all who ask at once, and anew for the next one', async () => {
    let asked = 0;
    const connections = () => {
      asked += 1;
      return here.connections();
    };
    const metrics = createMetrics({ ...here, connections });
    await textOf(metrics);
    const once = asked;
    const [first, ...others] = await Promise.all(Array.from({ length: 20 }, () => textOf(metrics)));
    for (const other of others) assert.equal(other, first);
    assert.equal(asked, 2 * once);
  });

  it('of a process are there from its start, at 0, and those of others are not', async () => {
    const samples = readSamples(await textOf());
    for (const name of [
      'orderly_orders_accepted_total',
      'orderly_order_duration_seconds_count{outcome="FAILED"}',
      'orderly_jobs_total{consumer="payment",end="dead"}',
      'orderly_step_duration_seconds_count{consumer="payment",outcome="waiting"}',
      'orderly_takeovers_total{consumer="payment"}',
      'orderly_breaker_open{dependency="payments"}',
      'orderly_flush_entries_count{write="settle"}',
    ]) {
      assert.equal(samples.get(name), 0, name);
    }
    assert.equal(samples.get('orderly_database_connections{state="busy"}'), 2);
    assert.equal(samples.get('orderly_database_waiting'), 2);
    assert.ok(![...samples.keys()].some((name) => /fulfillment|orderly_jobs\{/.test(name)));
    assert.ok(![...samples.values()].some(Number.isNaN), 'no number is NaN');
  });

  it('count what becomes of work, and how long orders take from created to each end', async () => {
    const metrics = createMetrics(here);
    const { observer } = metrics;
    observer.claimed?.('payment', { answer: 'run', work: workOn(record, { ageMs: 40 }) });
    observer.claimed?.('payment', { answer: 'run', work: workOn(record, { takenOver: true }) });
    observer.settled?.(workOn(record), outcome, 'settled');
    observer.settled?.(workOn(record), { ...outcome, state: 'waiting', trouble }, 'settled');
    const event = workOn(record).event;
    const createdMs = Number.parseInt(record.order.id.replaceAll('-', '').slice(0, 12), 16);
    observer.committed?.([
      event,
      { ...event, version: 3, type: 'OtherV9', time: new Date(createdMs + 700), data: { status: 'PROCESSED' } },
    ]);
    const samples = readSamples(await textOf(metrics));
    const expected = {
      'orderly_jobs_total{consumer="payment",end="run"}': 2,
      'orderly_jobs_in_flight{consumer="payment"}': 0,
      'orderly_job_start_delay_seconds_sum{consumer="payment"}': 0.04,
      'orderly_job_start_delay_seconds_count{consumer="payment"}': 1,
      'orderly_takeovers_total{consumer="payment"}': 1,
      'orderly_step_duration_seconds_count{consumer="payment",outcome="done"}': 1,
      'orderly_retries_total{consumer="payment",reason="partner-unavailable",charged="true"}': 1,
      orderly_orders_accepted_total: 1,
      'orderly_events_total{type="other"}': 1,
      'orderly_order_duration_seconds_sum{outcome="PROCESSED"}': 0.7,
      'orderly_order_duration_seconds_bucket{le="0.5",outcome="PROCESSED"}': 0,
      'orderly_order_duration_seconds_bucket{le="1",outcome="PROCESSED"}': 1,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(samples.get(name), value, name);
  });

  it('have a bounded number of reasons, whatever a partner calls them', async () => {
    const metrics = createMetrics(here);
    for (let n = 0; n < 500; n += 1) {
      const waits = { ...outcome, state: 'waiting', trouble: { ...trouble, code: `code-${n}` } } as const;
      metrics.observer.settled?.(workOn(record), waits, 'settled');
    }
    const reasons = (await textOf(metrics)).match(/^orderly_retries_total/gm) ?? [];
    assert.equal(reasons.length, 41);
  });

  it('are OpenMetrics for who prefers it, and stay as they are for everybody else', async () => {
    const metrics = createMetrics(here);
    const prometheus = 'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75';
    const open = await metrics.scrape(`${prometheus},text/plain;version=0.0.4;q=0.5,*/*;q=0.1`);
    assert.match(open.contentType, /^application\/openmetrics-text; version=1\.0\.0/);
    assert.match(open.body, /^# TYPE orderly_jobs counter$/m);
    assert.match(open.body, /^orderly_jobs_total\{consumer="payment",end="run"\} 0$/m);
    assert.ok(open.body.endsWith('\n# EOF\n') && !open.body.includes('\n\n'));
    for (const accept of [
      undefined,
      '*/*',
      'text/plain',
      'application/openmetrics-text;version=1.0.0;q=0.2,text/plain',
    ]) {
      const { contentType, body } = await metrics.scrape(accept);
      assert.match(contentType, /^text\/plain; version=0\.0\.4/, accept);
      assert.match(body, /^# TYPE orderly_jobs_total counter$/m);
    }
  });
});

describe('the gauges of what lies outside', () => {
  const setUp = () => {
    const system = createVirtualSystem();
    const registry = new Registry();
    const log = createMemoryLog();
    const world = {
      isOurs: true,
      isAsked: false,
      read: async (): Promise<readonly Sample[]> => [['unpublished_oldest_seconds', {}, 7]],
    };
    const ending = new AbortController();
    const source = { what: 'database', read: () => world.read(), isOurs: () => world.isOurs, isTold: () => false };
    const kept = createGaugeMetrics(registry).keep({ ...source, system, log }, ending.signal);
    const age = async () => readSamples(await registry.metrics()).get('orderly_unpublished_oldest_seconds');
    const stop = async () => {
      ending.abort();
      await system.advance(1);
      await kept;
    };
    return { system, world, age, stop, log };
  };

  it('are asked for again and again, and no scrape waits for that', async () => {
    const { system, world, age, stop } = setUp();
    assert.equal(await age(), undefined, 'nothing is claimed before the first answer');
    await system.advance(1);
    assert.equal(await age(), 7);
    world.read = async () => [['unpublished_oldest_seconds', {}, 9]];
    await system.advance(6_000);
    assert.equal(await age(), 9);
    await stop();
  });

  it('are kept for a minute when nobody answers, then absent, and never a wrong number', async () => {
    const { system, world, age, stop, log } = setUp();
    await system.advance(1);
    world.read = () => Promise.reject(new Error('no permission'));
    await system.advance(30_000);
    assert.equal(await age(), 7);
    await system.advance(40_000);
    assert.equal(await age(), undefined);
    assert.equal(
      log.lines[0],
      'warn: reading metrics from the database fails: no permission; they are absent meanwhile',
    );
    await stop();
  });

  it('are told by one process alone: where another one has the turn they are absent', async () => {
    const { system, world, age, stop } = setUp();
    await system.advance(1);
    world.isOurs = false;
    world.read = () => {
      world.isAsked = true;
      return Promise.resolve([]);
    };
    await system.advance(6_000);
    assert.equal(await age(), undefined);
    assert.equal(world.isAsked, false);
    await stop();
  });
});

// `npm run observe`: Orderly as processes under a load in which things fail, Prometheus with its alerts and graphs, and
// Zipkin with the traces, until Ctrl-C; `-- --seconds 90` ends by itself.
//
// Promises: what is printed was seen before: every process is scraped, the trace of an order is there with its retry.
// Exit code 0 = so it was; 1 = something differed; 2 = something cannot be had, in a sentence. Nothing is left behind.

import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CommandError } from '../services/command.ts';
import { createFleet } from '../services/fleet.ts';
import { type TakenSpan, takeSpans } from '../services/otlp.ts';
import { onStopSignal } from '../src/io/signals.ts';
import { createSystem } from '../src/io/system.ts';
import { StartError } from '../src/main/start-error.ts';
import { createClient, type Scenario, startLoad } from '../tests/support/client.ts';
import { createGuardian } from '../tests/support/guardian.ts';
import { startPostgres } from '../tests/support/postgres.ts';
import { createProcesses, findPort, type Settings } from '../tests/support/process.ts';
import { until } from '../tests/support/until.ts';
import { fetchPrometheus, startPrometheus } from './observe/prometheus.ts';
import { fetchZipkin, startZipkin } from './observe/zipkin.ts';
import { print } from './page.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '0' } } });
// Half of the orders meet a failure, and an outage now and then opens a breaker.
const scenarios: readonly Scenario[] = [
  ...(['success', 'flaky', 'success', 'failure', 'success', 'lost-answer', 'success', 'flaky'] as const),
  ...(['success', 'timeout', 'success', 'fatal', 'success', 'outage'] as const),
];
// Of relay and workers, by the scheme of docs/processes.md.
const rolesMax = 7;
const seenMs = 60_000;
const root = join(import.meta.dirname, '..');

process.exit(await main());

async function main(): Promise<number> {
  const closings: (() => Promise<unknown>)[] = [];
  const stop = new AbortController();
  onStopSignal(() => stop.abort(), createSystem());
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
  const showing = show((close) => closings.unshift(close)).then(async () => {
    if (Number(values.seconds) > 0) return;
    print('\nEnd with Ctrl-C.');
    await stopped;
  });
  try {
    await Promise.race([showing, stopped]);
    return 0;
  } catch (error) {
    const isMissing = error instanceof StartError || error instanceof CommandError;
    process.stderr.write(`${(error as Error).message}\n`);
    return isMissing ? 2 : 1;
  } finally {
    showing.catch(() => undefined);
    for (const close of closings) await close().catch(() => undefined);
  }
}

async function show(onClose: (close: () => Promise<unknown>) => void): Promise<void> {
  const services = join(root, '.orderly/services');
  const say = (text: string) => print(`… ${text}`);
  const place = { downloads: join(services, 'downloads'), say };
  await mkdir(place.downloads, { recursive: true });
  const prometheusFrom = await fetchPrometheus(place);
  const zipkinFrom = await fetchZipkin(place);
  const directory = await mkdtemp(join(tmpdir(), 'orderly-observe-'));
  // Whatever ends this process, these end with it.
  const guardian = createGuardian(directory, 'KILL');
  onClose(guardian.end);

  say('starts PostgreSQL, Redis, Zipkin and every role of Orderly, each a process of its own');
  const fleet = createFleet({ directory: services, environment: process.env, say: (_, text) => say(text) });
  const { why } = await fleet.look('redis');
  const redis = await fleet.start('redis');
  if (why !== null) onClose(() => fleet.stop('redis'));
  const postgres = await startPostgres();
  onClose(postgres.stop);
  const zipkin = await startZipkin(zipkinFrom, await findPort(), guardian);
  onClose(zipkin.close);
  const taken: TakenSpan[] = [];
  const receiver = await takeSpans((spans) => {
    if (retriedOf(taken) === null) taken.push(...spans);
    zipkin.take(spans);
  });
  onClose(receiver.close);

  const processes = createProcesses();
  onClose(processes.close);
  const [apiPort, workerPort] = [await findPort(), await findPort()];
  const settings: Settings = {
    ...{ PORT: apiPort, WORKER_PORT: workerPort, SANDBOX_PORT: 0, ORDERLY_DATA_DIR: processes.directory },
    ...{ DATABASE_URL: await postgres.createDatabase(), BUS: 'redis', REDIS_URL: redis.address ?? '' },
    ...{ ORDER_WORKER_RETRY_DELAY_MS: 400, ORDER_WORKER_TIMEOUT_MS: 1_500, ORDER_WORKER_LEASE_MS: 4_000 },
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
    ...{ OTEL_BSP_SCHEDULE_DELAY: 1_000 },
  };
  const migrated = await processes.run(['migrate'], settings);
  if (migrated.code !== 0) throw new Error(`the schema could not be made:\n${migrated.stderr}`);
  const orderly = await processes.start('start --processes', settings);
  const targets = [apiPort, ...Array.from({ length: rolesMax }, (_, nth) => workerPort + nth)];
  const prometheus = await startPrometheus({
    from: prometheusFrom,
    directory,
    port: await findPort(),
    targets,
    guardian,
  });
  onClose(prometheus.close);

  const client = createClient(() => orderly.url);
  const load = startLoad(client, { scenarios, customers: 5, pauseMs: 100 });
  onClose(async () => {
    client.leave();
    await load.stop();
  });
  const order = await until(() => retriedOf(taken), 'the trace of an order with its retry', { patienceMs: seenMs });
  const query = encodeURIComponent('count(up{job="orderly"} == 1)');
  await until(
    async () => {
      const answer = await (await fetch(`${prometheus.url}/api/v1/query?query=${query}`)).json();
      return (
        Number((answer as { data: { result: { value: [number, string] }[] } }).data.result[0]?.value[1]) >=
        targets.length
      );
    },
    'every process to be scraped',
    { patienceMs: seenMs },
  );
  // Up to a quarter of an hour from now, for who reloads the page.
  const endTs = String(createSystem().now().getTime() + 900_000);
  const found = new URLSearchParams({
    annotationQuery: `orderly.order.id=${order}`,
    lookback: '1h',
    endTs,
    limit: '20',
  });
  print('\nEvery process is scraped, and the trace of an order is there with its retries:\n');
  print(`  graphs           ${prometheus.url}/consoles/orderly.html`);
  print(`  alerts           ${prometheus.url}/classic/alerts`);
  print(`  all traces       ${zipkin.url}`);
  print(`  one order's      ${zipkin.url}?${found}`);
  const own = taken.filter(
    ({ name, attributes }) => name === 'process payment' && attributes['orderly.order.id'] === order,
  );
  for (const { traceId, attributes } of own.sort((a, b) => a.startUs - b.startUs)) {
    print(`    its attempt ${attributes['orderly.attempt']}  ${zipkin.url}traces/${traceId}`);
  }
  print(`  its timeline     ${orderly.url}/orders/${order}/timeline`);
  const seconds = Number(values.seconds);
  if (seconds > 0) await createSystem().sleep(seconds * 1_000);
}

// An order with a retry whose trace is linked to its first one, and a mail at its end.
function retriedOf(spans: readonly TakenSpan[]): string | null {
  const retry = spans.find(
    ({ name, links, attributes }) =>
      name === 'process payment' && links.length > 0 && attributes['orderly.attempt'] === 3,
  );
  if (retry === undefined) return null;
  const mailed = spans.some(({ name, traceId }) => name === 'mail send' && traceId === retry.traceId);
  return mailed ? String(retry.attributes['orderly.order.id']) : null;
}

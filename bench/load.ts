// The load, a process of its own: plays one plan, given as JSON in its argument, against an API on this
// machine, and prints what it saw as one line of JSON.
//
// Promises: every loop is closed (a connection sends its next order when the last one is answered), and
// a latency counts from the moment of sending. How many orders are finished is read from the metrics of
// the process, which counts them in memory; a reading costs the database two short statements.
// Relies on the API counting an end of a delivery only after its commit.

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, connect, get, post } from './http.ts';
import { createWatch, measuredSpan, patienceMs, rate, type Sample, type Watch } from './watch.ts';

// `metricsPorts`: where the processes under load tell what they have done.
export type Plan = Kind & { readonly port: number; readonly metricsPorts: readonly number[] };
export type Kind =
  // As many orders as the connections carry, all at once, until all are finished.
  | { readonly kind: 'burst'; readonly orders: number; readonly connections: number }
  // A bounded number of unfinished orders, for so long or for so many orders; what is measured begins
  // after the ramp.
  | {
      readonly kind: 'sustained';
      readonly seconds: number;
      readonly rampSeconds: number;
      readonly orders: number | null;
      readonly connections: number;
      readonly unfinishedMax: number;
    }
  // One order at a time at a fixed pace, and no question after it.
  | { readonly kind: 'paced'; readonly orders: number; readonly everyMs: number }
  // One order at a time, asked after until it is processed.
  | { readonly kind: 'watched'; readonly orders: number; readonly askEveryMs: number };

export type Quantiles = { readonly p50: number; readonly p99: number; readonly max: number };
export type LoadReport = {
  // Wall clock of what was measured, to find its orders in the database.
  readonly from: string;
  readonly to: string;
  readonly accepted: number;
  readonly refused: number;
  readonly firstRefusal: string | null;
  // What is measured begins so long after the start.
  readonly measuredFromMs: number;
  // From the start to the last 201, and until the last order was processed.
  readonly acceptedMs: number;
  readonly processedMs: number;
  // Of what was measured; null where there is nothing of the kind.
  readonly acceptedPerSecond: number | null;
  readonly processedPerSecond: number | null;
  readonly postMs: Quantiles;
  readonly processedAfterMs: Quantiles | null;
  // CPU in cores: of the processes under load, of the load itself.
  readonly cores: number;
  readonly loadCores: number;
  readonly residentMbMax: number;
  readonly samples: readonly Sample[];
};

// Equal keys of two runs would be replays instead of orders.
const runId = randomBytes(6).toString('hex');

if (import.meta.main) {
  const plan = JSON.parse(process.argv[2] ?? '') as Plan;
  process.stdout.write(`${JSON.stringify(await play(plan))}\n`);
  process.exit(0);
}

async function play(plan: Plan): Promise<LoadReport> {
  const counts = createCounts();
  const watch = await createWatch(plan.metricsPorts, () => counts.accepted);
  const cpu = process.cpuUsage();
  const started = performance.now();
  const startedAt = new Date();

  if (plan.kind === 'burst') await burst(plan, counts, watch);
  else if (plan.kind === 'sustained') await sustained(plan, counts, watch, started);
  else if (plan.kind === 'paced') await paced(plan, counts);
  else await watched(plan, counts);

  const acceptedMs = performance.now() - started;
  const endedAt = new Date();
  const { user, system } = process.cpuUsage(cpu);
  const loadCores = (user + system) / 1000 / (performance.now() - started);
  await watch.until(({ processed }) => processed >= counts.accepted);
  const processedMs = performance.now() - started;
  await watch.until(({ finished }) => finished >= counts.accepted);
  await watch.stop();

  const whole = measuredSpan(watch.samples, 0, Number.POSITIVE_INFINITY);
  const measured = plan.kind === 'sustained' ? measuredSpan(watch.samples, plan.rampSeconds * 1000, acceptedMs) : null;
  const measuredFromMs = measured?.first.atMs ?? 0;
  return {
    from: new Date(startedAt.getTime() + measuredFromMs).toISOString(),
    to: endedAt.toISOString(),
    accepted: counts.accepted,
    refused: counts.refused,
    firstRefusal: counts.firstRefusal,
    measuredFromMs,
    acceptedMs,
    processedMs,
    acceptedPerSecond: measured ? rate(measured, 'accepted') : perSecond(counts.accepted, acceptedMs, plan),
    processedPerSecond: measured ? rate(measured, 'processed') : perSecond(counts.accepted, processedMs, plan),
    postMs: quantiles(counts.posts.filter(({ sentMs }) => sentMs - started >= measuredFromMs)),
    processedAfterMs: counts.processed.length === 0 ? null : quantiles(counts.processed),
    cores: rate(measured ?? whole, 'cpuSeconds'),
    loadCores,
    residentMbMax: Math.max(...watch.samples.map(({ residentMb }) => residentMb)),
    samples: watch.samples,
  };
}

async function burst(plan: Plan & { kind: 'burst' }, counts: Counts, watch: Watch): Promise<void> {
  watch.start();
  await overConnections(plan, async (connection) => {
    while (counts.sent < plan.orders) await placeOne(connection, counts);
  });
}

async function sustained(
  plan: Plan & { kind: 'sustained' },
  counts: Counts,
  watch: Watch,
  started: number,
): Promise<void> {
  watch.start();
  const isOver = () =>
    counts.sent >= (plan.orders ?? Number.POSITIVE_INFINITY) || performance.now() - started > plan.seconds * 1000;
  await overConnections(plan, async (connection) => {
    while (!isOver()) {
      if (counts.sent - counts.refused - watch.now().finished < plan.unfinishedMax) await placeOne(connection, counts);
      else await watch.next();
    }
  });
}

async function paced(plan: Plan & { kind: 'paced' }, counts: Counts): Promise<void> {
  const connection = await connect(plan.port);
  for (let n = 0; n < plan.orders; n += 1) {
    await placeOne(connection, counts);
    await pause(plan.everyMs);
  }
  connection.close();
}

async function watched(plan: Plan & { kind: 'watched' }, counts: Counts): Promise<void> {
  const connection = await connect(plan.port);
  for (let n = 0; n < plan.orders; n += 1) {
    const sentMs = performance.now();
    const body = await placeOne(connection, counts);
    const { id } = JSON.parse(body ?? '{}') as { id?: string };
    const deadline = sentMs + patienceMs;
    while (!(await connection.send(get(`/orders/${id}`))).body.includes('"status":"PROCESSED"')) {
      if (performance.now() > deadline) throw new Error(`order ${id} is not processed after ${patienceMs} ms`);
      await pause(plan.askEveryMs);
    }
    counts.processed.push({ sentMs, tookMs: performance.now() - sentMs });
    // The mail of this order goes out before the next one comes.
    await pause(20);
  }
  connection.close();
}

async function overConnections(
  { port, connections }: { readonly port: number; readonly connections: number },
  run: (connection: Connection) => Promise<void>,
): Promise<void> {
  const opened = await Promise.all(Array.from({ length: connections }, () => connect(port)));
  await Promise.all(opened.map(run));
  for (const connection of opened) connection.close();
}

type Timed = { readonly sentMs: number; readonly tookMs: number };
type Counts = ReturnType<typeof createCounts>;

function createCounts() {
  return {
    sent: 0,
    accepted: 0,
    refused: 0,
    firstRefusal: null as string | null,
    posts: [] as Timed[],
    processed: [] as Timed[],
  };
}

async function placeOne(connection: Connection, counts: Counts): Promise<string | null> {
  counts.sent += 1;
  const key = `${runId}-${counts.sent}`;
  const body = `{"customerEmail":"${key}@example.com","currency":"EUR","items":[{"sku":"lamp","quantity":2,"unitPrice":1250}]}`;
  const sentMs = performance.now();
  const answer = await connection.send(post('/orders', key, body));
  counts.posts.push({ sentMs, tookMs: performance.now() - sentMs });
  if (answer.status === 201) {
    counts.accepted += 1;
    return answer.body;
  }
  counts.refused += 1;
  counts.firstRefusal ??= `${answer.status} ${answer.body}`;
  return null;
}

// One order at a time says nothing about how many a second there could be.
function perSecond(orders: number, ms: number, { kind }: Plan): number | null {
  return kind === 'burst' ? (orders / ms) * 1000 : null;
}

function quantiles(timed: readonly Timed[]): Quantiles {
  const sorted = Float64Array.from(timed, ({ tookMs }) => tookMs).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

// What is measured of one contender in one round, in which order.
//
// Promises: each round begins with a new server, database and process. At its end every order that was
// accepted has ended once, by what the database says, or the round fails: no points for lost work.

import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../tests/support/until.ts';
import type { Contender } from './contender.ts';
import { countCost, settleMs } from './cost.ts';
import { measureKill } from './kill.ts';
import type { LoadReport } from './load.ts';
import type { Numbers } from './metrics.ts';
import { processedAfterMs, underOpenLoad } from './open-load.ts';
import { probed } from './probes.ts';
import { quantiles } from './quantiles.ts';
import type { Sizes } from './sizes.ts';
import { type Trial, withTrial } from './trial.ts';

// As many requests as keep a group commit busy.
const connections = 64;
// About a second of work of the fastest: enough that no worker runs dry between two looks of the load.
const unfinishedMax = 2_000;
const unfinishedMaxEmbedded = 500;
// What is read of a database that settles within this is a lag, what comes later is a loss.
const patienceMs = 30_000;

export const parts = ['idle', 'rest', 'sustained', 'open', 'burst', 'cost', 'embedded', 'kill'] as const;
export type Part = (typeof parts)[number];
// Those with a server and a process of their own.
const apart: readonly Part[] = ['embedded', 'kill'];
type Say = (text: string) => void;

export async function measure(contender: Contender, sizes: Sizes, wanted: readonly Part[], say: Say): Promise<Numbers> {
  const numbers: Numbers = {};
  if (wanted.some((part) => !apart.includes(part))) {
    Object.assign(
      numbers,
      await withTrial(contender, 'server', (trial) => onServer(trial, contender, sizes, wanted, say)),
    );
  }
  if (wanted.includes('embedded') && contender.hasEmbedded) {
    Object.assign(numbers, await withTrial(contender, 'embedded', (trial) => onEmbedded(trial, sizes, say)));
  }
  if (wanted.includes('kill')) {
    say('killed in the middle');
    Object.assign(numbers, await withTrial(contender, 'server', (trial) => measureKill(trial, contender, sizes)));
  }
  return numbers;
}

async function onServer(
  trial: Trial,
  contender: Contender,
  sizes: Sizes,
  wanted: readonly Part[],
  say: Say,
): Promise<Numbers> {
  const numbers: Numbers = {};
  let accepted = 0;
  const count = (report: LoadReport) => {
    accepted += report.accepted;
    return report;
  };
  await trial.start();
  say('warming up');
  count(await trial.load({ kind: 'burst', orders: sizes.warmUp, connections }));
  if (wanted.includes('rest')) {
    say(`${sizes.restSeconds} s with nothing to do`);
    const rest = await atRest(trial, sizes.restSeconds);
    Object.assign(numbers, { restProcess: rest.process, restPostgres: rest.postgres });
  }
  if (wanted.includes('idle')) {
    say('one order at a time');
    const seconds = sizes.idle / idlePerSecond;
    const report = count(await trial.load({ kind: 'open', perSecond: idlePerSecond, seconds, connections: 1 }));
    const { p50, p99 } = quantiles(await processedAfterMs(trial, report));
    Object.assign(numbers, { idleP50: p50, idleP99: p99 });
  }
  if (wanted.includes('sustained')) {
    say('a sustained load');
    const [before, started] = [trial.cpu(), performance.now()];
    const report = count(await sustain(trial, sizes, null));
    await pause(settleMs);
    const [after, tookMs] = [trial.cpu(), performance.now() - started];
    const ours = after.process - before.process + after.postgres - before.postgres + report.cpuMs;
    Object.assign(numbers, {
      others: Math.max(0, after.machine - before.machine - ours) / tookMs,
      sustained: report.finishedPerSecond,
      postP50: report.postMs.p50,
      postP99: report.postMs.p99,
      processCpu: (after.process - before.process) / report.accepted,
      postgresCpu: (after.postgres - before.postgres) / report.accepted,
    });
  }
  if (wanted.includes('open')) {
    say('orders at a fixed pace');
    const capacity = numbers.sustained ?? (await sustain(trial, sizes, null).then(count)).finishedPerSecond;
    Object.assign(numbers, await underOpenLoad(trial, capacity, sizes.openSeconds, count));
  }
  if (wanted.includes('burst')) {
    say(`a burst of ${sizes.burst}`);
    const load = trial.load({ kind: 'burst', orders: sizes.burst, connections });
    const hasProbes = contender.readyPath === '/readyz';
    const { done, numbers: asked } = hasProbes ? await probed(trial, load) : { done: await load, numbers: {} };
    const report = count(done);
    Object.assign(numbers, asked, {
      burstFinished: report.finishedPerSecond,
      burstAccepted: (report.accepted / report.acceptedMs) * 1000,
    });
  }
  numbers.peak = trial.peakMb();
  if (wanted.includes('cost')) {
    say(`counting what ${sizes.cost} orders cost`);
    const sustainOf = (orders: number) => async () => count(await sustain(trial, sizes, orders));
    const cost = await countCost(trial, sustainOf(Math.ceil(sizes.cost / 4)), sustainOf(sizes.cost));
    // The CPU of a longer load without counting says more, where there is one.
    Object.assign(numbers, { ...cost, ...numbers });
  }
  await assertEndedOnce(trial, contender, accepted);
  return numbers;
}

// Far enough apart that none meets the one before.
const idlePerSecond = 10;

async function onEmbedded(trial: Trial, sizes: Sizes, say: Say): Promise<Numbers> {
  await trial.start();
  say('embedded: warming up');
  const warmUp = await trial.load({ kind: 'burst', orders: sizes.embeddedWarmUp, connections });
  say(`embedded: ${sizes.restSeconds} s with nothing to do`);
  const rest = await atRest(trial, sizes.restSeconds);
  say(`embedded: ${sizes.embedded} orders`);
  const before = trial.cpu();
  const report = await trial.load({
    kind: 'sustained',
    seconds: Number.MAX_SAFE_INTEGER / 1000,
    rampSeconds: 0,
    orders: sizes.embedded,
    connections,
    unfinishedMax: unfinishedMaxEmbedded,
  });
  await pause(settleMs);
  const after = trial.cpu();
  await assertCounted(trial, warmUp.accepted + report.accepted);
  return {
    embedded: report.finishedPerSecond,
    embeddedCpu: (after.process - before.process) / report.accepted,
    embeddedPeak: trial.peakMb(),
    embeddedRest: rest.process,
  };
}

export function sustain(trial: Trial, sizes: Sizes, orders: number | null): Promise<LoadReport> {
  const seconds = orders === null ? sizes.sustainedSeconds : Number.MAX_SAFE_INTEGER / 1000;
  const rampSeconds = orders === null ? sizes.rampSeconds : 0;
  return trial.load({ kind: 'sustained', seconds, rampSeconds, orders, connections, unfinishedMax });
}

async function atRest(trial: Trial, seconds: number) {
  await pause(2 * settleMs);
  const [before, started] = [trial.cpu(), performance.now()];
  await pause(seconds * 1000);
  const [after, tookMs] = [trial.cpu(), performance.now() - started];
  return {
    process: ((after.process - before.process) / tookMs) * 100,
    postgres: ((after.postgres - before.postgres) / tookMs) * 100,
  };
}

export async function assertEndedOnce({ sql }: Trial, { endedOnce }: Contender, accepted: number): Promise<void> {
  let last = '';
  const look = async () => {
    const [all] = await sql('SELECT count(*)::integer AS orders FROM orders');
    const [ended] = await sql(`SELECT count(*)::integer AS orders FROM orders o WHERE ${endedOnce}`);
    last = `${all?.orders} are there and ${ended?.orders} of them have ended once`;
    return Number(all?.orders) === accepted && Number(ended?.orders) === accepted;
  };
  await until(look, 'each order to have ended once', { patienceMs }).catch(() => {
    throw new Error(`${accepted} orders were accepted, but ${last}`);
  });
}

// The embedded database cannot be asked from outside; analytics counts each order once, by its status.
async function assertCounted(trial: Trial, accepted: number): Promise<void> {
  let last = '';
  const look = async () => {
    last = (await trial.get('/analytics/orders')).body;
    const { items = [] } = JSON.parse(last) as { items?: { status: string; count: number }[] };
    const total = (isCounted: (status: string) => boolean) =>
      items.reduce((sum, { status, count }) => sum + (isCounted(status) ? count : 0), 0);
    return total((status) => status === 'PROCESSED') === accepted && total(() => true) === accepted;
  };
  await until(look, 'analytics to count each order once', { patienceMs }).catch(() => {
    throw new Error(`${accepted} orders were accepted, but analytics has ${last}`);
  });
}

// The load, a process of its own: plays one plan, given as JSON in its argument, against an API on this
// machine, and prints what it saw as one line of JSON.
//
// Promises: an order that is refused (503) is sent again under its key until it is accepted, and its latency
// counts from the first sending; in an open loop from the moment at which it was due, sent or not, so that a
// system that stands still is charged for those who wait. An order that gets another answer ends the load.

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, connect, post } from './http.ts';
import { createProgress, type Progress, type ProgressSource } from './progress.ts';
import { type Quantiles, quantiles } from './quantiles.ts';

export type Plan = Kind & { readonly port: number; readonly progress: ProgressSource };
export type Kind =
  // Closed loop: as many orders as the connections carry, all at once.
  | { readonly kind: 'burst'; readonly orders: number; readonly connections: number }
  // Closed loop with a bounded number of unfinished orders, for so long or until so many are sent. Latency
  // counts after the ramp.
  | {
      readonly kind: 'sustained';
      readonly seconds: number;
      readonly rampSeconds: number;
      readonly orders: number | null;
      readonly connections: number;
      readonly unfinishedMax: number;
    }
  // Closed loop until the connections break; nobody waits for what was accepted.
  | { readonly kind: 'interrupted'; readonly connections: number }
  // Open loop: an order is due every 1 / perSecond, whatever became of those before.
  | { readonly kind: 'open'; readonly perSecond: number; readonly seconds: number; readonly connections: number };

export type LoadReport = {
  readonly accepted: number;
  // 503 answers; each order was sent again.
  readonly refused: number;
  // From the start to the last 201, and until the last order was finished, its notification recorded.
  readonly acceptedMs: number;
  readonly finishedMs: number;
  // From the first POST to the last order's end, so that nobody gains by a backlog.
  readonly finishedPerSecond: number;
  readonly postMs: Quantiles;
  // CPU of the load itself.
  readonly cpuMs: number;
  // Of the last two kinds: order id → when it was due, in milliseconds of the wall clock.
  readonly dueMs: Readonly<Record<string, number>>;
};

// Equal keys of two runs would be replays instead of orders.
const runId = randomBytes(6).toString('hex');
const againAfterMs = 20;

if (import.meta.main) {
  const plan = JSON.parse(process.argv[2] ?? '') as Plan;
  process.stdout.write(`${JSON.stringify(await play(plan))}\n`, () => process.exit(0));
}

async function play(plan: Plan): Promise<LoadReport> {
  // Asks the process, so it would end with it.
  const progress = plan.kind === 'interrupted' ? null : await createProgress(plan.port, plan.progress);
  const orders = createOrders();
  const cpu = process.cpuUsage();
  const started = performance.now();

  const connections = await Promise.all(Array.from({ length: plan.connections }, () => connect(plan.port)));
  const ramp = plan.kind === 'sustained' ? plan.rampSeconds * 1000 : 0;
  if (progress === null) await untilBroken(connections, orders);
  else if (plan.kind === 'burst') await burst(plan, connections, orders);
  else if (plan.kind === 'sustained') await sustained(plan, connections, orders, progress);
  else if (plan.kind === 'open') await open(plan, connections, orders);
  for (const connection of connections) connection.close();

  const acceptedMs = performance.now() - started;
  const { user, system } = process.cpuUsage(cpu);
  await progress?.until(orders.accepted());
  const finishedMs = progress?.now().atMs ?? Number.NaN;
  await progress?.stop();
  const total = orders.accepted();
  const measured = orders.posts.filter(({ fromMs }) => fromMs - started >= ramp);
  return {
    accepted: total,
    refused: orders.refused(),
    acceptedMs,
    finishedMs,
    finishedPerSecond: (total / finishedMs) * 1000,
    postMs: quantiles(measured.map(({ tookMs }) => tookMs)),
    cpuMs: (user + system) / 1000,
    dueMs: plan.kind === 'open' || plan.kind === 'interrupted' ? orders.dueMs : {},
  };
}

async function burst(
  plan: Plan & { kind: 'burst' },
  connections: readonly Connection[],
  orders: Orders,
): Promise<void> {
  const one = async (connection: Connection) => {
    while (orders.sent() < plan.orders) await orders.place(connection, performance.now());
  };
  await Promise.all(connections.map(one));
}

async function sustained(
  plan: Plan & { kind: 'sustained' },
  connections: readonly Connection[],
  orders: Orders,
  progress: Progress,
): Promise<void> {
  const ending = performance.now() + plan.seconds * 1000;
  const isOver = () => performance.now() > ending || orders.sent() >= (plan.orders ?? Number.POSITIVE_INFINITY);
  const one = async (connection: Connection) => {
    while (!isOver()) {
      if (orders.sent() - progress.now().finished < plan.unfinishedMax) {
        await orders.place(connection, performance.now());
      } else {
        await progress.next();
      }
    }
  };
  await Promise.all(connections.map(one));
}

async function untilBroken(connections: readonly Connection[], orders: Orders): Promise<void> {
  const one = async (connection: Connection) => {
    for (;;) await orders.place(connection, performance.now());
  };
  await Promise.allSettled(connections.map(one));
}

async function open(plan: Plan & { kind: 'open' }, connections: readonly Connection[], orders: Orders): Promise<void> {
  const everyMs = 1000 / plan.perSecond;
  const total = Math.floor(plan.perSecond * plan.seconds);
  const started = performance.now();
  const free = [...connections];
  // Due and not sent yet, because no connection was free.
  const waiting: number[] = [];
  const sending = new Set<Promise<void>>();
  const send = () => {
    while (free.length > 0 && waiting.length > 0) {
      const connection = free.pop() as Connection;
      const sent: Promise<void> = orders.place(connection, waiting.shift() as number).then(() => {
        free.push(connection);
        sending.delete(sent);
        send();
      });
      sending.add(sent);
    }
  };
  for (let due = 0; due < total; ) {
    for (; due < total && started + due * everyMs <= performance.now(); due += 1) waiting.push(started + due * everyMs);
    send();
    await pause(1);
  }
  while (sending.size > 0) await Promise.race(sending);
}

type Orders = ReturnType<typeof createOrders>;

function createOrders() {
  let sent = 0;
  let accepted = 0;
  let refused = 0;
  const posts: { readonly fromMs: number; readonly tookMs: number }[] = [];
  const dueMs: Record<string, number> = {};
  return {
    posts,
    dueMs,
    sent: () => sent,
    accepted: () => accepted,
    refused: () => refused,
    place: async (connection: Connection, fromMs: number) => {
      sent += 1;
      const key = `${runId}-${sent}`;
      const lines = '[{"sku":"lamp","quantity":2,"unitPrice":1250}]';
      const request = post('/orders', key, `{"customerEmail":"${key}@example.com","currency":"EUR","items":${lines}}`);
      for (;;) {
        const { status, body } = await connection.send(request);
        if (status === 201) {
          accepted += 1;
          posts.push({ fromMs, tookMs: performance.now() - fromMs });
          const id = /"id":"([^"]+)"/.exec(body)?.[1] ?? '';
          dueMs[id] = performance.timeOrigin + fromMs;
          return;
        }
        if (status !== 503) throw new Error(`an order was answered with ${status} ${body}`);
        refused += 1;
        await pause(againAfterMs);
      }
    },
  };
}

// Small stories that an order may go through, told step by step, without chance: the ways on which the crash
// matrix reaches every statement and every call.
//
// Promises: a story ends with `settle`, whatever befalls it; a troubled partner or bus of a story is part of it,
// and in place with and without the fault of the matrix.

import { subscriptions } from '../../src/flow/subscriptions.ts';
import { unavailable, withoutEffect } from '../../src/io/partners/troubles.ts';
import type { Life } from './life.ts';
import type { Mishap } from './network.ts';
import type { MachinePlan, Plan } from './plan.ts';
import type { Simulation } from './simulation.ts';

export type Story = {
  readonly name: string;
  readonly plan?: (plan: Plan) => Plan;
  // What the story's own partners and bus do wrong: by label, and how often it was called before.
  readonly trouble?: (label: string, before: number) => Mishap | null;
  // The same for statements, by label.
  readonly stall?: (label: string, before: number) => Mishap | null;
  readonly refusesRecall?: boolean;
  // The carrier takes no order.
  readonly rejects?: boolean;
  // Which release a machine runs that starts now; the older one everywhere unless told.
  readonly isNewer?: (machine: string, nowMs: number) => boolean;
  // Counters of sometimes.ts that the story must meet where no fault comes in between.
  readonly meets?: readonly string[];
  // A point of the matrix that it is about: it is one of the ways to it, also where other stories come by.
  readonly about?: string;
  readonly tell: (simulation: Simulation) => Promise<void>;
};

export const leaseMs = 900;
const timeoutMs = 400;
const deployMs = 1_500;

const consumers = subscriptions.map((row) => row.consumer);
const machine = (name: string): MachinePlan => ({
  name,
  isApi: true,
  relay: true,
  consumers,
  connections: 2,
  skewMs: 0,
  drift: 1,
});

// Nothing is drawn: two whole machines, a well-behaved world.
export const quietPlan: Plan = {
  seed: 1,
  machines: [machine('one'), machine('two')],
  settings: {
    maxRetries: 3,
    retryDelayMs: 40,
    retryDelayMsMax: 80,
    maxWaitMs: 600_000,
    failureProbability: 0,
    processingDelayMs: 0,
    timeoutMs,
    leaseMs,
    concurrency: 4,
  },
  bus: {
    ordered: false,
    redelivers: true,
    durable: true,
    filters: 'type',
    latencyMs: [1, 3],
    loses: 0,
    doubles: 0,
    delays: 0,
    delayMsMax: 0,
    corrupts: 0,
    forges: 0,
    losesAcks: 0,
    publishesPart: 0,
  },
  faults: {} as Plan['faults'],
  bursts: [],
  chaosMs: 0,
  storeLatencyMs: [0.2, 1],
  partnerLatencyMs: {
    authorize: [2, 20],
    void: [2, 20],
    book: [2, 20],
    recall: [2, 20],
    send: [2, 20],
    lookup: [2, 20],
    index: [2, 20],
  },
  splitting: 0,
  orders: 0,
  placedWithinMs: 0,
  clients: {
    withoutKey: 0,
    repeats: 0,
    otherPayload: 0,
    cancels: 0,
    interferes: 0,
    reads: 0,
    operatorEveryMs: 1,
    reprocesses: 0,
  },
  keyWindowMs: 86_400_000,
  isDeploying: false,
  isLazy: true,
};

const goods = { customerEmail: 'customer@example.com', amount: 1_999 } as const;
const silence: Mishap = { at: 'after', what: 'silence' };
const away = () => unavailable('The provider is not available.');
const notNow = () => withoutEffect('partner-failed', 'The provider could not take the call.');
// One machine, so that nobody else can help.
const alone = (plan: Plan): Plan => ({ ...plan, machines: [machine('one')] });
const withSettings = (settings: Partial<Plan['settings']>) => (plan: Plan) => ({
  ...plan,
  settings: { ...plan.settings, ...settings },
});

// Until the order looks as it should, or has no more time to come to it.
async function seen(
  { clients }: Simulation,
  id: Parameters<Simulation['clients']['insist']['read']>[0],
  isSo: (order: NonNullable<Awaited<ReturnType<Simulation['clients']['insist']['read']>>>) => boolean,
): Promise<void> {
  for (let looks = 0; looks < 300; looks += 1) {
    const order = await clients.insist.read(id);
    if (order !== null && isSo(order)) return;
    await clients.pause(100);
  }
}

async function cancelWhileBooking(simulation: Simulation): Promise<void> {
  const { insist } = simulation.clients;
  const order = await insist.place('a', goods);
  if (order === null) return;
  await seen(simulation, order.id, ({ fulfillment }) => fulfillment !== 'none');
  await simulation.clients.pause(50);
  await insist.cancel(order.id);
}

export const stories: readonly Story[] = [
  {
    name: 'a paid order is shipped, and its request repeated',
    tell: async ({ clients: { insist } }) => {
      const order = await insist.place('a', goods);
      await insist.place('a', goods);
      if (order !== null) await insist.timeline(order.id);
    },
  },
  {
    name: 'a declined order',
    tell: async ({ clients: { insist } }) => void (await insist.place('a', { ...goods, paymentScenario: 'failure' })),
  },
  {
    name: 'a flaky payment is tried again',
    tell: async ({ clients: { insist } }) => void (await insist.place('a', { ...goods, paymentScenario: 'flaky' })),
  },
  {
    name: 'an outage ends in a letter, which is sent back',
    plan: withSettings({ maxRetries: 1 }),
    tell: async (simulation) => {
      const { insist } = simulation.clients;
      const order = await insist.place('a', { ...goods, paymentScenario: 'outage' });
      if (order === null) return;
      await seen(simulation, order.id, ({ status }) => status === 'FAILED');
      await insist.operate();
    },
  },
  {
    name: 'an answer that was lost is not forgotten over a certain failure after it',
    plan: withSettings({ maxRetries: 1 }),
    trouble: (label, before) => {
      if (label !== 'payments.authorize' || before > 1) return null;
      return before === 0 ? silence : { at: 'before', what: 'refuse', error: notNow };
    },
    tell: async (simulation) => {
      const { insist } = simulation.clients;
      const order = await insist.place('a', goods);
      if (order === null) return;
      await seen(simulation, order.id, ({ status }) => status === 'FAILED');
      await insist.operate();
    },
  },
  {
    name: 'a letter of a core step is closed by a cancel',
    plan: withSettings({ maxRetries: 0 }),
    tell: async (simulation) => {
      const { insist } = simulation.clients;
      const order = await insist.place('a', { ...goods, paymentScenario: 'timeout' });
      if (order === null) return;
      await seen(simulation, order.id, ({ status }) => status === 'FAILED');
      await insist.cancel(order.id);
    },
  },
  ...(['PaymentFailed', 'FulfillmentRejected'] as const).map(
    (fact): Story => ({
      name: `a partner says no to what was canceled meanwhile: ${fact}`,
      // Whoever undoes it sleeps until the answer is settled.
      plan: (plan) => ({
        ...plan,
        machines: [
          { ...machine('one'), consumers: consumers.filter((consumer) => consumer !== 'compensation') },
          { ...machine('two'), isApi: false, relay: false, consumers: ['compensation'] },
        ],
        partnerLatencyMs: { ...plan.partnerLatencyMs, authorize: [150, 180], book: [150, 180] },
      }),
      rejects: true,
      meets: [`transition CANCELED ${fact}`],
      tell: async (simulation) => {
        const { clients, machines } = simulation;
        machines[1]?.freeze(2_000);
        const isDeclined = fact === 'PaymentFailed';
        const order = await clients.insist.place('a', {
          ...goods,
          paymentScenario: isDeclined ? 'failure' : 'success',
        });
        if (order === null) return;
        await seen(simulation, order.id, ({ payment, fulfillment }) => (isDeclined ? payment : fulfillment) !== 'none');
        await clients.insist.cancel(order.id);
      },
    }),
  ),
  {
    name: 'a cancel while the shipment is booked',
    trouble: (label, before) => (label === 'carrier.book' && before < 2 ? silence : null),
    tell: cancelWhileBooking,
  },
  {
    name: 'a cancel that comes too late for the carrier',
    refusesRecall: true,
    trouble: (label, before) => (label === 'carrier.book' && before < 2 ? silence : null),
    tell: async (simulation) => {
      await cancelWhileBooking(simulation);
      await simulation.clients.pause(1_000);
      // The carrier says no again: it ships, whoever asks.
      await simulation.clients.insist.operate();
    },
  },
  {
    name: 'undos without an answer, which are left to a person',
    plan: (plan) => alone(withSettings({ maxRetries: 1 })(plan)),
    trouble: (label, before) => {
      if (label === 'carrier.book') return before === 1 || before === 2 ? silence : null;
      return (label === 'carrier.recall' || label === 'payments.void') && before < 2 ? silence : null;
    },
    tell: async (simulation) => {
      const { insist } = simulation.clients;
      // Both partners have answered somebody lately, so none is taken to be away.
      const well = await insist.place('z', goods);
      if (well !== null) await seen(simulation, well.id, ({ status }) => status === 'PROCESSED');
      // Of the first the carrier says nothing, of the second the provider.
      for (const key of ['a', 'b']) {
        const order = await insist.place(key, goods);
        if (order === null) return;
        await seen(simulation, order.id, ({ fulfillment }) => fulfillment !== 'none');
        await insist.cancel(order.id);
        await simulation.clients.pause(2_000);
      }
    },
  },
  {
    name: 'outcomes that are asked for after the partners forgot their keys',
    plan: (plan) => ({ ...withSettings({ maxRetries: 0 })(plan), keyWindowMs: 2_000 }),
    trouble: (label, before) => (label === 'carrier.book' && before === 0 ? silence : null),
    tell: async (simulation) => {
      const { insist } = simulation.clients;
      const order = await insist.place('a', { ...goods, paymentScenario: 'lost-answer' });
      if (order === null) return;
      await seen(simulation, order.id, ({ status }) => status === 'FAILED');
      await simulation.clients.pause(2_500);
      await insist.operate();
      await seen(simulation, order.id, ({ status }) => status === 'FAILED');
      await simulation.clients.pause(2_500);
      await insist.operate();
    },
  },
  {
    name: 'several clients at once, some of whom repeat themselves',
    plan: alone,
    about: 'read-key-winners',
    tell: async ({ clients: { insist } }) => {
      await insist.place('a', goods);
      await Promise.all(['b', 'a', 'c', 'a', 'd', 'a', 'e'].map((key) => insist.place(key, goods)));
    },
  },
  {
    name: 'a provider that is away for some, and silent to others',
    plan: (plan) => alone(withSettings({ concurrency: 16 })(plan)),
    // The silent calls end long after the others have opened the breaker.
    trouble: (label, before) => {
      if (label !== 'payments.authorize' || before >= 12) return null;
      return before < 6 ? { ...silence, at: 'before' } : { at: 'before', what: 'refuse', error: away };
    },
    tell: async ({ clients: { insist } }) => {
      await Promise.all(Array.from({ length: 12 }, (_, nth) => insist.place(`away-${nth}`, goods)));
    },
  },
  {
    name: 'a provider that is away for longer than anything may wait',
    plan: (plan) => alone(withSettings({ maxWaitMs: 3_000 })(plan)),
    meets: ['waited too long', 'hold while a breaker is open'],
    trouble: (label, before) =>
      label === 'payments.authorize' && before < 30 ? { at: 'before', what: 'refuse', error: away } : null,
    tell: async ({ clients: { insist, pause } }) => {
      await Promise.all(Array.from({ length: 16 }, (_, nth) => insist.place(`long-${nth}`, goods)));
      await pause(1_000);
      await insist.place('e', goods);
    },
  },
  {
    name: 'money goes back while the carrier is away',
    plan: alone,
    meets: ['authorization voided', 'breaker closed'],
    trouble: (label, before) => {
      if (label === 'carrier.book' && before < 9) return { at: 'before', what: 'refuse', error: away };
      return label === 'payments.void' && before < 1 ? { at: 'before', what: 'refuse', error: notNow } : null;
    },
    tell: async (simulation) => {
      const { insist, pause } = simulation.clients;
      await Promise.all(['a', 'b', 'c'].map((key) => insist.place(key, goods)));
      await pause(800);
      // Nobody begins to book these: the breaker of the carrier is open.
      const cancel = async (key: string) => {
        const order = await insist.place(key, goods);
        if (order === null) return;
        await seen(simulation, order.id, ({ payment }) => payment === 'authorized');
        await insist.cancel(order.id);
      };
      await Promise.all(['d', 'e', 'f'].map(cancel));
    },
  },
  {
    name: 'an old message that comes when a probe may leave',
    plan: alone,
    trouble: (label, before) => {
      const isAway = label === 'payments.authorize' && before > 0 && before <= 7;
      return isAway ? { at: 'before', what: 'refuse', error: away } : null;
    },
    tell: async ({ bus, clients, recorder }) => {
      const done = await clients.insist.place('a', goods);
      await clients.pause(500);
      await Promise.all(['b', 'c', 'd'].map((key) => clients.insist.place(key, goods)));
      const [fact] = recorder.evidence.orders.get(done?.id ?? '')?.facts ?? [];
      const again = Buffer.from(JSON.stringify({ specversion: '1.0', id: fact?.id, type: fact?.type }));
      for (let times = 0; times < 50; times += 1) {
        bus.inject(again);
        await clients.pause(60);
      }
    },
  },
  {
    name: 'a deploy, in which the older release meets a fact of the newer',
    plan: (plan) => ({ ...plan, bus: { ...plan.bus, filters: 'name', doubles: 1 } }),
    isNewer: (machine, nowMs) => machine === 'one' || nowMs > deployMs,
    tell: async ({ machines, clients: { insist, pause } }) => {
      await Promise.all(Array.from({ length: 6 }, (_, nth) => insist.place(`new-${nth}`, goods)));
      await pause(deployMs);
      machines[1]?.stop(100, 50);
    },
  },
  {
    name: 'a fact that is committed long after its number was taken',
    plan: alone,
    // Meanwhile the relay goes past its number.
    stall: (label, before) =>
      label === 'COMMIT of lock-orders' && before === 0 ? { at: 'before', what: 'silence', ms: 600 } : null,
    tell: async ({ clients: { insist, pause } }) => {
      await Promise.all(
        Array.from({ length: 12 }, (_, nth) => pause(nth * 60).then(() => insist.place(`late-${nth}`, goods))),
      );
    },
  },
  {
    name: 'work that its workers die of',
    meets: ['worker lost', 'takeover'],
    trouble: (label, before) =>
      label === 'payments.authorize' && before < 11 ? { at: 'before', what: 'crash', ms: 1 } : null,
    tell: async (simulation) => {
      const { insist } = simulation.clients;
      const order = await insist.place('a', goods);
      if (order === null) return;
      await seen(simulation, order.id, ({ status }) => status === 'FAILED');
      await insist.operate();
    },
  },
  {
    name: 'a bus that brings nothing',
    plan: (plan) => ({ ...plan, bus: { ...plan.bus, loses: 1 } }),
    tell: async ({ clients: { insist } }) => void (await insist.place('a', goods)),
  },
  {
    name: 'work that takes longer than a third of its lease',
    plan: withSettings({ processingDelayMs: 700 }),
    meets: ['message acknowledged while its work runs', 'lease renewed'],
    tell: async ({ clients: { insist } }) => void (await insist.place('a', goods)),
  },
  {
    name: 'messages that nobody can read, and one of no fact, are parked and read again',
    tell: async ({ bus, clients }) => {
      await clients.pause(20);
      bus.inject(Buffer.from('no json'));
      const unknown = { specversion: '1.0', id: '00000000-0000-4000-8000-000000000000', type: 'OrderCreatedV1' };
      bus.inject(Buffer.from(JSON.stringify(unknown)));
      await clients.pause(500);
      await clients.insist.operate();
      // The fact has come meanwhile: read again, its message is finished.
      await clients.insist.place('a', goods);
    },
  },
  {
    name: 'a machine is told to stop in the middle of a call',
    plan: alone,
    meets: ['graceful stop released uncharged'],
    trouble: (label, before) => (label === 'payments.authorize' && before === 0 ? { ...silence, at: 'before' } : null),
    tell: async ({ machines, clients }) => {
      await clients.insist.place('a', goods);
      await clients.pause(60);
      machines[0]?.stop(100, 50);
    },
  },
  {
    name: 'a machine is told to stop',
    tell: async ({ machines, clients }) => {
      await clients.insist.place('a', goods);
      await clients.pause(30);
      machines[0]?.stop(100, 50);
      await clients.insist.place('b', goods);
    },
  },
];

export const labelCounter = () => {
  const counts = new Map<string, number>();
  return (_life: Life, label: string): number => {
    const before = counts.get(label) ?? 0;
    counts.set(label, before + 1);
    return before;
  };
};

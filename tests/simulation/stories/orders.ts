// What an order may go through: its partners' answers, cancels, dead letters, and what nobody knows for a while.
//
// Promises: each story comes to its end in a world without faults as it says, and by the engine alone.

import type { Simulation } from '../simulation.ts';
import {
  alone,
  consumers,
  failed,
  goods,
  machine,
  noForGood,
  notNow,
  type Story,
  seen,
  silence,
  withSettings,
} from './story.ts';

async function cancelWhileBooking(simulation: Simulation): Promise<void> {
  const { insist } = simulation.clients;
  const order = await insist.place('a', goods);
  if (order === null) return;
  await seen(simulation, order.id, ({ fulfillment }) => fulfillment !== 'none');
  await simulation.clients.pause(50);
  await insist.cancel(order.id);
}

export const ofOrders: readonly Story[] = [
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
    name: 'an outage ends in a dead letter, which is sent back',
    plan: withSettings({ maxRetries: 1 }),
    tell: async (simulation) => {
      if ((await failed(simulation, { ...goods, paymentScenario: 'outage' })) !== null)
        await simulation.clients.insist.operate();
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
      if ((await failed(simulation, goods)) !== null) await simulation.clients.insist.operate();
    },
  },
  {
    name: 'a dead letter of a core step is closed by a cancel',
    plan: withSettings({ maxRetries: 0 }),
    tell: async (simulation) => {
      const { insist } = simulation.clients;
      const order = await failed(simulation, { ...goods, paymentScenario: 'timeout' });
      if (order === null) return;
      await insist.cancel(order.id);
    },
  },
  ...(['PaymentFailed', 'FulfillmentRejected'] as const).map(
    (event): Story => ({
      name: `a partner says no to what was canceled meanwhile: ${event}`,
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
      meets: [`transition CANCELED ${event}`],
      tell: async (simulation) => {
        const { clients, machines } = simulation;
        machines[1]?.freeze(2_000);
        const isDeclined = event === 'PaymentFailed';
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
      if (label === 'carrier.book') return before >= 1 && before <= 3 ? silence : null;
      if (label === 'payments.void' && before === 3) return { at: 'before', what: 'refuse', error: noForGood };
      const silent = { 'carrier.recall': 2, 'payments.void': 3 }[label] ?? 0;
      return before < silent ? silence : null;
    },
    tell: async (simulation) => {
      const { insist } = simulation.clients;
      // Both partners have answered somebody lately, so none is taken to be away.
      const well = await insist.place('z', goods);
      if (well !== null) await seen(simulation, well.id, ({ status }) => status === 'PROCESSED');
      // Of the first the carrier says nothing, of the second the provider; of the third the provider says nothing
      // of the void that it made, and a no to the next one.
      for (const key of ['a', 'b', 'c']) {
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
      const order = await failed(simulation, { ...goods, paymentScenario: 'lost-answer' });
      if (order === null) return;
      await simulation.clients.pause(2_500);
      await insist.operate();
      await seen(simulation, order.id, ({ status }) => status === 'FAILED');
      await simulation.clients.pause(2_500);
      await insist.operate();
    },
  },
  {
    name: 'an order that is stored when the database goes away, for longer than its client waits',
    // The answer is on its way for long enough to be lost.
    plan: (plan) => ({ ...plan, storeLatencyMs: [20, 30] }),
    meets: ['told that it may be stored'],
    tell: async ({ clients, recorder, server }) => {
      const placed = clients.insist.place('a', goods);
      while (recorder.evidence.orders.size === 0) await clients.pause(1);
      server.crash(7_000);
      await placed;
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
];

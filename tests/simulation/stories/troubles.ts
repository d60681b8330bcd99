// What may befall those who work: partners that stay away, a bus that brings nothing or too much, deploys, deaths and
// stops.
//
// Promises: what is wrong in a story is wrong in every one of its cells of the matrix; `meets` says what it shows.

import type { Recorder } from '../recorder.ts';
import {
  alone,
  apart,
  away,
  embedded,
  failed,
  goods,
  notNow,
  type Story,
  seen,
  silence,
  withSettings,
} from './story.ts';

const deployMs = 1_500;
// After it was looked for what nobody has touched for too long.
const backMs = 63_000;

// What the bus brings of an order's first event.
const messageWith = (subject: string | undefined): Buffer =>
  Buffer.from(JSON.stringify({ specversion: '1.0', subject, sequence: '0000000001', type: 'OrderCreatedV1' }));
const messageOf = (recorder: Recorder, id: string | undefined): Buffer =>
  messageWith(recorder.evidence.orders.get(id ?? '')?.events[0]?.order_id);

export const ofTroubles: readonly Story[] = [
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
    plan: (plan) => ({ ...alone(withSettings({ maxWaitMs: 3_000 })(plan)), isLazy: false }),
    meets: ['waited too long', 'waited too long untouched', 'outage written down', 'outage over'],
    trouble: (label, _before, nowMs) =>
      label === 'payments.authorize' && nowMs < backMs ? { at: 'before', what: 'refuse', error: away } : null,
    tell: async ({ clients: { insist, pause } }) => {
      await Promise.all(Array.from({ length: 36 }, (_, nth) => insist.place(`long-${nth}`, goods)));
      await pause(backMs);
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
    meets: ['hint of a job that is gone'],
    tell: async ({ bus, clients, recorder }) => {
      const done = await clients.insist.place('a', goods);
      await clients.pause(500);
      await Promise.all(['b', 'c', 'd'].map((key) => clients.insist.place(key, goods)));
      for (let times = 0; times < 50; times += 1) {
        bus.inject(messageOf(recorder, done?.id));
        await clients.pause(60);
      }
    },
  },
  {
    name: 'a message that comes again while its job waits for a retry, and while it runs',
    plan: (plan) => alone(withSettings({ retryDelayMs: 2_000, retryDelayMsMax: 2_000, processingDelayMs: 200 })(plan)),
    meets: ['hint during a wait', 'hint of a job under way', 'retry claimed by a poll'],
    tell: async ({ bus, clients, recorder }) => {
      const order = await clients.insist.place('a', { ...goods, paymentScenario: 'flaky' });
      for (let times = 0; times < 20; times += 1) {
        bus.inject(messageOf(recorder, order?.id));
        await clients.pause(50);
      }
    },
  },
  {
    name: 'a deploy, in which the older release meets an event of the newer',
    plan: (plan) => ({ ...plan, isDeploying: true, bus: { ...plan.bus, filters: 'name', doubles: 1 } }),
    isNewer: (machine, nowMs) => machine === 'one' || nowMs > deployMs,
    tell: async ({ machines, clients: { insist, pause } }) => {
      await Promise.all(Array.from({ length: 6 }, (_, nth) => insist.place(`new-${nth}`, goods)));
      await pause(deployMs);
      machines[1]?.stop(100, 50);
    },
  },
  {
    name: 'an event that is committed long after its number was taken',
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
      if ((await failed(simulation, goods)) !== null) await simulation.clients.insist.operate();
    },
  },
  {
    name: 'a bus that brings nothing',
    plan: (plan) => ({ ...apart(plan), bus: { ...plan.bus, loses: 1 } }),
    meets: ['job claimed by a poll', 'job claimed with its event'],
    tell: async ({ clients: { insist } }) => void (await insist.place('a', goods)),
  },
  {
    name: 'an order that one process accepts and another one works on',
    plan: apart,
    meets: ['job claimed by its hint', 'job claimed with its event'],
    tell: async ({ clients: { insist } }) => void (await insist.place('a', goods)),
  },
  {
    name: 'work that takes longer than a third of its lease',
    plan: withSettings({ processingDelayMs: 700 }),
    meets: ['job claimed with its event', 'lease renewed'],
    tell: async ({ clients: { insist } }) => void (await insist.place('a', goods)),
  },
  {
    name: 'messages that nobody can read, and one of no event, are dropped',
    meets: ['unreadable message dropped'],
    tell: async ({ bus, clients }) => {
      await clients.pause(20);
      bus.inject(Buffer.from('no json'));
      bus.inject(messageWith('00000000-0000-4000-8000-000000000000'));
      await clients.insist.place('a', goods);
    },
  },
  {
    name: 'a document that the search refuses, which is sent back',
    documentsRefused: 1,
    meets: ['document refused'],
    tell: async ({ clients: { insist, pause } }) => {
      await insist.place('a', goods);
      await pause(2_000);
      await insist.operate();
    },
  },
  {
    name: 'a process with a database of its own dies in the middle of a call',
    plan: (plan) => ({ ...embedded(plan), settings: { ...plan.settings, leaseMs: 60_000 } }),
    meets: ['takeover', 'job claimed with its event'],
    trouble: (label, before) =>
      label === 'payments.authorize' && before === 0 ? { at: 'before', what: 'crash', ms: 100 } : null,
    tell: async ({ clients: { insist } }) => {
      await insist.place('a', { ...goods, paymentScenario: 'flaky' });
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

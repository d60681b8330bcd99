// Customers who come and go while everything breaks: each order has a key, a request without an answer is
// repeated at whichever process comes next, some click twice, come back later, or think better of it.
//
// Promises: what they sent and what they were answered is kept, and is evidence; an answer that the
// contract does not allow ends their coming, and is heard at `stop`.
// Relies on client.ts for the repeating and for what an answer must be.

import { setTimeout as pause } from 'node:timers/promises';
import { type Client, createClient, type Scenario } from '../support/client.ts';
import { customersDomain } from '../support/process.ts';
import { type Draw, drawFor } from './schedule.ts';
import type { Seat } from './seat.ts';

export type Customers = {
  readonly client: Client;
  // Orders whose cancel was answered with 409: it came too late.
  readonly tooLate: ReadonlySet<string>;
  // What kept somebody from going on, at once; null while all is well.
  readonly failed: () => unknown;
  // Resolves when every order that was begun is acknowledged; fails if anything was wrong on the way.
  readonly stop: () => Promise<void>;
  // Whoever ordered asks again under the same key, and must get the first answer.
  readonly askAllAgain: () => Promise<void>;
};

// Enough that some get through while others wait for a process that is frozen.
const atOnce = 20;
const pausesMs = [50, 150, 300, 800];
// Longer than a request is held for while the database is away, and shorter: the process may have
// placed the order all the same, or may do so when it wakes.
const patiencesMs = [700, 700, 700, 6_000];
// Most go well, as in life; each of the others is there all the time.
const scenarios: readonly Scenario[] = [
  ...Array.from({ length: 14 }, () => 'success' as const),
  ...(['flaky', 'flaky', 'failure', 'failure', 'lost-answer', 'lost-answer', 'timeout', 'outage', 'fatal'] as const),
];
const clicksTwice = 0.1;
const comesBack = 0.05;
const thinksBetter = 0.12;
// At once, in the middle of the work, and rather late.
const cancelsAfterMs = [0, 30, 90, 200, 1_500];

export function createCustomers(seats: readonly Seat[], seed: number): Customers {
  const doors = drawFor(seed, 'doors');
  // Any process that ever listened, dead or frozen ones too.
  const door = () => doors.pick(seats.map((seat) => seat.url()).filter((url) => url !== null));
  const client = createClient(door, () => doors.pick(patiencesMs));
  const tooLate = new Set<string>();
  let isStopping = false;

  async function come(customer: number): Promise<void> {
    const draw = drawFor(seed, `customer ${customer}`);
    const own: string[] = [];
    for (let turn = 1; !isStopping; turn += 1) {
      const key = `order-${customer}-${turn}`;
      const request = requestOf(key, draw);
      // `repeat` sends what was sent before.
      const clicks = draw.isHit(clicksTwice) ? 2 : 1;
      await Promise.all(Array.from({ length: clicks }, () => client.send(key, request)));
      const { orderId } = await client.repeat(key);
      own.push(key);
      if (draw.isHit(thinksBetter)) {
        await pause(draw.pick(cancelsAfterMs));
        await client.cancel(orderId);
        if (!client.canceled.has(orderId)) tooLate.add(orderId);
      }
      if (draw.isHit(comesBack)) await client.repeat(draw.pick(own));
      await pause(draw.pick(pausesMs));
    }
  }

  const all = Array.from({ length: atOnce }, (_, customer) => come(customer));
  const done = Promise.all(all);
  // Whoever fails is heard at `stop`, not as an unhandled rejection before.
  let failed: unknown = null;
  done.catch((error) => {
    failed = error;
    isStopping = true;
  });

  return {
    client,
    tooLate,
    failed: () => failed,
    stop: async () => {
      isStopping = true;
      await Promise.allSettled(all);
      await done;
    },
    askAllAgain: async () => {
      const keys = [...client.sent.keys()];
      const wrong: string[] = [];
      const ask = async () => {
        for (let key = keys.pop(); key !== undefined; key = keys.pop()) {
          await client.repeat(key).catch((error) => wrong.push(`${key}: ${error}`));
        }
      };
      await Promise.all(Array.from({ length: atOnce }, ask));
      if (wrong.length > 0) throw new Error(`${wrong.length} of them:\n${wrong.slice(0, 5).join('\n')}`);
    },
  };
}

export type SentOrder = {
  readonly customerEmail: string;
  readonly userId?: string;
  readonly currency: string;
  readonly country: string;
  readonly paymentScenario: Scenario;
} & (
  | { readonly amount: number }
  | { readonly items: readonly { readonly sku: string; readonly quantity: number; readonly unitPrice: number }[] }
);

// No two alike, so that one payload cannot stand for another.
function requestOf(key: string, draw: Draw): string {
  const who = { customerEmail: `${key}@${customersDomain}`, ...(draw.isHit(0.3) ? { userId: `user of ${key}` } : {}) };
  const where = { currency: draw.pick(['USD', 'EUR', 'JPY', 'KWD']), country: draw.pick(['US', 'DE', 'JP']) };
  const line = (n: number) => ({ sku: `${key}-${n}`, quantity: 1 + draw.below(5), unitPrice: 1 + draw.below(100_000) });
  const what = draw.isHit(0.5)
    ? { amount: 1 + draw.below(10_000_000) }
    : { items: Array.from({ length: 1 + draw.below(4) }, (_, n) => line(n)) };
  const order: SentOrder = { ...who, ...where, ...what, paymentScenario: draw.pick(scenarios) };
  return JSON.stringify(order);
}

// Everybody who asks from outside: customers who are impatient, repeat themselves, change their mind and give
// up, and an operator who sends dead letters back, now and then twice.
//
// Promises: they know what they were told and nothing else; each goes its own way, whatever the others draw.
// Relies on requests.ts for one request and its answer.

import type { Order, OrderId, PaymentScenario } from '../../src/domain/order.ts';
import type { PlaceCommand } from '../../src/flow/ports.ts';
import type { Stream } from './draws.ts';
import { createInsist, type Insist } from './insist.ts';
import type { Machine } from './machine.ts';
import type { World } from './network.ts';
import type { Plan } from './plan.ts';
import type { Recorder } from './recorder.ts';
import { createRequests } from './requests.ts';

export type Clients = {
  readonly start: () => void;
  // Somebody still waits for something.
  readonly areBusy: () => boolean;
  // The customer changes their mind at the worst moment: while a partner is called about the order.
  readonly interfere: (call: string, orderId: string) => void;
  // From now on nobody asks for anything new; who waits for an answer still repeats.
  readonly calm: () => void;
  // One more round of the operator over all dead letters.
  readonly reprocessAll: () => void;
  // For a story that is told step by step.
  readonly insist: Insist;
  readonly engage: (work: Promise<unknown>) => void;
  readonly pause: (ms: number) => Promise<void>;
};

// How often somebody looks who waits for the right moment to cancel.
const looksMax = 12;

const scenarios: readonly PaymentScenario[] = [
  'success',
  'success',
  'success',
  'success',
  'failure',
  'flaky',
  'timeout',
  'lost-answer',
  'outage',
  'fatal',
];

export function createClients(options: {
  readonly world: World;
  readonly plan: Plan;
  readonly machines: readonly Machine[];
  readonly recorder: Recorder;
}): Clients {
  const { world, plan, machines, recorder } = options;
  const { clock, draws, counters } = world;
  const requests = createRequests({ world, machines, recorder });
  const { act, cancel } = requests;
  const habits = plan.clients;
  let busy = 0;
  let isCalm = false;

  const pause = (ms: number) => new Promise<void>((resolve) => void clock.after(ms, resolve));

  function drawCommand(luck: Stream, isImpossible: boolean): PlaceCommand {
    const customer = isImpossible
      ? { customerEmail: 'nobody\u0000@example.com' }
      : luck.isHit(0.2)
        ? { userId: `user-${luck.whole(1, 9)}` }
        : { customerEmail: `customer-${luck.whole(1, 99)}@example.com` };
    const country = luck.pick(['US', 'DE', 'JP']);
    const paymentScenario = luck.pick(scenarios);
    const form = luck.whole(0, 2);
    const goods: PlaceCommand =
      form === 0
        ? { amount: luck.whole(1, 500_000), currency: luck.pick(['USD', 'EUR', 'JPY']) }
        : form === 1
          ? { productType: luck.pick(['Phone', 'Laptop', 'Tablet', 'Accessory'] as const) }
          : {
              items: [
                { sku: 'cup', quantity: luck.whole(1, 9), unitPrice: luck.whole(1, 2_000) },
                { sku: 'pot', quantity: 1, unitPrice: 4_900 },
              ],
            };
    return { ...customer, country, paymentScenario, ...goods };
  }

  async function customer(nth: number): Promise<void> {
    const luck = draws(`client ${nth}`);
    await pause(luck.between(0, plan.placedWithinMs));
    const isImpossible = luck.isHit(0.03);
    const request = {
      key: luck.isHit(habits.withoutKey) ? null : `key-${nth}`,
      command: drawCommand(luck, isImpossible),
      isImpossible,
      patienceMs: luck.pick([20, 200, 2_000, 5_000, 20_000]),
    };
    const others: Promise<unknown>[] = [];
    if (request.key !== null && luck.isHit(habits.repeats)) {
      // A double click: at once, or a moment later.
      const ms = luck.pick([0, luck.between(0, 20), luck.between(0, 2_000)]);
      others.push(pause(ms).then(() => requests.place(draws(`client ${nth} again`), request)));
      counters.count('a request is repeated');
    }
    if (request.key !== null && luck.isHit(habits.otherPayload)) {
      const other = { ...request, command: { ...drawCommand(luck, false), country: 'FR' }, isImpossible: false };
      others.push(pause(luck.between(0, 50)).then(() => requests.place(draws(`client ${nth} otherwise`), other)));
    }
    const triesMax = luck.whole(1, 6);
    let order: Order | null = null;
    for (let tries = 1; tries <= triesMax; tries += 1) {
      const outcome = await requests.place(luck, request);
      if (outcome !== null && 'order' in outcome) order = outcome.order;
      // Whoever has no key to repeat with does not ask again for what may have been done.
      const isDone = outcome !== null && outcome.answer !== 'unavailable' && outcome.answer !== 'failed';
      if (isDone || (request.key === null && outcome === null)) break;
      if (tries > 1) counters.count('a request is repeated after no answer');
      await pause(luck.between(10, 1_500));
    }
    if (order !== null) await follow(nth, order.id);
    await Promise.all(others);
  }

  async function follow(nth: number, id: OrderId): Promise<void> {
    const luck = draws(`client ${nth} follows`);
    if (luck.isHit(habits.cancels)) {
      if (luck.isHit(0.5)) await watch(luck, id);
      else await pause(luck.pick([0, luck.between(0, 60), luck.between(0, 4_000)]));
      const again = luck.isHit(0.3);
      const asked = [cancel(luck, id)];
      if (again) asked.push(pause(luck.between(0, 30)).then(() => cancel(draws(`client ${nth} cancels again`), id)));
      await Promise.all(asked);
    }
    // Somebody mistypes.
    if (luck.isHit(0.05)) await cancel(luck, '00000000-0000-7000-8000-000000000000' as OrderId);
    if (luck.isHit(habits.reads)) {
      await pause(luck.between(0, 1_000));
      await requests.read(luck, 1_000, id);
      await requests.timeline(luck, 1_000, id);
    }
  }

  // Until the shipment is about to be booked: the last moment at which somebody can change their mind.
  async function watch(luck: Stream, id: OrderId): Promise<void> {
    for (let looks = 0; looks < looksMax; looks += 1) {
      const order = await requests.read(luck, 500, id);
      if (order !== null && order.fulfillment !== 'none') break;
      await pause(luck.between(2, 150));
    }
    await pause(luck.between(0, luck.pick([5, 40, 150, 600])));
  }

  async function operate(luck: Stream, share: number): Promise<boolean> {
    const page = await requests.deadLetters(luck, 2_000);
    if (page === null) return false;
    for (const deadLetter of page.items) {
      if (!luck.isHit(share)) continue;
      const orderId = deadLetter.orderId as OrderId | null;
      const send =
        orderId !== null && luck.isHit(0.6)
          ? () =>
              act(luck, { act: 'reprocess', orderId, deadLetterId: null }, (desk, id) => desk.reprocess(orderId, id))
          : () =>
              act(luck, { act: 'reprocess-dead-letter', orderId, deadLetterId: deadLetter.id }, (desk, id) =>
                desk.reprocessDeadLetter(deadLetter.id, id),
              );
      await (luck.isHit(0.25) ? Promise.all([send(), send()]) : send());
      if (orderId !== null && luck.isHit(0.1) && share < 1) await cancel(luck, orderId);
    }
    return true;
  }

  async function operator(): Promise<void> {
    const luck = draws('operator');
    while (!isCalm) {
      await pause(habits.operatorEveryMs);
      if (!isCalm) await operate(luck, habits.reprocesses);
    }
  }

  const insist = createInsist({ requests, story: draws('story'), pause, operate });

  const engage = (work: Promise<unknown>) => {
    busy += 1;
    void work.then(() => {
      busy -= 1;
    });
  };

  return {
    start: () => {
      for (let nth = 1; nth <= plan.orders; nth += 1) engage(customer(nth));
      if (habits.reprocesses > 0) engage(operator());
    },
    interfere: (call, orderId) => {
      if (isCalm || (call !== 'authorize' && call !== 'book')) return;
      const luck = draws(`interference with ${call}`);
      if (!luck.isHit(habits.interferes)) return;
      const ms = luck.between(0, luck.pick([1, 20, 100, 700]));
      engage(pause(ms).then(() => cancel(luck, orderId as OrderId)));
    },
    areBusy: () => busy > 0,
    calm: () => {
      isCalm = true;
    },
    insist,
    engage,
    pause,
    reprocessAll: () => engage(operate(draws('last operator'), 1)),
  };
}

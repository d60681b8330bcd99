// Everybody who asks from outside: customers who are impatient, repeat themselves, change their mind and give
// up, and an operator who sends letters back, now and then twice.
//
// Promises: they know what they were told and nothing else; what they asked and were told is the recorder's. A
// request goes to any living machine with a door; to one that is dead or frozen nobody answers.

import { UnavailableError } from '../../src/bus/ports.ts';
import type { Order, OrderId, PaymentScenario } from '../../src/domain/order.ts';
import { isRefusal, type Refusal } from '../../src/domain/refusals.ts';
import type { OrderDesk, PlaceCommand } from '../../src/flow/ports.ts';
import type { Stream } from './draws.ts';
import type { Act, PlaceOutcome } from './evidence.ts';
import type { Life } from './life.ts';
import type { Machine } from './machine.ts';
import type { World } from './network.ts';
import type { Plan } from './plan.ts';
import type { Recorder } from './recorder.ts';

export type Clients = {
  readonly start: () => void;
  // Somebody still waits for something.
  readonly areBusy: () => boolean;
  // The customer changes their mind at the worst moment: while a partner is called about the order.
  readonly interfere: (call: string, orderId: string) => void;
  // From now on nobody asks for anything new; who waits for an answer still repeats.
  readonly calm: () => void;
  // One more round of the operator over all letters.
  readonly reprocessAll: () => void;
  // For a story that is told step by step: each of these insists until it has an answer.
  readonly insist: {
    readonly place: (key: string, command: PlaceCommand) => Promise<Order | null>;
    readonly cancel: (id: OrderId) => Promise<void>;
    readonly operate: () => Promise<void>;
    readonly read: (id: OrderId) => Promise<Order | null>;
    readonly timeline: (id: OrderId) => Promise<void>;
  };
  readonly engage: (work: Promise<unknown>) => void;
  readonly pause: (ms: number) => Promise<void>;
};

// What customers write who cancel.
const words = 'I have thought about it, as I always do';

// How often somebody looks who waits for the right moment to cancel.
const looksMax = 12;

// A machine is back within seconds; whoever insists gets an answer long before this many tries are over.
const insistsMax = 100;
// Longer than an accept is tried: whoever insists hears how it ended.
const insistMs = 6_000;

type Heard<T> = { readonly value: T } | { readonly error: unknown } | null;

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
  const { clock, draws, trace, counters } = world;
  const doors = machines.filter((machine) => machine.plan.isApi);
  const habits = plan.clients;
  let requests = 0;
  let busy = 0;
  let isCalm = false;

  const pause = (ms: number) => new Promise<void>((resolve) => void clock.after(ms, resolve));
  const newCorrelation = () => {
    requests += 1;
    return `request-${requests}`;
  };

  // One request to one machine; null when no answer comes in time.
  async function ask<T>(
    luck: Stream,
    patienceMs: number,
    run: (desk: OrderDesk, life: Life) => Promise<T>,
  ): Promise<Heard<T>> {
    const door = luck.pick(doors);
    const [life, desk] = [door.life(), door.desk()];
    // Nobody listens on this port.
    if (life === null || desk === null) return null;
    return new Promise((resolve) => {
      const timer = clock.after(patienceMs, () => resolve(null));
      const answer = (heard: Heard<T>) => {
        if (life.isOver() || luck.isHit(0.03)) return;
        clock.after(luck.between(0.1, 3), () => {
          timer.cancel();
          resolve(heard);
        });
      };
      clock.after(luck.between(0.1, 3), () =>
        life.resume(() => {
          run(desk, life).then(
            (value) => answer({ value }),
            (error: unknown) => answer({ error }),
          );
        }),
      );
    });
  }

  function outcomeOf(error: unknown): PlaceOutcome {
    if (error instanceof UnavailableError) return { answer: 'unavailable', stored: error.stored };
    return { answer: 'failed', message: String(error) };
  }

  async function placeOnce(
    luck: Stream,
    request: { key: string | null; command: PlaceCommand; isImpossible: boolean; patienceMs: number },
  ): Promise<PlaceOutcome | null> {
    const { key, command, isImpossible } = request;
    const correlationId = newCorrelation();
    let placement: ReturnType<Recorder['asked']> | null = null;
    const heard = await ask(luck, request.patienceMs, (desk, life) => {
      placement = recorder.asked({
        atMs: clock.nowMs(),
        process: life.name,
        key,
        command,
        correlationId,
        isImpossible,
      });
      trace.note('client', 'place', life.name, null, () => `${key} ${JSON.stringify(command)}`);
      return desk.place({ command, received: command, key, correlationId, traceparent: null });
    });
    if (heard === null || placement === null) return null;
    const outcome = 'error' in heard ? outcomeOf(heard.error) : toOutcome(heard.value);
    recorder.answered(placement, outcome, clock.nowMs());
    const id = 'order' in outcome ? outcome.order.id : null;
    trace.note('client', 'place', `was told: ${outcome.answer}`, id, () => String(key));
    return outcome;
  }

  function toOutcome(value: { order: Order; replayed: boolean } | Refusal): PlaceOutcome {
    if (isRefusal(value)) return { answer: 'refused', code: value.refused };
    return { answer: value.replayed ? 'replayed' : 'placed', order: value.order };
  }

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
      others.push(pause(ms).then(() => placeOnce(draws(`client ${nth} again`), request)));
      counters.count('a request is repeated');
    }
    if (request.key !== null && luck.isHit(habits.otherPayload)) {
      const other = { ...request, command: { ...drawCommand(luck, false), country: 'FR' }, isImpossible: false };
      others.push(pause(luck.between(0, 50)).then(() => placeOnce(draws(`client ${nth} otherwise`), other)));
    }
    const triesMax = luck.whole(1, 6);
    let order: Order | null = null;
    for (let tries = 1; tries <= triesMax; tries += 1) {
      const outcome = await placeOnce(luck, request);
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
      await ask(luck, 1_000, (desk) => desk.read(id));
      await ask(luck, 1_000, (desk) => desk.timeline(id));
    }
  }

  // Until the shipment is about to be booked: the last moment at which somebody can change their mind.
  async function watch(luck: Stream, id: OrderId): Promise<void> {
    for (let looks = 0; looks < looksMax; looks += 1) {
      const heard = await ask(luck, 500, (desk) => desk.read(id));
      const order = heard !== null && 'value' in heard && !isRefusal(heard.value) ? heard.value : null;
      if (order !== null && order.fulfillment !== 'none') break;
      await pause(luck.between(2, 150));
    }
    await pause(luck.between(0, luck.pick([5, 40, 150, 600])));
  }

  async function act(
    luck: Stream,
    what: Pick<Act, 'act' | 'orderId' | 'letterId' | 'words'>,
    run: (desk: OrderDesk, correlationId: string) => Promise<Order | null | Refusal>,
  ): Promise<boolean> {
    const correlationId = newCorrelation();
    let told: ReturnType<Recorder['acted']> | null = null;
    const heard = await ask(luck, 6_000, (desk, life) => {
      told = recorder.acted({ ...what, atMs: clock.nowMs(), process: life.name, correlationId });
      trace.note('client', what.act, life.name, what.orderId);
      return run(desk, correlationId);
    });
    const kept = told as ReturnType<Recorder['acted']> | null;
    if (heard === null || kept === null) return false;
    if ('error' in heard) kept.answer = outcomeOf(heard.error) as NonNullable<typeof kept.answer>;
    else if (isRefusal(heard.value)) kept.answer = { answer: 'refused', code: heard.value.refused };
    else kept.answer = { answer: 'done', order: heard.value };
    trace.note('client', what.act, `was told: ${kept.answer.answer}`, what.orderId);
    return !('error' in heard);
  }

  const cancel = (luck: Stream, id: OrderId) =>
    act(luck, { act: 'cancel', orderId: id, letterId: null, words }, (desk, correlationId) =>
      desk.cancel(id, words, correlationId),
    );

  async function operate(luck: Stream, share: number): Promise<boolean> {
    const page = await ask(luck, 2_000, (desk) =>
      desk.deadLetters({ limit: 50, after: null, consumer: null, code: null }),
    );
    if (page === null || 'error' in page) return false;
    for (const letter of page.value.items) {
      if (!luck.isHit(share)) continue;
      const orderId = letter.orderId as OrderId | null;
      const send =
        orderId !== null && luck.isHit(0.6)
          ? () => act(luck, { act: 'reprocess', orderId, letterId: null }, (desk, id) => desk.reprocess(orderId, id))
          : () =>
              act(luck, { act: 'reprocess-letter', orderId, letterId: letter.id }, (desk, id) =>
                desk.reprocessLetter(letter.id, id),
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

  const story = draws('story');
  const until = async (isDone: () => Promise<boolean>) => {
    for (let tries = 0; tries < insistsMax; tries += 1) {
      if (await isDone()) return;
      await pause(200);
    }
  };
  const insist: Clients['insist'] = {
    place: async (key, command) => {
      let order: Order | null = null;
      await until(async () => {
        const outcome = await placeOnce(story, { key, command, isImpossible: false, patienceMs: insistMs });
        if (outcome !== null && 'order' in outcome) order = outcome.order;
        return outcome !== null && outcome.answer !== 'unavailable' && outcome.answer !== 'failed';
      });
      return order;
    },
    cancel: (id) => until(() => cancel(story, id)),
    operate: () => until(() => operate(story, 1)),
    read: async (id) => {
      let order: Order | null = null;
      await until(async () => {
        const heard = await ask(story, 1_000, (desk) => desk.read(id));
        if (heard === null || 'error' in heard || isRefusal(heard.value)) return false;
        order = heard.value;
        return true;
      });
      return order;
    },
    timeline: (id) => until(async () => (await ask(story, 1_000, (desk) => desk.timeline(id))) !== null),
  };

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

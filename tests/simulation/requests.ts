// One request to one living machine, and what is kept of it: who asked, for what, and what they heard.
//
// Promises: what was asked and told is the recorder's; a request to a machine that is dead or frozen has no answer,
// and now and then an answer is lost on its way. Whoever asks decides how long they wait.

import type { Order, OrderId } from '../../src/domain/order.ts';
import { isRefusal, type Refusal } from '../../src/domain/refusals.ts';
import { UnavailableError } from '../../src/engine/ports.ts';
import type { OrderDesk, PlaceCommand } from '../../src/flow/ports.ts';
import type { Stream } from './draws.ts';
import type { Act, Look, PlaceOutcome, Seen, Unanswered } from './evidence.ts';
import type { Life } from './life.ts';
import type { Machine } from './machine.ts';
import type { World } from './network.ts';
import type { Recorder } from './recorder.ts';

// What customers write who cancel.
const words = 'I have thought about it, as I always do';

type Heard<T> = { readonly value: T } | { readonly error: unknown } | null;
export type PlaceOrder = {
  readonly key: string | null;
  readonly command: PlaceCommand;
  readonly isImpossible: boolean;
  readonly patienceMs: number;
};

export function createRequests(options: {
  readonly world: World;
  readonly machines: readonly Machine[];
  readonly recorder: Recorder;
}) {
  const { world, machines, recorder } = options;
  const { clock, trace } = world;
  const doors = machines.filter((machine) => machine.plan.isApi);
  let requests = 0;

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

  function outcomeOf(error: unknown): Unanswered {
    if (error instanceof UnavailableError) return { answer: 'unavailable', stored: error.stored };
    return { answer: 'failed', message: String(error) };
  }

  async function place(luck: Stream, request: PlaceOrder): Promise<PlaceOutcome | null> {
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

  async function act(
    luck: Stream,
    what: Pick<Act, 'act' | 'orderId' | 'deadLetterId' | 'words'>,
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
    if ('error' in heard) kept.answer = outcomeOf(heard.error);
    else if (isRefusal(heard.value)) kept.answer = { answer: 'refused', code: heard.value.refused };
    else kept.answer = { answer: 'done', order: heard.value };
    kept.answeredMs = clock.nowMs();
    trace.note('client', what.act, `was told: ${kept.answer.answer}`, what.orderId);
    return !('error' in heard);
  }

  const cancel = (luck: Stream, id: OrderId) =>
    act(luck, { act: 'cancel', orderId: id, deadLetterId: null, words }, (desk, correlationId) =>
      desk.cancel(id, words, correlationId),
    );

  // Null where nobody answered, or could.
  async function look<T>(
    luck: Stream,
    patienceMs: number,
    what: Pick<Look, 'at' | 'orderId'>,
    run: (desk: OrderDesk) => Promise<T | Refusal>,
    toSeen: (value: T) => Seen,
  ): Promise<T | null> {
    let told: Look | null = null;
    const heard = await ask(luck, patienceMs, (desk, life) => {
      told = recorder.looked({ ...what, atMs: clock.nowMs(), process: life.name });
      return run(desk);
    });
    const kept = told as Look | null;
    if (heard === null || kept === null) return null;
    kept.answeredMs = clock.nowMs();
    if ('error' in heard) kept.answer = outcomeOf(heard.error);
    else if (isRefusal(heard.value)) kept.answer = { answer: 'refused', code: heard.value.refused };
    else kept.answer = toSeen(heard.value);
    return 'error' in heard || isRefusal(heard.value) ? null : heard.value;
  }

  const read = (luck: Stream, patienceMs: number, orderId: OrderId): Promise<Order | null> =>
    look(
      luck,
      patienceMs,
      { at: 'order', orderId },
      (desk) => desk.read(orderId),
      (order) => ({ answer: 'seen', order }),
    );

  // Of its entries those of events: what has an id and is nobody's work.
  const timeline = (luck: Stream, patienceMs: number, orderId: OrderId) =>
    look(
      luck,
      patienceMs,
      { at: 'timeline', orderId },
      (desk) => desk.timeline(orderId),
      (entries) => ({
        answer: 'seen',
        events: entries.flatMap(({ consumer, eventId }) => (consumer === null && eventId !== null ? [eventId] : [])),
      }),
    );

  const deadLetters = (luck: Stream, patienceMs: number) =>
    look(
      luck,
      patienceMs,
      { at: 'dead letters', orderId: null },
      (desk) => desk.deadLetters({ limit: 50, after: null, consumer: null, code: null }),
      () => ({ answer: 'seen' }),
    );

  return { place, act, cancel, read, timeline, deadLetters };
}

export type Requests = ReturnType<typeof createRequests>;

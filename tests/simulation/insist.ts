// Whoever tells a story step by step: asks again and again, until there is an answer.
//
// Promises: nobody gives up, so that a story whose answer never comes is one that does not end.
// Relies on requests.ts for what is kept of each request.

import type { Order, OrderId } from '../../src/domain/order.ts';
import type { PlaceCommand } from '../../src/flow/ports.ts';
import type { Stream } from './draws.ts';
import type { Requests } from './requests.ts';

export type Insist = {
  readonly place: (key: string, command: PlaceCommand) => Promise<Order | null>;
  readonly cancel: (id: OrderId) => Promise<void>;
  readonly operate: () => Promise<void>;
  readonly read: (id: OrderId) => Promise<Order | null>;
  readonly timeline: (id: OrderId) => Promise<void>;
};

// Longer than an accept is tried: whoever insists hears how it ended.
const insistMs = 6_000;

export function createInsist(options: {
  readonly requests: Requests;
  readonly story: Stream;
  readonly pause: (ms: number) => Promise<void>;
  // One round of the operator over all dead letters.
  readonly operate: (luck: Stream, share: number) => Promise<boolean>;
}): Insist {
  const { requests, story, pause, operate } = options;
  const { cancel } = requests;
  const until = async (isDone: () => Promise<boolean>) => {
    while (!(await isDone())) await pause(200);
  };
  return {
    place: async (key, command) => {
      let order: Order | null = null;
      await until(async () => {
        const outcome = await requests.place(story, { key, command, isImpossible: false, patienceMs: insistMs });
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
        order = await requests.read(story, 1_000, id);
        return order !== null;
      });
      return order;
    },
    timeline: (id) => until(async () => (await requests.timeline(story, 1_000, id)) !== null),
  };
}

// The ports of partners and search as one process has them: the model of the outside behind a network.
//
// Promises: each call is told to the recorder when it leaves and when it has ended for its caller, with the trouble
// that the engine was told of; what the partner did is the ledger's to say. An interruption is one by the
// caller's own signal, not by the bound of the call.

import { OutsideError, type System } from '../../src/engine/ports.ts';
import type { Partners } from '../../src/flow/ports.ts';
import { type Search, toCounts } from '../../src/flow/projections/search-ports.ts';
import { broken, timedOut } from '../../src/io/partners/troubles.ts';
import type { Call as PartnerCall } from './evidence.ts';
import type { Life } from './life.ts';
import type { createNetwork, World } from './network.ts';
import type { ModelPartners, silence } from './partners.ts';
import type { Plan } from './plan.ts';
import type { Recorder } from './recorder.ts';

export type OutsideParts = {
  readonly world: World;
  readonly network: ReturnType<typeof createNetwork>;
  readonly partners: ModelPartners;
  readonly recorder: Recorder;
  readonly partnerLatencyMs: Plan['partnerLatencyMs'];
  readonly keyWindowMs: number;
  // Somebody is calling a partner about an order.
  readonly onCall: (call: PartnerCall['call'], orderId: string) => void;
};

export function createOutside(
  parts: OutsideParts,
  born: Life,
  system: System,
): { readonly partners: Partners; readonly search: Search } {
  const { recorder, world } = parts;
  const { payments, carrier, mail, search } = parts.partners;
  const lost = () => broken('connection-lost', 'The connection to the partner broke.');

  async function call<A>(
    asked: Pick<PartnerCall, 'dependency' | 'call' | 'key' | 'orderId'>,
    signal: AbortSignal,
    act: () => A | typeof silence,
    gaveUp: () => Error = () => timedOut('success'),
  ): Promise<A> {
    const atMs = world.clock.nowMs();
    const told = recorder.called({ ...asked, atMs, monotonicMs: system.monotonicMs(), process: born.name });
    const label = `${asked.dependency}.${asked.call}`;
    if (asked.orderId !== null) parts.onCall(asked.call, asked.orderId);
    try {
      const latencyMs = parts.partnerLatencyMs[asked.call];
      const answer = await parts.network.call<A>({
        life: born,
        label,
        subject: asked.orderId,
        latencyMs,
        signal,
        act,
        lost,
        gaveUp,
      });
      told.trouble = null;
      told.endedMs = system.monotonicMs();
      return answer;
    } catch (error) {
      const unclassified = { class: 'unknown', code: 'defect', dependencyDown: false };
      const trouble = error instanceof OutsideError ? error.trouble : unclassified;
      // The bound of the call aborts too, and says so.
      const isInterrupted = signal.aborted && !String(signal.reason).includes('no answer within');
      told.trouble = {
        class: trouble.class,
        code: trouble.code,
        dependencyDown: trouble.dependencyDown,
        isInterrupted,
      };
      told.endedMs = system.monotonicMs();
      throw error;
    }
  }

  const partners: Partners = {
    payments: {
      keyWindowMs: parts.keyWindowMs,
      authorize: (request, signal) => {
        const { key, orderId, scenario } = request;
        const asked = { dependency: 'payments', call: 'authorize', key, orderId } as const;
        return call(
          asked,
          signal,
          () => payments.authorize(request),
          () => timedOut(scenario),
        );
      },
      void: (request, signal) => {
        const { key, orderId } = request;
        return call({ dependency: 'payments', call: 'void', key, orderId }, signal, () => payments.void(request));
      },
      lookup: (key, signal) =>
        call({ dependency: 'payments', call: 'lookup', key, orderId: null }, signal, () => payments.lookup(key)),
    },
    carrier: {
      keyWindowMs: parts.keyWindowMs,
      book: (request, signal) => {
        const { key, orderId } = request;
        return call({ dependency: 'carrier', call: 'book', key, orderId }, signal, () => carrier.book(request));
      },
      recall: (request, signal) => {
        const { key, orderId } = request;
        return call({ dependency: 'carrier', call: 'recall', key, orderId }, signal, () => carrier.recall(request));
      },
      lookup: (key, signal) =>
        call({ dependency: 'carrier', call: 'lookup', key, orderId: null }, signal, () => carrier.lookup(key)),
    },
    mail: {
      send: (request, signal) => {
        const { key, orderId } = request;
        return call({ dependency: 'mail', call: 'send', key, orderId }, signal, () => mail.send(request));
      },
    },
  };
  return {
    partners,
    search: {
      kind: 'elasticsearch',
      prepare: async () => {},
      index: (documents, signal) => {
        const asked = { dependency: 'search', call: 'index', key: '', orderId: null } as const;
        return call(asked, signal, () => search.index(documents));
      },
      find: async () => ({ ids: [], next: null }),
      count: async () => toCounts(new Map()),
    },
  };
}

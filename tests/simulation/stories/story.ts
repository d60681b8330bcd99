// What a story is, and the quiet world it is told in: nothing is drawn, and nothing goes wrong but what it says.
//
// Relies on quietPlan having two whole machines, so that whatever befalls one of them the other one can go on.

import type { PlaceCommand } from '../../../src/flow/ports.ts';
import { consumerNames } from '../../../src/flow/subscriptions.ts';
import { refused, unavailable, withoutEffect } from '../../../src/io/partners/troubles.ts';
import type { Life } from '../life.ts';
import type { Mishap } from '../network.ts';
import type { MachinePlan, Plan } from '../plan.ts';
import type { Simulation } from '../simulation.ts';

export type Story = {
  readonly name: string;
  readonly plan?: (plan: Plan) => Plan;
  // What the story's own partners and bus do wrong: by label, how often it was called before, and the time.
  readonly trouble?: (label: string, before: number, nowMs: number) => Mishap | null;
  // The same for statements, by label.
  readonly stall?: (label: string, before: number) => Mishap | null;
  readonly refusesRecall?: boolean;
  // The search takes all documents but so many at first.
  readonly documentsRefused?: number;
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

export const consumers = consumerNames;
export const machine = (name: string): MachinePlan => ({
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
  hasBus: true,
  bus: {
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

export const goods = { customerEmail: 'customer@example.com', amount: 1_999 } as const;
export const silence: Mishap = { at: 'after', what: 'silence' };
export const away = () => unavailable('The provider is not available.');
export const notNow = () => withoutEffect('partner-failed', 'The provider could not take the call.');
export const noForGood = () => refused('partner-refused', 'The provider refuses this call for good.');
// One machine, so that nobody else can help.
export const alone = (plan: Plan): Plan => ({ ...plan, machines: [machine('one')] });
// One that talks to clients, and one that works.
export const apart = (plan: Plan): Plan => ({
  ...plan,
  machines: [
    { ...machine('one'), consumers: [] },
    { ...machine('two'), isApi: false },
  ],
});
// One machine with a database that is its own.
export const embedded = (plan: Plan): Plan => ({
  ...plan,
  hasBus: false,
  machines: [{ ...machine('one'), isEmbedded: true, connections: 1 }],
});
export const withSettings = (settings: Partial<Plan['settings']>) => (plan: Plan) => ({
  ...plan,
  settings: { ...plan.settings, ...settings },
});

// Until the order looks as it should, or has no more time to come to it.
export async function seen(
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

// An order that its story makes fail, when it has failed.
export async function failed(simulation: Simulation, command: PlaceCommand) {
  const order = await simulation.clients.insist.place('a', command);
  if (order !== null) await seen(simulation, order.id, ({ status }) => status === 'FAILED');
  return order;
}

// How often a label was met before.
export const labelCounter = () => {
  const counts = new Map<string, number>();
  return (_life: Life, label: string): number => {
    const before = counts.get(label) ?? 0;
    counts.set(label, before + 1);
    return before;
  };
};

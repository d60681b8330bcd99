// What one seed decides before anything happens: who runs, with which settings, what is asked for, and what may
// go wrong how often.
//
// Promises: each seed switches about half of the fault classes off and draws rates for the rest (swarm), so that
// some seeds are about one fault alone and some about all at once. Printed, a plan tells what a seed is like.

import { type ConsumerName, consumerNames } from '../../src/flow/subscriptions.ts';
import type { EngineSettings } from '../../src/main/wire.ts';
import type { BusPlan } from './bus.ts';
import type { Draws, Stream } from './draws.ts';

export type MachinePlan = {
  readonly name: string;
  readonly isApi: boolean;
  readonly relay: boolean;
  readonly consumers: readonly ConsumerName[];
  readonly connections: number;
  readonly skewMs: number;
  readonly drift: number;
};

// Per statement, call or connection the share that meets the fault; `…PerMinute` how often it happens at all.
export const faultClasses = {
  crashBefore: [0.003, 0.03],
  crashAfter: [0.003, 0.03],
  freezeBefore: [0.002, 0.01],
  freezeAfter: [0.002, 0.01],
  killsPerMinute: [5, 30],
  freezesPerMinute: [5, 20],
  stopsPerMinute: [5, 20],
  connectRefused: [0.05, 0.4],
  connectSilent: [0.01, 0.1],
  statementLost: [0.02, 0.15],
  statementAnswerLost: [0.02, 0.2],
  statementLate: [0.01, 0.08],
  statementAnswerSilent: [0.001, 0.005],
  statementRefused: [0.02, 0.15],
  databaseCrashesPerMinute: [5, 20],
  partnerAway: [0.02, 0.3],
  partnerThrottles: [0.02, 0.2],
  partnerFails: [0.02, 0.3],
  partnerLost: [0.02, 0.2],
  partnerSilent: [0.02, 0.2],
  partnerSilentAfter: [0.02, 0.25],
  partnerLate: [0.02, 0.2],
  partnerBreaks: [0.02, 0.2],
  partnerRefuses: [0.005, 0.05],
  partnerOutagesPerMinute: [2, 10],
  carrierRejects: [0.1, 0.4],
  recallRefused: [0.3, 0.8],
  publishRefused: [0.02, 0.4],
  publishAnswerLost: [0.02, 0.3],
  publishPart: [0.02, 0.3],
  busLoses: [0.05, 0.6],
  busDoubles: [0.05, 0.6],
  busDelays: [0.05, 0.5],
  busCorrupts: [0.02, 0.2],
  busForges: [0.02, 0.2],
  busLosesAcks: [0.02, 0.3],
  busWipesPerMinute: [2, 10],
} as const satisfies Record<string, readonly [number, number]>;
export type FaultClass = keyof typeof faultClasses;

export type PartnerCallName = 'authorize' | 'void' | 'book' | 'recall' | 'send' | 'lookup' | 'index';

export type Plan = {
  readonly seed: number;
  readonly machines: readonly MachinePlan[];
  readonly settings: EngineSettings;
  readonly bus: BusPlan;
  readonly faults: Readonly<Record<FaultClass, number>>;
  // Within one of these the faults at statements, calls and publishing are this much more frequent.
  readonly bursts: readonly { readonly fromMs: number; readonly toMs: number; readonly factor: number }[];
  readonly chaosMs: number;
  readonly storeLatencyMs: readonly [number, number];
  // Each call has its own, so that an undo may overtake what it undoes.
  readonly partnerLatencyMs: Readonly<Record<PartnerCallName, readonly [number, number]>>;
  readonly splitting: number;
  readonly orders: number;
  readonly placedWithinMs: number;
  readonly clients: {
    // Shares of the orders.
    readonly withoutKey: number;
    readonly repeats: number;
    readonly otherPayload: number;
    readonly cancels: number;
    // Of the calls to partners about an order: that it is canceled meanwhile.
    readonly interferes: number;
    readonly reads: number;
    // An operator looks this often.
    readonly operatorEveryMs: number;
    readonly reprocesses: number;
  };
  readonly keyWindowMs: number;
  // A deploy is under way: processes of two releases, until the faults end.
  readonly isDeploying: boolean;
  readonly isLazy: boolean;
};

// Of the calls or statements that meet one kind of fault.
const shareMax = 0.5;

const noStandstill = {
  freezeBefore: 0,
  freezeAfter: 0,
  freezesPerMinute: 0,
  statementLate: 0,
  statementAnswerSilent: 0,
};
// Readers alone: orders come to their end without them. Most of a simulation's work is theirs where they are, so
// that about half of the worlds do without the one or the other.
const readers: ReadonlySet<ConsumerName> = new Set(['search', 'analytics']);
const readerShare = 0.5;

export function drawPlan(seed: number, draws: Draws): Plan {
  const luck = draws('plan');
  // Clocks that are a little off, or set to the wrong hour.
  const skewMs = luck.isHit(0.3) ? luck.pick([1_500, 1_500, 3_600_000]) : 0;
  const timeoutMs = luck.whole(80, 600);
  const retryDelayMs = luck.whole(5, 150);
  const chaosMs = luck.isHit(0.15) ? luck.between(10_000, 25_000) : luck.between(3_000, 9_000);
  // There and back well within the timeout, or a healthy partner would seem away for ever.
  const latency = (): readonly [number, number] => [
    1,
    timeoutMs * (luck.isHit(0.4) ? luck.between(0.15, 0.45) : luck.between(0.01, 0.1)),
  ];
  // In some worlds a provider forgets its keys soon. There nobody may stand still between a claim and its call for
  // as long as that, as nobody stands still for a day where it remembers for a day.
  const forgetsSoon = luck.isHit(0.15);
  const faults = { ...drawFaults(draws('plan faults')), ...(forgetsSoon ? noStandstill : {}) };
  return {
    seed,
    machines: drawMachines(luck, skewMs, drawConsumers(draws('plan consumers'))),
    settings: {
      maxRetries: luck.whole(0, 4),
      retryDelayMs,
      retryDelayMsMax: retryDelayMs * luck.whole(1, 8),
      maxWaitMs: luck.isHit(0.2) ? luck.whole(3_000, 10_000) : 600_000,
      failureProbability: luck.isHit(0.2) ? 0.2 : 0,
      processingDelayMs: luck.isHit(0.1) ? luck.whole(1, 100) : 0,
      timeoutMs,
      // The rule of src/main/config.ts: a call ends before its lease does.
      leaseMs: timeoutMs + 150 + luck.whole(0, luck.isHit(0.2) ? 5_000 : 600),
      concurrency: luck.pick([1, 2, 4, 16]),
    },
    bus: {
      ordered: luck.isHit(0.5),
      redelivers: luck.isHit(0.5),
      durable: luck.isHit(0.5),
      filters: luck.pick(['type', 'name']),
      latencyMs: [1, luck.between(2, 30)],
      loses: faults.busLoses,
      doubles: faults.busDoubles,
      delays: faults.busDelays,
      delayMsMax: luck.between(100, 8_000),
      corrupts: faults.busCorrupts,
      forges: faults.busForges,
      losesAcks: faults.busLosesAcks,
      publishesPart: faults.publishPart,
    },
    faults,
    bursts: Array.from({ length: luck.whole(0, 2) }, () => {
      const fromMs = luck.between(0, chaosMs);
      return { fromMs, toMs: fromMs + luck.between(100, 1_500), factor: luck.whole(3, 12) };
    }),
    chaosMs,
    storeLatencyMs: [0.1, luck.between(0.3, 4)],
    partnerLatencyMs: {
      authorize: latency(),
      void: latency(),
      book: latency(),
      recall: latency(),
      send: latency(),
      lookup: latency(),
      index: latency(),
    },
    splitting: luck.isHit(0.4) ? luck.between(0.05, 0.5) : 0,
    orders: luck.whole(4, 12),
    placedWithinMs: chaosMs * luck.between(0.05, 0.7),
    clients: {
      withoutKey: 0.1,
      repeats: luck.pick([0, 0.3, 0.7]),
      otherPayload: 0.1,
      cancels: luck.pick([0, 0.4, 0.8]),
      interferes: luck.pick([0, 0.15, 0.4, 0.7]),
      reads: 0.3,
      operatorEveryMs: luck.between(500, 3_000),
      reprocesses: luck.pick([0, 0.5, 0.9]),
    },
    keyWindowMs: forgetsSoon ? 4_000 : 86_400_000,
    isDeploying: luck.isHit(0.12),
    isLazy: !luck.isHit(0.03),
  };
}

function drawConsumers(luck: Stream): ConsumerName[] {
  return consumerNames.filter((name) => !readers.has(name) || luck.isHit(readerShare));
}

function drawMachines(luck: Stream, skewMs: number, deployed: readonly ConsumerName[]): MachinePlan[] {
  const clockOf = () => ({
    skewMs: luck.between(-skewMs, skewMs),
    drift: skewMs === 0 ? 1 : luck.pick([1, 0.999, 1.001]),
  });
  const make = (name: string, isApi: boolean, relay: boolean, consumers: readonly ConsumerName[]): MachinePlan => ({
    name,
    isApi,
    relay,
    consumers: consumers.filter((consumer) => deployed.includes(consumer)),
    connections: luck.pick([1, 2, 4]),
    ...clockOf(),
  });
  const shape = luck.whole(0, 5);
  if (shape === 0) return [make('all-1', true, true, deployed)];
  if (shape === 1) return [make('all-1', true, true, deployed), make('all-2', true, true, deployed)];
  if (shape === 2) {
    return [
      make('api-1', true, true, []),
      make('worker-1', false, false, deployed),
      make('worker-2', false, false, deployed),
    ];
  }
  if (shape === 3) {
    return [
      make('api-1', true, false, []),
      make('relay-1', false, true, []),
      make('relay-2', false, true, []),
      make('worker-1', false, false, deployed),
    ];
  }
  if (shape === 4) {
    return [
      make('api-1', true, true, ['notification', 'analytics']),
      make('api-2', true, true, ['search']),
      make('worker-1', false, false, ['payment', 'compensation', 'analytics']),
      make('worker-2', false, false, ['fulfillment', 'payment']),
    ];
  }
  return [
    make('api-1', true, false, []),
    make('all-1', true, true, deployed),
    make('worker-1', false, false, ['payment', 'fulfillment', 'compensation']),
  ];
}

function drawFaults(luck: Stream): Record<FaultClass, number> {
  // One seed in twenty is quiet, one in twenty has it all.
  const mood = luck.next();
  const share = mood < 0.05 ? 0 : mood > 0.95 ? 1 : 0.5;
  // Some worlds are ill now and then, some hardly ever well.
  const intensity = luck.pick([1, 2, 3, 4]);
  const drawn = Object.entries(faultClasses).map(([name, [min, max]]) => {
    const isOn = luck.isHit(share);
    const rate = luck.between(min, max);
    // Where nothing ever succeeded, nothing would be tested.
    return [name, isOn ? Math.min(rate * intensity, Math.max(max, shareMax)) : 0] as const;
  });
  return Object.fromEntries(drawn) as Record<FaultClass, number>;
}

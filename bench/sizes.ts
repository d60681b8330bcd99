// How much of everything a round does.

export type Sizes = {
  readonly burst: number;
  readonly warmUp: number;
  readonly idle: number;
  readonly restSeconds: number;
  readonly sustainedSeconds: number;
  readonly rampSeconds: number;
  readonly openSeconds: number;
  readonly cost: number;
  readonly embeddedWarmUp: number;
  readonly embedded: number;
};

// Two revisions of Orderly: five minutes a round on two cores.
export const againstSizes: Sizes = {
  burst: 20_000,
  warmUp: 2_000,
  idle: 100,
  restSeconds: 20,
  sustainedSeconds: 15,
  rampSeconds: 3,
  openSeconds: 20,
  cost: 5_000,
  embeddedWarmUp: 1_000,
  embedded: 5_000,
};
// All peers, some of which take their time: four minutes a round.
export const peerSizes: Sizes = {
  ...againstSizes,
  burst: 2_000,
  warmUp: 500,
  idle: 50,
  restSeconds: 10,
  sustainedSeconds: 8,
  rampSeconds: 2,
  openSeconds: 10,
  cost: 1_000,
};

// The same in small or large, by the orders of the burst.
export function scaled(sizes: Sizes, burst: number): Sizes {
  const share = burst / sizes.burst;
  const of = (whole: number, atLeast: number) => Math.max(atLeast, Math.round(whole * share));
  return {
    burst,
    warmUp: of(sizes.warmUp, 100),
    idle: of(sizes.idle, 10),
    restSeconds: of(sizes.restSeconds, 2),
    sustainedSeconds: of(sizes.sustainedSeconds, 2),
    rampSeconds: of(sizes.rampSeconds, 1),
    openSeconds: of(sizes.openSeconds, 2),
    cost: of(sizes.cost, 200),
    embeddedWarmUp: of(sizes.embeddedWarmUp, 100),
    embedded: of(sizes.embedded, 200),
  };
}

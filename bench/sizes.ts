// How much of everything a round does, from one number: the orders of the burst.

export type Sizes = {
  readonly warmUp: number;
  readonly idle: number;
  readonly restSeconds: number;
  readonly sustainedSeconds: number;
  readonly rampSeconds: number;
  readonly burst: number;
  readonly cost: number;
  readonly embeddedWarmUp: number;
  readonly embedded: number;
};

export const ordersOfABurst = 20_000;

export function sizesFor(burst: number): Sizes {
  const share = Math.min(1, burst / ordersOfABurst);
  const of = (whole: number, atLeast: number) => Math.max(atLeast, Math.round(whole * share));
  return {
    burst,
    warmUp: of(2_000, 200),
    idle: of(100, 20),
    restSeconds: of(20, 3),
    sustainedSeconds: of(15, 3),
    rampSeconds: of(3, 1),
    cost: of(5_000, 500),
    embeddedWarmUp: of(1_000, 100),
    embedded: of(5_000, 300),
  };
}

// How fast a replay goes, and when it stops: a pure function of what is known of it and the time.
//
//   canary ──its work is done──▶ 1/s ──▶ 5/s ──▶ 20/s ──▶ 100/s      (or the one rate that was asked for)
//      └──────────────── too many failed again ────────────────▶ stopped
// Promises: never more per second than the stage allows, for the time of the next one is kept with the replay; what is
// under way is bounded, so that a partner that is still ill costs no more than ten seconds of a stage before it is
// noticed.

export const rampPerSecond = [1, 5, 20, 100] as const;
// Ten seconds show more than a burst that a partner's buffers swallow.
const stageMs = 10_000;
// Of what a stage sends in its time, so much must have come to an end before the next one.
const stageSecondsKnown = 5;
// Fewer outcomes are no share.
const judgedMin = 10;
const underWaySeconds = 10;
// How often it is looked whether what is under way has ended.
export const lookMs = 250;

export type Pace = {
  // Per second; null = the ramp.
  readonly rate: number | null;
  readonly stopShare: number;
  // 0 = the canary.
  readonly stage: number;
  readonly stageSince: Date;
  readonly nextAt: Date;
  // Ever; `judged…` = those before it was resumed after a stop.
  readonly sent: number;
  readonly done: number;
  readonly failed: number;
  readonly judgedDone: number;
  readonly judgedFailed: number;
};

export type Move =
  | { readonly move: 'send' }
  | { readonly move: 'wait'; readonly ms: number }
  | { readonly move: 'stage'; readonly stage: number }
  | { readonly move: 'stop'; readonly reason: string };

export function rateOf({ rate, stage }: Pick<Pace, 'rate' | 'stage'>): number {
  return rate ?? rampPerSecond[Math.min(Math.max(stage, 1), rampPerSecond.length) - 1] ?? 1;
}

// Between one and the next; whole milliseconds, as every clock here counts them, and whole numbers per second, so that
// no second has one more.
export function intervalMs(pace: Pick<Pace, 'rate' | 'stage'>): number {
  const perSecond = rateOf(pace);
  return Math.ceil(1_000 / (perSecond > 1 ? Math.floor(perSecond) : perSecond));
}

export function stageName(pace: Pick<Pace, 'rate' | 'stage'>): string {
  return pace.stage === 0 ? 'canary' : `${rateOf(pace)}/s`;
}

export const underWayOf = ({ sent, done, failed }: Pick<Pace, 'sent' | 'done' | 'failed'>) => sent - done - failed;

export function nextMove(pace: Pace, now: Date): Move {
  const { stage, stopShare } = pace;
  const done = pace.done - pace.judgedDone;
  const failed = pace.failed - pace.judgedFailed;
  const known = done + failed;
  const underWay = underWayOf(pace);
  const perSecond = rateOf(pace);
  if (stage === 0) {
    if (failed > 0 && stopShare < 1) return { move: 'stop', reason: 'the canary failed again' };
    if (known > 0) return { move: 'stage', stage: 1 };
    if (underWay > 0) return { move: 'wait', ms: lookMs };
  } else if (known >= judgedMin && failed / known > stopShare) {
    return { move: 'stop', reason: `${failed} of ${known} failed again` };
  }
  const isLast = pace.rate !== null || stage >= rampPerSecond.length;
  const isOver = now.getTime() - pace.stageSince.getTime() >= stageMs && known >= perSecond * stageSecondsKnown;
  // Too few outcomes to stop for, and bad ones: no more are risked than tell.
  const isSuspect = known > 0 && failed / known > stopShare;
  if (stage > 0 && !isLast && isOver && !isSuspect) return { move: 'stage', stage: stage + 1 };
  const underWayMax = isSuspect ? judgedMin - known : Math.max(judgedMin, perSecond * underWaySeconds);
  if (underWay >= underWayMax) return { move: 'wait', ms: lookMs };
  const waitMs = pace.nextAt.getTime() - now.getTime();
  return waitMs > 0 ? { move: 'wait', ms: waitMs } : { move: 'send' };
}

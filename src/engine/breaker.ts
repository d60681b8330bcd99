// Circuit breaker for one dependency: a pure state machine, the clock is a parameter.
//
//   closed ──failures in a row──▶ open ──interval over──▶ half-open ──success──▶ closed
//                                   ▲                         └──────failure──────┘
// Promises: while not closed, at most one call per interval (the probe) reaches the dependency. Only
// failures of the dependency itself may be reported; one order's own failure is none of its business.
// A failure never costs the last attempt of an order unless the dependency answered somebody lately, and
// not even then where it is plainly away: so an outage with a single order in it does not end that order.

export type FailedCall = {
  // Went out as the probe: nobody else's failure ends it.
  readonly isProbe?: boolean;
  readonly isLastAttempt?: boolean;
  // It said that it is away, or could not be reached at all; of any other failure this one call may have
  // been the cause.
  readonly isPlain?: boolean;
  // What it said, or what was made of its silence; for who is told of the change.
  readonly code?: string;
};

export type Breaker = {
  readonly state: (nowMs: number) => 'closed' | 'open' | 'half-open';
  // What `ask` would answer now, without taking the probe.
  readonly peek: (nowMs: number) => 'run' | 'probe' | 'no';
  // `run` = go ahead, `probe` = go ahead, alone; `no` = leave it. A probe must be ended by succeeded,
  // failed or abandoned.
  readonly ask: (nowMs: number) => 'run' | 'probe' | 'no';
  readonly succeeded: (nowMs: number) => void;
  readonly failed: (nowMs: number, call?: FailedCall) => void;
  // The probe found nothing to do, or was interrupted.
  readonly abandoned: () => void;
  // From now until the next probe is allowed; 0 when one is.
  readonly probeInMs: (nowMs: number) => number;
};

// Failures in a row that open it: fewer would open on one unlucky moment of a healthy dependency.
const failuresToOpen = 5;
// One probe per this interval: recovery is noticed soon, an ill dependency gets 30 calls a minute.
export const probeIntervalMs = 2_000;
// A dependency that answered this lately is not away; then a failing last attempt is the order's own.
const aliveForMs = 10_000;

export function createBreaker(onChange: (state: 'open' | 'closed', code?: string) => void = () => {}): Breaker {
  let failuresInRow = 0;
  let openedAtMs: number | null = null;
  let isProbing = false;
  let answeredAtMs = Number.NEGATIVE_INFINITY;

  function state(nowMs: number): 'closed' | 'open' | 'half-open' {
    if (openedAtMs === null) return 'closed';
    return isProbing || nowMs - openedAtMs >= probeIntervalMs ? 'half-open' : 'open';
  }

  function peek(nowMs: number): 'run' | 'probe' | 'no' {
    if (openedAtMs === null) return 'run';
    return isProbing || nowMs - openedAtMs < probeIntervalMs ? 'no' : 'probe';
  }

  return {
    state,
    peek,
    ask: (nowMs) => {
      const answer = peek(nowMs);
      if (answer === 'probe') {
        isProbing = true;
        // The interval counts from here, so that a probe that hangs for long is not followed at once.
        openedAtMs = nowMs;
      }
      return answer;
    },
    succeeded: (nowMs) => {
      failuresInRow = 0;
      answeredAtMs = nowMs;
      isProbing = false;
      if (openedAtMs !== null) onChange('closed');
      openedAtMs = null;
    },
    failed: (nowMs, { isProbe = false, isLastAttempt = false, isPlain = false, code } = {}) => {
      failuresInRow += 1;
      // One that is turned away while others are answered does not make the dependency away for all.
      const isAway = nowMs - answeredAtMs > aliveForMs || (isPlain && failuresInRow > 1);
      const wouldCostAnOrder = isLastAttempt && isAway;
      if (openedAtMs === null && failuresInRow < failuresToOpen && !wouldCostAnOrder) return;
      if (openedAtMs === null) onChange('open', code);
      // A late failure of a call from before the opening neither postpones a probe nor ends one under way.
      else if (!isProbe) return;
      openedAtMs = nowMs;
      isProbing = false;
    },
    abandoned: () => {
      isProbing = false;
      if (openedAtMs !== null) openedAtMs -= probeIntervalMs;
    },
    probeInMs: (nowMs) => (openedAtMs === null ? 0 : Math.max(0, probeIntervalMs - (nowMs - openedAtMs))),
  };
}

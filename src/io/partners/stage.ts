// Stage directions: how a test or a demonstration makes the simulated partners misbehave on purpose.
// Two kinds. The weather of a partner (up, down, throttling) meets every call until it changes. A cue
// meets the next calls of one kind, of one order or one country where it names one, and is then spent.
//
// Promises: the same directions and the same calls in the same order give the same play. The first
// cue that fits is taken; one that names an order or a country goes before one that names neither.
// Relies on memory alone: a restart clears the stage. What must outlive a restart is a payment
// scenario, which counts in the ledger.

import type { PartnerName } from './entry-states.ts';

const partnerOf = {
  authorize: 'payments',
  void: 'payments',
  'find-authorization': 'payments',
  book: 'carrier',
  recall: 'carrier',
  'find-booking': 'carrier',
  send: 'mail',
} as const satisfies Record<string, PartnerName>;
export type CallName = keyof typeof partnerOf;

export const weathers = ['up', 'down', 'throttle'] as const;
export type Weather = (typeof weathers)[number];

export const cuedCalls = ['authorize', 'void', 'book', 'recall', 'send'] as const satisfies CallName[];
export type CuedCall = (typeof cuedCalls)[number];

// `hang-before` never answers and does nothing; `hang-after` acts, and the answer is lost. `fail` is a
// retryable failure without effect. `refuse` is the partner's own no: a card declined, a booking
// rejected, a recall that comes too late; of a void or a mail, a refusal for good. `break-before` and `break-after`
// fail before or after the effect in a way that tells nothing of it; a failure to authorize or to book is kept with
// its key and repeated for good.
export const acts = ['hang-before', 'hang-after', 'fail', 'refuse', 'break-before', 'break-after'] as const;
export type Act = (typeof acts)[number];

export type WeatherDirection = {
  readonly [P in PartnerName | 'all']?: Weather;
} & { readonly retryAfterSeconds?: number };
export type CueDirection = {
  readonly call: CuedCall;
  readonly act: Act;
  // Neither = the calls of any order. A country is known of bookings and their recalls alone.
  readonly orderId?: string;
  readonly country?: string;
  // 1 unless told.
  readonly times?: number;
};
export type Direction = WeatherDirection | CueDirection;

export type StageState = {
  readonly weather: Readonly<Record<PartnerName, Weather>>;
  readonly retryAfterSeconds: number;
  readonly cues: readonly Required<Pick<CueDirection, 'call' | 'act' | 'times'>>[];
  // Calls that hang at this moment.
  readonly hanging: number;
};

export type Stage = {
  // False = there are too many unspent cues; nothing was changed.
  readonly direct: (direction: Direction) => boolean;
  readonly clear: () => void;
  readonly weatherOf: (call: CallName) => Weather;
  readonly retryAfterMs: () => number;
  // Spends the first cue that fits. `countryOf` is asked only where a cue names a country.
  readonly take: (call: CallName, orderId: string, countryOf: () => string | null) => Act | null;
  // Resolves when the caller gives up; there is no other end.
  readonly hang: (signal: AbortSignal) => Promise<void>;
  readonly state: () => StageState;
};

// Far more than a test needs; a script that never stops directing is told so instead of eating memory.
const maxCues = 10_000;

export function createStage(): Stage {
  const fair = { payments: 'up', carrier: 'up', mail: 'up' } as const;
  let weather: Record<PartnerName, Weather> = { ...fair };
  let retryAfterSeconds = 1;
  let cues: (CueDirection & { times: number })[] = [];
  let hanging = 0;

  return {
    direct: (direction) => {
      if ('call' in direction) {
        if (cues.length >= maxCues) return false;
        const cue = { ...direction, times: direction.times ?? 1 };
        // Anybody's cues wait at the end, so that the order they happen to meet is never one with its own.
        const anybody = cue.orderId === undefined && cue.country === undefined;
        const end = cues.findIndex((other) => other.orderId === undefined && other.country === undefined);
        cues.splice(anybody || end === -1 ? cues.length : end, 0, cue);
        return true;
      }
      const { all, retryAfterSeconds: seconds, ...each } = direction;
      if (all !== undefined) weather = { payments: all, carrier: all, mail: all };
      weather = { ...weather, ...each };
      if (seconds !== undefined) retryAfterSeconds = seconds;
      return true;
    },
    clear: () => {
      weather = { ...fair };
      retryAfterSeconds = 1;
      cues = [];
    },
    weatherOf: (call) => weather[partnerOf[call]],
    retryAfterMs: () => retryAfterSeconds * 1000,
    take: (call, orderId, countryOf) => {
      const cue = cues.find(
        (each) =>
          each.call === call &&
          (each.orderId === undefined || each.orderId === orderId) &&
          (each.country === undefined || each.country === countryOf()),
      );
      if (cue === undefined) return null;
      cue.times -= 1;
      if (cue.times <= 0) cues = cues.filter((each) => each !== cue);
      return cue.act;
    },
    hang: async (signal) => {
      hanging += 1;
      await new Promise<void>((resolve) => {
        if (signal.aborted) return resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      hanging -= 1;
    },
    state: () => ({ weather: { ...weather }, retryAfterSeconds, cues: cues.map((cue) => ({ ...cue })), hanging }),
  };
}

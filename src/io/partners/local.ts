// The simulated partners in this process: the port `Partners` straight over the ledger and the stage.
//
// Promises: what the port promises, and that nothing but OutsideError is thrown. Each call is counted
// (per second and kind, and per order once a partner took it) before it has any effect. The sandbox
// serves these same partners over HTTP, so both ways behave alike.
// A call that is meant to hang settles only when its signal aborts; no timer runs here.

import type { PaymentScenario } from '../../domain/order.ts';
import { OutsideError, type System } from '../../engine/ports.ts';
import type { BookAnswer, Partners, Spent } from '../../flow/ports.ts';
import { carrierKeyWindowMs, createCarrier } from './carrier.ts';
import type { PartnerName } from './entry-states.ts';
import type { Ledger } from './ledger.ts';
import { createMail } from './mail.ts';
import { createProvider, providerKeyWindowMs } from './provider.ts';
import type { CallName, Stage } from './stage.ts';
import { broken, neverSent, noAnswer, throttled, timedOut, unavailable, withoutEffect } from './troubles.ts';
import { undoingByRepetition } from './undoing-by-repetition.ts';

export type LocalPartnersOptions = {
  readonly ledger: Ledger;
  readonly stage: Stage;
  readonly system: Pick<System, 'now' | 'newId'>;
  // False = they cannot undo what they do not know; see undoing-by-repetition.ts for what an adapter makes of that.
  readonly hasTombstones?: boolean;
};

type Call<A> = {
  readonly name: CallName;
  // Null for a lookup by key, which is counted for no order and meets no cue.
  readonly orderId: string | null;
  readonly countryOf?: () => string | null;
  readonly scenario?: PaymentScenario;
  // Where a failure that is directed to be kept is kept.
  readonly keeps?: { readonly partner: PartnerName; readonly key: string };
  readonly act: (scene: { readonly nth: number; readonly refuses: boolean; readonly now: Date }) => A | typeof noAnswer;
};

// The status that is repeated over HTTP.
const spent: Spent = { outcome: 'spent', code: 'status-500' };

export function createLocalPartners(options: LocalPartnersOptions): Partners {
  const { ledger, stage, system, hasTombstones = true } = options;
  const provider = createProvider({ ledger, newId: system.newId, hasTombstones });
  const carrier = createCarrier({ ledger, newId: system.newId, hasTombstones });
  const mail = createMail({ ledger, newId: system.newId });

  // The key itself may stand for what was done before the failure.
  const failureOf = (key: string) => `${key} failed`;

  function play<A>({ name, orderId, countryOf, keeps, act }: Call<A>): A | typeof noAnswer | Spent {
    const now = system.now();
    const weather = stage.weatherOf(name);
    ledger.countArrival(name, weather === 'up', now.getTime());
    if (weather === 'down') throw unavailable('The partner is not available.');
    if (weather === 'throttle') throw throttled(stage.retryAfterMs());
    if (orderId === null) return act({ nth: 0, refuses: false, now });

    const nth = ledger.countCall(orderId, name);
    if (keeps && ledger.find(keeps.partner, failureOf(keeps.key)) !== null) return spent;
    const cue = stage.take(name, orderId, countryOf ?? (() => null));
    if (cue === 'hang-before') return noAnswer;
    if (cue === 'fail') throw withoutEffect('partner-failed', 'The partner could not take the call.');
    const answer = cue === 'break-before' ? noAnswer : act({ nth, refuses: cue === 'refuse', now });
    if (cue === 'break-before' || cue === 'break-after') {
      if (keeps) keepFailure(keeps, orderId, now);
      throw broken('partner-broken', 'The partner broke while it worked.');
    }
    return cue === 'hang-after' ? noAnswer : answer;
  }

  function keepFailure({ partner, key }: NonNullable<Call<unknown>['keeps']>, orderId: string, now: Date): void {
    const nothing = { reference: null, terms: null, expiresAtMs: null };
    const createdAtMs = now.getTime();
    ledger.add({ partner, key: failureOf(key), orderId, state: 'failed', code: spent.code, createdAtMs, ...nothing });
  }

  async function run<A>(signal: AbortSignal, call: Call<A>): Promise<A> {
    const answer = await runOrRepeat(signal, call);
    if (answer !== spent) return answer as A;
    throw new Error(`${call.name} keeps no failure`);
  }

  async function runOrRepeat<A>(signal: AbortSignal, call: Call<A>): Promise<A | Spent> {
    if (signal.aborted) throw neverSent();
    let answer: A | typeof noAnswer | Spent;
    try {
      answer = await ledger.inTurn(() => play(call));
    } catch (error) {
      if (error instanceof OutsideError) throw error;
      throw broken('partner-broken', 'The simulated partner could not keep its ledger.', error);
    }
    if (answer !== noAnswer) return answer;
    await stage.hang(signal);
    throw timedOut(call.scenario ?? 'success');
  }

  return {
    payments: {
      keyWindowMs: providerKeyWindowMs,
      authorize: (request, signal) => {
        const { orderId, scenario } = request;
        return runOrRepeat(signal, {
          name: 'authorize',
          orderId,
          scenario,
          keeps: { partner: 'payments', key: request.key },
          act: (scene) => provider.authorize(request, scene),
        });
      },
      void: (request, signal) =>
        run(signal, { name: 'void', orderId: request.orderId, act: (scene) => provider.void(request, scene) }),
      lookup: (key, signal) =>
        run(signal, { name: 'find-authorization', orderId: null, act: () => provider.lookup(key) }),
    },
    carrier: {
      keyWindowMs: carrierKeyWindowMs,
      book: (request, signal) => {
        const { key, orderId, country } = request;
        const countryOf = () => country;
        const keeps = { partner: 'carrier', key } as const;
        const act: Call<BookAnswer>['act'] = (scene) => carrier.book(request, scene);
        return runOrRepeat(signal, { name: 'book', orderId, countryOf, keeps, act });
      },
      recall: (request, signal) => {
        const { key, orderId } = request;
        const countryOf = () => carrier.countryOf(key);
        return run(signal, { name: 'recall', orderId, countryOf, act: (scene) => carrier.recall(request, scene) });
      },
      lookup: (key, signal) => run(signal, { name: 'find-booking', orderId: null, act: () => carrier.lookup(key) }),
    },
    mail: {
      send: (request, signal) =>
        run<void>(signal, { name: 'send', orderId: request.orderId, act: (scene) => mail.send(request, scene) }),
    },
  };
}

// The same as partners that undo by their own id alone, behind the adapter that such partners need.
export function createIdOnlyPartners(options: Omit<LocalPartnersOptions, 'hasTombstones'>): Partners {
  return undoingByRepetition(createLocalPartners({ ...options, hasTombstones: false }));
}

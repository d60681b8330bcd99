// Every call to a partner goes through here: bounded in time, abortable, and its failure named after the
// dependency, so that the right breaker hears of it.
//
// Promises: a call ends within its timeout plus a moment, even if the adapter ignores its signal; a
// timeout is an unknown outcome; a breaker hears of an answer of its own dependency and of no other. A call that begins
// within the time for which a partner remembers a key ends within it, too.
// Relies on the adapters to throw OutsideError, and on answers.ts for what an answer may hold.

import { OutsideError, type System, type Trouble } from '../../engine/ports.ts';
import { silentTracer, type Tracer } from '../../engine/tracer.ts';
import type { Partners } from '../ports.ts';
import { type AnsweringCall, assertAnswer, tidied } from './answers.ts';

// An adapter that heeds its signal ends well within this, and knows better what the silence meant.
const graceMs = 100;

// The time of first use is the database's, the age is told by this process: their clocks may be this far apart, and
// the partner counts from when the call arrived, which is later.
const clocksApartMs = 1_000;

type Call<Q, A> = (request: Q, signal: AbortSignal) => Promise<A>;

export function boundPartners(
  partners: Partners,
  timeoutMs: number,
  system: System,
  onAnswered: (dependency: keyof Partners) => void = () => {},
  // Told of each call: `answered`, or the class of its trouble.
  onCalled: (dependency: keyof Partners, outcome: string, ms: number) => void = () => {},
  tracer: Tracer = silentTracer,
): Partners {
  const bound =
    <Q, A>(dependency: keyof Partners, answering: AnsweringCall | null, call: Call<Q, A>): Call<Q, A> =>
    async (request, signal) => {
      const beganMs = system.monotonicMs();
      const name = `${dependency} ${answering ?? 'send'}`;
      const attributes = () => ({ 'peer.service': dependency });
      const span = tracer.start({ name, kind: 'client', parent: tracer.current(), attributes });
      const called = (outcome: string, code?: string) => {
        span.end({ 'orderly.outcome': outcome }, code);
        onCalled(dependency, outcome, system.monotonicMs() - beganMs);
      };
      try {
        const answer = await callWithin({ dependency, timeoutMs, system, signal }, async (inner) => {
          const given = await tracer.within(span, () => call(request, inner));
          if (answering !== null) assertAnswer(answering, given as { readonly outcome: string } | null);
          return given;
        });
        called('answered');
        onAnswered(dependency);
        return answer;
      } catch (error) {
        if (error instanceof OutsideError) called(error.trouble.class, error.trouble.code);
        else called('defect', 'defect');
        throw error;
      }
    };
  const { payments, carrier, mail } = partners;
  const windowOf = ({ keyWindowMs }: { readonly keyWindowMs: number }) =>
    Math.max(0, keyWindowMs - timeoutMs - clocksApartMs);
  return {
    payments: {
      ...payments,
      keyWindowMs: windowOf(payments),
      authorize: bound('payments', 'authorize', payments.authorize),
      void: bound('payments', 'void', payments.void),
      lookup: bound('payments', 'findAuthorization', payments.lookup),
    },
    carrier: {
      ...carrier,
      keyWindowMs: windowOf(carrier),
      book: bound('carrier', 'book', carrier.book),
      recall: bound('carrier', 'recall', carrier.recall),
      lookup: bound('carrier', 'findBooking', carrier.lookup),
    },
    mail: { ...mail, send: bound('mail', null, mail.send) },
  };
}

type Bounds = {
  readonly dependency: keyof Partners;
  readonly timeoutMs: number;
  readonly system: System;
  readonly signal: AbortSignal;
};

async function callWithin<A>(bounds: Bounds, call: (signal: AbortSignal) => Promise<A>): Promise<A> {
  const { dependency, timeoutMs, system, signal } = bounds;
  signal.throwIfAborted();
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  const timer = system.after(timeoutMs, () => controller.abort(new Error(`no answer within ${timeoutMs} ms`)));
  let giveUp: { cancel: () => void } | undefined;
  try {
    const deaf = new Promise<never>((_, reject) => {
      controller.signal.addEventListener('abort', () => {
        giveUp = system.after(graceMs, () => reject(new OutsideError(silence(dependency, timeoutMs))));
      });
    });
    return await Promise.race([call(controller.signal), deaf]);
  } catch (error) {
    if (!(error instanceof OutsideError)) throw error;
    throw new OutsideError({ ...tidied(error.trouble), dependency }, { cause: error });
  } finally {
    timer.cancel();
    giveUp?.cancel();
    signal.removeEventListener('abort', abort);
  }
}

function silence(dependency: keyof Partners, timeoutMs: number): Trouble {
  const message = `${dependency} did not answer within ${timeoutMs} ms`;
  return { class: 'unknown', code: 'timeout', message, dependencyDown: true };
}

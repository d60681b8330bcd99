// A line of the log for each thing that matters on an order's way, as the engine tells it.
//
// Promises: every line has the ids to search by: order, event, consumer, attempt, correlation, and the trace where the
// request had one; codes instead of messages, for what a partner says may name a customer. The level says whose turn it
// is: info = the system goes on by itself, warn = the next failure needs a person, error = a person is needed.
// Relies on the dead letter to keep the whole message.

import { endOf, type Observer, silentObserver } from '../../engine/observer.ts';
import { createOutage, type Outage } from '../../engine/outage.ts';
import type { Event, Log, System, Work } from '../../engine/ports.ts';

type Told = Pick<Observer, 'claimed' | 'settled' | 'refused' | 'unsettled' | 'committed' | 'read' | 'breakerChanged'>;

export function createEventsLog(options: {
  readonly log: Log;
  // Retries after the first attempt; the last one is a warning.
  readonly maxRetries: number;
  // True where what an error means is told by somebody else.
  readonly isTold: (error: unknown) => boolean;
  // What each dependency is called, with its address.
  readonly names: Readonly<Record<string, string>>;
  readonly system: System;
}): Told {
  const { log, maxRetries, isTold, names, system } = options;
  const outages = new Map<string, Outage>();

  function outageOf(dependency: string): Outage {
    const known = outages.get(dependency);
    if (known !== undefined) return known;
    const what = names[dependency] ?? dependency;
    const advice = 'its jobs wait uncharged, and it is asked every two seconds';
    const outage = createOutage({ what, advice, fields: { dependency }, log, system });
    outages.set(dependency, outage);
    return outage;
  }

  return {
    claimed: (_, answered) => {
      if (answered.answer !== 'run' || !answered.work.takenOver) return;
      log.warn(idsOf(answered.work), 'a worker died or froze with this work; it is taken over');
    },

    settled: (work, outcome, answer) => {
      const ids = idsOf(work);
      const { durationMs, trouble } = outcome;
      switch (endOf(outcome, answer)) {
        case 'done':
          return log.info({ ...ids, durationMs }, 'step done');
        case 'waiting': {
          const fields = { ...ids, durationMs, delayMs: Math.round(outcome.dueInMs), ...whyOf(trouble) };
          if (!outcome.charged) return log.info(fields, 'the attempt goes back uncharged and waits');
          const isLast = work.attempt >= maxRetries;
          const level = isLast ? 'warn' : 'info';
          return log[level](fields, isLast ? 'attempt failed; one retry is left' : 'attempt failed; it is retried');
        }
        case 'dead':
          return log.error({ ...ids, durationMs, ...whyOf(trouble) }, 'given up: a dead letter waits for a person');
        case 'stale':
          return log.warn(ids, 'a stale settle was refused: another worker owns the job');
        default:
          return log.debug(ids, 'nothing was left to settle');
      }
    },

    refused: (work, error) => {
      const code = (error as { cause?: { code?: unknown } }).cause?.code;
      log.error({ ...idsOf(work), code }, 'what came of an attempt cannot be stored');
    },

    unsettled: (work, error) => {
      const fields = { ...idsOf(work), err: error };
      if (isTold(error)) log.debug(fields, 'a job could not be settled; its lease will end');
      else log.error(fields, 'a job could not be settled; its lease will end');
    },

    committed: (events) => {
      for (const event of events) tellOrder(log, event);
    },

    breakerChanged: (dependency, state, code = 'no reason is known') => {
      if (state === 'open') outageOf(dependency).failed('breaker', code);
      else outageOf(dependency).worked('breaker');
    },

    read: (consumer, _, deadLetters) => {
      for (const { event, trouble } of deadLetters) {
        const fields = { consumer, ...idsOfEvent(event), ...whyOf(trouble) };
        log.error(fields, 'given up: a dead letter waits for a person');
      }
    },
  };
}

// Every function of the one, then of the other.
export function both(first: Partial<Observer>, second: Partial<Observer>): Observer {
  const names = Object.keys(silentObserver) as (keyof Observer)[];
  const joined = names.map((name) => {
    const [one, other] = [first[name], second[name]] as ((...values: unknown[]) => void)[];
    if (one === undefined || other === undefined) return [name, one ?? other ?? silentObserver[name]];
    return [
      name,
      (...values: unknown[]) => {
        one(...values);
        other(...values);
      },
    ];
  });
  return Object.fromEntries(joined) as Observer;
}

// Where an order begins and where it ends; what lies between is told by its steps.
function tellOrder(log: Log, event: Event): void {
  const { status } = event.data;
  if (event.version === 1) return log.info(idsOfEvent(event), 'order accepted');
  if (status === undefined) return;
  const isEnd = status !== 'PENDING';
  log.info({ ...idsOfEvent(event), type: event.type, status }, isEnd ? 'order ended' : 'order sent back to work');
}

// The trace of the attempt, which is the event's where it is the first one.
function idsOf({ consumer, attempt, event, traceparent = event.traceparent }: Work) {
  return { consumer, attempt, ...idsOfEvent({ ...event, traceparent }) };
}

function idsOfEvent({ id, subject, correlationId, traceparent }: Event) {
  const ids = { orderId: subject, eventId: id, correlationId };
  return traceparent === null ? ids : { ...ids, traceId: traceparent.slice(3, 35) };
}

function whyOf(trouble: { readonly class: string; readonly code: string; readonly dependency?: string | null } | null) {
  if (trouble === null) return {};
  const { code, class: kind, dependency } = trouble;
  return dependency == null ? { code, class: kind } : { code, class: kind, dependency };
}

// What becomes of orders and of the work on them, counted as the engine tells it.
//
// Promises: each thing is counted by the process that had the answer to its commit, and there alone; what a repeated
// write finds done is not counted again, so under faults a count may lack some and never has one twice.
// Relies on the id of an order, a UUID version 7, to say when it was created (RFC 9562, 5.7).

import type { Registry } from 'prom-client';
import { endOf, type Observer } from '../../engine/observer.ts';
import { callSeconds, instruments, type MetricsOf, waySeconds } from './instruments.ts';

const outcomes = ['PROCESSED', 'CANCELED', 'FAILED'];
const ends = ['run', 'gone', 'busy', 'not-due', 'obsolete', 'done', 'waiting', 'dead', 'stale'];
// Rows of one write; a flush has at most 256 (src/main/wire.ts).
const rows = [1, 2, 4, 8, 16, 32, 64, 128, 256];
// Codes come from partners too, within the pattern of src/flow/steps/answers.ts: beyond this many they are `other`.
const reasonsMax = 40;

export function createWorkMetrics(registry: Registry, { consumers, dependencies, eventTypes }: MetricsOf): Observer {
  const { counter, gauge, histogram } = instruments(registry);
  const accepted = counter('orderly_orders_accepted_total', 'Orders that were stored');
  const ways = histogram('orderly_order_duration_seconds', 'From created to an end', waySeconds, ['outcome']);
  const events = counter('orderly_events_total', 'Events that were committed', ['type']);
  const published = counter('orderly_events_published_total', 'Events that the bus has');
  const jobs = counter('orderly_jobs_total', 'Answers to claims, and ends of attempts', ['consumer', 'end']);
  const inFlight = gauge('orderly_jobs_in_flight', 'Jobs that this process works on', ['consumer']);
  const delays = histogram(
    ...(['orderly_job_start_delay_seconds', 'From the creation of a job to its first claim'] as const),
    ...([waySeconds, ['consumer']] as const),
  );
  const steps = histogram(
    ...(['orderly_step_duration_seconds', 'How long an attempt took'] as const),
    ...([callSeconds, ['consumer', 'outcome']] as const),
  );
  const retries = counter(
    ...(['orderly_retries_total', 'Attempts that go back to wait', ['consumer', 'reason', 'charged']] as const),
  );
  const takeovers = counter('orderly_takeovers_total', 'Jobs of workers that died or froze', ['consumer']);
  const deadLetters = counter('orderly_dead_letters_total', 'Dead letters that were written', ['consumer']);
  const dropped = counter('orderly_hints_dropped_total', 'Hints that found no slot; the poller comes to their jobs', [
    'consumer',
  ]);
  const unreadable = counter('orderly_messages_unreadable_total', 'Messages of a bus that were dropped', ['group']);
  const open = gauge('orderly_breaker_open', '1 while the dependency is considered away', ['dependency']);
  const changes = counter('orderly_breaker_changes_total', 'How often a breaker opened or closed', [
    'dependency',
    'state',
  ]);
  const calls = histogram(
    ...(['orderly_partner_call_duration_seconds', 'Calls to partners, by what became of them'] as const),
    ...([callSeconds, ['partner', 'outcome']] as const),
  );
  const flushRows = histogram('orderly_flush_entries', 'Entries that share a write', rows, ['write']);
  const flushes = histogram('orderly_flush_duration_seconds', 'How long such a write took', callSeconds, ['write']);

  for (const outcome of outcomes) ways.zero({ outcome });
  for (const type of [...eventTypes, 'other']) events.inc({ type }, 0);
  for (const consumer of consumers) {
    for (const end of ends) jobs.inc({ consumer, end }, 0);
    for (const outcome of ['done', 'waiting', 'dead']) steps.zero({ consumer, outcome });
    for (const one of [takeovers, deadLetters, dropped]) one.inc({ consumer }, 0);
    delays.zero({ consumer });
    inFlight.set({ consumer }, 0);
  }
  for (const dependency of dependencies) {
    open.set({ dependency }, 0);
    for (const state of ['open', 'closed']) changes.inc({ dependency, state }, 0);
  }
  for (const write of ['accept', 'claim', 'settle']) {
    flushRows.zero({ write });
    flushes.zero({ write });
  }
  const known = new Set(eventTypes);
  const reasons = new Set<string>();
  const reasonOf = (code: string) => {
    if (reasons.size < reasonsMax) reasons.add(code);
    return reasons.has(code) ? code : 'other';
  };

  return {
    claimed: (consumer, answered) => {
      jobs.inc({ consumer, end: answered.answer });
      if (answered.answer !== 'run') return;
      const { takenOver, attempt, ageMs, epoch } = answered.work;
      inFlight.inc({ consumer });
      if (takenOver) takeovers.inc({ consumer });
      else if (attempt === 1 && epoch === 0) delays.observe({ consumer }, ageMs / 1_000);
    },
    settled: ({ consumer }, outcome, answer) => {
      const end = endOf(outcome, answer);
      jobs.inc({ consumer, end });
      inFlight.dec({ consumer });
      if (answer !== 'settled') return;
      const { state, trouble, charged, durationMs } = outcome;
      if (durationMs !== null) steps.observe({ consumer, outcome: state }, durationMs / 1_000);
      if (state === 'dead') deadLetters.inc({ consumer });
      if (state === 'waiting' && trouble !== null) {
        retries.inc({ consumer, reason: reasonOf(trouble.code), charged: String(charged) });
      }
    },
    refused: () => {},
    unsettled: ({ consumer }) => inFlight.dec({ consumer }),
    hintDropped: (consumer) => dropped.inc({ consumer }),
    unreadable: (group) => unreadable.inc({ group }),
    committed: (committed) => {
      for (const { type, version, subject, time, data } of committed) {
        events.inc({ type: known.has(type) ? type : 'other' });
        if (version === 1) accepted.inc();
        if (typeof data.status !== 'string' || !outcomes.includes(data.status)) continue;
        ways.observe({ outcome: data.status }, Math.max(0, time.getTime() - createdMs(subject)) / 1_000);
      }
    },
    published: (count) => published.inc(count),
    read: (consumer, handled, letters) => {
      jobs.inc({ consumer, end: 'done' }, handled - letters.length);
      jobs.inc({ consumer, end: 'dead' }, letters.length);
      deadLetters.inc({ consumer }, letters.length);
    },
    breakerChanged: (dependency, state) => {
      open.set({ dependency }, state === 'open' ? 1 : 0);
      changes.inc({ dependency, state });
    },
    called: (partner, outcome, ms) => calls.observe({ partner, outcome }, ms / 1_000),
    flushed: (write, entries, ms) => {
      flushRows.observe({ write }, entries);
      flushes.observe({ write }, ms / 1_000);
    },
    relaying: () => {},
  };
}

const createdMs = (id: string) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

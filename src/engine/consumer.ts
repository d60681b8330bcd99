// One consumer: takes facts from the bus, from what is due and from what the bus forgot, and carries
// each through claim → perform → settle.
//
// Promises: a fact has its effect once, whatever is delivered how often; every message is acknowledged
// as soon as its claim is answered, for from there the database owns the work; at most `concurrency`
// claims are held, and a slot is free before a claim is made. The state is the inbox's alone: what this
// file keeps in memory may be lost at any line.

import type { Breaker } from './breaker.ts';
import { type Envelope, isUnreadable, nameOf, readEnvelope } from './envelope.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Leases } from './leases.ts';
import {
  type ClaimAnswer,
  type ClaimRequest,
  type Due,
  type Ending,
  type Inbox,
  type Log,
  OutsideError,
  type Received,
  type SettleAnswer,
  type SettleRequest,
  type Step,
  type System,
  type Trouble,
  type Work,
} from './ports.ts';
import { cannotBeStored, defect, type RetryPolicy, unresolved, verdictOn } from './retry-policy.ts';
import { createSlots } from './semaphore.ts';
import { settled } from './settled.ts';

export type Consumer = {
  readonly consumer: string;
  readonly types: readonly string[];
  // For Bus.subscribe. Resolves when every message is answered for. Rejects when one was not, because the
  // database did not answer in time or this consumer stops: what has no claim is pulled later.
  readonly receive: (batch: readonly Received[]) => Promise<void>;
  // Work that came by another way than the bus. Resolves when the claim is answered.
  readonly take: (due: Due) => Promise<void>;
  // Resolves when a slot is free, or the signal aborts.
  readonly slotFree: (signal: AbortSignal) => Promise<void>;
  // True while a dependency is away: only probes and what waited too long should be offered.
  readonly mode: () => 'all' | 'probe' | 'none';
  // Takes nothing new; resolves when all that runs has settled.
  readonly stop: () => Promise<void>;
};

export type ConsumerEvents = {
  readonly ended: (consumer: string, end: string) => void;
  // A delivery of this consumer will be due in this many ms.
  readonly dueIn: (consumer: string, ms: number) => void;
};

export function createConsumer<S, C>(options: {
  readonly step: Step<S, C>;
  readonly claims: GroupCommit<ClaimRequest<S, C>, ClaimAnswer<S>>;
  readonly settles: GroupCommit<SettleRequest<S, C>, SettleAnswer>;
  readonly inbox: Pick<Inbox, 'park' | 'finishUnread'>;
  readonly leases: Leases;
  readonly breakers: readonly Breaker[];
  readonly policy: RetryPolicy;
  readonly concurrency: number;
  readonly system: System;
  readonly log: Log;
  readonly events: ConsumerEvents;
}): Consumer {
  const { step, claims, settles, inbox, leases, breakers, policy, system, log, events } = options;
  const { consumer } = step;
  const names = new Set(step.types.map(nameOf));
  const slots = createSlots(options.concurrency);
  const stopping = new AbortController();

  async function receive(batch: readonly Received[]): Promise<void> {
    await Promise.all(batch.map(receiveOne));
  }

  async function receiveOne(received: Received): Promise<void> {
    const envelope = readEnvelope(received.body);
    if (isUnreadable(envelope)) {
      return inbox.park(consumer, { ...envelope, body: received.body, eventId: null, eventType: null });
    }
    if (!names.has(nameOf(envelope.type))) return;
    const answer = await claimAndRun(envelope.id);
    if (answer === 'unknown-fact') await parkUnknown(envelope, received.body);
  }

  // Somebody wrote to the topic who is not our relay, or a message of another installation got here.
  async function parkUnknown(envelope: Envelope, body: Buffer): Promise<void> {
    const message = `no fact has the id ${envelope.id}`;
    await inbox.park(consumer, { body, eventId: envelope.id, eventType: envelope.type, code: 'unknown-fact', message });
  }

  // A slot is held from before the claim until the work has settled: nothing is claimed that cannot
  // start at once, so a lease is not spent on queueing.
  async function claimAndRun(eventId: string): Promise<ClaimAnswer<S>['answer']> {
    await slots.acquire(stopping.signal);
    const { hold, probes } = askBreakers();
    let running = false;
    try {
      const token = system.newToken();
      const answered = await claims.add({ step, eventId, token, hold });
      events.ended(consumer, answered.answer);
      if (answered.answer === 'run') {
        running = true;
        // The bus is acknowledged while this runs on. Process dies: the lease ends, another worker takes over.
        void run(answered.work, probes).finally(slots.release);
      }
      return answered.answer;
    } finally {
      if (!running) {
        abandon(probes);
        slots.release();
      }
    }
  }

  // Never rejects: what cannot be settled is left to its lease.
  async function run(work: Work<S>, probes: readonly Breaker[]): Promise<void> {
    const { signal, drop } = leases.hold({ consumer, eventId: work.fact.id, token: work.token });
    try {
      const outcome = await performed(work, signal, probes);
      const { ending, answer } = await settled(settles, work, outcome, ({ message }) => {
        log.error({ consumer, eventId: work.fact.id, error: message }, 'what came of an attempt cannot be stored');
        return dead(work, cannotBeStored);
      });
      events.ended(consumer, answer === 'stale' ? 'stale' : ending.state);
      if (answer === 'stale') {
        log.warn({ consumer, eventId: work.fact.id }, 'a stale settle was refused: another worker owns the work');
      } else if (ending.state === 'waiting') {
        events.dueIn(consumer, ending.dueInMs);
      }
    } catch (error) {
      log.error(
        { consumer, eventId: work.fact.id, error: String(error) },
        'work could not be settled; its lease will end',
      );
    } finally {
      drop();
    }
  }

  async function performed(work: Work<S>, signal: AbortSignal, probes: readonly Breaker[]): Promise<Ending<S, C>> {
    if (work.exhausted !== null) {
      abandon(probes);
      return dead(work, work.exhausted);
    }
    try {
      const result = await step.perform(work, signal);
      // Which of several dependencies was called, only the calls know; they tell it themselves.
      if (breakers.length === 1) breakers[0]?.succeeded(system.monotonicMs());
      else abandon(probes);
      return {
        state: 'done',
        change: (subject, now) => step.decide(subject, work, result, now),
        dueInMs: 0,
        charged: true,
        trouble: null,
      };
    } catch (error) {
      return failed(work, error, signal, probes);
    }
  }

  function failed(work: Work<S>, error: unknown, signal: AbortSignal, probes: readonly Breaker[]): Ending<S, C> {
    const trouble = error instanceof OutsideError ? error.trouble : defect(error);
    // Anything else than an adapter's own word was thrown before its call.
    const isInDoubt = step.mayRepeat === false && error instanceof OutsideError && trouble.class === 'unknown';
    if (signal.aborted) {
      // Stopped or fenced in the middle of a call: it may have been done, and nobody is to blame.
      abandon(probes);
      if (isInDoubt) return dead(work, unresolved(trouble.message));
      return waiting(work, { ...trouble, class: 'unknown', code: 'interrupted' }, 0, false);
    }
    const nowMs = system.monotonicMs();
    const breaker = breakers[Math.max(0, step.dependencies.indexOf(trouble.dependency ?? ''))];
    // Only a call that the dependency answered, or could not, tells its breaker anything; a probe of another goes back.
    const answered = !trouble.dependencyDown && trouble.dependency && trouble.class !== 'unknown';
    if (trouble.dependencyDown) {
      breaker?.failed(nowMs, {
        isProbe: probes.includes(breaker),
        isLastAttempt: work.attempt > policy.maxRetries,
        isPlain: trouble.class === 'retryable',
      });
    } else if (answered) breaker?.succeeded(nowMs);
    const wasTold = trouble.dependencyDown || answered;
    abandon(probes.filter((probe) => !wasTold || probe !== breaker));
    if (isInDoubt) return dead(work, unresolved(trouble.message));
    const verdict = verdictOn(trouble, work, {
      policy,
      dependencyIsOut: breaker !== undefined && breaker.state(nowMs) !== 'closed',
      probeInMs: breaker?.probeInMs(nowMs) ?? 0,
      random: system.random(),
    });
    if (verdict.end === 'park') return dead(work, verdict.trouble);
    return waiting(work, verdict.trouble, verdict.dueInMs, verdict.end === 'retry');
  }

  function waiting(work: Work<S>, trouble: Trouble, dueInMs: number, charged: boolean): Ending<S, C> {
    const change = (subject: S, now: Date) => step.retried(subject, work, trouble, charged, now);
    return { state: 'waiting', change, dueInMs, charged, trouble };
  }

  function dead(work: Work<S>, trouble: Trouble): Ending<S, C> {
    const change = (subject: S, now: Date) => step.parked(subject, work, trouble, now);
    return { state: 'dead', change, dueInMs: 0, charged: true, trouble };
  }

  // The strictest answer counts; probes that are not used are given back.
  function askBreakers(): { readonly hold: boolean; readonly probes: readonly Breaker[] } {
    const answers = breakers.map((breaker) => breaker.ask(system.monotonicMs()));
    const probes = breakers.filter((_, index) => answers[index] === 'probe');
    if (!answers.includes('no')) return { hold: false, probes };
    abandon(probes);
    return { hold: true, probes: [] };
  }

  // A probe that is never ended would keep its breaker half-open, and everybody's work waiting, for ever.
  function abandon(probes: readonly Breaker[]): void {
    for (const probe of probes) probe.abandoned();
  }

  return {
    consumer,
    types: step.types,
    receive,
    take: async ({ eventId, raw }) => {
      if (raw === null) return void (await claimAndRun(eventId));
      // Sent back by a person: read the bytes anew. It is parked again or claimed before it is finished,
      // so a process that dies in between reads it once more.
      await receiveOne({ body: raw });
      await inbox.finishUnread(consumer, eventId);
    },
    slotFree: slots.whenFree,
    mode: () => {
      const answers = breakers.map((breaker) => breaker.peek(system.monotonicMs()));
      if (answers.includes('no')) return 'none';
      return answers.includes('probe') ? 'probe' : 'all';
    },
    stop: async () => {
      stopping.abort();
      await slots.whenAllFree();
    },
  };
}

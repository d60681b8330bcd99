import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Order } from '../../src/domain/order.ts';
import { type Breaker, createBreaker, probeIntervalMs } from '../../src/engine/breaker.ts';
import { createConsumer } from '../../src/engine/consumer.ts';
import { createLeases } from '../../src/engine/leases.ts';
import { endOf } from '../../src/engine/observer.ts';
import {
  type ClaimAnswer,
  type ClaimRequest,
  type Event,
  type Hint,
  OutsideError,
  RefusedError,
  type SettleAnswer,
  type SettleRequest,
  type Sought,
  type Step,
  type Trouble,
  type Work,
} from '../../src/engine/ports.ts';
import { createSlots } from '../../src/engine/slots.ts';
import { silentTracer } from '../../src/engine/tracer.ts';
import { orderWith } from '../support/orders.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

// A subject and a change of it that are told apart by words: the engine looks into neither.
const subjectOf = (words: string) => ({ order: orderWith({ correlationId: words }), effects: {} });
const said = (words: string) => ({ order: orderWith({ correlationId: words }), events: [], effects: [] });
const wordsOf = ({ order }: { readonly order: Order }) => order.correlationId;

function eventOf(nth: number, type = 'OrderCreatedV1'): Event {
  const id = `00000000-0000-7000-8000-${nth.toString(16).padStart(12, '0')}`;
  const time = new Date('2026-11-21T07:00:00.000Z');
  const none = { causationId: null, traceparent: null };
  return { id, type, subject: `order ${nth}`, version: 1, time, correlationId: 'c-1', data: {}, ...none };
}

const trouble = (rest: Partial<Trouble> = {}): Trouble => ({
  class: 'retryable',
  code: 'provider-failed',
  message: 'it failed',
  dependencyDown: false,
  dependency: 'payments',
  ...rest,
});
const down = (dependency: string) => new OutsideError(trouble({ class: 'unknown', dependencyDown: true, dependency }));

// A consumer over jobs that are a function: `world.claim` answers, everything asked and settled is kept.
function setUp(given: { concurrency?: number; dependencies?: readonly string[]; paused?: readonly string[] } = {}) {
  const system = createVirtualSystem();
  const log = createMemoryLog();
  const dependencies = given.dependencies ?? ['payments'];
  const breakers: Record<string, Breaker> = Object.fromEntries(dependencies.map((name) => [name, createBreaker()]));
  const claims: ClaimRequest[] = [];
  const settles: SettleRequest[] = [];
  const sought: { sought: Sought; limit: number }[] = [];
  const left: string[] = [];
  const ended: string[] = [];
  const unsettled: string[] = [];
  const dueIn: number[] = [];
  const world = {
    attempt: 1,
    due: 0,
    exhausted: null as Trouble | null,
    claim: async (request: ClaimRequest): Promise<ClaimAnswer> => ({ answer: 'run', work: workOf(request) }),
    settle: async (_request: SettleRequest): Promise<SettleAnswer> => 'settled',
    perform: async (_work: Work, _signal: AbortSignal): Promise<unknown> => 'result',
  };
  const workOf = (request: ClaimRequest): Work => ({
    consumer: 'payment',
    event: { ...eventOf(0), subject: request.subject, version: request.version },
    subject: subjectOf('the subject at the claim'),
    token: request.token,
    epoch: 0,
    attempt: world.attempt,
    waitedMs: 0,
    ageMs: 0,
    takenOver: false,
    exhausted: world.exhausted,
  });
  const step: Step = {
    consumer: 'payment',
    types: ['OrderCreatedV1'],
    dependencies,
    admits: () => true,
    claimed: () => null,
    perform: (work, signal) => world.perform(work, signal),
    decide: (subject, _work, result) => said(`decided ${result} on ${wordsOf(subject)}`),
    retried: (subject, _work, { code }, charged) =>
      said(`${charged ? 'charged' : 'uncharged'} ${code} on ${wordsOf(subject)}`),
    parked: (subject, _work, { code }) => said(`parked ${code} on ${wordsOf(subject)}`),
  };
  const grouped = <Entry, Answer>(run: (entry: Entry) => Promise<Answer>) => ({
    add: run,
    pending: () => 0,
    drained: async () => {},
  });
  const leases = createLeases({ jobs: { renew: async () => [] }, leaseMs: 30_000, system, log });
  let tokens = 0;
  // What a poll finds: as many jobs as it may claim, up to `world.due`.
  const claimAll = async (limit: number) => {
    const count = Math.min(limit, world.due);
    const requests = Array.from({ length: count }, (_, nth): ClaimRequest => {
      tokens += 1;
      return { step, subject: `due ${nth}`, version: 1, token: `token ${tokens}` };
    });
    claims.push(...requests);
    return { answers: await Promise.all(requests.map((request) => world.claim(request))), nextDueInMs: null };
  };
  const consumer = createConsumer({
    step,
    claims: grouped((request: ClaimRequest) => {
      claims.push(request);
      return world.claim(request);
    }),
    settles: grouped((request: SettleRequest) => {
      settles.push(request);
      return world.settle(request);
    }),
    pauses: { isPaused: () => false, subjects: () => given.paused ?? [] },
    early: { during: (write) => write(() => []) },
    jobs: {
      claimDue: (_, limit, what) => {
        sought.push({ sought: what, limit });
        return claimAll(limit);
      },
    },
    slots: createSlots(given.concurrency ?? 4),
    leases,
    breakers: dependencies.map((name) => breakers[name] as Breaker),
    policy: { maxRetries: 3, retryDelayMs: 1_000, retryDelayMsMax: 60_000, maxWaitMs: 86_400_000 },
    tracer: silentTracer,
    system,
    log,
    events: {
      claimed: (_, { answer }) => ended.push(answer),
      settled: (_, outcome, answer) => ended.push(endOf(outcome, answer)),
      refused: (_, error) => ended.push(`refused: ${(error as Error).message}`),
      unsettled: (_, error) => unsettled.push(String(error)),
      left: (name) => left.push(name),
      dueIn: (_, ms) => dueIn.push(ms),
    },
  });
  // What the first settle writes, as the store would see it.
  const endingOf = (index = 0) => {
    const settle = settles[index];
    assert.ok(settle, `${settles.length} settles`);
    const { state, charged, dueInMs, change } = settle.ending;
    const changed = change(subjectOf('the subject at the settle'), system.now());
    return { state, charged, dueInMs, change: changed === null || changed === 'obsolete' ? changed : wordsOf(changed) };
  };
  const open = (name: string) => {
    for (let failures = 0; failures < 5; failures += 1) breakers[name]?.failed(system.monotonicMs());
  };
  const stateOf = (name: string) => breakers[name]?.state(system.monotonicMs());
  const hint = (...events: Event[]) => {
    for (const { subject, version, type } of events) consumer.hint({ subject, version, type } satisfies Hint);
    return system.calm();
  };
  const poll = async (what: Sought = 'due') => {
    const picked = await consumer.claimDue(what, new AbortController().signal);
    await system.calm();
    return picked;
  };
  const lists = { claims, settles, sought, left, ended, unsettled, dueIn };
  return { system, log, consumer, workOf, hint, poll, leases, world, breakers, endingOf, open, stateOf, ...lists };
}

function door() {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open: () => open(), passed };
}

describe('a consumer', { timeout: 20_000 }, () => {
  it('decides on the subject as it is at the settle, not as it was at the claim', async () => {
    const { hint, endingOf } = setUp();
    await hint(eventOf(1));
    assert.deepEqual(endingOf(), {
      state: 'done',
      charged: true,
      dueInMs: 0,
      change: 'decided result on the subject at the settle',
    });
  });

  for (const answer of ['gone', 'busy', 'not-due', 'obsolete'] as const) {
    it(`performs nothing when the claim is answered ${answer}, and has its slot back`, async () => {
      const { hint, world, settles, ended } = setUp({ concurrency: 1 });
      world.claim = async () => ({ answer });
      world.perform = () => assert.fail('nothing may be performed');
      await hint(eventOf(1));
      await hint(eventOf(2));
      assert.deepEqual([settles.length, ended], [0, [answer, answer]]);
    });
  }

  it('takes no more hints than it has slots for, and leaves the others to the poller', async () => {
    const { hint, world, claims, left } = setUp({ concurrency: 3 });
    const gate = door();
    world.perform = () => gate.passed;
    await hint(...Array.from({ length: 10 }, (_, nth) => eventOf(nth)));
    assert.deepEqual([claims.length, left.length], [3, 7]);
  });

  it('leaves a hint that cannot be claimed to the poller, and has its slot back', async () => {
    const { hint, world, claims } = setUp({ concurrency: 1 });
    world.claim = async () => {
      throw new Error('the database is away');
    };
    await hint(eventOf(1));
    await hint(eventOf(2));
    assert.equal(claims.length, 2);
  });

  it('claims as many due jobs as the poller may have slots, and has those back that found none', async () => {
    const { poll, world, sought, settles } = setUp({ concurrency: 8 });
    world.due = 4;
    assert.deepEqual(await poll(), { count: 4, nextDueInMs: null });
    await poll();
    assert.deepEqual(sought, [
      { sought: 'due', limit: 6 },
      { sought: 'due', limit: 6 },
    ]);
    assert.equal(settles.length, 8);
  });

  it('polls for nothing while no slot is free for the poller', async () => {
    const { consumer, world, sought, system } = setUp({ concurrency: 2 });
    const gate = door();
    world.due = 1;
    world.perform = () => gate.passed;
    const signal = new AbortController().signal;
    await consumer.claimDue('due', signal);
    const second = consumer.claimDue('due', signal);
    await system.calm();
    assert.equal(sought.length, 1);
    gate.open();
    await second;
    assert.equal(sought.length, 2);
  });

  it('gives every hint a token of its own', async () => {
    const { hint, claims } = setUp();
    await hint(eventOf(1), eventOf(1), eventOf(2));
    assert.equal(new Set(claims.map((claim) => claim.token)).size, 3);
  });

  it('reserves a slot for a job of its types while it has one, its dependencies are there and nobody holds it back', async () => {
    const { consumer, open } = setUp({ concurrency: 2, paused: [eventOf(2).subject] });
    assert.equal(consumer.reserve(eventOf(1, 'OtherV1')), null);
    assert.equal(consumer.reserve(eventOf(2)), null);
    const tokens = [consumer.reserve(eventOf(1)), consumer.reserve(eventOf(1))].map((one) => one?.token);
    assert.equal(new Set(tokens).size, 2);
    assert.ok(!tokens.includes(undefined));
    assert.equal(consumer.reserve(eventOf(1)), null);
    consumer.free();
    open('payments');
    assert.equal(consumer.reserve(eventOf(1)), null);
  });

  it('waits at its stop for what is reserved, and reserves no more', async () => {
    const { consumer, system } = setUp({ concurrency: 2 });
    assert.notEqual(consumer.reserve(eventOf(1)), null);
    let isStopped = false;
    const stopping = consumer.stop().then(() => {
      isStopped = true;
    });
    assert.equal(consumer.reserve(eventOf(1)), null);
    await system.calm();
    assert.equal(isStopped, false);
    consumer.free();
    await stopping;
  });

  it('begins work that was claimed with its event, and hears nothing new in the first hint of it', async () => {
    const { consumer, hint, claims, ended, system, workOf } = setUp({ concurrency: 2 });
    const claim = consumer.reserve(eventOf(1));
    assert.ok(claim);
    const { subject, version } = eventOf(1);
    consumer.begin(workOf({ ...claim, subject, version }));
    await hint(eventOf(1));
    await system.calm();
    assert.deepEqual([claims.length, ended], [0, ['run', 'done']]);
    await hint(eventOf(1));
    assert.equal(claims.length, 1);
  });

  it('asks by its token for a claim whose answer was lost, in the slot that was reserved', async () => {
    const { consumer, claims, settles, system } = setUp({ concurrency: 1 });
    const claim = consumer.reserve(eventOf(1));
    assert.ok(claim);
    consumer.claim('order 1', 1, claim.token);
    await system.calm();
    assert.deepEqual([claims[0]?.token, settles.length], [claim.token, 1]);
    assert.notEqual(consumer.reserve(eventOf(1)), null);
  });

  it('heeds hints of the versions that it knows alone', async () => {
    const { hint, claims } = setUp();
    await hint(eventOf(1, 'OtherV1'), eventOf(2, 'OrderCreatedV2'), eventOf(3, 'OrderCreatedV1'));
    assert.deepEqual(
      claims.map((claim) => claim.subject),
      [eventOf(3).subject],
    );
  });

  it('puts a failed attempt back, charged, and tells when it is due', async () => {
    const { hint, world, endingOf, dueIn, system } = setUp();
    world.attempt = 2;
    world.perform = async () => {
      throw new OutsideError(trouble());
    };
    await hint(eventOf(1));
    await system.calm();
    const change = 'charged provider-failed on the subject at the settle';
    assert.deepEqual(endingOf(), { state: 'waiting', charged: true, dueInMs: 1_000, change });
    assert.deepEqual(dueIn, [1_000]);
  });

  it('parks the last charged attempt and what must not be tried again', async () => {
    const { hint, world, settles, system } = setUp();
    world.attempt = 4;
    world.perform = async () => {
      throw new OutsideError(trouble());
    };
    await hint(eventOf(1));
    world.attempt = 1;
    world.perform = async () => {
      throw new OutsideError(trouble({ class: 'non-retryable' }));
    };
    await hint(eventOf(2));
    await system.calm();
    assert.deepEqual(
      settles.map(({ ending }) => ending.state),
      ['dead', 'dead'],
    );
  });

  it('treats an error that nobody classified as an unknown outcome, with bounded retries', async () => {
    const { hint, world, settles, system, stateOf } = setUp();
    world.perform = async () => {
      throw new TypeError('cannot read x of undefined');
    };
    for (let nth = 0; nth < 6; nth += 1) await hint(eventOf(nth));
    await system.calm();
    const [settle] = settles;
    assert.deepEqual(
      [settle?.ending.state, settle?.ending.trouble?.class, settle?.ending.trouble?.code],
      ['waiting', 'unknown', 'defect'],
    );
    assert.equal(stateOf('payments'), 'closed');
  });

  it('ends exhausted work without performing it', async () => {
    const { hint, world, endingOf, system } = setUp();
    world.exhausted = trouble({ class: 'non-retryable', code: 'worker-lost' });
    world.perform = () => assert.fail('nothing may be performed');
    await hint(eventOf(1));
    await system.calm();
    const change = 'parked worker-lost on the subject at the settle';
    assert.deepEqual(endingOf(), { state: 'dead', charged: true, dueInMs: 0, change });
  });

  it('gives interrupted work back at once and uncharged, with an unknown outcome', async () => {
    const { hint, leases, world, endingOf, system } = setUp();
    world.perform = (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new OutsideError(trouble()))));
    await hint(eventOf(1));
    leases.abortAll();
    await system.calm();
    const change = 'uncharged interrupted on the subject at the settle';
    assert.deepEqual(endingOf(), { state: 'waiting', charged: false, dueInMs: 0, change });
  });

  it('leaves work that cannot be settled to its lease, and gives its slot to the next', async () => {
    const { hint, leases, world, unsettled, settles, system } = setUp({ concurrency: 1 });
    world.settle = async () => {
      throw new Error('the database is away');
    };
    await hint(eventOf(1));
    await hint(eventOf(2));
    await system.calm();
    assert.equal(settles.length, 2);
    assert.equal(leases.held(), 0);
    assert.deepEqual(
      unsettled,
      Array.from({ length: 2 }, () => 'Error: the database is away'),
    );
  });

  it('ends work whose outcome the database refuses by its own name, and not by its lease', async () => {
    const { hint, world, settles, endingOf, ended, system } = setUp();
    world.settle = async ({ ending }) => {
      if (ending.state === 'dead') return 'settled';
      throw new RefusedError(new Error('invalid byte sequence'));
    };
    await hint(eventOf(1));
    await system.calm();
    assert.equal(settles.length, 2);
    const { state, change } = endingOf(1);
    assert.deepEqual([state, change], ['dead', 'parked settle-refused on the subject at the settle']);
    assert.deepEqual(ended, ['run', 'refused: invalid byte sequence', 'dead']);
  });

  it('stops taking, and is stopped when what runs has settled', async () => {
    const { consumer, hint, world, settles, claims, system } = setUp({ concurrency: 2 });
    const gate = door();
    world.perform = () => gate.passed;
    await hint(eventOf(1));
    const stopped = consumer.stop();
    await hint(eventOf(2));
    assert.equal(settles.length, 0);
    gate.open();
    await stopped;
    await system.calm();
    assert.deepEqual([claims.length, settles.length], [1, 1]);
  });
});

describe('a consumer and its breakers', { timeout: 20_000 }, () => {
  it('touches no job while a dependency is away, and lets one due job through per interval', async () => {
    const { consumer, hint, poll, world, claims, open, stateOf, system } = setUp();
    const gate = door();
    world.due = 3;
    world.perform = () => gate.passed;
    open('payments');
    assert.equal(consumer.mode(), 'none');
    await hint(eventOf(1), eventOf(2));
    await system.advance(probeIntervalMs);
    assert.equal(consumer.mode(), 'probe');
    await hint(eventOf(3));
    assert.equal(claims.length, 0, 'the job that has waited longest is the probe');
    await poll();
    assert.equal(claims.length, 1);
    assert.deepEqual([await poll(), consumer.mode()], [{ count: 0, nextDueInMs: undefined }, 'none']);
    assert.equal(stateOf('payments'), 'half-open');
    gate.open();
    await system.calm();
    assert.equal(stateOf('payments'), 'closed');
  });

  it('still claims what waited too long, and what nobody knows, while a dependency is away', async () => {
    const { poll, world, sought, open } = setUp();
    world.due = 1;
    open('payments');
    await poll('waited-too-long');
    await poll('unknown-version');
    assert.deepEqual(
      sought.map((one) => one.sought),
      ['waited-too-long', 'unknown-version'],
    );
  });

  it('opens after five calls that found nobody, and defers them uncharged from then on', async () => {
    const { consumer, hint, world, settles, stateOf, system } = setUp({ concurrency: 10 });
    world.perform = async () => {
      throw down('payments');
    };
    await hint(...Array.from({ length: 7 }, (_, nth) => eventOf(nth)));
    await system.calm();
    assert.equal(stateOf('payments'), 'open');
    assert.deepEqual(
      settles.map(({ ending }) => ending.charged),
      [true, true, true, true, false, false, false],
    );
    assert.equal(consumer.mode(), 'none');
  });

  it('never counts an order’s own failure against a dependency', async () => {
    const { hint, world, stateOf, system } = setUp({ concurrency: 20 });
    world.perform = async () => {
      throw new OutsideError(trouble());
    };
    await hint(...Array.from({ length: 20 }, (_, nth) => eventOf(nth)));
    await system.calm();
    assert.equal(stateOf('payments'), 'closed');
  });

  it('closes the breaker when the probe is answered, be it by a refusal', async () => {
    for (const failure of [null, new OutsideError(trouble({ class: 'non-retryable' }))]) {
      const { poll, world, open, stateOf, system } = setUp();
      world.perform = async () => {
        if (failure !== null) throw failure;
      };
      open('payments');
      await system.advance(probeIntervalMs);
      world.due = 1;
      await poll();
      await system.calm();
      assert.equal(stateOf('payments'), 'closed');
    }
  });

  it('gives a probe back whose claim found nothing to do, or could not be stored', async () => {
    const { consumer, poll, world, open, system } = setUp();
    open('payments');
    await system.advance(probeIntervalMs);
    await poll();
    assert.equal(consumer.mode(), 'probe');
    world.due = 1;
    world.claim = async () => ({ answer: 'busy' });
    await poll();
    assert.equal(consumer.mode(), 'probe');
    world.claim = async () => {
      throw new Error('the database is away');
    };
    await assert.rejects(poll(), /away/);
    assert.equal(consumer.mode(), 'probe');
  });

  it('gives a probe back whose work was interrupted, exhausted, or failed without reaching the dependency', async () => {
    for (const kind of ['interrupted', 'exhausted', 'defect'] as const) {
      const { consumer, poll, leases, world, open, system } = setUp();
      open('payments');
      await system.advance(probeIntervalMs);
      world.due = 1;
      if (kind === 'exhausted') world.exhausted = trouble();
      world.perform = (_, signal) =>
        new Promise((_resolve, reject) => {
          if (kind === 'defect') return reject(new TypeError('a defect'));
          signal.addEventListener('abort', () => reject(signal.reason));
        });
      await poll();
      leases.abortAll();
      await system.calm();
      assert.equal(consumer.mode(), 'probe', kind);
    }
  });

  it('tells a dependency that was not reached nothing, and gives its probe back', async () => {
    const { poll, world, open, stateOf, breakers, system } = setUp({
      dependencies: ['carrier', 'payments'],
    });
    open('carrier');
    open('payments');
    await system.advance(probeIntervalMs);
    world.due = 1;
    world.perform = async () => {
      throw down('payments');
    };
    await poll();
    await system.calm();
    assert.deepEqual([stateOf('carrier'), stateOf('payments')], ['half-open', 'open']);
    assert.equal(breakers.carrier?.peek(system.monotonicMs()), 'probe');
    world.perform = async () => {};
    await system.advance(probeIntervalMs);
    await poll();
    await system.calm();
    assert.deepEqual([stateOf('carrier'), stateOf('payments')], ['half-open', 'half-open']);
  });

  it('leaves the probe of one dependency to others while another one is away', async () => {
    const { poll, world, claims, open, breakers, system } = setUp({ dependencies: ['carrier', 'payments'] });
    world.due = 1;
    open('carrier');
    await system.advance(probeIntervalMs);
    open('payments');
    await poll();
    assert.equal(claims.length, 0);
    assert.equal(breakers.carrier?.ask(system.monotonicMs()), 'probe');
    await poll();
    assert.equal(breakers.carrier?.ask(system.monotonicMs()), 'no', 'the probe of somebody else is not given back');
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Breaker, createBreaker, probeIntervalMs } from '../../src/engine/breaker.ts';
import { createConsumer } from '../../src/engine/consumer.ts';
import { envelopeBytesMax, toMessage } from '../../src/engine/envelope.ts';
import { createLeases } from '../../src/engine/leases.ts';
import {
  type ClaimAnswer,
  type ClaimRequest,
  type Fact,
  OutsideError,
  RefusedError,
  type SettleAnswer,
  type SettleRequest,
  type Step,
  type Trouble,
  type Unread,
  type Work,
} from '../../src/engine/ports.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

type Subject = string;
type Change = string;
type Claim = ClaimRequest<Subject, Change>;
type Settle = SettleRequest<Subject, Change>;

function factOf(nth: number, type = 'OrderCreatedV1'): Fact {
  const id = `00000000-0000-7000-8000-${nth.toString(16).padStart(12, '0')}`;
  const time = new Date('2026-11-21T07:00:00.000Z');
  const none = { causationId: null, traceparent: null };
  return { id, type, subject: `order ${nth}`, version: 1, time, correlationId: 'c-1', data: {}, ...none };
}
const received = (...facts: Fact[]) => facts.map((fact) => ({ body: toMessage(fact, 'orders.events.v1').body }));

const trouble = (rest: Partial<Trouble> = {}): Trouble => ({
  class: 'retryable',
  code: 'provider-failed',
  message: 'it failed',
  dependencyDown: false,
  dependency: 'payments',
  ...rest,
});
const down = (dependency: string) => new OutsideError(trouble({ class: 'unknown', dependencyDown: true, dependency }));

// A consumer over an inbox that is a function: `world.claim` answers, everything asked and settled is kept.
function setUp(given: { concurrency?: number; dependencies?: readonly string[] } = {}) {
  const system = createVirtualSystem();
  const log = createMemoryLog();
  const dependencies = given.dependencies ?? ['payments'];
  const breakers: Record<string, Breaker> = Object.fromEntries(dependencies.map((name) => [name, createBreaker()]));
  const claims: Claim[] = [];
  const settles: Settle[] = [];
  const parked: Unread[] = [];
  const finished: string[] = [];
  const ended: string[] = [];
  const dueIn: number[] = [];
  const world = {
    attempt: 1,
    exhausted: null as Trouble | null,
    claim: async (request: Claim): Promise<ClaimAnswer<Subject>> => ({ answer: 'run', work: workOf(request) }),
    settle: async (_request: Settle): Promise<SettleAnswer> => 'settled',
    perform: async (_work: Work<Subject>, _signal: AbortSignal): Promise<unknown> => 'result',
  };
  const workOf = (request: Claim): Work<Subject> => ({
    consumer: 'payment',
    fact: { ...factOf(0), id: request.eventId },
    subject: 'the subject at the claim',
    token: request.token,
    epoch: 0,
    attempt: world.attempt,
    waitedMs: 0,
    exhausted: world.exhausted,
  });
  const step: Step<Subject, Change> = {
    consumer: 'payment',
    types: ['OrderCreatedV1'],
    dependencies,
    admits: () => true,
    claimed: () => null,
    perform: (work, signal) => world.perform(work, signal),
    decide: (subject, _work, result) => `decided ${result} on ${subject}`,
    retried: (subject, _work, { code }, charged) => `${charged ? 'charged' : 'uncharged'} ${code} on ${subject}`,
    parked: (subject, _work, { code }) => `parked ${code} on ${subject}`,
  };
  const grouped = <Entry, Answer>(run: (entry: Entry) => Promise<Answer>) => ({
    add: run,
    pending: () => 0,
    drained: async () => {},
  });
  const leases = createLeases({ inbox: { renew: async () => [] }, leaseMs: 30_000, system, log });
  const consumer = createConsumer<Subject, Change>({
    step,
    claims: grouped((request: Claim) => {
      claims.push(request);
      return world.claim(request);
    }),
    settles: grouped((request: Settle) => {
      settles.push(request);
      return world.settle(request);
    }),
    inbox: {
      park: async (_, unread) => void parked.push(unread),
      finishUnread: async (_, eventId) => void finished.push(eventId),
    },
    leases,
    breakers: dependencies.map((name) => breakers[name] as Breaker),
    policy: { maxRetries: 3, retryDelayMs: 1_000, retryDelayMsMax: 60_000, maxWaitMs: 86_400_000 },
    concurrency: given.concurrency ?? 4,
    system,
    log,
    events: { ended: (_, end) => ended.push(end), dueIn: (_, ms) => dueIn.push(ms) },
  });
  // What the first settle writes, as the store would see it.
  const endingOf = (index = 0) => {
    const settle = settles[index];
    assert.ok(settle, `${settles.length} settles`);
    const { state, charged, dueInMs, change } = settle.ending;
    return { state, charged, dueInMs, change: change('the subject at the settle', system.now()) };
  };
  const open = (name: string) => {
    for (let failures = 0; failures < 5; failures += 1) breakers[name]?.failed(system.monotonicMs());
  };
  const stateOf = (name: string) => breakers[name]?.state(system.monotonicMs());
  const lists = { claims, settles, parked, finished, ended, dueIn };
  return { system, log, consumer, leases, world, breakers, endingOf, open, stateOf, ...lists };
}

function door() {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open: () => open(), passed };
}

describe('a consumer', { timeout: 20_000 }, () => {
  it('acknowledges a message when its claim is answered, while the work still runs', async () => {
    const { consumer, world, settles, system } = setUp();
    const gate = door();
    world.perform = () => gate.passed;
    await consumer.receive(received(factOf(1)));
    assert.equal(settles.length, 0);
    gate.open();
    await system.calm();
    assert.equal(settles.length, 1);
  });

  it('does not acknowledge a message whose claim could not be stored', async () => {
    const { consumer, world } = setUp();
    world.claim = async () => {
      throw new Error('the database is away');
    };
    await assert.rejects(consumer.receive(received(factOf(1))), /away/);
    world.claim = async () => ({ answer: 'duplicate' });
    await consumer.receive(received(factOf(1)));
  });

  it('decides on the subject as it is at the settle, not as it was at the claim', async () => {
    const { consumer, endingOf, system } = setUp();
    await consumer.receive(received(factOf(1)));
    await system.calm();
    assert.deepEqual(endingOf(), {
      state: 'done',
      charged: true,
      dueInMs: 0,
      change: 'decided result on the subject at the settle',
    });
  });

  for (const answer of ['duplicate', 'busy', 'waiting', 'obsolete'] as const) {
    it(`performs nothing when the claim is answered ${answer}`, async () => {
      const { consumer, world, settles, parked, ended, system } = setUp();
      world.claim = async () => ({ answer });
      world.perform = () => assert.fail('nothing may be performed');
      await consumer.receive(received(factOf(1)));
      await system.calm();
      assert.deepEqual([settles.length, parked.length, ended], [0, 0, [answer]]);
    });
  }

  it('claims no more than it has slots for, and goes on as they come back', async () => {
    const { consumer, world, claims, settles, system } = setUp({ concurrency: 3 });
    const gates = Array.from({ length: 10 }, door);
    let performed = 0;
    world.perform = () => {
      performed += 1;
      return gates[performed - 1]?.passed ?? Promise.resolve();
    };
    const acknowledged = consumer.receive(received(...Array.from({ length: 10 }, (_, nth) => factOf(nth))));
    await system.calm();
    assert.deepEqual([claims.length, performed], [3, 3]);
    for (const [index, gate] of gates.entries()) {
      gate.open();
      await system.calm();
      assert.equal(claims.length, Math.min(10, 4 + index));
    }
    await acknowledged;
    assert.equal(settles.length, 10);
  });

  it('gives every claim a token of its own', async () => {
    const { consumer, claims } = setUp();
    await consumer.receive(received(factOf(1), factOf(1), factOf(2)));
    assert.equal(new Set(claims.map((claim) => claim.token)).size, 3);
  });

  it('skips what it does not subscribe to, and claims every version of what it does', async () => {
    const { consumer, claims } = setUp();
    await consumer.receive(received(factOf(1, 'OtherV1'), factOf(2, 'OrderCreatedV2'), factOf(3, 'OrderCreatedV1')));
    assert.deepEqual(
      claims.map((claim) => claim.eventId),
      [factOf(2).id, factOf(3).id],
    );
  });

  it('parks what it cannot read and what nobody knows, with the bytes', async () => {
    const { consumer, world, parked } = setUp();
    world.claim = async () => ({ answer: 'unknown-fact' });
    const garbage = Buffer.from('garbage');
    const huge = Buffer.alloc(envelopeBytesMax + 1, ' ');
    const [forged] = received(factOf(1));
    assert.ok(forged);
    await consumer.receive([{ body: garbage }, { body: huge }, forged]);
    // Compared by identity: the difference of two large buffers is nothing to print.
    assert.ok([garbage, huge, forged.body].every((body, index) => parked[index]?.body === body));
    assert.deepEqual(
      parked.map(({ code, eventId, eventType }) => ({ code, eventId, eventType })),
      [
        { code: 'unreadable', eventId: null, eventType: null },
        { code: 'oversized', eventId: null, eventType: null },
        { code: 'unknown-fact', eventId: factOf(1).id, eventType: 'OrderCreatedV1' },
      ],
    );
  });

  it('reads bytes that a person sent back anew before it finishes them', async () => {
    const { consumer, world, claims, finished } = setUp();
    const [message] = received(factOf(1));
    assert.ok(message);
    world.claim = async () => {
      assert.deepEqual(finished, []);
      return { answer: 'duplicate' };
    };
    await consumer.take({ eventId: 'id of the bytes', raw: message.body });
    assert.deepEqual([claims[0]?.eventId, finished], [factOf(1).id, ['id of the bytes']]);
  });

  it('puts a failed attempt back, charged, and tells when it is due', async () => {
    const { consumer, world, endingOf, dueIn, system } = setUp();
    world.attempt = 2;
    world.perform = async () => {
      throw new OutsideError(trouble());
    };
    await consumer.receive(received(factOf(1)));
    await system.calm();
    const change = 'charged provider-failed on the subject at the settle';
    assert.deepEqual(endingOf(), { state: 'waiting', charged: true, dueInMs: 1_000, change });
    assert.deepEqual(dueIn, [1_000]);
  });

  it('parks the last charged attempt and what must not be tried again', async () => {
    const { consumer, world, settles, system } = setUp();
    world.attempt = 4;
    world.perform = async () => {
      throw new OutsideError(trouble());
    };
    await consumer.receive(received(factOf(1)));
    world.attempt = 1;
    world.perform = async () => {
      throw new OutsideError(trouble({ class: 'non-retryable' }));
    };
    await consumer.receive(received(factOf(2)));
    await system.calm();
    assert.deepEqual(
      settles.map(({ ending }) => ending.state),
      ['dead', 'dead'],
    );
  });

  it('treats an error that nobody classified as an unknown outcome, with bounded retries', async () => {
    const { consumer, world, settles, system, stateOf } = setUp();
    world.perform = async () => {
      throw new TypeError('cannot read x of undefined');
    };
    for (let nth = 0; nth < 6; nth += 1) await consumer.receive(received(factOf(nth)));
    await system.calm();
    const [settle] = settles;
    assert.deepEqual(
      [settle?.ending.state, settle?.ending.trouble?.class, settle?.ending.trouble?.code],
      ['waiting', 'unknown', 'defect'],
    );
    assert.equal(stateOf('payments'), 'closed');
  });

  it('ends exhausted work without performing it', async () => {
    const { consumer, world, endingOf, system } = setUp();
    world.exhausted = trouble({ class: 'non-retryable', code: 'worker-lost' });
    world.perform = () => assert.fail('nothing may be performed');
    await consumer.receive(received(factOf(1)));
    await system.calm();
    const change = 'parked worker-lost on the subject at the settle';
    assert.deepEqual(endingOf(), { state: 'dead', charged: true, dueInMs: 0, change });
  });

  it('gives interrupted work back at once and uncharged, with an unknown outcome', async () => {
    const { consumer, leases, world, endingOf, system } = setUp();
    world.perform = (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new OutsideError(trouble()))));
    await consumer.receive(received(factOf(1)));
    leases.abortAll();
    await system.calm();
    const change = 'uncharged interrupted on the subject at the settle';
    assert.deepEqual(endingOf(), { state: 'waiting', charged: false, dueInMs: 0, change });
  });

  it('leaves work that cannot be settled to its lease, and gives its slot to the next', async () => {
    const { consumer, leases, world, log, settles, system } = setUp({ concurrency: 1 });
    world.settle = async () => {
      throw new Error('the database is away');
    };
    await consumer.receive(received(factOf(1)));
    await consumer.receive(received(factOf(2)));
    await system.calm();
    assert.equal(settles.length, 2);
    assert.equal(leases.held(), 0);
    assert.equal(log.lines.filter((line) => line.startsWith('error')).length, 2);
  });

  it('ends work whose outcome the database refuses by its own name, and not by its lease', async () => {
    const { consumer, world, settles, endingOf, ended, log, system } = setUp();
    world.settle = async ({ ending }) => {
      if (ending.state === 'dead') return 'settled';
      throw new RefusedError(new Error('invalid byte sequence'));
    };
    await consumer.receive(received(factOf(1)));
    await system.calm();
    assert.equal(settles.length, 2);
    const { state, change } = endingOf(1);
    assert.deepEqual([state, change], ['dead', 'parked settle-refused on the subject at the settle']);
    assert.deepEqual(ended, ['run', 'dead']);
    assert.deepEqual(log.lines, ['error: what came of an attempt cannot be stored']);
  });

  it('stops taking, and is stopped when what runs has settled', async () => {
    const { consumer, world, settles, claims, system } = setUp({ concurrency: 1 });
    const gate = door();
    world.perform = () => gate.passed;
    await consumer.receive(received(factOf(1)));
    const refused = assert.rejects(consumer.receive(received(factOf(2))), /stopping/);
    const stopped = consumer.stop();
    await refused;
    assert.equal(settles.length, 0);
    gate.open();
    await stopped;
    await system.calm();
    assert.deepEqual([claims.length, settles.length], [1, 1]);
  });
});

describe('a consumer and its breakers', { timeout: 20_000 }, () => {
  it('holds claims while a dependency is away, and lets one probe through per interval', async () => {
    const { consumer, world, claims, open, stateOf, system } = setUp();
    world.claim = async ({ hold }) => (hold ? { answer: 'waiting' } : { answer: 'duplicate' });
    open('payments');
    assert.equal(consumer.mode(), 'none');
    await consumer.receive(received(factOf(1), factOf(2)));
    await system.advance(probeIntervalMs);
    assert.equal(consumer.mode(), 'probe');
    world.claim = async (request) => {
      if (request.hold) return { answer: 'waiting' };
      await system.sleep(10);
      return { answer: 'duplicate' };
    };
    const both = consumer.receive(received(factOf(3), factOf(4)));
    await system.advance(10);
    await both;
    assert.deepEqual(
      claims.map(({ hold }) => hold),
      [true, true, false, true],
    );
    assert.equal(stateOf('payments'), 'half-open');
  });

  it('opens after five calls that found nobody, and defers them uncharged from then on', async () => {
    const { consumer, world, settles, stateOf, system } = setUp({ concurrency: 10 });
    world.perform = async () => {
      throw down('payments');
    };
    await consumer.receive(received(...Array.from({ length: 7 }, (_, nth) => factOf(nth))));
    await system.calm();
    assert.equal(stateOf('payments'), 'open');
    assert.deepEqual(
      settles.map(({ ending }) => ending.charged),
      [true, true, true, true, false, false, false],
    );
    assert.equal(consumer.mode(), 'none');
  });

  it('never counts an order’s own failure against a dependency', async () => {
    const { consumer, world, stateOf, system } = setUp({ concurrency: 20 });
    world.perform = async () => {
      throw new OutsideError(trouble());
    };
    await consumer.receive(received(...Array.from({ length: 20 }, (_, nth) => factOf(nth))));
    await system.calm();
    assert.equal(stateOf('payments'), 'closed');
  });

  it('closes the breaker when the probe is answered, be it by a refusal', async () => {
    for (const failure of [null, new OutsideError(trouble({ class: 'non-retryable' }))]) {
      const { consumer, world, open, stateOf, system } = setUp();
      world.perform = async () => {
        if (failure !== null) throw failure;
      };
      open('payments');
      await system.advance(probeIntervalMs);
      await consumer.receive(received(factOf(1)));
      await system.calm();
      assert.equal(stateOf('payments'), 'closed');
    }
  });

  it('gives a probe back whose claim found nothing to do, or could not be stored', async () => {
    const { consumer, world, open, system } = setUp();
    open('payments');
    await system.advance(probeIntervalMs);
    world.claim = async () => ({ answer: 'duplicate' });
    await consumer.receive(received(factOf(1)));
    assert.equal(consumer.mode(), 'probe');
    world.claim = async () => {
      throw new Error('the database is away');
    };
    await assert.rejects(consumer.receive(received(factOf(2))), /away/);
    assert.equal(consumer.mode(), 'probe');
  });

  it('gives a probe back whose work was interrupted, exhausted, or failed without reaching the dependency', async () => {
    for (const kind of ['interrupted', 'exhausted', 'defect'] as const) {
      const { consumer, leases, world, open, system } = setUp();
      open('payments');
      await system.advance(probeIntervalMs);
      if (kind === 'exhausted') world.exhausted = trouble();
      world.perform = (_, signal) =>
        new Promise((_resolve, reject) => {
          if (kind === 'defect') return reject(new TypeError('a defect'));
          signal.addEventListener('abort', () => reject(signal.reason));
        });
      await consumer.receive(received(factOf(1)));
      leases.abortAll();
      await system.calm();
      assert.equal(consumer.mode(), 'probe', kind);
    }
  });

  it('tells a dependency that was not reached nothing, and gives its probe back', async () => {
    const { consumer, world, open, stateOf, breakers, system } = setUp({ dependencies: ['carrier', 'payments'] });
    open('carrier');
    open('payments');
    await system.advance(probeIntervalMs);
    world.perform = async () => {
      throw down('payments');
    };
    await consumer.receive(received(factOf(1)));
    await system.calm();
    assert.deepEqual([stateOf('carrier'), stateOf('payments')], ['half-open', 'open']);
    assert.equal(breakers.carrier?.peek(system.monotonicMs()), 'probe');
    world.perform = async () => {};
    await system.advance(probeIntervalMs);
    await consumer.receive(received(factOf(2)));
    await system.calm();
    assert.deepEqual([stateOf('carrier'), stateOf('payments')], ['half-open', 'half-open']);
  });

  it('leaves the probe of one dependency to others while another one is away', async () => {
    const { consumer, world, claims, open, breakers, system } = setUp({ dependencies: ['carrier', 'payments'] });
    open('carrier');
    await system.advance(probeIntervalMs);
    open('payments');
    world.claim = async () => ({ answer: 'waiting' });
    await consumer.receive(received(factOf(1)));
    assert.equal(claims[0]?.hold, true);
    assert.equal(breakers.carrier?.ask(system.monotonicMs()), 'probe');
    await consumer.receive(received(factOf(2)));
    assert.equal(breakers.carrier?.ask(system.monotonicMs()), 'no', 'the probe of somebody else is not given back');
  });
});

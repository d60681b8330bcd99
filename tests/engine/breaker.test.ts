import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Breaker, createBreaker, probeIntervalMs } from '../../src/engine/breaker.ts';

// A breaker whose dependency has just answered, so that a last attempt is nothing special.
function setUp() {
  const changes: string[] = [];
  const breaker = createBreaker((state) => changes.push(state));
  breaker.succeeded(0);
  return { breaker, changes };
}
function open(breaker: Breaker, nowMs = 0): void {
  for (let failures = 0; failures < 5; failures += 1) breaker.failed(nowMs);
  assert.equal(breaker.state(nowMs), 'open');
}

describe('the breaker', () => {
  it('opens at the fifth failure in a row and says so once', () => {
    const { breaker, changes } = setUp();
    for (let failures = 1; failures <= 4; failures += 1) {
      breaker.failed(failures);
      assert.equal(breaker.ask(failures), 'run');
    }
    breaker.failed(5);
    assert.equal(breaker.state(5), 'open');
    assert.equal(breaker.ask(5), 'no');
    breaker.failed(6);
    assert.deepEqual(changes, ['open']);
  });

  it('forgets failures at a success in between', () => {
    const { breaker } = setUp();
    for (let round = 0; round < 10; round += 1) {
      for (let failures = 0; failures < 4; failures += 1) breaker.failed(round);
      breaker.succeeded(round);
    }
    assert.equal(breaker.state(10), 'closed');
  });

  it('lets nobody through until the interval is over, then one probe alone', () => {
    const { breaker } = setUp();
    open(breaker);
    assert.equal(breaker.ask(probeIntervalMs - 1), 'no');
    assert.equal(breaker.state(probeIntervalMs - 1), 'open');
    assert.equal(breaker.state(probeIntervalMs), 'half-open');
    assert.equal(breaker.ask(probeIntervalMs), 'probe');
    assert.equal(breaker.ask(probeIntervalMs), 'no');
    assert.equal(breaker.ask(10 * probeIntervalMs), 'no', 'a probe that hangs keeps the others back');
  });

  it('closes when the probe succeeds, and says so', () => {
    const { breaker, changes } = setUp();
    open(breaker);
    assert.equal(breaker.ask(probeIntervalMs), 'probe');
    breaker.succeeded(probeIntervalMs + 10);
    assert.equal(breaker.state(probeIntervalMs + 10), 'closed');
    assert.equal(breaker.ask(probeIntervalMs + 10), 'run');
    assert.equal(breaker.ask(probeIntervalMs + 10), 'run');
    assert.deepEqual(changes, ['open', 'closed']);
  });

  it('waits a whole interval again when the probe fails, from the failure on', () => {
    const { breaker, changes } = setUp();
    open(breaker);
    assert.equal(breaker.ask(probeIntervalMs), 'probe');
    breaker.failed(probeIntervalMs + 500, { isProbe: true });
    assert.equal(breaker.ask(2 * probeIntervalMs + 499), 'no');
    assert.equal(breaker.ask(2 * probeIntervalMs + 500), 'probe');
    assert.deepEqual(changes, ['open']);
  });

  it('gives the next one the probe when a probe is abandoned', () => {
    const { breaker } = setUp();
    open(breaker);
    assert.equal(breaker.ask(probeIntervalMs), 'probe');
    breaker.abandoned();
    assert.equal(breaker.state(probeIntervalMs), 'half-open');
    assert.equal(breaker.ask(probeIntervalMs), 'probe');
    assert.equal(breaker.ask(probeIntervalMs), 'no');
  });

  it('stays closed when a probe is abandoned after somebody else closed it', () => {
    const { breaker } = setUp();
    open(breaker);
    assert.equal(breaker.ask(probeIntervalMs), 'probe');
    breaker.succeeded(probeIntervalMs);
    breaker.abandoned();
    assert.equal(breaker.state(probeIntervalMs), 'closed');
  });

  it('is not kept open by late failures of calls from before', () => {
    const { breaker } = setUp();
    open(breaker);
    for (let nowMs = 0; nowMs < probeIntervalMs; nowMs += 100) breaker.failed(nowMs);
    assert.equal(breaker.ask(probeIntervalMs), 'probe');
  });

  it('leaves a probe under way to its own end when a call from before fails late', () => {
    const { breaker } = setUp();
    open(breaker);
    assert.equal(breaker.ask(probeIntervalMs), 'probe');
    breaker.failed(probeIntervalMs + 100);
    assert.equal(breaker.ask(2 * probeIntervalMs + 100), 'no', 'the probe is still out');
    breaker.failed(2 * probeIntervalMs + 200, { isProbe: true });
    assert.equal(breaker.ask(3 * probeIntervalMs + 200), 'probe');
  });

  it('opens at once when a failure would cost the last attempt of an order and nobody was answered lately', () => {
    const { breaker } = setUp();
    breaker.failed(10_001, { isLastAttempt: true });
    assert.equal(breaker.state(10_001), 'open');
    const never = createBreaker();
    never.failed(0, { isLastAttempt: true });
    assert.equal(never.state(0), 'open');
  });

  it('leaves a last attempt to its own bad luck while the dependency answers others', () => {
    const { breaker } = setUp();
    breaker.failed(10_000, { isLastAttempt: true });
    assert.equal(breaker.state(10_000), 'closed');
  });

  it('does not spend a last attempt on a dependency that turns everybody away, however lately it answered', () => {
    const { breaker } = setUp();
    breaker.failed(100, { isLastAttempt: true, isPlain: true });
    assert.equal(breaker.state(100), 'closed', 'one that is turned away is no outage');
    breaker.failed(200, { isPlain: true });
    breaker.failed(300, { isLastAttempt: true });
    assert.equal(breaker.state(300), 'closed', 'this one may have been the cause of its failure');
    breaker.failed(400, { isLastAttempt: true, isPlain: true });
    assert.equal(breaker.state(400), 'open');
  });

  it('shows what it would answer without handing out the probe', () => {
    const { breaker } = setUp();
    assert.equal(breaker.peek(0), 'run');
    open(breaker);
    assert.equal(breaker.peek(1), 'no');
    assert.equal(breaker.peek(probeIntervalMs), 'probe');
    assert.equal(breaker.peek(probeIntervalMs), 'probe');
    assert.equal(breaker.ask(probeIntervalMs), 'probe');
    assert.equal(breaker.peek(probeIntervalMs), 'no');
  });

  it('tells how long it is until the next probe', () => {
    const { breaker } = setUp();
    assert.equal(breaker.probeInMs(0), 0);
    open(breaker, 100);
    assert.equal(breaker.probeInMs(100), probeIntervalMs);
    assert.equal(breaker.probeInMs(600), probeIntervalMs - 500);
    assert.equal(breaker.probeInMs(100 + 2 * probeIntervalMs), 0);
  });

  // Whatever is reported in whatever order: a schedule of probes that end by failing.
  it('hands out at most one probe per interval while probes fail', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ waitMs: fc.nat(3_000), fails: fc.boolean() }), { maxLength: 60 }), (steps) => {
        const { breaker } = setUp();
        open(breaker);
        let nowMs = 0;
        let lastProbeMs = Number.NEGATIVE_INFINITY;
        for (const { waitMs, fails } of steps) {
          nowMs += waitMs;
          if (fails) breaker.failed(nowMs);
          const answer = breaker.ask(nowMs);
          assert.notEqual(answer, 'run');
          if (answer === 'no') continue;
          assert.ok(nowMs - lastProbeMs >= probeIntervalMs, `probes at ${lastProbeMs} and ${nowMs}`);
          lastProbeMs = nowMs;
          breaker.failed(nowMs, { isProbe: true });
        }
      }),
    );
  });
});

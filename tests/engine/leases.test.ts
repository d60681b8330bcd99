import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLeases, type Held } from '../../src/engine/leases.ts';
import { silentLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const leaseMs = 30_000;
const heldAs = (token: string): Held => ({ consumer: 'payment', subject: `order of ${token}`, version: 1, token });

// `answer` is what the database says to a renewal: the lost tokens, or an error.
function setUp(answer: (tokens: readonly string[]) => readonly string[] = () => []) {
  const system = createVirtualSystem();
  const renewals: { atMs: number; tokens: string[] }[] = [];
  const leases = createLeases({
    jobs: {
      renew: async (held) => {
        const tokens = held.map((one) => one.token);
        renewals.push({ atMs: system.monotonicMs(), tokens });
        return answer(tokens);
      },
    },
    leaseMs,
    system,
    log: silentLog,
  });
  return { system, renewals, leases };
}

describe('leases', { timeout: 20_000 }, () => {
  it('are renewed together, every third of the lease, until they are dropped', async () => {
    const { leases, renewals, system } = setUp();
    const stopping = new AbortController();
    const running = leases.run(stopping.signal);
    const [a] = [leases.hold(heldAs('a')), leases.hold(heldAs('b'))];
    await system.advance(20_000);
    a.drop();
    await system.advance(10_000);
    stopping.abort();
    await running;
    assert.deepEqual(renewals.slice(0, 3), [
      { atMs: 10_000, tokens: ['a', 'b'] },
      { atMs: 20_000, tokens: ['a', 'b'] },
      { atMs: 30_000, tokens: ['b'] },
    ]);
    assert.equal(leases.held(), 1);
  });

  it('of work that ends within a third of a lease are never renewed', async () => {
    const { leases, renewals, system } = setUp();
    const stopping = new AbortController();
    const running = leases.run(stopping.signal);
    await system.advance(5_000);
    const held = leases.hold(heldAs('a'));
    await system.advance(9_000);
    held.drop();
    await system.advance(20_000);
    stopping.abort();
    await running;
    assert.deepEqual(renewals, []);
  });

  it('that somebody else has taken over abort their work and no other', async () => {
    const { leases, system } = setUp(() => ['b', 'unknown']);
    const [a, b] = [leases.hold(heldAs('a')), leases.hold(heldAs('b'))];
    await system.advance(10_000);
    await leases.runOnce();
    assert.deepEqual([a.signal.aborted, b.signal.aborted], [false, true]);
    assert.match(String(b.signal.reason), /the lease is lost/);
  });

  it('survive renewals that fail for less than a lease', async () => {
    let isAway = true;
    const { leases, renewals, system } = setUp(() => {
      if (isAway) throw new Error('the database is away');
      return [];
    });
    const { signal } = leases.hold(heldAs('a'));
    for (let tries = 0; tries < 2; tries += 1) {
      await system.advance(10_000);
      await leases.runOnce();
    }
    isAway = false;
    await system.advance(9_000);
    await leases.runOnce();
    isAway = true;
    await system.advance(10_000);
    await leases.runOnce();
    assert.equal(signal.aborted, false);
    assert.equal(renewals.length, 4);
  });

  it('abort all their work when they could not be renewed for a whole lease', async () => {
    const { leases, system } = setUp(() => {
      throw new Error('the database is away');
    });
    const old = leases.hold(heldAs('old'));
    await system.advance(25_000);
    const young = leases.hold(heldAs('young'));
    await system.advance(5_000);
    await leases.runOnce();
    assert.deepEqual([old.signal.aborted, young.signal.aborted], [true, false]);
  });

  it('abort everything when the process stops, a claim that was on its way included', () => {
    const { leases } = setUp();
    const signals = [leases.hold(heldAs('a')).signal];
    leases.abortAll();
    signals.push(leases.hold(heldAs('b')).signal);
    assert.deepEqual(
      signals.map((signal) => signal.aborted),
      [true, true],
    );
  });
});

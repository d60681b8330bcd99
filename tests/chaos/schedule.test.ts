import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawFor, drawSchedule } from './schedule.ts';

const asked = { seed: 7, kills: 30, freezes: 8, crashes: 6 };
const seats = 3;
const leaseMs = 2_500;

describe('the schedule of faults', () => {
  it('is a function of the seed', () => {
    assert.deepEqual(drawSchedule(asked, seats, leaseMs), drawSchedule(asked, seats, leaseMs));
    assert.notDeepEqual(drawSchedule(asked, seats, leaseMs), drawSchedule({ ...asked, seed: 8 }, seats, leaseMs));
  });

  it('gives each customer another life than the same or the next one has with the next seed', () => {
    const firstOf = (seed: number, customer: number) => drawFor(seed, `customer ${customer}`).below(2 ** 32);
    const drawn = [1, 2, 3].flatMap((seed) => [1, 2, 3].map((customer) => firstOf(seed, customer)));
    assert.equal(new Set(drawn).size, drawn.length);
  });

  it('has as many faults as were asked for, some of them together, and meets every process', () => {
    const strikes = drawSchedule(asked, seats, leaseMs);
    const faults = strikes.flatMap((strike) => strike.faults);
    const count = (kind: string) => faults.filter((fault) => fault.kind === kind).length;
    assert.deepEqual(['kill', 'freeze', 'database', 'stop', 'sandbox'].map(count), [30, 8, 6, 3, 3]);
    assert.ok(strikes.some((strike) => strike.faults.length > 1));
    const met = new Set(faults.flatMap((fault) => (fault.kind === 'kill' ? [fault.seat] : [])));
    assert.equal(met.size, seats);
  });

  it('freezes for longer than a lease', () => {
    const frozen = drawSchedule(asked, seats, leaseMs).flatMap(({ faults }) =>
      faults.flatMap((fault) => (fault.kind === 'freeze' ? [fault.lastsMs] : [])),
    );
    assert.ok(frozen.every((lastsMs) => lastsMs > leaseMs));
  });
});

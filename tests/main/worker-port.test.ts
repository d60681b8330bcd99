import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { allConsumers } from '../../src/main/arguments.ts';
import { portOf, portsFor } from '../../src/main/worker-port.ts';

describe('the port of health and metrics', () => {
  it('is 3001 for the relay and one for each consumer, with room for more of each', () => {
    assert.equal(portOf('relay'), 3_001);
    assert.deepEqual(
      allConsumers.map((consumer) => portOf(consumer)),
      allConsumers.map((_, index) => 3_002 + index),
    );
    const ports = ['relay', ...allConsumers].flatMap((role) => [0, 1, 2].map((copy) => portOf(role, 4_000, copy)));
    assert.equal(new Set(ports).size, ports.length);
  });

  it('of a worker of several is that of its first, then the ones above, in the end any that is free', () => {
    const ports = portsFor({ relay: false, consumers: ['fulfillment', 'payment'] });
    assert.deepEqual(ports.slice(0, 3), [
      portOf('fulfillment'),
      portOf('fulfillment') + 10,
      portOf('fulfillment') + 20,
    ]);
    assert.equal(ports.at(-1), 0);
  });
});

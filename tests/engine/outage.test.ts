import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createOutage, reasonOf } from '../../src/engine/outage.ts';
import { createMemoryLog } from '../support/silent-log.ts';
import { createVirtualSystem } from '../support/virtual-system.ts';

const gone = new Error('connect ECONNREFUSED 127.0.0.1:9092');

function setUp(isTold?: (error: unknown) => boolean) {
  const system = createVirtualSystem();
  const log = createMemoryLog();
  const outage = createOutage({ what: 'Kafka at 127.0.0.1:9092', advice: 'events wait', isTold, log, system });
  return { system, log, outage };
}

describe('an outage', () => {
  it('is told once when it begins and once when it is over, however many meet it', async () => {
    const { outage, log, system } = setUp();
    for (let n = 0; n < 100; n += 1) outage.failed(n % 2 === 0 ? 'publishing' : 'reading', gone);
    await system.advance(7_000);
    outage.worked('publishing');
    assert.equal(log.lines.length, 1, 'one way is broken still');
    outage.worked('reading');
    outage.worked('reading');
    assert.deepEqual(log.lines, [
      'warn: Kafka at 127.0.0.1:9092 cannot be used: connect ECONNREFUSED 127.0.0.1:9092; events wait',
      'info: Kafka at 127.0.0.1:9092 is back after 7 s',
    ]);
  });

  it('is recalled each minute while it lasts, and not after it', async () => {
    const { outage, log, system } = setUp();
    outage.failed('publishing', gone);
    await system.advance(185_000);
    assert.equal(log.lines.filter((line) => line.includes(' still cannot be used: ')).length, 3);
    outage.worked('publishing');
    await system.advance(185_000);
    assert.equal(log.lines.length, 5);
  });

  it('is not told of where somebody else tells of it, nor when nobody asks any more', async () => {
    const { outage, log, system } = setUp((error) => error === gone);
    outage.failed('publishing', gone);
    assert.deepEqual(log.lines, []);
    outage.failed('publishing', new Error('something else'));
    assert.equal(outage.isOpen(), true);
    outage.left('publishing');
    await system.advance(185_000);
    assert.equal(log.lines.length, 1);
  });

  it('is told with the reason inside of what was thrown', () => {
    const many = new AggregateError([new Error('refused', { cause: new Error('ECONNREFUSED') }), new Error('silent')]);
    assert.equal(reasonOf(many), 'refused (ECONNREFUSED); silent');
    assert.equal(reasonOf('text'), 'text');
  });
});

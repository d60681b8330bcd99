import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toMessage } from '../../src/engine/envelope.ts';
import { createHintReader } from '../../src/engine/hints.ts';
import type { Event, Hint } from '../../src/engine/ports.ts';
import { createMemoryLog } from '../support/silent-log.ts';

const event: Event = {
  id: '01998000-0000-7000-8000-000000000001',
  type: 'OrderCreatedV1',
  subject: '01998000-0000-7000-8000-000000000002',
  version: 1,
  time: new Date('2026-11-21T07:00:00.000Z'),
  correlationId: 'c-1',
  causationId: null,
  traceparent: null,
  data: {},
};

function setUp() {
  const log = createMemoryLog();
  const heard: Hint[] = [];
  const unreadable: string[] = [];
  let nowMs = 0;
  const read = createHintReader({ log, onUnreadable: (group) => unreadable.push(group), nowMs: () => nowMs });
  const receive = read('orderly.payment', (hint) => heard.push(hint));
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { log, heard, unreadable, receive, pass };
}

describe('messages of a bus', () => {
  it('say which event was written, and no more', () => {
    const { receive, heard } = setUp();
    receive([{ body: toMessage(event, 'orders.events.v1').body, at: 'orders.events.v1/0@7' }]);
    assert.deepEqual(heard, [{ subject: event.subject, version: 1, type: 'OrderCreatedV1' }]);
  });

  it('that cannot be read are counted, logged with where they lie, and dropped', () => {
    const { receive, heard, unreadable, log } = setUp();
    const good = { body: toMessage(event, 'orders.events.v1').body, at: 'orders.events.v1/0@8' };
    receive([{ body: Buffer.from('junk'), at: 'orders.events.v1/0@7' }, good]);
    assert.deepEqual([heard.length, unreadable], [1, ['orderly.payment']]);
    assert.deepEqual(log.lines, ['warn: a message cannot be read and is dropped']);
  });

  it('that are junk in masses are all counted, and do not bury the log', () => {
    const { receive, unreadable, log, pass } = setUp();
    const junk = Array.from({ length: 1_000 }, (_, nth) => ({ body: Buffer.from('junk'), at: `t/0@${nth}` }));
    receive(junk);
    pass(1_000);
    receive(junk);
    assert.deepEqual([unreadable.length, log.lines.length], [2_000, 10]);
  });
});

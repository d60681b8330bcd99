import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createEarlyClaims, type EarlyClaimer } from '../../src/engine/early-claims.ts';
import type { ClaimEarly, Step, Work } from '../../src/engine/ports.ts';

const created = { subject: 'order 1', version: 1, type: 'OrderCreatedV1' };

// Consumers that reserve as long as they have slots, and keep what becomes of each.
function setUp(slots: Readonly<Record<string, number>> = { payment: 1 }) {
  const told: string[] = [];
  let tokens = 0;
  const consumers = Object.entries(slots).map(([name, count]) => {
    let free = count;
    const consumer: EarlyClaimer = {
      reserve: ({ type }) => {
        if (type !== created.type || free === 0) return null;
        free -= 1;
        tokens += 1;
        return { step: { consumer: name } as Step, token: `token ${tokens}` };
      },
      begin: ({ token }) => void told.push(`${name} begins ${token}`),
      claim: (subject, version, token) => void told.push(`${name} claims ${subject} ${version} under ${token}`),
      free: () => void told.push(`${name} frees a slot`),
    };
    return consumer;
  });
  return { early: createEarlyClaims(() => consumers), told };
}
const workOf = (claim: ClaimEarly) => claim(created).map(({ token }) => ({ token }) as Work);

describe('a claim that is made with its job', () => {
  it('is begun when it is committed, by each consumer with a free slot', async () => {
    const { early, told } = setUp({ payment: 1, search: 0, notification: 1 });
    await early.during(async (claim) => early.begin(workOf(claim)));
    assert.deepEqual(told, ['payment begins token 1', 'notification begins token 2']);
  });

  it('is the same one in every try of its write', async () => {
    const { early, told } = setUp({ payment: 2 });
    await early.during(async (claim) => {
      assert.equal(claim(created), claim(created));
      early.begin(workOf(claim));
    });
    assert.deepEqual(told, ['payment begins token 1']);
  });

  it('is asked for under its token where the write was answered and nothing is known of it', async () => {
    const { early, told } = setUp();
    assert.equal(await early.during(async (claim) => claim(created).length), 1);
    assert.deepEqual(told, ['payment claims order 1 1 under token 1']);
  });

  it('gives its slot back where the write failed', async () => {
    const { early, told } = setUp();
    const failing = early.during(async (claim) => {
      claim(created);
      throw new Error('the database does not answer');
    });
    await assert.rejects(failing, /does not answer/);
    assert.deepEqual(told, ['payment frees a slot']);
  });

  it('is another one for an event of another type, as a write that is decided again may have it', async () => {
    const { early, told } = setUp({ payment: 2 });
    await early.during(async (claim) => {
      claim(created);
      assert.deepEqual(claim({ ...created, type: 'OrderCanceledV1' }), []);
      early.begin(workOf(claim));
    });
    assert.deepEqual(told, ['payment begins token 1']);
  });

  it('is not begun twice, however often its commit is told', async () => {
    const { early, told } = setUp();
    await early.during(async (claim) => {
      early.begin(workOf(claim));
      early.begin(workOf(claim));
    });
    assert.deepEqual(told, ['payment begins token 1']);
  });
});

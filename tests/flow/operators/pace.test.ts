import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { intervalMs, nextMove, type Pace, rampPerSecond, rateOf, stageName } from '../../../src/flow/operators/pace.ts';

const start = new Date('2026-11-21T07:00:00.000Z');
const after = (ms: number) => new Date(start.getTime() + ms);
const pace = (given: Partial<Pace> = {}): Pace => ({
  ...{ rate: null, stopShare: 0.1, stage: 1, stageSince: start, nextAt: start },
  ...{ sent: 0, done: 0, failed: 0, judgedDone: 0, judgedFailed: 0, ...given },
});

// Plays a replay in a world where each work ends after `workMs`, and fails again where `fails` says so.
function play(given: Partial<Pace>, options: { letters: number; workMs: number; fails: (n: number) => boolean }) {
  let replay = pace(given);
  let nowMs = 0;
  const sent: { atMs: number; perSecond: number }[] = [];
  const ends: { atMs: number; failed: boolean }[] = [];
  let stopped: string | null = null;
  while (sent.length < options.letters && nowMs < 600_000 && stopped === null) {
    for (const end of ends.splice(0)) {
      if (end.atMs > nowMs) ends.push(end);
      else replay = end.failed ? { ...replay, failed: replay.failed + 1 } : { ...replay, done: replay.done + 1 };
    }
    const next = nextMove(replay, after(nowMs));
    if (next.move === 'stop') stopped = next.reason;
    if (next.move === 'wait') nowMs += Math.max(1, Math.ceil(next.ms));
    if (next.move === 'stage') replay = { ...replay, stage: next.stage, stageSince: after(nowMs) };
    if (next.move === 'send') {
      sent.push({ atMs: nowMs, perSecond: rateOf(replay) });
      ends.push({ atMs: nowMs + options.workMs, failed: options.fails(sent.length) });
      const nextMs = Math.max(nowMs, replay.nextAt.getTime() - start.getTime()) + intervalMs(replay);
      replay = { ...replay, sent: replay.sent + 1, nextAt: after(nextMs) };
    }
  }
  return { sent, stopped, replay };
}

describe('the pace of a replay', () => {
  it('is never above the rate of its stage, whatever the work takes', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constant(null), fc.double({ min: 0.1, max: 1_000, noNaN: true })),
        fc.integer({ min: 0, max: 20_000 }),
        fc.boolean(),
        (rate, workMs, canary) => {
          const { sent } = play({ rate, stage: canary ? 0 : 1 }, { letters: 200, workMs, fails: () => false });
          for (const [index, { atMs, perSecond }] of sent.entries()) {
            const within = sent.slice(0, index + 1).filter((one) => atMs - one.atMs < 1_000).length;
            assert.ok(within <= Math.max(1, perSecond), `${within} within a second at ${perSecond}/s`);
          }
        },
      ),
    );
  });

  it('climbs from the canary over every step of the ramp where all goes well', () => {
    const { sent, replay } = play({ stage: 0 }, { letters: 1_000, workMs: 50, fails: () => false });
    assert.equal(stageName(replay), '100/s');
    assert.deepEqual([...new Set(sent.map(({ perSecond }) => perSecond))], [...rampPerSecond]);
    // The canary alone, until its work was done.
    assert.ok((sent[1]?.atMs ?? 0) >= 50);
    // Ten seconds of each step: 1 + 10 + 50 + 200, and the rest at 100.
    const fast = sent.findIndex(({ perSecond }) => perSecond === 100);
    assert.ok(fast > 250 && fast < 275, String(fast));
  });

  it('waits for the canary, and stops with it', () => {
    const waiting = pace({ stage: 0, sent: 1 });
    assert.equal(nextMove(waiting, after(3_600_000)).move, 'wait');
    assert.deepEqual(nextMove({ ...waiting, failed: 1 }, start), { move: 'stop', reason: 'the canary failed again' });
    assert.deepEqual(nextMove({ ...waiting, failed: 1, stopShare: 1 }, start), { move: 'stage', stage: 1 });
    // After a resume it begins with a canary again, and what failed before is not held against it.
    assert.deepEqual(nextMove({ ...waiting, failed: 1, judgedFailed: 1 }, start), { move: 'send' });
  });

  it('stops on its share of failures, of ten outcomes or more', () => {
    const known = (done: number, failed: number) => nextMove(pace({ sent: done + failed, done, failed }), start);
    assert.equal(known(0, 9).move, 'send');
    assert.deepEqual(known(8, 2), { move: 'stop', reason: '2 of 10 failed again' });
    assert.equal(known(9, 1).move, 'send');
    assert.equal(nextMove(pace({ sent: 10, failed: 10, stopShare: 1 }), start).move, 'send');
  });

  it('holds back while as much is under way as ten seconds of the stage send', () => {
    assert.equal(nextMove(pace({ sent: 9 }), start).move, 'send');
    assert.equal(nextMove(pace({ sent: 10 }), start).move, 'wait');
    assert.equal(nextMove(pace({ rate: 50, sent: 499 }), start).move, 'send');
    assert.equal(nextMove(pace({ rate: 50, sent: 500 }), start).move, 'wait');
    const ill = play({ stage: 1 }, { letters: 1_000, workMs: 60_000, fails: () => true });
    assert.deepEqual([ill.stopped, ill.sent.length], ['10 of 10 failed again', 10]);
  });
});

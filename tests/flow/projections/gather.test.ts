// Gathering: many questions, few calls.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createGathering } from '../../../src/flow/projections/gather.ts';

const patient = new AbortController().signal;
const gathering = (rowsMax: number, callsMax: number) => {
  const calls: { asked: readonly number[]; answer: (fail?: Error) => void }[] = [];
  const ask = createGathering<number, string>({
    call: (asked) =>
      new Promise((resolve, reject) => {
        const answer = (fail?: Error) =>
          fail === undefined ? resolve(asked.map((n) => (n < 0 ? new Error(`no ${n}`) : `yes ${n}`))) : reject(fail);
        calls.push({ asked, answer });
      }),
    rowsMax,
    callsMax,
  });
  return { ask, calls };
};
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('gathering', () => {
  it('takes who asks in the same moment together, and who asks meanwhile into the next call', async () => {
    const { ask, calls } = gathering(3, 1);
    const first = [1, 2, -3, 4].map((n) => ask(n, patient).catch(String));
    await turn();
    assert.deepEqual(
      calls.map(({ asked }) => asked),
      [[1, 2, -3]],
    );
    const second = [5, 6].map((n) => ask(n, patient));
    await turn();
    assert.equal(calls.length, 1);
    calls[0]?.answer();
    await turn();
    assert.deepEqual(calls[1]?.asked, [4, 5, 6]);
    calls[1]?.answer();
    assert.deepEqual(await Promise.all([...first, ...second]), [
      'yes 1',
      'yes 2',
      'Error: no -3',
      'yes 4',
      'yes 5',
      'yes 6',
    ]);
  });

  it('tells everybody of a call that failed, and goes on with the next', async () => {
    const { ask, calls } = gathering(2, 1);
    const asked = [1, 2, 3].map((n) => ask(n, patient).catch(String));
    await turn();
    calls[0]?.answer(new Error('away'));
    await turn();
    calls[1]?.answer();
    assert.deepEqual(await Promise.all(asked), ['Error: away', 'Error: away', 'yes 3']);
  });

  it('lets go who stops waiting, before its call and in the middle of it', async () => {
    const { ask, calls } = gathering(1, 1);
    const [early, late] = [new AbortController(), new AbortController()];
    const one = ask(1, early.signal).catch(String);
    const two = ask(2, late.signal).catch(String);
    await turn();
    late.abort(new Error('stopped'));
    early.abort(new Error('stopped'));
    assert.deepEqual(await Promise.all([one, two]), ['Error: stopped', 'Error: stopped']);
    calls[0]?.answer();
    await turn();
    assert.deepEqual(
      calls.map(({ asked }) => asked),
      [[1]],
    );
    await assert.rejects(ask(3, late.signal), /stopped/);
  });
});

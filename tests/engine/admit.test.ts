import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Admission, admit, type Job, unknownVersionPatienceMs } from '../../src/engine/admit.ts';

const own = 'the token of this claim';
const maxWaitMs = 86_400_000;
const held: Job = {
  token: 'the token of another',
  isLeased: true,
  isDue: true,
  epoch: 7,
  attempt: 2,
  takeovers: 3,
  ageMs: 1_000,
  waitedMs: 0,
};
const waits: Job = { ...held, token: null, isLeased: false };

const jobs: Record<string, Job | null> = {
  'not there': null,
  'claimed, its lease holds': held,
  'claimed, its lease is over': { ...held, isLeased: false },
  'claimed, its lease is over for the eleventh time': { ...held, isLeased: false, takeovers: 10 },
  'claimed under the very token of this claim': { ...held, token: own },
  'claimed under the very token of this claim, whose lease is over': { ...held, token: own, isLeased: false },
  'waiting, not due yet': { ...waits, isDue: false },
  'waiting, due': waits,
  'waiting, due, deferred for longer than anything may': { ...waits, waitedMs: maxWaitMs + 1 },
};

const columns = {
  work: { knows: true, admits: true },
  obsolete: { knows: true, admits: false },
  'other version': { knows: false, admits: false },
} as const;
type Column = keyof typeof columns;

// One line per job, one cell per column: the answer, then what is written as attempt/takeovers (`-` = nothing),
// then why it must end.
const expected: Record<string, readonly string[]> = {
  'not there': ['gone', 'gone', 'gone'],
  'claimed, its lease holds': ['busy', 'busy', 'busy'],
  'claimed, its lease is over': ['run 2/4', 'obsolete', 'not-due'],
  'claimed, its lease is over for the eleventh time': ['run 2/11 worker-lost', 'run 2/11 worker-lost', 'not-due'],
  'claimed under the very token of this claim': ['run -', 'run -', 'run - unknown-version'],
  'claimed under the very token of this claim, whose lease is over': ['run -', 'run -', 'run - unknown-version'],
  'waiting, not due yet': ['not-due', 'not-due', 'not-due'],
  'waiting, due': ['run 3/3', 'obsolete', 'not-due'],
  'waiting, due, deferred for longer than anything may': [
    'run 3/3 waited-too-long',
    'run 3/3 waited-too-long',
    'not-due',
  ],
};

const ask = (job: Job | null, column: Column, mayRepeat = true): Admission =>
  admit({ job, token: own, maxWaitMs, mayRepeat, ...columns[column] });

function inWords(admission: Admission): string {
  if (admission.answer !== 'run') return admission.answer;
  const { row, exhausted } = admission;
  return ['run', row === null ? '-' : `${row.attempt}/${row.takeovers}`, exhausted?.code].filter(Boolean).join(' ');
}

describe('a claim', () => {
  for (const [name, job] of Object.entries(jobs)) {
    it(`of a job that is ${name} is answered as the table says`, () => {
      const cells = (Object.keys(columns) as Column[]).map((column) => inWords(ask(job, column)));
      assert.deepEqual(cells, expected[name]);
    });
  }

  it('says when it took the work over from a worker that died, and only then', () => {
    const takenOver = Object.entries(jobs).filter(([, job]) => {
      const admission = ask(job, 'work');
      return admission.answer === 'run' && admission.takenOver;
    });
    assert.deepEqual(
      takenOver.map(([name]) => name),
      ['claimed, its lease is over', 'claimed, its lease is over for the eleventh time'],
    );
  });

  it('counts an attempt for a job that waited, none for one that it takes over or has claimed before', () => {
    const attemptOf = (job: Job) => {
      const admission = ask(job, 'work');
      return admission.answer === 'run' && admission.attempt;
    };
    const own = { ...held, token: 'the token of this claim' };
    assert.deepEqual([waits, { ...held, isLeased: false }, own].map(attemptOf), [3, 2, 2]);
  });

  it('takes over ten times, and no more', () => {
    const codeAfter = (takeovers: number) => {
      const admission = ask({ ...held, isLeased: false, takeovers }, 'work');
      return admission.answer === 'run' ? (admission.exhausted?.code ?? null) : admission.answer;
    };
    assert.deepEqual([0, 4, 9, 10, 11].map(codeAfter), [null, null, null, 'worker-lost', 'worker-lost']);
  });

  it('leaves an event to a release that knows its version, for an hour', () => {
    const aged = (ageMs: number) => ({ ...waits, ageMs });
    assert.equal(inWords(ask(aged(unknownVersionPatienceMs), 'other version')), 'not-due');
    assert.equal(inWords(ask(aged(unknownVersionPatienceMs + 1), 'other version')), 'run 3/3 unknown-version');
    assert.equal(inWords(ask(aged(unknownVersionPatienceMs + 1), 'work')), 'run 3/3');
  });

  it('ends what was deferred for longer than allowed', () => {
    assert.equal(inWords(ask({ ...waits, waitedMs: maxWaitMs }, 'work')), 'run 3/3');
    assert.equal(inWords(ask({ ...waits, waitedMs: maxWaitMs + 1 }, 'work')), 'run 3/3 waited-too-long');
  });

  it('ends work that may not be repeated when a worker died with it, also where its own answer was lost', () => {
    const over = { ...held, isLeased: false, takeovers: 0 };
    assert.equal(inWords(ask(over, 'work', false)), 'run 2/1 outcome-unresolved');
    assert.equal(inWords(ask({ ...held, token: own, takeovers: 1 }, 'work', false)), 'run - outcome-unresolved');
    assert.equal(inWords(ask({ ...waits, takeovers: 0 }, 'work', false)), 'run 3/0');
  });
});

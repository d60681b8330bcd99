import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Admission,
  admit,
  type Delivery,
  holdMs,
  unknownVersionPatienceMs,
  unknownVersionPauseMs,
} from '../../src/engine/admit.ts';

const own = 'the token of this claim';
const maxWaitMs = 86_400_000;
const held: Delivery = {
  state: 'running',
  token: 'the token of another',
  epoch: 7,
  attempt: 2,
  takeovers: 3,
  isDue: false,
  waitedMs: 0,
};
const ended: Delivery = { ...held, isDue: false };

type Row = { readonly delivery: Delivery | null; readonly isBelowWatermark?: boolean };
const rows: Record<string, Row> = {
  'no row': { delivery: null },
  'no row, below the watermark': { delivery: null, isBelowWatermark: true },
  'running, its lease holds': { delivery: held },
  'running, its lease is over': { delivery: { ...held, isDue: true } },
  'running, its lease is over for the eleventh time': { delivery: { ...held, isDue: true, takeovers: 10 } },
  'running under the very token of this claim': { delivery: { ...held, token: own } },
  'waiting, not due yet': { delivery: { ...held, state: 'waiting' } },
  'waiting under the very token of this claim, due': {
    delivery: { ...held, state: 'waiting', token: own, isDue: true },
  },
  'waiting, due': { delivery: { ...held, state: 'waiting', isDue: true } },
  'waiting, due, for longer than anything may': {
    delivery: { ...held, state: 'waiting', isDue: true, waitedMs: maxWaitMs + 1 },
  },
  'done, with a row below the watermark too': { delivery: { ...ended, state: 'done' }, isBelowWatermark: true },
  done: { delivery: { ...ended, state: 'done' } },
  skipped: { delivery: { ...ended, state: 'skipped' } },
  dead: { delivery: { ...ended, state: 'dead' } },
};

const columns = {
  work: { knows: 'type', admits: true, hold: false },
  held: { knows: 'type', admits: true, hold: true },
  obsolete: { knows: 'type', admits: false, hold: false },
  'other version': { knows: 'name', admits: true, hold: false },
  foreign: { knows: 'nothing', admits: true, hold: false },
} as const;

// One line per row of the inbox, one cell per column: the answer, then what is written as attempt/takeovers
// (`-` = nothing), then why it must end.
const expected: Record<string, readonly string[]> = {
  'no row': ['run 1/0', 'waiting 0/0', 'obsolete 0/0', 'waiting 0/0', 'obsolete -'],
  'no row, below the watermark': ['duplicate -', 'duplicate -', 'duplicate -', 'duplicate -', 'obsolete -'],
  'running, its lease holds': ['busy -', 'busy -', 'busy -', 'busy -', 'busy -'],
  'running, its lease is over': ['run 2/4', 'waiting 1/4', 'obsolete 1/4', 'waiting 1/4', 'waiting 1/4'],
  'running, its lease is over for the eleventh time': [
    'run 2/11 worker-lost',
    'run 2/11 worker-lost',
    'run 2/11 worker-lost',
    'run 2/11 worker-lost',
    'run 2/11 worker-lost',
  ],
  'running under the very token of this claim': ['run -', 'run -', 'run -', 'run -', 'run -'],
  'waiting, not due yet': ['waiting -', 'waiting -', 'waiting -', 'waiting -', 'waiting -'],
  'waiting under the very token of this claim, due': ['waiting -', 'waiting -', 'waiting -', 'waiting -', 'waiting -'],
  'waiting, due': ['run 3/3', 'waiting 2/3', 'obsolete 2/3', 'waiting 2/3', 'waiting 2/3'],
  'waiting, due, for longer than anything may': [
    'run 3/3 waited-too-long',
    'run 3/3 waited-too-long',
    'run 3/3 waited-too-long',
    'run 3/3 unknown-version',
    'run 3/3 unknown-version',
  ],
  'done, with a row below the watermark too': [
    'duplicate -',
    'duplicate -',
    'duplicate -',
    'duplicate -',
    'duplicate -',
  ],
  done: ['duplicate -', 'duplicate -', 'duplicate -', 'duplicate -', 'duplicate -'],
  skipped: ['duplicate -', 'duplicate -', 'duplicate -', 'duplicate -', 'duplicate -'],
  dead: ['duplicate -', 'duplicate -', 'duplicate -', 'duplicate -', 'duplicate -'],
};

function ask({ delivery, isBelowWatermark = false }: Row, column: keyof typeof columns): Admission {
  return admit({ delivery, token: own, maxWaitMs, isBelowWatermark, ...columns[column] });
}

function inWords(admission: Admission): string {
  const { answer, row } = admission;
  const why = answer === 'run' ? admission.exhausted?.code : undefined;
  return [answer, row === null ? '-' : `${row.attempt}/${row.takeovers}`, why].filter(Boolean).join(' ');
}

describe('a claim', () => {
  for (const [name, row] of Object.entries(rows)) {
    it(`of a delivery that is ${name} is answered as the table says`, () => {
      const cells = (Object.keys(columns) as (keyof typeof columns)[]).map((column) => inWords(ask(row, column)));
      assert.deepEqual(cells, expected[name]);
    });
  }

  it('that is held is answered obsolete where nobody needs the work', () => {
    const claim = { delivery: null, token: own, maxWaitMs, isBelowWatermark: false, hold: true } as const;
    assert.equal(inWords(admit({ ...claim, knows: 'type', admits: false })), 'obsolete 0/0');
  });

  it('keeps the epoch of its delivery, and begins with the first', () => {
    for (const row of Object.values(rows)) {
      for (const column of Object.keys(columns) as (keyof typeof columns)[]) {
        const written = ask(row, column).row;
        if (written !== null) assert.equal(written.epoch, row.delivery === null ? 0 : 7);
      }
    }
  });

  it('says when it took the work over from a worker that died, and only then', () => {
    const takenOver = Object.entries(rows).filter(([, row]) => {
      const admission = ask(row, 'work');
      return admission.answer === 'run' && admission.takenOver;
    });
    assert.deepEqual(
      takenOver.map(([name]) => name),
      ['running, its lease is over', 'running, its lease is over for the eleventh time'],
    );
  });

  it('takes over ten times, and no more', () => {
    const codeAfter = (takeovers: number) => {
      const admission = ask({ delivery: { ...held, isDue: true, takeovers } }, 'work');
      return admission.answer === 'run' ? (admission.exhausted?.code ?? null) : admission.answer;
    };
    assert.deepEqual([0, 4, 9, 10, 11].map(codeAfter), [null, null, null, 'worker-lost', 'worker-lost']);
  });

  it('waits for a release that understands the version, for an hour', () => {
    const due = (waitedMs: number): Row => ({ delivery: { ...held, state: 'waiting', isDue: true, waitedMs } });
    const early = ask(due(unknownVersionPatienceMs), 'other version');
    assert.deepEqual(early.answer === 'waiting' && early.row && early.dueInMs, unknownVersionPauseMs);
    assert.equal(inWords(ask(due(unknownVersionPatienceMs + 1), 'other version')), 'run 3/3 unknown-version');
    assert.equal(inWords(ask(due(unknownVersionPatienceMs + 1), 'work')), 'run 3/3');
  });

  it('parks what waited longer than allowed, also while it is held', () => {
    const due = (waitedMs: number): Row => ({ delivery: { ...held, state: 'waiting', isDue: true, waitedMs } });
    assert.equal(inWords(ask(due(maxWaitMs), 'held')), 'waiting 2/3');
    assert.equal(inWords(ask(due(maxWaitMs + 1), 'held')), 'run 3/3 waited-too-long');
  });

  it('that is held is due again about when the next probe is', () => {
    const admission = ask({ delivery: null }, 'held');
    assert.deepEqual(admission.answer === 'waiting' && admission.row && admission.dueInMs, holdMs);
  });
});

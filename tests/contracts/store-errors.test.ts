import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FlushFailure } from '../../src/engine/group-commit.ts';
import { failureOf, GuardMissedError, isAway, NotConnectedError } from '../../src/io/postgres/errors.ts';

// SQLSTATEs from appendix A of PostgreSQL's documentation, and the codes and words of sockets and pg.
const failures: Record<FlushFailure, readonly string[]> = {
  again: ['40001', '40P01', '55P03', '57014'],
  absent: ['57P03', '53300', '53100', '53200', '25006', '42501'],
  data: ['22001', '22021', '22P02', '23502', '23505', '23514'],
  lost: ['08000', '08003', '08006', '57P01', '57P02', '25P03', '25P04', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'],
  bug: ['42601', '42P01', '25P02', 'XX000'],
};

describe('an error of the database', () => {
  for (const [failure, codes] of Object.entries(failures)) {
    it(`means ${failure} by its code: ${codes.join(', ')}`, () => {
      for (const code of codes) assert.equal(failureOf(Object.assign(new Error('x'), { code })), failure, code);
    });
  }

  it('without a code is a lost connection where pg says so, and else a defect', () => {
    for (const text of [
      'Connection terminated unexpectedly',
      'Connection terminated due to connection timeout',
      'Query read timeout',
      'Client was closed and is not queryable',
      'Client has encountered a connection error and is not queryable',
    ]) {
      assert.equal(failureOf(new Error(text)), 'lost', text);
    }
    assert.equal(failureOf(new TypeError('cannot read x of undefined')), 'bug');
    assert.equal(failureOf(null), 'bug');
    assert.equal(failureOf('a string'), 'bug');
  });

  it('of our own says what it says, whatever caused it', () => {
    assert.equal(failureOf(new GuardMissedError('a guard')), 'again');
    assert.equal(failureOf(new NotConnectedError(Object.assign(new Error('x'), { code: '57P01' }))), 'absent');
  });

  it('means that the database is away when nothing was sent, or nothing came back', () => {
    const away = Object.entries(failures).map(([failure, [code]]) => [
      failure,
      isAway(Object.assign(new Error('x'), { code })),
    ]);
    assert.deepEqual(Object.fromEntries(away), { again: false, absent: true, data: false, lost: true, bug: false });
  });
});

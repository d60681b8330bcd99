import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { FailureClass, Trouble } from '../../src/engine/ports.ts';
import { backoffMs, type RetryPolicy, type Verdict, verdictOn } from '../../src/engine/retry-policy.ts';

const policy: RetryPolicy = { maxRetries: 3, retryDelayMs: 1_000, retryDelayMsMax: 60_000, maxWaitMs: 86_400_000 };
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

function troubleOf(failureClass: FailureClass, rest: Partial<Trouble> = {}): Trouble {
  return { class: failureClass, code: 'its-own-code', message: 'its own message', dependencyDown: false, ...rest };
}

function verdict(
  trouble: Trouble,
  given: { attempt?: number; waitedMs?: number; isOut?: boolean; probeInMs?: number; random?: number } = {},
): Verdict {
  const { attempt = 1, waitedMs = 0, isOut = false, probeInMs = 2_000, random = 0.5 } = given;
  return verdictOn(trouble, { attempt, waitedMs }, { policy, dependencyIsOut: isOut, probeInMs, random });
}

describe('the backoff', () => {
  it('lies anywhere between nothing and the doubled delay, up to the cap', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), chance, (attempt, random) => {
        const ceiling = Math.min(60_000, 1_000 * 2 ** (attempt - 1));
        const delay = backoffMs(attempt, policy, random);
        assert.ok(Number.isSafeInteger(delay) && delay >= 0 && delay <= ceiling, `${delay} of ${ceiling}`);
      }),
    );
  });

  it('uses the whole range: full jitter', () => {
    assert.deepEqual(
      [1, 2, 3, 6, 7, 1_000].map((attempt) => backoffMs(attempt, policy, 0)),
      [0, 0, 0, 0, 0, 0],
    );
    assert.deepEqual(
      [1, 2, 3, 6, 7, 1_000].map((attempt) => backoffMs(attempt, policy, 0.999_999)),
      [1_000, 2_000, 4_000, 32_000, 60_000, 60_000],
    );
    assert.deepEqual(
      [0.25, 0.5, 0.75].map((random) => backoffMs(3, policy, random)),
      [1_000, 2_000, 3_000],
    );
  });
});

// Columns: an attempt with retries left · the last one · the first after waiting too long · the last after
// waiting too long. `*` = parked as waited-too-long instead of with its own code.
const verdicts: Record<FailureClass, Record<string, string>> = {
  retryable: {
    'up, breaker closed': 'retry park retry park',
    'up, breaker open': 'retry park retry park',
    'down, breaker closed': 'retry park retry park',
    'down, breaker open': 'defer defer park* park*',
  },
  unknown: {
    'up, breaker closed': 'retry park retry park',
    'up, breaker open': 'retry park retry park',
    'down, breaker closed': 'retry park retry park',
    'down, breaker open': 'defer defer park* park*',
  },
  throttled: {
    'up, breaker closed': 'defer defer park* park*',
    'up, breaker open': 'defer defer park* park*',
    'down, breaker closed': 'defer defer park* park*',
    'down, breaker open': 'defer defer park* park*',
  },
  'non-retryable': {
    'up, breaker closed': 'park park park park',
    'up, breaker open': 'park park park park',
    'down, breaker closed': 'park park park park',
    'down, breaker open': 'park park park park',
  },
};

describe('the verdict on a failed attempt', () => {
  for (const [failureClass, rows] of Object.entries(verdicts) as [FailureClass, Record<string, string>][]) {
    for (const [circumstances, expected] of Object.entries(rows)) {
      it(`on ${failureClass}, the dependency ${circumstances}, follows the table`, () => {
        const trouble = troubleOf(failureClass, { dependencyDown: circumstances.startsWith('down') });
        const isOut = circumstances.endsWith('open');
        const cells = [
          { attempt: 3 },
          { attempt: 4 },
          { attempt: 1, waitedMs: 86_400_001 },
          { attempt: 4, waitedMs: 86_400_001 },
        ].map((work) => {
          const { end, trouble: why } = verdict(trouble, { ...work, isOut });
          const isWaiting = why.code === 'waited-too-long';
          if (!isWaiting) assert.deepEqual(why, trouble);
          return `${end}${isWaiting ? '*' : ''}`;
        });
        assert.equal(cells.join(' '), expected);
      });
    }
  }

  it('does not forget, where it has waited for too long, whose last answer it was and that it may have been done', () => {
    const waited = (failureClass: FailureClass) => {
      const trouble = { ...troubleOf(failureClass), dependencyDown: true, dependency: 'payments' };
      return verdict(trouble, { waitedMs: 86_400_001, isOut: true }).trouble;
    };
    for (const [failureClass, becomes] of [
      ['unknown', 'unknown'],
      ['retryable', 'retryable'],
      ['throttled', 'retryable'],
    ] as const) {
      const { class: told, code, dependency } = waited(failureClass);
      assert.deepEqual([told, code, dependency], [becomes, 'waited-too-long', 'payments']);
    }
  });

  it('charges exactly maxRetries retries before it gives up', () => {
    const ends = [1, 2, 3, 4].map((attempt) => verdict(troubleOf('retryable'), { attempt }).end);
    assert.deepEqual(ends, ['retry', 'retry', 'retry', 'park']);
  });

  it('waits for a throttling provider as long as it asks, at least one delay, at most an hour', () => {
    fc.assert(
      fc.property(fc.option(fc.integer({ min: 0, max: 10_000_000 }), { nil: undefined }), chance, (asked, random) => {
        const trouble = troubleOf('throttled', asked === undefined ? {} : { retryAfterMs: asked });
        const answer = verdict(trouble, { random });
        assert.ok(answer.end === 'defer');
        const least = Math.max(1_000, Math.min(asked ?? 0, 3_600_000));
        assert.ok(answer.dueInMs >= least && answer.dueInMs <= 2 * least, `${answer.dueInMs} for ${asked}`);
      }),
    );
  });

  it('asks a provider that throttles without saying for how long ever less often, at least once in two minutes', () => {
    const pauseAfter = (waitedMs: number) => {
      const answer = verdict(troubleOf('throttled'), { waitedMs, random: 0 });
      return answer.end === 'defer' ? answer.dueInMs : null;
    };
    assert.deepEqual([0, 3_000, 30_000, 3_600_000].map(pauseAfter), [1_000, 1_500, 15_000, 60_000]);
  });

  it('waits for a dependency that is away until after its next probe, spread over as long again', () => {
    const trouble = troubleOf('unknown', { dependencyDown: true });
    const dueAt = (random: number) => {
      const answer = verdict(trouble, { isOut: true, probeInMs: 1_500, random });
      return answer.end === 'defer' ? answer.dueInMs : null;
    };
    assert.deepEqual([dueAt(0), dueAt(0.5), dueAt(0.999_999)], [1_500, 2_250, 3_000]);
  });

  it('says how long the work waited, and what the last answer was', () => {
    const answer = verdict(troubleOf('throttled'), { waitedMs: 90_000_000 });
    assert.equal(answer.end, 'park');
    assert.match(answer.trouble.message, /90000 s.*its-own-code: its own message/);
  });
});

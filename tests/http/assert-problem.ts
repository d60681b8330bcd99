// What every error answer has to be, checked in one place: a problem document of the right code, status
// and media type, complete, with the correlation id of its header, and nothing that must not leave.

import assert from 'node:assert/strict';

export type Answer = {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
};
export type ProblemBody = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly correlationId: string;
  readonly traceId?: string;
  readonly errors?: readonly { pointer?: string; in?: string; name?: string; detail: string }[];
};

const known = ['type', 'title', 'status', 'detail', 'code', 'correlationId', 'traceId', 'errors'];

export function assertProblem(answer: Answer, status: number, code: string): ProblemBody {
  assert.equal(answer.statusCode, status, answer.body);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  const problem = JSON.parse(answer.body) as ProblemBody;
  assert.equal(problem.code, code);
  assert.equal(problem.status, status);
  assert.equal(problem.type, `urn:orderly:problem:${code}`);
  assert.ok(problem.title.length > 0 && problem.detail.length > 0);
  assert.equal(problem.correlationId, answer.headers['x-correlation-id']);
  assert.deepEqual(
    Object.keys(problem).filter((name) => !known.includes(name)),
    [],
  );
  assert.doesNotMatch(answer.body, /node_modules|\.ts\b|\bat \w+ \(|SELECT|INSERT/);
  return problem;
}

// The places of the mistakes, as one sortable list: pointers, or `in name`.
export function placesOf(problem: ProblemBody): string[] {
  return (problem.errors ?? []).map(({ pointer, in: part, name }) => pointer ?? `${part} ${name}`).sort();
}

// What Elasticsearch answers, as far as it is read: a schema per answer, and the check that stands before its use.
//
// Promises: what is of another shape (a proxy's page, another product, half an answer) is trouble of the search and
// of no document; nothing of it reaches the database or a client.

import { type Static, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { OutsideError } from '../../engine/ports.ts';

const uuid = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';
// Milliseconds since 1970, as `epoch_millis` has them: up to the year 5138.
const epochMillis = Type.Union([
  Type.Integer({ minimum: 0, maximum: 99_999_999_999_999 }),
  Type.String({ pattern: '^[0-9]{1,14}$' }),
]);
const hit = Type.Object({
  _id: Type.String({ pattern: uuid }),
  sort: Type.Tuple([epochMillis, Type.String({ pattern: uuid })]),
});
const bucket = Type.Object({ key: Type.String(), doc_count: Type.Integer({ minimum: 0 }) });
const cause = Type.Object({ type: Type.Optional(Type.String()), reason: Type.Optional(Type.String()) });

export const readPage = reading(Type.Object({ hits: Type.Object({ hits: Type.Array(hit) }) }));
export const readStates = reading(
  Type.Object({ aggregations: Type.Object({ states: Type.Object({ buckets: Type.Array(bucket) }) }) }),
);
export const readItems = reading(
  Type.Object({
    items: Type.Array(
      Type.Object({ index: Type.Object({ _id: Type.String(), status: Type.Integer(), error: Type.Optional(cause) }) }),
    ),
  }),
);
// By index, what its mapping says of itself.
export const readShapes = reading(
  Type.Record(
    Type.String(),
    Type.Object({
      mappings: Type.Object({ _meta: Type.Optional(Type.Object({ shape: Type.Optional(Type.Unknown()) })) }),
    }),
  ),
);
export const readVersion = reading(Type.Object({ version: Type.Object({ number: Type.String() }) }));

function reading<S extends TSchema>(schema: S): (answer: unknown) => Static<S> {
  const expected = Compile(schema);
  return (answer) => {
    if (expected.Check(answer)) return answer as Static<S>;
    throw oddAnswer();
  };
}

export function oddAnswer(): OutsideError {
  const message = 'Elasticsearch, or what stands before it, answered something else than was asked';
  return new OutsideError({ class: 'throttled', code: 'search-unavailable', message, dependencyDown: true });
}

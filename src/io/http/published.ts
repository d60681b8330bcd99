// What the published document says beyond the schemas that check and serialize: rules of an order that are checked
// behind its schema, what every route may answer, examples of it, and forms that the generators of clients understand.
//
// Promises: nothing is refused of which the document does not speak; what it leaves out (an alias, a time where a
// day is asked for) is taken, and told in words. Relies on the document that @fastify/swagger has made.

import { answerExamples } from './answer-examples.ts';
import { isPublic } from './guard.ts';
import { type ProblemCode, problemMediaType, titleOf } from './problems.ts';
import { orderExamples } from './requests.ts';

type Schema = { [keyword: string]: unknown; properties?: Record<string, Schema> };
type Media = { schema: Schema; examples?: Record<string, unknown>; example?: unknown };
type Operation = {
  operationId: string;
  requestBody?: { required: boolean; content: { 'application/json': Media } };
  responses: Record<string, { description: string; content?: Record<string, Media> }>;
  security?: object[];
};
type Document = { paths: Record<string, Record<string, Operation>>; components: { schemas: Record<string, Schema> } };

// Of whatever is asked, wherever: the connection, the headers, the state of the process.
const everywhere: readonly ProblemCode[] = [
  'bad-request',
  'cross-site',
  'request-timeout',
  'expectation-failed',
  'misdirected',
  'headers-too-large',
  'internal-error',
  'not-implemented',
  'unavailable',
];
// Of operators' routes, where they have to show a token.
const whereAsked: readonly ProblemCode[] = ['unauthorized', 'too-many-attempts'];

export function published(made: object, asks: boolean): object {
  const { openapiObject } = made as { openapiObject: Document };
  for (const [path, methods] of Object.entries(openapiObject.paths)) {
    const isForOperators = !isPublic(path);
    for (const operation of Object.values(methods)) {
      describe(operation, isForOperators);
      if (asks && isForOperators) operation.security = [{ operator: [] }];
    }
  }
  splitNull(openapiObject);
  return openapiObject;
}

function describe(operation: Operation, isForOperators: boolean): void {
  const { operationId, requestBody, responses } = operation;
  const codes = isForOperators ? [...everywhere, ...whereAsked] : everywhere;
  responses.default = {
    description: `Any other refusal: ${codes.map((code) => `\`${code}\` (${titleOf(code)})`).join(', ')}`,
    content: { [problemMediaType]: { schema: { $ref: '#/components/schemas/Problem' } } },
  };
  for (const [status, example] of Object.entries(answerExamples[operationId] ?? {})) {
    const answer = responses[status]?.content?.['application/json'];
    if (answer !== undefined) answer.example = example;
  }
  const media = requestBody?.content['application/json'];
  if (requestBody === undefined || media === undefined) return;
  // The plugin calls every body required; one whose schema admits null may be left out.
  requestBody.required = !Array.isArray(media.schema.type);
  if (operationId === 'placeOrder') describeOrder(media);
}

// Generators name a member in their own language's style: with the alias beside it there would be two of one name.
function describeOrder(media: Media): void {
  const { user_id: _alias, ...properties } = media.schema.properties ?? {};
  const { items } = properties;
  media.schema.properties = {
    ...properties,
    ...(items === undefined ? {} : { items: { ...items, ...worthSomething } }),
  };
  Object.assign(media.schema, orderRules);
  // With real partners there is one example, which needs no name.
  if (media.examples !== undefined) media.examples = orderExamples;
}

const has = (...required: string[]) => ({
  required,
  properties: Object.fromEntries(required.map((name) => [name, {}])),
});
const worthSomething = {
  contains: { type: 'object', required: ['unitPrice'], properties: { unitPrice: { minimum: 1 } } },
};
// Said by what may not be, because generators make of `oneOf` or `anyOf` an order without members.
const orderRules = {
  description:
    'Exactly one of items, productType and amount; customerEmail or userId or both; productType is priced in USD. The ' +
    'total is at most 9007199254740991 minor units. `user_id` is taken for userId. No member may stand twice ' +
    '(RFC 7493).',
  not: {
    anyOf: [
      { not: { anyOf: [has('customerEmail'), has('userId')] } },
      { not: { anyOf: [has('items'), has('productType'), has('amount')] } },
      has('items', 'productType'),
      has('items', 'amount'),
      has('productType', 'amount'),
      { required: ['productType', 'currency'], properties: { productType: {}, currency: { not: { const: 'USD' } } } },
    ],
  },
};

// An object or null as a union: to generators a type of two names is one that is never null.
function splitNull(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  const schema = node as Schema;
  if (Array.isArray(schema.type) && schema.type.includes('object')) {
    const { type: _both, description, ...object } = schema;
    for (const keyword of Object.keys(object)) delete schema[keyword];
    delete schema.type;
    schema.anyOf = [{ type: 'object', ...object }, { type: 'null' }];
  }
  for (const child of Object.values(schema)) splitNull(child);
}

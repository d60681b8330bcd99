import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Ajv2020 as Ajv } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { problemCodes } from '../../src/io/http/problems.ts';
import { assertProblem } from './assert-problem.ts';
import { createTestServer } from './stub-desk.ts';

const { app } = createTestServer();
after(() => app.close());

describe('the probes', () => {
  it('say that the process lives without asking anybody', async () => {
    const dead = async () => Promise.reject(new Error('nobody is there'));
    const alone = createTestServer({}, { readiness: dead, metrics: dead });
    const answer = await alone.app.inject('/healthz?from=probe');
    assert.deepEqual([answer.statusCode, answer.json()], [200, { status: 'ok' }]);
    assertProblem(await alone.app.inject('/readyz'), 500, 'internal-error');
    assertProblem(await alone.app.inject('/metrics'), 500, 'internal-error');
    await alone.app.close();
  });

  it('say that it is ready, check by check', async () => {
    const answer = await app.inject('/readyz');
    const checks = [{ name: 'database', status: 'ok', detail: null }];
    assert.deepEqual([answer.statusCode, answer.json()], [200, { status: 'ok', checks }]);
  });

  it('answer 503 and why when it is not', async () => {
    const readiness = async () => ({
      status: 'failed' as const,
      checks: [{ name: 'migrations', status: 'failed' as const, detail: 'two are missing' }],
    });
    const starting = createTestServer({}, { readiness });
    const answer = await starting.app.inject('/readyz');
    assert.deepEqual([answer.statusCode, answer.json()], [503, await readiness()]);
    await starting.app.close();
  });

  it('hand out the metrics in the form that they come in', async () => {
    const answer = await app.inject('/metrics');
    assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4');
    assert.equal(answer.body, 'orderly_up 1\n');
  });
});

type Schema = Record<string, unknown>;
type Operation = {
  operationId: string;
  summary: string;
  parameters?: { name: string; in: string; required?: boolean; schema: Schema }[];
  requestBody?: { required: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<
    string,
    {
      description: string;
      links?: Record<string, { operationId: string }>;
      content?: Record<string, { schema: Schema; example?: object }>;
    }
  >;
};
type Document = {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};

describe('the OpenAPI document', async () => {
  const answer = await app.inject('/openapi.json');
  const document: Document = answer.json();
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

  it('is version 3.1 and names every route', () => {
    assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
    assert.match(document.openapi, /^3\.1\.\d+$/);
    assert.deepEqual(operations.map(({ path, method }) => `${method} ${path}`).sort(), [
      'get /analytics/orders',
      'get /analytics/orders/countries',
      'get /analytics/orders/durations',
      'get /analytics/orders/reasons',
      'get /dlq',
      'get /dlq/groups',
      'get /dlq/letters/{id}',
      'get /dlq/replays',
      'get /dlq/replays/{id}',
      'get /healthz',
      'get /metrics',
      'get /openapi.json',
      'get /operations/audit',
      'get /operations/jobs',
      'get /operations/overview',
      'get /operations/pauses',
      'get /orders',
      'get /orders/{id}',
      'get /orders/{id}/timeline',
      'get /readyz',
      'post /dlq/letters/{id}/correct',
      'post /dlq/letters/{id}/discard',
      'post /dlq/letters/{id}/reprocess',
      'post /dlq/replays',
      'post /dlq/replays/{id}/cancel',
      'post /dlq/replays/{id}/pause',
      'post /dlq/replays/{id}/resume',
      'post /dlq/{orderId}/reprocess',
      'post /operations/pauses',
      'post /operations/pauses/{kind}/{name}/resume',
      'post /orders',
      'post /orders/{id}/cancel',
    ]);
  });

  it('describes each operation with its own id, its path parameters and its answers', () => {
    assert.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length);
    for (const { path, operation } of operations) {
      const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      assert.deepEqual(
        declared.map(({ name }) => name),
        named,
      );
      assert.ok(declared.every(({ required }) => required));
      assert.ok(operation.summary.length > 0);
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        assert.ok(description !== 'Default Response' && content !== undefined, `${path} ${status}`);
        const problem = content['application/problem+json'];
        if (Number(status) >= 400 && path !== '/readyz') {
          assert.deepEqual(problem?.schema, { $ref: '#/components/schemas/Problem' });
        }
      }
    }
  });

  it('refers to nothing that it does not contain', () => {
    const references = [...answer.body.matchAll(/"\$ref":"([^"]*)"/g)].map(([, target]) => target);
    const schemas = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
    assert.ok(references.length > 0);
    assert.deepEqual(
      [...new Set(references)].filter((target) => !schemas.includes(target ?? '')),
      [],
    );
  });

  it('links only to operations that it has', () => {
    const known = new Set(operations.map(({ operation }) => operation.operationId));
    const links = operations
      .flatMap(({ operation }) => Object.values(operation.responses))
      .flatMap((answer) => Object.values(answer.links ?? {}).map((link) => link.operationId));
    assert.ok(links.length > 0);
    assert.deepEqual(
      links.filter((name) => !known.has(name)),
      [],
    );
  });

  it('tells of every refusal there is, each at the routes that may answer it', () => {
    // Of no operation: an address that is none, and what no request can ask of an order.
    const elsewhere = ['not-found', 'method-not-allowed', 'order-exists', 'order-failed', 'order-in-progress'];
    const told = problemCodes.filter((code) => answer.body.includes(`\`${code}\``));
    assert.deepEqual([...told, ...elsewhere].sort(), [...problemCodes].sort());
    assert.ok(operations.every(({ operation }) => operation.responses.default !== undefined));
  });

  it('says what a new order must be beyond its members, and calls it by no name twice', async () => {
    const schema = document.paths['/orders']?.post?.requestBody?.content['application/json']?.schema ?? {};
    const ajv = new Ajv({ strict: false, validateFormats: false });
    const isSaidToBeValid = ajv.compile(schema);
    const line = { sku: 'lamp', quantity: 1, unitPrice: 1 };
    const bodies = [
      { userId: 'u', amount: 1 },
      { customerEmail: 'a@example.com', items: [{ ...line, unitPrice: 0 }, line] },
      { userId: 'u', productType: 'Phone', currency: 'USD' },
      { amount: 1 },
      { userId: 'u' },
      { userId: 'u', amount: 1, items: [line] },
      { userId: 'u', amount: 1, productType: 'Phone' },
      { userId: 'u', productType: 'Phone', currency: 'EUR' },
      { userId: 'u', items: [{ ...line, unitPrice: 0 }] },
      { userId: 'u', amount: 1, currency: 'ABC' },
      { userId: 'u', amount: 1, country: 'XX' },
    ];
    for (const payload of bodies) {
      const { statusCode } = await app.inject({ method: 'POST', url: '/orders', payload });
      assert.equal(isSaidToBeValid(payload), statusCode === 201, JSON.stringify(payload));
    }
    assert.doesNotMatch(JSON.stringify(schema.properties), /"user_id":/);
    assert.equal(
      (await app.inject({ method: 'POST', url: '/orders', payload: { user_id: 'u', amount: 1 } })).statusCode,
      201,
    );
  });

  it('requires a body of a new order, and where a reason is asked for, and of nothing else', () => {
    const required = operations.filter(({ operation }) => operation.requestBody?.required).map(({ path }) => path);
    assert.deepEqual(required.sort(), [
      '/dlq/letters/{id}/correct',
      '/dlq/letters/{id}/discard',
      '/dlq/replays',
      '/operations/pauses',
      '/orders',
    ]);
  });

  it('shows an example of each answer, of its shape', () => {
    const ajv = addFormats.default(new Ajv({ strict: false }));
    ajv.addSchema({ $id: 'document', ...document });
    const shown = [...Object.entries(document.components.schemas)].map(([name, { examples }]) => {
      const isOfShape = ajv.compile({ $ref: `document#/components/schemas/${name}` });
      for (const example of examples as object[])
        assert.ok(isOfShape(example), `${name}: ${ajv.errorsText(isOfShape.errors)}`);
      return name;
    });
    assert.deepEqual(shown.sort(), ['DeadLetter', 'Order', 'Problem', 'TimelineEntry']);
    for (const { operation } of operations) {
      for (const [status, { content }] of Object.entries(operation.responses)) {
        const { schema = {}, example } = content?.['application/json'] ?? {};
        const at = `${operation.operationId} ${status}`;
        const inDocument = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')) as Schema;
        if (example === undefined) assert.deepEqual(madeUp(schema, at), []);
        else assert.ok(ajv.validate(inDocument, example), `${at}: ${ajv.errorsText()}`);
      }
    }
  });

  it('shows bodies that work as they stand', async () => {
    const content = document.paths['/orders']?.post?.requestBody?.content['application/json'];
    const { examples } = content as unknown as { examples: Record<string, { value: object }> };
    assert.deepEqual(Object.keys(examples), ['From the price list', 'By lines', 'By its amount alone']);
    for (const { value } of Object.values(examples)) {
      assert.equal((await app.inject({ method: 'POST', url: '/orders', payload: value })).statusCode, 201);
    }
  });

  it('shows the payment scenario and the needed key only where they apply', async () => {
    const real = createTestServer({ simulatedPartners: false, keyMode: 'required' });
    const other = await real.app.inject('/openapi.json');
    assert.match(answer.body, /paymentScenario/);
    assert.doesNotMatch(other.body, /paymentScenario/);
    const key = (from: Document) =>
      from.paths['/orders']?.post?.parameters?.find(({ name }) => name === 'Idempotency-Key')?.required;
    assert.deepEqual([key(document), key(other.json())], [false, true]);
    await real.app.close();
  });

  it('has a page for people, which / leads to and which loads nothing from elsewhere', async () => {
    const root = await app.inject('/');
    assert.deepEqual([root.statusCode, root.headers.location], [302, '/docs']);
    const page = await app.inject('/docs');
    assert.equal(page.statusCode, 200);
    assert.match(String(page.headers['content-security-policy']), /default-src 'none'; script-src 'self';/);
    const assets = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => String(address));
    assert.ok(assets.length > 3);
    for (const address of assets) assert.equal((await app.inject(address)).statusCode, 200, address);
    const { body: start } = await app.inject('/docs/static/swagger-initializer.js');
    assert.match(start, /"layout":"BaseLayout"/, 'without the bar of others, its logo and its search');
  });

  it('fills in no header: a key that stands there already would be everybody’s', () => {
    const headers = operations
      .flatMap(({ operation }) => operation.parameters ?? [])
      .filter((one) => one.in === 'header');
    assert.ok(headers.some(({ name }) => name === 'Idempotency-Key'));
    for (const { name, schema, ...rest } of headers) {
      const filled = Object.keys({ ...schema, ...rest }).filter((word) => /^(?:examples?|default)$/.test(word));
      assert.deepEqual(filled, [], name);
    }
  });
});

// The members that a page for people has to make up, for want of an example, as "string" or 0.
function madeUp(schema: Schema, at: string): string[] {
  const { $ref, examples, enum: values, const: value, format, type, properties = {}, items } = schema;
  // Each shared one has an example, as is tested.
  if ([$ref, examples, values, value, format].some((known) => known !== undefined)) return [];
  const parts = {
    ...(properties as Record<string, Schema>),
    ...(items === undefined ? {} : { '[]': items as Schema }),
  };
  const below = Object.entries(parts).flatMap(([name, part]) => madeUp(part, `${at}.${name}`));
  return [type].flat().some((one) => ['string', 'integer', 'number'].includes(String(one))) ? [at, ...below] : below;
}

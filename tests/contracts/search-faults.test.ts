// What a server that is not as Elasticsearch should be may do to us: a device in its place says what no real one can
// be made to say.

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Order } from '../../src/domain/order.ts';
import { OutsideError, UnavailableError } from '../../src/engine/ports.ts';
import type { OrderDocument } from '../../src/flow/projections/search-ports.ts';
import { connectElasticsearch } from '../../src/io/search/elasticsearch.ts';
import { createSystem } from '../../src/io/system.ts';
import { readConfig } from '../../src/main/config.ts';
import { openSearch } from '../../src/main/open-search.ts';
import { silentLog } from '../support/silent-log.ts';
import { documentWith, everything } from './search.contract.ts';

const patient = new AbortController().signal;
const ours = {
  'content-type': 'application/vnd.elasticsearch+json;compatible-with=9',
  'x-elastic-product': 'Elasticsearch',
};
type Said = { readonly status: number; readonly headers?: Record<string, string>; readonly body: string | Buffer };
type Answer = Said | ((request: IncomingMessage, response: ServerResponse, body: string) => void);

const said = (status: number, value: unknown): Said => ({ status, headers: ours, body: JSON.stringify(value) });
const page = (text: string, status = 200): Said => ({
  status,
  headers: { 'content-type': 'text/html', 'x-elastic-product': 'Elasticsearch' },
  body: text,
});
const hits = (...found: unknown[]) => said(200, { hits: { hits: found } });
const otherVersion = said(400, {
  error: { type: 'media_type_header_exception', reason: 'Accept version must be either version 8 or 7, but found 9' },
  status: 400,
});

// Asks by `work` a server that gives `answer` to everything but the question for the alias.
async function against<T>(
  answer: Answer,
  work: (
    parts: ReturnType<typeof connectElasticsearch> & { readonly endWait: () => void; readonly url: string },
  ) => Promise<T>,
  warn: (fields: object, message: string) => void = () => {},
  mapping: Said = said(200, {}),
): Promise<T> {
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text) => {
      body += text;
    });
    request.on('end', () => {
      if (request.method === 'HEAD') return response.writeHead(200, ours).end();
      if (request.url?.endsWith('/_mapping'))
        return response.writeHead(mapping.status, { ...mapping.headers }).end(mapping.body);
      if (typeof answer === 'function') return answer(request, response, body);
      response.writeHead(answer.status, { ...answer.headers }).end(answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // The bound of a call passes when the test says so.
  let endWait = () => {};
  const after = (_ms: number, call: () => void) => {
    endWait = call;
    return { cancel: () => {} };
  };
  const opened = connectElasticsearch({ url, system: { after }, log: { ...silentLog, warn } });
  try {
    return await work({ ...opened, endWait: () => endWait(), url });
  } finally {
    server.closeAllConnections();
    await opened.close();
    await new Promise((resolve) => server.close(resolve));
  }
}

const troubleOf = async (indexing: Promise<unknown>) => {
  const error = await indexing.then(
    () => assert.fail('it was taken'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof OutsideError, String(error));
  return error.trouble;
};

describe('a search that does not answer as it should', { timeout: 20_000 }, () => {
  const id = documentWith().id;
  for (const [what, answer] of [
    ['an id that is none', hits({ _id: "'; --", sort: ['1', id] })],
    ['an order without its place', hits({ _id: id })],
    ['a time that no date can hold', hits({ _id: id, sort: ['999999999999999', id] })],
    ['no hits', said(200, {})],
    ['null', said(200, null)],
    ['a page of a proxy', page('<h1>Welcome</h1>')],
    ['a redirect', { status: 302, headers: { ...ours, location: '/login' }, body: '' }],
    ['a page that does not exist', page('<h1>Not found</h1>', 404)],
    ['another version', otherVersion],
    ['a request that is too large', page('<h1>413 Request Entity Too Large</h1>', 413)],
    ['half a document', { status: 200, headers: ours, body: '{"hits":' }],
    ['another product', { status: 200, headers: { 'content-type': 'application/json' }, body: '{}' }],
    [
      'a compressed answer',
      { status: 200, headers: { ...ours, 'content-encoding': 'gzip' }, body: gzipSync('{"hits":{"hits":[]}}') },
    ],
  ] as const) {
    it(`answers a question with "unavailable" at ${what}`, () =>
      against(answer, async ({ search }) => {
        await assert.rejects(search.find(everything), UnavailableError);
        await assert.rejects(search.count(everything), UnavailableError);
      }));
  }

  for (const [what, mapping] of [
    ['nothing', said(200, null)],
    ['an index without one', said(200, { 'orders-v1': null })],
    ['a page of a proxy', page('<h1>Welcome</h1>')],
  ] as const) {
    it(`is trouble of the search, and no mapping of another release: ${what}`, async () => {
      const lines: string[] = [];
      await against(
        hits(),
        async ({ search }) => {
          const { code } = await troubleOf(search.prepare(patient));
          assert.equal(code, 'search-unavailable');
        },
        (_fields, message) => lines.push(message),
        mapping,
      );
      assert.deepEqual(lines, []);
    });
  }

  it('finds nothing where nothing was ever written', () =>
    against(
      said(404, { error: { type: 'index_not_found_exception', reason: 'no such index' } }),
      async ({ search }) => {
        assert.deepEqual(await search.find(everything), { ids: [], next: null });
      },
    ));

  it('says once in the log why it does not answer', async () => {
    const lines: object[] = [];
    await against(
      otherVersion,
      async ({ search }) => {
        for (let n = 0; n < 3; n += 1) await assert.rejects(search.find(everything), UnavailableError);
      },
      (fields) => lines.push(fields),
    );
    assert.equal(lines.length, 1);
    assert.match(JSON.stringify(lines), /400.*Accept version must be either version 8 or 7/);
  });

  it('is not waited for longer than the bound when its answer drips', () => {
    let dripping = () => {};
    const drips = new Promise<void>((resolve) => {
      dripping = resolve;
    });
    const drip: Answer = (_request, response) => {
      response.writeHead(200, ours).write('{');
      const drops = setInterval(() => response.write(' '), 50);
      response.once('close', () => clearInterval(drops));
      dripping();
    };
    return against(drip, async ({ search, endWait }) => {
      const asked = assert.rejects(search.find(everything), (error: Error) => {
        assert.match(String(error.cause), /no complete answer within 5000 ms/);
        return error instanceof UnavailableError;
      });
      await drips;
      endWait();
      await asked;
    });
  });

  it('cannot fill the memory with its answer', () => {
    let sent = 0;
    const flood: Answer = (_request, response) => {
      response.writeHead(200, ours);
      const piece = Buffer.alloc(1_000_000, ' ');
      const more = () => {
        while (!response.destroyed && sent < 400) {
          sent += 1;
          if (!response.write(piece)) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    };
    return against(flood, async ({ search }) => {
      await assert.rejects(search.find(everything), UnavailableError);
      assert.ok(sent < 100, `${sent} MB were sent`);
    });
  });
});

describe('a call with documents that is refused as a whole', { timeout: 60_000 }, () => {
  for (const [what, answer, reason] of [
    ['another version', otherVersion, /Elasticsearch.* 400: media_type_header_exception.*Accept version must be/],
    ['a proxy that wants a password', page('<h1>Sign in</h1>', 407), /407: <h1>Sign in/],
    ['a bad request of no document', said(400, ''), /400: nothing more/],
    ['an answer of another shape', said(200, { items: [] }), /something else than was asked/],
    ['another page', page('<h1>Welcome</h1>'), /something else than was asked/],
  ] as const) {
    it(`waits uncharged and says why: ${what}`, () =>
      against(answer, async ({ search }) => {
        const trouble = await troubleOf(search.index([documentWith(), documentWith()], patient));
        assert.deepEqual(
          [trouble.class, trouble.code, trouble.dependencyDown],
          ['throttled', 'search-unavailable', true],
        );
        assert.match(trouble.message, reason);
      }));
  }

  // Stores what comes in requests of at most so many bytes, as a proxy with a limit lets them through.
  function limited(bytesMax: number) {
    const stored: string[] = [];
    const calls: number[] = [];
    const answer: Answer = (_request, response, body) => {
      calls.push(body.length);
      if (body.length > bytesMax) return response.writeHead(413, { 'content-type': 'text/html' }).end('<h1>413</h1>');
      const ids = body
        .split('\n')
        .flatMap((line, nth) => (nth % 2 === 0 && line !== '' ? [JSON.parse(line).index._id] : []));
      stored.push(...ids);
      const items = ids.map((_id) => ({ index: { _id, status: 201 } }));
      response.writeHead(200, ours).end(JSON.stringify({ errors: false, items }));
    };
    return { answer, stored, calls };
  }

  const twenty = () => Array.from({ length: 20 }, () => documentWith());
  const bytesOf = (documents: readonly OrderDocument[]) =>
    documents.reduce((sum, one) => sum + JSON.stringify(one).length, 0);

  it('is halved until it is small enough, and the next one is small enough at once', () => {
    const documents = twenty();
    const { answer, stored, calls } = limited(bytesOf(documents) / 3);
    return against(answer, async ({ search }) => {
      assert.deepEqual(
        await search.index(documents, patient),
        documents.map(() => 'stored'),
      );
      assert.deepEqual(
        stored,
        documents.map((one) => one.id),
      );
      const before = calls.length;
      await search.index(twenty(), patient);
      assert.ok(
        calls.slice(before).every((bytes) => bytes <= bytesOf(documents) / 3),
        String(calls),
      );
    });
  });

  it('refuses the one document that is too large by itself, and stores the others', () => {
    const sku = 'x'.repeat(100);
    const items: Order['items'] = Array.from({ length: 100 }, () => ({ sku, quantity: 1, unitPrice: 1 }));
    const large = documentWith({ items });
    const documents = [...twenty(), large, ...twenty()];
    const { answer, stored } = limited(JSON.stringify(large).length - 1);
    return against(answer, async ({ search }) => {
      const answers = await search.index(documents, patient);
      const refused = answers.flatMap((one, nth) =>
        typeof one === 'string' ? [] : [[documents[nth]?.id, one.code, one.message]],
      );
      assert.deepEqual(refused, [
        [
          large.id,
          'document-refused',
          'Elasticsearch answered 413: the document is too large for it, or for a proxy before it',
        ],
      ]);
      assert.equal(stored.length, 40);
    });
  });
});

describe('the version of the server', { timeout: 60_000 }, () => {
  const info =
    (number: string): Answer =>
    (request, response) => {
      const asked =
        request.headers.accept === 'application/json' && request.headers['content-type'] === 'application/json';
      const { status, body } = asked ? said(200, { version: { number } }) : otherVersion;
      response.writeHead(status, ours).end(body);
    };

  it('is named when it does not fit', () =>
    against(info('8.19.2'), async ({ mistake }) => {
      assert.match((await mistake()) ?? '', /is Elasticsearch 8\.19\.2, this release needs 9\.x/);
    }));

  it('is told at the start, while orders are taken', () =>
    against(info('8.19.2'), async ({ url }) => {
      const reading = readConfig({ SEARCH: 'elasticsearch', ELASTICSEARCH_URL: url }, 'start');
      assert.ok(reading.ok);
      const told = Promise.withResolvers<string>();
      const log = { ...silentLog, error: (_fields: object, message: string) => told.resolve(message) };
      // Elasticsearch needs no database.
      const { close } = await openSearch(reading.config, null as never, { system: createSystem(), log });
      assert.match(await told.promise, /is Elasticsearch 8\.19\.2, .*: orders are taken/);
      await close();
    }));

  it('is no mistake when it fits, or when nobody answers', async () => {
    await against(info('9.2.1'), async ({ mistake }) => assert.equal(await mistake(), null));
    await against(page('', 503), async ({ mistake }) => assert.equal(await mistake(), null));
    const away = connectElasticsearch({ url: 'http://127.0.0.1:1', system: createSystem(), log: silentLog });
    assert.equal(await away.mistake(), null);
    await away.close();
  });
});

// The documents as tests: what they name exists, what they show works, what they promise has a test.
//
// A test is named by the words of its describes and its own, joined by blanks, from any describe on; a
// name that is made in a loop counts for all that it can become. Diagrams are read edge by edge.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { Compile } from 'typebox/compile';
import { makeDocuments } from '../scripts/event-documents.ts';
import { settingsPage } from '../scripts/settings-page.ts';
import { type EventType, eventTypes } from '../src/domain/events.ts';
import { type Status, statuses } from '../src/domain/order.ts';
import { nextStatus } from '../src/domain/order-machine.ts';
import { subscriptions } from '../src/flow/subscriptions.ts';
import { Direction, paths } from '../src/io/partners/messages.ts';
import { roles } from '../src/main/config.ts';
import { settingGroups } from '../src/main/settings.ts';
import { createTestServer } from './http/stub-desk.ts';

const root = dirname(import.meta.dirname);
const textOf = (file: string) => readFileSync(join(root, file), 'utf8');
const filesUnder = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();

const decisions = filesUnder('docs/decisions');
const documents = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'],
  ...filesUnder('docs').filter((file) => file.endsWith('.md')),
];
const readme = textOf('README.md');
const readmeLinesMax = 160;
const architectureLinesMax = 140;

describe('every document', () => {
  it('names files and folders that exist', () => {
    complain(documents, (file) => {
      const text = textOf(file);
      const spans = [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span);
      const named = spans.filter((span) => /^(?:\.ci|bench|demo|docs|scripts|src|tests)\/[\w./-]*$/.test(span));
      const links = [...text.matchAll(/\]\((?!\w+:|#)([^)#\s]+)[^)]*\)/g)].map(([, target = '']) =>
        normalize(join(dirname(file), target)),
      );
      return [...named, ...links].filter((path) => !existsSync(join(root, path))).map((path) => `${path} is missing`);
    });
  });

  it('names commands that exist', () => {
    const scripts = Object.keys((JSON.parse(textOf('package.json')) as { scripts: object }).scripts);
    complain(documents, (file) => {
      const code = codeOf(textOf(file));
      const ran = [...code.matchAll(/\bnpm (?:run )?(?!run\b|ci\b)([a-z][\w:-]*)/g)].map(([, name = '']) => name);
      const asked = [...code.matchAll(/\borderly -- ([a-z]+)/g)].map(([, role = '']) => role);
      return [
        ...ran.filter((name) => !scripts.includes(name)).map((name) => `npm run ${name} is no script`),
        ...asked.filter((role) => ![...roles, 'help'].includes(role)).map((role) => `${role} is no role`),
      ];
    });
  });

  it('names settings that exist', () => {
    const known = Object.values(settingGroups).flatMap((group) => Object.keys(group));
    complain(documents, (file) => {
      const text = textOf(file);
      const named = [...text.matchAll(/\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b(?!_)|\b([A-Z]+)=/g)].map(
        ([, long, short]) => long ?? short ?? '',
      );
      return [...new Set(named)].filter((name) => !known.includes(name)).map((name) => `${name} is no setting`);
    });
  });

  it('names tests that exist wherever a table has a column for them', () => {
    const patterns = testNames().map((name) => new RegExp(`^${name}$`));
    complain(documents, (file) =>
      tablesOf(textOf(file)).flatMap(({ header, rows }) =>
        rows.flatMap((row) => {
          const cell = row[header.findIndex((title) => title === 'test' || title === 'proof')];
          if (cell === undefined) return [];
          const named = [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
          const missing = named.filter((name) => !patterns.some((pattern) => pattern.test(name)));
          if (named.length === 0) return [`"${row[0]}" names no test`];
          return missing.map((name) => `there is no test "${name}"`);
        }),
      ),
    );
  });
});

describe('the README', () => {
  it(`has at most ${readmeLinesMax} lines`, () => {
    assert.ok(readme.trimEnd().split('\n').length <= readmeLinesMax);
  });

  it('gives a reading order of files that exist, the table of subscriptions first', () => {
    const files = tableAbout('file').map((row) => row[1]?.replaceAll('`', '') ?? '');
    assert.deepEqual(
      files.filter((file) => !existsSync(join(root, file))),
      [],
    );
    assert.equal(files[0], 'src/flow/subscriptions.ts');
    assert.ok(files.length > 5, `${files.length} files are too few to understand the system`);
  });

  it('draws the journey as the table of subscriptions and the machine of an order have it', () => {
    const edges = edgesOf(readme);
    const consumers: readonly string[] = subscriptions.map(({ consumer }) => consumer);
    const isEvent = (name: string): name is EventType => eventTypes.some((type) => type === name);
    const people = ['client', 'operator'];
    const nodes = edges.flatMap(({ from, to }) => [from, to]);
    const known = [...eventTypes, ...statuses, ...consumers, ...people];
    assert.deepEqual(
      nodes.filter((name) => !known.includes(name)),
      [],
      'nodes that the code does not have',
    );
    assert.deepEqual(
      eventTypes.filter((type) => !nodes.includes(type)),
      [],
      'events that the diagram forgets',
    );

    const started = edges.filter(({ from, to }) => isEvent(from) && consumers.includes(to));
    assert.deepEqual(
      started.map(({ from, to }) => `${from} starts ${to}`).sort(),
      // Who reads every event would be an arrow from everywhere.
      subscriptions
        .filter(({ on }) => on.length < eventTypes.length)
        .flatMap(({ consumer, on }) => on.map((type) => `${type} starts ${consumer}`))
        .sort(),
    );
    for (const { from, to } of edges.filter(({ to }) => statuses.some((status) => status === to))) {
      assert.ok(isEvent(from), `${from} is no event`);
      assert.ok(leadsTo(from, to as Status), `${from} does not lead to ${to}`);
    }
    const steps = filesUnder('src/flow').map(textOf).join('\n');
    const written = edges.map(({ to }) => to).filter(isEvent);
    assert.deepEqual(
      written.filter((type) => !steps.includes(`type: '${type}'`)),
      [],
      'events that nobody writes',
    );
  });
});

describe('the documents', () => {
  it('show requests that work as they stand', async () => {
    const { app, orders } = createTestServer();
    const shown = ['docs/try-it.md', 'docs/operations.md', 'docs/partners.md'].flatMap((file) => curlsOf(textOf(file)));
    assert.ok(shown.length > 5, 'there are requests to try');
    const isDirection = Compile(Direction);
    for (const { method, url, headers, body } of shown) {
      const id = [...orders.keys()].at(-1) ?? '';
      const { port, pathname, search } = new URL(url.replace('$id', id));
      if (port === '4000' && method === 'POST') {
        assert.equal(pathname, '/control');
        assert.ok(isDirection.Check(JSON.parse(body ?? '')), `${body} is no direction`);
      } else if (port === '4000') {
        assert.ok([...Object.values(paths), '/ledger', '/ledger/summary'].includes(pathname), pathname);
      } else {
        const payload = body === undefined ? {} : { payload: body };
        const answer = await app.inject({ method, url: pathname + search, headers, ...payload });
        assert.ok(answer.statusCode < 300, `${method} ${pathname} ${body}: ${answer.body}`);
      }
    }
    await app.close();
  });
});

describe('ARCHITECTURE.md', () => {
  const text = textOf('ARCHITECTURE.md');

  it(`has at most ${architectureLinesMax} lines`, () => {
    assert.ok(text.trimEnd().split('\n').length <= architectureLinesMax);
  });

  it('draws every change of status that the machine of an order has, and no other', () => {
    const drawn = edgesOf(text).map(({ from, to, label }) => `${from} ${label} ${to}`);
    const moves = statuses.flatMap((from) =>
      eventTypes.map((event) => ({ from, event, to: nextStatus(from, event) })).filter(({ to }) => to !== from),
    );
    const allowed = moves
      .filter(({ to }) => typeof to === 'string')
      .map(({ from, event, to }) => `${from} ${event} ${to}`);
    const others = ['[*] OrderCreatedV1 PENDING', 'PENDING a core step is claimed PROCESSING'];
    assert.deepEqual(drawn.sort(), [...allowed, ...others].sort());
  });

  it('gives a reason for each dependency at run time, and for no other', () => {
    const { dependencies } = JSON.parse(textOf('package.json')) as { dependencies: Record<string, string> };
    const rows = tablesOf(text).find(({ header }) => header[0] === 'package')?.rows ?? [];
    const named = rows.flatMap(([cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
    assert.deepEqual(named.sort(), Object.keys(dependencies).sort());
  });
});

describe('the published documents of the events', () => {
  it('are those that the schemas of the code make; `npm run documents` writes them anew', () => {
    const made = makeDocuments();
    for (const [path, text] of made) assert.equal(textOf(path), text, `${path} is out of date`);
    const foreign = filesUnder('docs/schemas').filter((path) => !made.has(path));
    assert.deepEqual(foreign, [], 'schemas of events that there are not');
  });
});

describe('docs/settings.md', () => {
  it('is what the table of settings makes; `npm run documents` writes it anew', () => {
    assert.equal(textOf('docs/settings.md'), settingsPage());
  });
});

describe('docs/runbook.md', () => {
  const rules = textOf('deploy/prometheus/orderly.rules.yml').split('- alert: ').slice(1);

  it('has a page for each alert, and each alert a panel that shows it', () => {
    const pages = new Set(
      [...textOf('docs/runbook.md').matchAll(/^## (.+)$/gm)].map(([, title = '']) =>
        title.toLowerCase().replaceAll(' ', '-'),
      ),
    );
    const panels = filesUnder('deploy/grafana').flatMap((file) => {
      const { panels: shown } = JSON.parse(textOf(file)) as { panels: readonly { title: string }[] };
      return shown.map(({ title }) => `${basename(file, '.json')} / ${title}`);
    });
    assert.ok(rules.length > 10);
    for (const rule of rules) {
      const [name = ''] = rule.split('\n');
      const [, page = ''] = /runbook_url: docs\/runbook\.md#(\S+)/.exec(rule) ?? [];
      const [, panel = ''] = /panel: (.+)/.exec(rule) ?? [];
      assert.ok(pages.has(page), `${name} leads to the page ${page}, which is not there`);
      assert.ok(panels.includes(panel), `${name} leads to the panel ${panel}, which is not there`);
      assert.match(textOf('docs/runbook.md'), new RegExp(`\\*[^*]*\\b${name}\\b[^*]*\\.\\*`), name);
    }
  });
});

describe('docs/security.md', () => {
  it('says of each route who it is for, and of no other', async () => {
    const served = new Set<string>();
    const route = (method: string, url: string) => {
      // What belongs to a page lies below it.
      const path = url.replace(/^\/(docs|console)\/.*/, '/$1').replaceAll(/:(\w+)/g, '{$1}');
      served.add(`${method} ${path}`);
    };
    const { app } = createTestServer({}, { watch: { route, answered: () => {} } });
    await app.ready();
    await app.close();
    const rows = tablesOf(textOf('docs/security.md')).find(({ header }) => header[0] === 'method')?.rows ?? [];
    const listed = rows.map(([method, path = '']) => `${method} ${path.replaceAll('`', '')}`);
    assert.deepEqual(listed.sort(), [...served].sort());
  });
});

describe('the decision records', () => {
  it('are numbered without a gap', () => {
    const numbers = decisions.map((file) => Number(/\/(\d{4})-[a-z0-9-]+\.md$/.exec(file)?.[1]));
    assert.deepEqual(
      numbers,
      decisions.map((_, index) => index + 1),
    );
  });

  it('say what was given up and what would change our mind', () => {
    const parts = ['**Context.**', '**Choice.**', '**Given up.**', '**We would change our mind**'];
    complain(decisions, (file) => parts.filter((part) => !textOf(file).includes(part)).map((part) => `lacks ${part}`));
  });
});

function complain(files: readonly string[], about: (file: string) => readonly string[]): void {
  const complaints = files.flatMap((file) => about(file).map((complaint) => `${file}: ${complaint}`));
  if (complaints.length > 0) assert.fail(`\n${complaints.join('\n')}`);
}

function codeOf(text: string): string {
  return [...text.matchAll(/```\w*\n([\s\S]*?)```|`([^`\n]+)`/g)].map(([, block, span]) => block ?? span).join('\n');
}

// As patterns: what is filled in by a loop matches anything.
function testNames(): string[] {
  const call = /^( *)(?:(?:await )?(describe|it|test)\(|const name =)\s*(['"`])((?:\\.|(?!\3).)*)\3/gm;
  return filesUnder('tests')
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const outer: { indent: number; name: string }[] = [];
      return [...textOf(file).matchAll(call)].flatMap(([, blanks = '', kind, , quoted = '']) => {
        const indent = blanks.length;
        while ((outer.at(-1)?.indent ?? -1) >= indent) outer.pop();
        const name = quoted.replace(/\\(.)/g, '$1');
        if (kind === 'describe') outer.push({ indent, name });
        const chain = [...(kind === 'describe' ? outer.slice(0, -1) : outer).map((one) => one.name), name];
        return kind === 'describe' ? [] : chain.map((_, from) => toPattern(chain.slice(from).join(' ')));
      });
    });
}

function toPattern(name: string): string {
  const fixed = name.split(/\$\{[^}]*\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return fixed.join('.+');
}

type Table = { readonly header: readonly string[]; readonly rows: readonly (readonly string[])[] };
function tablesOf(text: string): Table[] {
  return [...text.matchAll(/^\|.*(?:\n\|.*)+/gm)].map(([block]) => {
    const [header = [], , ...rows] = block.split('\n').map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
    return { header, rows };
  });
}

function tableAbout(title: string): readonly (readonly string[])[] {
  const table = tablesOf(readme).find(({ header }) => header.includes(title));
  assert.ok(table, `the README has a table about each ${title}`);
  return table.rows;
}

type Edge = { readonly from: string; readonly to: string; readonly label: string };
function edgesOf(text: string): Edge[] {
  const diagrams = [...text.matchAll(/```mermaid\n([\s\S]*?)```/g)].map(([, diagram = '']) => diagram);
  const edge = /^ +(\S+) (?:-->|-\.->)(?:\|([^|]+)\|)? (\w+)(?:: (.+))?$/gm;
  return [...diagrams.join('\n').matchAll(edge)].map(([, from = '', before, to = '', after]) => ({
    from,
    to,
    label: before ?? after ?? '',
  }));
}

// Whether there is a status from which the event leads to this one; the first event leads to the first.
function leadsTo(event: EventType, status: Status): boolean {
  if (event === 'OrderCreatedV1') return status === 'PENDING';
  return statuses.some((from) => from !== status && nextStatus(from, event) === status);
}

function curlsOf(text: string) {
  const scripts = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, script = '']) => script.replaceAll('\\\n', ' '));
  return [...scripts.join('\n').matchAll(/\bcurl ((?:'[^']*'|[^|)'\n])+)/g)].map(([, text = '']) => {
    const words = [...text.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
    const after = (option: string) => words.filter((_, index) => words[index - 1] === option);
    const [body] = after('-d');
    const headers = Object.fromEntries(after('-H').map((header) => header.toLowerCase().split(': ')));
    const [method = body === undefined ? 'GET' : 'POST'] = after('-X') as 'POST'[];
    return { method, url: words.find((word) => word.startsWith('http')) ?? '', headers, body };
  });
}

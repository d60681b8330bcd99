// `npm run test:clients`: what others' tools make of the OpenAPI document and of /metrics, on the running product.
//
//   npm run test:clients -- STEP...    only these: redocly, typescript-fetch, python, openapi-typescript, hey-api,
//                                      schemathesis, promtool, rules, prometheus, console
//
// Promises: fetches the tools by itself; each step is bounded in time, and one that fails is told with all that it
// said. Clients are generated, compiled and led through a story (tests/clients/stories). schemathesis runs with a
// seed that stays and with one that is new each time and printed. Exit code 1 when a step failed, 2 when a tool
// cannot be had.

import { randomInt } from 'node:crypto';
import { cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createProcesses } from '../support/process.ts';
import { createTools, type Ran, run, ToolError } from './tools.ts';

const seed = 20_261_121;
const stepTimeoutMs = 600_000;
// The machine may be busy with what ran before.
const readyMs = 120_000;
// Enough for every rule of a request to be broken once, per operation.
const examplesMax = 15;

const root = dirname(dirname(import.meta.dirname));
const directory = join(root, '.orderly/clients');
const stories = join(import.meta.dirname, 'stories');
const tools = createTools(directory);
const limits = { timeoutMs: stepTimeoutMs };

const unambiguous = ['--skip-rule', 'no-ambiguous-paths'];

// With the strictest settings that a user may have; what is generated is checked along.
const compilerOptions = {
  module: 'nodenext',
  target: 'es2023',
  strict: true,
  types: ['node'],
  rootDir: '.',
  outDir: 'built',
};

// Where the product answers, and where its document lies.
type Stand = { readonly url: string; readonly document: string };
type Step = (stand: Stand) => Promise<Ran>;

const steps: Readonly<Record<string, Step>> = {
  // `/dlq/{orderId}/reprocess` and `/dlq/letters/{id}` are ambiguous to whoever does not know that an order's id is a
  // UUID, which `letters` is not: the one rule that no schema can satisfy.
  redocly: async ({ document }) =>
    await node('@redocly/cli/bin/cli.js', ['lint', '--extends', 'recommended-strict', ...unambiguous, document]),

  'typescript-fetch': async (stand) => {
    const place = await scratch('typescript-fetch');
    const generated = await openapiGenerator('typescript-fetch', stand, join(place, 'generated'));
    return generated.code === 0 ? await compileAndRun(place, 'openapi-generator.ts', stand) : generated;
  },

  python: async (stand) => {
    const place = await scratch('python');
    const generated = await openapiGenerator('python', stand, place);
    if (generated.code !== 0) return generated;
    const env = { PYTHONPATH: place, ORDERLY_URL: stand.url };
    return await run(join(await tools.python(), 'python'), [join(stories, 'openapi_generator.py')], { ...limits, env });
  },

  'openapi-typescript': async (stand) => {
    const place = await scratch('openapi-typescript');
    const target = join(place, 'generated/schema.ts');
    const generated = await node('openapi-typescript/bin/cli.js', [stand.document, '--output', target]);
    return generated.code === 0 ? await compileAndRun(place, 'openapi-typescript.ts', stand) : generated;
  },

  'hey-api': async (stand) => {
    const place = await scratch('hey-api');
    const args = ['--input', stand.document, '--output', join(place, 'generated')];
    const generated = await node('@hey-api/openapi-ts/bin/run.js', args);
    return generated.code === 0 ? await compileAndRun(place, 'hey-api.ts', stand) : generated;
  },

  schemathesis: async (stand) => {
    const fixed = await schemathesis(stand, seed);
    return fixed.code === 0 ? await schemathesis(stand, randomInt(2 ** 31)) : fixed;
  },

  promtool: async ({ url }) => {
    const metrics = await fetch(`${url}/metrics`);
    return await run(await tools.prometheus('promtool'), ['check', 'metrics'], {
      ...limits,
      input: await metrics.text(),
    });
  },

  rules: async () => {
    const promtool = await tools.prometheus('promtool');
    const file = (name: string) => join(root, 'deploy/prometheus', name);
    const checked = await run(promtool, ['check', 'config', file('prometheus.yml')], limits);
    return checked.code === 0
      ? await run(promtool, ['test', 'rules', file('orderly.rules.test.yml')], limits)
      : checked;
  },

  prometheus: async () => {
    return await testFile('prometheus.tools.ts', { PROMETHEUS: await tools.prometheus('prometheus') });
  },

  console: async () => await testFile('console.tools.ts', { CHROMIUM: await tools.chromium() }),
};

process.exit(await main(process.argv.slice(2)));

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.find((name) => steps[name] === undefined);
  if (unknown !== undefined)
    return complain(`There is no step ${unknown}; there are ${Object.keys(steps).join(', ')}.`, 2);
  const processes = createProcesses();
  try {
    const settings = {
      PORT: 0,
      ORDERLY_DATA_DIR: join(processes.directory, 'data'),
      ORDER_WORKER_RETRY_DELAY_MS: 20,
    };
    const product = await processes.begin('start', settings, readyMs).ready;
    const document = join(processes.directory, 'openapi.json');
    await writeFile(document, await (await fetch(`${product.url}/openapi.json`)).text());
    const stand = { url: product.url, document };
    for (const name of wanted.length > 0 ? wanted : Object.keys(steps)) {
      const since = process.hrtime.bigint();
      const { code, output } = (await steps[name]?.(stand)) ?? { code: 1, output: '' };
      if (code !== 0) return complain(`${name} failed:\n${output}`, 1);
      process.stdout.write(`${name.padEnd(20)} ${Number((process.hrtime.bigint() - since) / 1_000_000_000n)} s\n`);
    }
    return 0;
  } catch (error) {
    if (error instanceof ToolError) return complain(error.message, 2);
    throw error;
  } finally {
    await processes.close();
  }
}

function complain(text: string, code: number): number {
  process.stderr.write(`${text}\n`);
  return code;
}

async function testFile(name: string, env: NodeJS.ProcessEnv): Promise<Ran> {
  return await run(process.execPath, ['--test', join(import.meta.dirname, name)], { ...limits, env });
}

// A tool that is an npm package.
async function node(script: string, args: readonly string[]): Promise<Ran> {
  const cwd = await tools.npm();
  const env = { REDOCLY_TELEMETRY: 'off', CI: 'true' };
  return await run(process.execPath, [join(cwd, 'node_modules', script), ...args], { ...limits, cwd, env });
}

// An empty folder in which the packages are found.
async function scratch(name: string): Promise<string> {
  const place = join(directory, 'generated', name);
  await rm(place, { recursive: true, force: true });
  await mkdir(place, { recursive: true });
  await symlink(join(await tools.npm(), 'node_modules'), join(place, 'node_modules'));
  return place;
}

async function openapiGenerator(generator: string, { document }: Stand, target: string): Promise<Ran> {
  const python = await tools.python();
  return await run(
    join(python, 'openapi-generator-cli'),
    ['generate', '--input-spec', document, '--generator-name', generator, '--output', target],
    limits,
  );
}

async function compileAndRun(place: string, story: string, { url }: Stand): Promise<Ran> {
  await cp(join(stories, story), join(place, 'story.ts'));
  await writeFile(join(place, 'package.json'), '{ "type": "commonjs" }');
  await writeFile(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['story.ts'] }));
  const compiled = await node('typescript/bin/tsc', ['--project', place]);
  if (compiled.code !== 0) return compiled;
  return await run(process.execPath, [join(place, 'built/story.js')], { ...limits, env: { ORDERLY_URL: url } });
}

async function schemathesis({ url }: Stand, given: number): Promise<Ran> {
  const cwd = await scratch('schemathesis');
  process.stdout.write(`schemathesis         seed ${given}\n`);
  const args = ['--seed', `${given}`, '--max-examples', `${examplesMax}`, '--continue-on-failure', '--no-color'];
  const config = ['--config-file', join(import.meta.dirname, 'schemathesis.toml')];
  const env = { SCHEMATHESIS_HOOKS: join(import.meta.dirname, 'schemathesis_hooks.py') };
  const command = join(await tools.python(), 'schemathesis');
  return await run(command, [...config, 'run', `${url}/openapi.json`, ...args], { ...limits, cwd, env });
}

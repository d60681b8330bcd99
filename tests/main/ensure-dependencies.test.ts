// What runs before every npm script, on a small checkout with an npm that does as it is told.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';

const root = dirname(dirname(import.meta.dirname));
const scratch = mkdtempSync(join(tmpdir(), 'orderly-install-'));
after(() => rmSync(scratch, { recursive: true }));

type Packages = Readonly<Record<string, { readonly version: string; readonly dev?: true; readonly optional?: true }>>;
const locked: Packages = {
  '': { version: '1.0.0' },
  'node_modules/fastify': { version: '5.0.0' },
  'node_modules/typescript': { version: '7.0.0', dev: true },
  'node_modules/node-elsewhere-x64': { version: '24.0.0', optional: true },
};
const { 'node_modules/typescript': _, ...production } = locked;

// Installs what the test says, as `npm ci` does: first everything that is there is removed.
const npm = `
  import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
  import { join } from 'node:path';
  const checkout = process.env.TEST_CHECKOUT;
  appendFileSync(join(checkout, 'calls'), process.argv.slice(2).join(' ') + ' NODE_ENV=' + process.env.NODE_ENV + '\\n');
  rmSync('node_modules', { recursive: true, force: true });
  if (process.env.TEST_NPM === 'fails') process.exit(7);
  mkdirSync('node_modules');
  writeFileSync('node_modules/.package-lock.json', readFileSync(join(checkout, process.env.TEST_NPM)));
  writeFileSync('node_modules/new', '');`;

describe('what runs before each script', () => {
  let checkouts = 0;
  function checkoutWith(installed: Packages | null) {
    checkouts += 1;
    const checkout = join(scratch, String(checkouts));
    mkdirSync(join(checkout, 'scripts'), { recursive: true });
    copyFileSync(join(root, 'scripts/ensure-dependencies.js'), join(checkout, 'scripts/ensure-dependencies.js'));
    mkdirSync(join(checkout, 'npm'));
    writeFileSync(join(checkout, 'npm/npm-cli.js'), npm);
    writeFileSync(join(checkout, 'package.json'), '{"type":"module"}');
    const write = (path: string, packages: Packages) =>
      writeFileSync(join(checkout, path), JSON.stringify({ packages }));
    write('package-lock.json', locked);
    write('all', locked);
    write('production', production);
    if (installed !== null) {
      mkdirSync(join(checkout, 'node_modules'));
      write('node_modules/.package-lock.json', installed);
      writeFileSync(join(checkout, 'node_modules/old'), '');
    }
    const run = (event: string, npmDoes = 'all', env: Record<string, string> = {}) => {
      const { status, stderr, stdout } = spawnSync(process.execPath, ['scripts/ensure-dependencies.js'], {
        cwd: checkout,
        encoding: 'utf8',
        env: {
          PATH: process.env.PATH,
          npm_lifecycle_event: event,
          npm_execpath: join(checkout, 'npm/npm-cli.js'),
          TEST_CHECKOUT: checkout,
          TEST_NPM: npmDoes,
          ...env,
        },
      });
      assert.equal(stdout, '');
      return { status, stderr };
    };
    const calls = () => (existsSync(join(checkout, 'calls')) ? readFileSync(join(checkout, 'calls'), 'utf8') : '');
    const has = (name: string) => existsSync(join(checkout, 'node_modules', name));
    const leftOvers = () => readdirSync(checkout).filter((name) => name.startsWith('.node_modules'));
    return { checkout, run, calls, has, leftOvers };
  }

  it('touches nothing where the script can run: the product needs no packages of development', () => {
    for (const event of ['prestart', 'preorderly']) {
      const { run, calls, has } = checkoutWith(production);
      assert.deepEqual(run(event), { status: 0, stderr: '' });
      assert.deepEqual([calls(), has('old')], ['', true]);
    }
    const { run, calls } = checkoutWith(locked);
    assert.deepEqual(run('pretest'), { status: 0, stderr: '' });
    assert.equal(calls(), '');
  });

  it('says what lacks, and exchanges the old installation for the new one', () => {
    const { run, calls, has, leftOvers } = checkoutWith(production);
    const { status, stderr } = run('pretest', 'all', { NODE_ENV: 'production' });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /because typescript is not in node_modules/);
    assert.match(calls(), /^ci .*--include=dev.* NODE_ENV=undefined\n$/);
    assert.deepEqual([has('old'), has('new'), leftOvers()], [false, true, []]);
  });

  it('leaves the old installation as it was where the new one fails, or does not bring what lacks', () => {
    const outdated = { ...locked, 'node_modules/fastify': { version: '4.0.0' } };
    for (const [npmDoes, said] of [
      ['fails', /failed with exit code 7.* as it was\.\n$/],
      ['production', /yet typescript is not in node_modules\. What was installed is as it was\.\n$/],
    ] as const) {
      const { run, has, leftOvers } = checkoutWith(outdated);
      const { status, stderr } = run('pretest', npmDoes);
      assert.equal(status, 1);
      assert.match(stderr, /because fastify is 4\.0\.0 in node_modules, not 5\.0\.0/);
      assert.match(stderr, said);
      assert.deepEqual([has('old'), leftOvers()], [true, []]);
    }
  });

  it('installs for the product as the surroundings say: in production without packages of development', () => {
    const { run, calls, has } = checkoutWith(null);
    assert.equal(run('prestart', 'production', { NODE_ENV: 'production' }).status, 0);
    assert.ok(has('new'));
    assert.match(calls(), / NODE_ENV=production\n$/);
    assert.doesNotMatch(calls(), /include=dev/);
  });

  it('installs where the Node of node_modules is too old or of another machine', () => {
    for (const [content, said] of [
      ['#!/bin/sh\necho v20.1.0\n', /Node v20\.1\.0 cannot run it \(22\.18 or newer does\)/],
      ['\u007fELF', /the Node in node_modules does not run on this machine/],
    ] as const) {
      const { checkout, run } = checkoutWith(locked);
      mkdirSync(join(checkout, 'node_modules/.bin'));
      writeFileSync(join(checkout, 'node_modules/.bin/node'), content);
      chmodSync(join(checkout, 'node_modules/.bin/node'), 0o755);
      const { status, stderr } = run('prestart');
      assert.equal(status, 0, stderr);
      assert.match(stderr, said);
    }
  });

  it('exchanges a link to an installation for one of its own, and leaves that to others', () => {
    const { checkout, run, has } = checkoutWith(null);
    mkdirSync(join(checkout, 'elsewhere'));
    writeFileSync(join(checkout, 'elsewhere/theirs'), '');
    symlinkSync('elsewhere', join(checkout, 'node_modules'));
    assert.equal(run('pretest').status, 0);
    assert.deepEqual([has('new'), existsSync(join(checkout, 'elsewhere/theirs'))], [true, true]);
  });
});

describe('the lock file', () => {
  type Locked = { readonly integrity?: string; readonly optional?: true; readonly hasInstallScript?: true };
  const text = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const { '': _checkout, ...packages } = (JSON.parse(text) as { packages: Record<string, Locked> }).packages;

  it('names every package by its content', () => {
    const unnamed = Object.entries(packages).filter(([, { integrity = '' }]) => !integrity.startsWith('sha512-'));
    assert.deepEqual(unnamed, []);
  });

  it('has a Node for each platform as a package without a script, and no other way to one', () => {
    const nodes = Object.entries(packages).filter(([name]) =>
      /^node_modules\/node(-bin.*|-(linux|darwin).*)?$/.test(name),
    );
    assert.deepEqual(
      nodes.map(([name]) => name.replace(/^node_modules\/node-(bin-)?/, '')),
      ['darwin-arm64', 'darwin-x64', 'linux-arm64', 'linux-x64'],
    );
    for (const [name, { optional, hasInstallScript }] of nodes) {
      assert.deepEqual([optional, hasInstallScript], [true, undefined], name);
    }
  });
});

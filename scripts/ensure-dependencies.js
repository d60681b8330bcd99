// Runs before every npm script: installs the locked dependencies when they are missing or differ from
// package-lock.json, so that one command is enough after `git clone`.
//
// Promises: decides by content (what npm recorded in node_modules against the lock file, and the Node
// that is in there), for a fresh clone has arbitrary file times; says in one sentence what it does, and
// in one why it failed. Plain JavaScript on purpose: the only Node at hand may be 20.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const oldestNode = 20;

const locked = packagesOf('package-lock.json');
if (locked === null)
  fail('package-lock.json is missing or unreadable; restore it with `git checkout package-lock.json`.');

const reason = reasonToInstall();
if (reason !== null) {
  if (Number.parseInt(process.versions.node, 10) < oldestNode) {
    fail(`Node ${oldestNode} or newer is needed to install the dependencies; this is ${process.version}.`);
  }
  console.error(`Installing the locked dependencies with \`npm ci\`, because ${reason}; this can take a minute.`);
  install();
  const remaining = reasonToInstall();
  if (remaining !== null) {
    fail(
      `\`npm ci\` ended well, yet ${remaining}; if install scripts are switched off, run \`npm ci --ignore-scripts=false\`.`,
    );
  }
}

// Null when node_modules holds what the lock file names.
function reasonToInstall() {
  const installed = packagesOf('node_modules/.package-lock.json');
  if (installed === null) return 'node_modules is missing';
  for (const [path, wanted] of Object.entries(locked)) {
    // The entry '' is this project; an optional package is missing where it is made for another machine.
    if (path === '') continue;
    const found = installed[path];
    if (found === undefined ? !wanted.optional : found.version !== wanted.version) {
      return 'node_modules is older than package-lock.json';
    }
  }
  // The package `node` fetches its executable in an install script, which npm may have skipped, and
  // node_modules may have been made on another machine.
  const wanted = `v${locked['node_modules/node'].version}`;
  const found = spawnSync(join(root, 'node_modules/.bin/node'), ['--version'], { encoding: 'utf8' }).stdout?.trim();
  return found === wanted ? null : `node_modules has no Node ${wanted} that runs here`;
}

function install() {
  // Settings that npm hands down through the environment (omit=dev, global, production, …) must not
  // change what is installed: development packages are needed to run, among them Node itself.
  const options = ['--include=dev', '--include=optional', '--no-global', '--no-audit', '--no-fund', '--loglevel=error'];
  // The npm that runs this script, else the one on the PATH (another package manager may have started us).
  const npm = process.env.npm_execpath ?? '';
  const [command, ...first] = basename(npm) === 'npm-cli.js' ? [process.execPath, npm] : ['npm'];
  const { NODE_ENV, ...env } = process.env;
  // npm's own lines go to stderr, as ours do: the output of the command that follows stays clean.
  const result = spawnSync(command, [...first, 'ci', ...options], { cwd: root, env, stdio: ['ignore', 2, 2] });
  if (result.error) fail(`npm could not be started (${result.error.message}); install npm and try again.`);
  if (result.signal !== null) fail(`\`npm ci\` was stopped by ${result.signal}; run the command again to finish it.`);
  if (result.status !== 0) {
    fail(
      `\`npm ci\` failed with exit code ${result.status}; its own message is above, and the command can be repeated.`,
    );
  }
}

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8')).packages ?? null;
  } catch {
    return null;
  }
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

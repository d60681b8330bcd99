// Runs before every npm script: installs the locked dependencies when the script could not run without, so that one
// command is enough after `git clone`.
//
// Promises: what is installed is touched only where something is lacking, which `start` and the roles say of the
// packages of production alone; it is replaced by a whole new installation, and stays as it was where that fails.
// Decides by content (what npm recorded in node_modules against the lock file, and the Node that is in there), for a
// fresh clone has arbitrary file times. Plain JavaScript on purpose: the only Node at hand may be 20.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
// Installs, and then runs nothing of ours: that is for the Node of the lock file.
const oldestNode = 20;
// The first that runs TypeScript as it stands.
const oldestRunning = [22, 18];
// A new installation comes together beside the old one; the number is the process that makes it.
const besides = '.node_modules-';

// Where npm says nothing, all packages are asked for.
const isProduct = ['prestart', 'preorderly'].includes(process.env.npm_lifecycle_event ?? '');
const locked = packagesOf(join(root, 'package-lock.json'));
if (locked === null)
  fail('package-lock.json is missing or unreadable; restore it with `git checkout package-lock.json`.');

const lack = whatLacks(root);
if (lack !== null) {
  if (Number.parseInt(process.versions.node, 10) < oldestNode) {
    fail(`Node ${oldestNode} or newer is needed to install the dependencies; this is ${process.version}.`);
  }
  console.error(`Installing the locked dependencies with \`npm ci\`, because ${lack}; this can take a minute.`);
  await install();
}

// Null where the script can run on what is installed in this directory.
function whatLacks(directory) {
  const installed = packagesOf(join(directory, 'node_modules/.package-lock.json'));
  if (installed === null) return 'node_modules is missing';
  for (const [path, wanted] of Object.entries(locked)) {
    // The entry '' is this project; an optional package is missing where it is made for another machine.
    if (path === '' || wanted.optional || (isProduct && (wanted.dev || wanted.devOptional))) continue;
    const found = installed[path];
    const name = path.replace(/^.*node_modules\//, '');
    if (found === undefined) return `${name} is not in node_modules`;
    if (found.version !== wanted.version) return `${name} is ${found.version} in node_modules, not ${wanted.version}`;
  }
  return whatLacksInNode(directory);
}

// Scripts find the Node of node_modules first. Where there is none, as after `--omit=optional` or on a machine for
// which none is made, it is the one that runs npm.
function whatLacksInNode(directory) {
  const own = join(directory, 'node_modules/.bin/node');
  const version = existsSync(own) ? spawnSync(own, ['--version'], { encoding: 'utf8' }).stdout : process.version;
  if (!version) return 'the Node in node_modules does not run on this machine';
  const [major = 0, minor = 0] = version.trim().replace('v', '').split('.').map(Number);
  const [oldestMajor, oldestMinor] = oldestRunning;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return null;
  return `Node ${version.trim()} cannot run it (${oldestRunning.join('.')} or newer does) and node_modules has no other`;
}

async function install() {
  // Whatever comes of it, nothing is taken from what is there: `npm ci` itself would begin by removing it.
  removeLeftOvers();
  const beside = join(root, `${besides}${process.pid}`);
  mkdirSync(beside);
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) {
    if (existsSync(join(root, file))) copyFileSync(join(root, file), join(beside, file));
  }
  const mistake = (await runNpm(beside)) ?? stillLacking(beside) ?? exchange(beside);
  rmSync(beside, { recursive: true, force: true });
  if (mistake !== null) fail(mistake);
}

// Null where npm ended well.
async function runNpm(directory) {
  // For a script of development its packages are needed whatever npm hands down (omit=dev, NODE_ENV=production);
  // for the product it is as the surroundings say. The Node that runs it is an optional package.
  const options = ['--include=optional', '--no-global', '--no-audit', '--no-fund', '--loglevel=error'];
  const { NODE_ENV, npm_config_local_prefix: _, ...others } = process.env;
  const env = isProduct ? { ...others, ...(NODE_ENV === undefined ? {} : { NODE_ENV }) } : others;
  if (!isProduct) options.push('--include=dev');
  // The npm that runs this script, else the one on the PATH (another package manager may have started us).
  const npm = process.env.npm_execpath ?? '';
  const [command, ...first] = basename(npm) === 'npm-cli.js' ? [process.execPath, npm] : ['npm'];
  // npm's own lines go to stderr, as ours do: the output of the command that follows stays clean.
  const child = spawn(command, [...first, 'ci', ...options, '--prefix', directory], {
    cwd: directory,
    env,
    stdio: ['ignore', 2, 2],
  });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name));
  try {
    const [code, signal] = await once(child, 'exit');
    if (signal !== null) return `\`npm ci\` was stopped by ${signal}; run the command again to finish it.`;
    if (code === 0) return null;
    return `\`npm ci\` failed with exit code ${code}; its own message is above. What was installed is as it was.`;
  } catch (error) {
    return `npm could not be started (${error.message}); install npm and try again.`;
  }
}

function stillLacking(directory) {
  const lack = whatLacks(directory);
  return lack === null ? null : `\`npm ci\` ended well, yet ${lack}. What was installed is as it was.`;
}

// A process that dies between the two leaves `node_modules` to the next run, which installs it.
function exchange(beside) {
  const [current, old] = [join(root, 'node_modules'), join(beside, 'old')];
  let isMoved = false;
  try {
    if (existsSync(current)) {
      renameSync(current, old);
      isMoved = true;
    }
    renameSync(join(beside, 'node_modules'), current);
    return null;
  } catch (error) {
    if (isMoved) renameSync(old, current);
    return `node_modules could not be exchanged for the new one (${error.message}); run \`npm ci\` by hand.`;
  }
}

// Of a run that was killed.
function removeLeftOvers() {
  for (const name of readdirSync(root)) {
    const [, pid] = name.split(besides);
    if (pid && name.startsWith(besides) && !isAlive(Number(pid)))
      rmSync(join(root, name), { recursive: true, force: true });
  }
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages ?? null;
  } catch {
    return null;
  }
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

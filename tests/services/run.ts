// `npm run test:services`: the suites that need real servers, one file after the other.
//
//   npm run test:services -- FILE...   only these
//
// Promises: starts what is missing and tells the suites all addresses by the environment; afterwards what
// ran before runs, and what it started is stopped, also after Ctrl-C. Exit code of the tests; 2 when a
// server cannot be had, with the sentence that says why.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createFleet, type Standing } from '../../services/fleet.ts';
import { settingsOf } from '../../services/page.ts';
import { serverNames } from '../../services/server.ts';
import { StartError } from '../../src/main/start-error.ts';
import { servicesDirectory } from '../support/services.ts';

// A suite with twenty thousand orders and a broker that is away for a minute takes several.
const testTimeoutMs = 900_000;

const complain = (text: string) => void process.stderr.write(`${text}\n`);
const fleet = createFleet({
  directory: servicesDirectory,
  environment: process.env,
  say: (name, text) => complain(`${name} ${text}`),
});

process.exit(await main());

async function main(): Promise<number> {
  const before = await Promise.all(serverNames.map(fleet.look));
  // This process stays to put everything back; what it is told it tells the tests.
  let isStopped = false;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => (isStopped = true));
  try {
    const standings = await startAll();
    if (standings === null) return 2;
    return isStopped ? 130 : await test(settingsOf(standings, process.env));
  } finally {
    await putBack(before);
  }
}

// Null when a server cannot be had; each such server has been told.
async function startAll(): Promise<Standing[] | null> {
  const started = await Promise.allSettled(serverNames.map(fleet.start));
  const failures = started.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []));
  for (const failure of failures) complain(failure instanceof StartError ? failure.message : String(failure.stack));
  return failures.length > 0 ? null : started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}

async function test(settings: Readonly<Record<string, string>>): Promise<number> {
  const given = process.argv.slice(2);
  const files = given.length > 0 ? given : ['tests/services/**/*.services.ts'];
  const options = ['--test', '--test-concurrency=1', `--test-timeout=${testTimeoutMs}`];
  const child = spawn(process.execPath, [...options, ...files], {
    stdio: 'inherit',
    env: { ...process.env, ...settings },
  });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name));
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

async function putBack(before: readonly Standing[]): Promise<void> {
  await Promise.all(
    before.map(async ({ name, how }) => {
      if (how === 'environment') return;
      // `none` is what was not started, or was stopped.
      await (how === 'none' ? fleet.stop(name) : fleet.start(name));
    }),
  );
}

// The command: `npm run services -- start|stop|status [NAME...]`.
//
// Promises: everything that it does is done when it returns; servers are started side by side, and one
// that cannot be started stops no other; exit code 0 = as asked, 1 = a server does not answer (status) or
// a defect, 2 = something is missing, named in a sentence. Progress goes to stderr, results to stdout.

import { dirname, join, relative } from 'node:path';
import { StartError } from '../src/main/start-error.ts';
import { type Request, readArguments } from './arguments.ts';
import { createFleet, type Fleet, type Standing } from './fleet.ts';
import { exportsOf, maskedExportsOf, settingsOf, tableOf } from './page.ts';
import type { ServerName } from './server.ts';

const directory = join(dirname(import.meta.dirname), '.orderly/services');

process.exit(await main());

async function main(): Promise<number> {
  const reading = readArguments(process.argv.slice(2));
  if ('help' in reading) {
    print(reading.help);
    return 0;
  }
  if ('mistake' in reading) {
    complain(reading.mistake);
    return 2;
  }
  const { request } = reading;
  const fleet = createFleet({
    directory,
    environment: process.env,
    say: (name, text) => complain(`${name} ${text}`),
    via: request.via,
    ports: request.ports,
  });
  if (request.action === 'start') return await start(fleet, request);
  if (request.action === 'stop') return await stop(fleet, request.names);
  const standings = await Promise.all(request.names.map(fleet.look));
  show(standings, request.exportOnly);
  return standings.every(({ why }) => why === null) ? 0 : 1;
}

async function start(fleet: Fleet, { names, exportOnly }: Request): Promise<number> {
  const began = performance.now();
  const standings: Standing[] = [];
  const codes = await Promise.all(
    names.map(async (name) => {
      try {
        standings.push(await fleet.start(name));
        complain(`${name} answers after ${((performance.now() - began) / 1000).toFixed(1)} s`);
        return 0;
      } catch (error) {
        complain(error instanceof StartError ? error.message : `${name}: ${String((error as Error).stack)}`);
        return error instanceof StartError ? 2 : 1;
      }
    }),
  );
  show(
    names.flatMap((name) => standings.find((standing) => standing.name === name) ?? []),
    exportOnly,
  );
  return Math.max(...codes);
}

async function stop(fleet: Fleet, names: readonly ServerName[]): Promise<number> {
  await Promise.all(
    names.map(async (name) => {
      if (fleet.isForeign(name)) return complain(`${name} is somebody else's, as its setting says: left alone`);
      complain((await fleet.stop(name)) ? `${name} stopped` : `${name} was not running`);
    }),
  );
  return 0;
}

function show(standings: readonly Standing[], exportOnly: boolean): void {
  const settings = settingsOf(standings, process.env);
  const lines = exportOnly ? exportsOf(settings) : maskedExportsOf(settings);
  if (!exportOnly && standings.length > 0) print(`${tableOf(standings)}\n\n`);
  if (lines !== '') print(`${lines}\n`);
  if (lines.includes('…')) complain('Passwords are shown by: npm run -s services -- status --export');
  if (!exportOnly) complain(`Data, logs and downloads: ${relative(process.cwd(), directory)}`);
}

function print(text: string): void {
  process.stdout.write(text);
}

function complain(text: string): void {
  process.stderr.write(`${text}\n`);
}

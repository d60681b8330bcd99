// `npm run bench`: measures Orderly over HTTP on this one machine, load and databases included, and
// prints one table.
//
//   --only NAME   one measurement (may be repeated): postgres, postgres-full, embedded, cost, and over the
//                 real servers of `npm run services`: kafka, redis, sqs. Without it: the first four.
//   --quick       small numbers that only show that everything works
//   --save        writes the raw results to bench/results/
//
// Exit code 1 when a run failed; a missed goal is told in the table and fails nothing.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine, describePostgres } from './machine.ts';
import { fullSizes, type Measurement, measurements as onDatabases, quickSizes, type Raw } from './measurements.ts';
import { overKafka, overRedis, overSqs } from './over-buses.ts';
import { createSubject } from './subject.ts';
import { formatTable, type Row } from './table.ts';

const overBuses = { kafka: overKafka, redis: overRedis, sqs: overSqs };
const measurements: Readonly<Record<string, Measurement>> = { ...onDatabases, ...overBuses };

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n`);
    return 2;
  }
  const { names, isQuick, isSaved } = options;
  const sizes = isQuick ? quickSizes : fullSizes;
  const machine = describeMachine();
  const postgres = await postgresOf();
  print(
    [
      `${machine.cores} cores of ${machine.cpu}, ${machine.memoryGb} GB, ${machine.system}, Node ${machine.node}; ` +
        `8 KiB to disk in ${machine.diskSyncMs.toFixed(2)} ms`,
      `PostgreSQL: ${Object.entries(postgres)
        .map(([name, value]) => `${name} ${value}`)
        .join(', ')}`,
      'Closed loop, latency from sending; load, Orderly and database share the cores; partners simulated in process.',
      ...(machine.loadBefore > 0.5
        ? [`Others kept ${machine.loadBefore.toFixed(1)} cores busy in the minute before.`]
        : []),
      ...(isQuick ? ['Quick: the numbers mean nothing.'] : []),
    ].join('\n'),
  );

  const startedAt = new Date();
  const rows: Row[] = [];
  const raw: Record<string, Raw> = {};
  for (const name of names) {
    const result = await measurements[name]?.(sizes, (text) => void process.stderr.write(`  ${name}: ${text}\n`));
    rows.push(...(result?.rows ?? []));
    raw[name] = result?.raw ?? {};
  }
  print(`\n${formatTable(rows)}`);
  if (isSaved) print(`\nRaw results: ${save(startedAt, { machine, postgres, sizes, rows, raw })}`);
  return 0;
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string', multiple: true },
        quick: { type: 'boolean', default: false },
        save: { type: 'boolean', default: false },
      },
    });
    const known = Object.keys(measurements);
    const names = values.only ?? Object.keys(onDatabases);
    const unknown = names.find((name) => !known.includes(name));
    if (unknown !== undefined) return `There is no measurement "${unknown}": use ${known.join(', ')}.`;
    return { names, isQuick: values.quick, isSaved: values.save };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function postgresOf() {
  const subject = await createSubject({});
  try {
    return await describePostgres(subject.sql);
  } finally {
    await subject.close();
  }
}

function save(startedAt: Date, results: object): string {
  const directory = join(import.meta.dirname, 'results');
  mkdirSync(directory, { recursive: true });
  const name = `${startedAt.toISOString().slice(0, 16).replace(':', '-')}.json`;
  writeFileSync(join(directory, name), `${JSON.stringify({ startedAt, ...results }, null, 1)}\n`);
  return `bench/results/${name}`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

// One schedule on one database: several workers, one statement at a time, in an order that is drawn once
// and then replayed on the other databases.
//
// Promises: which worker was let through, who was blocked by whom, every statement with its answer, every
// operation with its result and the tables at the end are written down, in a form that can be compared.

import { type Backend, createWorker, headOf, type Said, settled } from './backend.ts';
import { olderThan, plain, rankedBy } from './compare.ts';
import { createDraw, createDrawnSystem, createKnown, createOperations } from './operations.ts';

export type Schedule = {
  readonly seed: number;
  readonly workers: number;
  // Statements that are let through before the last operations are ended.
  readonly steps: number;
  // Null = draw anew; else the workers to let through, in this order.
  readonly replay: readonly number[] | null;
};
export type Run = {
  readonly choices: readonly number[];
  // The clock of the database at each step.
  readonly ticks: readonly number[];
  readonly names: ReadonlySet<string>;
  // One line per step and statement, per operation of each worker, and per row at the end.
  readonly lines: readonly string[];
  readonly counts: { readonly blocked: number; readonly failed: number };
};

// Far enough in the past that no event is younger than the database's clock.
const startedAgoMs = 3_600_000;
const stepMs = 1_000;

export async function runSchedule(backend: Backend, schedule: Schedule, startMs: number): Promise<Run> {
  await backend.reset();
  const { seed, replay } = schedule;
  const known = createKnown();
  const names = new Set<string>();
  const scheduler = createDraw(seed);
  let step = 0;
  const nowMs = () => startMs - startedAgoMs + step * stepMs;

  let isEnding = false;
  const operationsOf = new Map<number, string[]>();
  const workers = backend.connections.slice(0, schedule.workers).map((connection) =>
    createWorker(connection, (name, values) => {
      names.add(name);
      known.learn(name, values);
    }),
  );
  const lives = workers.map(async (worker, index) => {
    const lines: string[] = [];
    operationsOf.set(index, lines);
    const draw = createDraw(seed * 31 + index + 1);
    const system = createDrawnSystem(index + 1, nowMs, draw);
    const { next } = createOperations({ database: worker.database, system, draw, known, index });
    for (;;) {
      await worker.nextOperation();
      if (isEnding) return;
      const { name, run } = next();
      const result = await run().catch((error) => ({ failed: (error as { code?: string }).code ?? String(error) }));
      lines.push(`worker ${index} ${name}: ${plain(result)}`);
    }
  });

  const choices: number[] = [];
  const ticks: number[] = [];
  const trace: (string | { readonly worker: number; readonly said: Said })[] = [];
  const told = workers.map(() => 0);
  const tellAnswers = () => {
    for (const [worker, { said }] of workers.entries()) {
      for (const one of said.slice(told[worker])) trace.push({ worker, said: one });
      told[worker] = said.length;
    }
  };
  let blocked = 0;
  let hasEnded = true;
  let waits = await settled(backend, workers);
  for (;;) {
    isEnding ||= step >= schedule.steps;
    const may = workers.flatMap((worker, index) => (worker.wants() === null ? [] : [index]));
    if (may.length === 0) break;
    // Of two that wait for one lock either may get it; so while one waits, only whom it waits for goes on.
    const heads = new Set([...waits.keys()].map((index) => headOf(index, waits)));
    const among = waits.size === 0 ? may : may.filter((index) => heads.has(index));
    if (among.length === 0) throw new Error(`nobody can go on, and some wait: ${plain([...waits])}`);
    const chosen = replay === null ? scheduler.pick(among) : replay[step];
    const worker = chosen === undefined ? undefined : workers[chosen];
    if (worker === undefined || worker.wants() === null) {
      // Where it differs is seen by comparing the lines; what hangs is left behind.
      trace.push(`step ${step + 1}: worker ${chosen} cannot go on`);
      hasEnded = false;
      break;
    }
    choices.push(chosen as number);
    step += 1;
    ticks.push(backend.tick(step - 1));
    worker.allow();
    waits = await settled(backend, workers);
    blocked += waits.size;
    trace.push(`step ${step}: worker ${chosen}; blocked: ${plain([...waits].sort())}`);
    tellAnswers();
  }
  if (hasEnded) await Promise.all(lives);

  const tables = await backend.tables();
  const endMs = backend.tick(step);
  ticks.push(endMs);
  const rank = rankedBy(tables.events as readonly { xid: string }[]);
  const seen = { rank, older: olderThan(tables.events as readonly { xid: string }[]), endMs };
  const steps = trace.map((one) => (typeof one === 'string' ? one : `worker ${one.worker} ${toText(one.said, seen)}`));
  const rows = Object.entries(tables).flatMap(([name, some]) =>
    some.map((row) => `${name} ${plain(row, seen)}`).sort(),
  );
  return {
    choices,
    ticks,
    names,
    lines: [...steps, ...[...operationsOf.values()].flat(), ...rows],
    counts: { blocked, failed: workers.flatMap(({ said }) => said).filter(({ answer }) => 'code' in answer).length },
  };
}

// Statements whose order is a promise, and total.
const ordered = ['read-events', 'list-dead-letters', 'read-open-dead-letters', 'lock-orders', 'read-analytics'];
function toText({ name, answer: said }: Said, seen: Parameters<typeof plain>[1]): string {
  // What a client has chosen has the same name elsewhere.
  const isNext = name === 'read-next-due' && 'rows' in said;
  const answer = isNext ? { rows: said.rows.map((row) => ({ next_due_in_ms: Object.values(row)[0] })) } : said;
  return `${name} ${plain(answer, { ...seen, sorts: !ordered.includes(name) })}`;
}

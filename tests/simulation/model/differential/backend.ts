// One database under the differential test: workers with a connection each, whose every statement waits
// for leave and is written down with its answer.
//
// Promises: `settled` resolves when every statement that was let through is answered or waits for a lock,
// and says who waits for whom. Nothing is slept for: PostgreSQL itself says who is blocked.

import { setImmediate as turn } from 'node:timers/promises';
import type pg from 'pg';
import { createDatabase, type Database } from '../../../../src/io/postgres/database.ts';
import { silentLog } from '../../../support/silent-log.ts';
import { statementName } from '../server.ts';

export type Answer = { readonly rows: readonly object[] } | { readonly code: string };
// What one connection was asked, and what it answered.
export type Said = { readonly name: string; readonly answer: Answer };

export type Connection = {
  readonly query: (text: string, values?: readonly unknown[]) => Promise<{ rows: object[] }>;
};
export type Backend = {
  readonly name: string;
  // The clock of the database as the statement that is let through next will see it, in ms.
  readonly tick: (step: number) => number;
  readonly connections: readonly Connection[];
  // For each connection in flight the one it waits for, or null while it works; by index.
  readonly blockers: (inFlight: readonly number[]) => Promise<Map<number, number | null>>;
  // Empty tables, as after migrating; `tables` are all rows at the end.
  readonly reset: () => Promise<void>;
  readonly tables: () => Promise<Readonly<Record<string, readonly object[]>>>;
  readonly close: () => Promise<void>;
};

export type Worker = {
  readonly database: Database;
  readonly said: readonly Said[];
  // Set while it waits for leave.
  readonly wants: () => 'operation' | 'statement' | null;
  readonly isInFlight: () => boolean;
  readonly allow: () => void;
  // Resolves when the scheduler lets the worker begin its next operation.
  readonly nextOperation: () => Promise<void>;
};

const onlyName = (error: unknown) => (error as { code?: string }).code ?? String(error);

export function createWorker(
  connection: Connection,
  onStatement: (name: string, values: readonly unknown[]) => void,
): Worker {
  const said: Said[] = [];
  let leave: { readonly to: 'operation' | 'statement'; readonly go: () => void } | null = null;
  let inFlight = false;
  const ask = (to: 'operation' | 'statement') =>
    new Promise<void>((go) => {
      leave = { to, go };
    });

  const query = async (text: string, values: readonly unknown[] = []) => {
    const name = statementName(text);
    onStatement(name, values);
    inFlight = true;
    try {
      const { rows } = await connection.query(withoutLimits(text), values);
      said.push({ name, answer: { rows: name === 'begin' ? [] : rows } });
      return { rows };
    } catch (error) {
      said.push({ name, answer: { code: onlyName(error) } });
      throw error;
    } finally {
      inFlight = false;
    }
  };
  const client = { on: () => {}, off: () => {}, release: () => {}, query };
  const pool = { on: () => {}, connect: async () => client, end: async () => {} } as unknown as pg.Pool;
  return {
    database: createDatabase({ pool, log: silentLog, turn: () => ask('statement'), onClose: async () => {} }),
    said,
    wants: () => leave?.to ?? null,
    isInFlight: () => inFlight,
    allow: () => {
      const go = leave?.go;
      leave = null;
      go?.();
    },
    nextOperation: () => ask('operation'),
  };
}

// However slow the machine is: a schedule says itself when somebody has waited long enough.
function withoutLimits(text: string): string {
  return text.startsWith('BEGIN')
    ? text.replace(/(lock_timeout|statement_timeout|session_timeout) = \d+/g, '$1 = 0')
    : text;
}

// Looks at a circle of waits before it is taken for one that nobody finds.
const looksMax = 5_000;

// Until nothing moves any more; answers who waits for whom.
export async function settled(
  backend: Backend,
  workers: readonly Pick<Worker, 'isInFlight'>[],
): Promise<Map<number, number>> {
  for (let looks = 0; ; looks += 1) {
    if (looks > looksMax) throw new Error(`${backend.name} does not come to rest`);
    await turn();
    const inFlight = workers.flatMap((worker, index) => (worker.isInFlight() ? [index] : []));
    if (inFlight.length === 0) return new Map();
    const blockers = await backend.blockers(inFlight);
    await turn();
    const isStill = inFlight.length === workers.filter((worker) => worker.isInFlight()).length;
    const waits = new Map([...blockers].filter((pair): pair is [number, number] => pair[1] !== null));
    // A circle is a deadlock that was not found yet.
    if (isStill && waits.size === inFlight.length && inFlight.every((index) => headOf(index, waits) !== null)) {
      return waits;
    }
  }
}

// Whom everybody in the chain waits for in the end; null in a circle.
export function headOf(index: number, waits: ReadonlyMap<number, number>): number | null {
  let head = index;
  for (let steps = 0; steps <= waits.size; steps += 1) {
    const next = waits.get(head);
    if (next === undefined) return head;
    head = next;
  }
  return null;
}

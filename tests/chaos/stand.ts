// What the supervisor stands on: a real PostgreSQL, the sandbox and several `start` processes on the same
// database, each a process of its own, and the faults that meet them.
//
// Promises: `strike` resolves when the fault has landed and no hand is on anything any more. The closings
// end and remove all of it, and so do guardians outside of this process when it dies.

import { setTimeout as pause } from 'node:timers/promises';
import { connectServer, type Query } from '../../src/io/postgres/database.ts';
import { quickSettings } from '../support/installation.ts';
import { startPostgres } from '../support/postgres.ts';
import { createProcesses, type Ended, findPort, type Settings } from '../support/process.ts';
import { silentLog } from '../support/silent-log.ts';
import type { Fault } from './schedule.ts';
import { createSeat, type Seat } from './seat.ts';

export const seatCount = 3;
export const leaseMs = Number(quickSettings.ORDER_WORKER_LEASE_MS);
// Keeps some orders in the middle of a step at any moment.
const processingDelayMs = 40;
// A command on a busy machine, over all orders of a long run.
const commandMs = 300_000;

export type Counts = {
  kills: number;
  killsOfStarting: number;
  killsOfFrozen: number;
  freezes: number;
  stops: number;
  sandboxKills: number;
  immediateStops: number;
  serverKills: number;
};
export type Stand = {
  readonly seats: readonly Seat[];
  readonly sandbox: Seat;
  readonly isDatabaseUp: () => boolean;
  readonly sql: Query;
  readonly counts: Readonly<Counts>;
  readonly strike: (fault: Fault) => Promise<void>;
  // `verify --ledger` as its operators run it.
  readonly verify: () => Promise<Ended>;
  // By name: what each process has said.
  readonly logs: () => ReadonlyMap<string, string>;
};

export async function openStand(options: {
  readonly tell: (event: string) => void;
  readonly onDefect: (what: string, lastWords?: string) => void;
  // Gets each closing before there is something to close, so that no moment is without.
  readonly onClose: (close: () => Promise<void>) => void;
}): Promise<Stand> {
  const { tell, onDefect, onClose } = options;
  const processes = createProcesses();
  onClose(processes.close);
  const starting = startPostgres();
  onClose(() => starting.then(({ stop }) => stop()).catch(() => undefined));
  const postgres = await starting;
  const databaseUrl = await postgres.createDatabase();
  processes.keepSecret(new URL(databaseUrl).password);
  const sandboxPort = await findPort();
  const sandboxUrl = `http://127.0.0.1:${sandboxPort}`;
  const settings: Settings = {
    ...quickSettings,
    DATABASE_URL: databaseUrl,
    PARTNERS_URL: sandboxUrl,
    PORT: 0,
    ORDER_WORKER_PROCESSING_DELAY_MS: processingDelayMs,
    SHUTDOWN_TIMEOUT_MS: 6_000,
  };
  const migrated = await processes.run(['migrate'], settings, commandMs);
  if (migrated.code !== 0) throw new Error(`the schema could not be made:\n${migrated.stderr}`);

  const database = connectServer({ url: databaseUrl, poolMax: 2, log: silentLog });
  onClose(database.close);
  const sandboxSettings = { SANDBOX_PORT: sandboxPort, ORDERLY_DATA_DIR: processes.directory };
  const seatOf = (name: string, role: 'start' | 'sandbox', given: Settings) =>
    createSeat({ name, begin: (patienceMs) => processes.begin(role, given, patienceMs), tell, onDefect });
  const sandbox = seatOf('sandbox', 'sandbox', sandboxSettings);
  const seats = Array.from({ length: seatCount }, (_, index) => seatOf(`orderly-${index + 1}`, 'start', settings));
  onClose(async () => {
    for (const seat of [sandbox, ...seats]) seat.close();
  });
  await Promise.all([sandbox, ...seats].map((seat) => seat.isRunning()));

  const counts: Counts = {
    kills: 0,
    killsOfStarting: 0,
    killsOfFrozen: 0,
    freezes: 0,
    stops: 0,
    sandboxKills: 0,
    immediateStops: 0,
    serverKills: 0,
  };
  let isDatabaseUp = true;
  // One after the other: a server that is down cannot crash.
  let crashes = Promise.resolve();

  async function crash({ how, downMs }: Extract<Fault, { kind: 'database' }>): Promise<void> {
    isDatabaseUp = false;
    tell(`the database goes down: ${how}`);
    if (how === 'immediate') await postgres.stopAtOnce();
    else await (how === 'all' ? postgres.kill9() : postgres.kill9Alone());
    counts[how === 'immediate' ? 'immediateStops' : 'serverKills'] += 1;
    await pause(downMs);
    await postgres.restart();
    isDatabaseUp = true;
    tell('the database is up');
  }

  async function kill(seat: Seat, downMs: number): Promise<void> {
    const met = await seat.kill(downMs);
    counts.kills += 1;
    if (met === 'starting') counts.killsOfStarting += 1;
    if (met === 'frozen') counts.killsOfFrozen += 1;
  }

  async function strike(fault: Fault): Promise<void> {
    await pause(fault.offsetMs);
    if (fault.kind === 'database') {
      crashes = crashes.then(() => crash(fault));
      return crashes;
    }
    if (fault.kind === 'sandbox') {
      await sandbox.kill(fault.downMs);
      counts.sandboxKills += 1;
      return;
    }
    const seat = seats[fault.seat];
    if (seat === undefined) throw new Error(`there is no seat ${fault.seat}`);
    if (fault.kind === 'kill') return kill(seat, fault.downMs);
    await (fault.kind === 'freeze' ? seat.freeze(fault.lastsMs) : seat.stop(fault.downMs));
    counts[fault.kind === 'freeze' ? 'freezes' : 'stops'] += 1;
  }

  return {
    seats,
    sandbox,
    isDatabaseUp: () => isDatabaseUp,
    sql: database.query,
    counts,
    strike,
    verify: () => processes.run(['verify', '--ledger', sandboxUrl], settings, commandMs),
    logs: () =>
      new Map([...[sandbox, ...seats].map((seat) => [seat.name, seat.said()] as const), ['postgres', postgres.log()]]),
  };
}

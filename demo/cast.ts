// Who plays: a real PostgreSQL, the partners and Orderly, each a process of its own; and how the story
// talks to them, over HTTP alone.
//
// Promises: `kill9` is SIGKILL, nothing is flushed or released before it; `restart` brings Orderly back
// under the same address. `close` ends and removes all of it, and so do guardians outside of this
// process when it dies without.

import type { Static } from 'typebox';
import type { deadLetterSchema, orderSchema, timelineEntrySchema } from '../src/io/http/answers.ts';
import type { LedgerPage } from '../src/io/partners/messages.ts';
import type { CueDirection, StageState } from '../src/io/partners/stage.ts';
import { startPostgres } from '../tests/support/postgres.ts';
import { createProcesses, findPort, type Settings } from '../tests/support/process.ts';

export type Order = Static<typeof orderSchema>;
export type DeadLetter = Static<typeof deadLetterSchema>;
export type TimelineEntry = Static<typeof timelineEntrySchema>;
export type LedgerEntry = LedgerPage['items'][number];

export type Answer = { readonly status: number; readonly headers: Headers; readonly text: string };
export type Ask = (method: 'GET' | 'POST', path: string, body?: object, key?: string) => Promise<Answer>;

export type Cast = {
  // Orderly's API.
  readonly ask: Ask;
  readonly ledgerOf: (orderId: string) => Promise<readonly LedgerEntry[]>;
  // How often a partner was called for this order.
  readonly callsOf: (orderId: string, call: string) => Promise<number>;
  // Makes the next such call of any order go wrong.
  readonly cue: (direction: CueDirection) => Promise<void>;
  // Calls whose answers are on their way at this moment.
  readonly answersOnTheWay: () => Promise<number>;
  readonly kill9: () => Promise<void>;
  readonly restart: () => Promise<void>;
  // The last words of Orderly, for the message of a failure.
  readonly lastWords: () => string;
};

// Short, so that a reader need not wait: the lease is what a dead worker's order waits for. A call must
// end a second before its lease.
const pace = {
  ORDER_WORKER_LEASE_MS: 2_500,
  ORDER_WORKER_TIMEOUT_MS: 1_400,
  ORDER_WORKER_RETRY_DELAY_MS: 250,
  ORDER_WORKER_RETRY_DELAY_MAX_MS: 500,
};

// `onClose` gets each closing before there is something to close, so that no moment is without.
export async function startCast(onClose: (close: () => Promise<void>) => void): Promise<Cast> {
  const processes = createProcesses();
  onClose(processes.close);
  const starting = startPostgres();
  const stopping = starting.then(
    ({ stop }) => stop,
    () => async () => {},
  );
  onClose(async () => (await stopping)());
  const sandbox = await processes.start('sandbox', { SANDBOX_PORT: 0, ORDERLY_DATA_DIR: processes.directory });
  const postgres = await starting;
  const settings: Settings = {
    ...pace,
    PORT: await findPort(),
    DATABASE_URL: await postgres.createDatabase(),
    PARTNERS_URL: sandbox.url,
  };
  const migrated = await processes.run(['migrate'], settings);
  if (migrated.code !== 0) throw new Error(`the schema could not be made:\n${migrated.stderr}`);
  let orderly = await processes.start('start', settings);

  const read = async <T>(path: string) => JSON.parse((await ask(sandbox.url, 'GET', path)).text) as T;
  return {
    ask: (method, path, body, key) => ask(orderly.url, method, path, body, key),
    ledgerOf: async (orderId) => (await read<LedgerPage>(`/ledger?orderId=${orderId}`)).items,
    callsOf: async (orderId, call) => {
      const { items } = await read<{ items: { call: string; calls: number }[] }>(`/ledger/calls?orderId=${orderId}`);
      return items.find((item) => item.call === call)?.calls ?? 0;
    },
    cue: async (direction) => void (await ask(sandbox.url, 'POST', '/control', direction)),
    answersOnTheWay: async () => (await read<StageState>('/control')).hanging,
    kill9: () => orderly.kill9(),
    restart: async () => {
      orderly = await processes.start('start', settings);
    },
    lastWords: () => {
      const words = orderly.log().map(({ msg }) => msg);
      return words.length === 0 ? 'nothing since it started' : words.slice(-10).join('\n');
    },
  };
}

async function ask(url: string, ...[method, path, body, key]: Parameters<Ask>): Promise<Answer> {
  const answer = await fetch(url + path, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

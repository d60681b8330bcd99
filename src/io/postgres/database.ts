// The database: single statements and short transactions over a pool, the same for a PostgreSQL server
// and for the embedded PGlite. Each statement begins with its name in a comment, for pg_stat_activity.
//
// Promises: statements are unnamed, and what an answer depends on is set in each transaction, whatever the role or the
// database says: a transaction-mode pooler keeps no session, and refuses or drops what is asked of one at its start. A
// connection that met a doubtful error is thrown away, never reused; one to a server that takes no writes (a standby)
// is not used at all. Connecting, waiting for a lock and running a statement are bounded in time, here and on the
// server. A transaction's work may run again: it must not touch the outside. Process dies inside: PostgreSQL rolls back.

import { Socket } from 'node:net';
import pg from 'pg';
import type { Log, System } from '../../engine/ports.ts';
import { failureOf, isReadOnlyError, NotConnectedError, ReadOnlyError } from './errors.ts';
import { createServerWatch, type ServerWatch } from './server-watch.ts';
import { withPlainTls } from './tls.ts';

export type Row = Record<string, unknown>;
export type Query = <R extends object = Row>(text: string, values?: readonly unknown[]) => Promise<R[]>;

export type Database = {
  // One statement, committed by itself.
  readonly query: Query;
  // One statement in a transaction of its own, for the limits and planner settings of a transaction: sent
  // with BEGIN and COMMIT in one round trip, so it commits even if this process dies on the way.
  readonly once: <R extends object = Row>(
    text: string,
    values: readonly unknown[],
    options?: { durable: boolean },
  ) => Promise<R[]>;
  // Statements that are started without awaiting each other travel in one round trip, in order.
  readonly transaction: <T>(work: (query: Query) => Promise<T>, options?: { durable: boolean }) => Promise<T>;
  readonly usage?: () => { open: number; idle: number; waiting: number };
  readonly close: () => Promise<void>;
};

// A connection that is not open by then will hardly be; callers wait for it.
const connectTimeoutMs = 3_000;
// No statement of ours takes a tenth of this, the cleanup included.
const statementTimeoutMs = 10_000;
// For the client's side: the server should have ended it before.
const answerTimeoutMs = 15_000;
// Our own locks last milliseconds; a stranger's lock stalls one order, which is then tried again.
const lockTimeoutMs = 2_000;

// READ COMMITTED: a statement sees what was committed before it began, whatever the role's default is. Times, numbers
// and arrays are written as they are read here and there. A role that may only read keeps that: who set it knows why.
const limits =
  'BEGIN ISOLATION LEVEL read committed; SET LOCAL DateStyle = ISO; SET LOCAL TimeZone = UTC; ' +
  `SET LOCAL extra_float_digits = 1; SET LOCAL array_nulls = on; SET LOCAL lock_timeout = ${lockTimeoutMs}; ` +
  `SET LOCAL statement_timeout = ${statementTimeoutMs}; ` +
  `SET LOCAL idle_in_transaction_session_timeout = ${statementTimeoutMs}`;

// Every statement of ours finds its rows by an index. A table that grew since its last ANALYZE would be
// read whole instead (seen: 6.5 ms instead of 0.5 ms for the effects of 128 orders), so the planner is
// not offered that way. None of them runs long enough to be compiled first, which an estimate without statistics would
// ask for. COMMIT must wait for the disk, except where losing the write is harmless.
const begin = (durable: boolean) =>
  `${limits}; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; ` +
  'SET LOCAL jit = off' +
  (durable ? '' : '; SET LOCAL synchronous_commit = off');

// int8 as a number: amounts are checked to be safe integers, counts and milliseconds are small.
const int8 = 20;
// A day has no time zone: it stays the text that it is, where pg would make a moment of it.
const date = 1082;
// timestamptz comes as `2026-11-21 07:00:00.123+00` by the settings above; pg's own parser, made for every style,
// takes ten times as long. It is here for the embedded database, whose single statements run without them.
const timestamptz = 1184;
const plainTime = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00$/;
const parseTime = pg.types.getTypeParser(timestamptz, 'text') as (text: string) => Date;
const toDate = (text: string) =>
  plainTime.test(text) ? new Date(`${text.slice(0, 10)}T${text.slice(11, -3)}Z`) : parseTime(text);

export const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === int8) return Number;
    if (oid === timestamptz) return toDate;
    if (oid === date) return String;
    return pg.types.getTypeParser(oid, format as 'text');
  }) as typeof pg.types.getTypeParser,
};

// An array parameter of values that contain nothing to escape: ids, numbers, times, words of ours. pg
// looks at every character of every element instead.
export function plainArray(values: readonly (string | number | Date | null)[]): string {
  return `{${values.map((value) => (value instanceof Date ? value.toISOString() : (value ?? 'NULL'))).join(',')}}`;
}

// What is written until all that is ready has run leaves in one system call: statements that travel together
// would else wake the server one by one.
function gatheringSocket(): Socket {
  const socket = new Socket();
  const write = socket.write.bind(socket) as (...values: unknown[]) => boolean;
  let isGathering = false;
  socket.write = (...values: unknown[]) => {
    if (!isGathering) {
      isGathering = true;
      socket.cork();
      process.nextTick(() => {
        isGathering = false;
        socket.uncork();
      });
    }
    return write(...values);
  };
  return socket;
}

export function connectServer(options: {
  readonly url: string;
  readonly poolMax: number;
  readonly log: Log;
  // For a migration, which may wait for another one, and whose statements last as long as they must.
  readonly waitsForAnswers?: boolean;
  // For who only looks, and may do so on a standby.
  readonly mayBeReadOnly?: boolean;
  // For who runs on: an outage of the server is told to the log under this name.
  readonly watched?: { readonly name: string; readonly system: System };
}): Database {
  const pool = new pg.Pool({
    connectionString: withPlainTls(options.url),
    max: options.poolMax,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: options.waitsForAnswers ? false : answerTimeoutMs,
    keepAlive: true,
    application_name: 'orderly',
    pipeline: true,
    stream: gatheringSocket,
    types,
    // A balancer or a name may lead to a standby for the seconds of a fail-over; the connection would stay there, and
    // answer with what was true before.
    ...(options.mayBeReadOnly ? {} : { onConnect: assertWritable }),
  } as pg.PoolConfig);
  const { log, watched } = options;
  const watch = watched === undefined ? null : createServerWatch({ ...watched, pool, log });
  return createDatabase({ pool, log, watch, turn: null, isBounded: true, onClose: async () => {} });
}

async function assertWritable(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query('/* look-whether-read-only */ SHOW transaction_read_only');
  if (rows[0]?.transaction_read_only === 'on') throw new ReadOnlyError();
}

export function createDatabase(options: {
  readonly pool: pg.Pool;
  readonly log: Log;
  readonly watch?: ServerWatch | null;
  // Null = a connection takes a statement before the former one is answered. Else statements are sent one
  // by one, each after this has resolved.
  readonly turn: (() => Promise<unknown>) | null;
  // A single statement is a transaction too, for the limits and settings of one. Not where nobody else sets any.
  readonly isBounded?: boolean;
  readonly onClose: () => Promise<void>;
}): Database {
  const { pool, log, watch = null, turn, isBounded = false, onClose } = options;
  // Rises when a connection turns out to take no writes: those that were open then may lead to the same server.
  let era = 0;
  const eras = new WeakMap<pg.PoolClient, number>();
  pool.on('connect', (client) => eras.set(client, era));
  // No news for anybody's statement; without a listener it would end the process.
  pool.on('error', () => {});

  async function connect(): Promise<pg.PoolClient> {
    try {
      // Each turn ends one connection of a former era, and there are no more than the pool holds.
      for (;;) {
        const client = await pool.connect();
        if ((eras.get(client) ?? era) === era) return client;
        client.release(true);
      }
    } catch (cause) {
      const error = new NotConnectedError(cause);
      watch?.failed(error);
      throw error;
    }
  }

  function suspectAllOfTheAgeOf(client: pg.PoolClient): void {
    if ((eras.get(client) ?? era) !== era) return;
    era += 1;
    log.warn({}, 'the database takes no writes; all connections are opened anew');
  }

  async function withClient<T>(work: (query: Query) => Promise<T>): Promise<T> {
    const client = await connect();
    // A checked-out client reports its broken socket as an event as well as by the failed statement.
    const ignore = () => {};
    client.on('error', ignore);
    let broken = false;
    let former: Promise<unknown> = Promise.resolve();
    const send = (text: string, values?: readonly unknown[]) => {
      if (turn === null) return client.query(text, values as unknown[]);
      const sent = former.then(turn).then(() => client.query(text, values as unknown[]));
      former = sent.catch(() => {});
      return sent;
    };
    const query = async <R extends object>(text: string, values?: readonly unknown[]): Promise<R[]> => {
      try {
        return (await send(text, values)).rows as R[];
      } catch (error) {
        const isReadOnly = isReadOnlyError(error);
        if (isReadOnly) suspectAllOfTheAgeOf(client);
        watch?.failed(error);
        broken ||= isReadOnly || failureOf(error) === 'lost';
        throw error;
      }
    };
    try {
      return await work(query);
    } finally {
      client.off('error', ignore);
      client.release(broken);
    }
  }

  const inOneTrip = <R extends object>(beginning: string, text: string, values?: readonly unknown[]) =>
    withClient(async (query) => {
      // After a failed statement COMMIT rolls back; the connection is free when all three are answered.
      const sent = [query(beginning), query<R>(text, values), query('COMMIT')] as const;
      await Promise.allSettled(sent);
      const [, rows] = await Promise.all(sent);
      return rows;
    });

  return {
    query: (text, values) => (isBounded ? inOneTrip(limits, text, values) : withClient((query) => query(text, values))),
    once: (text, values, { durable } = { durable: true }) => inOneTrip(begin(durable), text, values),
    transaction: (work, { durable } = { durable: true }) =>
      withClient(async (query) => {
        const begun = query(begin(durable));
        try {
          const [, result] = await Promise.all([begun, work(query)]);
          await query('COMMIT');
          return result;
        } catch (error) {
          await begun.catch(() => {});
          // A lost connection is thrown away, and the server rolls back by itself; on one that only fell
          // silent a ROLLBACK would be waited for as long again.
          if (failureOf(error) !== 'lost') await query('ROLLBACK').catch(() => {});
          throw error;
        }
      }),
    usage: () => ({ open: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close: async () => {
      watch?.close();
      await pool.end();
      await onClose();
    },
  };
}

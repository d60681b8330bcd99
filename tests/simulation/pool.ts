// A pg.Pool as src/io/postgres/database.ts uses one, and the database behind it, which may stop and come back.
//
// Promises: a connection that broke goes back to no idle list; whoever waits for one gets the next that is free, an
// error of its own after the time that the real pool waits, or nothing, if its process has died.

import type pg from 'pg';
import { type Connection, codedError, createConnection, type StoreEvents } from './connection.ts';
import type { Stream } from './draws.ts';
import { type Life, never } from './life.ts';
import type { ModelServer } from './model/server.ts';
import type { World } from './network.ts';

// As src/io/postgres/database.ts sets it for pg.
const connectTimeoutMs = 3_000;

export type SimulatedServer = {
  readonly poolFor: (life: Life, size: number) => pg.Pool;
  // Immediate stop of the database; it is back after `ms`.
  readonly crash: (ms: number) => void;
};

export function createSimulatedServer(options: {
  readonly world: World;
  readonly model: ModelServer;
  readonly latencyMs: readonly [number, number];
  // The share of packets whose statements run one by one, with those of others in between.
  readonly splitting: number;
  readonly events: StoreEvents;
}): SimulatedServer {
  const { world, model, latencyMs } = options;
  const { clock, draws, trace, counters, faults } = world;
  const [minMs, maxMs] = latencyMs;
  const connections = new Set<Connection>();
  let isDown = false;

  function openConnection(life: Life, stream: Stream, onBroken: () => void): Connection {
    const onGone = () => void connections.delete(connection);
    const connection = createConnection({ ...options, life, stream, onGone, onBroken });
    connections.add(connection);
    return connection;
  }

  function poolFor(life: Life, size: number): pg.Pool {
    const stream = draws(`${life.machine} store`);
    const idle: Client[] = [];
    const queue: {
      readonly resolve: (client: Client) => void;
      readonly reject: (error: Error) => void;
      isOver: boolean;
    }[] = [];
    let opened = 0;

    type Client = {
      connection: Connection;
      query: Connection['query'];
      on: () => void;
      off: () => void;
      release: (broken?: boolean) => void;
    };

    function toClient(connection: Connection): Client {
      const client: Client = {
        connection,
        query: connection.query,
        on: () => {},
        off: () => {},
        release: (broken) => {
          if (broken || connection.isBroken()) {
            connection.close();
            opened -= 1;
            serveNext();
            return;
          }
          const next = queue.shift();
          if (next === undefined) return void idle.push(client);
          next.isOver = true;
          next.resolve(client);
        },
      };
      return client;
    }

    // A place is free: whoever waits opens a connection of its own.
    function serveNext(): void {
      const next = queue.shift();
      if (next === undefined) return;
      next.isOver = true;
      open().then(next.resolve, next.reject);
    }

    function open(): Promise<Client> {
      opened += 1;
      return new Promise((resolve, reject) => {
        const fail = (error: Error, afterMs: number) =>
          clock.after(afterMs, () =>
            life.resume(() => {
              opened -= 1;
              reject(error);
              serveNext();
            }),
          );
        const mishap = isDown ? 'refused' : faults.atConnect(life);
        if (mishap === 'refused') {
          const code = stream.isHit(0.3) ? '57P03' : 'ECONNREFUSED';
          return void fail(codedError(code, 'the database cannot be reached'), stream.between(minMs, maxMs));
        }
        if (mishap === 'silence')
          return void fail(new Error('timeout exceeded when trying to connect'), connectTimeoutMs);
        clock.after(2 * stream.between(minMs, maxMs), () => {
          if (isDown) return void fail(codedError('ECONNREFUSED', 'the database cannot be reached'), 0);
          if (life.isOver()) return;
          const connection = openConnection(life, stream, () => {
            const index = idle.findIndex((client) => client.connection === connection);
            if (index < 0) return;
            idle.splice(index, 1);
            opened -= 1;
            serveNext();
          });
          life.resume(() => resolve(toClient(connection)));
        });
      });
    }

    function connect(): Promise<Client> {
      if (life.isOver()) return never();
      const client = idle.pop();
      if (client !== undefined) return Promise.resolve(client);
      if (opened < size) return open();
      return new Promise((resolve, reject) => {
        const waiter = {
          resolve: (client: Client) => {
            timer.cancel();
            resolve(client);
          },
          reject,
          isOver: false,
        };
        queue.push(waiter);
        const timer = clock.after(connectTimeoutMs, () =>
          life.resume(() => {
            if (waiter.isOver) return;
            queue.splice(queue.indexOf(waiter), 1);
            reject(new Error('timeout exceeded when trying to connect'));
          }),
        );
      });
    }

    const pool = {
      on: () => pool,
      connect,
      end: async () => {
        for (const client of idle.splice(0)) client.connection.close();
      },
    };
    return pool as unknown as pg.Pool;
  }

  return {
    poolFor,
    crash: (ms) => {
      isDown = true;
      trace.note('database', 'crash', `down for ${Math.round(ms)} ms`);
      counters.count('fault: the database crashes');
      model.crash();
      for (const connection of [...connections])
        connection.breakNow(codedError('57P02', 'terminating connection because of crash of another server process'));
      clock.after(ms, () => {
        isDown = false;
        trace.note('database', 'start', 'ok');
      });
    },
  };
}

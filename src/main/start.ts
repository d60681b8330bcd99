// The roles that work on orders: `start` is all of them in one process, `api`, `relay` and `worker` are
// processes of their own.
//
// Promises: each role is a set of duties of one and the same engine, so that what holds for one process
// holds for many; cleanup runs where the relay runs.

import { allConsumers, type Command } from './arguments.ts';
import { databaseName } from './database-name.ts';
import { type Greeter, greet } from './greeting.ts';
import { type ServeOptions, serve } from './serve.ts';

type StartOptions = Omit<ServeOptions, 'duties'> & Greeter;
export type ApartCommand = Extract<Command, { run: 'api' | 'relay' } | { run: 'worker' }>;

const nothing = { api: false, relay: false, consumers: [], isAlone: false };

export async function runStart(options: StartOptions): Promise<void> {
  const onReady = (url: string | null) => {
    const { database, dataDir, http } = options.config;
    const named = {
      url: url ?? '',
      database: databaseName({ ...database, dataDir }),
      docs: http.docs,
      console: http.console,
    };
    greet(named, options);
    options.onReady(url);
  };
  await serve({ ...options, onReady, duties: { api: true, relay: true, consumers: allConsumers, isAlone: true } });
}

export async function runApart(command: ApartCommand, options: StartOptions): Promise<void> {
  const consumers = command.run === 'worker' ? command.consumers : [];
  const duties = { ...nothing, api: command.run === 'api', relay: command.run === 'relay', consumers };
  const onReady = (url: string | null) => {
    options.log.info({ ...options.effective, consumers, url }, 'running');
    options.onReady(url);
  };
  await serve({ ...options, onReady, duties });
}

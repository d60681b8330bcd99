// `start --processes`: API, relay and one process per consumer on this machine, kept running, and the
// sandbox where no other partners are named.
//
// Promises: what the roles say is shown under their names; a role that cannot start ends all, with its
// sentence; one that dies is started again; a signal stops all of them within the set time, the partners
// last. Everything here may be done by hand, or by a platform, with the same commands.

import { join } from 'node:path';
import type { Logger } from 'pino';
import type { System } from '../engine/ports.ts';
import { createOutput } from '../io/output.ts';
import { CannotStartError, createSupervisor, type Post, type Supervisor } from '../io/supervisor.ts';
import { readableLine } from '../io/telemetry/log.ts';
import { allConsumers } from './arguments.ts';
import { type Config, environmentWith } from './config.ts';
import { databaseName } from './database-name.ts';
import { greet } from './greeting.ts';
import { callsPartners } from './open-partners.ts';
import { StartError } from './start-error.ts';
import { portOf } from './worker-port.ts';

type ProcessesOptions = {
  readonly config: Config;
  readonly scale: ReadonlyMap<string, number>;
  readonly isTerminal: boolean;
  readonly effective: object;
  readonly system: System;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
};

// Of the time that this process has to stop: the roles' share. The rest is for the sandbox and for us.
const rolesShare = 0.8;
// A role ends by itself a little before its time is over.
const killMarginMs = 100;
const sandbox = 'sandbox';

export async function runProcesses(options: ProcessesOptions): Promise<void> {
  const { config, system, log, signal } = options;
  const posts = planPosts(config, options.scale);
  const supervisor = createSupervisor({
    command: [process.execPath, ...process.execArgv, join(import.meta.dirname, 'cli.ts')],
    say: createVoices([...posts.map(({ name }) => name), sandbox], options),
    system,
    log,
  });
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const started = startAll(supervisor, posts, config).then((url) => {
    const database = databaseName({ ...config.database, dataDir: config.dataDir });
    greet({ url, database, docs: config.http.docs, console: config.http.console }, options);
  });
  try {
    await Promise.race([stopped, started]);
    await stopped;
  } catch (error) {
    if (!(error instanceof CannotStartError)) throw error;
    if (!signal.aborted) throw new StartError(`${error.message} The others are stopped.`);
  } finally {
    const rolesMs = config.shutdownTimeoutMs * rolesShare;
    await Promise.all(posts.map(({ name }) => supervisor.stop(rolesMs + killMarginMs, name)));
    await supervisor.stop(config.shutdownTimeoutMs - rolesMs, sandbox);
  }
}

// Answers where the API is.
async function startAll(
  supervisor: Supervisor,
  [api, ...others]: readonly [Post, ...Post[]],
  config: Config,
): Promise<string> {
  let partners: Readonly<Record<string, string>> = {};
  if (config.partners.url === null && others.some(({ args }) => args.some(callsPartners))) {
    const env = environmentWith({ ORDERLY_DATA_DIR: config.dataDir });
    const { url } = await supervisor.start({ name: sandbox, args: [sandbox], env, portSetting: 'SANDBOX_PORT' });
    partners = { PARTNERS_URL: url ?? '' };
  }
  // The API alone comes next: what keeps it from the database keeps the others too, and is said once.
  const { url } = await supervisor.start(api);
  await Promise.all(others.map((post) => supervisor.start({ ...post, env: { ...post.env, ...partners } })));
  return url ?? '';
}

function planPosts(config: Config, scale: ReadonlyMap<string, number>): readonly [Post, ...Post[]] {
  const env = environmentWith({ SHUTDOWN_TIMEOUT_MS: String(Math.ceil(config.shutdownTimeoutMs * rolesShare)) });
  const copies = (name: string) => {
    const count = scale.get(name) ?? 1;
    return Array.from({ length: count }, (_, index) => (count === 1 ? name : `${name}.${index + 1}`));
  };
  const api: Post = { name: 'api', args: ['api'], env, portSetting: 'PORT' };
  const others = ['relay', ...allConsumers]
    .flatMap((role) => copies(role).map((name) => ({ name, args: role === 'relay' ? [role] : ['worker', role] })))
    .map((post) => ({ ...post, portSetting: 'WORKER_PORT', env: { ...env, ...own(config, post.name) } }));
  return [api, ...others];
}

// What two processes of one machine cannot share.
function own(config: Config, name: string): Record<string, string> {
  const { workerPort } = config;
  const [role = '', copy = '1'] = name.split('.');
  const { instanceId } = config.bus.kafka;
  return {
    ...(workerPort ? { WORKER_PORT: String(portOf(role, workerPort, Number(copy) - 1)) } : {}),
    ...(instanceId ? { KAFKA_INSTANCE_ID: `${instanceId}-${name}` } : {}),
  };
}

// Where a person watches, readable lines behind the name of who says them; otherwise the same JSON lines as
// always, with the name as their first member.
function createVoices(names: readonly string[], { isTerminal, log }: ProcessesOptions) {
  const onDropped = (lines: number) => log.warn({ lines }, 'nobody read the processes for a while; lines were dropped');
  const outputs = { stdout: createOutput(process.stdout, onDropped), stderr: createOutput(process.stderr, onDropped) };
  const width = Math.max(...names.map((name) => name.length));
  const readable = isTerminal ? readableLine() : null;
  return (name: string, stream: 'stdout' | 'stderr', line: string): void => {
    const tell = (row: string) => outputs[stream].write(`${row}\n`);
    if (readable === null && line.startsWith('{"')) return tell(`{"process":${JSON.stringify(name)},${line.slice(1)}`);
    for (const row of (readable?.(line) ?? line).trimEnd().split('\n')) tell(`${name.padEnd(width)} │ ${row}`);
  };
}

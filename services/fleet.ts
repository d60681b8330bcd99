// Starts, stops, kills and looks at the real servers, one by one.
//
// Promises: a start resolves only when the server has answered a whole round trip; two starts, also of two
// commands, lead to the same server; an address from the environment is somebody else's server and is
// only asked; what a killed start has left is taken up by the next one; every refusal is one sentence.
// Relies on the record of each server (record.ts), written as soon as the server's process exists.

import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { StartError } from '../src/main/start-error.ts';
import { endContainer, launchContainer, pidOfContainer, tailOfContainer, whyNoEngine, whyNoImage } from './docker.ts';
import { elasticsearch } from './elasticsearch.ts';
import { kafka } from './kafka.ts';
import { isListening } from './listening.ts';
import { postgres } from './postgres.ts';
import { bootOf, endProcess, isAlive, launchProcess, tailOf } from './process.ts';
import { passwordIn, type Run, readRecord, type ServerRecord, writeRecord } from './record.ts';
import { redis } from './redis.ts';
import { type Launch, type Place, type Server, type ServerName, shown } from './server.ts';
import { sqs } from './sqs.ts';
import { inTurn } from './turns.ts';

export const servers: Readonly<Record<ServerName, Server>> = { postgres, kafka, redis, sqs, elasticsearch };

export type Via = 'docker' | 'packages';
export type Standing = {
  readonly name: ServerName;
  readonly how: 'docker' | 'package' | 'environment' | 'none';
  readonly pid: number | null;
  readonly address: string | null;
  // Null: it answers.
  readonly why: string | null;
};
export type FleetOptions = {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly say: (name: ServerName, text: string) => void;
  // Null: Docker where it works, else packages.
  readonly via?: Via | null;
  readonly ports?: Readonly<Partial<Record<ServerName, number>>>;
};
export type Fleet = ReturnType<typeof createFleet>;

// The longest seen is 15 s, for Elasticsearch with data on a busy machine.
const readyPatienceMs = 180_000;
// Backends of a killed PostgreSQL are gone after a second or two.
const passingPatienceMs = 15_000;
const pauseMs = 100;

export function createFleet({ directory, environment, say, via = null, ports = {} }: FleetOptions) {
  const directoryOf = (name: ServerName) => join(directory, name);

  // Null: ours. The address of our own server, which a shell has taken over, does not make it foreign.
  function foreignAddress(server: Server): string | null {
    const given = environment[server.setting] ?? '';
    return given === '' || given === readRecord(directoryOf(server.name))?.address ? null : given;
  }

  async function locked<T>(name: ServerName, act: () => Promise<T>): Promise<T> {
    const waiting = () => say(name, 'waits for another command that is at it');
    return await inTurn(join(directoryOf(name), 'turn.lock'), waiting, act);
  }

  async function look(name: ServerName): Promise<Standing> {
    const server = servers[name];
    const foreign = foreignAddress(server);
    if (foreign !== null) {
      return { name, how: 'environment', pid: null, address: foreign, why: await whyNot(server, foreign, 'read') };
    }
    const record = readRecord(directoryOf(name));
    if (record?.run == null) return { name, how: 'none', pid: null, address: null, why: 'not started' };
    const { run, address } = record;
    const pid = await pidOf(run);
    const why = pid === null ? 'its process is gone' : await whyNot(server, address, 'read');
    return { name, how: run.via, pid, address, why };
  }

  async function start(name: ServerName): Promise<Standing> {
    const server = servers[name];
    const foreign = foreignAddress(server);
    if (foreign === null) return await locked(name, () => startOurs(server));
    const why = await whyNot(server, foreign, 'read');
    if (why === null) return { name, how: 'environment', pid: null, address: foreign, why };
    throw new StartError(
      `${server.setting} is set to ${shown(foreign)}, and no ${server.title} answers there (${why}): ` +
        `start that server, or unset ${server.setting} to have one started here.`,
    );
  }

  async function startOurs(server: Server): Promise<Standing> {
    const { name } = server;
    const record = readRecord(directoryOf(name));
    const asked = ports[name];
    if (record?.run != null && (await pidOf(record.run)) !== null) {
      if (asked !== undefined && asked !== record.port) {
        throw new StartError(
          `${server.title} runs on port ${record.port} already: stop it before it can move to ${asked}.`,
        );
      }
      return await ready(server, record, 'read', null);
    }
    // It comes back where it was, so that addresses which others hold stay true.
    const port = asked ?? record?.port ?? server.port;
    if (await isListening(port)) {
      throw new StartError(
        `Port ${port} on 127.0.0.1 is taken by another program, and ${server.title} wants it: stop that program, ` +
          `choose another port with --port ${name}=${server.port + (port === server.port ? 10_000 : 0)}, or set ${server.setting} to use what is there.`,
      );
    }
    await assertSpace(server);
    const place: Place = {
      directory: directoryOf(name),
      downloads: join(directory, 'downloads'),
      port,
      password: server.hasPassword ? passwordIn(directoryOf(name), () => randomBytes(16).toString('hex')) : '',
      mayHaveOrphans: record === null || record.boot === bootOf(),
      say: (text) => say(name, text),
    };
    const remember = (run: Run) => {
      const written = { address: server.addressOf(port, place.password), port, boot: bootOf(), run };
      writeRecord(place.directory, written);
      return written;
    };
    if (await useDocker(server, place, record)) {
      const container = await server.fromDocker(place);
      const run = await launchContainer(place, container);
      return await ready(server, remember({ via: 'docker', ...run }), 'write', null);
    }
    const launch = await server.fromPackages(place);
    const launched = async () => {
      const life = await launchProcess(launch, logFileOf(name));
      // A kill of this command in between would leave a server that nobody knows, on a port that is taken.
      return remember({ via: 'package', ...life });
    };
    return await ready(server, await launched(), 'write', { launch, launched });
  }

  // Resolves when the server has answered. One that ends meanwhile is told by the end of its log.
  async function ready(
    server: Server,
    first: ServerRecord,
    depth: 'read' | 'write',
    again: { readonly launch: Launch; readonly launched: () => Promise<ServerRecord> } | null,
  ): Promise<Standing> {
    const { name } = server;
    const began = performance.now();
    let record = first;
    for (;;) {
      const run = record.run as Run;
      const pid = await pidOf(run);
      const waitedMs = performance.now() - began;
      if (pid === null) {
        const log = await logOf(name, run);
        if (again?.launch.isPassing?.(log) && waitedMs < passingPatienceMs) {
          await pause(pauseMs * 2);
          record = await again.launched();
          continue;
        }
        const words = log.trim().split('\n').slice(-5).join('\n  ');
        throw new StartError(
          `${server.title} ended while it started; the end of its log (${whereLog(name, run)}):\n  ${words}`,
        );
      }
      const why = (await isListening(record.port))
        ? await whyNot(server, record.address, depth)
        : 'it does not listen yet';
      if (why === null) return { name, how: run.via, pid, address: record.address, why };
      if (waitedMs > readyPatienceMs) {
        throw new StartError(
          `${server.title} runs (process ${pid}) and does not answer (${why}): look into ${whereLog(name, run)}, ` +
            `or end it with \`npm run services -- stop ${name}\`.`,
        );
      }
      await pause(pauseMs);
    }
  }

  // Where data of one way exists, the server stays with it, unless the other is asked for.
  async function useDocker(server: Server, place: Place, record: ServerRecord | null): Promise<boolean> {
    if (via === 'packages' || (via === null && record?.run?.via === 'package')) return false;
    const whyNone = (await whyNoEngine()) ?? (await whyNoImage((await server.fromDocker(place)).image, place.say));
    if (whyNone === null) return true;
    if (via === null) return false;
    throw new StartError(
      `${server.title} cannot run by Docker (${whyNone}): start the engine, or use \`--via packages\`.`,
    );
  }

  async function assertSpace(server: Server): Promise<void> {
    mkdirSync(directory, { recursive: true });
    const { bavail, bsize } = await statfs(directory);
    const freeMb = Math.floor((Number(bavail) * Number(bsize)) / 1024 ** 2);
    if (freeMb >= server.spaceMb) return;
    throw new StartError(
      `${server.title} needs ${server.spaceMb} MB, and the disk of ${directory} has ${freeMb} MB left: make room there.`,
    );
  }

  // Whether there was something of ours to end.
  async function end(name: ServerName, how: 'stop' | 'kill'): Promise<boolean> {
    return await locked(name, async () => {
      const record = readRecord(directoryOf(name));
      if (record?.run == null) return false;
      const wasThere = (await pidOf(record.run)) !== null;
      if (wasThere) await (record.run.via === 'docker' ? endContainer(record.run, how) : endProcess(record.run, how));
      // Died here: the next start or stop finds a run without a process.
      if (how === 'stop') writeRecord(directoryOf(name), { ...record, run: null });
      return wasThere;
    });
  }

  async function logOf(name: ServerName, run: Run): Promise<string> {
    return run.via === 'docker' ? await tailOfContainer(run) : tailOf(logFileOf(name));
  }

  const logFileOf = (name: ServerName) => join(directoryOf(name), `${name}.log`);
  const whereLog = (name: ServerName, run: Run) =>
    run.via === 'docker' ? `docker logs ${run.container}` : logFileOf(name);

  return {
    start,
    look,
    // Clean, with all that belongs to it; false when it was not running.
    stop: (name: ServerName) => end(name, 'stop'),
    // SIGKILL; the next start finds what a crash leaves.
    kill: (name: ServerName) => end(name, 'kill'),
    isForeign: (name: ServerName) => foreignAddress(servers[name]) !== null,
  };
}

async function pidOf(run: Run): Promise<number | null> {
  if (run.via === 'docker') return await pidOfContainer(run);
  return isAlive(run) ? run.pid : null;
}

// Null when the server has answered, else the reason in a few words.
async function whyNot(server: Server, address: string, depth: 'read' | 'write'): Promise<string | null> {
  try {
    await server.check(address, depth);
    return null;
  } catch (error) {
    const { message, code, errors } = error as { message?: string; code?: string; errors?: readonly Error[] };
    const reason = errors?.at(-1)?.message || message || code || String(error);
    return (reason.split('\n')[0] ?? '').replaceAll(address, shown(address)).slice(0, 200);
  }
}

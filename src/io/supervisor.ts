// Processes that this one starts and keeps running: each is started again when it dies, with a growing
// pause, until all are told to stop.
//
// Promises: what a process says comes line by line under its name; one that was never ready and ends with
// 2 cannot start, which ends the supervisor with that knowledge; each has a process group of its own, so that
// Ctrl-C reaches them through here alone, once. This process dies: their channel closes, and they stop.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Log, System } from '../engine/ports.ts';
import type { Ready } from './parent.ts';

export type Post = {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: Readonly<NodeJS.ProcessEnv>;
  // The setting of its port: once it has one, it gets the same again.
  readonly portSetting: string;
};

export type Supervisor = {
  // Resolves when the process is ready for the first time. Rejects when it cannot start.
  readonly start: (post: Post) => Promise<{ readonly url: string | null }>;
  // Ends these in an orderly way, or by force when the time is over, all of them where none is named.
  readonly stop: (patienceMs: number, name?: string) => Promise<void>;
};

export class CannotStartError extends Error {}

// What every role ends with when its reader must do something first.
const cannotStart = 2;
// A process that dies again and again is started again ever more rarely.
const pauseMsMin = 500;
const pauseMsMax = 30_000;
// One that ran this long has proved that it can.
const provenMs = 30_000;

export function createSupervisor(options: {
  readonly command: readonly [string, ...string[]];
  readonly say: (name: string, stream: 'stdout' | 'stderr', line: string) => void;
  readonly system: System;
  readonly log: Log;
}): Supervisor {
  const { command, say, system, log } = options;
  type Member = { readonly child: () => ChildProcess | null; readonly over: Promise<void>; readonly leave: () => void };
  const members = new Map<string, Member>();

  function launch({ name, args, env }: Post): ChildProcess {
    const [file, ...before] = command;
    const stdio = ['ignore', 'pipe', 'pipe', 'ipc'] as const;
    const child = spawn(file, [...before, ...args], { stdio: [...stdio], env: { ...env }, detached: true });
    for (const stream of ['stdout', 'stderr'] as const) {
      const input = child[stream];
      if (input) createInterface({ input }).on('line', (line) => say(name, stream, line));
    }
    return child;
  }

  function start(post: Post): Promise<{ url: string | null }> {
    const { name, portSetting } = post;
    const { promise, resolve, reject } = Promise.withResolvers<{ url: string | null }>();
    const leaving = new AbortController();
    let env = post.env;
    let current: ChildProcess | null = null;
    let wasReady = false;

    // One life of the process; answers how it ended.
    async function live(): Promise<number | string> {
      const child = launch({ ...post, env });
      current = child;
      log.debug({ process: name, pid: child.pid }, 'a process was started');
      child.on('message', (message) => {
        const { ready, url } = message as Partial<Ready>;
        if (ready !== true) return;
        wasReady = true;
        if (url) env = { ...env, [portSetting]: new URL(url).port };
        resolve({ url: url ?? null });
      });
      // `close` comes after the last line was read; a file that cannot be run has no other end than `error`.
      const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
      return ended.catch((error) => String(error));
    }

    async function keep(): Promise<void> {
      let quickEnds = 0;
      for (;;) {
        const startedMs = system.monotonicMs();
        const end = await live();
        current = null;
        if (!wasReady && (end === cannotStart || leaving.signal.aborted)) {
          return reject(new CannotStartError(`${name} could not be started.`));
        }
        if (leaving.signal.aborted) return;
        quickEnds = system.monotonicMs() - startedMs < provenMs ? quickEnds + 1 : 0;
        const pauseMs = Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(Math.max(0, quickEnds - 1), 10));
        log.warn({ process: name, end, pauseMs }, 'a process has ended by itself and is started again');
        await system.sleep(pauseMs, leaving.signal);
        if (leaving.signal.aborted) return wasReady ? undefined : reject(new CannotStartError(`${name} was stopped.`));
      }
    }

    const over = keep();
    members.set(name, {
      child: () => current,
      over,
      leave: () => {
        leaving.abort();
        current?.kill('SIGTERM');
      },
    });
    return promise;
  }

  return {
    start,
    stop: async (patienceMs, name) => {
      const going = [...members].filter(([each]) => name === undefined || each === name).map(([, member]) => member);
      for (const member of going) member.leave();
      const timer = system.after(patienceMs, () => {
        for (const member of going) member.child()?.kill('SIGKILL');
      });
      await Promise.all(going.map((member) => member.over));
      timer.cancel();
    },
  };
}

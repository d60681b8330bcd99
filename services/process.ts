// A server as a process of this machine that outlives the command which started it.
//
// Promises: a process is known by its number and the moment of its birth, so that a newcomer under the
// same number is never taken for it, nor killed; it hears no Ctrl-C of the terminal; its output goes to a
// file, of which the one before is kept.
// Relies on Linux' /proc, elsewhere on `ps`.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, renameSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Launch } from './server.ts';

export type Life = { readonly pid: number; readonly born: string; readonly stopSignal: 'SIGTERM' | 'SIGINT' };

// Kafka takes two to three seconds to hand over; a loaded machine ten times as much.
const stopPatienceMs = 30_000;
const pauseMs = 20;
const tailLength = 4_000;

export async function launchProcess(launch: Launch, logFile: string): Promise<Life> {
  try {
    renameSync(logFile, `${logFile}.before`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const log = openSync(logFile, 'w');
  const child = spawn(launch.command, launch.args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: launch.env ?? process.env,
    ...(launch.cwd === undefined ? {} : { cwd: launch.cwd }),
    ...launch.identity,
  });
  closeSync(log);
  child.unref();
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  // Null: it has ended already. Its birth is then unknown, which is a birth that nobody has.
  return { pid, born: bornOf(pid) ?? '', stopSignal: launch.stopSignal ?? 'SIGTERM' };
}

export function isAlive({ pid, born }: Life): boolean {
  return bornOf(pid) === born;
}

// Resolves when the process is gone. One that does not end in time is killed.
export async function endProcess(life: Life, how: 'stop' | 'kill'): Promise<void> {
  // PostgreSQL's backends live in sessions of their own, and one that is busy would outlive its server.
  const children = how === 'kill' ? childrenOf(life.pid) : [];
  if (!isAlive(life)) return;
  signalIfAlive(life.pid, how === 'kill' ? 'SIGKILL' : life.stopSignal);
  for (const pid of children) signalIfAlive(pid, 'SIGKILL');
  const deadline = performance.now() + stopPatienceMs;
  while (isAlive(life)) {
    if (performance.now() > deadline) signalIfAlive(life.pid, 'SIGKILL');
    await pause(pauseMs);
  }
}

export function tailOf(logFile: string): string {
  try {
    return readFileSync(logFile, 'utf8').slice(-tailLength);
  } catch {
    return '';
  }
}

// Changes with every start of the machine: process numbers of before mean nothing then. Empty where the
// system does not tell.
export function bootOf(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

// Null: there is no such process, or only what is left of it until its parent looks.
function bornOf(pid: number): string | null {
  if (pid <= 0) return null;
  if (process.platform !== 'linux') {
    try {
      const [state = 'Z', ...start] = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      })
        .trim()
        .split(/\s+/);
      return state.startsWith('Z') ? null : start.join(' ');
    } catch {
      return null;
    }
  }
  try {
    // The name, in brackets, may hold anything; after it come the state, the 18th is the number of threads,
    // the 20th the start. A dead process whose threads are not all gone still holds its port.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    const isDead = ['Z', 'X'].includes(fields[0] ?? '') && Number(fields[17]) <= 1;
    return isDead ? null : `${bootOf()} ${fields[19]}`;
  } catch {
    return null;
  }
}

// Where the system does not tell: none.
export function childrenOf(pid: number): number[] {
  try {
    const list =
      process.platform === 'linux'
        ? readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
        : execFileSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' });
    return (list.match(/\d+/g) ?? []).map(Number);
  } catch {
    return [];
  }
}

export function signalIfAlive(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

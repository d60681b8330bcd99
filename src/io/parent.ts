// The process that started this one: `start --processes`, or any other that forks with a channel; or npm, which
// has none, and passes on SIGINT and SIGTERM but not SIGHUP.
//
// Promises: a parent that dies in any way, kill -9 included, leaves no process behind that works on
// unseen: its end is told at once, by the kernel closing the channel, or within a second, where it is npm.
// A process of any other parent lives on without it, as a service should. Keeps no process alive.

import type { System } from '../engine/ports.ts';

export type Ready = { readonly ready: true; readonly url: string | null };

export function tellReady(url: string | null): void {
  // A parent that has just died hears nothing any more; `whenParentGone` says so.
  if (process.connected) process.send?.({ ready: true, url } satisfies Ready, () => {});
}

// How soon a process notices that its npm has gone; a check costs microseconds.
const pollMs = 1_000;

export function whenParentGone(
  call: () => void,
  { npmPid, system }: { readonly npmPid: number | null; readonly system: Pick<System, 'after'> },
): void {
  if (process.connected) {
    process.once('disconnect', call);
    process.channel?.unref();
  } else if (npmPid !== null) {
    // Told from outside: an npm that died while this process was loading is its parent no more.
    const check = () => (process.ppid === npmPid ? void system.after(pollMs, check) : call());
    check();
  }
}

// What processes take of the machine, as the kernel of Linux counts it; NaN elsewhere.
//
// Promises: a process is counted with its children, those that have ended included.

import { readdirSync, readFileSync } from 'node:fs';

// Linux counts CPU time in hundredths of a second, whatever the kernel's own clock.
const tickMs = 10;

export function cpuMs(pid: number): number {
  return sum(treeOf(pid), (each, { isRoot }) => {
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = statOf(each).slice(11, 15).map(Number);
    // What its ended children took; those of the root's children are in it as well once they have ended.
    return (utime + stime + (isRoot ? cutime + cstime : 0)) * tickMs;
  });
}

// Of the whole machine, what a hypervisor took from it included.
export function machineCpuMs(): number {
  const [first = ''] = readable(() => readFileSync('/proc/stat', 'utf8').split('\n')) ?? [];
  const [user = Number.NaN, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = first
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) * tickMs;
}

export function peakMb(pid: number): number {
  return sum(treeOf(pid), (each) => statusOf(each, 'VmHWM') / 1000);
}

export function residentMb(pid: number): number {
  return sum(treeOf(pid), (each) => statusOf(each, 'VmRSS') / 1000);
}

export function parentOf(pid: number): number {
  return Number(statOf(pid)[1]);
}

function statusOf(pid: number, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(found?.[1]) * 1.024;
}

// The fields after the name of the command, which may hold anything: state, parent, …
function statOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
}

function treeOf(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readable(() => readdirSync('/proc')) ?? []) {
    const parent = /^\d+$/.test(name) ? readable(() => parentOf(Number(name))) : undefined;
    if (parent !== undefined) parents.set(Number(name), parent);
  }
  const tree = [root];
  for (let at = 0; at < tree.length; at += 1) {
    for (const [pid, parent] of parents) if (parent === tree[at]) tree.push(pid);
  }
  return tree;
}

// A child that has ended meanwhile counts nothing; a root that cannot be read makes the sum unknown.
function sum(pids: readonly number[], of: (pid: number, place: { readonly isRoot: boolean }) => number): number {
  return pids.reduce((total, pid, at) => {
    const value = readable(() => of(pid, { isRoot: at === 0 }));
    return total + (value ?? (at === 0 ? Number.NaN : 0));
  }, 0);
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

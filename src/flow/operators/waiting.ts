// What waits, for what, and who works on it: for an operator's overview.
//
// Promises: data alone, and the one rule that says for what a job waits. What a process tells of itself is as old as its
// last word; one that has been silent for a while is not alive.

import type { BoundedCount } from '../dead-letters.ts';
import { subscriptions } from '../subscriptions.ts';
import type { Pause, PauseKind } from './pauses.ts';

export type BreakerState = {
  readonly name: string;
  readonly state: 'closed' | 'open' | 'half-open';
  readonly since: string | null;
  readonly code: string | null;
};
export type BreakerChange = {
  readonly at: string;
  readonly name: string;
  readonly state: 'open' | 'closed';
  readonly code: string | null;
};
export type RunningJob = {
  readonly orderId: string;
  readonly version: number;
  readonly consumer: string;
  readonly since: string;
};

// What a process tells of itself.
export type ProcessState = {
  readonly role: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly consumers: readonly string[];
  readonly running: Readonly<Record<string, number>>;
  // Those that run longest.
  readonly jobs: readonly RunningJob[];
  readonly breakers: readonly BreakerState[];
  // Newest last.
  readonly changes: readonly BreakerChange[];
};
export type Process = ProcessState & {
  readonly id: string;
  readonly startedAt: Date;
  readonly seenAt: Date;
  readonly isAlive: boolean;
};

export type Overview = {
  readonly jobs: readonly {
    readonly consumer: string;
    readonly due: BoundedCount;
    readonly waiting: BoundedCount;
    readonly oldestDueAt: Date | null;
  }[];
  readonly deadLetters: readonly (BoundedCount & { readonly consumer: string })[];
  readonly down: readonly { readonly name: string; readonly since: Date }[];
  readonly cursors: readonly {
    readonly reader: string;
    readonly readTo: number;
    readonly behind: number;
    readonly oldestAt: Date | null;
    readonly leaseUntil: Date | null;
  }[];
  readonly processes: readonly Process[];
  readonly pauses: readonly Pause[];
};

export const jobStates = ['due', 'running', 'waiting'] as const;
export type JobState = (typeof jobStates)[number];
export type JobFilter = {
  readonly consumer?: string | undefined;
  readonly state?: JobState | undefined;
  readonly orderId?: string | undefined;
  readonly limit: number;
};
export type WaitingJob = {
  readonly orderId: string;
  readonly version: number;
  readonly consumer: string;
  readonly eventType: string;
  readonly state: JobState;
  readonly createdAt: Date;
  readonly dueAt: Date;
  readonly leaseUntil: Date | null;
  readonly attempt: number;
  readonly epoch: number;
  readonly isUncharged: boolean;
  readonly lastCode: string | null;
};
// For what it waits, and where it runs, as far as its process has told.
export type JobWait = {
  readonly waitsFor: WaitsFor;
  readonly partner: string | null;
  readonly process: string | null;
  readonly since: string | null;
};
export type WaitsFor = 'answer' | 'worker' | 'next-try' | 'partner' | 'pause';

// Whose breakers a consumer heeds.
export const partnersOf = (consumer: string): readonly string[] =>
  consumer === 'search' ? ['search'] : (subscriptions.find((row) => row.consumer === consumer)?.dependencies ?? []);

export function waitsFor(
  { orderId, consumer, state, isUncharged }: WaitingJob,
  given: { readonly pauses: readonly Pause[]; readonly down: readonly string[] },
): Pick<JobWait, 'waitsFor' | 'partner'> {
  const partners = partnersOf(consumer);
  const isPaused = (kind: PauseKind, name: string) =>
    given.pauses.some((one) => one.kind === kind && one.name === name);
  const away = partners.find((name) => given.down.includes(name)) ?? null;
  if (state === 'running') return { waitsFor: 'answer', partner: partners[0] ?? null };
  const paused = partners.find((name) => isPaused('partner', name)) ?? null;
  if (paused !== null || isPaused('consumer', consumer) || isPaused('order', orderId)) {
    return { waitsFor: 'pause', partner: paused };
  }
  if (away !== null || (state === 'waiting' && isUncharged))
    return { waitsFor: 'partner', partner: away ?? partners[0] ?? null };
  return { waitsFor: state === 'due' ? 'worker' : 'next-try', partner: null };
}

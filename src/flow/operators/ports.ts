// What operators ask for beyond single orders: what waits and why, what people did, what is to be held back.
//
// Promises: every answer is bounded, whatever the database holds; a count that is cut says so. A database that cannot
// answer throws UnavailableError; every no is a Refusal.

import type { Order } from '../../domain/order.ts';
import type { Refusal } from '../../domain/refusals.ts';
import type { Event } from '../../engine/ports.ts';
import type { BoundedCount, DeadLetter, DeadLetterSelection } from '../dead-letters.ts';
import type { TimelineEntry } from '../orders/sentences.ts';
import type { By } from '../ports.ts';

import type { Pause } from './pauses.ts';
import type { Asking, Replays } from './replays.ts';
import type { JobFilter, JobWait, Overview, WaitingJob } from './waiting.ts';

export const groupKeys = ['consumer', 'code', 'partner', 'country', 'currency', 'amount', 'hour', 'day'] as const;
export type GroupKey = (typeof groupKeys)[number];
export type DeadLetterGroup = BoundedCount & {
  // By the names of a selection.
  readonly group: DeadLetterSelection;
  readonly oldestAt: Date;
  readonly newestAt: Date;
  readonly sampleId: string;
  readonly sampleMessage: string;
};
export type DeadLetterGroups = {
  // Most dead letters first.
  readonly items: readonly DeadLetterGroup[];
  readonly total: BoundedCount;
  // Null = all were looked at.
  readonly lookedBackTo: Date | null;
};

export type Attempt = {
  readonly at: Date;
  readonly attempt: number;
  readonly epoch: number;
  readonly outcome: string;
  readonly code: string;
  readonly message: string;
  readonly durationMs: number | null;
};
// A dead letter with all that is known of its work.
export type DeadLetterStory = {
  readonly letter: DeadLetter;
  readonly order: Order;
  readonly event: Event;
  readonly attempts: readonly Attempt[];
  readonly timeline: readonly TimelineEntry[];
  // Of the same order, oldest first.
  readonly others: readonly DeadLetter[];
};

export type AuditFilter = {
  readonly limit: number;
  // The id of the last entry of the page before.
  readonly after: { readonly at: Date; readonly id: string } | null;
  readonly action?: string | undefined;
  readonly by?: string | undefined;
  readonly orderId?: string | undefined;
  readonly from?: Date | null | undefined;
  readonly to?: Date | null | undefined;
};
export type AuditEntry = {
  readonly id: string;
  readonly at: Date;
  readonly action: string;
  readonly by: By;
  readonly orderId: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly correlationId: string;
};
export type AuditPage = {
  readonly items: readonly AuditEntry[];
  readonly next: { readonly at: Date; readonly id: string } | null;
};

export type OperatorDesk = {
  readonly replays: Replays;
  readonly overview: () => Promise<Overview>;
  // Longest due first.
  readonly jobs: (filter: JobFilter) => Promise<readonly (WaitingJob & JobWait)[]>;
  readonly pauses: () => Promise<readonly Pause[]>;
  // Replaces an earlier one of the same.
  readonly pause: (
    asked: Pick<Pause, 'kind' | 'name' | 'reason' | 'until'>,
    asking: Asking,
  ) => Promise<Pause | Refusal>;
  // Answers what is still paused.
  readonly resume: (asked: Pick<Pause, 'kind' | 'name'>, asking: Asking) => Promise<readonly Pause[]>;
  readonly deadLetterGroups: (by: readonly GroupKey[], selection: DeadLetterSelection) => Promise<DeadLetterGroups>;
  readonly deadLetter: (id: string) => Promise<DeadLetterStory | Refusal>;
  // Newest first.
  readonly audit: (filter: AuditFilter) => Promise<AuditPage>;
};

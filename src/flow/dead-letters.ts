// What an operator sees of dead letters, and how some of them are meant.
//
// Promises: data alone. A selection names what a group of dead letters has in common, so that a group can be selected.

import type { Order } from '../domain/order.ts';

export type DeadLetterClosing = 'reprocessed' | 'canceled' | 'discarded';

export type DeadLetter = {
  readonly id: string;
  readonly orderId: string;
  readonly consumer: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly failureClass: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly retryCount: number;
  readonly failedAt: Date;
  // Whose call failed; null where no partner was called.
  readonly partner: string | null;
  // How many dead letters this work has had, this one included.
  readonly times: number;
  readonly closedAt: Date | null;
  readonly closedHow: DeadLetterClosing | null;
  readonly order: Pick<Order, 'status' | 'amount' | 'currency' | 'country'>;
};

// Absent or null = any.
export type DeadLetterSelection = {
  readonly [Field in 'consumer' | 'code' | 'country' | 'currency' | 'orderId' | 'text']?: string | null | undefined;
} & {
  // Empty = no partner was called.
  readonly partner?: string | null | undefined;
  // Minor units, both inclusive.
  readonly amountMin?: number | null | undefined;
  readonly amountMax?: number | null | undefined;
  // Of the failure; `to` is exclusive.
  readonly from?: Date | null | undefined;
  readonly to?: Date | null | undefined;
};
export type DeadLetterPlace = { readonly failedAt: Date; readonly id: string };
export type DeadLetterFilter = DeadLetterSelection & {
  readonly limit: number;
  readonly after: DeadLetterPlace | null;
  // Absent = the open ones.
  readonly isClosed?: boolean;
};
// `next` is null on the last page; a page may be shorter than its limit, where few of many are selected.
export type DeadLetterPage = {
  readonly items: readonly DeadLetter[];
  readonly next: DeadLetterPlace | null;
};

// `isAtLeast` = that many, or more.
export type BoundedCount = { readonly count: number; readonly isAtLeast: boolean };

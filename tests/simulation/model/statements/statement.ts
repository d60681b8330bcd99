// What a modelled statement is: the tables, its transaction and its values in, rows out.
//
// One that may wait for a lock is a generator; one that only reads is a plain function.

import type { Tables } from '../schema.ts';
import type { Waiting } from '../table.ts';
import type { Transaction } from '../transactions.ts';

export type Row = Record<string, unknown>;
export type Ask = {
  readonly tables: Tables;
  readonly tx: Transaction;
  // clock_timestamp() in ms.
  readonly nowMs: () => number;
  // now(): when the transaction began, in ms.
  readonly startedMs: () => number;
  // pg_snapshot_xmin(pg_current_snapshot()).
  readonly xmin: () => number;
  // The statement itself, where it comes in several forms.
  readonly text: string;
};
export type Statement = (ask: Ask, values: readonly unknown[]) => Row[] | Waiting<Row[]>;

// The answer of `RETURNING 1`.
export const ones = (rows: readonly unknown[]): Row[] => rows.map(() => ({ '?column?': 1 }));

// uuid, and text under the locale C, sort by their bytes.
export const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

// A condition of SQL holds for true alone, and null equals nothing.
export const equal = (one: unknown, other: unknown): boolean => one !== null && one === other;

export const laterBy = (nowMs: number, ms: number | null): Date | null => (ms === null ? null : new Date(nowMs + ms));
export const isOver = (time: Date | null, nowMs: number): boolean => time !== null && time.getTime() <= nowMs;

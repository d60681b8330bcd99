// What a reader of a run sees: a line every few seconds, and a table at the end.

import type { Query } from '../../src/io/postgres/database.ts';
import { countTakeovers } from '../support/audit.ts';
import type { Customers } from './customers.ts';
import type { Asked } from './schedule.ts';
import type { Stand } from './stand.ts';

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

export const spellSeconds = (ms: number) => `${(ms / 1000).toFixed(0)} s`;

export function progressLine(asked: Asked, stand: Stand, customers: Customers, sinceMs: number): string {
  const { kills, freezes, immediateStops, serverKills } = stand.counts;
  const states = stand.seats.map((seat) => seat.state().padEnd(8)).join(' ');
  return [
    spellSeconds(sinceMs).padStart(7),
    `${String(customers.client.acknowledged.size).padStart(6)} orders`,
    `kills ${ofAll(kills, asked.kills)}`,
    `freezes ${ofAll(freezes, asked.freezes)}`,
    `crashes ${ofAll(immediateStops + serverKills, asked.crashes)}`,
    states,
    stand.isDatabaseUp() ? '' : 'no database',
    stand.sandbox.state() === 'running' ? '' : 'no sandbox',
  ]
    .filter((part) => part !== '')
    .join('   ')
    .trimEnd();
}

export async function printTable(stand: Stand, customers: Customers, reprocessed: number, ms: number): Promise<void> {
  const { counts, sql } = stand;
  const { client, tooLate } = customers;
  const crashes = counts.immediateStops + counts.serverKills;
  const statuses = await readStatuses(sql);
  const answers = [...client.statuses].sort(([one], [other]) => one - other);
  const rows: [string, number | string, string][] = [
    ['kills', counts.kills, `${counts.killsOfStarting} while starting, ${counts.killsOfFrozen} while frozen`],
    ['freezes', counts.freezes, 'past the lease'],
    ['stops in order', counts.stops, ''],
    ['database crashes', crashes, `${counts.immediateStops} immediate stops, ${counts.serverKills} kill -9`],
    ['kills of the sandbox', counts.sandboxKills, ''],
    ['orders acknowledged', client.acknowledged.size, `of ${client.sent.size} that were sent`],
    ...statuses.map(({ status, count }): [string, number, string] => [`  ${status}`, count, '']),
    ['cancels', client.canceled.size, `and ${tooLate.size} that came too late`],
    ['reprocessed', reprocessed, 'by the operator, in the middle of it'],
    ['takeovers', await countTakeovers(sql), ''],
    ['stale settles', stand.seats.reduce((sum, seat) => sum + timesSaid(seat.said()), 0), 'of zombies, all refused'],
    ['duration', spellSeconds(ms), ''],
  ];
  print();
  for (const [name, value, more] of rows)
    print(`  ${name.padEnd(22)} ${String(value).padStart(7)}   ${more}`.trimEnd());
  const spelled = answers.map(([status, count]) => `${status === 0 ? 'none' : status} × ${count}`).join(', ');
  print(`  answers to customers: ${spelled}`);
}

function readStatuses(sql: Query) {
  return sql<{ status: string; count: number }>(
    'SELECT status, count(*)::integer AS count FROM orders GROUP BY status ORDER BY count DESC',
  );
}

const timesSaid = (text: string) => text.split('a stale settle was refused').length - 1;

const ofAll = (done: number, all: number) => `${String(done).padStart(String(all).length)}/${all}`;

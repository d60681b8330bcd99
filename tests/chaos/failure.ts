// When a promise was broken: the findings with the orders concerned, their timelines and what the
// partners have of them; what everybody said lies in files.
//
// Promises: tells as much as can still be told; whatever is down by then is left out.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Customers } from './customers.ts';
import type { Finding } from './evidence.ts';
import { print } from './page.ts';
import type { Stand } from './stand.ts';

const root = dirname(dirname(import.meta.dirname));
const subjectsShown = 5;
const ordersShown = 3;
const answerMs = 5_000;
const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

export function printFindings(findings: readonly Finding[]): void {
  for (const { what, subjects } of findings) {
    print(`\n  BROKEN: ${what} (${subjects.length})`);
    for (const subject of subjects.slice(0, subjectsShown)) print(`    ${subject.replaceAll('\n', '\n    ')}`);
  }
}

export async function printOrders(findings: readonly Finding[], stand: Stand): Promise<void> {
  const named = findings.flatMap(({ subjects }) => subjects.flatMap((subject) => subject.match(uuid) ?? []));
  for (const orderId of [...new Set(named)].slice(0, ordersShown)) {
    const url = stand.seats.find((seat) => seat.state() === 'running')?.url();
    const timeline = await read<Entry>(`${url}/orders/${orderId}/timeline`);
    // Some ids are those of events and dead letters.
    if (timeline.length === 0) continue;
    print(`\n  ${orderId}`);
    for (const { at, type, consumer, text } of timeline) print(`    ${at}  ${consumer ?? ''} ${type}: ${text}`);
    for (const entry of await read(`${stand.sandbox.url()}/ledger?orderId=${orderId}`)) {
      print(`    at the partners: ${JSON.stringify(entry)}`);
    }
  }
}
type Entry = { readonly at: string; readonly type: string; readonly consumer: string | null; readonly text: string };

async function read<T>(url: string): Promise<readonly T[]> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(answerMs) });
    return ((await response.json()) as { items?: T[] }).items ?? [];
  } catch {
    return [];
  }
}

// Answers where they lie.
export function keepLogs(
  seed: number,
  events: readonly string[],
  findings: readonly Finding[],
  stand: Stand | null,
  customers: Customers | null,
): string {
  const place = join('.orderly/chaos', `seed-${seed}`);
  const directory = join(root, place);
  mkdirSync(directory, { recursive: true });
  const keep = (name: string, text: string) => writeFileSync(join(directory, name), text);
  keep('events.txt', events.join('\n'));
  keep('findings.json', JSON.stringify(findings, null, 1));
  for (const [name, text] of stand?.logs() ?? []) keep(`${name}.txt`, text);
  if (customers !== null) {
    const { sent, acknowledged } = customers.client;
    const lines = [...sent].map(([key, request]) => JSON.stringify({ key, request, ...acknowledged.get(key) }));
    keep('customers.jsonl', lines.join('\n'));
  }
  return place;
}

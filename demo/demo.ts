// `npm run demo`: six orders on real processes, and what can go wrong between a customer, a card, a
// carrier and a database: the story in a dozen lines, then each order's timeline.
//
// Promises: what a line says was seen before it is printed. Exit code 0 = everything was as told; 1 =
// something differed, and what; 130 = interrupted. Nothing is left behind.

import { onStopSignal } from '../src/io/signals.ts';
import { createSystem } from '../src/io/system.ts';
import { type Cast, type Order, startCast } from './cast.ts';
import { chapters } from './chapters.ts';
import { print, printParagraph, printStory, printTimeline } from './page.ts';
import { doneBy, expect, isMailed, kindsOfMail, openDeadLetters, readTimeline } from './witness.ts';

process.exit(await main());

type Told = { readonly title: string; readonly order: Order };

async function main(): Promise<number> {
  const closings: (() => Promise<void>)[] = [];
  const stop = new AbortController();
  const stopped = new Promise<number>((resolve) => stop.signal.addEventListener('abort', () => resolve(130)));
  // A second one ends at once; guardians outside of this process then do what `closings` would have done.
  onStopSignal(() => stop.abort(), createSystem());
  // Whoever read the output has gone.
  process.stdout.on('error', () => stop.abort());

  const scene: { cast: Cast | null } = { cast: null };
  const play = async (): Promise<number> => {
    print('Orderly, PostgreSQL and the partners (card, carrier, mail), each in a process of its own:\n');
    scene.cast = await startCast((close) => closings.push(close));
    await tell(scene.cast, stop.signal);
    return 0;
  };
  try {
    return await Promise.race([play(), stopped]);
  } catch (error) {
    if (stop.signal.aborted) return 130;
    const lastWords = scene.cast?.lastWords() ?? 'none, for it did not start';
    process.stderr.write(`\nThe story went differently. ${(error as Error).message}\n`);
    process.stderr.write(`\nThe last words of Orderly: ${lastWords}\n`);
    return 1;
  } finally {
    stop.abort();
    await Promise.all(closings.map((close) => close()));
  }
}

async function tell(cast: Cast, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  const told: Told[] = [];
  for (const { title, play } of chapters) {
    let label = title;
    const order = await play(cast, (text, subject) => {
      signal.throwIfAborted();
      printStory({ atMs: performance.now() - started, label, text, status: subject?.status ?? '' });
      label = '';
    });
    told.push({ title, order });
  }

  const { asked, authorizations, bookings, perOrder } = await audit(cast, told);
  signal.throwIfAborted();
  print();
  printParagraph(
    `The partners' own ledger: ${asked} requests to authorize became ${authorizations} authorizations, ${perOrder} per ` +
      `order; ${bookings} bookings, ${perOrder} per order; the canceled order's are undone; no mail was sent twice.`,
  );
  for (const { title, order } of told) await showTimeline(cast, title, order.id);

  const deadLetters = await openDeadLetters(cast);
  expect('open dead letters at the end', deadLetters, []);
  signal.throwIfAborted();
  print();
  printParagraph(
    `All checked in ${((performance.now() - started) / 1000).toFixed(1)} s: authorizations per order = ${perOrder} · ` +
      `bookings per order = ${perOrder} · open dead letters = ${deadLetters.length}`,
  );
}

// What the partners say at the end, order by order.
async function audit(cast: Cast, told: readonly Told[]) {
  const totals = { asked: 0, authorizations: 0, bookings: 0, perOrder: 1 };
  for (const { title, order } of told) {
    const isCanceled = order.status === 'CANCELED';
    await isMailed(cast, order.id, isCanceled ? 'canceled' : 'processed');
    const entries = await cast.ledgerOf(order.id);
    const authorized = doneBy('payments', entries);
    const booked = doneBy('carrier', entries);
    const kinds = kindsOfMail(entries);
    expect(
      `${title}: the provider`,
      states(authorized),
      Array(totals.perOrder).fill(isCanceled ? 'voided' : 'authorized'),
    );
    expect(`${title}: the carrier`, states(booked), Array(totals.perOrder).fill(isCanceled ? 'recalled' : 'booked'));
    expect(`${title}: kinds of mail, of ${kinds.length} mails`, new Set(kinds).size, kinds.length);
    totals.asked += await cast.callsOf(order.id, 'authorize');
    totals.authorizations += authorized.length;
    totals.bookings += booked.length;
  }
  return totals;
}

function states(entries: readonly { readonly state: string }[]): readonly string[] {
  return entries.map(({ state }) => state);
}

async function showTimeline(cast: Cast, title: string, id: string): Promise<void> {
  const entries = await readTimeline(cast, id);
  const startMs = Date.parse(entries[0]?.at ?? '');
  const lines = entries.map(({ at, type, text }) => ({ offsetMs: Date.parse(at) - startMs, type, text }));
  printTimeline(title, id, lines);
}

// The story in six chapters, one order each. Every chapter makes something go wrong, tells what happened
// and answers the order it was about.
//
// Promises: a line is told after what it says was seen, in the API or in the partners' ledger.
// Relies on each chapter beginning where nothing of the former ones is under way.

import { randomUUID } from 'node:crypto';
import type { Cast, Order } from './cast.ts';
import { groupDigits } from './page.ts';
import {
  answerIsOnTheWay,
  doneBy,
  expect,
  isMailed,
  openDeadLetters,
  orderBecomes,
  parse,
  readOrder,
  readTimeline,
} from './witness.ts';

// `order` is the one whose status stands at the end of the line.
export type Say = (text: string, order?: Order) => void;
export type Chapter = { readonly title: string; readonly play: (cast: Cast, say: Say) => Promise<Order> };

export const chapters: readonly Chapter[] = [
  { title: '1 an order', play: anOrder },
  { title: '2 a double click', play: aDoubleClick },
  { title: '3 flaky provider', play: aFlakyProvider },
  { title: '4 kill -9', play: aKill },
  { title: '5 an outage', play: anOutage },
  { title: '6 a late cancel', play: aLateCancel },
];

async function anOrder(cast: Cast, say: Say): Promise<Order> {
  const { id } = await place(cast, { productType: 'Phone' });
  const order = await orderBecomes(cast, id, { status: 'PROCESSED', payment: 'authorized', fulfillment: 'scheduled' });
  say(`POST /orders: paid and booked ${lasted(order)} later`, order);
  await isMailed(cast, id, 'processed');
  return order;
}

async function aDoubleClick(cast: Cast, say: Say): Promise<Order> {
  const key = randomUUID();
  const lamps = { customerEmail: 'ada@example.com', items: [{ sku: 'lamp', quantity: 2, unitPrice: 1_250 }] };
  const answers = await Promise.all([1, 2, 3].map(() => cast.ask('POST', '/orders', lamps, key)));
  const [first] = answers.map((answer) => parse<Order>(answer));
  const replays = answers.filter(({ headers }) => headers.get('idempotent-replayed') === 'true').length;
  expect('the status codes', new Set(answers.map(({ status }) => status)), new Set([201]));
  expect('different answers to equal requests', new Set(answers.map(({ text }) => text)).size, 1);
  expect('answers marked as replays', replays, answers.length - 1);
  const order = await orderBecomes(cast, first?.id ?? '', { status: 'PROCESSED' });
  say(`${answers.length} equal POSTs at once, one key: 1 order, ${replays} marked replays`, order);
  return order;
}

async function aFlakyProvider(cast: Cast, say: Say): Promise<Order> {
  const { id } = await place(cast, { productType: 'Tablet', paymentScenario: 'flaky' });
  const order = await orderBecomes(cast, id, { status: 'PROCESSED' });
  const retries = (await readTimeline(cast, id)).filter(({ outcome }) => outcome === 'retry').length;
  expect('retries on the timeline', retries, 2);
  expect('retryCount', order.retryCount, 2);
  say(`2 calls failed, the 3rd went through ${lasted(order)} after the POST`, order);
  return order;
}

async function aKill(cast: Cast, say: Say): Promise<Order> {
  await cast.cue({ call: 'authorize', act: 'hang-after' });
  const { id } = await place(cast, { productType: 'Laptop' });
  await answerIsOnTheWay(cast, true);
  expect('authorizations before the kill', doneBy('payments', await cast.ledgerOf(id)).length, 1);
  const midway = await readOrder(cast, id);
  expect('what Orderly knows of the payment before the kill', midway.payment, 'pending');
  say('the provider has authorized, its answer is on the way', midway);

  const killedAt = performance.now();
  await cast.kill9();
  await cast.restart();
  say(`Orderly gets SIGKILL, and is started again within ${((performance.now() - killedAt) / 1000).toFixed(1)} s`);

  const order = await orderBecomes(cast, id, { status: 'PROCESSED' });
  expect('authorizations after the kill', doneBy('payments', await cast.ledgerOf(id)).length, 1);
  expect('calls to authorize', await cast.callsOf(id, 'authorize'), 2);
  expect('takeovers', (await readTimeline(cast, id)).filter(({ outcome }) => outcome === 'takeover').length, 1);
  expect('retries charged for the kill', order.retryCount, 0);
  say('taken over, asked again under the same key: authorized once', order);
  return order;
}

async function anOutage(cast: Cast, say: Say): Promise<Order> {
  const { id } = await place(cast, { productType: 'Accessory', paymentScenario: 'outage' });
  const failed = await orderBecomes(cast, id, { status: 'FAILED' });
  const [deadLetter, ...others] = await openDeadLetters(cast);
  expect('the order of the dead letter', deadLetter?.orderId, id);
  expect('other dead letters', others, []);
  expect('attempts of the dead letter', deadLetter?.attempts, 4);
  say(`${deadLetter?.attempts} calls failed: GET /dlq has it as ${deadLetter?.code}`, failed);

  const answer = await cast.ask('POST', `/dlq/${id}/reprocess`);
  expect('the status code of the reprocess', answer.status, 202);
  const order = await orderBecomes(cast, id, { status: 'PROCESSED' });
  expect('open dead letters', await openDeadLetters(cast), []);
  say('the provider is back; POST /dlq/{orderId}/reprocess', order);
  return order;
}

async function aLateCancel(cast: Cast, say: Say): Promise<Order> {
  await cast.cue({ call: 'book', act: 'hang-after' });
  const { id } = await place(cast, { amount: 1_999 });
  await answerIsOnTheWay(cast, true);
  expect('bookings before the cancel', doneBy('carrier', await cast.ledgerOf(id)).length, 1);
  say('the carrier has booked, its answer is on the way', await readOrder(cast, id));

  const answer = await cast.ask('POST', `/orders/${id}/cancel`, { reason: 'changed my mind' });
  expect('the status code of the cancel', answer.status, 200);
  const order = await orderBecomes(cast, id, { status: 'CANCELED', payment: 'voided', fulfillment: 'canceled' });
  say('POST /orders/{id}/cancel: parcel recalled, money released', order);
  // The carrier's answer, when it comes at last, must change nothing any more.
  await answerIsOnTheWay(cast, false);
  return order;
}

async function place(cast: Cast, order: object): Promise<Order> {
  const answer = await cast.ask('POST', '/orders', { customerEmail: 'ada@example.com', ...order }, randomUUID());
  expect('the status code of POST /orders', answer.status, 201);
  return parse(answer);
}

// By the order's own times.
function lasted({ createdAt, updatedAt }: Order): string {
  return `${groupDigits(Date.parse(updatedAt) - Date.parse(createdAt))} ms`;
}

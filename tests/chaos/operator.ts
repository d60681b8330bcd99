// The operator: reads the dead letters now and then and sends orders back to work, sometimes twice at
// once, whatever state the processes are in.
//
// Promises: an answer that the contract does not allow is a defect. `sendAllBack` leaves open only what
// nobody can help: dead letters of orders that the payment provider refuses for good.

import { setTimeout as pause } from 'node:timers/promises';
import type { Query } from '../../src/io/postgres/database.ts';
import { drawFor } from './schedule.ts';
import type { Seat } from './seat.ts';

export type Operator = {
  readonly reprocessed: () => number;
  readonly stop: () => Promise<void>;
};

const roundMs = 1_500;
const ordersPerRound = 4;
const answerMs = 6_000;
// 202 and "there is none", "it is over"; certainly not done, and perhaps done.
const allowed = [202, 404, 409, 503, 504];

export function startOperator(seats: readonly Seat[], seed: number, onDefect: (what: string) => void): Operator {
  const draw = drawFor(seed, 'operator');
  const door = () => draw.pick(seats.map((seat) => seat.url()).filter((url) => url !== null));
  let isStopping = false;
  let reprocessed = 0;

  // Null when nobody answers: a round less.
  async function ask(path: string, method: 'GET' | 'POST') {
    const init = { method, signal: AbortSignal.timeout(answerMs) };
    const response = await fetch(`${door()}${path}`, init).catch(() => null);
    const text = await response?.text().catch(() => null);
    return response === null || text == null ? null : { status: response.status, text };
  }

  async function reprocess(orderId: string): Promise<void> {
    const answer = await ask(`/dlq/${orderId}/reprocess`, 'POST');
    if (answer === null) return;
    if (!allowed.includes(answer.status)) onDefect(`reprocess of ${orderId}: ${answer.status} ${answer.text}`);
    if (answer.status === 202) reprocessed += 1;
  }

  async function look(): Promise<void> {
    const list = await ask('/dlq?limit=50', 'GET');
    if (list?.status !== 200) return;
    const { items } = JSON.parse(list.text) as { items: { orderId: string | null }[] };
    const orders = [...new Set(items.map(({ orderId }) => orderId))].filter((id) => id !== null);
    const chosen = draw.shuffle(orders).slice(0, ordersPerRound);
    const twice = chosen.filter(() => draw.isHit(0.3));
    await Promise.all([...chosen, ...twice].map(reprocess));
  }

  const done = (async () => {
    while (!isStopping) {
      await look();
      await pause(roundMs);
    }
  })();
  done.catch((error) => onDefect(`the operator cannot go on: ${error}`));

  return {
    reprocessed: () => reprocessed,
    stop: async () => {
      isStopping = true;
      await done;
    },
  };
}

// Answers how many dead letters were sent back; 0 = nothing is left to do.
export async function sendAllBack(sql: Query, url: string): Promise<number> {
  const deadLetters = await sql<{ id: string }>(
    `SELECT l.id FROM dead_letters l JOIN orders o ON o.id = l.order_id
     WHERE l.closed_at IS NULL AND NOT (l.consumer = 'payment' AND o.payment_scenario = 'fatal')`,
  );
  for (const { id } of deadLetters) {
    const response = await fetch(`${url}/dlq/letters/${id}/reprocess`, { method: 'POST' });
    const text = await response.text();
    if (response.status !== 202) throw new Error(`the dead letter ${id} is not taken back: ${response.status} ${text}`);
  }
  return deadLetters.length;
}

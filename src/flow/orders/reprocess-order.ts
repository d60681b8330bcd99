// Reprocessing: a person sends open dead letters of an order back to work.
//
// Promises: their jobs are created again with all attempts, in a new epoch; a FAILED order is PENDING again. The
// outside keys stay the same, so nothing is done twice; only where every call under the key has certainly ended
// without effect (`none`, see core-step.ts) a new generation is begun, because providers repeat a refusal for a
// used key.

import { record as recordEvents } from '../../domain/order-machine.ts';
import type { OrderRecord } from '../../domain/order-record.ts';
import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import type { DeskChange, OpenDeadLetter } from '../ports.ts';
import { coreConsumers } from '../subscriptions.ts';

export function reprocessOrder(
  record: OrderRecord,
  open: readonly OpenDeadLetter[],
  // All open dead letters, or the one with this id.
  request: { readonly deadLetterId: string | null; readonly correlationId: string },
  now: Date,
): DeskChange | Refusal {
  const { order } = record;
  const deadLetters = open.filter(
    (deadLetter) => request.deadLetterId === null || deadLetter.id === request.deadLetterId,
  );
  const first = deadLetters[0];
  if (first === undefined) return refuse('no-dead-letter', `order ${order.id} has no open dead letter`);
  const change = {
    causationId: first.eventId,
    closes: deadLetters.map((deadLetter) => deadLetter.id),
    closing: 'reprocessed' as const,
    action: request.deadLetterId === null ? ('reprocessed' as const) : ('letter-reprocessed' as const),
    detail: { letters: deadLetters.map(({ id, consumer }) => ({ id, consumer })) },
    correlationId: request.correlationId,
  };
  if (!deadLetters.some((deadLetter) => coreConsumers.includes(deadLetter.consumer))) {
    return { ...change, order, events: [], effects: [] };
  }
  const recorded = recordEvents(order, [{ type: 'OrderReprocessedV1', data: {} }], now);
  if (isRefusal(recorded)) return recorded;
  const effects = Object.values(record.effects)
    .filter((effect) => effect.state === 'none')
    .map((effect) => ({ ...effect, generation: effect.generation + 1, firstUsedAt: now }));
  return { ...change, order: recorded.order, events: recorded.events, effects };
}

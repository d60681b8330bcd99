// Reprocessing: a person sends open dead letters of an order back to work.
//
// Promises: their jobs are created again with all attempts, in a new epoch; a FAILED order is PENDING again. The
// outside keys stay the same, so nothing is done twice; only where every call under the key has certainly ended
// without effect (`none`, see core-step.ts) a new generation is begun, because providers repeat a refusal for a
// used key. A later dead letter of a consumer does not go back before an earlier one of the same order.

import { record as recordEvents } from '../../domain/order-machine.ts';
import type { OrderRecord } from '../../domain/order-record.ts';
import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import type { By, DeskChange, OpenDeadLetter } from '../ports.ts';
import { coreConsumers } from '../subscriptions.ts';

export function reprocessOrder(
  record: OrderRecord,
  open: readonly OpenDeadLetter[],
  // All open dead letters, or the one with this id.
  request: { readonly deadLetterId: string | null; readonly correlationId: string; readonly by?: By | undefined },
  now: Date,
): DeskChange | Refusal {
  const { order } = record;
  const deadLetters = open.filter(
    (deadLetter) => request.deadLetterId === null || deadLetter.id === request.deadLetterId,
  );
  const first = deadLetters[0];
  if (first === undefined) return refuse('no-dead-letter', `order ${order.id} has no open dead letter`);
  const earlier = open.find((one) => one.consumer === first.consumer && one.version < first.version);
  if (request.deadLetterId !== null && earlier !== undefined) {
    const detail = `dead letter ${earlier.id} is of an earlier event of this order: send that one back, or end it, first`;
    return refuse('earlier-letter-open', detail);
  }
  const change = {
    causationId: first.eventId,
    closes: deadLetters.map((deadLetter) => deadLetter.id),
    closing: 'reprocessed' as const,
    action: request.deadLetterId === null ? ('reprocessed' as const) : ('letter-reprocessed' as const),
    detail: { letters: deadLetters.map(({ id, consumer }) => ({ id, consumer })) },
    correlationId: request.correlationId,
    by: request.by,
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

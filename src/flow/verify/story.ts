// The events of one order, told again from the first: where they lead by the machine of an order.
//
// Promises: the same events always lead to the same end, so that it is computed once per kind of story;
// there are a few dozen of them, however many orders. A claim of a core step is no event: where one is
// needed to go on, it is taken as made.

import { type EventDraft, type EventType, eventTypes } from '../../domain/events.ts';
import type { Order, OrderId, Status } from '../../domain/order.ts';
import { record, takeUp } from '../../domain/order-machine.ts';
import { isRefusal } from '../../domain/refusals.ts';
import { versionsUpTo } from '../../domain/upcasts.ts';

export type TellingEvent = {
  readonly version: number;
  readonly type: string;
  // As the event tells them; null where it changes no status.
  readonly previousStatus: string | null;
  readonly status: string | null;
};
export type Ending = Pick<Order, 'status' | 'payment' | 'fulfillment'> | { readonly mistake: string };

// By every version of a type, the newest one.
const newest = new Map<string, EventType>(eventTypes.flatMap((type) => versionsUpTo(type).map((one) => [one, type])));

// Nothing here depends on when, for how much, or for whom.
const anyTime = new Date(0);
const anyOrder: Order = {
  id: '' as OrderId,
  status: 'PENDING',
  payment: 'none',
  fulfillment: 'none',
  retryCount: 0,
  amount: 1,
  currency: 'USD',
  country: 'US',
  items: [],
  customerEmail: null,
  userId: null,
  productType: null,
  paymentScenario: 'success',
  reason: null,
  correlationId: '',
  traceparent: null,
  version: 1,
  createdAt: anyTime,
  updatedAt: anyTime,
};

// More kinds than any sound database has; beyond, each story is told without being remembered.
const rememberedMax = 10_000;

export function createStories(): (events: readonly TellingEvent[]) => Ending {
  const remembered = new Map<string, Ending>();
  return (events) => {
    const kind = events.map((event) => `${event.type} ${event.previousStatus} ${event.status}`).join();
    const known = remembered.get(kind);
    if (known !== undefined) return known;
    const ending = tell(events);
    if (remembered.size < rememberedMax) remembered.set(kind, ending);
    return ending;
  };
}

function tell([first, ...rest]: readonly TellingEvent[]): Ending {
  if (first === undefined) return { mistake: 'there is no event at all' };
  if (newest.get(first.type) !== 'OrderCreatedV1') return { mistake: `it begins with ${first.type}` };
  let order = anyOrder;
  for (const event of rest) {
    const type = newest.get(event.type);
    if (type === undefined) {
      return { mistake: `this release does not know ${event.type}: run the verify of the newest one` };
    }
    const draft = { type, data: {} } as EventDraft;
    let recorded = record(order, [draft], anyTime);
    if (isRefusal(recorded) || event.previousStatus === 'PROCESSING')
      recorded = record(takeUp(order, anyTime), [draft], anyTime);
    if (isRefusal(recorded)) return { mistake: `${type} is impossible while ${order.status}: ${recorded.detail}` };
    const told = recorded.events[0]?.data as { previousStatus?: Status; status?: Status };
    if ((told.status ?? null) !== event.status || (told.previousStatus ?? null) !== event.previousStatus) {
      const says = `${event.previousStatus ?? 'no status'} to ${event.status ?? 'none'}`;
      const leads = `${told.previousStatus ?? 'no status'} to ${told.status ?? 'none'}`;
      return { mistake: `${event.type} says that it led from ${says}, but it leads from ${leads}` };
    }
    order = recorded.order;
  }
  const { status, payment, fulfillment } = order;
  return { status, payment, fulfillment };
}

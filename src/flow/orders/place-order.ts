// Placing an order: from a request of the right shape to an order, or to the reason why not. Holds the
// rules that no schema can say.
//
// Promises: pure; the clock and the id are parameters. An order that leaves here is complete and valid:
// a customer, lines that add up to the amount, codes that exist. A refusal names the field.
// `fingerprintOf` is equal for equal JSON values and nothing else, whatever the spelling.

import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { isCountry, isCurrency, priceList, priceListCurrency, totalOf } from '../../domain/money.ts';
import type { Item, Order, OrderId } from '../../domain/order.ts';
import { isRefusal, type Refusal, refuse } from '../../domain/refusals.ts';
import type { PlaceCommand, PlaceInput } from '../ports.ts';

const defaultCurrency = 'USD';
const defaultCountry = 'US';
// A bare amount comes from callers that keep their lines to themselves. The order still gets one line, so
// that everything behind it (the carrier, the read model, the sum) knows a single shape of order.
const anonymousSku = 'item';

export type PlaceContext = { readonly now: Date; readonly id: OrderId; readonly simulatedPartners: boolean };

export function toOrder(input: PlaceInput, { now, id, simulatedPartners }: PlaceContext): Order | Refusal {
  const { command } = input;
  const { customerEmail = null, currency = defaultCurrency, country = defaultCountry } = command;
  const userId = userIdOf(command);
  if (isRefusal(userId)) return userId;
  if (customerEmail === null && userId === null) {
    return refuseAt('#/customerEmail', 'customerEmail or userId is needed');
  }
  const items = itemsOf(command);
  if (isRefusal(items)) return items;
  const amount = totalOf(items);
  if (amount === null) {
    return refuseAt('#/items', `the total of quantity × unitPrice must be 1 to ${Number.MAX_SAFE_INTEGER}`);
  }
  if (!isCurrency(currency)) return refuseAt('#/currency', `${currency} is no active currency of ISO 4217`);
  if (command.productType !== undefined && currency !== priceListCurrency) {
    return refuseAt('#/currency', `productType is priced in ${priceListCurrency} only; send items for ${currency}`);
  }
  if (!isCountry(country)) return refuseAt('#/country', `${country} is no country of ISO 3166-1`);
  if (command.paymentScenario !== undefined && !simulatedPartners) {
    return refuseAt('#/paymentScenario', 'is only allowed with simulated partners');
  }
  return {
    id,
    status: 'PENDING',
    payment: 'none',
    fulfillment: 'none',
    retryCount: 0,
    amount,
    currency,
    country,
    items,
    customerEmail,
    userId,
    productType: command.productType ?? null,
    paymentScenario: command.paymentScenario ?? 'success',
    reason: null,
    correlationId: input.correlationId,
    traceparent: input.traceparent,
    version: 1,
    createdAt: now,
    updatedAt: now,
  };
}

// Two names for one field, because callers use both.
function userIdOf({ userId, user_id }: PlaceCommand): string | null | Refusal {
  if (userId !== undefined && user_id !== undefined && userId !== user_id) {
    return refuseAt('#/user_id', 'userId and user_id are the same field; given both, they must be equal');
  }
  return userId ?? user_id ?? null;
}

const forms = ['items', 'productType', 'amount'] as const;

function itemsOf(command: PlaceCommand): readonly Item[] | Refusal {
  const [form, another] = forms.filter((name) => command[name] !== undefined);
  if (form === undefined) return refuseAt('#/items', `exactly one of ${forms.join(', ')} is needed`);
  if (another !== undefined)
    return refuseAt(`#/${another}`, `${form} is given; only one of ${forms.join(', ')} may be`);
  if (command.items !== undefined) return command.items;
  const { productType, amount = 0 } = command;
  if (productType === undefined) return [{ sku: anonymousSku, quantity: 1, unitPrice: amount }];
  return [{ sku: productType, quantity: 1, unitPrice: priceList[productType] }];
}

function refuseAt(pointer: string, detail: string): Refusal {
  return refuse('invalid-order', detail, pointer);
}

// SHA-256 of the canonical form (RFC 8785) of the value as received: two requests under one key are the
// same if this is. What the schemas admit is free of what has no canonical form.
export function fingerprintOf(received: unknown): Buffer {
  return createHash('sha256')
    .update(canonicalize(received) ?? '')
    .digest();
}

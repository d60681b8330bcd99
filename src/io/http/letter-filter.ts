// Which dead letters are meant: the same members as parameters of a list, and as an object in the body of a replay.
//
// Promises: what a group answers as its `group` selects that group again. Relies on the schemas to admit nothing else.

import { type Static, Type } from 'typebox';
import type { DeadLetterSelection } from '../../flow/dead-letters.ts';
import { consumerNames } from '../../flow/subscriptions.ts';
import { moment, readDate } from './dates.ts';
import { countryPattern, currencyPattern, namePattern, text, uuid } from './requests.ts';

const amount = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description }));

export const letterFilter = {
  consumer: Type.Optional(
    Type.Enum([...consumerNames], { type: 'string', description: 'Only dead letters of this consumer' }),
  ),
  code: Type.Optional(Type.String({ pattern: namePattern, description: 'Only dead letters with this code' })),
  partner: Type.Optional(
    Type.Enum(['payments', 'carrier', 'mail', 'search', 'none'], {
      type: 'string',
      description: 'Whose call failed; none = no partner was called',
    }),
  ),
  country: Type.Optional(Type.String({ pattern: countryPattern, description: 'Of the order; ISO 3166-1 alpha-2' })),
  currency: Type.Optional(Type.String({ pattern: currencyPattern, description: 'Of the order; ISO 4217' })),
  orderId: Type.Optional(uuid('Of this order')),
  amountMin: amount('The order’s total in minor units, at least'),
  amountMax: amount('The order’s total in minor units, at most'),
  from: Type.Optional(moment('Failed at this time or later')),
  to: Type.Optional(moment('Failed before this time')),
  text: Type.Optional(text(200, 'A part of the message, in any case of letters')),
};
export const filterBody = Type.Object(letterFilter, { additionalProperties: false });
export type LetterFilter = Static<typeof filterBody>;

export function toSelection({ partner, from, to, orderId, ...rest }: LetterFilter): DeadLetterSelection {
  return {
    ...rest,
    orderId: orderId?.toLowerCase(),
    partner: partner === 'none' ? '' : partner,
    from: readDate(from),
    to: readDate(to),
  };
}

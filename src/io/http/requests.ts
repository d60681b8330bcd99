// What a client may send: one schema per part of a request is its type, its validation and its page
// in the OpenAPI document.
//
// Promises: unknown fields and parameters are refused; no text can hold a control character (PostgreSQL
// stores no U+0000); nothing is coerced or filled in, so the body stays the
// value that was received. What a schema cannot say (either-or, totals, code lists) is in
// flow/place-order.ts.

import { type Static, type TSchema, Type } from 'typebox';
import { countryCodes, currencyCodes, type ProductType, priceList } from '../../domain/money.ts';
import { type OrderId, paymentScenarios, statuses } from '../../domain/order.ts';
import { questionWordsMax } from '../../flow/projections/search-words.ts';
import { cursorPattern } from './cursor.ts';
import { dayOrMoment, moment } from './dates.ts';
import { correlationIdPattern, idempotencyKeyPattern } from './headers.ts';

export const uuidPattern = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$';
// One line of readable text without blanks at its ends, in what the regular expressions of all languages share:
// no control character; blanks are those of ECMAScript. Half of a surrogate pair does not come this far.
const control = '\\u0000-\\u001f\\u007f-\\u009f';
const textPattern = `^[^\\s\\ufeff${control}](?:[^${control}]*[^\\s\\ufeff${control}])?$`;
// RFC 5321, 4.5.3.1: the local part has at most 64 octets; RFC 1035, 2.3.4: a label has at most 63. The format
// admits ASCII alone.
const emailPattern = '^[^@]{1,64}@(?:[^.@]{1,63}\\.)+[^.@]{1,63}$';
export const namePattern = '^[A-Za-z0-9-]{1,64}$';
export const currencyPattern = `^(?:${currencyCodes.join('|')})$`;
export const countryPattern = `^(?:${countryCodes.join('|')})$`;

// What each pattern asks for, in words: a regular expression is no help to whoever got a 400.
export const patternTexts: Readonly<Record<string, string>> = {
  [uuidPattern]: 'must be a UUID such as 01993b1e-7c3a-7d4e-9f10-2b6c8d0e4f12',
  [textPattern]: 'must be text without control characters and without blanks at its ends',
  [namePattern]: 'must be 1 to 64 letters, digits or hyphens',
  [cursorPattern]: 'must be the nextCursor of an earlier page, unchanged',
  [currencyPattern]: 'must be an active currency of ISO 4217, in three capital letters',
  [countryPattern]: 'must be a country of ISO 3166-1 alpha-2, in two capital letters',
  [emailPattern]: 'must be an e-mail address of at most 64 characters before the @ and 63 between dots behind it',
  [correlationIdPattern]: 'must be 1 to 128 visible ASCII characters, sent once',
  [idempotencyKeyPattern]:
    'must be 1 to 255 visible ASCII characters, bare or as one quoted string in which only \\" and \\\\ are escapes, sent once',
};

// Of any array, and members of any object. Looking at 20 000 of them for all of their mistakes takes 40 ms.
export const entriesMax = 100;

const strict = { additionalProperties: false } as const;
export const email = (description: string) =>
  Type.String({ format: 'email', pattern: emailPattern, maxLength: 254, description });
export const text = (maxLength: number, description: string) =>
  Type.String({ minLength: 1, maxLength, pattern: textPattern, description });

const item = Type.Object(
  {
    sku: text(100, 'What is bought, by the name your catalog gives it'),
    quantity: Type.Integer({ minimum: 1, maximum: 10_000 }),
    unitPrice: Type.Integer({
      minimum: 0,
      maximum: 1_000_000_000_000,
      description: 'Whole minor units as ISO 4217 counts them: cents for USD, yen for JPY, fils for KWD',
    }),
  },
  strict,
);

const orderFields = {
  customerEmail: Type.Optional(email('This or userId is needed; both may be given')),
  userId: Type.Optional(text(255, 'The customer, by your own id; also taken as user_id')),
  user_id: Type.Optional(text(255, 'The same as userId; if both are given they must be equal')),
  items: Type.Optional(
    Type.Array(item, {
      minItems: 1,
      maxItems: entriesMax,
      description: 'Exactly one of items, productType and amount; the total must be 1 to 9007199254740991',
    }),
  ),
  productType: Type.Optional(
    Type.Enum(Object.keys(priceList) as ProductType[], {
      type: 'string',
      description: 'Short form: one piece from the price list, in USD',
    }),
  ),
  amount: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Short form: one anonymous line of that many minor units',
    }),
  ),
  currency: Type.Optional(Type.String({ pattern: currencyPattern, default: 'USD', description: 'ISO 4217' })),
  country: Type.Optional(Type.String({ pattern: countryPattern, default: 'US', description: 'ISO 3166-1 alpha-2' })),
};
const scenario = {
  paymentScenario: Type.Optional(
    Type.Enum([...paymentScenarios], {
      type: 'string',
      default: 'success',
      description: 'How the simulated payment provider behaves for this order',
    }),
  ),
};

export const orderExamples = {
  'From the price list': {
    value: { customerEmail: 'user@example.com', productType: 'Phone', country: 'US', paymentScenario: 'success' },
  },
  'By lines': {
    value: { customerEmail: 'a@example.com', currency: 'EUR', items: [{ sku: 'lamp', quantity: 2, unitPrice: 1250 }] },
  },
  'By its amount alone': { value: { userId: 'u-1', amount: 1999 } },
};
export const simulatedOrder = Type.Object(
  { ...orderFields, ...scenario },
  { ...strict, examples: Object.values(orderExamples).map(({ value }) => value) },
);
// Real partners are no stage: with them the field does not exist, in the check or in the document.
export const realOrder = Type.Object(orderFields, { ...strict, examples: [orderExamples['By lines'].value] });

// A body that may be left out; fastify hands an absent one to the schema as null.
const optional = <S extends TSchema>(schema: S) =>
  Type.Unsafe<Static<S> | null>({ ...schema, type: ['object', 'null'] });
export const cancelBody = optional(
  Type.Object(
    { reason: Type.Optional(text(500, 'Why, in your own words; it is kept with the order')) },
    { ...strict, examples: [{ reason: 'ordered twice by mistake' }] },
  ),
);
export const discardBody = Type.Object(
  {
    reason: text(500, 'Why its work is not wanted any more; it is kept in the audit log'),
    cancelOrder: Type.Optional(
      Type.Boolean({ default: false, description: 'A core step’s is ended by canceling its order; true = do so' }),
    ),
  },
  { ...strict, examples: [{ reason: 'the customer was called' }] },
);
export const correctBody = Type.Object(
  {
    customerEmail: email('The address of the customer, from now on'),
    reason: text(500, 'Where it comes from; it is kept in the audit log'),
  },
  { ...strict, examples: [{ customerEmail: 'user@example.com', reason: 'the customer called' }] },
);
export const emptyBody = optional(Type.Object({}, strict));

const correlationHeader = {
  'X-Correlation-Id': Type.Optional(
    Type.String({
      pattern: correlationIdPattern,
      description: 'Ties together everything that this request causes; chosen here if absent, returned on every answer',
    }),
  ),
  traceparent: Type.Optional(Type.String({ description: 'W3C Trace Context; ignored if it is not valid' })),
};
export const requestHeaders = Type.Object(correlationHeader);
const idempotencyKey = Type.String({
  pattern: idempotencyKeyPattern,
  description:
    'A new one per order, such as a UUID. The same key and payload gets the first answer again; the same key and ' +
    'another payload is refused.',
});
export const placeHeaders = {
  optional: Type.Object({ 'Idempotency-Key': Type.Optional(idempotencyKey), ...correlationHeader }),
  required: Type.Object({ 'Idempotency-Key': idempotencyKey, ...correlationHeader }),
};

export const uuid = (description: string) => Type.String({ format: 'uuid', pattern: uuidPattern, description });
export const orderParams = Type.Object({ id: uuid('The id of the order') });
export const orderOfDeadLettersParams = Type.Object({ orderId: uuid('The id of the order') });
export const deadLetterParams = Type.Object({ id: uuid('The id of the dead letter') });

// Ids are compared as text in places; a UUID means the same in either case.
export const toOrderId = (checked: string) => checked.toLowerCase() as OrderId;

export const noQuery = Type.Object({}, strict);
export const rangeQuery = Type.Object(
  {
    from: Type.Optional(dayOrMoment('The first day (UTC), or a time in it; absent = from the beginning')),
    to: Type.Optional(dayOrMoment('Exclusive: the day or time before which days must begin; absent = to the end')),
  },
  strict,
);
export const pageSizeDefault = 20;
export const pageSize = Type.Integer({
  minimum: 1,
  maximum: 100,
  default: pageSizeDefault,
  description: 'Entries per page',
});
export const ordersQuery = Type.Object(
  {
    q: Type.Optional(
      text(
        200,
        `Words, at most ${questionWordsMax}; each must be found at the beginning of a word, or of a part of one, in id, ` +
          'customerEmail, userId, sku, productType, country, currency, status or reason. Case does not matter, a word ' +
          'of less than three letters has to be whole, an id too. There is no syntax.',
      ),
    ),
    status: Type.Optional(Type.Enum([...statuses], { type: 'string' })),
    counts: Type.Optional(
      Type.Enum(['true', 'false'], {
        type: 'string',
        default: 'false',
        description: 'true adds how many orders match in each status, whatever `status` and `cursor` are',
      }),
    ),
    customerEmail: Type.Optional(email('In any case of letters')),
    productType: Type.Optional(Type.Enum(Object.keys(priceList) as ProductType[], { type: 'string' })),
    country: Type.Optional(Type.String({ pattern: countryPattern, description: 'ISO 3166-1 alpha-2' })),
    from: Type.Optional(moment('Created at this time or later')),
    to: Type.Optional(moment('Created before this time')),
    limit: Type.Optional(pageSize),
    cursor: Type.Optional(Type.String({ pattern: cursorPattern, description: 'The nextCursor of the page before' })),
  },
  strict,
);

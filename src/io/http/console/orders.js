// Orders: found by words and fields, and one with its timeline drawn and what may be done about it.
//
// Promises: an order is canceled, sent back or held back after a question only.

import { html, nothing } from '/console/lit-html.js';
import { timelineOf } from './drawing.js';
import { letterTable } from './letters.js';
import { money } from './money.js';
import { read, readAll, send } from './requests.js';
import { badge, facts, listPage, number, orderLink, part, question, section, table, time } from './show.js';
import { hold, letGo } from './waiting.js';

const statuses = ['PENDING', 'PROCESSING', 'PROCESSED', 'FAILED', 'CANCELED'];
const ended = ['PROCESSED', 'CANCELED'];

export const ordersPage = listPage({
  title: 'Orders',
  path: '/orders',
  fields: [
    ['q', 'Words', 'text', { hint: 'Id, e-mail, user, product, reason…', max: 200 }],
    ['status', 'Status', [['', 'any'], ...statuses]],
    ['country', 'Country', 'text', { max: 2 }],
    ['from', 'Placed from', 'datetime-local'],
    ['to', 'Placed before', 'datetime-local'],
  ],
  caption: 'Orders, newest first',
  columns: [
    ['Placed', ({ createdAt }) => time(createdAt)],
    ['Order', ({ id }) => orderLink(id)],
    ['Status', ({ status }) => badge(status)],
    ['Amount', ({ amount, currency }) => money(amount, currency)],
    ['Country', ({ country }) => country],
    ['Customer', ({ customerEmail, userId }) => customerEmail ?? userId],
    ['Reason', ({ reason }) => reason?.message ?? '–'],
  ],
  empty: 'No order is found. A new one is found within about a second.',
});

async function cancel({ id }) {
  const fields = [['reason', 'Reason', 'text', { hint: 'It is kept with the order.' }]];
  const text = 'What was done for it is undone: money is released, a shipment recalled.';
  const given = await question({
    title: 'Cancel this order?',
    text,
    fields,
    action: 'Cancel the order',
    isDangerous: true,
  });
  if (given === null) return null;
  await send(`/orders/${id}/cancel`, given.reason === '' ? {} : given);
  return 'The order is canceled.';
}

async function reprocess({ id }, letters) {
  const text = `${number(letters.length)} dead letters of this order go back, in the order of its events.`;
  if ((await question({ title: 'Send this order back to work?', text, action: 'Send back' })) === null) return null;
  await send(`/dlq/${id}/reprocess`);
  return 'Sent back. Below is what happens now.';
}

export const orderPage = {
  title: 'Order',
  everyMs: 3_000,
  load: async ({ id }) => {
    const order = await read(`/orders/${id}`);
    const parts = await readAll({
      timeline: [`/orders/${id}/timeline`],
      letters: ['/dlq', { orderId: id }],
      pauses: ['/operations/pauses'],
    });
    return { order, ...parts };
  },
  view: ({ order, timeline, letters, pauses }, { act }) => {
    const open = letters.items ?? [];
    const held = pauses.items?.find(({ kind, name }) => kind === 'order' && name === order.id);
    const button = (text, doing, kind = '') => html`<button class=${kind} @click=${() => act(doing)}>${text}</button>`;
    return html`
      <p>${badge(order.status)} ${order.reason?.message ?? ''}
        ${held ? html`${badge('held back')} by ${held.by ?? 'somebody'}: ${held.reason}` : nothing}</p>
      <div class="buttons">
        ${open.length > 0 ? button('Send back…', () => reprocess(order, open), 'main') : nothing}
        ${held ? button('Let it go on', () => letGo('order', order.id)) : nothing}
        ${held || !pauses.items || ended.includes(order.status) ? nothing : button('Hold back…', () => hold('order', order.id))}
        ${ended.includes(order.status) ? nothing : button('Cancel…', () => cancel(order), 'danger')}
      </div>
      ${facts([
        ['Amount', money(order.amount, order.currency)],
        ['Payment', order.payment],
        ['Fulfillment', order.fulfillment],
        ['Country', order.country],
        ['Customer', order.customerEmail ?? order.userId],
        ['Placed', time(order.createdAt)],
        ['Changed', time(order.updatedAt)],
        ['Retries', order.retryCount],
        ['Correlation id', order.correlationId],
      ])}
      ${section(
        'Timeline',
        part(timeline, ({ items }) => timelineOf(items)),
      )}
      ${section(
        'Open dead letters',
        part(letters, ({ items }) => letterTable(items, 'There are none.')),
      )}
      ${section(
        'Items',
        table(
          'What was ordered',
          [
            ['What', ({ sku }) => sku],
            ['Pieces', ({ quantity }) => number(quantity)],
            ['Each', ({ unitPrice }) => money(unitPrice, order.currency)],
          ],
          order.items,
          'One anonymous line.',
        ),
      )}
    `;
  },
};

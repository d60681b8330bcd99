// Dead letters: their causes, the letters of a cause, and one letter with all that is known of it and may be done.
//
// Promises: what a group is called selects it again, for a list and for a replay; nothing is sent back, discarded or
// corrected without a question first.

import { html, nothing } from '/console/lit-html.js';
import { timelineOf } from './drawing.js';
import { money } from './money.js';
import { read, readAll, send } from './requests.js';
import * as show from './show.js';

const { badge, count, facts, link, orderLink, part, question, reasonField, section, table, time } = show;

export const consumers = ['payment', 'fulfillment', 'compensation', 'notification'];
const partners = ['payments', 'carrier', 'mail', 'search', 'none'];
const any = (list) => [['', 'any'], ...list];
const filters = [
  ['consumer', 'Consumer', any([...consumers, 'search', 'analytics'])],
  ['code', 'Code', 'text'],
  ['partner', 'Partner', any(partners)],
  ['text', 'Words of the message', 'text'],
  ['country', 'Country', 'text', { max: 2 }],
  ['from', 'Failed from', 'datetime-local'],
  ['to', 'Failed before', 'datetime-local'],
];
const groupings = [
  ['consumer,code,partner', 'cause'],
  ['consumer,code,partner,day', 'cause and day'],
  ['hour', 'hour'],
  ['partner', 'partner'],
  ['country', 'country'],
  ['amount', 'amount'],
];

// A group answers null for letters of no partner, and is asked for by the word.
const toFilter = (group) =>
  Object.fromEntries(Object.entries(group).map(([name, value]) => [name, value === null ? 'none' : value]));

export function filterText(filter) {
  const { consumer, code, partner, from, to, amountMin, amountMax, currency, ...others } = filter;
  const bound = (value) => (currency === undefined ? value : money(value, currency));
  const words = [
    consumer,
    code,
    partner && (partner === 'none' ? 'no partner' : `partner ${partner}`),
    from && `from ${new Date(from).toLocaleString()}`,
    to && `before ${new Date(to).toLocaleString()}`,
    amountMin !== undefined && `at least ${bound(amountMin)}`,
    amountMax !== undefined && `at most ${bound(amountMax)}`,
    ...(amountMin === undefined && currency ? [currency] : []),
    ...Object.entries(others).map(([name, value]) => `${name} ${value}`),
  ];
  return words.filter(Boolean).join(' · ') || 'all open dead letters';
}

export function causeTable({ items, total, lookedBackTo }, filter) {
  const of = ({ group }) => ({ ...filter, ...toFilter(group) });
  const found = table(
    `${count(total)} open dead letters by what they have in common`,
    [
      ['Cause', (row) => link('dead-letters', of(row), filterText(toFilter(row.group)))],
      ['Letters', (row) => html`<strong>${count(row)}</strong>`],
      ['Oldest', (row) => time(row.oldestAt)],
      ['Newest', (row) => time(row.newestAt)],
      ['For example', (row) => link(`dead-letters/${row.sampleId}`, {}, row.sampleMessage)],
      ['Way back', (row) => link('replays/new', of(row), 'Replay…')],
    ],
    items,
    'There are no open dead letters here.',
  );
  const cut = html`<p>There are more: these are the newest, back to ${time(lookedBackTo)}.</p>`;
  return html`${found}${lookedBackTo === null ? nothing : cut}`;
}

export const letterTable = (letters, empty = 'There are no such dead letters.') =>
  table(
    'Dead letters, newest first',
    [
      ['Failed', ({ failedAt, id }) => link(`dead-letters/${id}`, {}, time(failedAt))],
      ['Order', ({ orderId }) => orderLink(orderId)],
      ['Consumer', ({ consumer }) => consumer],
      ['Code', ({ code }) => code],
      ['Message', ({ message }) => message],
      ['Amount', ({ order }) => money(order.amount, order.currency)],
      ['Times', ({ times }) => times],
      ['State', ({ closedHow }) => badge(closedHow ?? 'open')],
    ],
    letters,
    empty,
  );

export const causesPage = {
  title: 'Dead letters',
  everyMs: 5_000,
  load: ({ query: { by, state, cursor, ...filter } }) =>
    readAll({
      causes: ['/dlq/groups', { by, ...filter }],
      letters: ['/dlq', { state, cursor, ...filter, limit: 20 }],
    }),
  view: ({ causes, letters }, place) => {
    const { by, state, cursor, ...filter } = place.query;
    const fields = [...filters, ['by', 'Group by', groupings], ['state', 'List', ['open', 'closed']]];
    return html`
      <p>Work that was given up. Look for the cause; when it is gone, send the letters of that cause back.</p>
      ${show.filterForm(place, 'Dead letters', fields)}
      ${section(
        'Causes',
        part(causes, (found) => causeTable(found, filter)),
      )}
      <p>${link('replays/new', filter, `Replay ${filterText(filter)}…`)}</p>
      ${section(
        'Letters',
        part(letters, (page) => html`${letterTable(page.items)}${show.more(place, page)}`),
      )}
    `;
  },
};

async function reprocess({ id, consumer }) {
  const text = 'Its work is done once more, from the first attempt. What was already done is not done twice.';
  if ((await question({ title: `Send the work of ${consumer} back?`, text, action: 'Send back' })) === null)
    return null;
  await send(`/dlq/letters/${id}/reprocess`);
  return 'Sent back. Below is what happens now.';
}

async function discard({ id }, cancelOrder) {
  const text = cancelOrder
    ? 'This work cannot be left out: the order is canceled, and what was done for it is undone.'
    : 'Its work stays undone for good.';
  const title = cancelOrder ? 'Cancel the order of this letter?' : 'Discard this letter?';
  const action = cancelOrder ? 'Cancel the order' : 'Discard';
  const given = await question({ title, text, fields: [reasonField], action, isDangerous: true });
  if (given === null) return null;
  await send(`/dlq/letters/${id}/discard`, { ...given, cancelOrder });
  return cancelOrder ? 'The order is canceled.' : 'Discarded.';
}

async function correct({ id }) {
  const fields = [['customerEmail', 'E-mail address of the customer', 'email', { required: true }], reasonField];
  const text = 'The mail goes to this address from now on, and is sent again.';
  const given = await question({ title: 'Correct the address?', text, fields, action: 'Correct and send back' });
  if (given === null) return null;
  await send(`/dlq/letters/${id}/correct`, given);
  return 'Corrected and sent back.';
}

export const letterPage = {
  title: 'Dead letter',
  everyMs: 5_000,
  load: ({ id }) => read(`/dlq/letters/${id}`),
  view: ({ letter, order, event, attempts, timeline, traceId, others, can }, { act }) => html`
    <p class="problem">${letter.message}</p>
    <div class="buttons">
      ${can.reprocess ? html`<button class="main" @click=${() => act(() => reprocess(letter))}>Send back…</button>` : nothing}
      ${can.correct ? html`<button @click=${() => act(() => correct(letter))}>Correct the address…</button>` : nothing}
      ${can.discard ? html`<button class="danger" @click=${() => act(() => discard(letter, false))}>Discard…</button>` : nothing}
      ${can.cancelOrder ? html`<button class="danger" @click=${() => act(() => discard(letter, true))}>Cancel the order…</button>` : nothing}
    </div>
    ${facts([
      ['State', badge(letter.closedHow ?? 'open')],
      ['Order', html`${orderLink(order.id)} ${badge(order.status)}`],
      ['Consumer', letter.consumer],
      ['Code', letter.code],
      ['Kind of failure', letter.failureClass],
      ['Partner', letter.partner],
      ['Failed', time(letter.failedAt)],
      ['Attempts', letter.attempts],
      ['Dead letters of this work', letter.times],
      ['Trace', traceId],
    ])}
    ${section('Timeline of its order', timelineOf(timeline))}
    ${section(
      'Attempts',
      table(
        'Attempts of this work',
        [
          ['At', ({ at }) => time(at)],
          ['Attempt', ({ attempt }) => attempt],
          ['Outcome', ({ outcome }) => badge(outcome)],
          ['Code', ({ code }) => code],
          ['Message', ({ message }) => message],
          ['Took', ({ durationMs }) => (durationMs === null ? '–' : show.duration(durationMs))],
        ],
        attempts,
        'No attempt is kept.',
      ),
    )}
    ${section('Event', html`<pre tabindex="0" aria-label="The event as JSON">${JSON.stringify(event, null, 2)}</pre>`)}
    ${section('Other dead letters of this order', letterTable(others, 'There are none.'))}
  `,
};

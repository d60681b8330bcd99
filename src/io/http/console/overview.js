// The first page: how orders fare, what waits, which partners are away, and what needs a person.
//
// Promises: what needs a person stands first, as sentences that lead to the page where it is done.

import { html } from '/console/lit-html.js';
import { causeTable } from './letters.js';
import { read, readAll } from './requests.js';
import { badge, link, number, part, section, table, time } from './show.js';
import { jobsTable, partnersTable } from './waiting.js';

const hourMs = 3_600_000;
// Counts end here: that many, or more.
const countMax = 10_000;

const outcomes = {
  'Under way': ({ PENDING, PROCESSING }) => PENDING + PROCESSING,
  Processed: ({ PROCESSED }) => PROCESSED,
  Failed: ({ FAILED }) => FAILED,
  Canceled: ({ CANCELED }) => CANCELED,
};
const shown = (value) => (value >= countMax ? `${number(countMax)}+` : number(value));

// Each with the place where something can be done about it.
function troublesOf({ waiting, causes }) {
  const troubles = [];
  if (causes.total?.count > 0) {
    const letters = `${number(causes.total.count)}${causes.total.isAtLeast ? ' or more' : ''} dead letters`;
    troubles.push(html`${link('dead-letters', {}, letters)} wait for a person.`);
  }
  for (const partner of waiting.partners ?? []) {
    if (partner.downSince !== null)
      troubles.push(
        html`${link('partners', {}, `The partner ${partner.name}`)} is down since ${time(partner.downSince)}.`,
      );
  }
  for (const { kind, name, by, reason } of waiting.pauses ?? [])
    troubles.push(html`${link('partners', {}, `The ${kind} ${name}`)} is held back by ${by ?? 'somebody'}: ${reason}`);
  const alive = waiting.processes?.filter(({ isAlive }) => isAlive) ?? [];
  for (const { consumer, due } of waiting.jobs ?? []) {
    if (due.count > 0 && !alive.some(({ consumers }) => consumers.includes(consumer)))
      troubles.push(html`${link('processes', {}, `No process works on ${consumer}`)}, and jobs are due.`);
  }
  return troubles;
}

export const overviewPage = {
  title: 'Overview',
  everyMs: 3_000,
  load: () => {
    const from = new Date(Date.now() - hourMs).toISOString();
    return readAll({
      now: read('/orders', { counts: true, limit: 1 }),
      hour: read('/orders', { counts: true, limit: 1, from }),
      waiting: read('/operations/overview'),
      causes: read('/dlq/groups'),
    });
  },
  view: (data) => {
    const { now, hour, waiting, causes } = data;
    const troubles = troublesOf(data);
    const calm = html`<p>${badge('up')} Nothing: orders flow.</p>`;
    const rows = [
      ['All orders', now],
      ['Placed in the last hour', hour],
    ];
    const columns = [
      ['Orders', ([title]) => title],
      ...Object.entries(outcomes).map(([title, of]) => [title, ([, { counts }]) => (counts ? shown(of(counts)) : '–')]),
    ];
    return html`<div class="grid">
      ${section('Needs a person', troubles.length === 0 ? calm : html`<ul>${troubles.map((one) => html`<li>${one}</li>`)}</ul>`)}
      ${section(
        'Orders',
        part(now, () => table('Orders by outcome', columns, rows, '')),
      )}
      ${section(
        'Work that waits',
        part(waiting, ({ jobs, cursors }) => jobsTable(jobs, cursors)),
      )}
      ${section(
        'Partners',
        part(waiting, ({ partners, pauses }) => partnersTable(partners, pauses, null)),
      )}
      ${section(
        'Dead letters by cause',
        part(causes, (found) => causeTable({ ...found, items: found.items.slice(0, 8) }, {})),
      )}
    </div>`;
  },
};

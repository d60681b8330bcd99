// The first page: how orders fare, what waits, which partners are away, and what needs a person.
//
// Promises: what needs a person stands first, as sentences that lead to the page where it is done.

import { html } from '/console/lit-html.js';
import { causeTable, filterText } from './letters.js';
import { readAll } from './requests.js';
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
function troublesOf({ jobs, partners, pauses, processes }, { total }, replays) {
  const troubles = [];
  if (total.count > 0) {
    const letters = `${number(total.count)}${total.isAtLeast ? ' or more' : ''} dead letters`;
    troubles.push(html`${link('dead-letters', {}, letters)} wait for a person.`);
  }
  for (const { id, filter, stateReason } of replays.filter(({ state }) => state === 'stopped'))
    troubles.push(
      html`${link(`replays/${id}`, {}, `The replay of ${filterText(filter)}`)} has stopped: ${stateReason}`,
    );
  for (const { name, downSince } of partners.filter((one) => one.downSince !== null))
    troubles.push(html`${link('partners', {}, `The partner ${name}`)} is down since ${time(downSince)}.`);
  for (const { kind, name, by, reason } of pauses)
    troubles.push(html`${link('partners', {}, `The ${kind} ${name}`)} is held back by ${by ?? 'somebody'}: ${reason}`);
  const worked = processes.filter(({ isAlive }) => isAlive).flatMap(({ consumers }) => consumers);
  for (const { consumer } of jobs.filter(({ due }) => due.count > 0)) {
    if (!worked.includes(consumer))
      troubles.push(html`${link('processes', {}, `No process works on ${consumer}`)}, and jobs are due.`);
  }
  return troubles;
}

function troubleList(waiting, causes, replays) {
  const troubles = troublesOf(waiting, causes, replays);
  if (troubles.length === 0) return html`<p>${badge('up')} Nothing: orders flow.</p>`;
  return html`<ul>${troubles.map((one) => html`<li>${one}</li>`)}</ul>`;
}

export const overviewPage = {
  title: 'Overview',
  everyMs: 3_000,
  load: () => {
    const from = new Date(Date.now() - hourMs).toISOString();
    return readAll({
      now: ['/orders', { counts: true, limit: 1 }],
      hour: ['/orders', { counts: true, limit: 1, from }],
      waiting: ['/operations/overview'],
      causes: ['/dlq/groups'],
      replays: ['/dlq/replays', { limit: 5 }],
    });
  },
  view: ({ now, hour, waiting, causes, replays }) => {
    const rows = [
      ['All orders', now],
      ['Placed in the last hour', hour],
    ];
    const columns = [
      ['Orders', ([title]) => title],
      ...Object.entries(outcomes).map(([title, of]) => [title, ([, { counts }]) => (counts ? shown(of(counts)) : '–')]),
    ];
    return html`<div class="grid">
      ${section(
        'Needs a person',
        part(waiting, () => part(causes, () => part(replays, ({ items }) => troubleList(waiting, causes, items)))),
      )}
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

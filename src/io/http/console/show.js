// What all pages are made of: times, counts, tables, forms that filter, and questions to the person.
//
// Promises: nothing is told by color alone; a table that is empty says so in words; times are those of the person's
// zone, with UTC behind them.

import { html, nothing, render } from '/console/lit-html.js';
import { attempt, Problem, withQuery } from './requests.js';

const numbers = new Intl.NumberFormat('en');
export const number = (value) => numbers.format(value);
// Counts are bounded: `isAtLeast` = that many or more.
export const count = ({ count: value, isAtLeast }) => `${number(value)}${isAtLeast ? '+' : ''}`;

const spans = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
];
export function duration(ms) {
  const [unit, name] = spans.find(([least]) => ms >= least) ?? [1, 'ms'];
  return `${Math.round(ms / unit)} ${name}`;
}

export function time(text) {
  if (text === null || text === undefined) return '–';
  const at = new Date(text);
  const ms = Date.now() - at.getTime();
  const said = Math.abs(ms) < 1_000 ? 'now' : ms > 0 ? `${duration(ms)} ago` : `in ${duration(-ms)}`;
  return html`<time datetime=${text} title="${at.toLocaleString()} (${text})">${said}</time>`;
}
export const clock = (text) =>
  html`<time datetime=${text} title=${text}>${new Date(text).toLocaleTimeString('en-GB')}.${text.slice(20, 23)}</time>`;

// The end of an id tells it from others; the whole one is in its title.
export const shortId = (id) => html`<code title=${id}>…${id.slice(-8)}</code>`;
export const link = (path, query, text) => html`<a href=${withQuery(`#/${path}`, query)}>${text}</a>`;
export const orderLink = (id) => link(`orders/${id}`, {}, shortId(id));

const moods = {
  ...{ PROCESSED: 'good', closed: 'good', done: 'good', up: 'good', alive: 'good' },
  ...{ FAILED: 'bad', open: 'bad', dead: 'bad', stopped: 'bad', down: 'bad', gone: 'bad' },
  ...{ 'half-open': 'warn', 'held back': 'warn', paused: 'warn', retry: 'warn', wait: 'warn' },
};
export const badge = (word) => html`<span class="badge ${moods[word] ?? 'plain'}">${word}</span>`;

// `columns`: heading and cell of each. Below the width of a desk every row becomes a card: the roles keep it a table.
export function table(caption, columns, rows, empty) {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`;
  return html`<table role="table">
    <caption>${caption}</caption>
    <thead role="rowgroup">
      <tr role="row">${columns.map(([title]) => html`<th role="columnheader" scope="col">${title}</th>`)}</tr>
    </thead>
    <tbody role="rowgroup">
      ${rows.map(
        (row) => html`<tr role="row">
          ${columns.map(([title, cell]) => html`<td role="cell" data-title=${title}>${cell(row)}</td>`)}
        </tr>`,
      )}
    </tbody>
  </table>`;
}

export const facts = (pairs) =>
  html`<dl>${pairs.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value ?? '–'}</dd></div>`)}</dl>`;

// A part of a page whose request failed says why, and the others stay.
export const part = (answer, draw) =>
  answer instanceof Problem ? html`<p class="problem">${answer.message}</p>` : draw(answer);

export const section = (title, content) => html`<section aria-label=${title}><h2>${title}</h2>${content}</section>`;

export const more = ({ name, query }, { nextCursor }) =>
  html`<p class="pages">
    ${query.cursor === undefined ? nothing : link(name, { ...query, cursor: undefined }, 'Newest')}
    ${nextCursor ? link(name, { ...query, cursor: nextCursor }, 'Older') : nothing}
  </p>`;

// Fields: name, label, and either the type of an input or the choices.
export function field([name, label, kind, extra = {}], value = '') {
  const { hint, required = false } = extra;
  const id = `field-${name}`;
  const choices = Array.isArray(kind) ? kind.map((one) => (Array.isArray(one) ? one : [one, one])) : null;
  const control =
    choices === null
      ? html`<input id=${id} name=${name} type=${kind} .value=${value} ?required=${required} step=${extra.step ?? 'any'}
          maxlength=${extra.max ?? 500} autocomplete="off" aria-describedby=${hint ? `${id}-hint` : nothing}>`
      : html`<select id=${id} name=${name}>
          ${choices.map(([key, text]) => html`<option value=${key} ?selected=${key === value}>${text}</option>`)}
        </select>`;
  return html`<div class="field">
    <label for=${id}>${label}</label>${control}${hint ? html`<small id="${id}-hint">${hint}</small>` : nothing}
  </div>`;
}

const given = (form) =>
  Object.fromEntries([...new FormData(form)].map(([name, value]) => toValue([name, value.trim()])));

// What is chosen goes into the address, so that it can be kept and sent to a colleague.
export function filterForm({ name, query }, label, fields) {
  const apply = (event) => {
    event.preventDefault();
    location.hash = withQuery(`/${name}`, given(event.target));
  };
  return html`<form class="filter" role="search" aria-label=${label} @submit=${apply}>
    ${fields.map((one) => field(one, one[2] === 'datetime-local' ? toLocal(query[one[0]]) : query[one[0]]))}
    <div class="buttons"><button>Show</button> ${link(name, {}, 'Clear')}</div>
  </form>`;
}
// A field of a form has the time of the person's zone without saying so; codes of countries are in capitals.
function toValue([name, value]) {
  if (name === 'country') return [name, value.toUpperCase()];
  return [name, /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/.test(value) ? new Date(value).toISOString() : value];
}
function toLocal(text) {
  if (text === undefined) return '';
  const at = new Date(text);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

// A page that is a list: a form that filters it, a table, and the way to older entries.
export const listPage = ({ title, path, limit = 20, intro = nothing, fields = [], caption, columns, empty }) => ({
  title,
  everyMs: 5_000,
  load: ({ query }) => attempt(path, { limit, ...query }),
  view: (answer, place) => html`
    ${intro} ${fields.length === 0 ? nothing : filterForm(place, title, fields)}
    ${part(answer, (page) => html`${table(caption, columns, page.items, empty)} ${more(place, page)}`)}
  `,
});

// Resolves with what the person filled in, or null where they went back.
export function question({ title, text, fields = [], action, isDangerous = false }) {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'question');
  render(
    html`<form method="dialog">
      <h2 id="question">${title}</h2>
      <p>${text}</p>
      ${fields.map((one) => field(one, one[3]?.value))}
      <div class="buttons">
        <button value="yes" class=${isDangerous ? 'danger' : 'main'}>${action}</button>
        <button value="no" formnovalidate>Back</button>
      </div>
    </form>`,
    dialog,
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      resolve(dialog.returnValue === 'yes' ? given(dialog.querySelector('form')) : null);
      dialog.remove();
    });
  });
}
export const reasonField = ['reason', 'Reason', 'text', { required: true, hint: 'It is kept in the audit log.' }];

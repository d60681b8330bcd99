// What waits and who works: jobs, partners and consumers with their pauses, processes, and what people did.
//
// Promises: whoever holds something back says why; a pause can end by itself.

import { html, nothing } from '/console/lit-html.js';
import { read, send } from './requests.js';
import {
  badge,
  count,
  link,
  listPage,
  number,
  orderLink,
  question,
  reasonField,
  section,
  table,
  time,
} from './show.js';

const consumers = ['payment', 'fulfillment', 'compensation', 'notification'];
const until = ['until', 'Until', 'datetime-local', { hint: 'Empty: until somebody lets it go on.' }];

export async function hold(kind, name) {
  const text = 'Work that has begun is finished; all else waits, and loses no attempt by it.';
  const title = `Hold back the ${kind} ${name}?`;
  const given = await question({ title, text, fields: [reasonField, until], action: 'Hold back', isDangerous: true });
  if (given === null) return null;
  const { reason, until: end } = given;
  await send('/operations/pauses', { kind, name, reason, ...(end === '' ? {} : { until: end }) });
  return `The ${kind} ${name} is held back; every process knows it within two seconds.`;
}

export async function letGo(kind, name) {
  await send(`/operations/pauses/${kind}/${name}/resume`);
  return `The ${kind} ${name} goes on.`;
}

// `act` null = the table only shows.
const holdButton = (kind, name, isPaused, act) =>
  isPaused
    ? html`<button aria-label="Let the ${kind} ${name} go on" @click=${() => act(() => letGo(kind, name))}>Let go on</button>`
    : html`<button aria-label="Hold back the ${kind} ${name}" @click=${() => act(() => hold(kind, name))}>Hold back…</button>`;

const stateOf = ({ downSince, isPaused, breakers }) => {
  const since = downSince ?? breakers.find(({ state }) => state !== 'closed')?.since;
  const own = since === undefined ? badge('up') : html`${badge('down')} since ${time(since)}`;
  return html`${own} ${isPaused ? badge('held back') : nothing}`;
};

export function partnersTable(partners, pauses, act) {
  const pauseOf = (name) => pauses.find((one) => one.kind === 'partner' && one.name === name);
  const why = ({ name, breakers }) =>
    pauseOf(name)?.reason ?? breakers.find(({ state }) => state !== 'closed')?.code ?? '–';
  const columns = [
    ['Partner', ({ name }) => name],
    ['State', stateOf],
    ['Why', why],
    ['Works for', (partner) => partner.consumers.join(', ')],
  ];
  const acting = [['Hold', ({ name, isPaused }) => holdButton('partner', name, isPaused, act)]];
  return table('Partners', act === null ? columns : [...columns, ...acting], partners, 'There are no partners.');
}

export function jobsTable(jobs, cursors) {
  const stateOf = ({ isPaused, readTo, behind }) => {
    if (readTo === 0 && behind > 0) return 'never read';
    return isPaused ? badge('held back') : '–';
  };
  return table(
    'Work that waits, by consumer',
    [
      ['Consumer', ({ consumer, reader }) => (consumer ? link('jobs', { consumer }, consumer) : reader)],
      ['Due', ({ due, behind }) => (due ? count(due) : number(behind))],
      ['Running', ({ running }) => (running === undefined ? '–' : number(running))],
      ['Waiting', ({ waiting }) => (waiting ? count(waiting) : '–')],
      ['Oldest due', ({ oldestDueAt, oldestAt }) => time(oldestDueAt ?? oldestAt)],
      ['State', stateOf],
    ],
    [...jobs, ...cursors],
    'Nothing waits.',
  );
}

const waits = {
  ...{ worker: 'a free worker', answer: 'the answer of a partner', 'next-try': 'its next try' },
  ...{ partner: 'its partner to come back', pause: 'a person to let it go on' },
};

export const jobsPage = listPage({
  title: 'Jobs',
  path: '/operations/jobs',
  limit: 100,
  fields: [
    ['consumer', 'Consumer', [['', 'any'], ...consumers]],
    ['state', 'State', [['', 'any'], 'due', 'running', 'waiting']],
    ['orderId', 'Order id', 'text', { max: 36 }],
  ],
  caption: 'Jobs, the longest due first (at most 100)',
  columns: [
    ['Order', ({ orderId }) => orderLink(orderId)],
    ['Consumer', ({ consumer }) => consumer],
    ['State', ({ state }) => badge(state)],
    ['Waits for', ({ waitsFor, partner }) => `${waits[waitsFor] ?? waitsFor}${partner ? ` (${partner})` : ''}`],
    ['Due', ({ dueAt }) => time(dueAt)],
    ['Attempt', ({ attempt }) => attempt],
    ['Last code', ({ lastCode }) => lastCode ?? '–'],
    ['Process', ({ process, since }) => (process === null ? '–' : html`${process} ${time(since)}`)],
    ['Made', ({ createdAt }) => time(createdAt)],
  ],
  empty: 'Nothing is due, runs or waits here.',
});

export const partnersPage = {
  title: 'Partners',
  everyMs: 3_000,
  load: () => read('/operations/overview'),
  view: ({ partners, pauses, jobs }, { act }) => {
    const changes = partners
      .flatMap(({ name, changes }) => changes.map((change) => ({ name, ...change })))
      .sort((one, other) => (one.at < other.at ? 1 : -1));
    return html`
      <p>A partner that fails often is left alone by itself until it answers again. Hold it back when it asks for that.</p>
      ${section('Partners', partnersTable(partners, pauses, act))}
      ${section(
        'Consumers',
        table(
          'Consumers',
          [
            ['Consumer', ({ consumer }) => link('jobs', { consumer }, consumer)],
            ['Due', ({ due }) => count(due)],
            ['State', ({ isPaused }) => badge(isPaused ? 'held back' : 'up')],
            ['Hold', ({ consumer, isPaused }) => holdButton('consumer', consumer, isPaused, act)],
          ],
          jobs,
          'There are no consumers.',
        ),
      )}
      ${section(
        'Held back',
        table(
          'What people hold back',
          [
            ['What', ({ kind, name }) => (kind === 'order' ? html`order ${orderLink(name)}` : `${kind} ${name}`)],
            ['Reason', ({ reason }) => reason],
            ['By', ({ by }) => by ?? '–'],
            ['Since', ({ at }) => time(at)],
            ['Until', ({ until: end }) => (end === null ? 'somebody lets it go on' : time(end))],
            ['Hold', ({ kind, name }) => holdButton(kind, name, true, act)],
          ],
          pauses,
          'Nothing is held back.',
        ),
      )}
      ${section(
        'What changed',
        table(
          'Partners that went away and came back, newest first',
          [
            ['At', ({ at }) => time(at)],
            ['Partner', ({ name }) => name],
            ['State', ({ state }) => badge(state === 'open' ? 'down' : 'up')],
            ['Code', ({ code }) => code ?? '–'],
            ['Seen by', ({ process }) => process],
          ],
          changes,
          'No process has seen one go away.',
        ),
      )}
    `;
  },
};

export const processesPage = {
  title: 'Processes',
  everyMs: 3_000,
  load: () => read('/operations/overview'),
  view: ({ processes }) =>
    table(
      'Processes, and what they work on',
      [
        ['Role', ({ role }) => role],
        ['State', ({ isAlive }) => badge(isAlive ? 'alive' : 'gone')],
        ['Host', ({ host, pid }) => `${host}, ${pid}`],
        ['Version', ({ version }) => version],
        ['Started', ({ startedAt }) => time(startedAt)],
        ['Seen', ({ seenAt }) => time(seenAt)],
        ['Consumers', (one) => one.consumers.join(', ') || '–'],
        ['Running', ({ running }) => number(Object.values(running).reduce((sum, each) => sum + each, 0))],
      ],
      processes,
      'No process has told of itself.',
    ),
};

const detailText = ([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`;

export const auditPage = listPage({
  title: 'Audit',
  path: '/operations/audit',
  fields: [
    ['action', 'Action', 'text', { hint: 'Such as letter-reprocessed', max: 64 }],
    ['by', 'By', 'text', { max: 32 }],
    ['orderId', 'Order id', 'text', { max: 36 }],
    ['from', 'From', 'datetime-local'],
    ['to', 'Before', 'datetime-local'],
  ],
  caption: 'What people did, newest first',
  columns: [
    ['At', ({ at }) => time(at)],
    ['Action', ({ action }) => action],
    ['By', ({ by }) => by ?? '–'],
    ['Order', ({ orderId }) => (orderId === null ? '–' : orderLink(orderId))],
    ['Details', ({ detail }) => Object.entries(detail).map(detailText).join(' · ')],
  ],
  empty: 'Nobody has done anything here.',
});

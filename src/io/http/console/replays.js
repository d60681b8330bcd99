// Replays: what a selection of dead letters would be, sending it back at a bearable rate, and following it.
//
// Promises: how many are meant is seen by a dry run before anything is sent, and asked for once more; whoever closes the
// window stops nothing.

import { html, nothing } from '/console/lit-html.js';
import { filterText, letterTable } from './letters.js';
import { read, send } from './requests.js';
import { badge, count, facts, field, link, listPage, number, question, reasonField, section, time } from './show.js';

const over = ['canceled', 'done'];

// Numbers are numbers in a body.
function toFilter(query) {
  const numeric = ['amountMin', 'amountMax'];
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [name, numeric.includes(name) ? Number(value) : value]),
  );
}

async function tryDry({ query, state, redraw }, body) {
  state.dryRun = await send('/dlq/replays', { filter: toFilter(query), ...body, dryRun: true });
  redraw();
  return `Dry run: ${count(state.dryRun)} dead letters of ${number(state.dryRun.orders)} orders would be sent back.`;
}

async function start({ query, state }, body) {
  const speed = body.rate === null ? 'at 1, 5, 20 and then 100 per second' : `at ${body.rate} per second`;
  const first = body.canary ? 'One goes first; the rest follows when it is done' : 'They go';
  const text = `${filterText(query)}. ${first}, ${speed}.`;
  const title = `Send back ${count(state.dryRun)} dead letters?`;
  if ((await question({ title, text, action: 'Replay' })) === null) return null;
  const { id } = await send('/dlq/replays', { filter: toFilter(query), ...body });
  location.hash = `/replays/${id}`;
  return null;
}

export const newReplayPage = {
  title: 'New replay',
  everyMs: 0,
  load: async () => ({}),
  view: (_data, place) => {
    const { act, query, state } = place;
    const submit = (event) => {
      event.preventDefault();
      const form = new FormData(event.target);
      const rate = form.get('rate') === '' ? null : Number(form.get('rate'));
      const stopShare = Number(form.get('stopPercent')) / 100;
      const body = { reason: form.get('reason').trim(), rate, canary: form.has('canary'), stopShare };
      const isDry = event.submitter.value === 'dry';
      act(() => (isDry ? tryDry(place, body) : start(place, body)));
    };
    return html`
      <p>Sends dead letters back to work: <strong>${filterText(query)}</strong>. ${link('dead-letters', query, 'Choose others')}</p>
      <form class="filter" @submit=${submit}>
        ${field(reasonField)}
        ${field(['rate', 'Letters per second', 'number', { hint: 'Empty: 1, then 5, 20 and 100, ten seconds each.' }])}
        ${field(['stopPercent', 'Stop when so many % fail again', 'number', { hint: '100: never.' }], '10')}
        <div class="field">
          <label for="canary">Try one letter first</label>
          <input type="checkbox" id="canary" name="canary" checked>
        </div>
        <div class="buttons">
          <button class=${state.dryRun ? '' : 'main'} value="dry">Dry run</button>
          <button class=${state.dryRun ? 'main' : ''} value="start" ?disabled=${!state.dryRun?.count}>Replay…</button>
        </div>
      </form>
      ${state.dryRun === undefined ? nothing : section('What would be sent back, for example', letterTable(state.dryRun.samples))}
    `;
  },
};

const act = (place, verb, said) =>
  place.act(async () => {
    await send(`/dlq/replays/${place.id}/${verb}`);
    return said;
  });

export const replayPage = {
  title: 'Replay',
  everyMs: 1_000,
  load: ({ id }) => read(`/dlq/replays/${id}`),
  view: (replay, place) => {
    const { state, stage, total, sent, done, failed, underWay, skipped } = replay;
    const settled = done + failed + skipped;
    const button = (verb, text, said, kind = '') =>
      html`<button class=${kind} @click=${() => act(place, verb, said)}>${text}</button>`;
    return html`
      <p>${badge(state)} ${filterText(replay.filter)} ${replay.stateReason ?? ''}</p>
      <div class="progress">
        <label for="settled">${number(settled)} of ${count(total)} settled</label>
        <progress id="settled" value=${settled} max=${Math.max(total.count, settled, 1)}></progress>
      </div>
      <div class="buttons">
        ${state === 'running' ? button('pause', 'Pause', 'Paused.', 'main') : nothing}
        ${['paused', 'stopped'].includes(state) ? button('resume', 'Go on', 'It goes on.', 'main') : nothing}
        ${over.includes(state) ? nothing : button('cancel', 'End it', 'Ended: the rest stays a dead letter.', 'danger')}
      </div>
      ${facts([
        ['Stage', over.includes(state) ? '–' : stage],
        ['Sent back', number(sent)],
        ['Done', number(done)],
        ['Failed again', failed === 0 ? '0' : link('dead-letters', replay.filter, number(failed))],
        ['Under way', number(underWay)],
        ['Skipped', number(skipped)],
        ['Reason', replay.reason],
        ['By', replay.by],
        ['Begun', time(replay.createdAt)],
        ['Ended', time(replay.endedAt)],
      ])}
    `;
  },
};

export const replaysPage = listPage({
  title: 'Replays',
  path: '/dlq/replays',
  intro: html`<p>
    Dead letters that are or were sent back together. A new replay begins at ${link('dead-letters', {}, 'their causes')}.
  </p>`,
  caption: 'Replays, newest first',
  columns: [
    ['Begun', ({ id, createdAt }) => link(`replays/${id}`, {}, time(createdAt))],
    ['State', ({ state }) => badge(state)],
    ['Letters', ({ filter }) => filterText(filter)],
    ['Sent', ({ sent, total }) => `${number(sent)} of ${count(total)}`],
    ['Done', ({ done }) => number(done)],
    ['Failed again', ({ failed }) => number(failed)],
    ['By', ({ by }) => by ?? '–'],
    ['Reason', ({ reason }) => reason],
  ],
  empty: 'Nothing was ever sent back together.',
});

// The console: which page is shown, kept up to date while somebody looks.
//
// Promises: an address leads to the same page again; a page that changes moves the focus to its heading and its title
// to the window; updates stop while the window is hidden or the person has stopped them, and move nothing that is
// being filled in.

import { html, nothing, render } from '/console/lit-html.js';
import { causesPage, letterPage } from './letters.js';
import { orderPage, ordersPage } from './orders.js';
import { overviewPage } from './overview.js';
import { newReplayPage, replayPage, replaysPage } from './replays.js';
import { read } from './requests.js';
import { section } from './show.js';
import { auditPage, jobsPage, partnersPage, processesPage } from './waiting.js';

// A page: `title`, `load(place)` asks for what `view(data, place)` draws, anew each `everyMs`; 0 = once.
const pages = {
  '': overviewPage,
  orders: ordersPage,
  'orders/': orderPage,
  'dead-letters': causesPage,
  'dead-letters/': letterPage,
  replays: replaysPage,
  'replays/': replayPage,
  'replays/new': newReplayPage,
  jobs: jobsPage,
  partners: partnersPage,
  processes: processesPage,
  audit: auditPage,
};
const menu = { '': 'Overview', orders: 'Orders', 'dead-letters': 'Dead letters', replays: 'Replays', jobs: 'Jobs' };
const rest = { partners: 'Partners', processes: 'Processes', audit: 'Audit' };
const unknownPage = {
  title: 'There is no such page',
  everyMs: 0,
  load: async () => null,
  view: () => section('Nothing here', html`<p>Choose one from the list above.</p>`),
};

const root = document.getElementById('console');
let place;
let data;
// Why the page cannot be read; and how it went with what the person did last.
let problem = null;
let said = '';
let refusal = null;
let isLive = true;
let session = { isAsked: false, operator: null };
let timer;

function readPlace() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const name = decodeURI(path);
  const page = pages[name] ?? pages[name.replace(/\/.*$/, '/')] ?? unknownPage;
  // `state` is what the page remembers while the person stays; `act` does something and says how it went.
  const id = name.split('/')[1];
  place = { page, name, id, query: Object.fromEntries(new URLSearchParams(query)), state: {}, act, redraw: draw };
}

async function visit() {
  const isFirst = place === undefined;
  readPlace();
  data = undefined;
  problem = null;
  said = '';
  refusal = null;
  draw();
  document.title = `${place.page.title} · Orderly`;
  if (!isFirst) {
    scrollTo(0, 0);
    root.querySelector('h1').focus();
  }
  await update();
}

async function update() {
  clearTimeout(timer);
  const asked = place;
  try {
    const answer = await asked.page.load(asked);
    if (place !== asked) return;
    data = answer;
    problem = null;
  } catch (error) {
    if (place !== asked) return;
    problem = error.message;
  }
  draw();
  clearTimeout(timer);
  if (isLive && !document.hidden && place.page.everyMs > 0) timer = setTimeout(update, place.page.everyMs);
}

// `doing` answers the sentence that says what was done; null = the person went back.
async function act(doing) {
  const asked = place;
  const done = await Promise.resolve(doing()).then(
    (sentence) => ({ said: sentence ?? '', refusal: null }),
    (error) => ({ said: '', refusal: error.message }),
  );
  if (place !== asked) return;
  said = done.said;
  refusal = done.refusal;
  draw();
  await update();
  // The button that was pressed may be gone; who uses the keyboard goes on from the top of the page.
  if (place === asked && document.activeElement === document.body) root.querySelector('h1').focus();
}

function toggleLive() {
  isLive = !isLive;
  clearTimeout(timer);
  draw();
  return isLive ? update() : undefined;
}

function draw() {
  const { page, name } = place;
  const here = name.split('/')[0];
  const entry = ([path, text]) =>
    html`<li><a href="#/${path}" aria-current=${path === here ? 'page' : nothing}>${text}</a></li>`;
  const skip = (event) => {
    event.preventDefault();
    root.querySelector('h1').focus();
  };
  render(
    html`<a class="skip" href="#main" @click=${skip}>Skip to the page</a>
      <header>
        <strong>Orderly</strong>
        <nav aria-label="Pages"><ul>${Object.entries({ ...menu, ...rest }).map(entry)}</ul></nav>
        <div class="aside">
          <button @click=${toggleLive}>${isLive ? 'Live: on' : 'Live: off'}</button>
          ${
            session.isAsked
              ? html`<form method="post" action="/logout"><button>Log out ${session.operator}</button></form>`
              : nothing
          }
        </div>
      </header>
      <main id="main">
        <h1 tabindex="-1">${page.title}${place.id && place.id !== 'new' ? html` <code>${place.id}</code>` : nothing}</h1>
        <p role="status" class=${said === '' ? 'silent' : 'said'}>${said}</p>
        <div role="alert">
          ${[refusal, problem].filter((one) => one !== null).map((one) => html`<p class="problem">${one}</p>`)}
        </div>
        ${data === undefined ? html`<p class="empty">${problem === null ? 'Loading…' : ''}</p>` : page.view(data, place)}
      </main>`,
    root,
  );
}

addEventListener('hashchange', visit);
document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : update()));
session = await read('/session').catch(() => session);
await visit();

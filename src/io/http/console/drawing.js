// The timeline of an order, drawn in lanes and told in sentences.
//
// Promises: the sentences say all that the drawing shows. Long waits are drawn shorter than they were, so that the
// milliseconds of a call stay visible beside the hours of an outage.

import { html, svg } from '/console/lit-html.js';
import { badge, clock, duration } from './show.js';

const width = 960;
const left = 110;
const laneHeight = 30;

const kindOf = ({ type, outcome }) => {
  if (type === 'dead' || outcome === 'dead' || outcome === 'parked') return 'bad';
  if (['retry', 'wait', 'takeover'].includes(type)) return 'warn';
  return /V\d+$/.test(type) ? 'event' : type === 'done' ? 'good' : 'plain';
};
// When it began, where it took time.
const span = ({ at, durationMs }) => {
  const end = Date.parse(at);
  return [end - (durationMs ?? 0), end];
};

// Each gap by its logarithm.
function scaleOf(entries) {
  const moments = [...new Set(entries.flatMap(span))].sort((one, other) => one - other);
  const places = new Map();
  let sum = 0;
  for (const [index, moment] of moments.entries()) {
    if (index > 0) sum += 1 + Math.log2(1 + moment - moments[index - 1]);
    places.set(moment, sum);
  }
  return (moment) => left + 12 + (places.get(moment) / (sum || 1)) * (width - left - 24);
}

function draw(entries) {
  const lanes = [...new Set(entries.map(({ consumer }) => consumer ?? 'order'))].sort((one) =>
    one === 'order' ? -1 : 0,
  );
  const scale = scaleOf(entries);
  const height = lanes.length * laneHeight;
  const middle = (lane) => lanes.indexOf(lane) * laneHeight + laneHeight / 2;
  return html`<svg class="timeline" viewBox="0 0 ${width} ${height}" aria-hidden="true">
    ${lanes.map(
      (lane) => svg`<line x1=${left} x2=${width} y1=${middle(lane)} y2=${middle(lane)} />
        <text x="0" font-size="14" y=${middle(lane) + 5}>${lane}</text>`,
    )}
    ${entries.map((entry) => {
      const [begin, end] = span(entry).map(scale);
      const y = middle(entry.consumer ?? 'order');
      return svg`<rect class=${kindOf(entry)} x=${begin - 5} y=${y - 7} rx="5" width=${end - begin + 10} height="14">
        <title>${entry.text}</title></rect>`;
    })}
  </svg>`;
}

export function timelineOf(entries) {
  if (entries.length === 0) return html`<p class="empty">Nothing has happened yet.</p>`;
  const since = (index) => (index === 0 ? 0 : Date.parse(entries[index].at) - Date.parse(entries[index - 1].at));
  return html`${draw(entries)}
    <ol class="story">
      ${entries.map(
        (entry, index) => html`<li class=${kindOf(entry)}>
          <span class="when">${clock(entry.at)} <small>${since(index) > 0 ? `+${duration(since(index))}` : ''}</small></span>
          <span>${entry.text}</span>
          <span class="what">${entry.consumer ?? 'order'} ${badge(entry.outcome ?? entry.type)}</span>
        </li>`,
      )}
    </ol>`;
}

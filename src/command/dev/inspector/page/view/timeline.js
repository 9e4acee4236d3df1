// The events of one call in the order of their arrival.
import { after, clock, size, title } from '../format.js';
import { html } from '../html.js';
import { pick } from '../list.js';
import { state } from '../store.js';
import { Status } from './list.js';

/** Events of one call that are shown: a test may send thousands under one id. */
const MAX_SHOWN = 500;

/** The newest kept requests of the same call, oldest first. */
export function ofCall({ key, source }) {
  return key === null ? [] : state.rows.latest(row => row.key === key && row.source === source, MAX_SHOWN).reverse();
}

export function Timeline({ data }) {
  const rows = ofCall(data);
  if (rows.length === 0) return null;
  const start = rows[0].at_ms;
  const span = Math.max(1, rows.at(-1).at_ms - start);
  const first = new Map();
  return html`${rows.length === MAX_SHOWN && html`<p class="faint">The newest ${MAX_SHOWN}.</p>`}
    <ol class="timeline" aria-label=${`Events of the call ${data.key}`}>
    ${rows.map((row, at) => {
      const original = first.get(row.id);
      if (original === undefined) first.set(row.id, row.n);
      const share = (row.at_ms - start) / span;
      return html`<li key=${row.n} class=${row.n === data.n ? 'now' : ''}>
        <span class="gap">${at === 0 ? clock(row.at_ms) : after(row.at_ms - rows[at - 1].at_ms)}</span>
        <span class="track" aria-hidden="true"><span class="dot" style=${{ left: `${share * 100}%` }}></span></span>
        <button class="link" aria-current=${row.n === data.n ? 'true' : undefined} onClick=${() => pick(row.n)}>${title(row)}</button>
        <${Status} row=${row} />
        <span class="size">${size(row.size)}</span>
        <span class="place">${row.kafka ? `${row.kafka.partition}@${row.kafka.offset}` : ''}</span>
        ${original !== undefined && html`<span class="tag">same body as #${original}</span>`}
      </li>`;
    })}
  </ol>`;
}

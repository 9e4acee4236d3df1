// Small parts that several views have.
import { copy } from '../actions.js';
import { html } from '../html.js';
import { pick } from '../list.js';
import { changed, state } from '../store.js';

/** A button that copies `text`, or what `make` gives. */
export function Copy({ name, text, make, label = 'Copy' }) {
  const done = state.copied === name ? 'Copied' : state.copied === `${name} failed` ? 'Not copied' : label;
  return html`<button onClick=${() => copy(name, make ? make() : text)}>${done}</button>`;
}

/** The outcome of what was sent from `place`. */
export function Sent({ place }) {
  const { sent } = state;
  if (sent?.place !== place) return null;
  const open = () => {
    changed({ dialog: null });
    pick(sent.n);
  };
  const kind = sent.failed || sent.status >= 300 ? 'bad' : '';
  return html`<p class=${`sent ${kind}`}>${sent.text}${' '}
    ${sent.n && html`<button class="link" onClick=${open}>Open request ${sent.n}</button>`}
  </p>`;
}

/** Names and values in two columns. */
export function Pairs({ label, pairs, differ }) {
  if (pairs.length === 0) return html`<p class="faint">None.</p>`;
  return html`<table class="pairs" aria-label=${label}><tbody>
    ${pairs.map(([name, value]) => html`<tr class=${differ?.(name, value) ? 'differs' : ''}><th scope="row">${name}</th><td>${value}</td></tr>`)}
  </tbody></table>`;
}

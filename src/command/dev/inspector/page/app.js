// The inspector's page: puts its parts together.
import { ask } from './actions.js';
import { filterOf } from './filter.js';
import { html, render } from './html.js';
import { listen } from './keys.js';
import { open } from './open.js';
import { follow, go } from './route.js';
import { changed, drawWith, state } from './store.js';
import { connect } from './stream.js';
import { Detail } from './view/detail.js';
import { Keys, Samples } from './view/dialogs.js';
import { List } from './view/list.js';
import { Filters, Top } from './view/top.js';

/** The server is asked for a text after a pause in typing, and again while new requests arrive. */
const SEARCH_PAUSE_MS = 150;
const SEARCH_AGAIN_MS = 1000;

/** What has arrived later is new to a page that opens with a request. */
const OPENED_MS = Date.now();

let cleared = 0;
let found = null;
let searching = null;

function Page() {
  const isOpen = state.open.n !== null;
  const wide = isOpen && state.route.tab === 'compare';
  return html`
    <${Top} clear=${clear} />
    ${state.connection === 'lost' && html`<p class="lost">${state.refusal ?? 'ringback dev does not answer. The list shows what it was; trying to connect again.'}</p>`}
    <${Filters} />
    <main class=${`${isOpen ? 'open' : ''} ${wide ? 'wide' : ''}`}>
      <${List} />
      ${isOpen && html`<${Detail} />`}
    </main>
    ${state.dialog === 'samples' && html`<${Samples} />`}
    ${state.dialog === 'keys' && html`<${Keys} />`}`;
}

function clear() {
  cleared = state.rows.newest;
  changed({ cursor: null, frozen: null });
  refilter();
}

function refilter() {
  state.rows.filter(filterOf(state.route, found, cleared));
  changed();
}

/** Asks where the text occurs, after `pause`; a search that waits already stays. */
function search(pause) {
  if (!state.route.text || searching !== null) return;
  searching = setTimeout(async () => {
    const { text } = state.route;
    const answer = text && (await ask(`api/search?text=${encodeURIComponent(text)}`).catch(() => null));
    searching = null;
    if (text !== state.route.text) return search(0);
    found = answer ? new Set(answer.matches) : null;
    changed({ searching: false });
    refilter();
  }, pause);
}

function onRoute(before) {
  const { route } = state;
  if (route.text !== before.text) {
    clearTimeout(searching);
    searching = null;
    found = null;
    changed({ searching: Boolean(route.text) });
    search(SEARCH_PAUSE_MS);
  }
  if (['text', 'call', 'event', 'status'].some(name => route[name] !== before[name])) refilter();
  if (route.request && route.request !== before.request) changed({ cursor: route.request, frozen: state.frozen ?? Infinity });
  open(route.request ?? null);
}

function onRows(rows) {
  search(SEARCH_AGAIN_MS);
  const late = state.frozen === Infinity && rows.find(row => row.at_ms > OPENED_MS);
  if (late) changed({ frozen: late.n - 1 });
  if (rows.some(row => row.n === state.open.n)) open(state.open.n, { again: true });
}

async function onReset() {
  cleared = 0;
  refilter();
  const before = state.info;
  const info = await ask('api/info').catch(() => before);
  changed({ info });
  // Another process: its requests have the same numbers.
  if (before && before.run !== info.run) {
    changed({ cursor: null, frozen: null, sent: null });
    go({ request: null, tab: null, with: null }, { replace: true });
  }
}

drawWith(() => {
  render(html`<${Page} />`, document.getElementById('app'));
  document.title = state.rows.size ? `ringback dev (${state.rows.size})` : 'ringback dev';
});
follow(onRoute);
listen();
connect(onReset, onRows);

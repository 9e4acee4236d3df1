// The page's head: what runs, whether it is connected, and the filters.
import { ANSWERS, isFiltered } from '../filter.js';
import { count } from '../format.js';
import { html } from '../html.js';
import { shownCount } from '../list.js';
import { go } from '../route.js';
import { changed, state } from '../store.js';
import { Copy } from './parts.js';

const CONNECTION = { connecting: 'Connecting', live: 'Live', lost: 'Reconnecting' };

export function Top({ clear }) {
  const { info, connection } = state;
  return html`<header class="top">
    <h1>ringback <span>dev</span></h1>
    <p class=${`connection ${connection}`}><span class="dot" aria-hidden="true"></span>${CONNECTION[connection]}</p>
    ${info && html`<p class="fact"><span class="faint">Webhooks</span> <code>${info.webhook}</code> <${Copy} name="webhook" text=${info.webhook} /></p>
    <p class="fact topic"><span class="faint">Topic</span> <code>${info.topic}</code> <span class="faint">at</span> <code>${info.bootstrap}</code></p>`}
    <div class="buttons">
      <button onClick=${() => changed({ dialog: 'samples', sent: null })}>Samples…</button>
      <button onClick=${clear} title="Empties the list in this window; ringback keeps the requests, and reloading shows them">Clear list</button>
      <button onClick=${() => changed({ dialog: 'keys' })} aria-label="Keyboard shortcuts" aria-keyshortcuts="?">?</button>
    </div>
  </header>`;
}

export function Filters() {
  const { route } = state;
  const typing = name => event => go({ [name]: event.target.value }, { typing: name });
  const choosing = name => event => go({ [name]: event.target.value });
  const clear = () => go({ text: null, call: null, event: null, status: null });
  return html`<form class="filters" role="search" aria-label="Filters" onSubmit=${event => event.preventDefault()}>
    <input id="text" type="search" aria-label="Text in body, head or call" placeholder="Text in body or head  ( / )" value=${route.text ?? ''}
      onInput=${typing('text')} spellcheck=${false} />
    <input id="call" type="search" aria-label="Call" placeholder="Call" value=${route.call ?? ''} onInput=${typing('call')} spellcheck=${false} />
    <select id="event" aria-label="Event" value=${route.event ?? ''} onChange=${choosing('event')}><${Events} chosen=${route.event} /></select>
    <select id="status" aria-label="Answer" value=${route.status ?? ''} onChange=${choosing('status')}>
      <option value="">Any answer</option>
      ${ANSWERS.map(([value, words]) => html`<option value=${value}>${words}</option>`)}
      ${codes(route.status).map(code => html`<option value=${code}>${code}</option>`)}
    </select>
    ${isFiltered(route) && html`<button type="button" onClick=${clear}>Clear filters</button>`}
    <p class="count">${counts()}</p>
  </form>`;
}

function counts() {
  const all = count(state.rows.size);
  return isFiltered(state.route) ? `${count(shownCount())} of ${all}` : `${all} ${state.rows.size === 1 ? 'request' : 'requests'}`;
}

/** The answers that were seen, and the one that is asked for. */
function codes(chosen) {
  const seen = new Set(Array.from(state.rows.statuses, String));
  if (/^\d+$/.test(chosen ?? '')) seen.add(chosen);
  return [...seen].sort();
}

function Events({ chosen }) {
  const values = [];
  const groups = Array.from(state.rows.events, ([source, names]) => {
    values.push(`${source}.*`, ...Array.from(names, name => `${source}.${name}`));
    return html`<optgroup label=${source}>
      <option value=${`${source}.*`}>All of ${source}</option>
      ${[...names].sort().map(name => html`<option value=${`${source}.${name}`}>${name}</option>`)}
    </optgroup>`;
  });
  return html`<option value="">Any event</option>${groups}
    ${chosen && !values.includes(chosen) && html`<option value=${chosen}>${chosen}</option>`}`;
}

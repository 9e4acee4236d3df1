// What to do while there is nothing to see.
import { sendSample } from '../actions.js';
import { isFiltered } from '../filter.js';
import { html } from '../html.js';
import { go } from '../route.js';
import { changed, state } from '../store.js';
import { Copy, Sent } from './parts.js';

export function Empty() {
  if (!state.info) return null;
  if (state.searching) return html`<div class="empty"><p class="faint">Searching…</p></div>`;
  if (isFiltered(state.route)) {
    const clear = () => go({ text: null, call: null, event: null, status: null });
    return html`<div class="empty">
      <h2>No request matches the filters</h2>
      <p>${state.rows.size} kept. New ones appear here if they match.</p>
      <p><button onClick=${clear}>Clear the filters</button></p>
    </div>`;
  }
  const source = state.info.sources.find(each => each.samples.length > 0);
  const sample = source?.samples.find(each => each.event === 'call_ended') ?? source?.samples[0];
  const command = firstCurl();
  const send = () => sendSample('empty', { source: source.name, event: sample.event });
  return html`<div class="empty">
    <h2>Waiting for the ${state.rows.size === 0 ? 'first' : 'next'} request</h2>
    ${sample && html`<p>
      <button class="primary" onClick=${send}>Send a sample</button>${' '}
      <button onClick=${() => changed({ dialog: 'samples', sent: null })}>Choose one…</button>
    </p>`}
    <${Sent} place="empty" />
    ${command && html`<p>or post one from a terminal:</p>
      <div class="command"><pre>${command}</pre><${Copy} name="first curl" text=${command} /></div>`}
    <p>To receive real ones, give your sender the address of a tunnel to this machine, with one of these paths:</p>
    <table class="plain" aria-label="Sources"><tbody>
      ${state.info.sources.map(each => html`<tr><th scope="row">${each.name}</th><td><code>${each.path}</code></td></tr>`)}
    </tbody></table>
  </div>`;
}

/** A command whose event is accepted: for a source that takes requests from anybody. */
function firstCurl() {
  const open = state.info.sources.find(source => source.verify === 'none');
  return open && `curl --include ${new URL(state.info.webhook).origin}${open.path} \\
  --header 'Content-Type: application/json' \\
  --data '{"event":"call_ended","call":{"call_id":"test-1"}}'`;
}

// What opens above the page: the samples and the keys.
import { sendSample } from '../actions.js';
import { size } from '../format.js';
import { Component, html } from '../html.js';
import { KEYS, letters, setLetters } from '../keys.js';
import { changed, state } from '../store.js';
import { Sent } from './parts.js';

/** The browser keeps the keyboard inside, closes it with Escape, and returns the focus. */
class Dialog extends Component {
  componentDidMount() {
    this.element.showModal();
  }

  render({ title, children }) {
    const close = () => changed({ dialog: null });
    return html`<dialog aria-labelledby="dialog-title" ref=${element => { this.element = element; }} onClose=${close}>
      <div class="dialog-head"><h2 id="dialog-title">${title}</h2>
        <button class="close" onClick=${() => this.element.close()} aria-label="Close">×</button></div>
      ${children}
    </dialog>`;
  }
}

export class Samples extends Component {
  state = { source: null, key: '', tamper: false, stale: false };

  sendOne({ name, signs }, event) {
    const { key, tamper, stale } = this.state;
    return sendSample('samples', { source: name, event, key: key || null, tamper: tamper && signs, stale: stale && signs });
  }

  async sendEach(source) {
    for (const { event } of source.samples) {
      // One after the other, as a sender would.
      if (!(await this.sendOne(source, event))) return;
    }
  }

  render(_, { key, tamper, stale, ...own }) {
    const sources = (state.info?.sources ?? []).filter(source => source.samples.length > 0);
    const source = sources.find(each => each.name === own.source) ?? sources[0];
    if (!source) return html`<${Dialog} title="Send a sample"><p>No source here has samples.</p><//>`;
    const check = name => event => this.setState({ [name]: event.target.checked });
    return html`<${Dialog} title="Send a sample">
      <div class="form">
        <label>Source<select id="sample-source" autofocus=${true} aria-label="Source" value=${source.name} onChange=${event => this.setState({ source: event.target.value })}>
          ${sources.map(each => html`<option value=${each.name}>${each.name}</option>`)}</select></label>
        <label>Id of the call<input id="sample-key" value=${key} placeholder="a new one each time" spellcheck=${false}
          onInput=${event => this.setState({ key: event.target.value })} /></label>
        <label class="check"><input id="sample-tamper" type="checkbox" checked=${tamper && source.signs} disabled=${!source.signs} onChange=${check('tamper')} /> Change the body after signing</label>
        <label class="check"><input id="sample-stale" type="checkbox" checked=${stale && source.signs} disabled=${!source.signs} onChange=${check('stale')} /> Sign with an old time</label>
      </div>
      <p class="faint">Posted to <code>${source.path}</code>, ${source.signs ? 'signed with a key that this process knows' : 'not signed'}. ${source.unsigned}</p>
      <ul class="samples">
        ${source.samples.map(sample => html`<li key=${sample.event}>
          <button onClick=${() => this.sendOne(source, sample.event)}><span>${sample.event}</span> <span class="faint">${size(sample.size)}</span></button></li>`)}
      </ul>
      <p><button class="primary" onClick=${() => this.sendEach(source)}>Send each once</button></p>
      <${Sent} place="samples" />
    <//>`;
  }
}

export function Keys() {
  return html`<${Dialog} title="Keyboard">
    <table class="pairs" aria-label="Keys"><tbody>
      ${KEYS.map(([keys, what]) => html`<tr><th scope="row">${keys.map(key => html`<kbd>${key}</kbd> `)}</th><td>${what}</td></tr>`)}
    </tbody></table>
    <label class="check"><input type="checkbox" checked=${letters()} onChange=${event => setLetters(event.target.checked)} /> Use the keys that are one letter or sign</label>
  <//>`;
}

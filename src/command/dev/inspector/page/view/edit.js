// A request to change and send.
import { send, target } from '../actions.js';
import { fromBase64, text as textOf, toBase64 } from '../bytes.js';
import { Component, html } from '../html.js';
import { state } from '../store.js';
import { Sent } from './parts.js';

export class Edit extends Component {
  constructor({ data }) {
    super();
    const body = textOf(fromBase64(data.body));
    const signs = state.info?.sources.find(source => source.name === data.source)?.signs ?? false;
    this.state = {
      path: target(data),
      headers: data.headers.filter(([name]) => name.toLowerCase() !== 'content-length').map(pair => pair.join(': ')).join('\n'),
      body: body ?? data.body,
      isBase64: body === null,
      signs,
      sign: signs,
      error: null,
    };
  }

  onSubmit = event => {
    event.preventDefault();
    const { path, headers, body, isBase64, sign } = this.state;
    try {
      const bytes = isBase64 ? fromBase64(body.replaceAll(/\s/g, '')) : new TextEncoder().encode(body);
      this.setState({ error: null });
      send('edit', { from: this.props.data.n, path: pathOf(path), headers: pairs(headers), body: toBase64(bytes), sign });
    } catch (error) {
      this.setState({ error: error.name === 'InvalidCharacterError' ? 'The body is not base64.' : error.message });
    }
  };

  onKeyDown = event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.onSubmit(event);
  };

  render(_, { path, headers, body, isBase64, signs, sign, error }) {
    const set = name => event => this.setState({ [name]: event.target.value });
    const rows = Math.min(24, Math.max(6, body.split('\n').length));
    return html`<form class="edit" onSubmit=${this.onSubmit} onKeyDown=${this.onKeyDown}>
      <label>Path<input id="edit-path" value=${path} onInput=${set('path')} spellcheck=${false} /></label>
      <label>Headers, one a line<textarea id="edit-headers" rows=${Math.min(12, headers.split('\n').length + 1)} value=${headers} onInput=${set('headers')} spellcheck=${false}></textarea></label>
      <label>${isBase64 ? 'Body, as base64 because it is no text' : 'Body'}<textarea id="edit-body" rows=${rows} value=${body} onInput=${set('body')} spellcheck=${false}></textarea></label>
      <label class="check"><input type="checkbox" checked=${sign} disabled=${!signs} onChange=${event => this.setState({ sign: event.target.checked })} />
        Sign it anew${!signs && html` <span class="faint">(no key for this source is known here)</span>`}</label>
      ${error && html`<p class="callout bad" role="alert">${error}</p>`}
      <p><button class="primary" aria-keyshortcuts="Control+Enter">Send</button> <span class="faint">Ctrl Enter</span></p>
      <${Sent} place="edit" />
    </form>`;
  }
}

function pathOf(text) {
  const path = text.trim();
  if (!path.startsWith('/')) throw new Error('The path must begin with a slash, such as /webhook.');
  return path;
}

/** Lines as names and values. */
function pairs(text) {
  return text.split('\n').filter(line => line.trim() !== '').map(line => {
    const at = line.indexOf(':');
    if (at < 1) throw new Error(`${JSON.stringify(line)} is no header: write it as Name: value.`);
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
}

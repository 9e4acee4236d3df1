// A body: laid out or as it was sent, with a search. Its text is one text node; colours and hits are ranges over it, so that
// nothing in a body can become an element.
import { fromBase64, hexdump, text as textOf } from '../bytes.js';
import { count } from '../format.js';
import { Component, html } from '../html.js';
import { pretty } from '../json.js';
import { visibleSpans } from '../visible.js';
import { Copy } from './parts.js';

/** Characters that are shown before one asks for the rest, and that have colours. */
const SHOWN = 200_000;
/** Hits that are marked. */
const MAX_HITS = 10_000;
const KINDS = ['name', 'string', 'number', 'word'];
/** Older browsers show bodies without colours and hits. */
const CAN_MARK = typeof Highlight === 'function' && CSS.highlights;

export class Body extends Component {
  state = { raw: false, whole: false, search: '', at: 0 };

  /** Everything that follows from the body alone, made once. */
  forms({ base64, text, type }) {
    if (this.made?.key === (base64 ?? text)) return this.made;
    const bytes = base64 === undefined ? null : fromBase64(base64);
    const plain = bytes ? textOf(bytes) : text;
    const laidOut = plain === null ? null : pretty(plain, type);
    const raw = { text: plain ?? hexdump(bytes.subarray(0, SHOWN)), spans: [] };
    const [seen, seenRaw] = [laidOut && visibleSpans(laidOut), visibleSpans(raw)];
    this.made = { key: base64 ?? text, raw, laidOut, seen, seenRaw, isText: plain !== null, bytes: bytes?.length ?? text.length };
    return this.made;
  }

  componentDidMount() {
    this.mark();
  }

  componentDidUpdate() {
    this.mark();
  }

  componentWillUnmount() {
    clearMarks();
  }

  /** Lays the ranges over the text, if it or the search has changed. */
  mark() {
    const { search, at } = this.state;
    if (!CAN_MARK || !this.pre) return;
    const node = this.pre.firstChild;
    if (this.marked?.node === node && this.marked.text === node?.data && this.marked.search === search && this.marked.at === at) return;
    this.marked = { node, text: node?.data, search, at };
    clearMarks();
    if (!node) return;
    const range = (from, to) => new StaticRange({ startContainer: node, startOffset: from, endContainer: node, endOffset: to });
    for (const kind of KINDS) {
      const spans = this.shown.spans.filter(span => span[0] === kind && span[2] <= node.length);
      CSS.highlights.set(`json-${kind}`, new Highlight(...spans.map(([, from, to]) => range(from, to))));
    }
    const hits = this.hits.filter(hit => hit + search.length <= node.length);
    const ranges = hits.map(hit => range(hit, hit + search.length));
    CSS.highlights.set('hit', new Highlight(...ranges));
    if (ranges[at]) this.reveal(ranges[at]);
  }

  reveal({ startContainer, startOffset, endOffset }) {
    const live = new Range();
    live.setStart(startContainer, startOffset);
    live.setEnd(startContainer, endOffset);
    const current = new Highlight(live);
    current.priority = 1;
    CSS.highlights.set('hit-now', current);
    const box = live.getBoundingClientRect();
    const panel = this.pre.closest('.panel');
    const frame = panel.getBoundingClientRect();
    if (box.top < frame.top + 60 || box.bottom > frame.bottom - 20) panel.scrollTop += box.top - frame.top - frame.height / 3;
  }

  find(text, search) {
    if (this.found?.text === text && this.found.search === search) return this.found.hits;
    const hits = [];
    if (search) {
      const pattern = new RegExp(search.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`), 'gi');
      for (let match = pattern.exec(text); match && hits.length < MAX_HITS; match = pattern.exec(text)) hits.push(match.index);
    }
    this.found = { text, search, hits };
    return hits;
  }

  onSearchKey = event => {
    if (event.key === 'Enter') this.step(event.shiftKey ? -1 : 1);
    else if (event.key === 'Escape' && this.state.search) this.setState({ search: '', at: 0 });
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  step(by) {
    const { length } = this.hits;
    if (length === 0) return;
    const at = (this.state.at + by + length) % length;
    // A hit in the part that is not shown shows it.
    this.setState({ at, whole: this.state.whole || this.hits[at] >= SHOWN });
  }

  render(props, { raw, whole, search, at }) {
    const forms = this.forms(props);
    const isPretty = forms.laidOut && !raw;
    this.shown = isPretty ? forms.seen : forms.seenRaw;
    const { text } = this.shown;
    const copied = isPretty ? forms.laidOut : forms.raw;
    const isCut = text.length > SHOWN && !whole;
    this.hits = this.find(text, search);
    const position = search && (this.hits.length === 0 ? 'none' : `${at + 1} of ${count(this.hits.length)}`);
    return html`<div class="body">
      <div class="tools">
        ${forms.laidOut && html`<span class="switch" role="group" aria-label="Form of the body">
          <button aria-pressed=${!raw} onClick=${() => this.setState({ raw: false, at: 0 })}>Pretty</button>
          <button aria-pressed=${raw} onClick=${() => this.setState({ raw: true, at: 0 })}>Raw</button></span>`}
        <label class="find"><span class="unseen">Search in the ${props.name}</span>
          <input type="search" class="body-search" placeholder="Search" value=${search} spellcheck=${false} onKeyDown=${this.onSearchKey}
            onInput=${event => this.setState({ search: event.target.value, at: 0 })} /></label>
        ${search && html`<button aria-label="Previous hit" onClick=${() => this.step(-1)}>↑</button>
          <button aria-label="Next hit" onClick=${() => this.step(1)}>↓</button>`}
        <span class="hits" role="status">${position}</span>
        <${Copy} name=${props.name} text=${isPretty || forms.isText ? copied.text : props.base64} label=${forms.isText ? 'Copy' : 'Copy as base64'} />
      </div>
      ${!forms.isText && html`<p class="faint">Not text: shown in hexadecimal${forms.bytes > SHOWN ? `, the first ${count(SHOWN)} bytes` : ''}.</p>`}
      ${forms.bytes === 0 ? html`<p class="faint">Empty.</p>`
        : html`<pre class=${forms.isText ? 'text' : 'hex'} ref=${element => { this.pre = element; }}>${isCut ? text.slice(0, SHOWN) : text}</pre>`}
      ${isCut && html`<p><button onClick=${() => this.setState({ whole: true })}>Show all ${count(text.length)} characters</button></p>`}
    </div>`;
  }
}

function clearMarks() {
  for (const name of [...KINDS.map(kind => `json-${kind}`), 'hit', 'hit-now']) CSS.highlights.delete(name);
}

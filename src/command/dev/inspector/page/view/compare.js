// Two requests side by side; what differs is marked.
import { ask } from '../actions.js';
import { fromBase64, hexdump, text as textOf } from '../bytes.js';
import { diff, inner } from '../diff.js';
import { clock, count, title } from '../format.js';
import { Component, html } from '../html.js';
import { pretty } from '../json.js';
import { go } from '../route.js';
import { state } from '../store.js';

/** Requests to choose from, of each kind. */
const CHOICES = 50;
/** Equal lines around a change. */
const CONTEXT = 3;
/** Lines of one body that are compared. */
const MAX_LINES = 20_000;

export class Compare extends Component {
  state = { other: null, error: null };

  componentDidMount() {
    this.load();
  }

  componentDidUpdate() {
    this.load();
  }

  async load() {
    const n = state.route.with ?? null;
    if (n === this.asked) return;
    this.asked = n;
    this.setState({ other: null, error: null });
    if (n === null) return;
    try {
      const other = await ask(`api/requests/${n}`);
      if (this.asked === n) this.setState({ other });
    } catch (error) {
      if (this.asked === n) this.setState({ error: error.message });
    }
  }

  render({ data }, { other, error }) {
    const [alike, rest] = choices(data);
    const option = row => html`<option value=${row.n}>#${row.n} ${title(row)} ${clock(row.at_ms)}</option>`;
    const chosen = state.route.with;
    const isListed = [...alike, ...rest].some(row => row.n === chosen);
    return html`<div class="compare">
      <p><label>Compare #${data.n} with${' '}
        <select aria-label=${`Compare #${data.n} with`} value=${chosen ?? ''} onChange=${event => go({ with: event.target.value }, { replace: Boolean(chosen) })}>
          <option value="">another request…</option>
          ${chosen && !isListed && html`<option value=${chosen}>#${chosen}</option>`}
          ${alike.length > 0 && html`<optgroup label="Same event or call">${alike.map(option)}</optgroup>`}
          ${rest.length > 0 && html`<optgroup label="Others">${rest.map(option)}</optgroup>`}
        </select></label></p>
      ${error && html`<p class="callout bad">${error}</p>`}
      ${other && (other.n < data.n ? html`<${Sides} left=${other} right=${data} />` : html`<${Sides} left=${data} right=${other} />`)}
    </div>`;
  }
}

function choices(data) {
  const isAlike = row => (row.event !== null && row.event === data.event) || (row.key !== null && row.key === data.key);
  const alike = state.rows.latest(row => row.n !== data.n && isAlike(row), CHOICES);
  const rest = state.rows.latest(row => row.n !== data.n && !isAlike(row), CHOICES);
  return [alike, rest];
}

class Sides extends Component {
  // Comparing takes time; the page is drawn again for each new event.
  shouldComponentUpdate({ left, right }) {
    return left !== this.props.left || right !== this.props.right;
  }

  render({ left, right }) {
    const facts = [
      ['target', side => `${side.method} ${side.path}${side.query === null ? '' : `?${side.query}`}`],
      ['event', side => side.event ?? ''],
      ['call', side => side.key ?? ''],
      ['size', side => `${side.size} B`],
      ['signature', side => side.signature],
      ['answer', side => `${side.status ?? ''} ${side.reason ?? ''}`],
    ].map(([name, of]) => [name, of(left), of(right)]);
    const names = [...new Set([...left.headers, ...right.headers].map(([name]) => name.toLowerCase()))];
    const value = (side, wanted) => side.headers.filter(([name]) => name.toLowerCase() === wanted).map(pair => pair[1]).join(', ');
    const headers = names.map(name => [name, value(left, name), value(right, name)]);
    return html`<${Table} label="What they are" left=${left} right=${right} rows=${facts} />
      <h3>Headers</h3><${Table} label="Headers" left=${left} right=${right} rows=${headers} />
      <h3>Bodies</h3><${Bodies} left=${left} right=${right} />`;
  }
}

function Table({ label, left, right, rows }) {
  return html`<table class="pairs sides" aria-label=${label}>
    <thead><tr><td></td><th scope="col">#${left.n}</th><th scope="col">#${right.n}</th></tr></thead>
    <tbody>${rows.map(([name, a, b]) => html`<tr class=${a === b ? '' : 'differs'}><th scope="row">${name}</th>${cells(a, b)}</tr>`)}</tbody></table>`;
}

class Bodies extends Component {
  state = { all: false };

  render({ left, right }, { all }) {
    if (left.body === right.body) return html`<p class="faint">The same, byte for byte.</p>`;
    const [a, b] = [left, right].map(linesOf);
    if (a.join('\n') === b.join('\n')) return html`<p>The same JSON, written differently: white space differs.</p>`;
    const pairs = diff(a.slice(0, MAX_LINES), b.slice(0, MAX_LINES));
    const show = () => this.setState({ all: true });
    return html`<table class="sides lines" aria-label="Lines of the bodies">
      <thead><tr><th scope="col">#${left.n}</th><th scope="col">#${right.n}</th></tr></thead>
      <tbody>${(all ? pairs : around(pairs)).map(pair => (typeof pair === 'number'
        ? html`<tr class="skipped"><td colspan="2"><button class="link" onClick=${show}>${count(pair)} equal ${pair === 1 ? 'line' : 'lines'}</button></td></tr>`
        : html`<tr class=${pair[0] === pair[1] ? '' : 'differs'}>${cells(pair[0], pair[1])}</tr>`))}</tbody></table>`;
  }
}

/** The two cells of a row, with the part marked in which they differ. */
function cells(a, b) {
  if (a === b) return html`<td>${a}</td><td>${b}</td>`;
  if (a === null || b === null) {
    return html`<td>${a !== null && html`<del>${a}</del>`}</td><td>${b !== null && html`<ins>${b}</ins>`}</td>`;
  }
  const [from, endA, endB] = inner(a, b);
  return html`<td>${a.slice(0, from)}<del>${a.slice(from, endA)}</del>${a.slice(endA)}</td>
    <td>${b.slice(0, from)}<ins>${b.slice(from, endB)}</ins>${b.slice(endB)}</td>`;
}

function linesOf(side) {
  const bytes = fromBase64(side.body);
  const text = textOf(bytes);
  if (text === null) return hexdump(bytes).split('\n');
  const type = side.headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1];
  return (pretty(text, type)?.text ?? text).split('\n');
}

/** Replaces long runs of equal lines by their number. */
function around(pairs) {
  const near = pairs.map(() => false);
  pairs.forEach(([a, b], at) => {
    if (a !== b) near.fill(true, Math.max(0, at - CONTEXT), at + CONTEXT + 1);
  });
  const shown = [];
  pairs.forEach((pair, at) => {
    if (near[at]) shown.push(pair);
    else if (typeof shown.at(-1) === 'number') shown[shown.length - 1] += 1;
    else shown.push(1);
  });
  return shown;
}

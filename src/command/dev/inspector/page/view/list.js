// The list of requests, newest first. Only the rows in sight are in the document.
import { hasBadSignature } from '../filter.js';
import { answered, clock, count, moment, size, title } from '../format.js';
import { Component, html } from '../html.js';
import { move, pick, scrolled, showNewest, shownCount } from '../list.js';
import { state } from '../store.js';
import { Empty } from './empty.js';

const COLUMNS = [
  ['time', 'Time'],
  ['source', 'Source'],
  ['event', 'Event'],
  ['call', 'Call'],
  ['size', 'Size'],
  ['answer', 'Answer'],
  ['took', 'Answer ms'],
  ['kafka', 'Kafka ms'],
  ['place', 'Partition@offset'],
];
/** Below this width a row has two lines. Heights are those of style.css. */
const NARROW = 620;
const HEIGHT = { wide: 28, narrow: 50 };
/** Rows beyond both edges, for a fast scroll. */
const MARGIN = 8;

export class List extends Component {
  state = { top: 0, height: 600, width: 1200 };

  componentDidMount() {
    this.observer = new ResizeObserver(([entry]) => {
      const { height, width } = entry.contentRect;
      // Hidden, it keeps its place.
      if (width > 0) this.setState({ height, width });
    });
    this.observer.observe(this.scroller);
  }

  componentWillUnmount() {
    this.observer.disconnect();
  }

  componentDidUpdate() {
    if (!state.frozen && this.scroller.scrollTop !== 0) this.scroller.scrollTop = 0;
    this.reveal();
  }

  get rowHeight() {
    return this.state.width < NARROW ? HEIGHT.narrow : HEIGHT.wide;
  }

  /** Scrolls to the cursor if it has moved. */
  reveal() {
    if (state.cursor === this.revealed || (state.cursor !== null && !state.rows.get(state.cursor))) return;
    this.revealed = state.cursor;
    if (state.cursor === null) return;
    const at = shownCount() - state.rows.upto(state.cursor);
    const top = at * this.rowHeight;
    const bottom = top + this.rowHeight - this.state.height + this.headHeight;
    const { scrollTop } = this.scroller;
    const isFar = top < scrollTop - this.state.height || bottom > scrollTop + this.state.height;
    if (isFar) this.scroller.scrollTop = top - this.state.height / 2;
    else if (top < scrollTop) this.scroller.scrollTop = top;
    else if (bottom > scrollTop) this.scroller.scrollTop = bottom;
  }

  get headHeight() {
    return this.state.width < NARROW ? 0 : HEIGHT.wide;
  }

  onScroll = () => {
    this.setState({ top: this.scroller.scrollTop });
    scrolled(this.scroller.scrollTop);
  };

  onKeyDown = event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.state.height / this.rowHeight) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) move(steps[event.key]);
    else if (event.key === 'Enter' && state.cursor !== null) pick(state.cursor, { focus: true });
    else return;
    event.preventDefault();
  };

  render() {
    const { top, height, width } = this.state;
    const { rowHeight } = this;
    const shown = shownCount();
    const from = Math.max(0, Math.floor(top / rowHeight) - MARGIN);
    const to = Math.min(shown, Math.ceil((top + height) / rowHeight) + MARGIN);
    const rows = [];
    for (let at = from; at < to; at += 1) rows.push(state.rows.get(state.rows.view[shown - 1 - at]));
    const fresh = state.frozen ? state.rows.view.length - shown : 0;
    const active = rows.some(row => row.n === state.cursor) ? `row-${state.cursor}` : undefined;
    return html`<section class="list" aria-label="Requests">
      ${fresh > 0 && html`<button class="fresh" onClick=${showNewest}>${count(fresh)} new</button>`}
      <div class=${`grid ${width < NARROW ? 'narrow' : 'wide'}`} role="grid" aria-label="Requests, newest first" tabindex="0" id="grid"
        aria-rowcount=${shown + 1} aria-colcount=${COLUMNS.length} aria-activedescendant=${active} aria-readonly="true"
        ref=${element => { this.scroller = element; }} onScroll=${this.onScroll} onKeyDown=${this.onKeyDown}>
        <div class="row head" role="row" aria-rowindex="1">
          ${COLUMNS.map(([name, label], at) => html`<span role="columnheader" aria-colindex=${at + 1} class=${name}>${label}</span>`)}
        </div>
        <div role="rowgroup" class="rows" style=${{ height: `${shown * rowHeight}px` }}>
          <div class="shift" role="presentation" style=${{ transform: `translateY(${from * rowHeight}px)` }}>
            ${rows.map((row, at) => html`<${Row} key=${row.n} row=${row} at=${from + at} />`)}
          </div>
        </div>
      </div>
      ${shown === 0 && html`<${Empty} />`}
    </section>`;
  }
}

/** A row is drawn again only if it has changed. */
class Row extends Component {
  shouldComponentUpdate({ row, at }) {
    return row !== this.props.row || at !== this.props.at || this.drawn !== mark(row);
  }

  render({ row, at }) {
    this.drawn = mark(row);
    const bad = row.status >= 300;
    const cell = (index, name, text, more) =>
      html`<span role="gridcell" aria-colindex=${index} class=${name} title=${more}>${text}</span>`;
    return html`<div role="row" id=${`row-${row.n}`} aria-rowindex=${at + 2} aria-selected=${row.n === state.cursor}
      class=${`row${bad ? ' bad' : ''}`} onClick=${() => pick(row.n)}>
      ${cell(1, 'time', clock(row.at_ms), moment(row.at_ms))}
      ${cell(2, 'source', row.source ?? '')}
      ${cell(3, 'event', eventOf(row), title(row))}
      ${cell(4, 'call', row.key ?? '', row.key)}
      ${cell(5, 'size', size(row.size))}
      ${cell(6, 'answer', html`<${Status} row=${row} />`)}
      ${cell(7, 'took', answered(row.answer_us))}
      ${cell(8, 'kafka', row.kafka ? row.kafka.ms : '')}
      ${cell(9, 'place', placeOf(row))}
    </div>`;
  }
}

const mark = row => row.n === state.cursor;

function eventOf(row) {
  // Nearly all are POST, and the path is what differs.
  const name = row.event ?? (row.method === 'POST' ? row.path : title(row));
  const [tag, why] = row.again !== null ? ['again', `Sent again from request ${row.again}`]
    : row.repeats !== null ? ['duplicate', `Its id came before, with request ${row.repeats}`] : [];
  return html`${name}${tag && html` <span class="tag" title=${why}>${tag}</span>`}`;
}

function placeOf(row) {
  if (row.dead_letter) return html`<span class="badge warn">dead letter</span>`;
  if (row.kafka) return `${row.kafka.partition}@${row.kafka.offset}`;
  if (row.reason) return html`<span class="reason" title=${row.reason}>${row.reason.replaceAll('_', ' ')}</span>`;
  return row.status ? html`<span class="faint">waiting</span>` : '';
}

/** The answer's status as a badge. An event that is accepted in spite of its signature says so. */
export function Status({ row }) {
  if (row.status === null) return html`<span class="badge">…</span>`;
  const lenient = hasBadSignature(row) && row.status < 300;
  const kind = row.status >= 500 ? 'bad' : row.status >= 300 ? 'bad' : lenient ? 'warn' : 'good';
  return html`<span class=${`badge ${kind}`} title=${lenient ? `Accepted, with ${row.signature === 'missing' ? 'no' : 'an invalid'} signature` : undefined}>${row.status}</span>`;
}


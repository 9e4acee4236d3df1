// One request: what happened to it, and everything that it consists of, in tabs.
import { asCurl, sendAgain } from '../actions.js';
import { answered, moment, size, tenths, title } from '../format.js';
import { Component, html } from '../html.js';
import { close, pick } from '../list.js';
import { go } from '../route.js';
import { state } from '../store.js';
import { Body } from './body.js';
import { Compare } from './compare.js';
import { Edit } from './edit.js';
import { Status } from './list.js';
import { Copy, Pairs, Sent } from './parts.js';
import { Timeline, ofCall } from './timeline.js';

/** The tabs that a request has: name in the address, label, view. */
export function tabsOf(data) {
  const calls = ofCall(data).length;
  return [
    ['body', 'Body', RequestBody],
    ['headers', 'Headers', Headers],
    data.answer && ['answer', 'Answer', Answer],
    data.record && ['kafka', 'Kafka record', Record],
    data.forwarded && ['forwarded', 'Forwarded', Forwarded],
    data.key !== null && ['timeline', `Call (${calls})`, Timeline],
    ['compare', 'Compare', Compare],
    ['edit', 'Edit', Edit],
  ].filter(Boolean);
}

export class Detail extends Component {
  componentDidMount() {
    this.focus();
  }

  componentDidUpdate() {
    this.focus();
  }

  /** Enter in the list brings the keyboard here. */
  focus() {
    if (!state.focusDetail || !this.heading) return;
    state.focusDetail = false;
    this.heading.focus();
  }

  render() {
    const { n, data, error } = state.open;
    const name = data ? title(data) : `Request ${n}`;
    return html`<section class="detail" aria-labelledby="detail-title">
      <div class="detail-head">
        <h2 id="detail-title" tabindex="-1" ref=${element => { this.heading = element; }}>
          ${data && html`<${Status} row=${data} /> `}<bdi>${name}</bdi> <span class="faint">#${n}</span></h2>
        <button class="close" onClick=${close} aria-label="Close" aria-keyshortcuts="Escape">×</button>
      </div>
      ${error && html`<p class="callout bad">${error}</p>`}
      ${data && html`<${Actions} data=${data} /><${Facts} data=${data} /><${Tabs} data=${data} key=${`tabs ${n}`} />`}
    </section>`;
  }
}

function Actions({ data }) {
  return html`<div class="actions">
    ${data.body_is_whole && html`<button onClick=${() => sendAgain(data)}>Send again</button>`}
    <button onClick=${() => go({ tab: 'edit' })}>Edit and send</button>
    ${data.body_is_whole && html`<${Copy} name="curl" make=${() => asCurl(data)} label="Copy as curl" />
      <a class="button" href=${`api/requests/${data.n}/fixture`} download>Save as fixture</a>`}
    <${Sent} place="detail" />
  </div>`;
}

/** What happened, from arrival to Kafka. */
function Facts({ data }) {
  const { refusal, verdict, record, forwarded } = data;
  return html`
    ${refusal && html`<div class="callout bad">
      <p><strong>Refused with ${refusal.status}</strong> (${refusal.reason.replaceAll('_', ' ')}). ${refusal.detail}</p>
      ${refusal.remedy && html`<p><strong>What to do:</strong> ${refusal.remedy}</p>`}
    </div>`}
    ${data.unparsed && html`<p class="callout warn"><strong>Kept as a dead letter.</strong> ${data.unparsed}</p>`}
    <dl class="facts">
      <dt>Arrived</dt><dd>${moment(data.at_ms)} from ${data.client}, ${size(data.size)}${data.again !== null && `, again from #${data.again}`}</dd>
      ${data.repeats !== null && html`<dt>Duplicate</dt><dd>Its id came before, with${' '}
        <button class="link" onClick=${() => pick(data.repeats)}>#${data.repeats}</button>.</dd>`}
      <dt>Signature</dt><dd><span class=${`badge ${{ valid: 'good', invalid: 'bad', missing: 'bad' }[data.signature] ?? ''}`}>${data.signature}</span> ${verdict.text}
        ${verdict.remedy && verdict.remedy !== refusal?.remedy && ` ${verdict.remedy}`}</dd>
      ${data.status && html`<dt>Answer</dt><dd><${Status} row=${data} /> after ${answered(data.answer_us)} ms</dd>`}
      ${(record || data.status === 204) && html`<dt>Kafka</dt><dd>${record
        ? html`${record.topic}, partition ${record.partition}, offset ${record.offset}${data.kafka && `, ${data.kafka.ms} ms after it arrived`}`
        : html`<span class="faint">${data.dead_letter ? 'a dead letter; not in the topic' : 'waiting for Kafka'}</span>`}</dd>`}
      ${forwarded && html`<dt>Forwarded</dt><dd>${forwarded.error ?? `${forwarded.status} from ${forwarded.url} after ${tenths(forwarded.ms)} ms`}</dd>`}
      ${data.key !== null && html`<dt>Call</dt><dd><bdi><code>${data.key}</code></bdi> <button class="link" onClick=${() => go({ call: data.key })}>show only this call</button></dd>`}
    </dl>`;
}

class Tabs extends Component {
  onKeyDown = (event, names, at) => {
    const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const name = names[(steps[event.key] + names.length) % names.length];
    go({ tab: name, with: null }, { replace: true });
    document.getElementById(`tab-${name}`).focus();
  };

  render({ data }) {
    const tabs = tabsOf(data);
    const names = tabs.map(([name]) => name);
    const at = Math.max(0, names.indexOf(state.route.tab));
    const [chosen, , View] = tabs[at];
    return html`
      <div class="tabs" role="tablist" aria-label="Parts of the request">
        ${tabs.map(([name, label]) => html`<button role="tab" id=${`tab-${name}`} key=${name} aria-selected=${name === chosen} aria-controls="tab-panel"
          tabindex=${name === chosen ? 0 : -1} onClick=${() => go({ tab: name, with: null }, { replace: Boolean(state.route.tab) })}
          onKeyDown=${event => this.onKeyDown(event, names, at)}>${label}</button>`)}
      </div>
      <div class="panel" role="tabpanel" id="tab-panel" aria-labelledby=${`tab-${chosen}`} tabindex="0" key=${chosen}>
        <${View} data=${data} />
      </div>`;
  }
}

const typeOf = headers => headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1];

function RequestBody({ data }) {
  if (!data.body_is_whole && data.body === '') return html`<p class="faint">Not read: the request was refused before its body.</p>`;
  return html`
    ${!data.body_is_whole && html`<p class="callout warn">Only the beginning of this body is kept, because it is large. It cannot be sent again as it was.</p>`}
    <${Body} name="request body" base64=${data.body} type=${typeOf(data.headers)} />`;
}

function Headers({ data }) {
  const line = `${data.method} ${data.path}${data.query === null ? '' : `?${data.query}`} ${data.version}`;
  return html`<p class="line"><code>${line}</code></p><${Pairs} label="Headers of the request" pairs=${data.headers} />`;
}

function Answer({ data }) {
  const { status, headers, body } = data.answer;
  return html`<p class="line"><code>${data.version} ${status}</code></p><${Pairs} label="Headers of the answer" pairs=${headers} />
    ${body ? html`<${Body} name="answer" text=${body} />` : html`<p class="faint">No body.</p>`}`;
}

function Record({ data }) {
  const { topic, partition, offset, timestamp_ms: time, key, headers } = data.record;
  const pairs = [['topic', topic], ['partition', partition], ['offset', offset], ['timestamp', moment(time)], ['key', key ?? '(none)']];
  return html`<${Pairs} label="The record" pairs=${pairs} />
    <h3>Headers</h3><${Pairs} label="Headers of the record" pairs=${headers} />
    <p class="faint">The value is the body, byte for byte.</p>`;
}

function Forwarded({ data }) {
  const { url, status, ms, error, body } = data.forwarded;
  const pairs = [['to', url], status !== null && ['status', status], ['after', `${tenths(ms)} ms`], error && ['error', error]].filter(Boolean);
  return html`<${Pairs} label="What the local handler answered" pairs=${pairs} />${body && html`<${Body} name="handler's answer" text=${body} />`}`;
}

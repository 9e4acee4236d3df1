// The server's events: rows as they change. The browser reconnects, and resumes where it was.
import { changed, say, state } from './store.js';

/** If the browser gives up (an answer other than 200), this page tries again. */
const RETRY_MS = 2000;
/** A screen reader hears of new requests at most this often. */
const SAY_MS = 10_000;

/** `onReset` is called when all rows are new, `onRows` with the numbers that changed. */
export function connect(onReset, onRows) {
  const source = new EventSource('api/stream');
  source.addEventListener('open', () => {
    if (state.connection === 'lost') say('Connected again.');
    changed({ connection: 'live', refusal: null });
  });
  source.addEventListener('reset', () => {
    state.rows.clear();
    onReset();
    changed();
  });
  source.addEventListener('rows', message => {
    const { first, rows } = JSON.parse(message.data);
    count(rows);
    state.rows.take(first, rows);
    onRows(rows);
    changed();
  });
  source.addEventListener('error', () => {
    if (state.connection !== 'lost') say('The connection to ringback dev is lost. Trying again.');
    changed({ connection: 'lost' });
    if (source.readyState !== EventSource.CLOSED) return;
    askWhy();
    setTimeout(() => connect(onReset, onRows), RETRY_MS);
  });
}

/** An EventSource does not say why it is refused, such as that too many pages are open. */
async function askWhy() {
  const answer = await fetch('api/stream').catch(() => null);
  if (answer?.ok) answer.body.cancel();
  const told = answer && !answer.ok ? await answer.json().catch(() => null) : null;
  changed({ refusal: told?.error ?? null });
}

let fresh = 0;
let refused = 0;
let timer = null;

/** Gathers what is new into one sentence. */
function count(rows) {
  for (const row of rows) {
    const before = state.rows.get(row.n);
    if (!before) fresh += 1;
    if (row.status >= 300 && before?.status !== row.status) refused += 1;
  }
  if (timer === null && fresh > 0) timer = setTimeout(sayCount, SAY_MS);
}

function sayCount() {
  say(`${fresh} new ${fresh === 1 ? 'request' : 'requests'}${refused ? `, ${refused} refused` : ''}.`);
  fresh = 0;
  refused = 0;
  timer = null;
}

// What the page asks of the server, and the clipboard.
import { fromBase64, text } from './bytes.js';
import { curl } from './curl.js';
import { tenths } from './format.js';
import { changed, say, state } from './store.js';

/** How long a button says that it copied. */
const COPIED_MS = 1500;

/** The JSON that `path` answers. Throws an Error whose message is a sentence for the user. */
export async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error('ringback dev does not answer. Is it still running?');
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok || answer.error) throw new Error(answer.error ?? `ringback dev answers ${response.status}.`);
  return answer;
}

/** Posts and keeps the outcome as `state.sent`, which is shown at `place`. */
async function post(place, path, body) {
  changed({ sent: { place, text: 'Sending…' } });
  try {
    const answer = await ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const sentence = `Answered ${answer.status} in ${tenths(answer.ms)} ms.`;
    say(sentence);
    changed({ sent: { place, text: sentence, n: answer.n, status: answer.status } });
    return answer;
  } catch (error) {
    say(error.message);
    changed({ sent: { place, text: error.message, failed: true } });
    return null;
  }
}

export const sendSample = (place, sample) => post(place, 'api/sample', { key: null, tamper: false, stale: false, ...sample });

export const send = (place, request) => post(place, 'api/send', request);

/** Sends the request again as it was, signature and all. */
export function sendAgain(data) {
  const { n, headers, body } = data;
  return send('detail', { from: n, path: target(data), headers, body, sign: false });
}

/** The path and the query. */
export const target = ({ path, query }) => path + (query === null ? '' : `?${query}`);

/** The request as a command for bash. */
export function asCurl(data) {
  return curl(new URL(state.info.webhook).origin, data, text(fromBase64(data.body)), data.body);
}

let copied = null;

/** Copies `value`; the button called `name` says so for a moment. */
export async function copy(name, value) {
  try {
    await navigator.clipboard.writeText(value);
    say('Copied.');
    changed({ copied: name });
  } catch {
    say('The browser refuses to copy.');
    changed({ copied: `${name} failed` });
  }
  // The time of an earlier copy must not end this one's.
  clearTimeout(copied);
  copied = setTimeout(() => changed({ copied: null }), COPIED_MS);
}

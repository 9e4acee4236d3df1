// The address keeps what is filtered and what is open, so that reload, back and forward work.
import { changed, state } from './store.js';

const NAMES = ['text', 'call', 'event', 'status', 'request', 'tab', 'with'];
const NUMBERS = ['request', 'with'];

let listener = () => {};
// Typing makes one entry of the history, not one for each letter.
let typed = null;

/** Reads the address now and whenever it changes, and calls `callback` with what it was before. */
export function follow(callback) {
  listener = callback;
  addEventListener('popstate', () => {
    typed = null;
    read();
  });
  read();
}

/** Changes parts of the address. With `typing`, changes of the same part in a row are one step for "back". */
export function go(changes, { typing = null, replace = false } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  const address = text ? `?${text}` : location.pathname;
  const same = replace || (typing !== null && typing === typed);
  typed = typing;
  history[same ? 'replaceState' : 'pushState'](null, '', address);
  read();
}

function read() {
  const query = new URLSearchParams(location.search);
  const before = state.route;
  const route = {};
  for (const name of NAMES) {
    const value = query.get(name);
    if (value) route[name] = NUMBERS.includes(name) ? Number.parseInt(value, 10) || null : value;
  }
  changed({ route });
  listener(before);
}

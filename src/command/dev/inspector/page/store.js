// What the page knows, and one drawing of it for each animation frame in which something changed.
import { Rows } from './rows.js';

export const state = {
  /** What /api/info answers; null until it has. */
  info: null,
  /** 'connecting', 'live' or 'lost'. */
  connection: 'connecting',
  /** Why the server refuses to send events, in its words. */
  refusal: null,
  /** The kept requests, and those that the filters let through. */
  rows: new Rows(),
  /** What the address says: text, call, event, status, request, tab, with. */
  route: {},
  /** The request at which the keyboard is in the list. */
  cursor: null,
  /** The newest request that the list shows while it does not follow; null while it does. */
  frozen: null,
  /** The open request: its number, and its data or why there is none. */
  open: { n: null, data: null, error: null },
  /** True until the server has said where the text of the filter occurs. */
  searching: false,
  /** True if the focus goes to the detail view once it is drawn. */
  focusDetail: false,
  /** 'samples', 'keys' or null. */
  dialog: null,
  /** The last thing that was sent from here: where, a sentence, and the number of its request. */
  sent: null,
  /** What was copied last, for a moment. */
  copied: null,
};

let draw = () => {};
let scheduled = false;

/** Calls `callback` in the next frame after each change. */
export function drawWith(callback) {
  draw = callback;
  changed();
}

/** Applies `changes` to the state, if any, and has it drawn. */
export function changed(changes) {
  Object.assign(state, changes);
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    draw();
  });
}

/** Has a screen reader say `text` when it is idle. */
export function say(text) {
  document.getElementById('said').textContent = text;
}

// What the list shows and where one is in it. It follows the newest request until one scrolls or picks a row.
import { go } from './route.js';
import { changed, state } from './store.js';

/** How many rows the list has: all that match, or those up to where it stopped following. */
export function shownCount() {
  return state.frozen === null ? state.rows.view.length : state.rows.upto(state.frozen);
}

/** Stops following: what is in sight stays where it is. */
function freeze() {
  if (state.frozen === null) changed({ frozen: Math.max(state.rows.newest, 1) });
}

/** Follows the newest again. */
export function showNewest() {
  changed({ frozen: null });
}

let scrolledTo = 0;

/** The list is scrolled to `top` pixels. */
export function scrolled(top) {
  scrolledTo = top;
  if (top > 0) freeze();
  else if (state.cursor === null) showNewest();
}

/** Moves the cursor by `steps` rows, downwards to older ones. An open detail view goes along. */
export function move(steps) {
  const shown = shownCount();
  if (shown === 0) return;
  const at = state.cursor === null ? -1 : shown - state.rows.upto(state.cursor);
  const next = Math.min(shown - 1, Math.max(0, at + steps));
  const n = state.rows.view[shown - 1 - next];
  freeze();
  if (state.route.request) go({ request: n, with: null }, { replace: true });
  else changed({ cursor: n });
}

/** Opens request `n`; with `focus`, the keyboard goes there too. */
export function pick(n, { focus = false } = {}) {
  freeze();
  const replace = Boolean(state.route.request);
  changed({ cursor: n, focusDetail: focus });
  go({ request: n, with: null }, { replace });
}

/** Closes the detail view, and follows again unless one has scrolled; without one, gives the cursor up and follows. */
export function close() {
  if (state.route.request) {
    go({ request: null, tab: null, with: null });
    if (scrolledTo === 0) showNewest();
    // A narrow window has the list again after the drawing that `go` has asked for.
    requestAnimationFrame(() => document.getElementById('grid').focus());
  } else {
    changed({ cursor: null, frozen: null });
  }
}

// The keyboard, where no field has it.
import { asCurl, copy, sendAgain } from './actions.js';
import { close, move } from './list.js';
import { go } from './route.js';
import { changed, state } from './store.js';

export const KEYS = [
  [['↓', 'j'], 'an older request'],
  [['↑', 'k'], 'a newer request'],
  [['Home', 'End'], 'the newest, the oldest'],
  [['Enter'], 'open it, and go to its details'],
  [['Escape'], 'close; in the list: follow the newest again'],
  [['/'], 'filter by text'],
  [['s'], 'send a sample'],
  [['r'], 'send the open request again'],
  [['e'], 'edit and send it'],
  [['c'], 'copy it as curl'],
  [['f'], 'search in its body'],
  [['t'], 'the timeline of its call'],
  [['?'], 'these keys'],
];

const STORED = 'ringback letters';

/** Whether keys of one letter work: speech input may need them off. */
export const letters = () => localStorage.getItem(STORED) !== 'off';

export function setLetters(on) {
  localStorage.setItem(STORED, on ? 'on' : 'off');
  changed();
}

const focus = selector => requestAnimationFrame(() => document.querySelector(selector)?.focus());

/** Moves in the list, from wherever the keyboard is; Enter then opens. */
function step(steps) {
  if (!document.activeElement.closest('.detail')) document.getElementById('grid').focus();
  move(steps);
}

const ACTIONS = {
  j: () => step(1),
  k: () => step(-1),
  '/': () => focus('#text'),
  s: () => changed({ dialog: 'samples', sent: null }),
  '?': () => changed({ dialog: 'keys' }),
  r: data => sendAgain(data),
  e: () => {
    go({ tab: 'edit' });
    focus('#edit-body');
  },
  c: data => copy('curl', asCurl(data)),
  f: () => {
    go({ tab: null, with: null });
    focus('.body-search');
  },
  t: () => go({ tab: 'timeline' }),
};
const NEEDS_OPEN = ['r', 'e', 'c', 'f', 't'];
const NEEDS_WHOLE = ['r', 'c'];

const LIST_KEYS = ['ArrowDown', 'ArrowUp', 'PageDown', 'PageUp', 'Home', 'End', 'Enter'];

/** Hands the list its keys where nothing else uses them: before anything has the focus, and on an open request's title. */
function handToList(event) {
  const grid = document.getElementById('grid');
  const isFresh = event.target === document.body;
  const isOnTitle = event.target.id === 'detail-title' && event.key !== 'Enter';
  const isVisible = grid.offsetParent !== null;
  if (!isVisible || !(isFresh || isOnTitle)) return;
  if (isFresh) grid.focus();
  grid.dispatchEvent(new KeyboardEvent('keydown', { key: event.key }));
  event.preventDefault();
}

/** Listens for as long as the page lives. */
export function listen() {
  addEventListener('keydown', event => {
    const isDialog = document.querySelector('dialog[open]') !== null;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isDialog) return;
    const field = event.target.closest('input, select, textarea');
    if (event.key === 'Escape') {
      if (field) leave(field);
      else close();
      event.preventDefault();
    } else if (!field && event.key in ACTIONS && letters()) {
      const { data } = state.open;
      if (NEEDS_OPEN.includes(event.key) && !data) return;
      if (NEEDS_WHOLE.includes(event.key) && !data.body_is_whole) return;
      event.preventDefault();
      ACTIONS[event.key](data);
    } else if (LIST_KEYS.includes(event.key)) {
      handToList(event);
    }
  });
}

/** Escape in a field goes to what it belongs to. */
function leave(field) {
  const place = field.closest('.detail') ? document.getElementById('tab-panel') : document.getElementById('grid');
  place?.focus();
}

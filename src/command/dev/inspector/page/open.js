// Loads the request that the address names, and again when its row has changed.
import { ask } from './actions.js';
import { changed, state } from './store.js';

let loading = null;

/** Loads request `n` into `state.open`; null closes it. `again`: it is open, and something about it has changed. */
export async function open(n, { again = false } = {}) {
  if (n === null) {
    loading?.abort();
    loading = null;
    changed({ open: { n: null, data: null, error: null } });
    return;
  }
  if (state.open.n === n && !again) return;
  // While a changed one loads, the old one stays.
  if (state.open.n !== n) changed({ open: { n, data: null, error: null }, sent: null, copied: null });
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  const open = { n, data: null, error: null };
  try {
    open.data = await ask(`api/requests/${n}`, { signal });
  } catch (error) {
    open.error = error.message;
  }
  if (!signal.aborted) changed({ open });
}

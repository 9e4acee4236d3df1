// The kept requests by number, and the numbers of those that a filter lets through.

/** Names of events that are noted for each source, since a sender may have one for each request. */
const MAX_EVENTS = 200;

export class Rows {
  // Rows arrive in the order in which they changed, so there are holes for a while.
  #rows = [];
  #base = 1;
  #match = () => true;
  /** Numbers that match, ascending. */
  view = [];
  /** Events that were seen: source → names. */
  events = new Map();
  /** Answers that were seen. */
  statuses = new Set();

  get(n) {
    return this.#rows[n - this.#base];
  }

  get newest() {
    return this.#base + this.#rows.length - 1;
  }

  /** How many there are. */
  size = 0;

  /** The kept requests that `test` is true of, oldest first. */
  which(test) {
    return this.#rows.filter(test);
  }

  /** At most `most` kept requests that `test` is true of, newest first. */
  latest(test, most) {
    const found = [];
    for (let at = this.#rows.length - 1; at >= 0 && found.length < most; at -= 1) {
      const row = this.#rows[at];
      if (row && test(row)) found.push(row);
    }
    return found;
  }

  clear() {
    this.#rows = [];
    this.#base = 1;
    this.size = 0;
    this.view = [];
    this.events = new Map();
    this.statuses = new Set();
  }

  /** Takes new and changed rows; those below `first` are no longer kept. */
  take(first, rows) {
    if (this.#rows.length === 0) this.#base = first;
    for (const row of rows) {
      if (row.n < this.#base) continue;
      const before = this.get(row.n);
      if (!before) this.size += 1;
      this.#rows[row.n - this.#base] = row;
      this.#see(row);
      this.#place(row, before !== undefined && this.#match(before));
    }
    this.#forget(first);
  }

  /** Lets through what `match` is true of. */
  filter(match) {
    this.#match = match;
    this.view = this.which(match).map(row => row.n);
  }

  /** How many numbers of the view are at most `n`. */
  upto(n) {
    let low = 0;
    let high = this.view.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.view[middle] <= n) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #see(row) {
    if (row.status) this.statuses.add(row.status);
    if (!row.event || !row.source) return;
    const names = this.events.get(row.source);
    if (names?.size < MAX_EVENTS) names.add(row.event);
    else if (!names) this.events.set(row.source, new Set([row.event]));
  }

  #place(row, was) {
    const is = this.#match(row);
    if (is === was) return;
    const at = this.upto(row.n);
    if (is) this.view.splice(at, 0, row.n);
    else this.view.splice(at - 1, 1);
  }

  #forget(first) {
    const count = Math.min(first - this.#base, this.#rows.length);
    if (count <= 0) return;
    this.#rows.splice(0, count).forEach(() => {
      this.size -= 1;
    });
    this.#base += count;
    this.view.splice(0, this.upto(this.#base - 1));
  }
}

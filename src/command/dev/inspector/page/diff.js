// What differs between two texts, line by line.

/** More steps than this are not looked for: the rest then counts as wholly different. */
const MAX_STEPS = 1000;

/**
 * Pairs of lines, in order: [left, right], one of them null where a line has no counterpart. Equal lines are the same
 * string. Myers' greedy algorithm ("An O(ND) Difference Algorithm", 1986).
 */
export function diff(left, right) {
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head += 1;
  let tail = 0;
  const most = Math.min(left.length, right.length) - head;
  while (tail < most && left.at(-1 - tail) === right.at(-1 - tail)) tail += 1;
  const middle = changes(left.slice(head, left.length - tail), right.slice(head, right.length - tail));
  const same = line => [line, line];
  return [...left.slice(0, head).map(same), ...middle, ...left.slice(left.length - tail).map(same)];
}

function changes(left, right) {
  const trace = steps(left, right);
  if (!trace) return paired(left, right);
  const pairs = [];
  let removed = [];
  let added = [];
  const flush = () => {
    // The walk is backwards.
    pairs.push(...paired(removed.reverse(), added.reverse()).reverse());
    removed = [];
    added = [];
  };
  let x = left.length;
  let y = right.length;
  for (let step = trace.length - 1; step >= 0; step -= 1) {
    const ends = trace[step];
    const k = x - y;
    const down = k === -step || (k !== step && (ends.get(k - 1) ?? -1) < (ends.get(k + 1) ?? -1));
    const from = down ? k + 1 : k - 1;
    const startX = step === 0 ? 0 : ends.get(from);
    const startY = step === 0 ? 0 : startX - from;
    while (x > startX && y > startY && left[x - 1] === right[y - 1]) {
      flush();
      pairs.push([left[x - 1], left[x - 1]]);
      x -= 1;
      y -= 1;
    }
    if (step === 0) break;
    if (down) added.push(right[startY]);
    else removed.push(left[startX]);
    x = startX;
    y = startY;
  }
  flush();
  return pairs.reverse();
}

/** The furthest x on each diagonal before each step, up to the end; null if there are too many steps. */
function steps(left, right) {
  const trace = [];
  const ends = new Map([[1, 0]]);
  for (let step = 0; step <= Math.min(MAX_STEPS, left.length + right.length); step += 1) {
    trace.push(new Map(ends));
    for (let k = -step; k <= step; k += 2) {
      const down = k === -step || (k !== step && (ends.get(k - 1) ?? -1) < (ends.get(k + 1) ?? -1));
      let x = down ? ends.get(k + 1) : ends.get(k - 1) + 1;
      while (x < left.length && x - k < right.length && left[x] === right[x - k]) x += 1;
      ends.set(k, x);
      if (x >= left.length && x - k >= right.length) return trace;
    }
  }
  return null;
}

/** Changed lines beside each other. */
function paired(removed, added) {
  const length = Math.max(removed.length, added.length);
  return Array.from({ length }, (_, at) => [removed[at] ?? null, added[at] ?? null]);
}

/** The part in which two lines differ: [where it begins, where it ends in a, where it ends in b]. */
export function inner(a, b) {
  const most = Math.min(a.length, b.length);
  let head = 0;
  while (head < most && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < most - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  return [head, a.length - tail, b.length - tail];
}

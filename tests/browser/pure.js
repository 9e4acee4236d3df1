// The page's modules that need no browser, against simpler models of them. The same cases each time.
import assert from 'node:assert/strict';
import { diff } from './page/diff.js';
import { layOut } from './page/json.js';
import { Rows } from './page/rows.js';
import { fromBase64, text, toBase64 } from './page/bytes.js';

const CASES = 3000;

/** mulberry32, a small generator with a seed. */
function generator(seed) {
  let state = seed;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export function pure({ step }) {
  const random = generator(20);
  for (let round = 0; round < CASES; round += 1) {
    json(random);
    lines(random);
    rows(random);
    bytes(random);
  }
  const exact = '{"a":1.0,"a":1e400,"b":12345678901234567890,"c":"\\u0041\\/"}';
  assert.equal(layOut(exact).text.replace(/\s/g, ''), exact, 'what was sent stays');
  step(`layout, comparison, rows and base64 agree with their models in ${CASES} cases`);
}

/** What the layout writes is what JavaScript would, if the document's values survive that. */
function json(random) {
  const value = depth => [
    () => random(1e6) / 7,
    () => null,
    () => 'a"\\\n{}[],: é\u2028'.slice(random(13)),
    () => Array.from({ length: depth && random(4) }, () => value(depth - 1)),
    () => Object.fromEntries(Array.from({ length: depth && random(4) }, () => [`k${random(99)}"\\`, value(depth - 1)])),
  ][random(5)]();
  const made = value(4);
  const wanted = JSON.stringify(made, null, 2);
  for (const space of ['', 1, '\t ']) assert.equal(layOut(JSON.stringify(made, null, space)).text, wanted);
}

/** Each side of a comparison is the text that was given, and equal texts have no difference. */
function lines(random) {
  const some = () => Array.from({ length: random(12) }, () => 'abc'[random(3)]);
  const [left, right] = [some(), some()];
  const pairs = diff(left, right);
  const side = index => pairs.map(pair => pair[index]).filter(line => line !== null);
  assert.deepEqual([side(0), side(1)], [left, right]);
  assert.ok(diff(left, left).every(([a, b]) => a === b));
}

/** The filtered view is what a filter over all kept rows gives, whatever arrives, changes or is forgotten. */
function rows(random) {
  const kept = new Rows();
  const model = new Map();
  let [first, newest] = [1, 0];
  let match = row => row.status !== 204;
  kept.filter(match);
  for (let batch = 0; batch < 6; batch += 1) {
    const some = new Map();
    for (let count = random(6); count > 0; count -= 1) {
      const isNew = newest < first || random(2) === 0;
      // Some come later than newer ones.
      if (isNew) newest += 1 + random(3);
      const n = isNew ? newest : first + random(newest - first + 1);
      some.set(n, { n, status: [null, 204, 401][random(3)], source: 'retell', event: `e${random(3)}` });
    }
    first = Math.min(newest + 1, first + random(3));
    const changed = [...some.values()].filter(row => row.n >= first).sort(() => random(3) - 1);
    changed.forEach(row => model.set(row.n, row));
    for (const n of model.keys()) if (n < first) model.delete(n);
    kept.take(first, changed);
    if (random(3) === 0) {
      const status = [204, 401][random(2)];
      match = row => row.status === status;
      kept.filter(match);
    }
    const wanted = [...model.values()].sort((a, b) => a.n - b.n);
    assert.deepEqual(kept.which(() => true), wanted);
    assert.deepEqual(kept.latest(match, 3), wanted.filter(match).reverse().slice(0, 3));
    assert.equal(kept.size, wanted.length);
    assert.deepEqual(kept.view, wanted.filter(match).map(row => row.n));
    assert.equal(kept.upto(first + 1), kept.view.filter(n => n <= first + 1).length);
  }
}

function bytes(random) {
  const some = Uint8Array.from({ length: random(40) }, () => random(256));
  assert.equal(toBase64(some), Buffer.from(some).toString('base64'));
  assert.deepEqual(fromBase64(toBase64(some)), some);
  const valid = Buffer.from(some).toString('utf8');
  assert.equal(text(new TextEncoder().encode(valid)), valid);
}

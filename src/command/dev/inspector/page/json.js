// JSON is laid out from its characters, not parsed and written again: numbers, escapes, order and doubled members stay as they were sent.

/** Places of colours that are noted: more are not shown at once. */
const MAX_SPANS = 20_000;

const isSpace = character => character === ' ' || character === '\n' || character === '\r' || character === '\t';

/** One text made of pieces, and the places of what has a colour in it: [kind, from, to]. */
class Layout {
  #pieces = [];
  #length = 0;
  spans = [];

  add(piece, kind) {
    if (kind && this.spans.length < MAX_SPANS) this.spans.push([kind, this.#length, this.#length + piece.length]);
    this.#pieces.push(piece);
    this.#length += piece.length;
  }

  done() {
    return { text: this.#pieces.join(''), spans: this.spans };
  }
}

/** A JSON document with one member a line: {text, spans}. Null if it is none. */
export function layOut(json) {
  try {
    JSON.parse(json);
  } catch {
    return null;
  }
  const layout = new Layout();
  let depth = 0;
  const line = () => layout.add(`\n${'  '.repeat(depth)}`);
  const next = from => {
    let at = from;
    while (isSpace(json[at])) at += 1;
    return at;
  };
  for (let at = next(0); at < json.length; at = next(at)) {
    const character = json[at];
    let end = at + 1;
    if (character === '"') {
      end = stringEnd(json, at);
      layout.add(json.slice(at, end), json[next(end)] === ':' ? 'name' : 'string');
    } else if (character === '{' || character === '[') {
      const inside = next(end);
      if (json[inside] === '}' || json[inside] === ']') {
        layout.add(character + json[inside]);
        end = inside + 1;
      } else {
        layout.add(character);
        depth += 1;
        line();
      }
    } else if (character === '}' || character === ']') {
      depth -= 1;
      line();
      layout.add(character);
    } else if (character === ',') {
      layout.add(',');
      line();
    } else if (character === ':') {
      layout.add(': ');
    } else {
      while (end < json.length && !',]}'.includes(json[end]) && !isSpace(json[end])) end += 1;
      layout.add(json.slice(at, end), 'tfn'.includes(character) ? 'word' : 'number');
    }
    at = end;
  }
  return layout.done();
}

/** Where the string that begins at `from` ends: behind the first quote with an even number of backslashes before it. */
function stringEnd(json, from) {
  for (let at = json.indexOf('"', from + 1); ; at = json.indexOf('"', at + 1)) {
    let escapes = 0;
    while (json[at - 1 - escapes] === '\\') escapes += 1;
    if (escapes % 2 === 0) return at + 1;
  }
}

/** A body as it is read best: JSON laid out, a form as one line for each field. Null if it is neither. */
export function pretty(text, contentType) {
  const laidOut = layOut(text);
  if (laidOut || !/x-www-form-urlencoded/i.test(contentType ?? '')) return laidOut;
  const layout = new Layout();
  for (const [name, value] of new URLSearchParams(text)) {
    layout.add(name, 'name');
    layout.add(' = ');
    layout.add(value, 'string');
    layout.add('\n');
  }
  return layout.done();
}

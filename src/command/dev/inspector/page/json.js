// JSON is laid out from its tokens, not parsed and written again: numbers, escapes, order and doubled members stay as they were sent.

const TOKEN = /("[^"\\]*(?:\\.[^"\\]*)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null)|([{}[\],:])|\s+/gy;

/** The tokens of a JSON document as [kind, text], or null if it is none. */
export function tokens(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const found = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) {
    const [, string, number, word, mark] = match;
    if (string !== undefined) found.push(['string', string]);
    else if (number !== undefined) found.push(['number', number]);
    else if (word !== undefined) found.push(['word', word]);
    else if (mark !== undefined) found.push(['mark', mark]);
  }
  // The name of a member is a string before a colon.
  for (let at = 1; at < found.length; at += 1) {
    if (found[at][1] === ':' && found[at][0] === 'mark') found[at - 1][0] = 'name';
  }
  return found;
}

/** The text of the tokens with one member a line, and the places of what has a colour: {text, spans: [kind, from, to]}. */
export function layOut(list) {
  const spans = [];
  let text = '';
  let depth = 0;
  const line = () => {
    text += `\n${'  '.repeat(depth)}`;
  };
  list.forEach(([kind, token], at) => {
    const opens = token === '{' || token === '[';
    const closes = token === '}' || token === ']';
    if (kind !== 'mark') {
      spans.push([kind, text.length, text.length + token.length]);
      text += token;
    } else if (closes) {
      depth -= 1;
      const before = list[at - 1];
      if (!(before[0] === 'mark' && (before[1] === '{' || before[1] === '['))) line();
      text += token;
    } else {
      text += token === ':' ? ': ' : token;
      if (opens) depth += 1;
      const next = list[at + 1];
      const isEmpty = opens && next[0] === 'mark' && (next[1] === '}' || next[1] === ']');
      if ((opens && !isEmpty) || token === ',') line();
    }
  });
  return { text, spans };
}

/** A body as it is read best: JSON laid out, a form as one line for each field. Null if it is neither. */
export function pretty(text, contentType) {
  const list = tokens(text);
  if (list) return layOut(list);
  if (!/x-www-form-urlencoded/i.test(contentType ?? '')) return null;
  const spans = [];
  let laidOut = '';
  for (const [name, value] of new URLSearchParams(text)) {
    spans.push(['name', laidOut.length, laidOut.length + name.length]);
    laidOut += `${name} = `;
    spans.push(['string', laidOut.length, laidOut.length + value.length]);
    laidOut += `${value}\n`;
  }
  return { text: laidOut.trimEnd(), spans };
}

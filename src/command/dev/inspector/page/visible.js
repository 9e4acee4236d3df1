// What a browser obeys or hides is written out as JSON would: no text stands in another order than it was sent. `ringback dev -v`
// does the same with the same characters, but for line breaks and tabs, which a page may have.

const UNSEEN = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

const written = character => Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');

export const visible = text => text.replace(UNSEEN, written);

/** As `visible`, for a text with places in it: [kind, from, to], in their order. */
export function visibleSpans({ text, spans }) {
  const seen = visible(text);
  if (seen.length === text.length) return { text, spans };
  let [from, length] = [0, 0];
  // Each place is further on by what was written out before it.
  const moved = to => {
    length += visible(text.slice(from, to)).length;
    from = to;
    return length;
  };
  return { text: seen, spans: spans.map(([kind, begin, end]) => [kind, moved(begin), moved(end)]) };
}

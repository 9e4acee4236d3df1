//! Fits text to the terminal's width, so that no row wraps in the middle of a word or a column.

use std::os::fd::AsFd;

use crate::command::render::printable;

/// A terminal that does not report its width.
const USUAL_COLUMNS: usize = 80;

/// The width of the terminal that `output` is; `None` if that is a file or a pipe, which take rows of any length.
pub fn columns(output: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(output).ok()?;
    Some(match size.ws_col {
        0 => USUAL_COLUMNS,
        columns => columns.into(),
    })
}

/// Stands for what is left out.
const ELLIPSIS: char = '…';

/// The columns that `text` takes at most.
pub fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// A character beyond ASCII may take two columns.
fn columns_of(c: char) -> usize {
    if c.is_ascii() || c == ELLIPSIS { 1 } else { 2 }
}

/// A sender's text in at most `columns`: control characters are written out, and the middle is left out if it is too long.
pub fn shortened(text: &str, columns: usize) -> String {
    cut(text, columns, columns / 2)
}

/// The columns of a key that stay whatever else goes.
pub const KEY_BEGINNING: usize = 8;

/// As [`shortened`], but its first [`KEY_BEGINNING`] columns stay.
pub fn shortened_key(text: &str, columns: usize) -> String {
    cut(text, columns, (columns / 2).max(KEY_BEGINNING))
}

/// Keeps at most `head` columns of the beginning.
fn cut(text: &str, columns: usize, head: usize) -> String {
    let text = printable(text);
    if width(&text) <= columns {
        return text;
    }
    let room = columns.saturating_sub(1);
    let head = fitting(text.chars(), head.min(room));
    let tail = fitting(text.chars().rev(), room.saturating_sub(width(&head)));
    let tail: String = tail.chars().rev().collect();
    format!("{head}{ELLIPSIS}{tail}")
}

/// The first characters that fit.
fn fitting(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += columns_of(*c);
        used <= columns
    };
    characters.take_while(fits).collect()
}

/// As [`wrapped`] on a terminal of so many columns; whole in a pipe or file.
pub fn fitted(text: &str, columns: Option<usize>, indent: usize) -> String {
    columns.map_or_else(|| text.to_owned(), |columns| wrapped(text, columns, indent))
}

/// Breaks `text` between words into lines of at most `columns`; all but the first begin with `indent` spaces.
pub fn wrapped(text: &str, columns: usize, indent: usize) -> String {
    let mut lines = String::new();
    let mut rest = text;
    loop {
        let start = if lines.is_empty() { 0 } else { indent };
        let room = columns.saturating_sub(start).max(1);
        lines.push_str(&" ".repeat(start));
        if width(rest) <= room {
            lines.push_str(rest);
            return lines;
        }
        let fits = fitting(rest.chars(), room).len();
        // The space itself may be the first that does not fit.
        let candidates = &rest.as_bytes()[..rest.len().min(fits + 1)];
        let end = match candidates.iter().rposition(|byte| *byte == b' ') {
            Some(space) if space > 0 => space,
            // A word longer than a line. At least one character, so that this ends.
            _ => fits.max(rest.chars().next().map_or(0, char::len_utf8)),
        };
        lines.push_str(rest[..end].trim_end());
        rest = rest[end..].trim_start();
        if rest.is_empty() {
            return lines;
        }
        lines.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_loses_its_middle_and_has_no_control_characters() {
        assert_eq!(shortened("abcdefgh", 8), "abcdefgh");
        assert_eq!(shortened("abcdefghi", 8), "abcd…ghi");
        assert_eq!(shortened("a\u{1b}b", 8), r"a\u001bb");
        // Each takes two columns.
        assert_eq!(shortened("äöüÄÖÜ", 11), "äö…ÄÖÜ");
        assert_eq!(shortened_key("abcdefghijklmn", 11), "abcdefgh…mn");
        for columns in 1..20 {
            let text = shortened("Ein Anruf aus Zürich nach 東京", columns);
            assert!(width(&text) <= columns, "{text}");
        }
    }

    #[test]
    fn a_text_is_broken_between_words_and_only_a_longer_word_within() {
        assert_eq!(wrapped("one two", 7, 2), "one two");
        assert_eq!(wrapped("one  two three", 8, 2), "one  two\n  three");
        assert_eq!(wrapped("one two three", 9, 2), "one two\n  three");
        assert_eq!(wrapped("abcdefgh ij", 4, 1), "abcd\n efg\n h\n ij");
        assert_eq!(wrapped("ää", 1, 0), "ä\nä");
    }
}

//! An event's body below its row, for `dev --verbose`.

use serde::de::IgnoredAny;

use crate::command::render::{printable, size};
use crate::command::terminal::wrapped;

/// Bytes that are shown of a body at most.
const MAX_SHOWN: usize = 4_096;
/// The columns left of a body's lines.
const INDENT: usize = 4;

/// The body's lines, indented: JSON with a line for each value, in its own order; other text as it is. What a terminal
/// would obey or hide is written out as JSON does, so JSON stays the same document. What is too long ends with a note.
pub fn shown(body: &[u8], columns: Option<usize>) -> String {
    // A byte order mark is accepted before JSON.
    let document = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = String::from_utf8_lossy(document);
    let is_json = serde_json::from_slice::<IgnoredAny>(document).is_ok();
    let (text, is_whole) = if is_json { pretty(&text) } else { cut(&text) };
    let mut lines: Vec<_> = text.lines().map(|line| indented(line, columns)).collect();
    if !is_whole {
        let note = format!("… cut here: the whole body has {}", size(body.len() as u64));
        lines.push(indented(&note, columns));
    }
    if lines.is_empty() {
        lines.push(indented("(empty)", columns));
    }
    lines.join("\n")
}

/// The text's beginning; true if that is all.
fn cut(text: &str) -> (String, bool) {
    let end = text.floor_char_boundary(MAX_SHOWN);
    (text[..end].to_owned(), end == text.len())
}

/// A valid JSON document with a line for each value; true if that is all of it.
fn pretty(json: &str) -> (String, bool) {
    let mut text = String::new();
    let mut depth = 0;
    let mut is_escaped = false;
    let mut in_string = false;
    // An object or an array has begun, and it is not known whether it is empty.
    let mut has_begun = false;
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    };
    for c in json.chars() {
        if text.len() >= MAX_SHOWN {
            return (text, false);
        }
        if in_string {
            text.push(c);
            in_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let ends = matches!(c, '}' | ']');
        if ends {
            depth -= usize::from(!has_begun);
        } else if has_begun {
            depth += 1;
        }
        if ends != has_begun {
            line(&mut text, depth);
        }
        has_begun = matches!(c, '{' | '[');
        text.push(c);
        match c {
            '"' => in_string = true,
            ',' => line(&mut text, depth),
            ':' => text.push(' '),
            _ => {}
        }
    }
    (text, true)
}

/// One line, without control characters, broken if it is longer than the terminal is wide.
fn indented(line: &str, columns: Option<usize>) -> String {
    let text = printable(line.trim_start_matches(' '));
    let own = line.len() - line.trim_start_matches(' ').len();
    let Some(columns) = columns else {
        return format!("{:indent$}{text}", "", indent = INDENT + own);
    };
    // Deep nesting must leave room for the text.
    let indent = (INDENT + own).min(columns / 2);
    let text = wrapped(&text, columns - indent, 2);
    let broken = format!("\n{:indent$}", "");
    format!("{:indent$}{}", "", text.replace('\n', &broken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::terminal::width;

    #[test]
    fn json_has_a_line_for_each_value_in_its_own_order() {
        let body = br#" {"event":"call_ended", "b":{"a":[1,2.50,{}],"":[ ]},"s":"a \"{[,:]} \\"}"#;
        assert_eq!(
            shown(body, None),
            r#"    {
      "event": "call_ended",
      "b": {
        "a": [
          1,
          2.50,
          {}
        ],
        "": []
      },
      "s": "a \"{[,:]} \\"
    }"#
        );
        assert_eq!(shown(b"[]", None), "    []");
        assert_eq!(shown(b"\xef\xbb\xbf\"x\"", None), "    \"x\"");
        let value: serde_json::Value = serde_json::from_slice(body).unwrap();
        let again: serde_json::Value = serde_json::from_str(&shown(body, None)).unwrap();
        assert_eq!(again, value);
    }

    #[test]
    fn other_text_is_shown_as_it_is_without_control_characters() {
        assert_eq!(shown(b"a=1&b=2", None), "    a=1&b=2");
        assert_eq!(
            shown(b"a\x1b[2J\r\nb\xff", None),
            "    a\\u001b[2J\n    b\u{fffd}"
        );
        assert_eq!(shown(b"", None), "    (empty)");
    }

    #[test]
    fn what_turns_the_text_around_or_hides_is_written_out_and_the_json_is_the_same() {
        let hostile = "\u{202e}reversed\u{2066}\u{200f}\u{9b}2J\u{7f}\u{feff}";
        let body = format!(r#"{{"{hostile}":"{hostile}"}}"#);
        let text = shown(body.as_bytes(), None);
        let written = r"\u202ereversed\u2066\u200f\u009b2J\u007f\ufeff";
        assert_eq!(
            text,
            format!("    {{\n      \"{written}\": \"{written}\"\n    }}")
        );
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&text), value(&body));
        assert_eq!(shown(hostile.as_bytes(), None), format!("    {written}"));
    }

    #[test]
    fn a_long_body_is_cut_with_a_note_and_fits_the_terminal() {
        let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
        let long = format!("{{\"text\":\"{}\"}}", "some words ".repeat(2_000));
        for (body, is_cut) in [
            (deep.as_str(), true),
            (&long, true),
            (&"ü".repeat(999), false),
        ] {
            for columns in [60, 80, 100, 140] {
                let text = shown(body.as_bytes(), Some(columns));
                assert!(text.lines().all(|line| width(line) <= columns), "{text}");
                assert!(text.len() < 4 * MAX_SHOWN, "{}", text.len());
                assert_eq!(text.contains("… cut here: the whole body has "), is_cut);
            }
        }
    }
}

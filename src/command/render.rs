//! Events, counts and ranges as text for people, and as JSON.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::event::Event;
use crate::time;

pub use crate::words::{count, grouped, size};

/// Writes control characters as JSON does (`\u001b`), and what would not be seen: a sender's text must not control the terminal,
/// break a line, or stand there in another order than it was sent.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unseen(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// As [`printable`], for a file's name; U+FFFD stands for what is no UTF-8.
pub fn printable_path(file: &Path) -> String {
    printable(&file.to_string_lossy())
}

/// True for control characters (Unicode's category Cc) and those that only say how others are shown: breaks of lines and
/// paragraphs (Zl, Zp), and formats (Cf) that are not seen, such as those that turn the direction of the text around. Not for
/// the two joiners (U+200C, U+200D), which Persian and emoji are written with. The inspector's `visible.js` has the same.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` as one word of a command for a shell, in quotes if it needs them. With what [`printable`] would write out, or what is no
/// UTF-8, it is POSIX's `$'\ooo'`, which bash, ksh and zsh know.
pub fn shell_word(text: impl AsRef<OsStr>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=".contains(c);
    let text = text.as_ref();
    match text.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        Some(text) if !text.contains(is_unseen) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let bytes = text.as_bytes().iter().map(|byte| match char::from(*byte) {
                c if is_plain(c) || c == ' ' => String::from(c),
                _ => format!("\\{byte:03o}"),
            });
            format!("$'{}'", bytes.collect::<String>())
        }
    }
}

/// As [`shell_word`], for a file whose name no command takes for an option.
pub fn shell_path(file: &Path) -> String {
    if file.as_os_str().as_bytes().starts_with(b"-") {
        return shell_word(Path::new(".").join(file));
    }
    shell_word(file)
}

/// Source, kind and key in columns; `-` if there is no key.
pub fn columns(event: &Event<'_>) -> String {
    format!(
        "{:<10}  {:<20}  {:<36}",
        printable(event.source),
        printable(event.kind),
        event.key.map_or_else(|| String::from("-"), printable)
    )
}

/// The envelope's fields and the body: as text, or in hex if it is not UTF-8.
pub fn json(event: &Event<'_>) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    set("received", json!(time::rfc3339(event.received_ms)));
    set("received_ms", json!(event.received_ms));
    set("source", json!(event.source));
    set("kind", json!(event.kind));
    set("key", json!(event.key));
    set("id", json!(event.id));
    set("content_type", json!(event.content_type));
    let present = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    set("traceparent", json!(present(event.traceparent)));
    set("tracestate", json!(present(event.tracestate)));
    let carried = event.carried.iter();
    let carried: Vec<_> = carried.map(|(name, value)| json!([name, value])).collect();
    if !carried.is_empty() {
        set("carried", json!(carried));
    }
    set("size", json!(event.body.len()));
    match std::str::from_utf8(event.body) {
        Ok(body) => set("body", json!(body)),
        Err(_) => set("body_hex", json!(hex::encode(event.body))),
    };
    fields
}

/// How many published events got another timestamp; empty if none did.
pub fn restamped(events: u64) -> String {
    match events {
        0 => String::new(),
        some => format!(
            " ({} with the present time; their own is in ce_time)",
            grouped(some)
        ),
    }
}

/// `FILE bytes 512 to 1024`; the end is exclusive.
pub fn byte_range(file: &str, bytes: &Range<u64>) -> String {
    format!("{file} bytes {} to {}", bytes.start, bytes.end)
}

/// `position 7` or `positions 7 to 9`; `None` if the range is empty.
pub fn positions(positions: &Range<u64>) -> Option<String> {
    let first = positions.start;
    match positions.end.saturating_sub(first) {
        0 => None,
        1 => Some(format!("position {first}")),
        _ => Some(format!("positions {first} to {}", positions.end - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_s_text_cannot_control_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\nb"), r"a\u001b[2J\u000ab");
    }

    #[test]
    fn what_would_not_be_seen_is_written_out() {
        let unseen = [
            "\u{202a}..\u{202e}",
            "\u{2066}..\u{2069}",
            "\u{200e}..\u{200f}",
            "\u{80}..\u{9f}",
            "\u{7f}..\u{7f}",
        ];
        for range in unseen {
            let (first, last) = range.split_once("..").unwrap();
            let [first, last] = [first, last].map(|text| text.chars().next().unwrap());
            for c in first..=last {
                assert_eq!(
                    printable(&c.to_string()),
                    format!("\\u{:04x}", u32::from(c))
                );
            }
        }
        // Beyond U+FFFF it is two, as in JSON.
        assert_eq!(printable("a\u{e0061}b"), r"a\udb40\udc61b");
        for text in [
            "Zürich 東京 한국어",
            "العربية",
            "می\u{200c}خواهم",
            "👩\u{200d}💻",
            r#"\u202e "x""#,
        ] {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn a_word_for_a_shell_is_read_as_it_is() {
        assert_eq!(shell_word("./a-b/c_d.toml"), "./a-b/c_d.toml");
        for (text, word) in [
            ("", "''"),
            ("a b", "'a b'"),
            ("<a>", "'<a>'"),
            ("`id`", "'`id`'"),
            ("$(id)", "'$(id)'"),
            ("it's", r"'it'\''s'"),
            (
                "\u{1b}[2J a's\n\u{202e}7",
                r"$'\033\1332J a\047s\012\342\200\2567'",
            ),
        ] {
            assert_eq!(shell_word(text), word);
        }
        let no_text = OsStr::from_bytes(b"-\xff");
        assert_eq!(shell_path(Path::new(no_text)), r"$'./-\377'");
        assert_eq!(shell_path(Path::new("a-b")), "a-b");
    }

    #[test]
    fn the_last_position_of_a_range_is_inclusive() {
        assert_eq!(positions(&(7..7)), None);
        assert_eq!(positions(&(7..8)).as_deref(), Some("position 7"));
        assert_eq!(positions(&(7..10)).as_deref(), Some("positions 7 to 9"));
        assert_eq!(byte_range("1.segment", &(0..8)), "1.segment bytes 0 to 8");
    }
}

//! Events, counts and ranges as text for people, and as JSON.

use std::ops::Range;

use serde_json::{Map, Value, json};

use crate::event::Event;
use crate::time;

pub use crate::words::{count, grouped, size};

/// Replaces control characters: a sender's text must not control the terminal or break a line.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
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
        assert_eq!(printable("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
    }

    #[test]
    fn the_last_position_of_a_range_is_inclusive() {
        assert_eq!(positions(&(7..7)), None);
        assert_eq!(positions(&(7..8)).as_deref(), Some("position 7"));
        assert_eq!(positions(&(7..10)).as_deref(), Some("positions 7 to 9"));
        assert_eq!(byte_range("1.segment", &(0..8)), "1.segment bytes 0 to 8");
    }
}

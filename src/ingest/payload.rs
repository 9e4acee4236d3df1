//! Validates a body and finds the event's name and key in one pass, without building a tree.
//!
//! The scan (`scan`) takes nearly every body, 64 bytes at a time. The rest goes to serde_json (`serde`), which also has
//! the last word on what is not JSON. It skips unwanted values without recursion, so depth costs no stack, and recurses
//! only along the configured pointers, whose depth is bounded. Of duplicate members the last wins, as in most JSON
//! readers.

pub(super) mod pointers;
mod scan;
mod serde;

use std::borrow::Cow;

use self::pointers::{EVENT, Pointers};
use self::serde::Text;

/// The longest key in bytes; a longer one counts as no key. A key travels twice in a Kafka record (as key and as
/// `ce_subject`), and the record's size beside the body is bounded.
pub(super) const MAX_KEY: usize = 8 * 1024;
/// The longest event name in bytes; a longer one is cut at a character. It travels in `ce_type`.
pub(super) const MAX_KIND: usize = 1024;

/// Why a body is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    /// Not UTF-8, or not exactly one JSON document.
    NotJson,
    /// There is no string where the event's name is expected.
    NoEvent,
}

/// What ringback needs from a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventFields<'a> {
    /// The event's name; lone surrogates, which UTF-8 cannot represent, are replaced.
    pub(super) kind: Cow<'a, str>,
    /// The first pointer's usable string: Unicode text of at most [`MAX_KEY`] bytes.
    pub(super) key: Option<Cow<'a, str>>,
}

/// Reads `body` once.
pub(super) fn validate<'a>(
    body: &'a [u8],
    pointers: &Pointers,
) -> Result<EventFields<'a>, Invalid> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| Invalid::NotJson)?;
    let mut slots = match scan::scan(text, pointers) {
        Some(slots) => slots,
        None => serde::find(text, pointers).map_err(|_| Invalid::NotJson)?,
    };
    let kind = match slots[EVENT].take() {
        Some(Text::Unicode(kind)) => kind,
        Some(Text::NotUnicode(bytes)) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        None => return Err(Invalid::NoEvent),
    };
    let mut keys = slots.into_iter().skip(EVENT + 1).flatten();
    let key = keys.find_map(|text| match text {
        Text::Unicode(key) if key.len() <= MAX_KEY => Some(key),
        _ => None,
    });
    Ok(EventFields {
        kind: shorten(kind),
        key,
    })
}

fn shorten(kind: Cow<'_, str>) -> Cow<'_, str> {
    if kind.len() <= MAX_KIND {
        return kind;
    }
    let end = kind.floor_char_boundary(MAX_KIND);
    match kind {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(text) => Cow::Owned(text[..end].to_owned()),
    }
}

#[cfg(test)]
mod tests;

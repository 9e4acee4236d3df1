//! Validation without a tree: one pass checks that the whole body is JSON and picks `event` and the key.
//!
//! Nearly every body takes the quick way (`scan`, 64 bytes at once), the rest the slow one (`walk`), which also has the
//! last word on what is no JSON: serde_json skips what is not wanted without recursion, so depth costs no stack, and
//! recurses only along the configured pointers, whose depth is bounded. Of duplicate members the last wins, as in most
//! readers of JSON.

pub(super) mod pointers;
mod scan;
mod walk;

use crate::ingest::payload::pointers::{EVENT, Pointers};
use std::borrow::Cow;
use walk::Hit;

/// The longest key that is used, in bytes. It travels twice in a Kafka record (key and `ce_subject`), whose size beside
/// the body is bounded; a longer one is treated as no key at all.
pub(super) const MAX_KEY: usize = 8 * 1024;
/// The longest event name that is kept, in bytes: `ce_type` carries it, cut at a character.
pub(super) const MAX_KIND: usize = 1024;

/// Why a body is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    /// Not UTF-8, not JSON, or something after it.
    NotJson,
    /// No object, or no member `event`, or it is not a string.
    NoEvent,
}

/// What a body says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// The `event` member; lone surrogates, which UTF-8 cannot hold, are replaced.
    pub(super) kind: Cow<'a, str>,
    /// The first pointer's usable string: Unicode text of at most [`MAX_KEY`] bytes.
    pub(super) key: Option<Cow<'a, str>>,
}

/// Reads `body` once.
pub(super) fn validate<'a>(body: &'a [u8], pointers: &Pointers) -> Result<Found<'a>, Invalid> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| Invalid::NotJson)?;
    let mut hits = match scan::scan(text, pointers) {
        Some(hits) => hits,
        None => walk::walk(text, pointers).map_err(|_| Invalid::NotJson)?,
    };
    let kind = match hits[EVENT].take() {
        Some(Hit::Text(kind)) => kind,
        Some(Hit::NotUnicode(bytes)) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        None => return Err(Invalid::NoEvent),
    };
    let mut texts = hits.into_iter().skip(EVENT + 1).flatten();
    let key = texts.find_map(|hit| match hit {
        Hit::Text(key) if key.len() <= MAX_KEY => Some(key),
        _ => None,
    });
    Ok(Found {
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

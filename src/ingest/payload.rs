//! Validates a body and finds the event's name, key and id in one pass, without building a tree.
//!
//! The scan (`scan`) takes nearly every body, 64 bytes at a time. The rest goes to serde_json (`serde`), which also has
//! the last word on what is not JSON. It skips unwanted values without recursion, so depth costs no stack, and recurses
//! only along the configured pointers, whose depth is bounded. Of duplicate members the last wins, as in most JSON
//! readers.

pub(super) mod pointers;
mod scan;
mod serde;

use std::borrow::Cow;

use self::pointers::{Pointers, Role};
use self::serde::Text;

/// The longest key in bytes; a longer one counts as no key. A key travels twice in a Kafka record (as key and as
/// `ce_subject`), and the record's size beside the body is bounded.
pub(super) const MAX_KEY: usize = 8 * 1024;
/// The longest event name in bytes; a longer one is cut at a character. It travels in `ce_type`.
pub(super) const MAX_KIND: usize = 1024;

/// The longest message id in bytes; a longer one counts as none. It is the record's `ce_id` and the answer's `ringback-id`.
const MAX_ID: usize = 256;

/// U+FEFF in UTF-8, which some senders put before JSON. It is not part of the JSON, only of the body.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a body is not exactly one JSON document in UTF-8, and where. The texts follow "the body is not one JSON document:".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// There is nothing, or only a byte order mark.
    #[error("it is empty")]
    Empty,
    /// Not UTF-8.
    #[error("invalid UTF-8 at byte {byte}")]
    Utf8 {
        /// Of the body, counted from 0.
        byte: usize,
    },
    /// The body ends within the document.
    #[error("it ends too early, at line {line}, column {column}")]
    Incomplete {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1, without a byte order mark; 0 if the line is empty.
        column: usize,
    },
    /// Something that JSON does not have there, also behind the document.
    #[error("unexpected character at line {line}, column {column}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1, without a byte order mark.
        column: usize,
    },
}

impl From<serde_json::Error> for NotJson {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        if error.is_eof() {
            return Self::Incomplete { line, column };
        }
        Self::Syntax { line, column }
    }
}

/// What ringback needs from a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EventFields<'a> {
    /// The event's name; lone surrogates, which UTF-8 cannot represent, are replaced. `None` if there is no string where the
    /// name is expected.
    pub(super) kind: Option<Cow<'a, str>>,
    /// The first pointer's usable string: Unicode text of at most [`MAX_KEY`] bytes.
    pub(super) key: Option<Cow<'a, str>>,
    /// The sender's id of the message: at most [`MAX_ID`] visible ASCII characters.
    pub(super) id: Option<Cow<'a, str>>,
    /// The body is JSON; else nothing is known of it.
    pub(super) is_json: bool,
}

impl<'a> EventFields<'a> {
    pub(super) fn set_kind(&mut self, kind: Cow<'a, str>) {
        self.kind = Some(shorten(kind));
    }

    /// The first that is usable stays.
    pub(super) fn set_key(&mut self, key: Cow<'a, str>) {
        if self.key.is_none() && key.len() <= MAX_KEY {
            self.key = Some(key);
        }
    }

    pub(super) fn set_id(&mut self, id: Cow<'a, str>) {
        let fits = (1..=MAX_ID).contains(&id.len());
        if fits && id.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.id = Some(id);
        }
    }
}

/// Reads `body` once.
pub(super) fn validate<'a>(
    body: &'a [u8],
    pointers: &Pointers,
) -> Result<EventFields<'a>, NotJson> {
    let json = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let text = simdutf8::basic::from_utf8(json).map_err(|_| {
        // The fast check does not say where.
        let valid = std::str::from_utf8(json).map_or_else(|error| error.valid_up_to(), str::len);
        let byte = body.len() - json.len() + valid;
        NotJson::Utf8 { byte }
    })?;
    let slots = match scan::scan(text, pointers) {
        Some(slots) => slots,
        None if text.is_empty() => return Err(NotJson::Empty),
        None => serde::find(text, pointers)?,
    };
    let mut fields = EventFields {
        is_json: true,
        ..EventFields::default()
    };
    for (role, text) in pointers.roles.iter().zip(slots) {
        match (role, text) {
            (Role::Event, Some(Text::Unicode(kind))) => fields.set_kind(kind),
            (Role::Event, Some(Text::NotUnicode(bytes))) => {
                fields.set_kind(String::from_utf8_lossy(&bytes).into_owned().into());
            }
            (Role::Key, Some(Text::Unicode(key))) => fields.set_key(key),
            (Role::Id, Some(Text::Unicode(id))) => fields.set_id(id),
            (_, None) | (Role::Key | Role::Id, Some(Text::NotUnicode(_))) => {}
        }
    }
    Ok(fields)
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

/// What is known of an accepted event's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind<'a> {
    /// The sender's name of it.
    Named(&'a str),
    /// The body is JSON without a string where the name is expected.
    Unnamed,
    /// The body is not JSON.
    Unparsed,
}

impl<'a> EventKind<'a> {
    pub(super) fn of(content: &'a Result<EventFields<'_>, NotJson>) -> Self {
        match content {
            Ok(EventFields {
                kind: Some(kind), ..
            }) => Self::Named(kind),
            Ok(EventFields { kind: None, .. }) => Self::Unnamed,
            Err(_) => Self::Unparsed,
        }
    }

    /// As in `ce_type`, behind the source's name.
    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Named(name) => name,
            Self::Unnamed => "none",
            Self::Unparsed => "unparsed",
        }
    }
}

#[cfg(test)]
mod tests;

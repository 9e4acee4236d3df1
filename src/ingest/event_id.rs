//! `ce_id`: the sender's message id if its scheme has one, else a hash of the body. A retry repeats either.

use super::scheme::MAX_MESSAGE_ID as MAX_EVENT_ID;

/// Bytes of the hash that are used: 128 bits.
const HASH: usize = 16;

/// An id on the stack: a request's head is dropped before its answer repeats the id.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventId {
    text: [u8; MAX_EVENT_ID],
    length: usize,
}

impl EventId {
    /// A sender's id; what is longer than [`MAX_EVENT_ID`] is cut.
    pub(super) fn from_sender(id: &str) -> Self {
        debug_assert!(
            id.len() <= MAX_EVENT_ID && id.is_ascii(),
            "the scheme checks it"
        );
        let length = id.floor_char_boundary(MAX_EVENT_ID);
        let mut text = [0; MAX_EVENT_ID];
        text[..length].copy_from_slice(&id.as_bytes()[..length]);
        Self { text, length }
    }

    /// The first 128 bits of BLAKE3 in hexadecimal.
    pub(super) fn of_body(body: &[u8]) -> Self {
        let hash = blake3::hash(body);
        let mut text = [0; MAX_EVENT_ID];
        let length = 2 * HASH;
        let encoded = hex::encode_to_slice(&hash.as_bytes()[..HASH], &mut text[..length]);
        debug_assert!(encoded.is_ok(), "two digits per byte");
        Self { text, length }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }
}

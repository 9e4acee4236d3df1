//! An event on its way from ingest through the journal to publish: its provenance and its unchanged body.
//!
//! In the journal an event is the payload of one record: an *envelope* (the provenance, encoded here), followed by the
//! body's bytes. The journal sees only bytes: ingest encodes, publish decodes.
//!
//! ```text
//! envelope: version u8 | flags u8 | received_ms u64 | n × (length u32) | the n texts, back to back
//! version:  1: n = 7; 2: n = 8
//! texts:    source, kind, key, id, content type, traceparent, tracestate, carried      (integers little-endian)
//! flags:    bit 0: the key was found (an empty key is not a missing key)
//!           bit 1: the body is not JSON although its source's bodies are: the event becomes a dead letter
//! ```
//!
//! An unparsed body is a flag and not a new version: a ringback that does not know the flag ignores it and publishes the
//! event, with the kind `unparsed`, whereas a new version would stop its publisher at that record.
//!
//! Version 2 is written only for events that carry request headers or query parameters: an older ringback must stop at these,
//! or it would take the last text for the beginning of the body. All others are written as they have always been.

mod carried;

use bytes::{Buf, BufMut};

pub use self::carried::{Carried, Carrying};

/// The newest envelope format that this build reads. Each record with a newer one is refused, never guessed at.
const VERSION: u8 = CARRYING;
/// The format of an event that carries nothing.
const PLAIN: u8 = 1;
/// The format of an event that carries something: one text more.
const CARRYING: u8 = 2;
const HAS_KEY: u8 = 1;
const IS_UNPARSED: u8 = 2;
/// In the newest format.
const TEXTS: usize = 8;
/// Version, flags and time.
const FIXED: usize = 1 + 1 + 8;
const LENGTH: usize = 4;

/// One accepted event, borrowed from a request or from a journal record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// When the whole body had arrived, in milliseconds since the Unix epoch: the Kafka record's timestamp.
    pub received_ms: u64,
    /// The configured name of the source, such as `retell`.
    pub source: &'a str,
    /// The sender's name of the event, such as `call_ended`; `none` if it has none, `unparsed` if the body is not JSON.
    pub kind: &'a str,
    /// The Kafka key; `None` if none of the source's pointers leads to a string.
    pub key: Option<&'a str>,
    /// CloudEvents' `ce_id`: the sender's message id, or a hash of the body; the same for every retry.
    pub id: &'a str,
    /// The request's `Content-Type`, or `application/json` if it has none.
    pub content_type: &'a str,
    /// W3C trace context; empty if missing or malformed.
    pub traceparent: &'a str,
    /// W3C trace state; empty if missing or malformed.
    pub tracestate: &'a str,
    /// Request headers and query parameters that the source lists.
    pub carried: Carried<'a>,
    /// True if the body is not JSON although its source's bodies are: the event becomes a dead letter.
    pub is_unparsed: bool,
    /// The request's body, byte for byte.
    pub body: &'a [u8],
}

/// Why a record's payload is not an event.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// A newer ringback wrote it, and is needed to publish it.
    #[error("envelope version {0} is newer than this build's {VERSION}")]
    Version(u8),
    /// The envelope is shorter than its lengths say. The record's CRC matched, so the writer is at fault, not the disk.
    #[error("envelope is cut short")]
    Truncated,
    /// A text is not UTF-8. As above, the writer is at fault.
    #[error("envelope text is not UTF-8")]
    Text,
}

impl<'a> Event<'a> {
    /// Encodes the provenance. A record's payload is this envelope, then [`Event::body`].
    pub fn encode_envelope(&self) -> Vec<u8> {
        let version = if self.carried.is_empty() {
            PLAIN
        } else {
            CARRYING
        };
        let texts = self.texts();
        let texts = &texts[..texts_of(version)];
        let lengths = texts.iter().map(|text| LENGTH + text.len());
        let mut envelope = Vec::with_capacity(FIXED + lengths.sum::<usize>());
        envelope.put_u8(version);
        let has_key = if self.key.is_some() { HAS_KEY } else { 0 };
        let is_unparsed = if self.is_unparsed { IS_UNPARSED } else { 0 };
        envelope.put_u8(has_key | is_unparsed);
        envelope.put_u64_le(self.received_ms);
        for text in texts {
            debug_assert!(
                u32::try_from(text.len()).is_ok(),
                "heads and bodies are far below 4 GiB"
            );
            envelope.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        for text in texts {
            envelope.put_slice(text.as_bytes());
        }
        envelope
    }

    /// Reads an event back from a record's payload.
    pub fn decode(mut payload: &'a [u8]) -> Result<Self, DecodeError> {
        let version = payload.try_get_u8().map_err(|_| DecodeError::Truncated)?;
        if !(PLAIN..=VERSION).contains(&version) {
            return Err(DecodeError::Version(version));
        }
        let count = texts_of(version);
        if payload.len() < FIXED - 1 + count * LENGTH {
            return Err(DecodeError::Truncated);
        }
        let flags = payload.get_u8();
        let received_ms = payload.get_u64_le();
        let mut lengths = [0; TEXTS];
        lengths[..count].fill_with(|| payload.get_u32_le());
        let mut texts = [""; TEXTS];
        for (text, length) in texts[..count].iter_mut().zip(lengths) {
            let (bytes, rest) = payload
                .split_at_checked(length as usize)
                .ok_or(DecodeError::Truncated)?;
            *text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Text)?;
            payload = rest;
        }
        let [
            source,
            kind,
            key,
            id,
            content_type,
            traceparent,
            tracestate,
            carried,
        ] = texts;
        Ok(Self {
            received_ms,
            source,
            kind,
            key: (flags & HAS_KEY != 0).then_some(key),
            id,
            content_type,
            traceparent,
            tracestate,
            carried: Carried::of_envelope(carried),
            is_unparsed: flags & IS_UNPARSED != 0,
            body: payload,
        })
    }

    /// As [`Event::decode`], if the body may lie apart: then `payload` ends with the envelope.
    pub fn decode_parts(payload: &'a [u8], body: &'a [u8]) -> Result<Self, DecodeError> {
        let event = Self::decode(payload)?;
        debug_assert!(
            body.is_empty() || event.body.is_empty(),
            "an event has one body"
        );
        Ok(if body.is_empty() {
            event
        } else {
            Self { body, ..event }
        })
    }

    fn texts(&self) -> [&'a str; TEXTS] {
        [
            self.source,
            self.kind,
            self.key.unwrap_or_default(),
            self.id,
            self.content_type,
            self.traceparent,
            self.tracestate,
            self.carried.text(),
        ]
    }
}

/// How many texts an envelope of this version has.
fn texts_of(version: u8) -> usize {
    if version == PLAIN { TEXTS - 1 } else { TEXTS }
}

#[cfg(test)]
impl<'a> Event<'a> {
    pub(crate) fn sample(key: Option<&'a str>) -> Self {
        Self {
            received_ms: 1_714_608_475_945,
            source: "retell",
            kind: "call_ended",
            key,
            id: "0123456789abcdef0123456789abcdef",
            content_type: "application/json",
            traceparent: "",
            tracestate: "",
            carried: Carried::default(),
            is_unparsed: false,
            body: b"{\"event\":\"call_ended\"}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(event: &Event<'_>) -> Vec<u8> {
        [event.encode_envelope().as_slice(), event.body].concat()
    }

    #[test]
    fn an_event_survives_the_journal_byte_for_byte() {
        for key in [None, Some(""), Some("é東京")] {
            for is_unparsed in [false, true] {
                let event = Event {
                    is_unparsed,
                    ..Event::sample(key)
                };
                assert_eq!(Event::decode(&payload(&event)), Ok(event));
                let envelope = event.encode_envelope();
                assert_eq!(Event::decode_parts(&envelope, event.body), Ok(event));
                assert_eq!(Event::decode_parts(&payload(&event), b""), Ok(event));
            }
        }
    }

    #[test]
    fn an_unparsed_event_differs_by_one_flag_that_earlier_versions_ignore() {
        let usual = payload(&Event::sample(None));
        let mut unparsed = payload(&Event {
            is_unparsed: true,
            ..Event::sample(None)
        });
        assert_eq!(unparsed[0], 1, "the version of the first release");
        unparsed[1] &= HAS_KEY;
        assert_eq!(unparsed, usual);
    }

    /// The envelope of an event that carries these.
    fn carrying(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut carrying = Carrying::default();
        assert!(pairs.iter().all(|(name, value)| carrying.push(name, value)));
        let event = Event {
            carried: carrying.carried(),
            ..Event::sample(Some("k"))
        };
        event.encode_envelope()
    }

    #[test]
    fn only_an_event_that_carries_something_has_the_second_version() {
        let pairs = [("x-a", "1"), ("x-a", "é"), ("b", "")];
        let envelope = carrying(&pairs);
        assert_eq!(envelope[0], 2);
        let payload = [envelope.as_slice(), b"body"].concat();
        let event = Event::decode(&payload).unwrap();
        assert!(event.carried.iter().eq(pairs));
        assert_eq!((event.body, event.key), (&b"body"[..], Some("k")));
        assert_eq!(carrying(&[]), Event::sample(Some("k")).encode_envelope());
        assert_eq!(carrying(&[])[0], 1);
    }

    #[test]
    fn a_newer_envelope_is_refused_by_its_version() {
        let mut bytes = payload(&Event::sample(None));
        bytes[0] = VERSION + 1;
        assert_eq!(
            Event::decode(&bytes),
            Err(DecodeError::Version(VERSION + 1))
        );
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let count = bytes.first().filter(|version| (PLAIN..=VERSION).contains(*version));
            let is_ours = count.is_some_and(|version| bytes.len() >= FIXED + texts_of(*version) * LENGTH);
            prop_assert!(is_ours || Event::decode(&bytes).is_err());
        }

        #[test]
        fn a_changed_byte_gives_an_error_or_another_event_that_is_kept_whole(
            at in 0usize..FIXED + 140,
            byte in any::<u8>(),
        ) {
            let mut payload = carrying(&[("x-a", "1"), ("b", "")]);
            prop_assume!(at < payload.len());
            payload[at] = byte;
            if let Ok(event) = Event::decode(&payload) {
                let mut again = event.encode_envelope();
                again.extend_from_slice(event.body);
                prop_assert_eq!(Event::decode(&again), Ok(event));
            }
        }

        #[test]
        fn a_cut_envelope_is_refused(cut in 0usize..FIXED + 140) {
            for envelope in [Event::sample(Some("k")).encode_envelope(), carrying(&[("x-a", "1")])] {
                prop_assume!(cut < envelope.len());
                prop_assert_eq!(Event::decode(&envelope[..cut]), Err(DecodeError::Truncated));
            }
        }
    }
}

//! The format of one record on disk.
//!
//! ```text
//! length u32 | head CRC u32 | position u64 | payload CRC u32 | payload | zeros up to a multiple of 8
//! ```
//!
//! Integers are little-endian. Both checksums are CRC-32C (Castagnoli, RFC 3720 appendix B.4), seeded with the journal's id:
//! neither another journal's records nor a body that looks like a record passes as a record of this journal. The head CRC
//! covers length and position, so that a length can be trusted. The payload CRC covers position and payload, so that bytes
//! from a file's earlier use never pass.

use std::ops::Range;

use crc32c::crc32c_append;

/// Records begin at multiples of this many bytes.
pub const ALIGNMENT: u64 = 8;
/// Bytes before the payload.
pub const HEAD: usize = 20;

/// Encodes and checks one journal's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    seed: u32,
}

/// An intact record at the start of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The record's position.
    pub position: u64,
    /// Where the payload lies in the bytes.
    pub payload: Range<usize>,
    /// Where the next record begins.
    pub size: usize,
}

/// What some bytes begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// An intact record.
    Record(Frame),
    /// An intact head, but fewer bytes than the record needs, which is this many.
    Partial(usize),
    /// No record, or a damaged one.
    Nothing,
}

impl Codec {
    /// The codec of the journal with this id.
    pub fn new(journal_id: &[u8; 16]) -> Self {
        Self {
            seed: crc32c_append(0, journal_id),
        }
    }

    /// Appends a record whose payload is `head` and `body`, one after the other.
    pub fn encode(self, position: u64, head: &[u8], body: &[u8], buffer: &mut Vec<u8>) {
        // The appender refuses every payload near 4 GiB.
        let length = u32::try_from(head.len() + body.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        let position = position.to_le_bytes();
        let head_crc = self.crc(&[&length, &position]);
        let payload_crc = self.crc(&[&position, head, body]);
        for part in [
            &length[..],
            &head_crc.to_le_bytes(),
            &position,
            &payload_crc.to_le_bytes(),
            head,
            body,
        ] {
            buffer.extend_from_slice(part);
        }
        let padding = padding(HEAD + head.len() + body.len());
        buffer.extend_from_slice(&[0; 8][..padding]);
    }

    /// Decodes the record with which `bytes` begin.
    pub fn decode(self, bytes: &[u8]) -> Decoded {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Decoded::Partial(HEAD);
        };
        let [length, head_crc] = [0, 4].map(|at| word(head, at));
        let position = &head[8..16];
        if self.crc(&[&head[..4], position]) != head_crc {
            return Decoded::Nothing;
        }
        let length = length as usize;
        let size = HEAD + length + padding(HEAD + length);
        let Some(payload) = rest.get(..length).filter(|_| bytes.len() >= size) else {
            return Decoded::Partial(size);
        };
        if self.crc(&[position, payload]) != word(head, 16) {
            return Decoded::Nothing;
        }
        let mut number = [0; 8];
        number.copy_from_slice(position);
        Decoded::Record(Frame {
            position: u64::from_le_bytes(number),
            payload: HEAD..HEAD + length,
            size,
        })
    }

    fn crc(self, parts: &[&[u8]]) -> u32 {
        parts
            .iter()
            .fold(self.seed, |crc, part| crc32c_append(crc, part))
    }
}

/// The bytes that a payload of `length` takes on disk.
pub fn size_on_disk(length: usize) -> u64 {
    (HEAD + length + padding(HEAD + length)) as u64
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(8) - length
}

fn word(bytes: &[u8; HEAD], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codec() -> Codec {
        Codec::new(b"0123456789abcdef")
    }

    fn encoded(position: u64, head: &[u8], body: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        codec().encode(position, head, body, &mut buffer);
        buffer
    }

    #[test]
    fn zeros_and_another_journal_s_records_are_no_records() {
        assert_eq!(codec().decode(&[0; 64]), Decoded::Nothing);
        let other = Codec::new(b"another journal!");
        assert_eq!(other.decode(&encoded(7, b"h", b"body")), Decoded::Nothing);
    }

    #[test]
    fn a_cut_record_says_how_much_it_needs() {
        let bytes = encoded(7, b"head", b"body");
        assert_eq!(bytes.len(), 32);
        assert_eq!(codec().decode(&bytes[..10]), Decoded::Partial(HEAD));
        assert_eq!(codec().decode(&bytes[..31]), Decoded::Partial(32));
        assert_eq!(size_on_disk(8), 32);
    }

    proptest! {
        #[test]
        fn a_record_reads_back_and_no_flipped_bit_does(
            position: u64,
            head in proptest::collection::vec(any::<u8>(), 0..40),
            body in proptest::collection::vec(any::<u8>(), 0..40),
            flip: proptest::sample::Index,
        ) {
            let mut bytes = encoded(position, &head, &body);
            prop_assert_eq!(bytes.len() as u64, size_on_disk(head.len() + body.len()));
            let Decoded::Record(record) = codec().decode(&bytes) else {
                return Err(TestCaseError::fail("not a record"));
            };
            prop_assert_eq!(record.position, position);
            prop_assert_eq!(&bytes[record.payload.clone()], [head, body].concat());
            let covered = record.payload.end;
            let bit = flip.index(covered * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(codec().decode(&bytes), Decoded::Record(_)));
        }
    }
}

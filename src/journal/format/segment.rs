//! One file of the journal: its name, its header, and what the process knows of it.

use std::sync::Arc;

use crc32c::crc32c;

use super::record::HEAD;
use crate::journal::engine::checkpoint::Synced;

/// Bytes before the first record.
pub const HEADER: u64 = HEADER_BYTES as u64;
/// As a length in memory.
pub const HEADER_BYTES: usize = 72;
const MAGIC: &[u8; 8] = b"ringback";
/// The only format so far; another is refused at start rather than guessed.
pub const VERSION: u32 = 1;
const SUFFIX: &str = ".segment";
const SET_ASIDE: &str = "unreadable-";

/// A segment's first bytes, written in one write with its first records.
///
/// ```text
/// magic "ringback" | version u32 | header length u32 | journal id 16 | sequence u64 | first position u64
/// | end position of the segment before u64 | opened, ms since the epoch u64 | CRC-32C u32 | zeros u32
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The journal's id, made once.
    pub journal_id: [u8; 16],
    /// The file's number, as in its name.
    pub sequence: u64,
    /// The first record's position.
    pub first: u64,
    /// One past the last position of the segment before: tells that one's length without reading it.
    pub previous_end: u64,
    /// When the segment was begun, in milliseconds since the Unix epoch.
    pub opened_ms: u64,
}

/// Why the first bytes are no header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    /// Intact, but of another format version.
    Version(u32),
    /// Zeros, torn or damaged.
    Invalid,
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&72u32.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.journal_id);
        let numbers = [self.sequence, self.first, self.previous_end, self.opened_ms];
        for (index, number) in numbers.into_iter().enumerate() {
            let at = 32 + index * 8;
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c(&bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header back.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderError::Invalid)?;
        let mut crc = [0; 4];
        crc.copy_from_slice(&bytes[64..68]);
        if &bytes[..8] != MAGIC || crc32c(&bytes[..64]) != u32::from_le_bytes(crc) {
            return Err(HeaderError::Invalid);
        }
        let mut version = [0; 4];
        version.copy_from_slice(&bytes[8..12]);
        match u32::from_le_bytes(version) {
            VERSION => {}
            version => return Err(HeaderError::Version(version)),
        }
        let number = |index: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[32 + index * 8..40 + index * 8]);
            u64::from_le_bytes(number)
        };
        Ok(Self {
            journal_id: id_in(bytes),
            sequence: number(0),
            first: number(1),
            previous_end: number(2),
            opened_ms: number(3),
        })
    }
}

/// The journal's id as it stands in a header, intact or not.
pub fn id_in(header: &[u8; HEADER_BYTES]) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&header[16..32]);
    id
}

/// The name of the segment with this sequence number; names sort as numbers do.
pub fn name(sequence: u64) -> String {
    format!("{sequence:016x}{SUFFIX}")
}

/// The sequence number in a segment's name; `None` for every other file.
pub fn sequence_of(name: &str) -> Option<u64> {
    let number = name
        .strip_suffix(SUFFIX)
        .filter(|number| number.len() == 16)?;
    u64::from_str_radix(number, 16).ok()
}

/// What the process knows of a segment that holds records.
#[derive(Debug)]
pub struct Segment<F> {
    /// The file's number.
    pub sequence: u64,
    /// The first record's position.
    pub first: u64,
    /// One past the last synced position.
    pub end: u64,
    /// Bytes up to the end of the last synced record.
    pub used: u64,
    /// Bytes that the file has reserved; writing ends there.
    pub capacity: u64,
    /// Bytes of all segments before this one since the process started: makes offsets comparable across segments.
    pub base: u64,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub opened_ms: u64,
    /// The open file while the writer needs it; whoever reads opens the file by its name, so that the number of open files
    /// does not grow with the backlog.
    pub file: Option<Arc<F>>,
    /// Set while part of the file could not be read at the start and its records cannot be counted without that part.
    pub unresolved: Option<Unresolved>,
    /// Its extent is the least that can have been there: what could not be read was passed over. Nothing on the disk may
    /// say that it is more than an estimate.
    pub is_estimated: bool,
}

/// What is known of a segment that could not be read whole at the start. Until the reader comes to it and reads it, or
/// gives up, `first` and `end` are bounds: all its records lie between, and there may be fewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// How many unpublished records it is taken to hold.
    pub estimate: u64,
    /// The file's length in bytes.
    pub length: u64,
    /// One past the last position as the next segment's header tells it; if there is none yet, as it will.
    pub next_says: Option<u64>,
    /// The first position that belongs to a later segment, as the nearest intact header behind this one tells it: all of
    /// its own come before.
    pub next_first: Option<u64>,
    /// The next segment's header was read, and is damaged.
    pub is_next_headless: bool,
    /// The next segment's header says that nobody knew, when it was written, where this one ended.
    pub is_next_silent: bool,
    /// How far it was synced, as the checkpoint tells it.
    pub synced: Option<Synced>,
    /// The first position that is not published, as the checkpoint tells it.
    pub published: u64,
    /// Where the positions of the last open began, as the checkpoint tells it.
    pub begun_at: u64,
}

impl<F> Segment<F> {
    /// True if it is known exactly which positions it holds.
    pub fn is_certain(&self) -> bool {
        self.unresolved.is_none() && !self.is_estimated
    }

    /// Where the next batch would begin: on a page of its own, so that a write that is cut short cannot spoil records that
    /// were synced before.
    pub fn next_offset(&self, page: u64) -> u64 {
        self.used.next_multiple_of(page)
    }

    /// One past its last position, where that is known: its other records need not be.
    pub fn known_end(&self) -> Option<u64> {
        match &self.unresolved {
            Some(unresolved) => unresolved.next_says,
            None => (!self.is_estimated).then_some(self.end),
        }
    }

    /// True where a batch with a first record of `size` bytes on disk still fits.
    pub fn fits(&self, page: u64, size: u64) -> bool {
        self.next_offset(page) + size <= self.capacity
    }

    /// Records of it that are not published if everything before `watermark` is.
    pub fn unpublished(&self, watermark: u64) -> u64 {
        match &self.unresolved {
            Some(unresolved) if watermark < self.end => unresolved.estimate,
            _ => self.end.saturating_sub(self.first.max(watermark)),
        }
    }
}

/// The name under which a segment with an unreadable place is kept when the journal is done with it.
pub fn set_aside_name(sequence: u64) -> String {
    format!("{SET_ASIDE}{}", name(sequence))
}

/// The sequence number in the name of a segment that is set aside.
pub fn set_aside_sequence(name: &str) -> Option<u64> {
    sequence_of(name.strip_prefix(SET_ASIDE)?)
}

/// The reserved size of a segment that must take a record of `size` bytes on disk.
pub fn capacity_for(size: u64, segment_size: u64) -> u64 {
    segment_size.max(HEADER + size.max(HEAD as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            journal_id: *b"0123456789abcdef",
            sequence: 7,
            first: 1 << 40,
            previous_end: 99,
            opened_ms: 1_714_608_475_945,
        }
    }

    #[test]
    fn a_header_reads_back_and_no_flipped_bit_does() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes), Ok(header()));
        for bit in 0..68 * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Header::decode(&damaged),
                Err(HeaderError::Invalid),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        let crc = crc32c(&bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Version(2)));
    }

    #[test]
    fn names_sort_as_numbers_and_read_back() {
        assert!(name(9) < name(10) && name(255) < name(256));
        assert_eq!(sequence_of(&name(u64::MAX)), Some(u64::MAX));
        for other in [
            "lock",
            "checkpoint",
            "1.segment",
            "zzzzzzzzzzzzzzzz.segment",
        ] {
            assert_eq!(sequence_of(other), None, "{other}");
        }
    }
}

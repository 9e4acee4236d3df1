//! A segment: its file's name, its header, and what the process knows about it.

use std::io;
use std::sync::Arc;

use crc32c::crc32c;

use super::record::HEAD;
use super::set_aside::SetAsideName;
use crate::journal::disk::filesystem::{ReadAt, read_full};
use crate::journal::engine::checkpoint::{Checkpoint, Synced};

/// Bytes before the first record.
pub const HEADER: u64 = HEADER_BYTES as u64;
/// [`HEADER`] as a length in memory.
pub const HEADER_BYTES: usize = 72;
const MAGIC: &[u8; 8] = b"ringback";
/// The only format version so far. The journal refuses to open files of another version.
pub const VERSION: u32 = 1;
const SUFFIX: &str = ".segment";

/// A segment's first bytes, written together with its first batch.
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
    /// One past the last position of the previous segment, so that its end is known without reading it; 0 if unknown.
    pub previous_end: u64,
    /// When the first batch was written, in milliseconds since the Unix epoch.
    pub opened_ms: u64,
}

/// Why a segment's first bytes are no header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    /// An intact header of another format version.
    Version(u32),
    /// An intact header of the segment with this number, under another one's name.
    Misnamed(u64),
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

    /// Reads the header of the segment with this number.
    pub(in crate::journal) fn read(
        file: &impl ReadAt,
        sequence: u64,
    ) -> io::Result<Result<Self, HeaderError>> {
        let mut bytes = [0; HEADER_BYTES];
        let read = read_full(file, &mut bytes, 0)?;
        Ok(Self::decode_own(&bytes[..read], sequence))
    }

    /// Decodes the header of the segment with this number.
    pub(in crate::journal) fn decode_own(bytes: &[u8], sequence: u64) -> Result<Self, HeaderError> {
        let header = Self::decode(bytes)?;
        if header.sequence == sequence {
            Ok(header)
        } else {
            Err(HeaderError::Misnamed(header.sequence))
        }
    }

    /// Decodes a header.
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

/// The journal's id in a header, intact or not.
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

/// What the process knows about a segment that holds records.
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
    /// Bytes that the file has reserved. Writing ends there.
    pub capacity: u64,
    /// Bytes of all earlier segments since the process started, so that offsets can be compared across segments.
    pub base: u64,
    /// When its first batch was written, in milliseconds since the Unix epoch.
    pub opened_ms: u64,
    /// The open file while the writer needs it. The reader opens each segment by its name, so that open files do not grow with
    /// the backlog.
    pub file: Option<Arc<F>>,
    /// Set while nobody knows what it holds, because recovery could not read a part that matters.
    pub unresolved: Option<Unresolved>,
    /// The reader passed over an unreadable part, so the extent is only the least that it can have held. The journal must not
    /// write it to disk as a fact.
    pub is_estimated: bool,
}

/// What recovery knows about a segment that it could not read whole. Until the reader has read it, or has given up, the
/// segment's `first` and `end` are bounds: it may hold fewer records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The number of unpublished records to count for it.
    pub estimate: u64,
    /// The file's length in bytes.
    pub length: u64,
    /// One past the last position, as the next segment's header has it; if there is none yet, as it will have it.
    pub next_header_end: Option<u64>,
    /// The first position of the next segment with an intact header: all positions of this one come before.
    pub next_first: Option<u64>,
    /// The next segment's header was read and is damaged.
    pub is_next_headless: bool,
    /// The next segment's header is damaged or could not be read: nothing shows yet which of both holds a position.
    pub is_next_unknown: bool,
    /// The next segment's header has no end for this one: nobody knew it when that header was written.
    pub is_next_silent: bool,
    /// How far it was synced, from the checkpoint.
    pub synced: Option<Synced>,
    /// The first position that is not published, from the checkpoint.
    pub published: u64,
    /// The first position of the latest open, from the checkpoint.
    pub open_start: u64,
    /// Its header could not be read, so nobody knows yet whether records before it are gone. If the header turns out to be
    /// damaged, this shows it.
    pub unread_header: Option<Evidence>,
    /// What shows whether records behind it are gone, once its end is known.
    pub behind: Evidence,
}

/// What shows whether records between two segments, or behind the last one, are gone with their segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing does.
    None,
    /// The later segment's header, which has this end for the segment before it.
    Header(u64),
    /// The checkpoint, which has a newer segment than any that is left.
    Checkpoint(Checkpoint, Synced),
}

impl<F> Segment<F> {
    /// True if it is known exactly which positions it holds.
    pub fn is_certain(&self) -> bool {
        self.unresolved.is_none() && !self.is_estimated
    }

    /// Where the next batch would begin: on a page of its own, so that a torn write cannot spoil records that were synced
    /// before.
    pub fn next_offset(&self, page: u64) -> u64 {
        self.used.next_multiple_of(page)
    }

    /// One past its last position, if that is known; what it holds otherwise need not be.
    pub fn known_end(&self) -> Option<u64> {
        match &self.unresolved {
            Some(unresolved) => unresolved.next_header_end,
            None => (!self.is_estimated).then_some(self.end),
        }
    }

    /// True if a batch still fits whose first record takes `size` bytes on disk.
    pub fn fits(&self, page: u64, size: u64) -> bool {
        self.next_offset(page) + size <= self.capacity
    }

    /// Its records at or past `watermark`.
    pub fn unpublished(&self, watermark: u64) -> u64 {
        match &self.unresolved {
            Some(unresolved) if watermark < self.end => unresolved.estimate,
            _ => self.end.saturating_sub(self.first.max(watermark)),
        }
    }
}

/// The sequence number in the name of a segment that is set aside; `None` for every other file.
pub fn set_aside_sequence(name: &str) -> Option<u64> {
    SetAsideName::parse(name).map(|name| name.sequence)
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
    fn another_version_is_no_damage() {
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

//! What a segment's file without a sound header is: records under damage, a torn first write, or a spare. Recovery and
//! inspection share this rule.

use std::io;
use std::ops::Deref;

use crate::journal::disk::filesystem::ReadAt;
use crate::journal::disk::zero_fill::ZeroFilled;
use crate::journal::engine::checkpoint::Checkpoint;
use crate::journal::format::record::Codec;
use crate::journal::format::scan;
use crate::journal::format::segment::HEADER;

/// What could be read of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    has_header: bool,
    /// It holds an intact record, or the checkpoint says that it did.
    pub is_written: bool,
    /// A part could not be read, so it may hold records.
    is_unknown: bool,
    /// Bytes up to the last that is not zero.
    garbage: u64,
}

/// What one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It holds records, or may hold them, or is damaged.
    Records,
    /// A first write of this many bytes that a crash cut short. It was never acknowledged.
    Torn(u64),
    /// Zeros.
    Spare,
}

impl Content {
    /// A file with a sound header. Its records need not be read: that would make opening a full journal slow.
    pub const SOUND: Self = Self {
        has_header: true,
        is_written: true,
        is_unknown: false,
        garbage: 0,
    };

    /// Reads the file with this number, of `length` bytes, without a sound header.
    pub fn read<P>(
        file: &ZeroFilled<P>,
        codec: Codec,
        (sequence, length): (u64, u64),
        checkpoint: Option<Checkpoint>,
    ) -> io::Result<Self>
    where
        P: Deref<Target: ReadAt + Sized>,
    {
        let record = scan::find(file, codec, HEADER..length, &(0..u64::MAX))?;
        let garbage = scan::garbage(file, 0, length)?;
        let synced = checkpoint.and_then(|last| last.synced);
        let is_synced = synced.is_some_and(|synced| synced.sequence == sequence);
        let is_unused = checkpoint.is_some_and(|last| last.is_unused(sequence));
        Ok(Self {
            has_header: false,
            is_written: record.is_some() || is_synced,
            is_unknown: !file.holes().is_empty() && !is_unused,
            garbage,
        })
    }

    /// As [`Content::read`], if the header could not be read in an earlier attempt. If everything can be read now and is
    /// zero, that attempt does not matter.
    pub fn with_unreadable_header(self) -> Self {
        Self {
            is_unknown: self.is_unknown || self.garbage > 0,
            ..self
        }
    }
}

/// What each of these files is. They are all files of the journal, oldest first.
///
/// Bytes that make no sense were synced, and so are damaged, if a later file may hold records. Otherwise they are a torn
/// write.
pub fn kinds(contents: &[Content]) -> Vec<Kind> {
    let holds = |content: &Content| content.is_written || content.is_unknown;
    let last = contents.iter().rposition(holds);
    let kind = |(index, content): (usize, &Content)| {
        let is_damaged = content.garbage > 0 && last.is_some_and(|last| index < last);
        if holds(content) || is_damaged {
            Kind::Records
        } else if content.garbage > 0 {
            Kind::Torn(content.garbage)
        } else {
            Kind::Spare
        }
    };
    let kinds: Vec<_> = contents.iter().enumerate().map(kind).collect();
    debug_assert!(
        contents
            .iter()
            .zip(&kinds)
            .all(|(content, kind)| !content.has_header || *kind == Kind::Records),
        "a sound header comes with records"
    );
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_without_a_header_are_damage_only_before_a_file_that_may_hold_records() {
        let torn = Content {
            has_header: false,
            is_written: false,
            is_unknown: false,
            garbage: 7,
        };
        let spare = Content { garbage: 0, ..torn };
        let unknown = Content {
            is_unknown: true,
            ..spare
        };
        let written = Content {
            is_written: true,
            ..torn
        };
        assert_eq!(kinds(&[torn, spare]), [Kind::Torn(7), Kind::Spare]);
        for holder in [unknown, written, Content::SOUND] {
            assert_eq!(
                kinds(&[torn, spare, holder, torn]),
                [Kind::Records, Kind::Spare, Kind::Records, Kind::Torn(7)],
            );
        }
        assert!(torn.with_unreadable_header().is_unknown);
        assert_eq!(spare.with_unreadable_header(), spare);
    }
}

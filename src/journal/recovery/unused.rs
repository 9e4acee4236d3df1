//! Files that hold no record, and what their numbers say about positions that were given out all the same.
//!
//! An open that gives out positions writes them to a file with a higher number than all that it found. If that file's records
//! are damaged before another file follows, it looks like a torn first write. If the checkpoint is lost too, only its number
//! still says that an open lay between. So a number is at least as far from the last segment's as its first position is, in
//! strides.

use std::ops::Range;

use super::POSITION_STRIDE;
use super::candidates::Candidate;
use super::headerless::{Content, Kind};
use crate::journal::format::segment::name;

/// A bound on the opens of which nothing is left. No journal has had that many: a foreign file's number must not use up all
/// positions.
const MAX_OPENS: u64 = 1 << 32;

/// Files to be removed.
#[derive(Debug)]
pub(super) struct Unused {
    /// Each with the bytes of the torn write in it, if there is one.
    files: Vec<(u64, Option<u64>)>,
    /// The numbers from the oldest file to the newest that can have been written, including those that hold records.
    numbers: Range<u64>,
}

/// What to do with one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Discard {
    pub(super) sequence: u64,
    /// This many bytes are a torn write, of which a copy is to be kept.
    pub(super) torn: Option<u64>,
    /// An empty file is to stay under the name, because its number counts opens.
    pub(super) keeps_number: bool,
}

impl Unused {
    /// Moves the files that hold no record out of `candidates`. Returns them and the bytes of their torn writes.
    pub(super) fn take_from(
        candidates: &mut Vec<Candidate>,
        contents: &[Content],
        kinds: &[Kind],
    ) -> (Self, u64) {
        let mut torn = 0;
        let mut unused = Self {
            files: Vec::new(),
            numbers: candidates.first().map_or(0, |first| first.sequence)
                ..candidates.last().map_or(0, |last| last.sequence + 1),
        };
        let mut kept = Vec::with_capacity(candidates.len());
        let found = candidates.drain(..).zip(contents.iter().zip(kinds));
        for (mut candidate, (content, kind)) in found {
            let sequence = candidate.sequence;
            match kind {
                Kind::Records => {
                    if candidate.header.is_err() {
                        candidate.may_be_spare = !content.is_written;
                        tracing::error!(
                            segment = name(sequence),
                            "the segment's header is damaged or cannot be read"
                        );
                    }
                    kept.push(candidate);
                }
                Kind::Torn(bytes) => {
                    torn += bytes;
                    unused.files.push((sequence, Some(*bytes)));
                }
                Kind::Spare => {
                    unused.files.push((sequence, None));
                    // An empty file is one whose number was kept by an earlier open.
                    if candidate.length > 0 && sequence + 1 == unused.numbers.end {
                        unused.numbers.end -= 1;
                    }
                }
            }
        }
        *candidates = kept;
        (unused, torn)
    }

    /// Adds a file with a header and no record. Returns the least first position of an open after it.
    pub(super) fn push_begun(&mut self, sequence: u64, first: u64) -> u64 {
        self.files.push((sequence, None));
        first + POSITION_STRIDE * self.opens_after(Some(sequence))
    }

    /// The most opens that can have given out positions after the segment with the number `last` (`None`: there is none)
    /// without leaving a record: as many as there are missing or empty files.
    pub(super) fn opens_after(&self, last: Option<u64>) -> u64 {
        let from = last.map_or(self.numbers.start, |last| last + 1);
        self.numbers.end.saturating_sub(from).min(MAX_OPENS)
    }

    /// How to discard the files, if `opens` lie after the last segment. If there are any, the newest file's number stays until
    /// an open finds a newer one.
    pub(super) fn into_discards(mut self, opens: u64) -> Vec<Discard> {
        self.files.sort_unstable();
        let newest = self.files.last().map(|(sequence, _)| *sequence);
        let keeper = newest.filter(|_| opens > 0);
        let discard = |(sequence, torn)| Discard {
            sequence,
            torn,
            keeps_number: keeper == Some(sequence),
        };
        self.files.into_iter().map(discard).collect()
    }
}

//! Files that hold no record, and what their numbers tell of positions that were given out all the same.
//!
//! A start that hands out positions writes them into a file with a higher number than all that it found. Where such a
//! file's records rot before another follows, it looks like a first write that never got whole; and where the checkpoint
//! is lost too, its number is all that still tells that a start lay between. So a number is at least as far from the last
//! segment's as its first position is in leaps.

use std::ops::Range;

use super::{Candidate, LEAP, failed};
use crate::fault::{self, Fault};
use crate::journal::error::OpenError;
use crate::journal::filesystem::{File, FileSystem};
use crate::journal::record::Codec;
use crate::journal::scan;
use crate::journal::segment::{HEADER, name};

/// A bound on starts of which nothing is left.
const MOST_STARTS: u64 = 1 << 32;

/// Files to be removed.
pub struct Unused {
    /// The number of each.
    sequences: Vec<u64>,
    /// The numbers from the oldest file to the newest that can have been written to, those that hold records among them.
    numbers: Range<u64>,
}

/// Takes out what holds no record: a spare, or a first write that never got whole. The bytes of the latter.
pub fn take_from<F: File>(
    codec: Codec,
    candidates: &mut Vec<Candidate<F>>,
) -> Result<(Unused, u64), OpenError> {
    let mut kept = Vec::with_capacity(candidates.len());
    let mut torn = 0;
    let mut unused = Unused {
        sequences: Vec::new(),
        numbers: candidates.first().map_or(0, |first| first.sequence)
            ..candidates.last().map_or(0, |last| last.sequence + 1),
    };
    let holds = |candidate: &Candidate<F>| {
        // Most are sound, and reading them all would make a slow start of a full journal.
        if candidate.header.is_ok() {
            return Ok(true);
        }
        let bytes = HEADER..candidate.length;
        let found = scan::find(&candidate.file, codec, bytes, &(0..u64::MAX));
        let failed_read = failed(&format!("read {}", name(candidate.sequence)));
        Ok(found.map_err(failed_read)?.is_some())
    };
    let holding = candidates
        .iter()
        .map(holds)
        .collect::<Result<Vec<_>, OpenError>>()?;
    let last = holding.iter().rposition(|holds| *holds);
    for (index, candidate) in candidates.drain(..).enumerate() {
        if candidate.header.is_ok() {
            kept.push(candidate);
            continue;
        }
        let name = name(candidate.sequence);
        let garbage = scan::garbage(&candidate.file, 0, candidate.length)
            .map_err(failed(&format!("read {name}")))?;
        // Before what was written later, bytes that make no sense were once synced: damage, for the reader to set aside.
        let damaged = garbage > 0 && last.is_some_and(|last| index < last);
        if (holding[index] || damaged) && !fault::is_on(Fault::HeaderlessDiscarded) {
            tracing::error!(segment = name, "the segment's header is damaged");
            kept.push(candidate);
            continue;
        }
        torn += garbage;
        unused.sequences.push(candidate.sequence);
        let is_spare = garbage == 0 && candidate.length > 0;
        if is_spare && candidate.sequence + 1 == unused.numbers.end {
            unused.numbers.end -= 1;
        }
    }
    *candidates = kept;
    Ok((unused, torn))
}

impl Unused {
    /// Adds a file with a header and no record; a position from which a start may leap as from any other's beginning.
    pub fn push_begun(&mut self, sequence: u64, first: u64) -> u64 {
        self.sequences.push(sequence);
        first + LEAP * self.starts_behind(Some(sequence))
    }

    /// How many starts may have given out positions behind the segment with the number `last` (`None`: there is none) of
    /// which no record is left: no more than files that are gone or hold nothing.
    pub fn starts_behind(&self, last: Option<u64>) -> u64 {
        let from = last.map_or(self.numbers.start, |last| last + 1);
        // No journal has had that many: a foreign file's number must not use all positions up.
        self.numbers.end.saturating_sub(from).min(MOST_STARTS)
    }

    /// Removes the files. Where `starts` lie behind the last segment, the newest file stays, empty, until a start finds a
    /// newer one: it keeps the number. True where a name is gone.
    pub fn discard<FS: FileSystem>(mut self, fs: &FS, starts: u64) -> Result<bool, OpenError> {
        self.sequences.sort_unstable();
        let keeper = self.sequences.pop_if(|_| starts > 0);
        if let Some(sequence) = keeper {
            let name = name(sequence);
            let cut = || {
                let file = fs.open(&name)?;
                file.truncate(0)?;
                file.sync()
            };
            cut().map_err(failed(&format!("cut {name}")))?;
        }
        for sequence in &self.sequences {
            let name = name(*sequence);
            fs.remove(&name)
                .map_err(failed(&format!("remove {name}")))?;
        }
        Ok(!self.sequences.is_empty())
    }
}

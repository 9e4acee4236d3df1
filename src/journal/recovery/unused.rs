//! Files that hold no record, and what their numbers tell of positions that were given out all the same.
//!
//! A start that hands out positions writes them into a file with a higher number than all that it found. Where such a
//! file's records rot before another follows, it looks like a first write that never got whole; and where the checkpoint
//! is lost too, its number is all that still tells that a start lay between. So a number is at least as far from the last
//! segment's as its first position is in leaps.

use std::io;
use std::ops::Range;

use super::candidates::Candidate;
use super::{LEAP, failed};
use crate::journal::disk::filesystem::{File as _, FileSystem};
use crate::journal::engine::checkpoint::Synced;
use crate::journal::engine::quarantine;
use crate::journal::error::OpenError;
use crate::journal::format::record::Codec;
use crate::journal::format::scan;
use crate::journal::format::segment::{HEADER, name};

/// A bound on starts of which nothing is left.
const MOST_STARTS: u64 = 1 << 32;

/// Files to be removed.
pub struct Unused {
    /// The number of each.
    sequences: Vec<u64>,
    /// Those that were written to, and how many bytes.
    written: Vec<(u64, u64)>,
    /// The numbers from the oldest file to the newest that can have been written to, those that hold records among them.
    numbers: Range<u64>,
}

/// What a file without a header holds.
#[derive(Debug, Clone, Copy)]
struct Content {
    /// There are records in it, or there may be.
    holds: bool,
    /// There are, or the checkpoint says so.
    is_written: bool,
    /// Bytes up to the last that is not zero.
    garbage: u64,
}

/// Takes out what holds no record: a spare, or a first write that never got whole. The bytes of the latter.
///
/// A file that could not be read whole may hold records, and so may every file up to the one that the checkpoint knows
/// to be `synced`.
pub fn take_from<FS: FileSystem>(
    fs: &FS,
    codec: Codec,
    synced: Option<Synced>,
    candidates: &mut Vec<Candidate>,
) -> Result<(Unused, u64), OpenError> {
    let mut kept = Vec::with_capacity(candidates.len());
    let mut torn = 0;
    let mut unused = Unused {
        sequences: Vec::new(),
        written: Vec::new(),
        numbers: candidates.first().map_or(0, |first| first.sequence)
            ..candidates.last().map_or(0, |last| last.sequence + 1),
    };
    let is_synced =
        |candidate: &Candidate| synced.is_some_and(|synced| synced.sequence == candidate.sequence);
    let mut look = |candidate: &Candidate| {
        // Most are sound, and reading them all would make a slow start of a full journal.
        if candidate.header.is_ok() {
            return Ok(Content {
                holds: true,
                is_written: true,
                garbage: 0,
            });
        }
        let read = || {
            let file = candidate.open(fs)?;
            let view = candidate.view(&file, fs.page());
            let bytes = HEADER..candidate.length;
            let found = scan::find(&view, codec, bytes, &(0..u64::MAX))?;
            let garbage = scan::garbage(&view, 0, candidate.length)?;
            // What could not be read a moment ago, and is zeros to its end now, is as good as read at once.
            let unknown = !view.holes().is_empty() || (candidate.unreadable && garbage > 0);
            let is_written = found.is_some() || is_synced(candidate);
            io::Result::Ok(Content {
                holds: is_written || unknown,
                is_written,
                garbage,
            })
        };
        read().map_err(failed(&format!("read {}", name(candidate.sequence))))
    };
    let contents = candidates
        .iter()
        .map(&mut look)
        .collect::<Result<Vec<_>, OpenError>>()?;
    let last = contents.iter().rposition(|content| content.holds);
    for (index, mut candidate) in candidates.drain(..).enumerate() {
        if candidate.header.is_ok() {
            kept.push(candidate);
            continue;
        }
        let Content {
            holds,
            is_written,
            garbage,
        } = contents[index];
        candidate.may_be_spare = !is_written;
        let name = name(candidate.sequence);
        // Before what was written later, bytes that make no sense were once synced: damage, for the reader to set aside.
        let damaged = garbage > 0 && last.is_some_and(|last| index < last);
        if holds || damaged {
            tracing::error!(segment = name, "the segment's header is damaged");
            kept.push(candidate);
            continue;
        }
        torn += garbage;
        unused.sequences.push(candidate.sequence);
        if garbage > 0 {
            unused.written.push((candidate.sequence, garbage));
        }
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

    /// Removes the files, after those that were written to have got a second name as the copy of what is torn. Where
    /// `starts` lie behind the last segment, the newest file's number stays, with an empty file, until a start finds a newer
    /// one. Returns true if a name may be gone, and the files that stay because they could not get a second name.
    pub fn discard<FS: FileSystem>(
        mut self,
        fs: &FS,
        starts: u64,
    ) -> Result<(bool, Vec<u64>), OpenError> {
        self.sequences.sort_unstable();
        let keeper = self.sequences.last().copied().filter(|_| starts > 0);
        let mut leftovers = Vec::new();
        for sequence in &self.sequences {
            let name = name(*sequence);
            let written = self.written.iter().find(|(of, _)| of == sequence);
            let mut discard = || {
                if let Some((_, bytes)) = written
                    && !keep_torn(fs, *sequence, *bytes)
                {
                    leftovers.push(*sequence);
                    return Ok(());
                }
                if keeper != Some(*sequence) {
                    return fs.remove(&name);
                }
                if written.is_some() {
                    fs.remove(&name)?;
                    return fs.create(&name)?.sync();
                }
                let file = fs.open(&name)?;
                file.truncate(0)?;
                file.sync()
            };
            discard().map_err(failed(&format!("discard {name}")))?;
        }
        Ok((!self.sequences.is_empty(), leftovers))
    }
}

/// Gives the file a second name as a copy of what a torn first write has left; false where it must keep its own.
fn keep_torn<FS: FileSystem>(fs: &FS, sequence: u64, bytes: u64) -> bool {
    match quarantine::torn_file(fs, &name(sequence), sequence, bytes) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(segment = name(sequence), %error, "cannot keep a copy of a torn write: it stays where it is");
            false
        }
    }
}

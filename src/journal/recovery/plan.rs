//! Recovery's plan: what is on the disk, and what to do about it. Making it reads, and changes nothing.

use std::collections::VecDeque;
use std::ops::Range;

use super::candidates::Candidate;
use super::headerless::{self, Content};
use super::segments::Segments;
use super::unused::{Discard, Unused};
use super::{POSITION_STRIDE, identity};
use crate::journal::disk::filesystem::FileSystem;
use crate::journal::disk::zero_fill::Holes;
use crate::journal::engine::checkpoint::Checkpoint;
use crate::journal::engine::quarantine::CORRUPT_RUNBOOK;
use crate::journal::error::{OpenError, failed};
use crate::journal::format::record::Codec;
use crate::journal::format::segment::{Segment, name};

/// What the journal is, and what makes its files so.
pub(super) struct Plan<F> {
    pub(super) journal_id: [u8; 16],
    /// In this order.
    pub(super) actions: Vec<Action>,
    /// Oldest first; none of them takes records any more.
    pub(super) segments: VecDeque<Segment<F>>,
    /// The next position to be given out.
    pub(super) next: u64,
    /// The first position that is not published.
    pub(super) watermark: u64,
    /// The next file's number.
    pub(super) sequence: u64,
    /// Records that are gone with their segments, or cannot be identified.
    pub(super) missing_events: u64,
    /// Bytes that were never acknowledged.
    pub(super) torn_bytes: u64,
}

/// One change to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Copy this many bytes of a file of which nobody knows the journal.
    CopyUnidentified {
        sequence: u64,
        bytes: u64,
        holes: Holes,
    },
    /// Copy a torn write at the end of the last segment, then truncate the segment before it.
    CutTail {
        sequence: u64,
        torn: Range<u64>,
        /// False if the segment is set aside: its file must stay whole.
        truncates: bool,
    },
    /// Write the last batch again, except these holes, and sync it.
    Rewrite {
        sequence: u64,
        bytes: Range<u64>,
        holes: Holes,
    },
    /// Remove a file without records.
    Discard(Discard),
}

/// Plans the recovery of the journal in `fs` with the newest `checkpoint`. `fresh_id` becomes the journal's id if it has none
/// yet. The files must be synced: a plan trusts what it reads.
pub(super) fn make<FS: FileSystem>(
    fs: &FS,
    checkpoint: Option<Checkpoint>,
    mut candidates: Vec<Candidate>,
    fresh_id: [u8; 16],
) -> Result<Plan<FS::File>, OpenError> {
    let known_id = checkpoint.map(|last| last.journal_id);
    let found_id = identity::find(fs, known_id, &candidates)?;
    let journal_id = found_id.unwrap_or(fresh_id);
    identity::refuse_foreign(journal_id, &candidates)?;
    identity::refuse_contradictions(&candidates)?;
    let codec = Codec::new(&journal_id);
    let newest_file = candidates.last().map(|last| last.sequence);
    let synced = checkpoint.and_then(|last| last.synced);
    let unidentified = match found_id {
        None => identity::unidentified(fs, &candidates)?,
        Some(_) => Vec::new(),
    };
    let unidentified_events = unidentified.len() as u64;
    let mut actions = unidentified;

    let contents = contents(fs, codec, checkpoint, &candidates)?;
    let kinds = headerless::kinds(&contents);
    let (mut unused, torn_files) = Unused::take_from(&mut candidates, &contents, &kinds);
    let torn_files = if unidentified_events == 0 {
        torn_files
    } else {
        0
    };
    let planned = Segments::plan(fs, codec, checkpoint, &candidates)?;
    let (mut segments, torn_tail) = (planned.found, planned.torn);
    actions.extend(planned.actions);
    // A first write of which only the header reached the disk.
    let mut open_start = checkpoint.map_or(0, |last| last.open_start);
    while let Some((_, empty)) = segments.pop_back_if(|(_, segment)| segment.end == segment.first) {
        open_start = open_start.max(unused.push_begun(empty.sequence, empty.first));
    }
    let last = segments.back().map(|(_, segment)| segment.sequence);
    let opens = found_id.map_or(0, |_| unused.opens_after(last));
    actions.extend(unused.into_discards(opens).into_iter().map(Action::Discard));

    let first = segments.front().map_or(0, |(_, segment)| segment.first);
    let watermark = checkpoint.map_or(first, |last| last.watermark);
    let last_end = segments.back().map(|(_, segment)| segment.end);
    let end = last_end.unwrap_or(0);
    // A journal whose id was found has given out positions, though nothing may be left of them.
    let next = found_id.map_or(0, |_| {
        let known = end.max(watermark) + POSITION_STRIDE;
        // Without a segment, opens are counted from the checkpoint's figures, whose newest slot may be lost.
        let counted = last.map_or(end.max(watermark).max(open_start), |_| end);
        known
            .max(open_start + POSITION_STRIDE)
            .max(counted + POSITION_STRIDE * (1 + opens))
    });
    debug_assert!(end <= next && (found_id.is_none() || watermark < next));
    // The next file's number counts as many strides, in case its records are damaged and the checkpoint is lost.
    let strides = next.saturating_sub(end).div_ceil(POSITION_STRIDE);
    let sequence = last
        .map_or(0, |last| last + strides)
        .max(newest_file.map_or(0, |newest| newest + 1))
        // The checkpoint says how far one file was synced: no other file may get its number.
        .max(synced.map_or(0, |synced| synced.sequence + 1));

    let missing_events = Segments::<FS>::count_gone(&mut segments, watermark, checkpoint);
    if missing_events > 0 {
        tracing::error!(
            count = missing_events,
            hint = CORRUPT_RUNBOOK,
            "a segment with unpublished records is missing"
        );
    }
    Ok(Plan {
        journal_id,
        actions,
        segments: segments.into_iter().map(|(_, segment)| segment).collect(),
        next,
        watermark,
        sequence,
        missing_events: missing_events + unidentified_events,
        torn_bytes: torn_files + torn_tail,
    })
}

/// Reads the files without a sound header.
fn contents<FS: FileSystem>(
    fs: &FS,
    codec: Codec,
    checkpoint: Option<Checkpoint>,
    candidates: &[Candidate],
) -> Result<Vec<Content>, OpenError> {
    let read = |candidate: &Candidate| {
        let file = candidate.open(fs)?;
        let view = candidate.view(&file, fs.page());
        let (sequence, length) = (candidate.sequence, candidate.length);
        let content = Content::read(&view, codec, (sequence, length), checkpoint)?;
        let is_unused = checkpoint.is_some_and(|last| last.is_unused(sequence));
        Ok(if candidate.unreadable && !is_unused {
            content.with_unreadable_header()
        } else {
            content
        })
    };
    let content = |candidate: &Candidate| match candidate.header {
        Ok(_) => Ok(Content::SOUND),
        Err(_) => read(candidate).map_err(failed(&format!("read {}", name(candidate.sequence)))),
    };
    candidates.iter().map(content).collect()
}

//! What a start makes of the files that it finds.
//!
//! Everything is synced before anything is believed: what a killed process had written but not synced must not be
//! published and then vanish. The last batch is written anew for that: after a failed sync Linux takes its pages for
//! clean, and another sync says that all is well though nothing has reached the disk. Only headers are read, and the last segment to its end; what lies between is checked when
//! it is read. A tail is torn, and cut, only where nothing intact follows it.

pub(super) mod bounds;
mod candidates;
pub mod extent;
mod identity;
mod segments;
mod unused;

use std::io;

use super::disk::filesystem::{File as _, FileSystem};
use super::engine::checkpoint::CheckpointFile;
use super::engine::state::State;
use super::error::OpenError;
use super::format::record::Codec;
use super::format::segment::set_aside_sequence;
use segments::Plan;

/// Each start leaves this many positions unused, more than a queue can hold: a record that was never synced, or has
/// rotted, must not lend its position to another. It counts from the start before as well, since nothing may be left of
/// what that one wrote.
pub const LEAP: u64 = 1 << 20;

/// What recovery found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The journal's id, made once: 32 hex digits.
    pub journal_id: String,
    /// The first position that is still to be published.
    pub resume_at: u64,
    /// Records that are still to be published, as far as headers tell; damage among them is found when they are read.
    pub recovered_events: u64,
    /// Records of segments that are gone, or cannot be read any more, though they were not published.
    pub missing_events: u64,
    /// Bytes cut from the tail that were never acknowledged.
    pub torn_bytes: u64,
}

/// A recovered journal, not yet running.
pub struct Recovered<FS: FileSystem> {
    /// The journal's id.
    pub journal_id: [u8; 16],
    /// All segments, none of them active.
    pub state: State<FS::File>,
    /// The open checkpoint.
    pub checkpoint: CheckpointFile<FS::File>,
    /// Files without a record that keep their names and their room, because no copy of what a torn write left in them could
    /// be made.
    pub leftovers: Vec<u64>,
    /// For the log and the metrics.
    pub recovery: Recovery,
}

/// Reads the folder. `fresh_id` is the journal's id if there is none yet.
pub fn recover<FS: FileSystem>(fs: &FS, fresh_id: [u8; 16]) -> Result<Recovered<FS>, OpenError> {
    fs.sync_directory().map_err(failed("sync the folder"))?;
    let checkpoint = CheckpointFile::read(fs).map_err(failed("read the checkpoint"))?;
    let mut candidates = candidates::find(fs)?;
    let known_id = checkpoint.as_ref().map(|(_, last)| last.journal_id);
    let found_id = identity::find(fs, known_id, &candidates)?;
    let journal_id = found_id.unwrap_or(fresh_id);
    identity::refuse_foreign(journal_id, &candidates)?;
    let codec = Codec::new(&journal_id);
    let sequence = candidates.last().map_or(0, |last| last.sequence + 1);
    // Where no file is left, the checkpoint may still tell how far one was synced: that must not be said of another file.
    let told = checkpoint.as_ref().and_then(|(_, last)| last.synced);
    let sequence = sequence.max(told.map_or(0, |synced| synced.sequence + 1));
    let unidentified = match found_id {
        None => identity::set_aside(fs, &candidates)?,
        Some(_) => 0,
    };
    let plan = Plan::new(fs, codec, checkpoint.as_ref().map(|(_, last)| last));
    let (mut unused, torn_files) = unused::take_from(fs, codec, plan.synced, &mut candidates)?;
    let torn_files = if unidentified > 0 { 0 } else { torn_files };
    let (mut segments, torn_tail) = plan.segments(&candidates)?;
    // A first write that got its header to disk and no record.
    let mut begun_at = checkpoint.as_ref().map_or(0, |(_, last)| last.begun_at);
    while let Some((_, empty)) = segments.pop_back_if(|(_, segment)| segment.end == segment.first) {
        begun_at = begun_at.max(unused.push_begun(empty.sequence, empty.first));
    }
    let last = segments.back().map(|(_, segment)| segment.sequence);
    let starts = found_id.map_or(0, |_| unused.starts_behind(last));
    let (discarded, leftovers) = unused.discard(fs, starts)?;

    let first = segments.front().map_or(0, |segment| segment.1.first);
    let watermark = checkpoint
        .as_ref()
        .map_or(first, |(_, checkpoint)| checkpoint.watermark);
    let end = segments.back().map_or(0, |(_, segment)| segment.end);
    // An id that was found has had positions, though nothing may be left of them.
    let next = found_id.map_or(0, |_| {
        let known = end.max(watermark) + LEAP;
        // Without a segment, starts are counted from what the checkpoint tells, whose newest slot may be lost.
        let counted = last.map_or(end.max(watermark).max(begun_at), |_| end);
        known
            .max(begun_at + LEAP)
            .max(counted + LEAP * (1 + starts))
    });
    // The next file's number tells as many leaps, should the records under it rot and the checkpoint be lost.
    let claimed = last.map_or(0, |last| last + next.saturating_sub(end).div_ceil(LEAP));
    let sequence = sequence.max(claimed);
    let checkpoint_read = checkpoint.as_ref().map(|(_, last)| *last);
    let checkpoint = match checkpoint {
        Some((file, last)) => CheckpointFile::resume(file, last, next),
        None => CheckpointFile::create(fs, journal_id, watermark, next),
    }
    .map_err(failed("write the checkpoint"))?;
    // The oldest segment says where the one before it ended; what lies between that and the watermark is gone.
    let missing_events = segments.front().map_or(0, |(previous_end, _)| {
        bounds::missing_between(watermark, *previous_end)
    });
    let neighbours = segments.iter().zip(segments.iter().skip(1));
    let missing_events = missing_events
        + neighbours
            .map(|((_, before), (previous_end, _))| {
                bounds::missing_between(before.end.max(watermark), *previous_end)
            })
            .sum::<u64>();
    let synced = plan.synced.filter(|synced| Some(synced.sequence) > last);
    let newest = synced.zip(checkpoint_read).map(|(synced, read)| {
        let end = segments.back().map(|(_, segment)| segment.end);
        bounds::missing_newest(&read, &synced, end)
    });
    let missing_events = missing_events + newest.map_or(0, |gone| gone.end - gone.start);
    if missing_events > 0 {
        tracing::error!(
            count = missing_events,
            "a segment with unpublished records is missing"
        );
    }
    let missing_events = missing_events + unidentified;
    if discarded {
        fs.sync_directory().map_err(failed("sync the folder"))?;
    }
    let segments = segments.into_iter().map(|(_, segment)| segment).collect();
    let mut state = State::new(segments, next, watermark, sequence);
    state.set_aside_bytes = set_aside_bytes(fs).map_err(failed("list the folder"))?;
    let recovery = Recovery {
        journal_id: hex::encode(journal_id),
        resume_at: state.watermark,
        recovered_events: state.unpublished() + missing_events,
        missing_events,
        torn_bytes: torn_files + torn_tail,
    };
    Ok(Recovered {
        journal_id,
        state,
        checkpoint,
        leftovers,
        recovery,
    })
}

/// Bytes of the segments that are set aside beside the journal.
pub(super) fn set_aside_bytes(fs: &impl FileSystem) -> io::Result<u64> {
    let mut bytes = 0;
    for name in fs.list()? {
        if set_aside_sequence(&name).is_some() {
            match fs.open(&name).and_then(|file| file.length()) {
                Ok(length) => bytes += length,
                // Somebody has taken it away since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

fn failed(operation: &str) -> impl Fn(io::Error) -> OpenError + use<> {
    let operation = operation.to_owned();
    move |source| OpenError::Io {
        operation: operation.clone(),
        source,
    }
}

//! Opens the files that an earlier process has left.
//!
//! Recovery syncs every file before trusting it: bytes that a killed process wrote but never synced must not be published and
//! then lost. It writes the last batch again for the same reason: after a failed sync Linux takes the pages for clean, and
//! another sync succeeds though they never reached the disk.
//!
//! It reads only the headers, and the last segment from the end that the checkpoint knows; the reader checks the rest. A tail
//! is torn, and truncated, only if nothing intact follows it. What cannot be read does not delay an open: its segment gets
//! bounds instead, and the reader resolves it.
//!
//! `plan` reads the files and decides; `apply` changes them.

mod apply;
pub(super) mod bounds;
mod candidates;
pub mod extent;
pub(super) mod headerless;
mod identity;
mod plan;
mod segments;
mod unused;

use std::io;

use super::disk::filesystem::{File as _, FileSystem};
use super::engine::checkpoint::CheckpointFile;
use super::engine::state::State;
use super::error::{OpenError, failed};
use super::format::segment::set_aside_sequence;

/// Positions skipped on every open. More than the append queue holds, so a record that was never synced, or was damaged later,
/// never shares its position with a new one. Counted from the previous open's first position too, of which nothing may be
/// left.
pub const POSITION_STRIDE: u64 = 1 << 20;

/// What recovery found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The journal's id: 32 hex digits.
    pub journal_id: String,
    /// The first position that is still to be published.
    pub resume_at: u64,
    /// Records that are still to be published, according to the headers. The reader finds damage among them.
    pub recovered_events: u64,
    /// Unpublished records whose segments are gone or cannot be identified.
    pub missing_events: u64,
    /// Bytes of torn writes, which were never acknowledged.
    pub torn_bytes: u64,
}

/// A recovered journal, which does not run yet.
pub struct Recovered<FS: FileSystem> {
    pub(super) journal_id: [u8; 16],
    /// All segments. None takes records.
    pub state: State<FS::File>,
    pub(super) checkpoint: CheckpointFile<FS::File>,
    /// Files without a record that keep their names and their room, because their torn writes could not be copied.
    pub(super) leftovers: Vec<u64>,
    /// For the log and the metrics.
    pub recovery: Recovery,
}

/// Recovers the journal in `fs`. `fresh_id` becomes its id if it has none yet.
pub fn recover<FS: FileSystem>(fs: &FS, fresh_id: [u8; 16]) -> Result<Recovered<FS>, OpenError> {
    fs.sync_directory().map_err(failed("sync the folder"))?;
    let checkpoint = CheckpointFile::read(fs).map_err(failed("read the checkpoint"))?;
    let candidates = candidates::sync_and_read(fs)?;
    let last = checkpoint.as_ref().map(|(_, last)| *last);
    let plan = plan::make(fs, last, candidates, fresh_id)?;
    let applied = apply::apply(fs, &plan, checkpoint)?;
    let mut state = State::new(plan.segments, plan.next, plan.watermark, plan.sequence);
    state.set_aside_bytes = set_aside_bytes(fs).map_err(failed("list the folder"))?;
    let recovery = Recovery {
        journal_id: hex::encode(plan.journal_id),
        resume_at: state.watermark,
        recovered_events: state.unpublished() + plan.missing_events,
        missing_events: plan.missing_events,
        torn_bytes: plan.torn_bytes,
    };
    Ok(Recovered {
        journal_id: plan.journal_id,
        state,
        checkpoint: applied.checkpoint,
        leftovers: applied.leftovers,
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
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

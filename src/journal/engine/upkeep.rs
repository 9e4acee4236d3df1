//! The work behind the commits: the spare segment, the checkpoint, the removal of what is published.
//!
//! Synchronous and single-stepped. A thread calls [`Upkeep::step`] when there is work.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::capacity::{Capacity, MEASURE_INTERVAL};
use super::checkpoint::{CheckpointFile, Synced};
use super::quarantine;
use super::reclaim::{ObsoleteSegments, SpaceReclaimer};
use super::state::{Head, Spare, SpareFile, State};
use crate::journal::disk::filesystem::{File as _, FileSystem, is_full};
use crate::journal::format::segment::name;
use crate::journal::recovery::set_aside_bytes;

/// Makes segments, writes checkpoints and removes what is published.
pub struct Upkeep<FS: FileSystem> {
    engine: Arc<Engine<FS>>,
    checkpoint: CheckpointFile<FS::File>,
    obsolete: ObsoleteSegments,
    reclaimer: SpaceReclaimer<FS::File>,
    /// Files without a record that recovery kept, because it could not copy the torn write in them.
    leftovers: Vec<u64>,
    capacity: Capacity,
    /// The writer has ended.
    closed: bool,
}

/// An operation that failed, and its error.
type Failed = (&'static str, io::Error);

impl<FS: FileSystem> Upkeep<FS> {
    /// Continues from the checkpoint that recovery read or made, with the files that it kept.
    pub(in crate::journal) fn new(
        engine: Arc<Engine<FS>>,
        checkpoint: CheckpointFile<FS::File>,
        leftovers: Vec<u64>,
    ) -> Self {
        Self {
            capacity: Capacity::new(engine.admission.budget()),
            engine,
            checkpoint,
            obsolete: ObsoleteSegments::default(),
            reclaimer: SpaceReclaimer::new(),
            leftovers,
            closed: false,
        }
    }

    /// True if [`Upkeep::step`] has work that cannot wait: a spare to make, or room to make for it.
    pub fn is_due(&self, state: &State<FS::File>) -> bool {
        let needs_spare = match state.spare {
            Spare::Missing => true,
            // The writer wants a larger one, and is not just beginning this one.
            Spare::Ready(_) => state.wanted.is_some() && !state.head.is_committing(),
            Spare::NoRoom => false,
        };
        (state.lacks_removable_room() || needs_spare) && !self.engine.admission.is_poisoned()
    }

    /// True if a step is worth its syncs after a pause: the watermark has moved, a segment can be removed, or the disk or the
    /// budget may have room again. Each sync of the folder delays the writer's, so segments are removed together.
    pub fn is_behind(&self, state: &State<FS::File>) -> bool {
        let last = self.checkpoint.last();
        let moved = state.watermark != last.watermark || self.synced(state) != last.synced;
        let removes = state.has_removable() || !self.obsolete.is_empty();
        // An operator may remove segments that are set aside.
        let recounts = state.set_aside_bytes > 0;
        let is_short = state.is_disk_full() || self.capacity.is_short(&self.engine.admission);
        (moved || removes || recounts || is_short) && !self.engine.admission.is_poisoned()
    }

    /// True if a step is worth it after so long a rest, only to measure the room of the volume.
    pub(in crate::journal) fn must_measure(&self, rest: Duration) -> bool {
        rest >= MEASURE_INTERVAL && !self.engine.admission.is_poisoned()
    }

    /// How long [`Upkeep::reclaim`] may wait; `None` if it has nothing to do.
    pub fn reclaim_pause(&self) -> Option<Duration> {
        self.reclaimer.pause()
    }

    /// Frees one chunk of the space that removed segments still hold.
    pub fn reclaim(&mut self) {
        self.reclaimer.step();
    }

    /// Removes what is published, makes the spare, which may need the room, and measures how much room is left.
    pub fn step(&mut self) {
        if let Err((operation, error)) = self.remove_published() {
            self.engine.poison(operation, &error);
            return;
        }
        if self.engine.admission.is_poisoned() {
            return;
        }
        if let Err((operation, error)) = self.prepare_spare() {
            self.engine.poison(operation, &error);
        }
        // What removed files still hold is free in a moment; counted early, it would promise room that there is not.
        let own = self.engine.lock().reserved_bytes();
        self.capacity.measure(&self.engine, own);
    }

    /// Writes and syncs a checkpoint if the watermark has moved. A poisoned journal writes it too, unless the checkpoint's
    /// own file failed.
    pub fn checkpoint(&mut self) -> io::Result<()> {
        let state = self.engine.lock();
        let watermark = state.watermark;
        let synced = self.synced(&state);
        drop(state);
        let last = self.checkpoint.last();
        if watermark == last.watermark && synced == last.synced {
            return Ok(());
        }
        self.checkpoint.write(watermark, synced)
    }

    /// Writes the last checkpoint, after the writer has ended.
    pub fn close(&mut self) -> io::Result<()> {
        self.closed = true;
        self.checkpoint()
    }

    /// How far the newest segment is synced, for the checkpoint.
    fn synced(&self, state: &State<FS::File>) -> Option<Synced> {
        let last = self.checkpoint.last().synced;
        // A segment that recovery could not read whole may hold more than is known: the last checkpoint stays right.
        let Some(synced) = state.synced() else {
            return last;
        };
        let with = |closed| Synced { closed, ..synced };
        // Nothing is ever written to a segment again after its journal was closed.
        let was_closed = last == Some(with(true));
        Some(with(self.closed || was_closed))
    }

    /// The watermark of the last checkpoint that was written and synced.
    pub fn checkpointed(&self) -> u64 {
        self.checkpoint.last().watermark
    }

    fn remove_published(&mut self) -> Result<(), Failed> {
        self.checkpoint()
            .map_err(|error| ("write the checkpoint", error))?;
        let checkpointed = self.checkpointed();
        self.count_set_aside();
        let removable = self.engine.lock().take_removable(checkpointed);
        let removable = removable.iter().map(|segment| segment.sequence);
        self.obsolete.extend(removable);
        if self.obsolete.is_empty() {
            return Ok(());
        }
        let removed = self.obsolete.remove(&self.engine.fs);
        if removed.names == 0 {
            return Ok(());
        }
        self.sync_directory()?;
        // An inspection goes on reading what it has opened; the space is free when it closes the file.
        if !self.engine.fs.is_looked_into().unwrap_or(true) {
            for (file, length) in removed.files {
                self.reclaimer.add(Arc::new(file), length);
            }
        }
        self.engine.publish_room(&self.engine.lock());
        Ok(())
    }

    fn count_set_aside(&self) {
        if self.engine.lock().set_aside_bytes == 0 {
            return;
        }
        // If the folder cannot be listed now, the last total stays.
        if let Ok(bytes) = set_aside_bytes(&self.engine.fs) {
            let mut state = self.engine.lock();
            state.set_aside_bytes = bytes;
            self.engine.publish_room(&state);
        }
    }

    /// Makes the spare, or a larger one if the writer wants that, and reports the result to the writer.
    fn prepare_spare(&mut self) -> Result<(), Failed> {
        let mut state = self.engine.lock();
        let capacity = state.wanted.unwrap_or(0).max(self.engine.segment_size);
        if let Spare::Ready(spare) = &state.spare {
            if spare.capacity >= capacity {
                state.wanted = None;
                drop(state);
                self.engine.segment_made.notify_all();
                return Ok(());
            }
            // The writer may be beginning this spare: only an idle one may be replaced.
            if state.head.is_committing() {
                return Ok(());
            }
            let small = name(spare.sequence);
            state.spare = Spare::Missing;
            drop(state);
            self.remove_unused(&small);
        } else {
            drop(state);
        }
        let mut sequence = self.next_sequence();
        let mut made = self.make(sequence, capacity);
        if made.as_ref().is_err_and(|(_, error)| is_full(error)) && self.make_room() {
            self.remove_unused(&name(sequence));
            // Under another name, because a full disk may refuse even to remove the first one.
            sequence = self.next_sequence();
            made = self.make(sequence, capacity);
        }
        match made {
            Ok(file) => {
                let mut state = self.engine.lock();
                if state.is_disk_full() {
                    tracing::info!("the disk has room for the journal's next segment again");
                }
                state.wanted = None;
                state.spare = Spare::Ready(SpareFile {
                    sequence,
                    capacity,
                    file: Arc::new(file),
                });
                self.engine.publish_room(&state);
            }
            Err((_, error)) if is_full(&error) => {
                self.remove_unused(&name(sequence));
                self.disk_is_full(&error);
            }
            Err(failed) => return Err(failed),
        }
        self.engine.segment_made.notify_all();
        Ok(())
    }

    fn next_sequence(&self) -> u64 {
        let mut state = self.engine.lock();
        state.sequence += 1;
        state.sequence - 1
    }

    /// Frees what removed segments still hold, and copies of writes that were never acknowledged; true if there were any.
    fn make_room(&mut self) -> bool {
        let freed = self.reclaimer.is_pending();
        self.reclaimer.free_all();
        let freed = freed | self.empty_leftovers();
        // A copy that cannot be removed does no harm.
        freed | quarantine::remove_torn(&self.engine.fs).unwrap_or(false)
    }

    /// Empties the files that recovery kept: on a full disk new events are worth more than torn writes that were never
    /// acknowledged. The files keep their numbers; the next open removes them.
    fn empty_leftovers(&mut self) -> bool {
        let before = self.leftovers.len();
        let fs = &self.engine.fs;
        self.leftovers.retain(|sequence| {
            let emptied = fs.open(&name(*sequence)).and_then(|file| file.truncate(0));
            if let Err(error) = emptied {
                return error.kind() != io::ErrorKind::NotFound;
            }
            tracing::warn!(
                segment = name(*sequence),
                "the disk is full: gave up a torn write that could not be copied"
            );
            false
        });
        self.leftovers.len() < before
    }

    fn make(&self, sequence: u64, capacity: u64) -> Result<FS::File, Failed> {
        let file = self
            .engine
            .fs
            .create(&name(sequence))
            .map_err(|error| ("create a segment", error))?;
        file.allocate(capacity)
            .map_err(|error| ("reserve a segment", error))?;
        file.sync()
            .map_err(|error| ("sync a reserved segment", error))?;
        self.sync_directory()?;
        Ok(file)
    }

    fn sync_directory(&self) -> Result<(), Failed> {
        let synced = self.engine.fs.sync_directory();
        synced.map_err(|error| ("sync the journal's folder", error))
    }

    /// Refuses what has no room. If the open segment is fully published, it is given up: it may be all the room there is.
    fn disk_is_full(&self, error: &io::Error) {
        let mut state = self.engine.lock();
        if !state.is_disk_full() {
            tracing::error!(
                %error,
                "the disk has no room for the journal's next segment: appends that do not fit into the present one are refused"
            );
        }
        debug_assert!(
            !matches!(state.spare, Spare::Ready(_)),
            "a spare would be lost"
        );
        state.spare = Spare::NoRoom;
        state.wanted = None;
        if state.head == Head::Open && state.watermark == state.tail() {
            state.seal();
        }
        self.engine.publish_room(&state);
    }

    fn remove_unused(&self, name: &str) {
        if let Err(error) = self.engine.fs.remove(name)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(segment = name, %error, "cannot remove an unused segment");
        }
    }
}

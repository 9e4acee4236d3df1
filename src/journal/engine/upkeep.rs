//! What happens behind the commits: the spare segment, the checkpoint, the removal of what is published.
//!
//! Synchronous and single-stepped; a thread calls [`Maintenance::step`] when there is work.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::checkpoint::{CheckpointFile, Synced};
use super::obsolete::Leaving;
use super::quarantine;
use super::reclaim::Freeing;
use super::state::{Spare, State};
use crate::journal::disk::filesystem::{File as _, FileSystem, is_full};
use crate::journal::format::segment::name;
use crate::journal::recovery::set_aside_bytes;

/// Does the journal's housekeeping.
pub struct Maintenance<FS: FileSystem> {
    shared: Arc<Shared<FS>>,
    checkpoint: CheckpointFile<FS::File>,
    leaving: Leaving,
    freeing: Freeing<FS::File>,
    /// Files without a record that recovery could not let go of, for want of a copy of what a torn write left in them.
    leftovers: Vec<u64>,
    /// Nothing is written any more.
    closed: bool,
}

impl<FS: FileSystem> Maintenance<FS> {
    /// Goes on from the checkpoint that recovery read or made, and with the files that it could not let go of.
    pub fn new(
        shared: Arc<Shared<FS>>,
        checkpoint: CheckpointFile<FS::File>,
        leftovers: Vec<u64>,
    ) -> Self {
        Self {
            shared,
            checkpoint,
            leaving: Leaving::new(),
            freeing: Freeing::new(),
            leftovers,
            closed: false,
        }
    }

    /// True where [`Maintenance::step`] has something to do at once: a spare to make, or room to give to it.
    pub fn is_due(&self, state: &State<FS::File>) -> bool {
        let spare = !state.disk_full && (state.spare.is_none() || state.wanted.is_some());
        // While the writer activates the spare, it is neither there nor to be replaced.
        let spare = spare && !(state.writing && state.spare.is_some());
        (state.lacks_removable_room() || spare) && !self.shared.gate.is_poisoned()
    }

    /// True where a step is worth its syncs after a pause: the watermark moved, a segment can go, the disk may have room
    /// again. Each sync of the folder holds up the writer's, so that segments leave together.
    pub fn is_behind(&self, state: &State<FS::File>) -> bool {
        let last = self.checkpoint.last();
        let moved = state.watermark != last.watermark || self.synced(state) != last.synced;
        let leaves = state.has_removable() || !self.leaving.is_empty();
        // Somebody may take away what is set aside, or publish it.
        let leaves = leaves || state.set_aside_bytes > 0;
        (moved || leaves || state.disk_full) && !self.shared.gate.is_poisoned()
    }

    /// How long [`Maintenance::free`] may wait, where it has something to do.
    pub fn freeing(&self) -> Option<Duration> {
        self.freeing.pause()
    }

    /// Gives a piece of what removed segments still hold back to the disk.
    pub fn free(&mut self) {
        self.freeing.step();
    }

    /// Removes what is published, then makes the spare. Room that the first gives is the second's.
    pub fn step(&mut self) {
        if let Err((operation, error)) = self.clean() {
            self.shared.poison(operation, &error);
            return;
        }
        if self.shared.gate.is_poisoned() {
            return;
        }
        if let Err((operation, error)) = self.prepare() {
            self.shared.poison(operation, &error);
        }
    }

    /// Writes and syncs a checkpoint where the watermark has moved, also on a poisoned journal: its own file is sound
    /// unless it was what failed.
    pub fn checkpoint(&mut self) -> io::Result<()> {
        let state = self.shared.lock();
        let watermark = state.watermark;
        let synced = self.synced(&state);
        drop(state);
        let last = self.checkpoint.last();
        if watermark == last.watermark && synced == last.synced {
            return Ok(());
        }
        self.checkpoint.write(watermark, synced)
    }

    /// The last checkpoint of a journal to which nothing is written any more; as [`Maintenance::checkpoint`].
    pub fn close(&mut self) -> io::Result<()> {
        self.closed = true;
        self.checkpoint()
    }

    /// How far the newest segment is synced. One that was not read whole at the start may hold more than is known, and
    /// nothing newer is known either.
    fn synced(&self, state: &State<FS::File>) -> Option<Synced> {
        let last = self.checkpoint.last().synced;
        let Some(synced) = state.synced() else {
            return last;
        };
        let with = |closed| Synced { closed, ..synced };
        // Nothing is ever written to a segment that was closed.
        let was_closed = last == Some(with(true));
        Some(with(self.closed || was_closed))
    }

    /// The watermark of the last checkpoint that was written and synced.
    pub fn checkpointed(&self) -> u64 {
        self.checkpoint.last().watermark
    }

    fn clean(&mut self) -> Result<(), (&'static str, io::Error)> {
        self.checkpoint()
            .map_err(|error| ("write the checkpoint", error))?;
        let checkpointed = self.checkpoint.last().watermark;
        self.count_set_aside();
        let removable = self.shared.lock().removable(checkpointed);
        let removable = removable.iter().map(|segment| segment.sequence);
        self.leaving.extend(removable);
        if self.leaving.is_empty() {
            return Ok(());
        }
        let removed = self.leaving.remove(&self.shared.fs);
        if removed.names == 0 {
            return Ok(());
        }
        self.shared
            .fs
            .sync_directory()
            .map_err(|error| ("sync the journal's folder", error))?;
        // Whoever looks goes on reading; the space is free when the last one has closed it.
        if !self.shared.fs.is_looked_into().unwrap_or(true) {
            for (file, length) in removed.files {
                self.freeing.add(Arc::new(file), length);
            }
        }
        self.shared.publish_room(&self.shared.lock());
        Ok(())
    }

    fn count_set_aside(&self) {
        if self.shared.lock().set_aside_bytes == 0 {
            return;
        }
        // What cannot be counted now is as it was.
        if let Ok(bytes) = set_aside_bytes(&self.shared.fs) {
            let mut state = self.shared.lock();
            state.set_aside_bytes = bytes;
            self.shared.publish_room(&state);
        }
    }

    fn prepare(&mut self) -> Result<(), (&'static str, io::Error)> {
        let (sequence, capacity) = {
            let mut state = self.shared.lock();
            let capacity = state.wanted.unwrap_or(0).max(self.shared.segment_size);
            let fits = state
                .spare
                .as_ref()
                .is_some_and(|spare| spare.capacity >= capacity);
            if fits {
                state.wanted = None;
                drop(state);
                self.shared.segment_made.notify_all();
                return Ok(());
            }
            // A spare that the writer is activating is no longer a spare; only an idle one may be replaced.
            if state.writing && state.spare.is_some() {
                return Ok(());
            }
            if let Some(spare) = state.spare.take() {
                let small = name(spare.sequence);
                drop(state);
                self.remove_quietly(&small);
                state = self.shared.lock();
            }
            state.sequence += 1;
            (state.sequence - 1, capacity)
        };
        let mut sequence = sequence;
        let mut made = self.make(sequence, capacity);
        if made.as_ref().is_err_and(|(_, error)| is_full(error)) && self.make_room() {
            self.remove_quietly(&name(sequence));
            // Another name: a full disk may not even let go of the one.
            let mut state = self.shared.lock();
            sequence = state.sequence;
            state.sequence += 1;
            drop(state);
            made = self.make(sequence, capacity);
        }
        match made {
            Ok(file) => {
                let mut state = self.shared.lock();
                if state.disk_full {
                    tracing::info!("there is room for the journal's next segment again");
                }
                state.disk_full = false;
                state.wanted = None;
                state.spare = Some(Spare {
                    sequence,
                    capacity,
                    file: Arc::new(file),
                });
                self.shared.publish_room(&state);
            }
            Err((_, error)) if is_full(&error) => {
                self.remove_quietly(&name(sequence));
                self.disk_is_full(&error);
            }
            Err(failed) => return Err(failed),
        }
        self.shared.segment_made.notify_all();
        Ok(())
    }

    /// Gives back at once what removed segments still hold, and copies of what was never acknowledged; true if there was any.
    fn make_room(&mut self) -> bool {
        let freed = self.freeing.is_under_way();
        self.freeing.finish();
        let freed = freed | self.cut_leftovers();
        // A copy that stays is no worse than before.
        freed | quarantine::forget_torn(&self.shared.fs, 0).unwrap_or(false)
    }

    /// On a full disk new events are worth more than the rest of a write that was never acknowledged: so are those of it that
    /// have no second name as those that have one. The files keep their numbers; the next start removes them.
    fn cut_leftovers(&mut self) -> bool {
        let before = self.leftovers.len();
        let fs = &self.shared.fs;
        self.leftovers.retain(|sequence| {
            let cut = fs.open(&name(*sequence)).and_then(|file| file.truncate(0));
            if let Err(error) = cut {
                return error.kind() != io::ErrorKind::NotFound;
            }
            tracing::warn!(
                segment = name(*sequence),
                "the disk is full: a torn write of which no copy could be made is given up"
            );
            false
        });
        self.leftovers.len() < before
    }

    fn make(&self, sequence: u64, capacity: u64) -> Result<FS::File, (&'static str, io::Error)> {
        let file = self
            .shared
            .fs
            .create(&name(sequence))
            .map_err(|error| ("create a segment", error))?;
        file.allocate(capacity)
            .map_err(|error| ("reserve a segment", error))?;
        file.sync()
            .map_err(|error| ("sync a reserved segment", error))?;
        self.shared
            .fs
            .sync_directory()
            .map_err(|error| ("sync the journal's folder", error))?;
        Ok(file)
    }

    /// Refuses what has no room. A fully published active segment is given up, which may be all the room there is.
    fn disk_is_full(&self, error: &io::Error) {
        let mut state = self.shared.lock();
        if !state.disk_full {
            tracing::error!(%error, "no room for the journal's next segment: refusing what the active one has no room for");
        }
        state.disk_full = true;
        state.wanted = None;
        let published = state.active && !state.writing && state.watermark == state.tail();
        if published {
            state.seal();
        }
        self.shared.publish_room(&state);
    }

    fn remove_quietly(&self, name: &str) {
        if let Err(error) = self.shared.fs.remove(name)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(segment = name, %error, "cannot remove an unused segment");
        }
    }
}

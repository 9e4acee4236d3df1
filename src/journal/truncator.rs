//! Publish's handle for what is done: it advances the watermark, and what lies before it is removed.

use std::io;
use std::ops::RangeToInclusive;
use std::sync::Arc;
use std::time::Instant;

use super::disk::filesystem::FileSystem;
use super::disk::real::DiskFileSystem;
use super::engine::Engine;
use super::memory::Memory;
use super::threads::Threads;

/// Advances the watermark. On disk the checkpoint and the removal of segments follow in the background.
pub struct Truncator<FS: FileSystem = DiskFileSystem>(Store<FS>);

enum Store<FS: FileSystem> {
    Disk {
        engine: Arc<Engine<FS>>,
        /// `None` if the caller steps the commit loop and the upkeep itself.
        threads: Option<Threads>,
    },
    Memory(Arc<Memory>),
}

impl<FS: FileSystem> Truncator<FS> {
    pub(super) fn new(engine: Arc<Engine<FS>>, threads: Threads) -> Self {
        let threads = Some(threads);
        Self(Store::Disk { engine, threads })
    }

    /// For a simulator, which steps the commit loop and the upkeep, and ends them, itself.
    pub fn without_threads(engine: Arc<Engine<FS>>) -> Self {
        let threads = None;
        Self(Store::Disk { engine, threads })
    }

    pub(super) fn in_memory(memory: Arc<Memory>) -> Self {
        Self(Store::Memory(memory))
    }

    /// Kafka has acknowledged the record at this position, or it is a durable dead letter. In memory this answers its waiter; on
    /// disk its sync has done so, and the watermark is all that counts.
    pub fn acknowledge(&self, position: u64) {
        if let Store::Memory(memory) = &self.0 {
            memory.acknowledge(position);
        }
    }

    /// The record at this position can neither be published nor dead-lettered. In memory this answers its waiter; a journal on
    /// disk has files for dead letters and refuses none.
    pub fn refuse(&self, position: u64) {
        match &self.0 {
            Store::Disk { .. } => debug_assert!(false, "an acknowledged record is refused"),
            Store::Memory(memory) => memory.refuse(position),
        }
    }

    /// Until when the sender of the record at this position waits for its acknowledgement. `None` on disk, where none does, and for
    /// a record that is done.
    pub fn deadline(&self, position: u64) -> Option<Instant> {
        match &self.0 {
            Store::Disk { .. } => None,
            Store::Memory(memory) => memory.deadline(position),
        }
    }

    /// In memory: the record at this position is on its way to the topic of dead letters. The watermark may pass it, and
    /// [`Truncator::acknowledge`] or [`Truncator::refuse`] follows.
    pub fn detach(&self, position: u64) {
        match &self.0 {
            Store::Disk { .. } => debug_assert!(false, "on disk the watermark waits for it"),
            Store::Memory(memory) => memory.detach(position),
        }
    }

    /// Marks every position up to and including this one as done: published, durably dead-lettered, or refused in memory. Does
    /// no I/O.
    pub fn truncate(&self, upto: RangeToInclusive<u64>) {
        let engine = match &self.0 {
            Store::Disk { engine, .. } => engine,
            Store::Memory(memory) => return memory.truncate(upto.end),
        };
        let mut state = engine.lock();
        state.advance(upto.end.saturating_add(1));
        state.sample(engine.fs.now_ms());
        engine.publish_room(&state);
        // On a full disk the room is needed now; otherwise the upkeep comes at its own pace.
        if state.lacks_removable_room() {
            engine.work.notify_all();
        }
    }

    /// Sets the total bytes of dead letters, which lie beside the journal and count against its budget.
    pub fn set_dead_letter_bytes(&self, bytes: u64) {
        match &self.0 {
            Store::Disk { engine, .. } => {
                let mut state = engine.lock();
                state.dead_letter_bytes = bytes;
                engine.publish_room(&state);
            }
            Store::Memory(_) => debug_assert_eq!(bytes, 0, "there are no files beside memory"),
        }
    }

    /// Records that are neither published nor dead-lettered nor known to be lost.
    pub fn unpublished(&self) -> u64 {
        match &self.0 {
            Store::Disk { engine, .. } => engine.lock().unpublished(),
            Store::Memory(memory) => memory.pending(),
        }
    }

    /// Accepts no further appends. On disk it waits until all queued records are written, then writes and syncs a last
    /// checkpoint; in memory it answers everyone who still waits that there is no acknowledgement.
    pub fn close(self) -> io::Result<()> {
        match self.0 {
            Store::Disk {
                engine,
                threads: Some(threads),
            } => threads.close(&engine),
            Store::Disk { threads: None, .. } => Ok(()),
            Store::Memory(memory) => {
                memory.close();
                Ok(())
            }
        }
    }
}

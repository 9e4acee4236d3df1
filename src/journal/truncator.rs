//! Publish's handle for what is done: it advances the watermark, and the upkeep removes what lies before it.

use std::io;
use std::ops::RangeToInclusive;
use std::sync::Arc;

use super::disk::filesystem::FileSystem;
use super::disk::real::DiskFileSystem;
use super::engine::Engine;
use super::threads::Threads;

/// Advances the watermark. The checkpoint and the removal of segments follow in the background.
pub struct Truncator<FS: FileSystem = DiskFileSystem> {
    engine: Arc<Engine<FS>>,
    /// `None` if the caller steps the commit loop and the upkeep itself.
    threads: Option<Threads>,
}

impl<FS: FileSystem> Truncator<FS> {
    pub(super) fn new(engine: Arc<Engine<FS>>, threads: Threads) -> Self {
        Self {
            engine,
            threads: Some(threads),
        }
    }

    /// For a simulator, which steps the commit loop and the upkeep, and ends them, itself.
    pub fn without_threads(engine: Arc<Engine<FS>>) -> Self {
        Self {
            engine,
            threads: None,
        }
    }

    /// Marks every position up to and including this one as published or durably dead-lettered. Does no I/O.
    pub fn truncate(&self, upto: RangeToInclusive<u64>) {
        let mut state = self.engine.lock();
        state.advance(upto.end.saturating_add(1));
        state.sample(self.engine.fs.now_ms());
        self.engine.publish_room(&state);
        // On a full disk the room is needed now; otherwise the upkeep comes at its own pace.
        if state.lacks_removable_room() {
            self.engine.work.notify_all();
        }
    }

    /// Sets the total bytes of dead letters, which lie beside the journal and count against its budget.
    pub fn set_dead_letter_bytes(&self, bytes: u64) {
        let mut state = self.engine.lock();
        state.dead_letter_bytes = bytes;
        self.engine.publish_room(&state);
    }

    /// Records that are neither published nor dead-lettered nor known to be lost.
    pub fn unpublished(&self) -> u64 {
        self.engine.lock().unpublished()
    }

    /// Accepts no further appends, waits until all queued records are written, then writes and syncs a last checkpoint.
    pub fn close(self) -> io::Result<()> {
        match self.threads {
            Some(threads) => threads.close(&self.engine),
            None => Ok(()),
        }
    }
}

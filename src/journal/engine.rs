//! The synchronous engine: the state, the disk, and the signals between the journal's threads.

pub mod admission;
pub mod capacity;
pub mod checkpoint;
pub mod quarantine;
pub mod reader;
pub mod reclaim;
pub mod set_aside;
pub mod state;
pub mod upkeep;
pub mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use self::admission::Admission;
use self::state::State;
use super::disk::filesystem::FileSystem;
use super::format::record::Codec;
use super::metrics::Metrics;

/// Called after each commit.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// What all handles and threads of one journal share.
pub struct Engine<FS: FileSystem> {
    /// The disk.
    pub fs: FS,
    pub(super) journal_id: [u8; 16],
    /// Encodes and checks this journal's records.
    pub codec: Codec,
    /// The configured size of a segment, in bytes.
    pub(super) segment_size: u64,
    /// The file system's page, in bytes: see [`FileSystem::page`].
    pub(super) page: u64,
    /// How long a place may stay unreadable before the reader passes over it.
    pub(super) read_patience: Duration,
    /// Decides whether an append is accepted.
    pub admission: Arc<Admission>,
    pub(super) metrics: Metrics,
    state: Mutex<State<FS::File>>,
    /// The writer waits here for a segment.
    pub(super) segment_made: Condvar,
    /// The upkeep thread waits here for work.
    pub(super) work: Condvar,
    stop: AtomicBool,
    wake: OnceLock<Wake>,
}

impl<FS: FileSystem> Engine<FS> {
    pub(super) fn new(
        fs: FS,
        journal_id: [u8; 16],
        config: &super::Config,
        metrics: Metrics,
        state: State<FS::File>,
    ) -> Self {
        let engine = Self {
            page: fs.page(),
            fs,
            journal_id,
            codec: Codec::new(&journal_id),
            segment_size: config.segment_size.as_u64(),
            read_patience: config.read_patience,
            admission: Arc::new(Admission::new(config.budget.as_u64())),
            metrics,
            state: Mutex::new(state),
            segment_made: Condvar::new(),
            work: Condvar::new(),
            stop: AtomicBool::new(false),
            wake: OnceLock::new(),
        };
        engine.publish_room(&engine.lock());
        engine
    }

    /// Locks the state. No thread holds this lock over I/O.
    pub fn lock(&self) -> MutexGuard<'_, State<FS::File>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates [`Admission`] with the bytes in use and the disk's room. Call it after every change of either.
    pub fn publish_room(&self, state: &State<FS::File>) {
        let room = if state.is_disk_full() {
            state.room(self.page)
        } else {
            u64::MAX
        };
        self.admission.set(state.budget_used(), room);
    }

    /// Poisons the journal after a failed write or sync: from now on it acknowledges nothing, and never retries.
    pub fn poison(&self, operation: &str, error: &io::Error) {
        tracing::error!(operation, %error, "the journal is poisoned: it acknowledges nothing more");
        self.admission
            .poison(format!("cannot {operation}: {error}"));
        self.wake_threads();
    }

    /// Sets what is called after each commit. Only the first call counts: a journal has one reader.
    pub(super) fn set_wake(&self, wake: Wake) {
        let _ = self.wake.set(wake);
    }

    /// Reports to the reader that a commit is visible, or that the writer has ended.
    pub(super) fn wake_reader(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// Asks the upkeep thread to write a last checkpoint and end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake_threads();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn wake_threads(&self) {
        // With the lock taken and released, a waiting thread is either before its check or already in its wait.
        drop(self.lock());
        self.segment_made.notify_all();
        self.work.notify_all();
    }
}

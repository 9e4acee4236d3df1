//! The one object that all handles and threads of a journal hold.

pub mod admission;
pub mod checkpoint;
pub mod obsolete;
pub mod quarantine;
pub mod reader;
pub mod reclaim;
pub mod state;
pub mod upkeep;
pub mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::disk::filesystem::FileSystem;
use super::format::record::Codec;
use super::metrics::Metrics;
use crate::journal::engine::admission::Gate;
use crate::journal::engine::state::State;

/// Called after each commit.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// State, disk and what wakes whom.
pub struct Shared<FS: FileSystem> {
    /// The disk.
    pub fs: FS,
    /// The journal's id.
    pub journal_id: [u8; 16],
    /// The journal's checksums.
    pub codec: Codec,
    /// The configured size of a segment, in bytes.
    pub segment_size: u64,
    /// The file system's page, in bytes: see [`FileSystem::page`].
    pub page: u64,
    /// How long a place may stay unreadable before it is passed over.
    pub read_patience: Duration,
    /// What ingest sees: whether there is room, and whether the journal lives.
    pub gate: Gate,
    /// Counted by whoever does the counted thing.
    pub metrics: Metrics,
    state: Mutex<State<FS::File>>,
    /// The writer waits here for a segment.
    pub segment_made: Condvar,
    /// The maintenance thread waits here for work.
    pub work: Condvar,
    /// The maintenance thread is to end.
    pub stop: AtomicBool,
    wake: OnceLock<Wake>,
}

impl<FS: FileSystem> Shared<FS> {
    /// Puts the parts together.
    pub fn new(
        fs: FS,
        journal_id: [u8; 16],
        segment_size: u64,
        read_patience: Duration,
        gate: Gate,
        metrics: Metrics,
        state: State<FS::File>,
    ) -> Self {
        let shared = Self {
            page: fs.page(),
            read_patience,
            fs,
            journal_id,
            codec: Codec::new(&journal_id),
            segment_size,
            gate,
            metrics,
            state: Mutex::new(state),
            segment_made: Condvar::new(),
            work: Condvar::new(),
            stop: AtomicBool::new(false),
            wake: OnceLock::new(),
        };
        shared.publish_room(&shared.lock());
        shared
    }

    /// The state; never held over I/O.
    pub fn lock(&self) -> MutexGuard<'_, State<FS::File>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells ingest how much is used and how much room the disk has; called after every change of either.
    pub fn publish_room(&self, state: &State<FS::File>) {
        let room = if state.disk_full {
            state.room(self.page)
        } else {
            u64::MAX
        };
        self.gate.set(state.budget_used(), room);
    }

    /// A write or sync has failed: nothing is acknowledged from here on, and nothing is tried again.
    pub fn poison(&self, operation: &str, error: &io::Error) {
        tracing::error!(operation, %error, "the journal is poisoned: nothing more is acknowledged");
        self.gate.poison(format!("cannot {operation}: {error}"));
        // Taken and released so that whoever waits is either before its check or in its wait.
        drop(self.lock());
        self.segment_made.notify_all();
        self.work.notify_all();
    }

    /// Who is called after each commit; the first one stays.
    pub fn set_wake(&self, wake: Wake) {
        // A second reader does not exist: `open` hands out one.
        let _ = self.wake.set(wake);
    }

    /// A commit is done, or the journal has come to its end.
    pub fn wake_reader(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// Asks the maintenance thread to end after a last checkpoint.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // Taken and released so that the thread is either before its check or in its wait.
        drop(self.lock());
        self.work.notify_all();
    }
}

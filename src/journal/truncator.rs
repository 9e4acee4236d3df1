//! Publish's removing handle, and the thread behind it.

use std::io;
use std::ops::RangeToInclusive;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::appender::Queue;
use super::disk::filesystem::{DiskFileSystem, FileSystem};
use super::engine::Shared;
use super::engine::upkeep::Maintenance;

/// How long a moved watermark may wait for its checkpoint, and a full disk for the next try.
pub const PACE: Duration = Duration::from_secs(1);

/// Says what is published; the checkpoint and the removal of segments follow in the background.
pub struct Truncator<FS: FileSystem = DiskFileSystem> {
    shared: Arc<Shared<FS>>,
    /// `None` where somebody else steps the writer and the maintenance.
    threads: Option<Threads>,
}

struct Threads {
    queue: Arc<Queue>,
    writer: JoinHandle<()>,
    maintenance: JoinHandle<io::Result<()>>,
}

impl<FS: FileSystem> Truncator<FS> {
    pub(super) fn start(
        shared: Arc<Shared<FS>>,
        queue: Arc<Queue>,
        writer: JoinHandle<()>,
        maintenance: Maintenance<FS>,
    ) -> io::Result<Self> {
        let thread_shared = shared.clone();
        let maintenance = thread::Builder::new()
            .name(String::from("journal-upkeep"))
            .spawn(move || upkeep(&thread_shared, maintenance))?;
        Ok(Self {
            shared,
            threads: Some(Threads {
                queue,
                writer,
                maintenance,
            }),
        })
    }

    /// Without the threads: for a simulator, which steps writer and maintenance itself and ends them.
    pub fn without_threads(shared: Arc<Shared<FS>>) -> Self {
        Self {
            shared,
            threads: None,
        }
    }

    /// Everything up to and including this position is in Kafka or durably set aside. Cheap, in memory.
    pub fn truncate(&self, upto: RangeToInclusive<u64>) {
        let mut state = self.shared.lock();
        state.advance(upto.end.saturating_add(1));
        state.sample(self.shared.fs.now_ms());
        self.shared.publish_room(&state);
        // While there is room, a published segment waits for the thread's own pace.
        if state.lacks_removable_room() {
            self.shared.work.notify_all();
        }
    }

    /// Dead letters lie beside the journal and count against its budget; called with their total, in bytes.
    pub fn set_dead_letter_bytes(&self, bytes: u64) {
        let mut state = self.shared.lock();
        state.dead_letter_bytes = bytes;
        self.shared.publish_room(&state);
    }

    /// Records that are neither in Kafka, nor set aside, nor known to be damaged.
    pub fn unpublished(&self) -> u64 {
        self.shared.lock().unpublished()
    }

    /// Takes no further appends, lets the writer finish its queue, writes and syncs a last checkpoint.
    pub fn close(self) -> io::Result<()> {
        let Some(threads) = self.threads else {
            return Ok(());
        };
        let panicked = |_| io::Error::other("a thread of the journal has panicked");
        threads.queue.close();
        // The writer first: it may still wait for a segment, which the other thread makes.
        threads.writer.join().map_err(panicked)?;
        self.shared.stop();
        threads.maintenance.join().map_err(panicked)?
    }
}

/// Ends the journal where the thread panics: without segments from it the writer would wait for ever.
struct Guard<'a, FS: FileSystem>(&'a Shared<FS>);

impl<FS: FileSystem> Drop for Guard<'_, FS> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = io::Error::other("see the message above");
            self.0.poison("go on after a panic of the upkeep", &error);
        }
    }
}

fn upkeep<FS: FileSystem>(shared: &Shared<FS>, mut maintenance: Maintenance<FS>) -> io::Result<()> {
    let _guard = Guard(shared);
    let mut last = Instant::now();
    let mut guard = shared.lock();
    while !shared.stop.load(Ordering::Acquire) {
        let rested = last.elapsed() >= PACE;
        if maintenance.is_due(&guard) || (rested && maintenance.is_behind(&guard)) {
            drop(guard);
            maintenance.step();
            last = Instant::now();
            guard = shared.lock();
            continue;
        }
        let freeing = maintenance.freeing();
        let rest = PACE.saturating_sub(last.elapsed());
        let rest = if rest.is_zero() { PACE } else { rest };
        // A wait that ends early or for nothing only looks again.
        let waited = shared
            .work
            .wait_timeout(guard, freeing.map_or(rest, |pause| pause.min(rest)));
        let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        guard = woken;
        if freeing.is_some() && waited.timed_out() {
            drop(guard);
            maintenance.free();
            guard = shared.lock();
        }
    }
    drop(guard);
    maintenance.close()
}

//! Ingest's handle, and the writer thread behind it: the seam between async requests and the synchronous core.
//!
//! A request pushes its record and waits for a one-shot answer. The writer swaps the whole queue out, so a batch is
//! whatever came in during the last sync: no delay is added, and the busier it is, the more share one sync.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::AppendError;
use super::filesystem::FileSystem;
use super::shared::{Shared, now_ms};
use super::writer::{Outcome, Payload, Writer};

/// Records that may wait for the writer; less than a start's leap of positions, which must exceed all that was never
/// synced.
const QUEUE_RECORDS: usize = 1 << 16;
/// Bytes that may wait for the writer; ingest's own limit on bodies in memory is usually the smaller.
const QUEUE_BYTES: u64 = 1 << 30;
/// The largest record, far above any body's limit: a length is a u32 on disk.
const RECORD_BYTES: u64 = 1 << 31;

/// Takes records; cheap to clone. When the last clone is gone, the writer finishes its queue and ends.
#[derive(Clone)]
pub struct Appender {
    handle: Arc<Handle>,
}

/// Closes the queue when the last appender is dropped.
struct Handle {
    queue: Arc<Queue>,
    gate: Arc<dyn Admission>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The gate, without the file system's type.
trait Admission: Send + Sync {
    fn gate(&self) -> &super::gate::Gate;
}

impl<FS: FileSystem> Admission for Shared<FS> {
    fn gate(&self) -> &super::gate::Gate {
        &self.gate
    }
}

/// What waits for the writer.
#[derive(Default)]
pub struct Queue {
    state: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    entries: Vec<Entry>,
    /// Bytes on disk of what waits or is being written.
    bytes: u64,
    closed: bool,
}

struct Entry {
    head: Vec<u8>,
    body: Bytes,
    done: oneshot::Sender<Result<u64, AppendError>>,
}

impl Payload for Entry {
    fn parts(&self) -> (&[u8], &[u8]) {
        (&self.head, &self.body)
    }
}

/// Resolves to the record's position once it is synced, or to why it never will be. Dropping it changes nothing.
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<Result<u64, AppendError>>);

impl Future for Commit {
    type Output = Result<u64, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A writer that has gone has dropped its senders: nobody hangs.
        let outcome = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(outcome.unwrap_or(Err(AppendError::Closed)))
    }
}

impl Appender {
    /// Hands a record (`head`, then `body`) to the writer, without ever waiting.
    ///
    /// From here on the record is written whether or not anybody waits for it; `body` is dropped, with whatever its
    /// owner holds, once it is synced. An error means that nothing was or will be written.
    pub fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Commit, AppendError> {
        let (done, commit) = oneshot::channel();
        let entry = Entry { head, body, done };
        let size = entry.size();
        if size > RECORD_BYTES {
            return Err(AppendError::Full);
        }
        let queue = &self.handle.queue;
        let mut waiting = queue.lock();
        if waiting.closed {
            let poisoned = self.handle.gate.gate().is_poisoned();
            return Err(if poisoned {
                AppendError::Poisoned
            } else {
                AppendError::Closed
            });
        }
        self.handle.gate.gate().admit(waiting.bytes, size)?;
        if waiting.entries.len() >= QUEUE_RECORDS || waiting.bytes + size > QUEUE_BYTES {
            return Err(AppendError::Overloaded);
        }
        waiting.bytes += size;
        waiting.entries.push(entry);
        let was_empty = waiting.entries.len() == 1;
        drop(waiting);
        if was_empty {
            queue.filled.notify_one();
        }
        Ok(Commit(commit))
    }

    /// Resolves when the journal is poisoned, with the failed operation in words.
    pub async fn poisoned(&self) -> String {
        self.handle.gate.gate().poisoned().await
    }
}

impl Queue {
    /// Takes nothing more; what waits is still written.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for records and takes them all; false once the queue is closed and empty.
    fn take(&self, into: &mut Vec<Entry>) -> bool {
        let mut waiting = self.lock();
        while waiting.entries.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting = self
                .filled
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.entries, into);
        true
    }

    fn written(&self, bytes: u64) {
        let mut waiting = self.lock();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
    }
}

/// Starts the writer thread; returns the first appender and what `Truncator::close` needs.
pub(super) fn start<FS: FileSystem>(
    shared: Arc<Shared<FS>>,
) -> io::Result<(Appender, Arc<Queue>, JoinHandle<()>)> {
    let queue = Arc::new(Queue::default());
    let handle = Handle {
        queue: queue.clone(),
        gate: shared.clone(),
    };
    let appender = Appender {
        handle: Arc::new(handle),
    };
    let thread_queue = queue.clone();
    let thread = thread::Builder::new()
        .name(String::from("journal-writer"))
        .spawn(move || {
            // Dropped last, also by a panic: nothing is acknowledged and nobody waits for a dead writer.
            let _guard = WriterGuard {
                shared: shared.clone(),
                queue: thread_queue.clone(),
            };
            run(&shared, &thread_queue);
        })?;
    Ok((appender, queue, thread))
}

struct WriterGuard<FS: FileSystem> {
    shared: Arc<Shared<FS>>,
    queue: Arc<Queue>,
}

impl<FS: FileSystem> Drop for WriterGuard<FS> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.poison(
                "go on after a panic of the writer",
                &io::Error::other("see the message above"),
            );
        }
        let mut waiting = self.queue.lock();
        waiting.closed = true;
        let left = std::mem::take(&mut waiting.entries);
        drop(waiting);
        answer(left, Err(AppendError::Poisoned));
        self.shared.wake_reader();
    }
}

fn run<FS: FileSystem>(shared: &Arc<Shared<FS>>, queue: &Queue) {
    let mut writer = Writer::new(shared.clone());
    let mut batch = Vec::new();
    while queue.take(&mut batch) {
        while !batch.is_empty() {
            match writer.commit(&batch, now_ms()) {
                Outcome::Committed { first, count } => {
                    queue.written(batch[..count].iter().map(Payload::size).sum());
                    for (position, entry) in (first..).zip(batch.drain(..count)) {
                        drop(entry.body);
                        // A client that has gone away has its event kept all the same.
                        let _ = entry.done.send(Ok(position));
                    }
                }
                Outcome::NeedsSegment => {
                    if !await_segment(shared) {
                        queue.written(batch.iter().map(Payload::size).sum());
                        answer(std::mem::take(&mut batch), Err(AppendError::Full));
                    }
                }
                Outcome::Poisoned => {
                    answer(std::mem::take(&mut batch), Err(AppendError::Poisoned));
                    return;
                }
            }
        }
    }
}

/// Waits until maintenance has made what was wanted; false where the disk has no room for it.
fn await_segment<FS: FileSystem>(shared: &Shared<FS>) -> bool {
    let mut state = shared.lock();
    while state.wanted.is_some() && !shared.gate.is_poisoned() {
        state = shared
            .segment_made
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
    !state.disk_full || state.spare.is_some()
}

fn answer(entries: Vec<Entry>, outcome: Result<u64, AppendError>) {
    for entry in entries {
        drop(entry.body);
        // As above: who has gone away needs no answer.
        let _ = entry.done.send(outcome);
    }
}

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

use super::disk::filesystem::FileSystem;
use super::engine::Shared;
use super::engine::writer::{Begun, Outcome, Payload, Writer};
use super::error::AppendError;

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
    fn gate(&self) -> &super::engine::admission::Gate;
}

impl<FS: FileSystem> Admission for Shared<FS> {
    fn gate(&self) -> &super::engine::admission::Gate {
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

    /// The failed operation in words, once the journal is poisoned.
    pub fn poison(&self) -> Option<String> {
        self.handle.gate.gate().poison_reason()
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

    /// Waits until there is something to take, or never will be.
    fn wait(&self) {
        let mut waiting = self.lock();
        while waiting.entries.is_empty() && !waiting.closed {
            waiting = self
                .filled
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes all records; false where there are none and none will come.
    fn take(&self, into: &mut Vec<Entry>) -> bool {
        let mut waiting = self.lock();
        std::mem::swap(&mut waiting.entries, into);
        !into.is_empty() || !waiting.closed
    }

    fn written(&self, bytes: u64) {
        let mut waiting = self.lock();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
    }
}

/// The first appender, and what writes for it once it is stepped: the synchronous half of the thread.
pub fn unstarted<FS: FileSystem>(shared: Arc<Shared<FS>>) -> (Appender, Stepper<FS>) {
    let queue = Arc::new(Queue::default());
    let handle = Handle {
        queue: queue.clone(),
        gate: shared.clone(),
    };
    let appender = Appender {
        handle: Arc::new(handle),
    };
    let stepper = Stepper {
        writer: Writer::new(shared.clone()),
        shared,
        queue,
        batch: Vec::new(),
        begun: None,
        asked: false,
    };
    (appender, stepper)
}

/// Starts the writer thread; returns the first appender and what `Truncator::close` needs.
pub(super) fn start<FS: FileSystem>(
    shared: Arc<Shared<FS>>,
) -> io::Result<(Appender, Arc<Queue>, JoinHandle<()>)> {
    let (appender, mut stepper) = unstarted(shared);
    let queue = stepper.queue.clone();
    let thread = thread::Builder::new()
        .name(String::from("journal-writer"))
        .spawn(move || {
            loop {
                match stepper.step() {
                    Turn::Idle => stepper.queue.wait(),
                    Turn::Written | Turn::Answered => {}
                    Turn::NeedsSegment => await_segment(&stepper.shared),
                    Turn::End => return,
                }
            }
        })?;
    Ok((appender, queue, thread))
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing waits.
    Idle,
    /// A batch is written; the next step syncs it.
    Written,
    /// Some waiters were answered.
    Answered,
    /// Maintenance is to make a segment, or to say that there is no room for it.
    NeedsSegment,
    /// The queue is closed and empty, or the journal poisoned.
    End,
}

/// Writes what waits in the queue. When it is dropped, also by a panic, nothing more is acknowledged and nobody waits
/// for a dead writer.
pub struct Stepper<FS: FileSystem> {
    shared: Arc<Shared<FS>>,
    queue: Arc<Queue>,
    writer: Writer<FS>,
    batch: Vec<Entry>,
    begun: Option<Begun<FS::File>>,
    /// The batch waits for a segment.
    asked: bool,
}

impl<FS: FileSystem> Drop for Stepper<FS> {
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

impl<FS: FileSystem> Stepper<FS> {
    /// Writes a batch, or syncs and answers the one that is written; never waits for anything but the disk.
    pub fn step(&mut self) -> Turn {
        if let Some(begun) = self.begun.take() {
            let outcome = self.writer.finish(begun);
            return self.answer(outcome);
        }
        if self.batch.is_empty() {
            if !self.queue.take(&mut self.batch) {
                return Turn::End;
            }
            if self.batch.is_empty() {
                return Turn::Idle;
            }
        }
        if self.asked {
            let state = self.shared.lock();
            if state.wanted.is_some() && !self.shared.gate.is_poisoned() {
                return Turn::NeedsSegment;
            }
            let no_room = state.disk_full && state.spare.is_none();
            drop(state);
            self.asked = false;
            if no_room {
                let size = self.batch.iter().map(Payload::size).sum();
                self.queue.written(size);
                answer(std::mem::take(&mut self.batch), Err(AppendError::Full));
                return Turn::Answered;
            }
        }
        match self.writer.begin(&self.batch, self.shared.fs.now_ms()) {
            Ok(begun) => {
                self.begun = Some(begun);
                Turn::Written
            }
            Err(outcome) => self.answer(outcome),
        }
    }

    fn answer(&mut self, outcome: Outcome) -> Turn {
        match outcome {
            Outcome::Committed { first, count } => {
                let done = self.batch[..count].iter();
                self.queue.written(done.map(Payload::size).sum());
                for (position, entry) in (first..).zip(self.batch.drain(..count)) {
                    drop(entry.body);
                    // A client that has gone away has its event kept all the same.
                    let _ = entry.done.send(Ok(position));
                }
                Turn::Answered
            }
            Outcome::NeedsSegment => {
                self.asked = true;
                Turn::NeedsSegment
            }
            Outcome::Poisoned => {
                answer(std::mem::take(&mut self.batch), Err(AppendError::Poisoned));
                Turn::End
            }
        }
    }
}

/// Waits until maintenance has made what was wanted, or has no room for it.
fn await_segment<FS: FileSystem>(shared: &Shared<FS>) {
    let mut state = shared.lock();
    while state.wanted.is_some() && !shared.gate.is_poisoned() {
        state = shared
            .segment_made
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

fn answer(entries: Vec<Entry>, outcome: Result<u64, AppendError>) {
    for entry in entries {
        drop(entry.body);
        // As above: who has gone away needs no answer.
        let _ = entry.done.send(outcome);
    }
}

//! Ingest's handle and its queue: the seam between async requests and the synchronous writer.
//!
//! A request queues its record and waits for a one-shot answer. The writer takes the whole queue at once, so a batch is
//! whatever arrived during the last sync: no delay is added, and the busier the journal is, the more records share a sync.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::engine::admission::{Admission, RoomReport};
use super::engine::writer::Payload;
use super::error::AppendError;
use super::memory::Memory;

/// Records that may wait for the writer. Less than `recovery::POSITION_STRIDE`, which must exceed the records that were
/// never synced.
const QUEUE_RECORDS: usize = 1 << 16;
/// Bytes that may wait for the writer. Ingest's own limit on bodies in memory is usually smaller.
const QUEUE_BYTES: u64 = 1 << 30;
/// The largest record, in bytes: far above any body's limit, and below what the format's u32 length can hold.
const RECORD_BYTES: u64 = 1 << 31;

/// Takes records; cheap to clone. Once the last clone is dropped, the writer finishes its queue and ends.
#[derive(Clone)]
pub struct Appender(Store);

#[derive(Clone)]
enum Store {
    Disk(Arc<Handle>),
    Memory(Arc<Memory>),
}

/// Closes the queue when the last appender is dropped.
struct Handle {
    queue: Arc<Queue>,
    admission: Arc<Admission>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The records that wait for the writer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
}

#[derive(Default)]
struct QueueState {
    records: Vec<Queued>,
    /// Bytes on disk of the records that are queued or being written.
    bytes: u64,
    closed: bool,
}

/// One record and who waits for it.
pub(super) struct Queued {
    head: Vec<u8>,
    body: Bytes,
    done: oneshot::Sender<Result<u64, AppendError>>,
}

impl Payload for Queued {
    fn parts(&self) -> (&[u8], &[u8]) {
        (&self.head, &self.body)
    }
}

impl Queued {
    /// Frees the body, then answers. A client that has gone needs no answer.
    pub(super) fn answer(self, result: Result<u64, AppendError>) {
        drop(self.body);
        let _ = self.done.send(result);
    }
}

/// Resolves to the record's position once it is synced (in memory: acknowledged by Kafka), or to the reason why it never will be.
/// Dropping it changes nothing.
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<Result<u64, AppendError>>);

impl Future for Commit {
    type Output = Result<u64, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A writer that has ended has dropped its senders, so nobody hangs.
        let result = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(result.unwrap_or(Err(AppendError::Closed)))
    }
}

impl Appender {
    pub(super) fn new(queue: Arc<Queue>, admission: Arc<Admission>) -> Self {
        Self(Store::Disk(Arc::new(Handle { queue, admission })))
    }

    pub(super) fn in_memory(memory: Arc<Memory>) -> Self {
        Self(Store::Memory(memory))
    }

    /// Queues a record (`head`, then `body`) for the writer, without ever waiting.
    ///
    /// From here on the record is written whether or not anybody waits for it. `body` is dropped, and with it whatever its
    /// owner holds, once it is synced. After an error nothing was or will be written.
    pub fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Commit, AppendError> {
        let Handle { queue, admission } = match &self.0 {
            Store::Disk(handle) => &**handle,
            Store::Memory(memory) => return memory.append(head, body).map(Commit),
        };
        let (done, commit) = oneshot::channel();
        let record = Queued { head, body, done };
        let size = record.size();
        if size > RECORD_BYTES {
            return Err(AppendError::Full);
        }
        let mut state = queue.lock();
        if state.closed {
            return Err(if admission.is_poisoned() {
                AppendError::Poisoned
            } else {
                AppendError::Closed
            });
        }
        admission.admit(state.bytes, size)?;
        if state.records.len() >= QUEUE_RECORDS || state.bytes + size > QUEUE_BYTES {
            return Err(AppendError::Overloaded);
        }
        state.bytes += size;
        state.records.push(record);
        let was_empty = state.records.len() == 1;
        drop(state);
        if was_empty {
            queue.filled.notify_one();
        }
        Ok(Commit(commit))
    }

    /// Sets what is called with whether the journal has room. Only the first call counts.
    pub fn report_room(&self, report: RoomReport) {
        self.admission().set_room_report(report);
    }

    /// The operation that failed and its error, if the journal is poisoned.
    pub fn poison(&self) -> Option<String> {
        self.admission().poison_reason()
    }

    /// Resolves when the journal is poisoned, with the operation that failed and its error.
    pub async fn poisoned(&self) -> String {
        self.admission().poisoned().await
    }

    /// Answers everyone whose record is in memory, with [`AppendError::Closed`], and accepts no other. On disk it does nothing: a
    /// sync answers everyone soon.
    pub fn give_up(&self) {
        if let Store::Memory(memory) = &self.0 {
            memory.close();
        }
    }

    fn admission(&self) -> &Admission {
        match &self.0 {
            Store::Disk(handle) => &handle.admission,
            Store::Memory(memory) => &memory.admission,
        }
    }
}

impl Queue {
    /// Accepts nothing more. What is queued is still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a record is queued or the queue is closed.
    pub(super) fn wait(&self) {
        let mut state = self.lock();
        while state.records.is_empty() && !state.closed {
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Moves all records into `batch`, which is empty; false if there are none and none can come.
    pub(super) fn take(&self, batch: &mut Vec<Queued>) -> bool {
        debug_assert!(batch.is_empty(), "a batch would be lost");
        let mut state = self.lock();
        std::mem::swap(&mut state.records, batch);
        !batch.is_empty() || !state.closed
    }

    /// These bytes no longer wait: their records are synced or refused.
    pub(super) fn release(&self, bytes: u64) {
        let mut state = self.lock();
        debug_assert!(bytes <= state.bytes, "more was released than was queued");
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Closes the queue and returns the records that nobody will write.
    pub(super) fn abandon(&self) -> Vec<Queued> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.records)
    }
}

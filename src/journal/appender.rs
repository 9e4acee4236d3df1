//! Ingest's handle and its queue: the seam between async requests and the synchronous writer.
//!
//! A request queues its record and waits for a one-shot answer. The writer takes all that waits, up to one batch, so a batch is
//! whatever arrived during the last sync: no delay is added, and the busier the journal is, the more records share a sync.

mod pace;
mod queue;

pub(super) use self::queue::Queue;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::engine::admission::{Admission, RoomReport};
use super::engine::writer::Payload;
use super::error::AppendError;
use super::memory::Memory;

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
        self.append_in(0, head, body)
    }

    /// As [`Appender::append`], in the lane of one source: while more waits than one batch holds, each lane has an equal share of
    /// every batch. There are as many lanes as the highest index, which is to be small. In memory there is one lane only.
    pub fn append_in(
        &self,
        lane: usize,
        head: Vec<u8>,
        body: Bytes,
    ) -> Result<Commit, AppendError> {
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
        let was_empty = state.push(lane, record, size, Instant::now)?;
        drop(state);
        if was_empty {
            queue.wake_writer();
        }
        Ok(Commit(commit))
    }

    /// From now on, refuses a record at once ([`AppendError::Overloaded`]) if it would surely be synced later than in this time,
    /// by what the last syncs took. In memory it does nothing: there the patience is one of the [`Limits`](super::memory::Limits).
    pub fn set_patience(&self, patience: Duration) {
        if let Store::Disk(handle) = &self.0 {
            handle.queue.set_patience(patience);
        }
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

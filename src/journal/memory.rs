//! A journal without a disk, for `ack = "kafka"`: it holds events in memory until publish reports each one as done.
//!
//! The handles are the same as those of a journal on disk, but a record's waiter is answered by its acknowledgement instead
//! of a sync, so nothing is promised before Kafka has it. A record stays until then even if its waiter has given up: taking it
//! out would let later records of its key overtake it.
//!
//! A record that becomes a dead letter leaves the order as soon as it is on its way to its topic, because others need not wait for
//! it. Its waiter and its bytes stay.
//!
//! Memory is bounded by a budget in bytes, which counts every record that is held. And while Kafka acknowledges so slowly that
//! a new record could not be acknowledged within its waiter's patience, it is refused at once: otherwise senders' retries would
//! keep the queue longer than their patience for ever. While Kafka acknowledges nothing, new records wait, because it may be
//! back in time.

mod flow;
mod reader;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::engine::Wake;
use super::engine::admission::Admission;
use super::error::AppendError;
use super::metrics::Snapshot;
use flow::LateRun;
pub use reader::MemoryReader;

/// What a record costs beside its bytes, in bytes: its place here, its channel, and the request or task that waits for it,
/// rounded up from some 600. It bounds the number of small records.
const RECORD_OVERHEAD: u64 = 1024;

/// The monotonic clock.
pub type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// The bounds of a journal in memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of records that are held, with 1 KiB for each.
    pub budget: u64,
    /// How long a record's waiter waits: `listen.commit_timeout`.
    pub patience: Duration,
}

/// What the handles share.
pub struct Memory {
    state: Mutex<State>,
    pub(super) admission: Admission,
    patience: Duration,
    clock: Clock,
    wake: OnceLock<Wake>,
}

#[derive(Default)]
struct State {
    /// The records from position `first` on, in order. Those in between that are done wait for the watermark.
    records: VecDeque<Held>,
    first: u64,
    /// The records that are on their way to the topic of dead letters, by position. Their places are done.
    dead_letters: BTreeMap<u64, Held>,
    /// Records that are not done, with those.
    pending: u64,
    /// What these cost.
    bytes: u64,
    late: LateRun,
    /// The reader has found nothing, so the next append wakes it.
    awaits_append: bool,
    closed: bool,
    /// The last room report was that there is none.
    reported_full: bool,
}

struct Held {
    head: Bytes,
    body: Bytes,
    appended_at: Instant,
    /// `None` once the record is done; its bytes are gone then.
    done: Option<oneshot::Sender<Result<u64, AppendError>>>,
}

impl Held {
    fn cost(&self) -> u64 {
        self.head.len() as u64 + self.body.len() as u64 + RECORD_OVERHEAD
    }

    /// Frees the bytes, then answers. A waiter that has gone needs no answer.
    fn answer(self, result: Result<u64, AppendError>) {
        drop((self.head, self.body));
        if let Some(done) = self.done {
            let _ = done.send(result);
        }
    }
}

impl Memory {
    pub(super) fn new(limits: Limits, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            admission: Admission::new(limits.budget),
            patience: limits.patience,
            clock,
            wake: OnceLock::new(),
        })
    }

    /// Takes a record (`head`, then `body`); the receiver gets its position once publish has it acknowledged.
    pub(super) fn append(
        &self,
        head: Vec<u8>,
        body: Bytes,
    ) -> Result<oneshot::Receiver<Result<u64, AppendError>>, AppendError> {
        let now = (self.clock)();
        let (done, receiver) = oneshot::channel();
        let record = Held {
            head: head.into(),
            body,
            appended_at: now,
            done: Some(done),
        };
        let cost = record.cost();
        let mut state = self.lock();
        if state.closed {
            return Err(AppendError::Closed);
        }
        let admitted = self.admission.admit(0, cost);
        self.report_room(&mut state);
        admitted?;
        let oldest = state.oldest().map(|oldest| now.duration_since(oldest));
        if oldest.is_some_and(|age| age >= self.patience)
            && state.late.has_lasted(self.patience, now)
        {
            return Err(AppendError::Overloaded);
        }
        state.records.push_back(record);
        state.pending += 1;
        state.bytes += cost;
        self.admission.set(state.bytes, u64::MAX);
        let wakes = std::mem::take(&mut state.awaits_append);
        drop(state);
        if wakes && let Some(wake) = self.wake.get() {
            wake();
        }
        Ok(receiver)
    }

    /// Kafka has the record at this position with all its replicas, or it is a durable dead letter: its waiter is answered, and
    /// its bytes are freed.
    pub(super) fn acknowledge(&self, position: u64) {
        self.finish(position, Ok(position));
    }

    /// The record can neither be published nor dead-lettered: its waiter is answered with [`AppendError::Refused`].
    pub(super) fn refuse(&self, position: u64) {
        self.finish(position, Err(AppendError::Refused));
    }

    /// Until when the waiter of the record at this position waits; `None` if the record is done.
    pub(super) fn deadline(&self, position: u64) -> Option<Instant> {
        let state = self.lock();
        let held = state.place(position)?;
        held.done.as_ref()?;
        held.appended_at.checked_add(self.patience)
    }

    /// The record at this position is on its way to the topic of dead letters: the watermark may pass its place.
    pub(super) fn detach(&self, position: u64) {
        let mut state = self.lock();
        if let Some(record) = state.take_place(position) {
            state.dead_letters.insert(position, record);
        }
    }

    fn finish(&self, position: u64, result: Result<u64, AppendError>) {
        let now = (self.clock)();
        let mut state = self.lock();
        let is_dead_letter = state.dead_letters.contains_key(&position);
        let Some(record) = state.take(position) else {
            return;
        };
        // Another topic's acknowledgement says nothing of how long an event would wait.
        if result.is_ok() && !is_dead_letter {
            let is_late = now.duration_since(record.appended_at) >= self.patience;
            state.late.on_acknowledged(is_late, now);
        }
        self.admission.set(state.bytes, u64::MAX);
        self.report_room(&mut state);
        drop(state);
        record.answer(result);
    }

    /// Forgets everything up to and including this position. It answers nobody: what was not acknowledged is no success.
    pub(super) fn truncate(&self, upto: u64) {
        let mut state = self.lock();
        while state.first <= upto
            && let Some(record) = state.records.front()
        {
            let is_done = record.done.is_none();
            debug_assert!(is_done, "{} was truncated without a result", state.first);
            let first = state.first;
            // Drops the sender, so that even then nobody waits for ever.
            let held = state.take_place(first);
            drop(held.map(|record| state.uncount(record)));
            state.records.pop_front();
            state.first += 1;
        }
        self.admission.set(state.bytes, u64::MAX);
    }

    /// Accepts no further record, and answers every waiter with [`AppendError::Closed`]: what is left was never acknowledged.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.records);
        let dead_letters = std::mem::take(&mut state.dead_letters);
        state.first += left.len() as u64;
        state.pending = 0;
        state.bytes = 0;
        self.admission.set(0, u64::MAX);
        drop(state);
        for record in left.into_iter().chain(dead_letters.into_values()) {
            record.answer(Err(AppendError::Closed));
        }
    }

    /// Records that are not done.
    pub(super) fn pending(&self) -> u64 {
        self.lock().pending
    }

    /// Sets what an append calls if the reader waits for it. Only the first call counts.
    fn set_wake(&self, wake: Wake) {
        let _ = self.wake.set(wake);
    }

    /// Reports changes only, and under the lock, so that the last report is true.
    fn report_room(&self, state: &mut State) {
        let is_full = self.admission.is_full();
        if std::mem::replace(&mut state.reported_full, is_full) == is_full {
            return;
        }
        if let Some(report) = self.admission.room_report() {
            report(if is_full {
                Err(
                    "listen.max_in_flight is used up by events that Kafka has not acknowledged; webhooks are answered 503",
                )
            } else {
                Ok("ok")
            });
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let now = (self.clock)();
        let state = self.lock();
        let oldest = state.oldest();
        Snapshot {
            bytes: state.bytes,
            budget: self.admission.budget(),
            written: 0,
            unpublished: state.pending,
            oldest_seconds: oldest.map_or(0.0, |at| now.duration_since(at).as_secs_f64()),
            // It holds what arrives in seconds, so a rate of the last minute would forecast nothing.
            exhaustion_seconds: if self.admission.is_full() {
                0.0
            } else {
                f64::INFINITY
            },
            poisoned: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the oldest record that is not done was appended.
    fn oldest(&self) -> Option<Instant> {
        let pending = |record: &&Held| record.done.is_some();
        let first = self.records.iter().find(pending);
        let dead_letter = self.dead_letters.values().next();
        let oldest = first.into_iter().chain(dead_letter);
        oldest.map(|record| record.appended_at).min()
    }

    fn index(&self, position: u64) -> Option<usize> {
        usize::try_from(position.checked_sub(self.first)?).ok()
    }

    fn place(&self, position: u64) -> Option<&Held> {
        self.records.get(self.index(position)?)
    }

    /// Takes a record that is not done, for its result.
    fn take(&mut self, position: u64) -> Option<Held> {
        let dead_letter = self.dead_letters.remove(&position);
        let record = dead_letter.or_else(|| self.take_place(position))?;
        Some(self.uncount(record))
    }

    fn uncount(&mut self, record: Held) -> Held {
        self.pending -= 1;
        self.bytes -= record.cost();
        record
    }

    /// Takes a record that is not done out of its place, which stays until the watermark passes it.
    fn take_place(&mut self, position: u64) -> Option<Held> {
        let index = self.index(position)?;
        let place = self.records.get_mut(index)?;
        place.done.as_ref()?;
        let done = Held {
            head: Bytes::new(),
            body: Bytes::new(),
            appended_at: place.appended_at,
            done: None,
        };
        Some(std::mem::replace(place, done))
    }
}

#[cfg(test)]
mod tests;

//! The records that wait for the writer: bounded in number, in bytes and in time, and fair between sources.
//!
//! Each source has a lane. While all that waits fits into one batch, the batch is all that waits. If more waits, each lane with
//! records has an equal share of the next batch, and what a lane does not need goes to the others. So a source waits behind its own
//! records, not behind a flood of another's. Order is kept within a lane: of two sources' events that both wait, neither is first.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Queued;
use super::pace::Pace;
use crate::journal::engine::writer::{BATCH_BYTES, Payload as _};
use crate::journal::error::AppendError;

/// Records that may wait for the writer. Less than `recovery::POSITION_STRIDE`, which must exceed the records that were
/// never synced.
const QUEUE_RECORDS: usize = 1 << 16;
/// Bytes that may wait for the writer. Ingest's own limit on bodies in memory is usually smaller.
const QUEUE_BYTES: u64 = 1 << 30;
/// The most bytes of a batch if there are several lanes and more waits, so that none waits long for the batch before its own:
/// 60 ms on a disk that writes 32 MiB a second. A quarter of [`BATCH_BYTES`].
const SHARED_BATCH_BYTES: u64 = BATCH_BYTES / 4;
/// How many times the free places one lane may have beside others: a flood has three quarters, two have three sevenths each.
const LANE_FACTOR: usize = 3;

/// The records that wait for the writer.
pub(in crate::journal) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
}

pub(super) struct QueueState {
    lanes: Vec<Lane>,
    /// Records in all lanes.
    records: usize,
    /// Bytes on disk of these.
    waiting: u64,
    /// Bytes on disk of these and of the records that are being written.
    pub(super) bytes: u64,
    pace: Pace,
    /// How long a waiter waits.
    patience: Duration,
    pub(super) closed: bool,
}

/// The records of one source, in order.
#[derive(Default)]
struct Lane {
    records: Vec<Queued>,
    bytes: u64,
}

impl Queue {
    pub(in crate::journal) fn new() -> Self {
        Self {
            state: Mutex::new(QueueState {
                lanes: Vec::new(),
                records: 0,
                waiting: 0,
                bytes: 0,
                pace: Pace::new(Instant::now()),
                patience: Duration::MAX,
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_patience(&self, patience: Duration) {
        self.lock().patience = patience;
    }

    pub(super) fn wake_writer(&self) {
        self.filled.notify_one();
    }

    /// Accepts nothing more. What is queued is still written.
    pub(in crate::journal) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Waits until a record is queued or the queue is closed.
    pub(in crate::journal) fn wait(&self) {
        let mut state = self.lock();
        while state.records == 0 && !state.closed {
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Moves the next batch's records into `batch`, which is empty; false if there are none and none can come.
    pub(in crate::journal) fn take(&self, batch: &mut Vec<Queued>) -> bool {
        debug_assert!(batch.is_empty(), "a batch would be lost");
        let now = Instant::now();
        let mut state = self.lock();
        let bytes = state.take(batch);
        state.pace.begin(bytes, now);
        !batch.is_empty() || !state.closed
    }

    /// These bytes are synced, and their records answered.
    pub(in crate::journal) fn committed(&self, bytes: u64) {
        let now = Instant::now();
        let mut state = self.lock();
        state.pace.committed(bytes, now);
        state.release(bytes);
    }

    /// These bytes no longer wait: their records are refused.
    pub(in crate::journal) fn release(&self, bytes: u64) {
        self.lock().release(bytes);
    }

    /// Closes the queue and returns the records that nobody will write.
    pub(in crate::journal) fn abandon(&self) -> Vec<Queued> {
        let mut state = self.lock();
        state.closed = true;
        state.records = 0;
        state.waiting = 0;
        let lanes = std::mem::take(&mut state.lanes).into_iter();
        lanes.flat_map(|lane| lane.records).collect()
    }
}

impl QueueState {
    /// Puts a record of `size` bytes on disk at the end of its lane; true if it is the only one that waits.
    pub(super) fn push(
        &mut self,
        lane: usize,
        record: Queued,
        size: u64,
        now: impl Fn() -> Instant,
    ) -> Result<bool, AppendError> {
        if lane >= self.lanes.len() {
            self.lanes.resize_with(lane + 1, Lane::default);
        }
        let own = &self.lanes[lane];
        let free = QUEUE_RECORDS.saturating_sub(self.records);
        let fits = free > 0 && self.bytes + size <= QUEUE_BYTES;
        let is_fair = self.lanes.len() == 1 || own.records.len() <= LANE_FACTOR * free;
        // A journal at rest takes a record however slow it was, and so learns whether it still is.
        let is_late = self.bytes > 0 && {
            let mine = own.bytes + size;
            let others = self.lanes.iter().enumerate();
            let others = others.filter(|(index, _)| *index != lane);
            let others: u64 = others.map(|(_, other)| other.bytes.min(mine)).sum();
            self.pace
                .is_late(mine + others, self.batch_bytes(), self.patience, now)
        };
        if !fits || !is_fair || is_late {
            return Err(AppendError::Overloaded);
        }
        let own = &mut self.lanes[lane];
        own.bytes += size;
        own.records.push(record);
        self.bytes += size;
        self.waiting += size;
        self.records += 1;
        Ok(self.records == 1)
    }

    /// The most bytes of a batch.
    fn batch_bytes(&self) -> u64 {
        if self.lanes.len() > 1 {
            SHARED_BATCH_BYTES
        } else {
            BATCH_BYTES
        }
    }

    /// Moves the next batch's records into `batch`; gives their bytes.
    fn take(&mut self, batch: &mut Vec<Queued>) -> u64 {
        let limit = self.batch_bytes();
        if self.waiting <= limit {
            for lane in &mut self.lanes {
                lane.bytes = 0;
                if batch.is_empty() {
                    std::mem::swap(batch, &mut lane.records);
                } else {
                    batch.append(&mut lane.records);
                }
            }
            self.records = 0;
            return std::mem::take(&mut self.waiting);
        }
        let busy = self.lanes.iter().filter(|lane| lane.bytes > 0).count();
        let share = limit / busy.max(1) as u64;
        // First everybody's share, at least one record, then what is left of the batch.
        let mut taken = 0;
        for lane in &mut self.lanes {
            taken += lane.take(share, true, batch);
        }
        for lane in &mut self.lanes {
            taken += lane.take(limit.saturating_sub(taken), false, batch);
        }
        self.records -= batch.len();
        self.waiting -= taken;
        taken
    }

    fn release(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.bytes, "more was released than was queued");
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Lane {
    /// Moves the first records that have at most `limit` bytes together into `batch`, if it `must` at least one; gives their bytes.
    fn take(&mut self, limit: u64, must: bool, batch: &mut Vec<Queued>) -> u64 {
        let (mut count, mut taken) = (0, 0);
        for record in &self.records {
            let size = record.size();
            if taken + size > limit && (count > 0 || !must) {
                break;
            }
            count += 1;
            taken += size;
        }
        batch.extend(self.records.drain(..count));
        self.bytes -= taken;
        taken
    }
}

#[cfg(test)]
mod tests;

//! Commits what is queued, batch by batch: the writer thread's steps, without the thread.

use std::io;
use std::sync::Arc;
use std::thread;

use super::appender::{Appender, Queue, Queued};
use super::disk::filesystem::FileSystem;
use super::engine::Engine;
use super::engine::writer::{CommitResult, Payload, Unsynced, Writer};
use super::error::AppendError;

/// What one step did, and so what its thread does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing is queued.
    Idle,
    /// A batch is written; the next step syncs it.
    Written,
    /// Some requests were answered.
    Answered,
    /// The batch waits until the upkeep has made a segment or has found no room for one.
    NeedsSegment,
    /// The queue is closed and empty, or the journal is poisoned.
    End,
}

/// Commits the queued records. When it is dropped, even by a panic, the journal acknowledges nothing more and no request
/// waits for a dead writer.
pub struct CommitLoop<FS: FileSystem> {
    pub(super) engine: Arc<Engine<FS>>,
    pub(super) queue: Arc<Queue>,
    writer: Writer<FS>,
    batch: Vec<Queued>,
    stage: Stage<FS::File>,
}

/// How far the batch is.
enum Stage<F> {
    Unwritten,
    AwaitsSegment,
    Unsynced(Unsynced<F>),
}

impl<FS: FileSystem> Drop for CommitLoop<FS> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = io::Error::other("the panic is reported above");
            self.engine
                .poison("go on after a panic of the writer", &error);
        }
        let left = self.queue.abandon();
        answer_all(left, Err(AppendError::Poisoned));
        self.engine.wake_reader();
    }
}

impl<FS: FileSystem> CommitLoop<FS> {
    /// An empty queue: the appender that fills it and the loop that empties it.
    pub fn new(engine: Arc<Engine<FS>>) -> (Appender, Self) {
        let queue = Arc::new(Queue::new());
        let appender = Appender::new(queue.clone(), engine.admission.clone());
        let commits = Self {
            writer: Writer::new(engine.clone()),
            engine,
            queue,
            batch: Vec::new(),
            stage: Stage::Unwritten,
        };
        (appender, commits)
    }

    /// Writes a batch, or syncs and answers the written one. It waits for nothing but the disk.
    pub fn step(&mut self) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Unwritten) {
            Stage::Unsynced(unsynced) => {
                let result = self.writer.sync(unsynced);
                return self.answer(result);
            }
            Stage::AwaitsSegment => {
                let state = self.engine.lock();
                if state.wanted.is_some() && !self.engine.admission.is_poisoned() {
                    self.stage = Stage::AwaitsSegment;
                    return Step::NeedsSegment;
                }
                if state.is_disk_full() {
                    drop(state);
                    self.queue
                        .release(self.batch.iter().map(Payload::size).sum());
                    answer_all(std::mem::take(&mut self.batch), Err(AppendError::Full));
                    return Step::Answered;
                }
            }
            Stage::Unwritten if self.batch.is_empty() => {
                if !self.queue.take(&mut self.batch) {
                    return Step::End;
                }
                if self.batch.is_empty() {
                    return Step::Idle;
                }
            }
            Stage::Unwritten => {}
        }
        match self.writer.write(&self.batch, self.engine.fs.now_ms()) {
            Ok(unsynced) => {
                self.stage = Stage::Unsynced(unsynced);
                Step::Written
            }
            Err(result) => self.answer(result),
        }
    }

    fn answer(&mut self, result: CommitResult) -> Step {
        match result {
            CommitResult::Committed { first, count } => {
                let done = self.batch[..count].iter();
                self.queue.committed(done.map(Payload::size).sum());
                for (position, record) in (first..).zip(self.batch.drain(..count)) {
                    record.answer(Ok(position));
                }
                Step::Answered
            }
            CommitResult::NeedsSegment => {
                self.stage = Stage::AwaitsSegment;
                Step::NeedsSegment
            }
            CommitResult::Poisoned => {
                answer_all(std::mem::take(&mut self.batch), Err(AppendError::Poisoned));
                Step::End
            }
        }
    }
}

fn answer_all(records: Vec<Queued>, result: Result<u64, AppendError>) {
    for record in records {
        record.answer(result);
    }
}

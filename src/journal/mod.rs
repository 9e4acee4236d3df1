//! The write-ahead journal (interface agreed on; the body is being built).
#![allow(missing_docs, clippy::pedantic, unused)]

use bytes::Bytes;
use bytesize::ByteSize;
use serde::Deserialize;
use std::{ops::RangeToInclusive, path::PathBuf};

/// `[journal]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub path: PathBuf,
    pub segment_size: ByteSize,
    pub budget: ByteSize,
}
impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/var/lib/ringback".into(),
            segment_size: ByteSize::mib(64),
            budget: ByteSize::gib(8),
        }
    }
}

pub struct Metrics;
impl Metrics {
    pub fn register(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        todo!()
    }
}

/// What `open` hands out: three handles, and what recovery found.
pub struct Journal {
    pub appender: Appender,
    pub reader: Reader,
    pub truncator: Truncator,
    pub recovery: Recovery,
}
#[derive(Debug, Clone)]
pub struct Recovery {
    /// The journal's id, made once, 32 hex digits: header `ringback_journal`.
    pub journal_id: String,
    /// The first position not yet published: where the reader starts.
    pub resume_at: u64,
    /// Records found that are still to be published: `journal_recovered_events`.
    pub recovered_events: u64,
    /// Bytes of torn tail that were cut.
    pub torn_bytes: u64,
}
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("todo")]
    Todo,
}
pub fn open(config: &Config, metrics: Metrics) -> Result<Journal, OpenError> {
    todo!()
}

/// Ingest's handle. When the last clone is dropped, the writer finishes its queue and ends.
#[derive(Clone)]
pub struct Appender;
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Budget or disk full: 503 until there is room.
    #[error("journal is full")]
    Full,
    /// A write or a sync failed: 503 for ever, the process is about to end.
    #[error("journal is poisoned")]
    Poisoned,
    /// The bounded queue in front of the writer is full: 503.
    #[error("journal queue is full")]
    Overloaded,
    /// The journal is closed.
    #[error("journal is closed")]
    Closed,
}
impl Appender {
    /// Hands one record (payload = head then body) to the writer at once, never blocking. From here the append goes on
    /// whether or not the returned future is polled or dropped. `body` is dropped (and with it whatever its `Bytes`
    /// owner holds) once it is synced.
    pub fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Commit, AppendError> {
        todo!()
    }
    /// Resolves when the journal is poisoned, with the reason.
    pub async fn poisoned(&self) -> String {
        todo!()
    }
}
/// Resolves to the record's position once it is synced (or to why it never will be).
pub struct Commit;
impl Future for Commit {
    type Output = Result<u64, AppendError>;
    fn poll(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        todo!()
    }
}

/// Publish's reading handle: only synced records, in position order. Synchronous, for the publisher's own thread.
pub struct Reader;
#[derive(Debug, Clone)]
pub struct Record {
    pub position: u64,
    pub payload: Bytes,
}
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk did not give what it holds; worth another try after a pause.
    #[error("cannot read the journal")]
    Io(#[source] std::io::Error),
}
impl Reader {
    /// The next synced record; `None` at the synced tail. Damaged stretches are quarantined, counted and skipped.
    pub fn next(&mut self) -> Result<Option<Record>, ReadError> {
        todo!()
    }
    /// Goes back (or forward) to the first record at or after `position`, which must not be truncated.
    pub fn seek(&mut self, position: u64) {
        todo!()
    }
    /// Called by the writer thread after each commit; must be quick and must not block.
    pub fn on_commit(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        todo!()
    }
}

/// Publish's removing handle.
pub struct Truncator;
impl Truncator {
    /// Everything up to and including `position` is in Kafka or durably dead-lettered. Cheap, in memory; the checkpoint
    /// and the removal of segments follow in the background.
    pub fn truncate(&self, upto: RangeToInclusive<u64>) {
        todo!()
    }
    /// Dead letters lie beside the journal and count against its budget; called with their total whenever it changes.
    pub fn set_dead_letter_bytes(&self, bytes: u64) {
        todo!()
    }
    /// Records not yet truncated (the `journal_unpublished_events` gauge).
    pub fn unpublished(&self) -> u64 {
        todo!()
    }
    /// Writes and syncs a last checkpoint and stops the background thread. Call after the appenders are gone.
    pub fn close(self) -> std::io::Result<()> {
        todo!()
    }
}

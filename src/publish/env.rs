//! The worker's environment: a Kafka client, a place for dead letters, clocks and randomness.
//!
//! [`Env`] has two implementations: `kafka::env`, and the simulator's in `tests/sim`. Both run the same worker.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::message::OwnedHeaders;

use super::decide::blame::Reason;
use super::error::DeliveryError;
use crate::journal::Record;
use crate::journal::disk::filesystem::FileSystem;

/// One record to be sent.
pub struct Outgoing<'a> {
    /// Kafka's topic.
    pub topic: &'a str,
    /// Of the topic.
    pub partition: i32,
    /// The record's position in the journal; comes back in its report.
    pub position: u64,
    /// The record's key.
    pub key: Option<&'a str>,
    /// The body, byte for byte.
    pub value: &'a [u8],
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// CloudEvents' and ringback's own.
    pub headers: OwnedHeaders,
}

/// What became of a record that was given to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueue {
    /// A report follows.
    Queued,
    /// No room now: give it to the client again.
    QueueFull,
    /// Refused at once; no report follows.
    Rejected(DeliveryError),
}

/// One producer of one generation, whose callbacks become the worker's mail. Dropping it gives up the records it still has.
pub trait Client {
    /// Queues a record; never blocks.
    fn enqueue(&self, outgoing: Outgoing<'_>) -> Enqueue;
    /// Gives up what is queued and, if `in_flight`, what is on its way to a broker: each record gets a failed report.
    fn purge(&self, in_flight: bool);
    /// Runs the callbacks that are due; never blocks.
    fn poll(&self) {}
    /// Asks the cluster about all topics. The answers come as [`Inbox::topics`](super::inbox::Inbox::topics), or never.
    fn request_topic_states(&self) {}
}

/// Where a dead letter was written, if anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetterPlace {
    /// To the topic of dead letters, of this name.
    Topic(String),
    /// To this file, which a replay publishes.
    File(PathBuf),
    /// Nowhere: there is no topic for it, and a journal in memory has no files. Its sender is answered 503.
    Nowhere,
    /// Nowhere either: the topic has not taken it, for this reason.
    NotTaken(String),
}

/// Why no producer was built.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);

/// The worker's environment.
pub trait Env {
    /// The journal's disk.
    type Disk: FileSystem;
    /// What [`Env::build_producer`] builds.
    type Client: Client;
    /// Builds a producer that sends records one at a time if `isolate`, else in batches of up to `batch_bytes`.
    fn build_producer(
        &mut self,
        generation: u64,
        isolate: bool,
        batch_bytes: u32,
    ) -> Result<Self::Client, BuildError>;
    /// The topics of all events from now on, by their indices; for the next producer.
    fn set_topics(&mut self, _names: &[String]) {}
    /// Writes `payload` (envelope and body) as a dead letter; it is durable when this returns `Ok`, unless that is
    /// [`DeadLetterPlace::Nowhere`].
    fn write_dead_letter(
        &mut self,
        position: u64,
        reason: Reason,
        payload: &[u8],
    ) -> io::Result<DeadLetterPlace>;
    /// Sends a record of a journal in memory to the topic of dead letters while the worker goes on. It is tried until
    /// `deadline`, and what becomes of it comes as [`SentDeadLetter`](super::inbox::SentDeadLetter). False if there is no such
    /// topic.
    fn send_dead_letter(&mut self, _record: &Record, _reason: Reason, _deadline: Instant) -> bool {
        false
    }
    /// The size of all dead letters beside the journal, in bytes.
    fn dead_letter_bytes(&self) -> u64;
    /// Counts that size again, since others may remove dead letters; true if it has changed.
    fn recount_dead_letters(&mut self) -> io::Result<bool> {
        Ok(false)
    }
    /// The monotonic clock.
    fn now(&self) -> Instant;
    /// The wall clock, as the time since the Unix epoch.
    fn since_epoch(&self) -> Duration;
    /// Any number in `0.0..1.0`.
    fn jitter(&mut self) -> f64;
}

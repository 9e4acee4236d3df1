//! What the worker meets outside itself: a client of Kafka, a place for dead letters, the clock, chance.
//!
//! [`Outside`] has two implementations: `kafka::env`, and the simulator's in `tests/sim`. The worker between them and
//! the machine is the same code.

use std::io;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;
use rdkafka::message::OwnedHeaders;
use rdkafka::types::RDKafkaErrorCode;

use crate::journal::disk::filesystem::FileSystem;

/// One record to be sent.
pub struct Outgoing<'a> {
    /// Kafka's topic.
    pub topic: &'a str,
    /// Of the topic.
    pub partition: i32,
    /// Comes back in the record's report.
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

/// What became of handing a record over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// A report will follow.
    Taken,
    /// No room: offer it again.
    QueueFull,
    /// Refused at once; no report follows.
    Refused(RDKafkaErrorCode),
}

/// One producer of one generation, whose callbacks become the worker's mail. Dropping it gives up what it still has.
pub trait Client {
    /// Hands a record over; never blocks and never sleeps.
    fn send(&self, outgoing: Outgoing<'_>) -> Handed;
    /// Everything queued, and what is on its way if said so, gets a failed report.
    fn purge(&self, in_flight: bool);
    /// Lets the callbacks tell what they have; never blocks.
    fn poll(&self) {}
    /// Asks the cluster about the topic; the answer comes as [`Inbox::topic`](super::inbox::Inbox::topic), or never.
    fn look_at_topic(&self) {}
}

/// The worker's surroundings.
pub trait Outside {
    /// The journal's disk.
    type Disk: FileSystem;
    /// What [`Outside::build`] makes.
    type Client: Client;
    /// Makes a producer; `isolate`: records go one at a time; `batch_bytes`: librdkafka's `batch.size` otherwise.
    fn build(
        &mut self,
        generation: u64,
        isolate: bool,
        batch_bytes: u32,
    ) -> KafkaResult<Self::Client>;
    /// Sets `payload` (envelope and body) aside; durable when this returns `Ok`.
    fn set_aside(&mut self, position: u64, reason: &str, payload: &[u8]) -> io::Result<()>;
    /// The total of dead letters beside the journal, in bytes.
    fn letter_bytes(&self) -> u64;
    /// Counts them anew, since others may remove some; true where that has changed the total.
    fn recount_letters(&mut self) -> io::Result<bool> {
        Ok(false)
    }
    /// The monotonic clock.
    fn now(&self) -> Instant;
    /// The wall clock: the time since the Unix epoch.
    fn wall(&self) -> Duration;
    /// Anything in `0.0..1.0`.
    fn jitter(&mut self) -> f64;
}

//! What the machine knows about each topic, by its index.

use std::time::Duration;

use super::Machine;
use crate::publish::decide::partitioner::PinnedCount;
use crate::publish::decide::timestamps::{Stamp, TimeBounds, Timestamps};
use crate::time::as_ms;

#[derive(Debug, Default)]
pub(super) struct Topic {
    pub(super) partitions: PinnedCount,
    timestamps: Timestamps,
}

impl Topic {
    pub(super) fn on_new_producer(&mut self) {
        self.partitions.forget();
        self.timestamps.apply_refusals();
    }
}

impl Machine {
    /// For so many topics, at least as many as before.
    pub(crate) fn extend_to(&mut self, topics: usize) {
        self.topics.resize_with(topics, Topic::default);
    }

    /// The topic's metadata shows so many partitions; 0 if they are not known at the moment. Returns true if records are being
    /// sent by another number.
    pub(crate) fn on_partitions(&mut self, topic: usize, count: i32) -> bool {
        self.topics[topic].partitions.observe(count)
    }

    /// False while the number of some topic's partitions is not known: nothing is sent to that topic, nor past its first record.
    pub(crate) fn knows_partitions(&self) -> bool {
        let mut topics = self.topics.iter();
        topics.all(|topic| topic.partitions.is_known())
    }

    /// True if a record waits because the number of this topic's partitions is not known.
    pub(crate) fn awaits_topic(&self, topic: usize) -> bool {
        self.topics[topic].partitions.is_awaited()
    }

    /// The topic's configuration was read.
    pub(crate) fn on_time_bounds(&mut self, topic: usize, bounds: TimeBounds) {
        self.topics[topic].timestamps.configure(bounds);
    }

    /// The timestamp of an event that was received at `received_ms` and is sent now.
    pub(crate) fn stamp(&self, topic: usize, received_ms: u64, now: Duration) -> Stamp {
        self.topics[topic].timestamps.stamp(received_ms, as_ms(now))
    }

    /// Kafka has refused this timestamp of the present producer: the next one sends such records with the present time.
    pub(crate) fn on_timestamp_refused(&mut self, topic: usize, stamp_ms: u64, now: Duration) {
        let timestamps = &mut self.topics[topic].timestamps;
        timestamps.on_refused(stamp_ms, as_ms(now));
    }

    /// How long a record with this timestamp may stay in flight before it must be sent again with another one.
    pub(crate) fn max_wait(&self, topic: usize, stamp_ms: u64, now: Duration) -> Option<Duration> {
        let timestamps = &self.topics[topic].timestamps;
        let wait = timestamps.max_wait_ms(stamp_ms, as_ms(now))?;
        Some(Duration::from_millis(wait))
    }
}

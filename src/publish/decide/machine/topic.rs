//! What the machine is told of the topic.

use std::time::Duration;

use super::Machine;
use crate::publish::decide::partitioner::PinnedCount;
use crate::publish::decide::timestamps::{Stamp, TimeBounds, Timestamps};
use crate::time::as_ms;

/// What is known of the topic.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    pub(crate) partitions: PinnedCount,
    timestamps: Timestamps,
}

impl Topic {
    pub(crate) fn new_producer(&mut self) {
        self.partitions.forget();
        self.timestamps.learn();
    }
}

impl Machine {
    /// A look at the topic has found so many partitions, 0 if it could not tell; true if records go by another number.
    pub(crate) fn partitions(&mut self, count: i32) -> bool {
        self.topic.partitions.see(count)
    }

    /// False while nothing is sent because the number of the topic's partitions is not known.
    pub(crate) fn knows_partitions(&self) -> bool {
        self.topic.partitions.is_known()
    }

    /// What the topic's configuration says of timestamps.
    pub(crate) fn time_bounds(&mut self, bounds: TimeBounds) {
        self.topic.timestamps.read(bounds);
    }

    /// The timestamp of an event that was received then and is sent now.
    pub(crate) fn stamp(&self, received_ms: u64, now: Duration) -> Stamp {
        self.topic.timestamps.stamp(received_ms, as_ms(now))
    }

    /// Kafka has refused a record of the present producer for this timestamp: the next one sends such with the present time.
    pub(crate) fn timestamp_refused(&mut self, stamp_ms: u64, now: Duration) {
        self.topic.timestamps.refused(stamp_ms, as_ms(now));
    }

    /// How long a record with this timestamp may still be in flight before it must be sent again with another one.
    pub(crate) fn may_wait(&self, stamp_ms: u64, now: Duration) -> Option<Duration> {
        let wait = self.topic.timestamps.may_wait(stamp_ms, as_ms(now))?;
        Some(Duration::from_millis(wait))
    }
}

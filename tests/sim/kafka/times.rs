//! How a topic treats records' timestamps: it refuses or deletes what is too old.

use std::time::{Duration, UNIX_EPOCH};

use rdkafka::types::RDKafkaErrorCode as Code;
use ringback::publish::decide::timestamps::TimeBounds;

use super::{Event, Headers, Kafka, Message};
use crate::random::{Random, SECOND};

/// A topic's bound, and the leaps of the wall clock, which are longer.
const BOUND: Duration = Duration::from_hours(1);
const LEAP: Duration = Duration::from_hours(3);
/// How long a producer may take to notice that its records have become too old.
const NOTICE: u64 = 30 * SECOND;

#[derive(Default)]
pub struct Times {
    pub bounds: TimeBounds,
    /// ringback may read them.
    pub readable: bool,
    /// When the wall clock last leapt while a producer lived.
    leapt_at: Option<u64>,
    /// Records were refused for their timestamp though nothing was wrong with it.
    pub refused_at_will: bool,
}

impl Times {
    pub fn of(random: &mut Random) -> Self {
        let bound = u64::try_from(BOUND.as_millis()).ok();
        let (retention, before) = random.pick(&[(None, None), (None, bound), (bound, None)]);
        Self {
            bounds: TimeBounds {
                retention,
                before,
                ..TimeBounds::default()
            },
            readable: random.percent(60),
            ..Self::default()
        }
    }
}

impl Headers {
    /// The event's own time.
    pub fn received_ms(&self) -> u64 {
        let time = humantime::parse_rfc3339(&self.time).expect("ce_time is a time");
        let since = time.duration_since(UNIX_EPOCH).expect("after 1970");
        u64::try_from(since.as_millis()).expect("not so late")
    }
}

impl Kafka {
    /// Lets hours pass while no process runs.
    pub fn hours_pass(&mut self) {
        self.clock.leap(LEAP);
        self.events
            .retain(|_, event| !matches!(event, Event::Arrive(..)));
    }

    /// Lets hours pass in an outage, while a producer lives and has records.
    pub fn hours_pass_in_an_outage(&mut self) {
        (0..self.brokers.len()).for_each(|broker| self.end_broker(broker));
        self.hours_pass();
        self.times.leapt_at = Some(self.clock.now());
    }

    /// The bounds as a client may read them.
    pub(super) fn readable_bounds(&self) -> Option<TimeBounds> {
        self.times.readable.then_some(self.times.bounds)
    }

    /// Why the leader refuses the batch for its timestamps.
    pub(super) fn refuses_times(&self, batch: &[Message]) -> Option<Code> {
        let before = self.times.bounds.before?;
        let is_late = |message: &Message| self.age(message.timestamp_ms) > before;
        batch.iter().any(is_late).then_some(Code::InvalidTimestamp)
    }

    /// What is wrong with the timestamp of a record that was taken.
    pub(super) fn judge_time(&self, message: &Message) -> Option<String> {
        let Times {
            bounds,
            readable,
            leapt_at,
            refused_at_will,
        } = &self.times;
        let age = self.age(message.timestamp_ms);
        let noticed = leapt_at.is_none_or(|at| self.clock.now() >= at + NOTICE);
        if bounds.retention.is_some_and(|most| age > most) && *readable && noticed {
            return Some(format!("{age} ms old as it was written: deleted at once"));
        }
        let own = message.headers.received_ms() == message.timestamp_ms;
        let bounded = bounds.retention.or(bounds.before).is_some();
        (!own && !bounded && !refused_at_will)
            .then(|| format!("has the timestamp {}, not its own", message.timestamp_ms))
    }

    fn age(&self, timestamp_ms: u64) -> u64 {
        let now = u64::try_from(self.clock.wall().as_millis()).unwrap_or(u64::MAX);
        now.saturating_sub(timestamp_ms)
    }
}

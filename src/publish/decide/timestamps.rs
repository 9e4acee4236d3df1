//! Which timestamp a record gets, so that Kafka neither refuses it nor deletes it for its age.
//!
//! A record carries the time of the event's receipt. After an outage, or as a dead letter put through later, that time may
//! be older than the topic keeps or takes records: then it carries the present time, and only its header `ce_time` the
//! event's own. Half of each bound counts as too old, because the record waits on its way and clocks differ.

/// What a topic's configuration says of timestamps, in milliseconds; `None`: no bound.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TimeBounds {
    /// The broker puts its own time on each record: whatever is sent will do.
    pub broker_stamps: bool,
    /// `retention.ms`, if the topic deletes by time.
    pub retention: Option<u64>,
    /// `message.timestamp.before.max.ms`: how old a record may be as it is written.
    pub before: Option<u64>,
    /// `message.timestamp.after.max.ms`: how far ahead.
    pub after: Option<u64>,
}

impl TimeBounds {
    /// From a topic's properties by their names.
    pub(crate) fn of<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Self {
        // Negative: without bound.
        let number = |name: &str| value(name)?.parse::<u64>().ok();
        // Until 3.6 one property bounded both directions.
        let either = number("message.timestamp.difference.max.ms");
        let least = |one: Option<u64>| [one, either].into_iter().flatten().min();
        let policy = value("cleanup.policy").unwrap_or("delete");
        let deletes = policy.split(',').any(|policy| policy.trim() == "delete");
        Self {
            broker_stamps: value("message.timestamp.type") == Some("LogAppendTime"),
            retention: number("retention.ms").filter(|_| deletes),
            before: least(number("message.timestamp.before.max.ms")),
            after: least(number("message.timestamp.after.max.ms")),
        }
    }
}

/// A record's timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Milliseconds since the Unix epoch.
    pub(crate) ms: u64,
    /// It is the present time, not that of the event's receipt.
    pub(crate) is_present: bool,
}

/// What is known of one topic, from its configuration or from what it has refused.
#[derive(Debug, Default)]
pub(crate) struct Timestamps {
    bounds: TimeBounds,
    /// The least age that the topic has refused, and the least lead.
    refused: (Option<u64>, Option<u64>),
    /// The greatest of the present producer's records: its neighbours in the batch may be innocent.
    refused_now: (Option<u64>, Option<u64>),
}

/// Less than this is a difference of clocks, which another timestamp does not cure.
const SAME_TIME_MS: u64 = 1_000;

impl Timestamps {
    /// The topic's configuration was read.
    pub(crate) fn read(&mut self, bounds: TimeBounds) {
        self.bounds = bounds;
        self.refused = (None, None);
    }

    /// Kafka has refused a record with this time for its timestamp.
    pub(crate) fn refused(&mut self, stamp_ms: u64, now_ms: u64) {
        let age = now_ms.saturating_sub(stamp_ms);
        let lead = stamp_ms.saturating_sub(now_ms);
        let worst = &mut self.refused_now;
        worst.0 = worst.0.max(Some(age).filter(|age| *age >= SAME_TIME_MS));
        worst.1 = worst.1.max(Some(lead).filter(|lead| *lead >= SAME_TIME_MS));
    }

    /// A new producer: what was refused is sent again otherwise. Each round at least halves the age that is sent as it is.
    pub(crate) fn learn(&mut self) {
        let now = std::mem::take(&mut self.refused_now);
        let least = |one: Option<u64>, two: Option<u64>| [one, two].into_iter().flatten().min();
        self.refused = (least(self.refused.0, now.0), least(self.refused.1, now.1));
    }

    /// The timestamp of an event received then, sent now.
    pub(crate) fn stamp(&self, received_ms: u64, now_ms: u64) -> Stamp {
        let age = now_ms.saturating_sub(received_ms);
        let lead = received_ms.saturating_sub(now_ms);
        let is_present = !self.bounds.broker_stamps
            && (self.oldest().is_some_and(|bound| age > bound / 2)
                || self.furthest().is_some_and(|bound| lead > bound / 2));
        Stamp {
            ms: if is_present { now_ms } else { received_ms },
            is_present,
        }
    }

    /// For how long a record with this timestamp may still wait in a producer, in milliseconds; `None`: without end. After
    /// that it is to be sent again with another one. A bound that was only learned does not count: what it misses is refused
    /// and sent again anyway, and it may be as short as a passing trouble.
    pub(crate) fn may_wait(&self, stamp_ms: u64, now_ms: u64) -> Option<u64> {
        let configured = [self.bounds.retention, self.bounds.before];
        let bound = configured.into_iter().flatten().min();
        let bound = bound.filter(|_| !self.bounds.broker_stamps)?;
        let age = now_ms.saturating_sub(stamp_ms);
        Some((bound / 4 * 3).saturating_sub(age))
    }

    fn oldest(&self) -> Option<u64> {
        let all = [self.bounds.retention, self.bounds.before, self.refused.0];
        all.into_iter().flatten().min()
    }

    fn furthest(&self) -> Option<u64> {
        let all = [self.bounds.after, self.refused.1];
        all.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const NOW: u64 = 1_714_608_475_945;

    fn bounds(properties: &[(&str, &'static str)]) -> TimeBounds {
        TimeBounds::of(|name| {
            let found = properties.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| *value)
        })
    }

    fn is_present(properties: &[(&str, &'static str)], received_ms: u64) -> bool {
        let mut timestamps = Timestamps::default();
        timestamps.read(bounds(properties));
        let stamp = timestamps.stamp(received_ms, NOW);
        assert_eq!(stamp.ms, if stamp.is_present { NOW } else { received_ms });
        stamp.is_present
    }

    #[test]
    fn what_is_older_than_half_of_what_the_topic_keeps_or_takes_gets_the_present_time() {
        for name in [
            "retention.ms",
            "message.timestamp.before.max.ms",
            "message.timestamp.difference.max.ms",
        ] {
            let topic = [(name, "7200000")];
            assert!(!is_present(&topic, NOW - HOUR), "{name}");
            assert!(is_present(&topic, NOW - HOUR - 1), "{name}");
        }
        for name in [
            "message.timestamp.after.max.ms",
            "message.timestamp.difference.max.ms",
        ] {
            let topic = [(name, "7200000"), ("retention.ms", "1000")];
            assert!(!is_present(&topic, NOW + HOUR), "{name}");
            assert!(is_present(&topic, NOW + HOUR + 1), "{name}");
        }
    }

    #[test]
    fn a_topic_without_a_bound_gets_the_event_s_own_time() {
        let old = NOW - 10 * 365 * 24 * HOUR;
        let unbounded = [
            ("retention.ms", "-1"),
            ("message.timestamp.before.max.ms", "9223372036854775807"),
        ];
        let compacted = [("retention.ms", "1000"), ("cleanup.policy", "compact")];
        let stamped = [
            ("retention.ms", "1000"),
            ("message.timestamp.type", "LogAppendTime"),
        ];
        for topic in [&unbounded[..], &compacted, &stamped, &[]] {
            assert!(!is_present(topic, old), "{topic:?}");
        }
        let both = [
            ("retention.ms", "1000"),
            ("cleanup.policy", "compact,delete"),
        ];
        assert!(is_present(&both, old));
    }

    #[test]
    fn a_refused_timestamp_is_learned_from_until_all_pass() {
        // The topic takes nothing older than ten seconds, and nobody may read that.
        let mut timestamps = Timestamps::default();
        let takes = |stamp: Stamp| NOW - stamp.ms <= 10_000;
        let backlog: Vec<u64> = (0..1_000).map(|second| NOW - second * 1_000).collect();
        let mut rounds = 0;
        loop {
            let stamps = backlog
                .iter()
                .map(|received| timestamps.stamp(*received, NOW));
            let refused: Vec<_> = stamps.filter(|stamp| !takes(*stamp)).collect();
            if refused.is_empty() {
                break;
            }
            for stamp in refused {
                timestamps.refused(stamp.ms, NOW);
            }
            timestamps.learn();
            rounds += 1;
        }
        assert_eq!(rounds, 7);
        assert!(!timestamps.stamp(NOW - 5_000, NOW).is_present);
        timestamps.read(TimeBounds::default());
        assert!(!timestamps.stamp(NOW - 500_000, NOW).is_present);
    }

    #[test]
    fn a_clock_that_differs_from_the_broker_s_teaches_nothing() {
        let mut timestamps = Timestamps::default();
        timestamps.refused(NOW - 3, NOW);
        timestamps.learn();
        assert!(!timestamps.stamp(NOW - 2, NOW).is_present);
    }

    #[test]
    fn a_record_may_wait_in_a_producer_until_three_quarters_of_the_bound() {
        let mut timestamps = Timestamps::default();
        assert_eq!(timestamps.may_wait(0, NOW), None);
        timestamps.refused(NOW - 2_000, NOW);
        timestamps.learn();
        assert_eq!(timestamps.may_wait(0, NOW), None, "only learned");
        timestamps.read(bounds(&[("retention.ms", "7200000")]));
        assert_eq!(timestamps.may_wait(NOW - HOUR, NOW), Some(HOUR / 2));
        assert_eq!(timestamps.may_wait(NOW - 2 * HOUR, NOW), Some(0));
    }
}

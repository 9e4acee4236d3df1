//! Which timestamp a record gets, so that Kafka neither refuses it nor deletes it for its age.
//!
//! A record carries the time at which its event was received. After an outage, or when a dead letter is replayed, that time may be
//! older than the topic keeps or accepts: then the record carries the present time, and only its header `ce_time` the event's own.
//! Half of each bound counts as too old, because the record waits on its way and clocks differ.

/// Less than this is a difference of clocks, which another timestamp does not cure.
const SAME_TIME_MS: u64 = 1_000;

/// What a topic's configuration demands of timestamps, in milliseconds; `None`: no bound.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TimeBounds {
    /// The broker puts its own time on each record, so that the producer's does not matter.
    pub broker_stamps: bool,
    /// `retention.ms`, if the topic deletes by time.
    pub retention: Option<u64>,
    /// `message.timestamp.before.max.ms`: how old a record may be when it is written.
    pub before: Option<u64>,
    /// `message.timestamp.after.max.ms`: how far in the future its timestamp may be.
    pub after: Option<u64>,
}

impl TimeBounds {
    /// `value` looks up a property of the topic by its name.
    pub(crate) fn from_properties<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Self {
        // A negative number means that there is no bound.
        let number = |name: &str| value(name)?.parse::<u64>().ok();
        // Until Kafka 3.6 one property bounded both directions.
        let both = number("message.timestamp.difference.max.ms");
        let policy = value("cleanup.policy").unwrap_or("delete");
        let deletes = policy.split(',').any(|policy| policy.trim() == "delete");
        Self {
            broker_stamps: value("message.timestamp.type") == Some("LogAppendTime"),
            retention: number("retention.ms").filter(|_| deletes),
            before: least([number("message.timestamp.before.max.ms"), both]),
            after: least([number("message.timestamp.after.max.ms"), both]),
        }
    }
}

/// A record's timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Milliseconds since the Unix epoch.
    pub(crate) ms: u64,
    /// True if it is the present time, not the time at which the event was received.
    pub(crate) is_present: bool,
}

/// How far a timestamp is from the present, in milliseconds; `None`: not known, or no bound.
#[derive(Debug, Default, Clone, Copy)]
struct Distance {
    age: Option<u64>,
    lead: Option<u64>,
}

/// What is known about one topic, from its configuration and from what it has refused.
#[derive(Debug, Default)]
pub(crate) struct Timestamps {
    bounds: TimeBounds,
    /// The least that the topic has refused.
    refused: Distance,
    /// The greatest that it has refused of the present producer: the neighbours in its batch may be innocent.
    refused_now: Distance,
}

impl Timestamps {
    /// The topic's configuration was read: it replaces what refusals have shown.
    pub(crate) fn configure(&mut self, bounds: TimeBounds) {
        self.bounds = bounds;
        self.refused = Distance::default();
    }

    /// Kafka has refused a record for this timestamp.
    pub(crate) fn on_refused(&mut self, stamp_ms: u64, now_ms: u64) {
        let matters = |distance: &u64| *distance >= SAME_TIME_MS;
        let age = Some(now_ms.saturating_sub(stamp_ms)).filter(matters);
        let lead = Some(stamp_ms.saturating_sub(now_ms)).filter(matters);
        self.refused_now.age = self.refused_now.age.max(age);
        self.refused_now.lead = self.refused_now.lead.max(lead);
    }

    /// A new producer sends what was refused with the present time. Each round at least halves the age that keeps its own time.
    pub(crate) fn apply_refusals(&mut self) {
        let now = std::mem::take(&mut self.refused_now);
        self.refused = Distance {
            age: least([self.refused.age, now.age]),
            lead: least([self.refused.lead, now.lead]),
        };
    }

    /// The timestamp of an event that was received at `received_ms` and is sent now.
    pub(crate) fn stamp(&self, received_ms: u64, now_ms: u64) -> Stamp {
        let age = now_ms.saturating_sub(received_ms);
        let lead = received_ms.saturating_sub(now_ms);
        let oldest = least([self.bounds.retention, self.bounds.before, self.refused.age]);
        let furthest = least([self.bounds.after, self.refused.lead]);
        let is_present = !self.bounds.broker_stamps
            && (oldest.is_some_and(|bound| age > bound / 2)
                || furthest.is_some_and(|bound| lead > bound / 2));
        Stamp {
            ms: if is_present { now_ms } else { received_ms },
            is_present,
        }
    }

    /// How long a record with this timestamp may wait in a producer before it must be sent again with another one, in
    /// milliseconds; `None`: forever.
    ///
    /// What refusals have shown does not count: their cause may have passed, and a record that is too old all the same
    /// is refused and sent again.
    pub(crate) fn max_wait_ms(&self, stamp_ms: u64, now_ms: u64) -> Option<u64> {
        let bound = least([self.bounds.retention, self.bounds.before]);
        let bound = bound.filter(|_| !self.bounds.broker_stamps)?;
        let age = now_ms.saturating_sub(stamp_ms);
        Some((bound / 4 * 3).saturating_sub(age))
    }
}

fn least<const N: usize>(bounds: [Option<u64>; N]) -> Option<u64> {
    bounds.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const NOW: u64 = 1_714_608_475_945;

    fn bounds(properties: &[(&str, &'static str)]) -> TimeBounds {
        TimeBounds::from_properties(|name| {
            let found = properties.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| *value)
        })
    }

    fn is_present(properties: &[(&str, &'static str)], received_ms: u64) -> bool {
        let mut timestamps = Timestamps::default();
        timestamps.configure(bounds(properties));
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
        // The topic takes nothing older than ten seconds, and its configuration cannot be read.
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
                timestamps.on_refused(stamp.ms, NOW);
            }
            timestamps.apply_refusals();
            rounds += 1;
        }
        assert_eq!(rounds, 7);
        assert!(!timestamps.stamp(NOW - 5_000, NOW).is_present);
        timestamps.configure(TimeBounds::default());
        assert!(!timestamps.stamp(NOW - 500_000, NOW).is_present);
    }

    #[test]
    fn a_clock_that_differs_from_the_broker_s_teaches_nothing() {
        let mut timestamps = Timestamps::default();
        timestamps.on_refused(NOW - 3, NOW);
        timestamps.apply_refusals();
        assert!(!timestamps.stamp(NOW - 2, NOW).is_present);
    }

    #[test]
    fn a_record_may_wait_in_a_producer_until_three_quarters_of_the_bound() {
        let mut timestamps = Timestamps::default();
        assert_eq!(timestamps.max_wait_ms(0, NOW), None);
        timestamps.on_refused(NOW - 2_000, NOW);
        timestamps.apply_refusals();
        assert_eq!(timestamps.max_wait_ms(0, NOW), None, "only learned");
        timestamps.configure(bounds(&[("retention.ms", "7200000")]));
        assert_eq!(timestamps.max_wait_ms(NOW - HOUR, NOW), Some(HOUR / 2));
        assert_eq!(timestamps.max_wait_ms(NOW - 2 * HOUR, NOW), Some(0));
    }
}

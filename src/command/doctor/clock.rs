//! What the difference between this machine's clock and Kafka's means for the relay.

use std::time::Duration;

use super::cluster::NTP;
use super::finding::{Id, Level, Report};
use crate::publish::{Survey, TimeBounds, Unknown, Written};

/// A difference of clocks that is worth a warning: it shows in the records' times, and in `ce_time`.
const CLOCK_WARNING: Duration = Duration::from_secs(5);

/// Whether this machine's clock is the cluster's, by the controller's time or by that of the marked record.
pub fn clocks(report: &mut Report, survey: &Survey, principal: &str) {
    let stamped = match survey.written {
        Some(Written::Acknowledged { clock_ms, .. }) => clock_ms,
        _ => None,
    };
    let known = survey.clock.as_ref().and_then(|asked| asked.as_ref().ok());
    match (known.copied().or(stamped), &survey.clock) {
        (Some(ms), _) => clock(report, ms, bounds(survey)),
        (None, Some(Err(Unknown::Forbidden))) => report.unknown(format!(
            "Kafka's clock: {principal} may not describe the cluster"
        )),
        (None, Some(Err(Unknown::Other(reason)))) => {
            report.unknown(format!("Kafka's clock: {reason}"));
        }
        (None, _) => {}
    }
}

/// Of the events' topic, if they are known.
fn bounds(survey: &Survey) -> TimeBounds {
    let config = survey.topics.first();
    let config = config.and_then(|topic| topic.config.as_ref().ok());
    let value = |name: &str| config?.get(name).map(String::as_str);
    TimeBounds::from_properties(value)
}

/// `ms`: the cluster's clock less this machine's.
fn clock(report: &mut Report, ms: i64, bounds: TimeBounds) {
    let distance = Duration::from_millis(ms.unsigned_abs());
    if distance < CLOCK_WARNING {
        report.fine("this machine's clock and Kafka's agree");
        return;
    }
    let (side, limits) = if ms > 0 {
        ("behind", [bounds.before, bounds.retention])
    } else {
        ("ahead of", [bounds.after, None])
    };
    let mut limits = limits.into_iter().flatten();
    let is_refused = !bounds.broker_stamps && limits.any(|limit| limit < ms.unsigned_abs());
    let (level, why) = if is_refused {
        (
            Level::Error,
            "every record's time is beyond what the topic takes or keeps: Kafka refuses the events, and they wait, or deletes them",
        )
    } else {
        (
            Level::Warning,
            "records and ce_time get wrong times, and Kafka refuses or deletes those that are beyond the topic's bounds",
        )
    };
    report.add(
        level,
        Id::Clock,
        format!(
            "this machine's clock is {} {side} Kafka's",
            humantime::format_duration(Duration::from_secs(distance.as_secs()))
        ),
        why,
        NTP,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Topic;

    fn report(survey: &Survey) -> Report {
        let mut report = Report::default();
        clocks(&mut report, survey, "User:relay");
        report
    }

    #[test]
    fn a_clock_that_differs_is_a_warning_and_an_error_beyond_the_topic_s_bounds() {
        let config = [
            ("message.timestamp.after.max.ms", "3600000"),
            ("retention.ms", "7200000"),
        ];
        let config = config.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let topic = || Topic {
            name: String::from("calls"),
            partitions: Ok(Vec::new()),
            config: Ok(config.clone().into()),
            write: Ok(()),
        };
        let hour = 3_600_000;
        for (ms, findings) in [
            (-4_000, &[][..]),
            (5_000, &["warning clock"]),
            (-hour, &["warning clock"]),
            (-hour - 1, &["error clock"]),
            (2 * hour, &["warning clock"]),
            (2 * hour + 1, &["error clock"]),
        ] {
            let asked = Survey {
                topics: vec![topic()],
                clock: Some(Ok(ms)),
                ..Survey::default()
            };
            assert_eq!(report(&asked).names(), findings, "{ms}");
            let stamped = Survey {
                clock: Some(Err(Unknown::Forbidden)),
                written: Some(Written::Acknowledged {
                    partition: 0,
                    offset: 7,
                    took: Duration::from_millis(3),
                    clock_ms: Some(ms),
                }),
                ..asked
            };
            assert_eq!(report(&stamped).names(), findings, "{ms}");
        }
        let hidden = Survey {
            topics: vec![topic()],
            clock: Some(Err(Unknown::Forbidden)),
            ..Survey::default()
        };
        let unknown = report(&hidden).unknown;
        assert_eq!(
            unknown,
            ["Kafka's clock: User:relay may not describe the cluster"]
        );
    }
}

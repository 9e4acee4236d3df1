//! Logs the end of an outage. Without it, the last line of the log would be an error although everything was delivered.

use std::time::{Duration, Instant};

use super::Worker;
use crate::publish::env::Env;

/// How long Kafka must take events again before that is logged, if events are left until then.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// Longer outages are not written in seconds.
const IN_SECONDS: u64 = 120;

/// A time in which Kafka took no event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    since: Instant,
    /// Since when Kafka takes events again.
    over_since: Option<Instant>,
    /// Events that had been delivered when it began.
    delivered: u64,
}

impl<E: Env> Worker<E> {
    /// Notes the beginning of an outage and logs its end.
    pub(super) fn watch_outage(&mut self, now: Instant) {
        let is_outage = self.health.is_outage();
        let Some(outage) = &mut self.outage else {
            self.outage = is_outage.then(|| Outage {
                since: now,
                over_since: None,
                delivered: self.metrics.delivered.get(),
            });
            return;
        };
        if is_outage {
            outage.over_since = None;
            return;
        }
        let over_since = *outage.over_since.get_or_insert(now);
        let is_empty = self.is_at_tail && self.machine.is_empty();
        if !is_empty && now < over_since + SETTLED_AFTER {
            return;
        }
        let lasted = duration(over_since.duration_since(outage.since));
        let delivered = self.metrics.delivered.get() - outage.delivered;
        self.outage = None;
        if is_empty {
            tracing::info!("Kafka is back after {lasted}, {delivered} events delivered");
        } else {
            let left = self.truncator.unpublished();
            tracing::info!(
                "Kafka is back after {lasted}, {delivered} events delivered and {left} to go"
            );
        }
    }

    /// When [`Worker::watch_outage`] is next due.
    pub(super) fn outage_report_at(&self) -> Option<Instant> {
        Some(self.outage?.over_since? + SETTLED_AFTER)
    }
}

/// As `28 s` or `5m 3s`.
fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..IN_SECONDS => format!("{seconds} s"),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_as_long_as_a_reader_expects_it_written() {
        assert_eq!(duration(Duration::from_millis(28_900)), "28 s");
        assert_eq!(duration(Duration::from_secs(119)), "119 s");
        assert_eq!(duration(Duration::from_secs(303)), "5m 3s");
    }
}

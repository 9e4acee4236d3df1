//! Times how long a producer holds records without reporting on any of them.
//!
//! librdkafka retries forever, and some of its states end only with the producer: it may keep asking the leader of a topic that was
//! deleted and created again, or hang in the resolver. From outside these look like an outage, so the only sign is the time since
//! the last report.

use std::time::{Duration, Instant};

/// The least time between two replacements that did not help: an outage of hours must not cost a producer every minute.
const LONG_TIMEOUT: Duration = Duration::from_mins(5);

/// The time since the last report, and how long it may grow.
#[derive(Debug)]
pub(crate) struct StallTimer {
    /// `kafka.stall_timeout`.
    configured: Duration,
    timeout: Duration,
    since: Instant,
}

impl StallTimer {
    pub(crate) fn new(configured: Duration, now: Instant) -> Self {
        Self {
            configured,
            timeout: configured,
            since: now,
        }
    }

    /// A report is awaited from now on.
    pub(crate) fn start(&mut self, now: Instant) {
        self.since = now;
    }

    /// A report has come.
    pub(crate) fn on_report(&mut self, now: Instant) {
        self.since = now;
        self.reset_timeout();
    }

    /// Something has changed that may help the next producer: it gets no more than the configured time.
    pub(crate) fn reset_timeout(&mut self) {
        self.timeout = self.configured;
    }

    /// The producer is replaced because it stalled: the next one gets more time.
    pub(crate) fn extend_timeout(&mut self) {
        self.timeout = self.configured.max(LONG_TIMEOUT);
    }

    /// When the wait for a report began.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// When the producer counts as stalled.
    pub(crate) fn deadline(&self) -> Instant {
        self.since + self.timeout
    }
}

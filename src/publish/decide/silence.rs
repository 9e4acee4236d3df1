//! How long a producer may have records and say nothing of them.
//!
//! librdkafka retries for ever, and some of its states end only with the producer: it may ask a leader that a topic had
//! before it was deleted and made again, or hang in the resolver. From outside these look like an outage, so the one
//! question is how long nothing was heard.

use std::time::{Duration, Instant};

/// Between two replacements that did not help, at least: an outage of hours must not cost a producer a minute.
const RARELY: Duration = Duration::from_mins(5);

/// The silence that lasts at present, and how long it may.
#[derive(Debug)]
pub(crate) struct Silence {
    timeout: Duration,
    patience: Duration,
    since: Instant,
}

impl Silence {
    pub(crate) fn new(timeout: Duration, now: Instant) -> Self {
        Self {
            timeout,
            patience: timeout,
            since: now,
        }
    }

    /// From now on a report is awaited.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since = now;
    }

    /// A report has come: the next silence may last no longer than the first one.
    pub(crate) fn end(&mut self, now: Instant) {
        self.since = now;
        self.patience = self.timeout;
    }

    /// Something else has changed that may help the next producer.
    pub(crate) fn hope(&mut self) {
        self.patience = self.timeout;
    }

    /// The producer is replaced for it; the next one has longer.
    pub(crate) fn give_up(&mut self) {
        self.patience = self.timeout.max(RARELY);
    }

    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// When it has lasted too long.
    pub(crate) fn too_long_at(&self) -> Instant {
        self.since + self.patience
    }
}

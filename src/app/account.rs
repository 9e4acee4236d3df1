//! What a running relay has done: now and then how long an outage it can hold at the rate that it sees, in one line, and at the end
//! a summary.

use std::time::Duration;

use tokio::time::Instant;

use crate::ingest::Ingest;
use crate::journal::{self, Losses};
use crate::outage;
use crate::publish::{self, Ack};
use crate::words::about;

/// After so long there is a rate worth reporting.
const FIRST_REPORT: Duration = Duration::from_mins(10);
/// Then once a day: a log is read for what is new.
const INTERVAL: Duration = Duration::from_hours(24);

/// Where the figures are read from, and when they are reported.
pub(super) struct Account {
    ingest: Ingest,
    journal: journal::Metrics,
    publish: publish::Metrics,
    started: Instant,
    /// When the rate is reported next.
    pub(super) due: Instant,
    last: Seen,
}

/// Totals at a moment.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    events: u64,
    /// Written to the journal.
    bytes: u64,
}

impl Account {
    pub(super) fn new(
        ingest: Ingest,
        journal: journal::Metrics,
        publish: publish::Metrics,
    ) -> Self {
        let started = Instant::now();
        let bytes = journal.snapshot().map_or(0, |now| now.written);
        Self {
            ingest,
            journal,
            publish,
            started,
            due: started + FIRST_REPORT,
            last: Seen {
                at: started,
                events: 0,
                bytes,
            },
        }
    }

    /// Logs how long an outage the journal can hold at the rate since the last report, if there were events.
    pub(super) fn report_rate(&mut self) {
        let now = Instant::now();
        self.due = now + INTERVAL;
        let Some(journal) = self.journal.snapshot() else {
            return;
        };
        let seen = Seen {
            at: now,
            events: self.ingest.figures().accepted,
            bytes: journal.written,
        };
        if let Some(rate) = Rate::between(&self.last, &seen) {
            let room = journal.budget.saturating_sub(journal.bytes);
            tracing::info!(
                events_per_second = rate.events_per_second(),
                bytes_per_event = rate.bytes / rate.events,
                holds = outage::words(outage::held(room, rate.bytes_per_second())),
                "at the rate seen so far, the journal can hold an outage of Kafka of this length"
            );
        }
        self.last = seen;
    }

    /// What has become of all events since the start; `left` if it is known.
    pub(super) fn summary(&self, ack: Ack, left: Option<u64>) -> Summary {
        let ingest = self.ingest.figures();
        let journal = self.journal.figures();
        let publish = self.publish.figures();
        let refused = ingest.refused.into_iter();
        let mut refused: Vec<_> = refused.filter(|(_, requests)| *requests > 0).collect();
        refused.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
        Summary {
            recovered: journal.recovered,
            accepted: ingest.accepted,
            duplicates: ingest.duplicates,
            delivered: publish.delivered,
            dead_letters: publish.dead_letters,
            losses: journal.losses,
            left,
            ack,
            refused,
            uptime: self.started.elapsed(),
        }
    }
}

/// What a relay has done from its start to its end.
#[derive(Debug)]
pub struct Summary {
    /// Events that were in the journal at the start.
    pub recovered: u64,
    /// Events that were answered 2xx, without duplicates.
    pub accepted: u64,
    /// Events answered 204 without a second record.
    pub duplicates: u64,
    /// Events that Kafka has acknowledged.
    pub delivered: u64,
    /// Events that were set aside.
    pub dead_letters: u64,
    /// Events that the disk has lost or cannot read.
    pub losses: Losses,
    /// Events that are not published; `None` if a thread hangs, so that nobody knows.
    pub left: Option<u64>,
    /// Whether the journal keeps what is left.
    pub ack: Ack,
    /// Refused requests, and connections closed for a fault, by reason, the most frequent first.
    pub refused: Vec<(&'static str, u64)>,
    /// Since the start.
    pub uptime: Duration,
}

impl Summary {
    /// All refused requests.
    pub fn refused(&self) -> u64 {
        self.refused.iter().map(|(_, requests)| requests).sum()
    }

    /// Each reason with its number; `None` if nothing was refused.
    pub fn reasons(&self) -> Option<String> {
        let reasons = self.refused.iter();
        let reasons = reasons.map(|(reason, requests)| format!("{reason} {requests}"));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        Some(reasons).filter(|reasons| !reasons.is_empty())
    }

    /// The uptime in words.
    pub fn uptime(&self) -> String {
        about(self.uptime)
    }

    /// One line of the log.
    pub fn log(&self) {
        tracing::info!(
            recovered = self.recovered,
            accepted = self.accepted,
            duplicates = self.duplicates,
            delivered = self.delivered,
            dead_letters = self.dead_letters,
            lost = self.losses.corrupt,
            unreadable = self.losses.unreadable,
            left = self.left,
            refused = self.refused(),
            reasons = self.reasons(),
            uptime = self.uptime(),
            "summary"
        );
    }
}

/// What came between two moments.
struct Rate {
    events: u64,
    bytes: u64,
    seconds: f64,
}

impl Rate {
    /// `None` without events, or if the journal is in memory, where nothing is written.
    fn between(before: &Seen, after: &Seen) -> Option<Self> {
        let rate = Self {
            events: after.events.checked_sub(before.events)?,
            bytes: after.bytes.checked_sub(before.bytes)?,
            seconds: after.at.duration_since(before.at).as_secs_f64(),
        };
        (rate.events > 0 && rate.bytes > 0 && rate.seconds > 0.0).then_some(rate)
    }

    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.seconds
    }

    /// To three digits behind the point, so that a few events an hour are not none.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn events_per_second(&self) -> f64 {
        (self.events as f64 / self.seconds * 1_000.0).round() / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_events_on_disk() {
        let before = Seen {
            at: Instant::now(),
            events: 100,
            bytes: 1 << 20,
        };
        let after = |events, bytes| Seen {
            at: before.at + Duration::from_mins(10),
            events: before.events + events,
            bytes: before.bytes + bytes,
        };
        let rate = Rate::between(&before, &after(6_000, 6_000 * 4_096)).expect("there were events");
        assert!((rate.events_per_second() - 10.0).abs() < 1e-9);
        assert!((rate.bytes_per_second() - 40_960.0).abs() < 1e-6);
        assert!(Rate::between(&before, &after(0, 4_096)).is_none());
        assert!(Rate::between(&before, &after(1, 0)).is_none());
        assert!(Rate::between(&after(1, 1), &before).is_none());
    }
}

//! Ingest's metrics. Every child is resolved with its source, so a request looks nothing up and allocates nothing for it.

mod figures;

use std::collections::BTreeSet;
use std::time::Duration;

use prometheus::{
    Error, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};

use super::config::SourceConfig;
use super::payload::EventKind;
use super::refusal::Reason;
use crate::telemetry::Registry;

pub use self::figures::Figures;

/// Every status that a request can be answered with.
const CODES: [u16; 13] = [
    200, 204, 400, 401, 403, 404, 405, 408, 413, 415, 429, 431, 503,
];
/// Seconds. Dense around the time of a disk's sync, which decides an answer's time; up to the sender's limit of 10 s.
const ANSWER_BUCKETS: [f64; 14] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// Seconds. From hashing a kilobyte to a body that takes all of `body_timeout`. The objective of deploy/prometheus needs 0.25, and
/// its alert for slow acknowledgements 1.
const STAGE_BUCKETS: [f64; 14] = [
    0.000_005, 0.000_02, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 2.5, 5.0,
    10.0,
];
/// The label of all names that neither the source's scheme documents nor its `topics` have.
const OTHER_KIND: &str = "other";

/// The metrics of all sources.
#[derive(Debug)]
pub struct Metrics {
    pub(super) connections: IntGauge,
    certificate_expiry: IntGaugeVec,
    pub(super) body_bytes: IntGauge,
    pub(super) receive: Histogram,
    pub(super) verify: Histogram,
    pub(super) validate: Histogram,
    pub(super) commit: Histogram,
    /// Requests on unknown paths, and connections that failed without a request.
    pub(super) unknown: RequestMetrics,
    families: Families,
}

/// What is counted of each request.
#[derive(Debug)]
pub(super) struct RequestMetrics {
    answers: Vec<(u16, IntCounter)>,
    rejections: [IntCounter; Reason::ALL.len()],
    duration: Histogram,
}

/// What is counted of one source's requests and events.
#[derive(Debug)]
pub(super) struct SourceMetrics {
    pub(super) requests: RequestMetrics,
    kinds: Vec<(String, IntCounter)>,
    other_kind: IntCounter,
    unnamed: IntCounter,
    unparsed: IntCounter,
    without_key: IntCounter,
    /// Values that were not carried.
    pub(super) left_out: IntCounter,
    pub(super) dedup: DedupMetrics,
    /// By the index of the key that matched.
    pub(super) matches: Vec<IntCounter>,
}

/// What is counted of one source's window of duplicates.
#[derive(Debug, Clone)]
pub(super) struct DedupMetrics {
    pub(super) duplicates: IntCounter,
    /// Marks that were forgotten before their time for lack of room.
    pub(super) over_capacity: IntCounter,
    /// Marks that were not written to a file.
    pub(super) unsaved: IntCounter,
}

/// A source's refusals by reason, and beside them the signatures that matched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusals {
    pub(super) matched: u64,
    pub(super) refused: [u64; Reason::ALL.len()],
}

impl Refusals {
    /// What was counted after `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            matched: self.matched - before.matched,
            refused: std::array::from_fn(|reason| self.refused[reason] - before.refused[reason]),
        }
    }
}

/// The counters that one event increments when it is committed.
pub(super) struct EventCounters {
    kind: IntCounter,
    /// `None` if the event has a key.
    without_key: Option<IntCounter>,
}

impl EventCounters {
    pub(super) fn count(&self) {
        self.kind.inc();
        if let Some(counter) = &self.without_key {
            counter.inc();
        }
    }
}

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let families = Families::register(registry)?;
        let stages = registry.histograms(
            "stage_duration_seconds",
            "Time that an event spends in each stage of ingest.",
            &["stage"],
            &STAGE_BUCKETS,
        )?;
        Ok(Self {
            connections: registry.gauge("http_connections", "Open webhook connections.")?,
            certificate_expiry: registry.gauges(
                "tls_certificate_expiry_timestamp_seconds",
                "When the certificate in use on the webhook listener expires, in seconds since the Unix epoch; absent without listen.tls.",
                &[],
            )?,
            body_bytes: registry.gauge(
                "http_body_bytes",
                "Bytes of request bodies in memory, from their arrival until they are synced, and of heads while their bodies arrive.",
            )?,
            receive: stages.with_label_values(&["receive"]),
            verify: stages.with_label_values(&["verify"]),
            validate: stages.with_label_values(&["validate"]),
            commit: stages.with_label_values(&["commit"]),
            unknown: families.requests_of(""),
            families,
        })
    }

    /// Exposed from now on: a listener without a certificate has no value that could raise an alarm.
    pub(super) fn certificate_expiry(&self) -> IntGauge {
        self.certificate_expiry.with_label_values::<&str>(&[])
    }

    /// The metrics of one source. A source that was there before counts on.
    pub(super) fn source(&self, source: &SourceConfig) -> SourceMetrics {
        self.families.source(source)
    }

    /// What was counted so far of requests to no source.
    pub(super) fn refusals_of_none(&self) -> Refusals {
        self.unknown.refusals(0)
    }
}

impl RequestMetrics {
    /// Counts an answer, given this long after the head.
    pub(super) fn answered(&self, status: u16, elapsed: Duration) {
        let answer = self.answers.iter().find(|(code, _)| *code == status);
        debug_assert!(answer.is_some(), "{status} has no counter");
        if let Some((_, counter)) = answer {
            counter.inc();
        }
        self.duration.observe(elapsed.as_secs_f64());
    }

    /// Counts a refused request, or a connection closed for a fault.
    pub(super) fn rejected(&self, reason: Reason) {
        self.rejections[reason as usize].inc();
    }

    fn refusals(&self, matched: u64) -> Refusals {
        Refusals {
            matched,
            refused: self.rejections.each_ref().map(IntCounter::get),
        }
    }
}

impl SourceMetrics {
    /// What was counted so far of the source's requests.
    pub(super) fn refusals(&self) -> Refusals {
        let matched = self.matches.iter().map(IntCounter::get).sum();
        self.requests.refusals(matched)
    }

    /// The counters of an event of this kind.
    pub(super) fn of_event(&self, kind: EventKind<'_>, has_key: bool) -> EventCounters {
        let counter = match kind {
            EventKind::Named(name) => {
                let known = self.kinds.iter().find(|(known, _)| *known == name);
                known.map_or(&self.other_kind, |(_, counter)| counter)
            }
            EventKind::Unnamed => &self.unnamed,
            EventKind::Unparsed => &self.unparsed,
        };
        EventCounters {
            kind: counter.clone(),
            without_key: (!has_key).then(|| self.without_key.clone()),
        }
    }
}

#[derive(Debug)]
struct Families {
    requests: IntCounterVec,
    duration: HistogramVec,
    rejections: IntCounterVec,
    accepted: IntCounterVec,
    without_key: IntCounterVec,
    left_out: IntCounterVec,
    duplicates: IntCounterVec,
    forgotten: IntCounterVec,
    matches: IntCounterVec,
}

impl Families {
    fn register(registry: &Registry) -> Result<Self, Error> {
        Ok(Self {
            requests: registry.counters(
                "http_requests_total",
                "Webhook requests that ringback answered. Requests that its HTTP parser refuses are counted as rejections only. The source is empty if no source has the path.",
                &["source", "code"],
            )?,
            duration: registry.histograms(
                "http_request_duration_seconds",
                "Time from a request's head to its answer, which for an accepted event comes after the sync.",
                &["source"],
                &ANSWER_BUCKETS,
            )?,
            rejections: registry.counters(
                "http_rejections_total",
                "Refused requests, and connections closed for a fault, by reason. The source is empty if it is not known.",
                &["source", "reason"],
            )?,
            accepted: registry.counters(
                "events_accepted_total",
                "Events committed to the journal, whether or not the sender waited for the answer.",
                &["source", "kind"],
            )?,
            without_key: registry.counters(
                "events_without_key_total",
                "Accepted events without a key: none of the source's key pointers led to a string, or its key header was missing.",
                &["source"],
            )?,
            left_out: registry.counters(
                "carry_left_out_total",
                "Values of headers and query parameters that a source carries, left out of an event because they are no visible text or beyond 32 values and 8 KiB.",
                &["source"],
            )?,
            duplicates: registry.counters(
                "events_duplicate_total",
                "Events answered 204 without a second record, because their id was committed within the source's dedup window.",
                &["source"],
            )?,
            forgotten: registry.counters(
                "dedup_forgotten_total",
                "Accepted events that a dedup window does not remember for its whole length: for lack of room (capacity), or after a restart, because they could not be written to its file (file).",
                &["source", "reason"],
            )?,
            matches: registry.counters(
                "signature_matches_total",
                "Requests with a matching signature, by the key that matched.",
                &["source", "key"],
            )?,
        })
    }

    fn requests_of(&self, source: &str) -> RequestMetrics {
        RequestMetrics {
            answers: CODES
                .iter()
                .map(|code| {
                    let label = code.to_string();
                    (*code, self.requests.with_label_values(&[source, &label]))
                })
                .collect(),
            rejections: Reason::ALL
                .map(|reason| self.rejections.with_label_values(&[source, reason.label()])),
            duration: self.duration.with_label_values(&[source]),
        }
    }

    fn source(&self, source: &SourceConfig) -> SourceMetrics {
        let name = source.name.as_str();
        let kind = |kind: &str| self.accepted.with_label_values(&[name, kind]);
        let forgotten = |reason: &str| self.forgotten.with_label_values(&[name, reason]);
        let documented = source.verify.event_kinds().iter().copied();
        let configured = source.topics.0.keys().map(String::as_str);
        let kinds: BTreeSet<_> = documented.chain(configured).collect();
        SourceMetrics {
            requests: self.requests_of(name),
            kinds: kinds
                .into_iter()
                .map(|known| (known.to_owned(), kind(known)))
                .collect(),
            other_kind: kind(OTHER_KIND),
            unnamed: kind(EventKind::Unnamed.name()),
            unparsed: kind(EventKind::Unparsed.name()),
            without_key: self.without_key.with_label_values(&[name]),
            left_out: self.left_out.with_label_values(&[name]),
            dedup: DedupMetrics {
                duplicates: self.duplicates.with_label_values(&[name]),
                over_capacity: forgotten("capacity"),
                unsaved: forgotten("file"),
            },
            matches: source
                .key_labels()
                .map(|key| self.matches.with_label_values(&[name, key.as_str()]))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::Verify;

    #[test]
    fn names_that_the_scheme_does_not_document_share_one_label() {
        let source = SourceConfig {
            name: "retell".into(),
            path: "/".into(),
            verify: Verify::None,
            keys: Vec::new(),
            ..SourceConfig::default()
        };
        let source = Metrics::register(&Registry::new()).unwrap().source(&source);
        for name in ["call_ended", "call_ended2", "", "none", "unparsed"] {
            source.of_event(EventKind::Named(name), true).count();
        }
        for kind in [EventKind::Unnamed, EventKind::Unparsed] {
            source.of_event(kind, false).count();
        }
        let known = source.kinds.iter().find(|(kind, _)| *kind == "call_ended");
        assert_eq!(known.unwrap().1.get(), 1);
        assert_eq!(source.other_kind.get(), 4);
        assert_eq!(source.unnamed.get(), 1);
        assert_eq!(source.unparsed.get(), 1);
        assert_eq!(source.kinds.len(), 13);
    }
}

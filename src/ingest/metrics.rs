//! What ingest counts. Every child is resolved at start: a request looks nothing up and allocates nothing for it.

use super::config::SourceConfig;
use super::refusal::{LABELS, Rejection};
use crate::event;
use crate::telemetry::Registry;
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
};
use std::time::Duration;

/// Every status that a request can be answered with.
const CODES: [u16; 11] = [204, 400, 401, 403, 404, 405, 408, 413, 415, 431, 503];
/// Seconds. Dense around the time of a disk's sync, where the answer's time is decided; up to the sender's 10 s.
const ANSWER_BUCKETS: [f64; 14] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// Seconds. From hashing a kilobyte to a body that takes all of its time.
const STAGE_BUCKETS: [f64; 12] = [
    0.000_005, 0.000_02, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0,
];

/// Ingest's metrics, all sources'.
#[derive(Debug)]
pub struct Metrics {
    pub(super) connections: IntGauge,
    pub(super) body_bytes: IntGauge,
    pub(super) receive: Histogram,
    pub(super) verify: Histogram,
    pub(super) validate: Histogram,
    pub(super) commit: Histogram,
    /// What happens before a source is known.
    pub(super) unknown: SourceMetrics,
    /// In the order of the configuration.
    pub(super) sources: Vec<SourceMetrics>,
}

/// One source's children.
#[derive(Debug)]
pub(super) struct SourceMetrics {
    answers: Vec<(u16, IntCounter)>,
    rejections: Vec<(&'static str, IntCounter)>,
    pub(super) duration: Histogram,
    accepted: Vec<(&'static str, IntCounter)>,
    pub(super) without_key: Option<IntCounter>,
    pub(super) matches: Vec<IntCounter>,
}

struct Families {
    requests: IntCounterVec,
    duration: HistogramVec,
    rejections: IntCounterVec,
    accepted: IntCounterVec,
    without_key: IntCounterVec,
    matches: IntCounterVec,
}

impl Metrics {
    /// Registers everything, with a child for each of `sources`.
    pub fn register(registry: &Registry, sources: &[SourceConfig]) -> Result<Self, Error> {
        let families = Families::register(registry)?;
        let connections = IntGauge::new("http_connections", "Webhook connections that are open.")?;
        let body_bytes = IntGauge::new(
            "http_body_bytes",
            "Bytes of request bodies held in memory, from their arrival until they are synced (and of heads while their bodies are awaited).",
        )?;
        let stages = HistogramVec::new(
            HistogramOpts::new(
                "stage_duration_seconds",
                "Time that an event spends in each stage of ingest.",
            )
            .buckets(STAGE_BUCKETS.to_vec()),
            &["stage"],
        )?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(body_bytes.clone()))?;
        registry.register(Box::new(stages.clone()))?;
        Ok(Self {
            connections,
            body_bytes,
            receive: stages.with_label_values(&["receive"]),
            verify: stages.with_label_values(&["verify"]),
            validate: stages.with_label_values(&["validate"]),
            commit: stages.with_label_values(&["commit"]),
            unknown: families.resolve("", None),
            sources: sources
                .iter()
                .map(|source| families.resolve(&source.name, Some(source)))
                .collect(),
        })
    }

    /// The children of the source at `index`, or of requests without one.
    pub(super) fn of(&self, index: Option<usize>) -> &SourceMetrics {
        index
            .and_then(|index| self.sources.get(index))
            .unwrap_or(&self.unknown)
    }
}

impl SourceMetrics {
    /// Counts an answer.
    pub(super) fn answered(&self, status: u16, after: Duration) {
        if let Some((_, counter)) = self.answers.iter().find(|(code, _)| *code == status) {
            counter.inc();
        }
        self.duration.observe(after.as_secs_f64());
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, rejection: Rejection) {
        self.count(rejection.label());
    }

    /// Counts a refusal that no answer could be given to; `label` is one of [`LABELS`].
    pub(super) fn count(&self, label: &str) {
        if let Some((_, counter)) = self.rejections.iter().find(|(known, _)| *known == label) {
            counter.inc();
        }
    }

    /// The counter of committed events of this kind.
    pub(super) fn accepted(&self, kind: &str) -> Option<&IntCounter> {
        let label = event::kind_label(kind);
        self.accepted
            .iter()
            .find(|(known, _)| *known == label)
            .map(|(_, counter)| counter)
    }
}

impl Families {
    fn register(registry: &Registry) -> Result<Self, Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, Error>(counter)
        };
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "http_request_duration_seconds",
                "Time from a request's head to its answer; for an accepted event that is after the sync.",
            )
            .buckets(ANSWER_BUCKETS.to_vec()),
            &["source"],
        )?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self {
            requests: counter(
                "http_requests_total",
                "Webhook requests that ringback answered (what its HTTP parser refuses by itself is in the rejections only); the source is empty where the path belongs to none.",
                &["source", "code"],
            )?,
            duration,
            rejections: counter(
                "http_rejections_total",
                "Refused requests and connections closed for a fault, by reason; the source is empty where it was not known.",
                &["source", "reason"],
            )?,
            accepted: counter(
                "events_accepted_total",
                "Events committed to the journal, whether or not the sender waited for the answer.",
                &["source", "kind"],
            )?,
            without_key: counter(
                "events_without_key_total",
                "Accepted events in which none of the source's key pointers led to a string.",
                &["source"],
            )?,
            matches: counter(
                "signature_matches_total",
                "Requests whose signature matched, by the key that it matched.",
                &["source", "key"],
            )?,
        })
    }

    fn resolve(&self, name: &str, source: Option<&SourceConfig>) -> SourceMetrics {
        let labelled = |family: &IntCounterVec, label: &'static str| {
            (label, family.with_label_values(&[name, label]))
        };
        let keys = source.map_or(0, |source| source.keys.len());
        SourceMetrics {
            answers: CODES
                .iter()
                .map(|code| {
                    let label = code.to_string();
                    (*code, self.requests.with_label_values(&[name, &label]))
                })
                .collect(),
            rejections: LABELS
                .into_iter()
                .map(|label| labelled(&self.rejections, label))
                .collect(),
            duration: self.duration.with_label_values(&[name]),
            accepted: event::kind_labels()
                .filter(|_| source.is_some())
                .map(|label| labelled(&self.accepted, label))
                .collect(),
            without_key: source.map(|_| self.without_key.with_label_values(&[name])),
            matches: (0..keys)
                .filter_map(|index| source.map(|source| source.key_label(index)))
                .map(|key| self.matches.with_label_values(&[name, key.as_str()]))
                .collect(),
        }
    }
}

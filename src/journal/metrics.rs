//! The journal's metrics. Gauges such as ages and sizes are computed when they are collected.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramTimer, IntCounter, IntGauge};

use crate::telemetry::Registry;

/// Seconds, from a sync that the disk's cache answers to one that stalls (a cloud disk: p50 0.2 ms, p99 3 to 8 ms).
const SYNC_SECONDS: [f64; 13] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];
/// From one event in each sync (idle) to a full queue.
const BATCH_EVENTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1024.0, 8192.0];

/// The gauges' values, all of one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Snapshot {
    /// Bytes that count against the budget.
    pub bytes: u64,
    /// The budget in force, in bytes.
    pub budget: u64,
    /// Written to the journal's files since the process started, and what was found there, in bytes. 0 if it is in memory.
    pub written: u64,
    /// Records not yet published.
    pub unpublished: u64,
    /// The age of the oldest of them, in seconds.
    pub oldest_seconds: f64,
    /// Until the budget is used up, in seconds.
    pub exhaustion_seconds: f64,
    /// A write or sync has failed.
    pub poisoned: bool,
}

type Source = Box<dyn Fn() -> Option<Snapshot> + Send + Sync>;

/// Acknowledged records that were not published, since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Lost to damage on disk.
    pub corrupt: u64,
    /// Passed over because they stayed unreadable.
    pub unreadable: u64,
}

/// What has become of the records so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Unpublished when the journal was opened.
    pub recovered: u64,
    /// Never published.
    pub losses: Losses,
    /// Not yet published; `None` once the journal is closed.
    pub unpublished: Option<u64>,
}

/// Registered before the journal is opened; the journal then counts through it.
#[derive(Clone)]
pub struct Metrics {
    sync_seconds: Histogram,
    batch: Histogram,
    recovered: IntGauge,
    corrupt: IntCounter,
    unreadable: IntCounter,
    blocked_seconds: Gauge,
    source: Arc<OnceLock<Source>>,
}

impl Metrics {
    /// Registers every `journal_` metric.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = Gauges::new()?;
        let source = gauges.source.clone();
        registry.register(Box::new(gauges))?;
        Ok(Self {
            sync_seconds: registry.histogram(
                "journal_sync_duration_seconds",
                "Time of one fdatasync of the journal, which a batch of events shares",
                &SYNC_SECONDS,
            )?,
            batch: registry.histogram(
                "journal_batch_events",
                "Events that shared one write and sync of the journal",
                &BATCH_EVENTS,
            )?,
            recovered: registry.gauge(
                "journal_recovered_events",
                "Unpublished events found in the journal when it was opened",
            )?,
            corrupt: registry.counter(
                "journal_corrupt_records_total",
                "Records lost to damage on disk; copies of the damaged bytes are kept beside the journal",
            )?,
            unreadable: registry.counter(
                "journal_unreadable_records_total",
                "Records passed over because they stayed unreadable for read_patience; their segments are kept whole beside the journal",
            )?,
            blocked_seconds: registry.add(Gauge::new(
                "journal_read_blocked_seconds",
                "How long publishing has been waiting for a place of the journal that cannot be read; 0 if everything can be read",
            ))?,
            source,
        })
    }

    /// The gauges' values; `None` before the journal is open, and once it is closed.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.source.get().and_then(|source| source())
    }

    /// What has become of the records so far.
    pub fn figures(&self) -> Figures {
        let now = self.snapshot();
        Figures {
            recovered: u64::try_from(self.recovered.get()).unwrap_or_default(),
            losses: self.losses(),
            unpublished: now.map(|now| now.unpublished),
        }
    }

    /// What is never published.
    pub(super) fn losses(&self) -> Losses {
        Losses {
            corrupt: self.corrupt.get(),
            unreadable: self.unreadable.get(),
        }
    }

    /// Sets what recovery found, once.
    pub(super) fn recovered(&self, events: u64, missing: u64) {
        self.recovered
            .set(i64::try_from(events).unwrap_or(i64::MAX));
        self.corrupt.inc_by(missing);
    }

    /// Corrects what recovery found: a segment that it could not read holds so many records more, or fewer, than estimated.
    pub(super) fn recovered_more(&self, more: i64) {
        self.recovered.add(more);
    }

    /// Sets how long the reader has been waiting for an unreadable place.
    pub(super) fn read_blocked(&self, waited: Duration) {
        self.blocked_seconds.set(waited.as_secs_f64());
    }

    pub(super) fn corrupt_records(&self, count: u64) {
        self.corrupt.inc_by(count);
    }

    pub(super) fn unreadable_records(&self, count: u64) {
        self.unreadable.inc_by(count);
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "a batch is far smaller than 2^52"
    )]
    pub(super) fn batch_events(&self, count: usize) {
        self.batch.observe(count as f64);
    }

    pub(super) fn sync_timer(&self) -> HistogramTimer {
        self.sync_seconds.start_timer()
    }

    /// Sets where the gauges get their values from; it returns `None` once the journal is closed. Only the first call counts.
    pub(super) fn set_source(&self, source: Source) {
        let _ = self.source.set(source);
    }
}

struct Gauges {
    bytes: IntGauge,
    budget: IntGauge,
    unpublished: IntGauge,
    oldest: Gauge,
    exhaustion: Gauge,
    poisoned: IntGauge,
    source: Arc<OnceLock<Source>>,
}

impl Gauges {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            bytes: IntGauge::new(
                "journal_bytes",
                "Bytes of unpublished events and dead letters, which count against the budget",
            )?,
            budget: IntGauge::new(
                "journal_budget_bytes",
                "What the journal may hold: the configured budget, or what its volume has room for if that is less (ack = \"kafka\": seven eighths of listen.max_in_flight); beyond it webhooks are answered 503",
            )?,
            unpublished: IntGauge::new(
                "journal_unpublished_events",
                "Events that the journal holds and that are neither in Kafka nor dead-lettered",
            )?,
            oldest: Gauge::new(
                "journal_oldest_unpublished_age_seconds",
                "How long the oldest unpublished event has been waiting; 0 if there is none",
            )?,
            exhaustion: Gauge::new(
                "journal_exhaustion_seconds",
                "Time until the budget is used up at the rate of the last minute; +Inf if usage is not growing (ack = \"kafka\": 0 while it is used up, else +Inf)",
            )?,
            poisoned: IntGauge::new(
                "journal_poisoned",
                "1 after a write or sync has failed: nothing more is acknowledged, and the process is about to end",
            )?,
            source: Arc::new(OnceLock::new()),
        })
    }

    fn all(&self) -> [&dyn Collector; 6] {
        [
            &self.bytes,
            &self.budget,
            &self.unpublished,
            &self.oldest,
            &self.exhaustion,
            &self.poisoned,
        ]
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // After the journal is closed, the last values stay.
        if let Some(now) = self.source.get().and_then(|source| source()) {
            let integer = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            self.bytes.set(integer(now.bytes));
            self.budget.set(integer(now.budget));
            self.unpublished.set(integer(now.unpublished));
            self.oldest.set(now.oldest_seconds);
            self.exhaustion.set(now.exhaustion_seconds);
            self.poisoned.set(i64::from(now.poisoned));
        }
        self.all()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}

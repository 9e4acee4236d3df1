//! The journal's metrics. What changes by itself (ages, sizes) is computed when it is asked for.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramOpts, HistogramTimer, IntCounter, IntGauge, Opts};

use crate::telemetry::Registry;

/// From a sync that the disk's cache answers to one that stalls (measured: p50 0.2 ms, p99 3-8 ms on a cloud disk).
const SYNC_SECONDS: [f64; 13] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];
/// From one event a sync (idle) to a full queue.
const BATCH_EVENTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1024.0, 8192.0];

/// What the gauges say, all of one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Snapshot {
    /// Bytes that count against the budget.
    pub bytes: u64,
    /// The budget, in bytes.
    pub budget: u64,
    /// Records not yet published.
    pub unpublished: u64,
    /// The oldest of them, in seconds.
    pub oldest_seconds: f64,
    /// Until the budget is used up, in seconds.
    pub exhaustion_seconds: f64,
    /// A write or sync has failed.
    pub poisoned: bool,
}

type Source = Box<dyn Fn() -> Option<Snapshot> + Send + Sync>;

/// Registered before the journal is opened; the journal then counts through it.
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
        let sync_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "journal_sync_duration_seconds",
                "Time of one fdatasync of the journal, which a batch of events shares",
            )
            .buckets(SYNC_SECONDS.to_vec()),
        )?;
        let batch = Histogram::with_opts(
            HistogramOpts::new(
                "journal_batch_events",
                "Events that shared one write and sync of the journal",
            )
            .buckets(BATCH_EVENTS.to_vec()),
        )?;
        let recovered = IntGauge::new(
            "journal_recovered_events",
            "Unpublished events that were found in the journal at start",
        )?;
        let corrupt = IntCounter::new(
            "journal_corrupt_records_total",
            "Records lost to damage on disk; copies of what was damaged are set aside beside the journal",
        )?;
        let unreadable = IntCounter::new(
            "journal_unreadable_records_total",
            "Records passed over because their place on disk stayed unreadable for read_patience; their segments are set aside whole",
        )?;
        let blocked_seconds = Gauge::new(
            "journal_read_blocked_seconds",
            "How long publishing has been waiting for a place of the journal that cannot be read; 0 while everything can be",
        )?;
        let gauges = Gauges::new()?;
        let source = gauges.source.clone();
        registry.register(Box::new(sync_seconds.clone()))?;
        registry.register(Box::new(batch.clone()))?;
        registry.register(Box::new(recovered.clone()))?;
        registry.register(Box::new(corrupt.clone()))?;
        registry.register(Box::new(unreadable.clone()))?;
        registry.register(Box::new(blocked_seconds.clone()))?;
        registry.register(Box::new(gauges))?;
        Ok(Self {
            sync_seconds,
            batch,
            recovered,
            corrupt,
            unreadable,
            blocked_seconds,
            source,
        })
    }

    /// What recovery found: the gauge is set once.
    pub(super) fn recovered(&self, events: u64, missing: u64) {
        self.recovered
            .set(i64::try_from(events).unwrap_or(i64::MAX));
        self.corrupt.inc_by(missing);
    }

    /// A segment that could not be read at the start holds so many records more, or fewer, than it was taken to hold.
    pub(super) fn recovered_more(&self, more: i64) {
        self.recovered.add(more);
    }

    /// Reading waits for the disk since so long; zero once it does not.
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

    /// Where the gauges get their values from; `None` once the journal is closed.
    pub(super) fn set_source(&self, source: Source) {
        // One journal, one source: the first stays.
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
        // Not journal_bytes{...}: the file sizes are the operator's df; this is what the budget counts.
        Ok(Self {
            bytes: IntGauge::with_opts(Opts::new(
                "journal_bytes",
                "Bytes of unpublished events and dead letters, which count against the budget",
            ))?,
            budget: IntGauge::with_opts(Opts::new(
                "journal_budget_bytes",
                "The configured budget; beyond it webhooks are answered 503",
            ))?,
            unpublished: IntGauge::with_opts(Opts::new(
                "journal_unpublished_events",
                "Events that are on disk and neither in Kafka nor dead-lettered",
            ))?,
            oldest: Gauge::with_opts(Opts::new(
                "journal_oldest_unpublished_age_seconds",
                "How long the oldest unpublished event has been waiting; 0 where there is none",
            ))?,
            exhaustion: Gauge::with_opts(Opts::new(
                "journal_exhaustion_seconds",
                "Time until the budget is used up at the rate of the last minute; +Inf where it is not growing",
            ))?,
            poisoned: IntGauge::with_opts(Opts::new(
                "journal_poisoned",
                "1 after a write or sync has failed: nothing is acknowledged any more, the process is about to end",
            ))?,
            source: Arc::new(OnceLock::new()),
        })
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        let collectors: [&dyn Collector; 6] = [
            &self.bytes,
            &self.budget,
            &self.unpublished,
            &self.oldest,
            &self.exhaustion,
            &self.poisoned,
        ];
        collectors
            .iter()
            .flat_map(|collector| collector.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // A journal that is closed keeps its last values until the process is gone.
        if let Some(now) = self.source.get().and_then(|source| source()) {
            let integer = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            self.bytes.set(integer(now.bytes));
            self.budget.set(integer(now.budget));
            self.unpublished.set(integer(now.unpublished));
            self.oldest.set(now.oldest_seconds);
            self.exhaustion.set(now.exhaustion_seconds);
            self.poisoned.set(i64::from(now.poisoned));
        }
        let collectors: [&dyn Collector; 6] = [
            &self.bytes,
            &self.budget,
            &self.unpublished,
            &self.oldest,
            &self.exhaustion,
            &self.poisoned,
        ];
        collectors
            .iter()
            .flat_map(|collector| collector.collect())
            .collect()
    }
}

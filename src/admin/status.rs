//! The status page: what an operator asks first, in words.
//!
//! It shows the checks, the metrics and the names of the configuration, and nothing of a request: no body, key, header or
//! client address. Everything is read when the page is asked for, so an event pays nothing for it.

mod counts;
mod figures;
mod page;
mod verdict;

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{Instant, sleep};

use self::counts::{Counts, SAMPLE_INTERVAL, Samples};
use self::figures::Figures;
use crate::readiness::{CheckState, Readiness};
use crate::telemetry::Metrics;
use crate::time::now_ms;

/// What the page shows of the configuration in use.
#[derive(Debug, Clone)]
pub struct Setup {
    /// True if events are kept on disk until Kafka has them; false with `ack = "kafka"`.
    pub keeps_on_disk: bool,
    /// In the order of the configuration.
    pub sources: Vec<SourceSetup>,
    /// What an operator should know of a refusal, by its label in the metrics.
    pub advice: fn(&str) -> Option<&'static str>,
}

/// What the page shows of one source's configuration.
#[derive(Debug, Clone)]
pub struct SourceSetup {
    /// Its name, as in the metrics' label.
    pub name: String,
    /// Its paths.
    pub paths: Vec<String>,
    /// How requests are authenticated, as `verify` says it.
    pub verify: String,
    /// The labels of its keys, as in the metrics.
    pub keys: Vec<String>,
    /// What to check if no key matches a signature.
    pub key_hint: Option<&'static str>,
}

/// Where the page's content comes from.
pub(super) struct Status {
    started: Instant,
    readiness: Readiness,
    metrics: Metrics,
    /// With the time since which it is in use, in milliseconds since the Unix epoch.
    setup: ArcSwap<(Setup, u64)>,
    samples: Mutex<Samples>,
}

/// What the page shows, of one moment.
struct View<'a> {
    checks: Vec<CheckState>,
    is_ready: bool,
    figures: Figures,
    total: Counts,
    recent: Counts,
    /// How far `recent` goes back.
    recent_time: Duration,
    setup: &'a Setup,
    setup_since_ms: u64,
    uptime: Duration,
    now_ms: u64,
}

impl Status {
    pub(super) fn new(readiness: Readiness, metrics: Metrics, setup: Setup) -> Self {
        let started = Instant::now();
        Self {
            started,
            readiness,
            metrics,
            setup: ArcSwap::from_pointee((setup, now_ms())),
            samples: Mutex::new(Samples::new(started)),
        }
    }

    /// Shows another configuration from now on.
    pub(super) fn set_up(&self, setup: Setup) {
        self.setup.store((setup, now_ms()).into());
    }

    pub(super) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Samples the metrics for as long as it is polled.
    pub(super) async fn sample(&self) -> Infallible {
        loop {
            sleep(SAMPLE_INTERVAL).await;
            let counts = Counts::read(&Figures::gather(self.metrics.registry()));
            self.samples().add(Instant::now(), counts);
        }
    }

    /// The page, in HTML.
    pub(super) fn page(&self) -> String {
        let figures = Figures::gather(self.metrics.registry());
        let total = Counts::read(&figures);
        let now = Instant::now();
        let (recent, recent_time) = self.samples().recent(now, &total);
        let setup = self.setup.load();
        let view = View {
            checks: self.readiness.checks(),
            is_ready: self.readiness.is_ready(),
            figures,
            total,
            recent,
            recent_time,
            setup: &setup.0,
            setup_since_ms: setup.1,
            uptime: now.duration_since(self.started),
            now_ms: now_ms(),
        };
        page::render(&view).into_string()
    }

    fn samples(&self) -> std::sync::MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

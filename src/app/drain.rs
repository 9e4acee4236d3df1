//! Publishing without ingest: the relay's publisher empties the journal of a stopped relay; nothing listens.

use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::{AppError, open_journal, start_publisher};
use crate::config::Config;
use crate::journal::{self, Appender, Truncator};
use crate::publish::{self, LAST_GRACE, Publisher};
use crate::readiness::Readiness;
use crate::signal::{Request, Signals};
use crate::telemetry;

/// How often progress is reported.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// A journal that this process holds and is about to empty.
pub struct Drain {
    figures: DrainFigures,
    /// Appends nothing; reports whether the journal is poisoned.
    appender: Appender,
    found: u64,
    work: Work,
}

enum Work {
    Publish(Box<Publisher>),
    /// There is nothing to publish, so no Kafka is needed.
    Close(Truncator),
}

/// What a drain has done so far, in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainProgress {
    /// Acknowledged by Kafka, each counted once.
    pub published: u64,
    /// Of these, published with the present time because Kafka would refuse or delete them with their own.
    pub restamped: u64,
    /// Kept as dead letters, because Kafka refuses them for good or their bodies are not JSON.
    pub dead_letters: u64,
    /// Lost to damage on disk.
    pub corrupt: u64,
    /// Skipped because the disk cannot read them; their segments are set aside whole.
    pub unreadable: u64,
    /// Still in the journal; `None` if a thread hangs in the disk or the client and cannot count them.
    pub left: Option<u64>,
    /// What is wrong with Kafka.
    pub kafka_failure: Option<String>,
    /// What is wrong with the disk.
    pub disk_failure: Option<String>,
}

impl Drain {
    /// Opens the journal, which must not be held by another process, and starts the publisher.
    pub async fn start(config: Config) -> Result<Self, AppError> {
        let metrics = telemetry::Metrics::new()?;
        let readiness = Readiness::new();
        let checks = publish::Checks::add(&readiness);
        let journal_metrics = journal::Metrics::register(metrics.registry())?;
        let journal = open_journal(&config, journal_metrics.clone()).await?;
        let journal::Journal {
            appender,
            reader,
            truncator,
            recovery,
        } = journal;
        let found = recovery.recovered_events;
        let (work, published) = if found == 0 {
            (Work::Close(truncator), None)
        } else {
            let id = recovery.journal_id;
            let publisher = start_publisher(&config, &metrics, id, reader, truncator, checks)?;
            let counters = publisher.metrics();
            (Work::Publish(Box::new(publisher)), Some(counters))
        };
        Ok(Self {
            figures: DrainFigures {
                journal: journal_metrics,
                published,
                readiness,
            },
            appender,
            found,
            work,
        })
    }

    /// Unpublished events found at the start.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Publishes until the journal is empty, `timeout` is over or a signal asks for the end; then waits for what is in flight
    /// and writes the checkpoint. Calls `report` twice a second.
    pub async fn run(
        self,
        mut signals: Signals,
        timeout: Duration,
        mut report: impl FnMut(&DrainProgress),
    ) -> Result<DrainProgress, AppError> {
        let publisher = match self.work {
            Work::Publish(publisher) => *publisher,
            Work::Close(truncator) => {
                #[allow(clippy::disallowed_methods, reason = "once, at the end")]
                tokio::task::spawn_blocking(move || truncator.close())
                    .await
                    .map_err(std::io::Error::other)??;
                return Ok(DrainProgress {
                    left: Some(0),
                    ..self.figures.progress()
                });
            }
        };
        let control = publisher.control();
        let mut drained = pin!(publisher.drain(timeout));
        let mut ticks = tokio::time::interval(REPORT_INTERVAL);
        let mut give_up = None;
        let left = loop {
            tokio::select! {
                left = &mut drained => break left,
                () = reached(give_up) => break None,
                request = signals.next() => if request == Request::Shutdown {
                    // A second signal ends the drain at once: the user sees that the first one had no effect.
                    if give_up.is_some() {
                        break None;
                    }
                    control.end_drain();
                    give_up = Some(Instant::now() + LAST_GRACE);
                },
                _ = ticks.tick() => report(&self.figures.progress()),
            }
        };
        // Publishing goes on after poison: what was synced before it is safe to read.
        match self.appender.poison() {
            Some(reason) => Err(AppError::Poisoned { reason, left }),
            None => Ok(DrainProgress {
                left,
                ..self.figures.progress()
            }),
        }
    }
}

/// Resolves at this moment; never if there is none.
pub(super) async fn reached(moment: Option<Instant>) {
    match moment {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Where [`DrainProgress`] is read from.
struct DrainFigures {
    journal: journal::Metrics,
    /// `None` if there is nothing to publish.
    published: Option<publish::Metrics>,
    readiness: Readiness,
}

impl DrainFigures {
    /// A test holds these figures to their sum.
    fn progress(&self) -> DrainProgress {
        let journal = self.journal.figures();
        let published = self.published.as_ref();
        let published = published.map(publish::Metrics::figures).unwrap_or_default();
        DrainProgress {
            published: published.delivered,
            restamped: published.restamped,
            dead_letters: published.dead_letters,
            corrupt: journal.losses.corrupt,
            unreadable: journal.losses.unreadable,
            left: journal.unpublished,
            kafka_failure: publish::kafka_failure(&self.readiness),
            disk_failure: publish::read_failure(&self.readiness),
        }
    }
}

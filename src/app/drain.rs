//! Publishing without ingest: what a stopped journal still holds goes through the same publisher; nothing listens.

use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::{AppError, open_journal, start_publisher};
use crate::config::Config;
use crate::journal;
use crate::journal::{Appender, Truncator};
use crate::publish::{self, LAST_GRACE, Publisher};
use crate::readiness::Readiness;
use crate::signal::{Request, Signals};
use crate::telemetry;

/// How often progress is told.
const TICK: Duration = Duration::from_millis(500);

/// A journal that is held and about to be emptied.
pub struct Drain {
    metrics: telemetry::Metrics,
    readiness: Readiness,
    /// Nothing is appended; it tells of poison.
    appender: Appender,
    found: u64,
    work: Work,
}

enum Work {
    Publish(Publisher),
    /// There is nothing to publish, and no need of a Kafka.
    Close(Truncator),
}

/// How it goes, in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Acknowledged by Kafka, each counted once.
    pub published: u64,
    /// Of these, with the present time: Kafka would refuse or delete them with their own.
    pub restamped: u64,
    /// Refused by Kafka for good, and set aside.
    pub dead_letters: u64,
    /// Lost to damage on disk.
    pub corrupt: u64,
    /// Passed over because they cannot be read; their segments are set aside whole.
    pub unreadable: u64,
    /// Still in the journal; `None` where that is not known, since a thread hangs in the disk or the client.
    pub left: Option<u64>,
    /// What is wrong with Kafka, in words.
    pub trouble: Option<String>,
    /// What is wrong with the disk, in words.
    pub unread: Option<String>,
}

impl Drain {
    /// Opens the journal, which must not be held by another process, and starts the publisher.
    pub async fn start(config: Config) -> Result<Self, AppError> {
        let metrics = telemetry::Metrics::new()?;
        let readiness = Readiness::new();
        let checks = publish::Checks::add(&readiness);
        let journal = open_journal(&config, &metrics).await?;
        let journal::Journal {
            appender,
            reader,
            truncator,
            recovery,
        } = journal;
        let found = recovery.recovered_events;
        let work = if found == 0 {
            Work::Close(truncator)
        } else {
            let id = recovery.journal_id;
            let publisher = start_publisher(&config, &metrics, id, reader, truncator, checks)?;
            Work::Publish(publisher)
        };
        Ok(Self {
            metrics,
            readiness,
            appender,
            found,
            work,
        })
    }

    /// Events that were found unpublished.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Publishes until the journal is empty, `timeout` is over or a signal asks for the end; then settles and writes the
    /// checkpoint. `tell` is called twice a second.
    pub async fn run(
        self,
        mut signals: Signals,
        timeout: Duration,
        mut tell: impl FnMut(&Progress),
    ) -> Result<Progress, AppError> {
        let publisher = match self.work {
            Work::Publish(publisher) => publisher,
            Work::Close(truncator) => {
                #[allow(clippy::disallowed_methods, reason = "once, at the end")]
                tokio::task::spawn_blocking(move || truncator.close())
                    .await
                    .map_err(std::io::Error::other)??;
                return Ok(progress(&self.metrics, &self.readiness));
            }
        };
        let deadline = publisher.deadline();
        let mut drained = pin!(publisher.drain(timeout));
        let mut ticks = tokio::time::interval(TICK);
        let mut give_up = None;
        let left = loop {
            let hangs = async {
                match give_up {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                left = &mut drained => break left,
                () = hangs => break None,
                request = signals.next() => if request == Request::Shutdown {
                    // Asked twice: whoever asks knows that it hangs.
                    if give_up.is_some() {
                        break None;
                    }
                    deadline.is_now();
                    give_up = Some(Instant::now() + LAST_GRACE);
                },
                _ = ticks.tick() => tell(&progress(&self.metrics, &self.readiness)),
            }
        };
        // What was safely on disk has been published all the same.
        match self.appender.poison() {
            Some(reason) => Err(AppError::Poisoned { reason, left }),
            None => Ok(Progress {
                left,
                ..progress(&self.metrics, &self.readiness)
            }),
        }
    }
}

/// The metrics' own numbers, which a test holds to their sum.
fn progress(metrics: &telemetry::Metrics, readiness: &Readiness) -> Progress {
    Progress {
        published: metrics.total("publish_delivered_total"),
        restamped: metrics.total("publish_restamped_total"),
        dead_letters: metrics.total("dead_letters_total"),
        corrupt: metrics.total("journal_corrupt_records_total"),
        unreadable: metrics.total("journal_unreadable_records_total"),
        left: Some(metrics.total("journal_unpublished_events")),
        trouble: readiness.failing("kafka"),
        unread: readiness.failing("journal-read"),
    }
}

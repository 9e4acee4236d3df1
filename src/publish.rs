//! Publish: from the synced journal to Kafka, in order, until Kafka has acknowledged every event.
//!
//! ```text
//! journal::Reader ─► worker ─► producer (librdkafka) ─► Kafka
//!                      │ ▲                                │
//!                      │ └──────── mailbox ◄── reports ───┘
//!                      ▼
//!                   machine (what to send, rebuild, set aside) ─► watermark ─► journal::Truncator
//! ```
//!
//! The decisions are `machine`'s, a pure state machine; [`worker`] carries them out over what `env` names, on one
//! thread of its own (`real`) or single-stepped by the simulator (`tests/sim`). Any failed report stops the pipe: without that librdkafka lets later records overtake the failed one.

mod config;
mod dead_letter;
pub mod decide;
pub mod env;
pub mod inbox;
mod kafka;
mod metrics;
pub mod worker;

pub use self::decide::machine::{BATCH_BYTES, MAX_AHEAD};
pub use self::kafka::credentials::{SecretError, read_secret};
pub use self::kafka::properties::rules::{Allowed, DefaultValue, PROPERTY_RULES, PropertyRule};
pub use self::kafka::properties::{PropertyError, of_producer};
pub use config::{ClientProperties, Config, KafkaConfig};
pub use dead_letter::{
    Letter, LetterError, Replay, ReplayError, SendError, StayError, letter_bytes, letter_position,
    letters,
};
pub use metrics::Metrics;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::inbox::Mailbox;
use self::kafka::credentials::Credentials;
use self::kafka::env::Real;
use self::kafka::producer::Factory;
use self::kafka::timeout::Aside;
use crate::journal;
use crate::log_throttle::LogThrottle;
use crate::readiness::{Check, CheckKind, Readiness};
use dead_letter::DeadLetters;
use worker::{Parts, Worker};

/// Between two lines of the log that report the same: librdkafka repeats itself with every reconnection.
pub const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// ringback's default of `socket.timeout.ms`.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(10);

/// After the deadline to drain: for last reports, the client's own end and the last checkpoint.
pub const LAST_GRACE: Duration = Duration::from_secs(10);

/// The folder of dead letters, in the journal's.
pub const DEAD_LETTERS: &str = "dead-letters";

/// Why the publisher cannot start. Kafka's absence is no reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A property that would break an invariant.
    #[error("kafka.client.{0}")]
    Property(#[from] PropertyError),
    /// The dead letters cannot be listed, or no thread be started.
    #[error("cannot look into the folder of dead letters, or start a thread")]
    Io(#[from] std::io::Error),
}

/// The running publisher: one thread of its own and librdkafka's.
pub struct Publisher {
    mailbox: Arc<Mailbox>,
    left: oneshot::Receiver<u64>,
}

/// Where the publisher reports how it is, in words.
pub struct Checks {
    /// Kafka's state.
    pub kafka: Check,
    /// Whether the journal can be read.
    pub reading: Check,
}

impl Checks {
    /// Adds both to what `/readyz?verbose` lists. Neither makes the process unready: it goes on accepting.
    pub fn add(readiness: &Readiness) -> Self {
        let informational = CheckKind::Informational;
        let reading = readiness.check("journal-read", informational, "not read yet");
        reading.pass("ok");
        Self {
            kafka: readiness.check("kafka", informational, "no answer from a broker yet"),
            reading,
        }
    }
}

/// Never waits for Kafka: an absent cluster is told by `check`, the metrics and the log.
pub fn start(
    config: &Config,
    journal_id: String,
    mut reader: journal::Reader,
    truncator: journal::Truncator,
    metrics: Metrics,
    checks: Checks,
) -> Result<Publisher, StartError> {
    let properties = config.properties()?;
    let throttle = Arc::new(LogThrottle::new(LOG_INTERVAL));
    let files = self::kafka::properties::canonical_names(&config.kafka.client.secret_files);
    let credentials = Arc::new(Credentials::new(
        properties.clone(),
        files,
        throttle.clone(),
    ));
    let letters = DeadLetters::open(config, credentials.clone())?;
    truncator.set_dead_letter_bytes(letters.bytes());
    let mailbox = Arc::new(Mailbox::default());
    let bell = mailbox.clone();
    reader.on_commit(Box::new(move || bell.put(|_| ())));
    let socket_timeout = properties
        .get("socket.timeout.ms")
        .and_then(|text| text.parse().ok())
        .map_or(SOCKET_TIMEOUT, Duration::from_millis);
    let parts = Parts {
        topic: config.kafka.topic.clone(),
        journal_id: journal_id.clone(),
        reader,
        truncator,
        metrics: metrics.clone(),
        check: checks.kafka,
        reading: checks.reading,
        throttle: throttle.clone(),
        settle: socket_timeout * 2,
        stall: config.kafka.stall_timeout,
        batch_bytes: self::kafka::properties::batch_bytes(&properties),
        ahead: MAX_AHEAD,
    };
    let factory = Factory {
        credentials,
        building: Aside::default(),
        topic: config.kafka.topic.clone(),
        mailbox: mailbox.clone(),
        metrics,
        throttle,
        cause: Arc::default(),
        given: Arc::new(config.kafka.client.values.clone()),
        reading: Arc::default(),
    };
    let real = Real {
        journal_id,
        factory,
        letters,
    };
    let worker = Worker::new(real, parts);
    let mail = mailbox.clone();
    let (report, left) = oneshot::channel();
    thread::Builder::new()
        .name(String::from("publisher"))
        .spawn(move || {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self::kafka::env::run(worker, &mail)
            }));
            let Ok(left) = ended else {
                // Accepting on without a publisher would fill the disk in silence; a fresh process resumes.
                tracing::error!(
                    "the publisher has panicked: ending so that a fresh process resumes"
                );
                std::process::exit(1);
            };
            // Whoever asked may have given up waiting.
            let _ = report.send(left);
        })?;
    Ok(Publisher { mailbox, left })
}

/// Brings the end of a drain that is under way forward.
pub struct Deadline(Arc<Mailbox>);

impl Deadline {
    /// Time is up: settle, write the checkpoint, end.
    pub fn is_now(&self) {
        self.0.put(|inbox| inbox.drain = Some(Instant::now()));
    }
}

impl Publisher {
    /// Another producer takes over, with the credentials as they are on disk then.
    pub fn renew(&self) {
        self.mailbox.put(|inbox| inbox.renew = true);
    }

    /// For whoever may have to cut [`Publisher::drain`] short.
    pub fn deadline(&self) -> Deadline {
        Deadline(self.mailbox.clone())
    }

    /// Publishes until the journal is empty or `deadline` has passed, then settles, writes the final checkpoint (closes
    /// the truncator) and ends. Returns how many records stay in the journal.
    ///
    /// Returns in any case some seconds after `deadline`, with `None`, should a thread hang in the disk or in the client.
    pub async fn drain(self, deadline: Duration) -> Option<u64> {
        let until = Instant::now() + deadline;
        // A deadline that was brought forward before this was polled stays.
        self.mailbox.put(|inbox| {
            inbox.drain = Some(inbox.drain.map_or(until, |sooner| sooner.min(until)));
        });
        // The thread answers or ends the process.
        if let Ok(left) = tokio::time::timeout(deadline + LAST_GRACE, self.left).await {
            return left.ok();
        }
        tracing::error!("the publisher did not end in time; what is left stays in the journal");
        None
    }
}

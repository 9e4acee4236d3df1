//! Publish: from the synced journal to Kafka, in order, until Kafka has acknowledged every event.
//!
//! ```text
//! journal::Reader ─► worker ─► producer (librdkafka) ─► Kafka
//!                      │ ▲                                │
//!                      │ └──────── mailbox ◄── reports ───┘
//!                      ▼
//!                   machine (send, rebuild, dead-letter) ─► watermark ─► journal::Truncator
//! ```
//!
//! [`decide`] makes the decisions, without I/O. [`worker`] carries them out in the environment that [`mod@env`] describes: on one
//! thread (`thread`) with librdkafka (`kafka`), or stepped by the simulator (`tests/sim`). Any failed report stops sending: otherwise
//! librdkafka lets later records overtake the failed one.

mod config;
mod dead_letter;
pub mod decide;
pub mod env;
mod error;
pub mod inbox;
mod kafka;
mod metrics;
mod property;
mod thread;
mod topics;
pub mod worker;

pub use self::decide::blame::Reason;
pub use self::decide::machine::{BATCH_BYTES, Limits, MAX_AHEAD};
pub use self::decide::timestamps::TimeBounds;
pub use self::error::DeliveryError;
pub use self::kafka::dead_letter_producer::SendError;
pub use self::kafka::oauth::{TokenContext, TokenError};
pub use self::kafka::properties::rules::{Allowed, DefaultValue, PROPERTY_RULES, PropertyRule};
pub use self::kafka::properties::{PropertyError, producer_properties};
pub use self::kafka::survey::{
    Absence, Broker, BrokerFault, Cause, CauseKind, Partition, Survey, Topic, Unknown, Written,
    survey,
};
pub use config::{Ack, ClientProperties, Config, KafkaConfig, check_topic};
pub use dead_letter::{
    DeadLetterError, DeadLetterFile, Replay, ReplayError, ReplayFileError, dead_letter_bytes,
    dead_letter_files, dead_letter_position, move_dead_letters,
};
pub use metrics::{Figures, Metrics};
pub use topics::{SourceTopics, Topics};

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::inbox::Mailbox;
use self::kafka::connection::Connection;
use self::kafka::context::Shared;
use self::kafka::credentials::Credentials;
use self::kafka::dead_letter_sender::DeadLetterSender;
use self::kafka::env::LibrdkafkaEnv;
use self::kafka::producer::ProducerFactory;
use self::kafka::properties::{batch_bytes, socket_timeout};
use self::kafka::timeout::SideThread;
use self::kafka::topic_config::LastReadings;
use self::worker::{Deps, Worker, WorkerConfig};
use crate::journal;
use crate::log_throttle::LogThrottle;
use crate::readiness::{Check, CheckKind, Readiness};
use dead_letter::DeadLetters;

/// Between two log lines that report the same: librdkafka repeats itself with every reconnection.
pub const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// After the drain deadline: for last reports, the client's close and the last checkpoint.
pub const LAST_GRACE: Duration = Duration::from_secs(10);

/// For the publisher to take other topics. The longest that it usually does meanwhile is to replace a producer: at most 9 s, by the
/// time-outs of `kafka::producer`.
const ROUTE_PATIENCE: Duration = Duration::from_secs(10);

/// The folder of dead letters, in the journal's.
pub const DEAD_LETTERS: &str = "dead-letters";

/// Why the publisher cannot start. An unreachable Kafka is no reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A property would break an invariant.
    #[error("kafka.client.{0}")]
    Property(#[from] PropertyError),
    /// The dead letters cannot be listed, or no thread can be started.
    #[error("cannot read the folder of dead letters, or start a thread")]
    Io(#[from] std::io::Error),
}

impl Ack {
    /// What becomes of events while Kafka takes none: how the check `kafka` ends then.
    fn meanwhile(self) -> &'static str {
        match self {
            Self::Disk => "events stay in the journal",
            Self::Kafka => "events are answered 503 after listen.commit_timeout",
        }
    }
}

/// The running publisher: one thread of its own and librdkafka's.
pub struct Publisher {
    mailbox: Arc<Mailbox>,
    left: oneshot::Receiver<u64>,
    metrics: Metrics,
}

/// The name of the check of reading.
const JOURNAL_READ: &str = "journal-read";

/// The publisher's readiness checks.
pub struct Checks {
    /// Kafka's state.
    pub kafka: Check,
    /// Whether the journal can be read, and what of it is lost.
    pub reading: Check,
}

impl Checks {
    /// Adds both to what `/readyz?verbose` lists. Neither makes the process unready, which continues to accept events.
    pub fn add(readiness: &Readiness) -> Self {
        let informational = CheckKind::Informational;
        let reading = readiness.check(JOURNAL_READ, informational, "not read yet");
        reading.pass("ok");
        Self {
            kafka: readiness.check("kafka", informational, "no answer from a broker yet"),
            reading,
        }
    }
}

/// What is wrong with Kafka, for messages that report themselves what becomes of the events.
pub fn kafka_failure(readiness: &Readiness) -> Option<String> {
    let failure = readiness.failure("kafka")?;
    Some(failure.replace(&format!("; {}", Ack::Disk.meanwhile()), ""))
}

/// Why the journal cannot be read at present. What of it is lost is said by other lines of the check.
pub fn read_failure(readiness: &Readiness) -> Option<String> {
    let checks = readiness.checks();
    let check = checks
        .into_iter()
        .find(|check| check.name == JOURNAL_READ)?;
    let now = check.lines.into_iter().next()?;
    now.is_failing.then_some(now.message)
}

/// Starts the publisher. Never waits for Kafka: the checks, the metrics and the log report a cluster that cannot be reached.
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
    let credentials = Arc::new(Credentials::of(config, throttle.clone())?);
    let tokens = credentials.tokens();
    let dead_letters = DeadLetters::open(config, credentials.clone())?;
    truncator.set_dead_letter_bytes(dead_letters.bytes());
    let topics = config.topics();
    let mailbox = Arc::new(Mailbox::default());
    let bell = mailbox.clone();
    reader.on_commit(Box::new(move || bell.put(|_| ())));
    let dead_letter_topic = config.kafka.dead_letter_topic.as_ref();
    let dead_letter_topic = dead_letter_topic.filter(|_| config.ack == Ack::Kafka);
    let dead_letter_sender = dead_letter_topic.map(|topic| {
        let (credentials, mailbox) = (credentials.clone(), mailbox.clone());
        let (id, patience) = (journal_id.clone(), config.commit_timeout);
        DeadLetterSender::start(topic, id, patience, credentials, mailbox)
    });
    let dead_letter_sender = dead_letter_sender.transpose()?;
    let env = LibrdkafkaEnv {
        journal_id: journal_id.clone(),
        factory: ProducerFactory {
            topics: topics.names().into(),
            credentials,
            shared: Shared {
                mailbox: mailbox.clone(),
                metrics: metrics.clone(),
                throttle: throttle.clone(),
                connection: Arc::new(Connection::new(
                    config.ack,
                    &properties,
                    tokens,
                    mailbox.clone(),
                    throttle.clone(),
                )),
                user_properties: Arc::new(config.kafka.client.values.clone()),
            },
            build_thread: SideThread::default(),
            last_readings: Arc::new(LastReadings::of(topics.names().len())),
        },
        dead_letters,
        dead_letter_sender,
    };
    let worker_config = WorkerConfig {
        ack: config.ack,
        topics,
        journal_id,
        limits: Limits {
            drain_timeout: socket_timeout(&properties) * 2,
            stall_timeout: config.kafka.stall_timeout,
            max_ahead: MAX_AHEAD,
            batch_bytes: batch_bytes(&properties),
        },
    };
    let deps = Deps {
        reader,
        truncator,
        metrics: metrics.clone(),
        kafka_check: checks.kafka,
        read_check: checks.reading,
        throttle,
    };
    let worker = Worker::new(env, worker_config, deps);
    let left = spawn(worker, mailbox.clone(), config.ack)?;
    Ok(Publisher {
        mailbox,
        left,
        metrics,
    })
}

/// The receiver gets the number of records that stay in the journal, once the worker is drained.
fn spawn(
    worker: Worker<LibrdkafkaEnv>,
    mailbox: Arc<Mailbox>,
    ack: Ack,
) -> std::io::Result<oneshot::Receiver<u64>> {
    let (sender, left) = oneshot::channel();
    std::thread::Builder::new()
        .name(String::from("publisher"))
        .spawn(move || {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self::thread::run(worker, &mailbox, ack)
            }));
            let Ok(left) = ended else {
                // Accepting events without a publisher would fill the disk unnoticed; a fresh process resumes.
                tracing::error!(
                    "the publisher has panicked: ending so that a fresh process resumes"
                );
                std::process::exit(1);
            };
            // The receiver may have given up waiting.
            let _ = sender.send(left);
        })?;
    Ok(left)
}

/// Steers the publisher from any thread; outlives it.
#[derive(Clone)]
pub struct Control(Arc<Mailbox>);

impl Control {
    /// Replaces the producer by one with the credentials that are on disk then.
    pub fn replace_producer(&self) {
        self.0.put(|inbox| inbox.replace_producer = true);
    }

    /// Events go to the topics that these sources say, from the next record on that is read. Which events are on their way to a
    /// topic already does not change. Waits until the publisher has taken this; false if it hangs, for some ten seconds, and then
    /// nothing changes.
    #[must_use]
    pub fn route(&self, sources: Vec<SourceTopics>) -> bool {
        self.0.route(sources, ROUTE_PATIENCE)
    }

    /// Ends a drain early: the publisher waits for last reports, writes the checkpoint and ends.
    pub fn end_drain(&self) {
        self.0
            .put(|inbox| inbox.drain_deadline = Some(Instant::now()));
    }
}

impl Publisher {
    /// For whoever changes what the publisher does, or ends [`Publisher::drain`] early.
    pub fn control(&self) -> Control {
        Control(self.mailbox.clone())
    }

    /// What has become of the events so far; the handle outlives the publisher.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Publishes until the journal is empty or `deadline` has passed, then waits for last reports, writes the last checkpoint
    /// (closes the truncator) and ends. Returns how many records stay in the journal.
    ///
    /// Returns `None` at [`LAST_GRACE`] after `deadline` if a thread hangs in the disk or in the client.
    pub async fn drain(self, deadline: Duration) -> Option<u64> {
        let until = Instant::now() + deadline;
        // An earlier deadline stays.
        self.mailbox.put(|inbox| {
            let sooner = inbox.drain_deadline.map(|sooner| sooner.min(until));
            inbox.drain_deadline = Some(sooner.unwrap_or(until));
        });
        // The thread answers or ends the process.
        if let Ok(left) = tokio::time::timeout(deadline + LAST_GRACE, self.left).await {
            return left.ok();
        }
        tracing::error!("the publisher did not end in time; what is left stays in the journal");
        None
    }
}

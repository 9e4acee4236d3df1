//! The relay as a whole: built in the order of an event's flow backwards, shut down in the order of the flow.
//!
//! ```text
//! start: ports ─► admin (probes answer) ─► journal (recovery) ─► publisher ─► listener ─► ready
//! stop:  unready ─► readiness_delay ─► listener closes, requests finish ─► publish until empty or drain_deadline
//!        ─► final checkpoint ─► exit 0
//! ```
//!
//! A poisoned journal, and a listener that has stopped on its own, take the second way out: readiness goes off, requests are refused, what is safely on
//! disk is published until the deadline, and the process ends with an error so that an orchestrator starts it afresh.

mod drain;
mod fd_limit;
mod ports;
mod run;
mod watch;

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::watch::KeyFiles;
use crate::admin;
use crate::config::Config;
use crate::ingest::{self, Ingest};
use crate::journal::{self, Appender};
use crate::publish::{self, Publisher};
use crate::readiness::{Check, Readiness, Weight};
use crate::signal::Signals;
use crate::telemetry;
use run::Running;

pub use drain::{Drain, Progress};
pub use ports::Ports;

/// Why the relay could not start, or ended otherwise than asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A port is taken or not ours to bind.
    #[error(
        "cannot listen on {address} ({key}); is another process there, or the port below 1024?"
    )]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// The configuration key that named it.
        key: &'static str,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The journal cannot be opened; nothing was accepted.
    #[error("cannot open the journal at {path}")]
    Journal {
        /// `journal.path`.
        path: String,
        /// What stood in the way, with its remedy.
        #[source]
        source: journal::OpenError,
    },
    /// A source's keys cannot be read: a fault of the configuration.
    #[error("cannot set up the sources")]
    Ingest(#[from] ingest::IngestError),
    /// librdkafka refused to make a producer.
    #[error("cannot start the publisher")]
    Publish(#[from] publish::StartError),
    /// A metric was registered twice: a fault of this program.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The runtime, a thread or the signals.
    #[error("cannot start")]
    Io(#[from] io::Error),
    /// The webhooks' listener has ended, or panicked, though nobody asked for it; nothing acknowledged is lost.
    #[error(
        "the webhooks' listener has ended ({reason}); {} stay on disk for the next start",
        events(*.left)
    )]
    Listener {
        /// Its error.
        reason: String,
        /// Records not yet published, where the publisher ended in time to count them.
        left: Option<u64>,
    },
    /// A write or sync of the journal failed while running; nothing acknowledged is lost.
    #[error(
        "the journal is poisoned ({reason}); {} stay on disk for the next start",
        events(*.left)
    )]
    Poisoned {
        /// The failed operation.
        reason: String,
        /// Records not yet published, where the publisher ended in time to count them.
        left: Option<u64>,
    },
}

/// The relay, started and listening.
pub struct App {
    config: Config,
    address: SocketAddr,
    listener: TcpListener,
    keys: KeyFiles,
    ingest: Ingest,
    appender: Appender,
    publisher: Publisher,
    shutdown_check: Check,
    journal_check: Check,
    admin: admin::Admin,
}

impl App {
    /// Builds everything on `ports`, in order; on error whatever was begun is undone by being dropped.
    ///
    /// `observe` may wrap the ingest side before it serves (the `dev` command watches signatures through it).
    pub async fn start(
        mut config: Config,
        ports: Ports,
        observe: impl FnOnce(Ingest) -> Ingest,
    ) -> Result<Self, AppError> {
        config.listen.max_connections = self::fd_limit::room_for(config.listen.max_connections);
        let metrics = telemetry::Metrics::new()?;
        let readiness = Readiness::new();
        let shutdown_check = readiness.check("process", Weight::Gating, "starting");
        let journal_check = readiness.check("journal", Weight::Gating, "recovering");
        let checks = publish::Checks::add(&readiness);
        let admin = admin::serve(ports.admin, readiness, metrics.clone())?;

        let journal = open_journal(&config, &metrics).await?;
        // Before they are read: what changes in between is then seen as a change.
        let keys = KeyFiles::watch(&config);
        let ingest = Ingest::new(
            &config.listen,
            &config.source,
            journal.appender.clone(),
            ingest::Metrics::register(metrics.registry(), &config.source)?,
        )?;
        let publisher = start_publisher(
            &config,
            &metrics,
            journal.recovery.journal_id.clone(),
            journal.reader,
            journal.truncator,
            checks,
        )?;
        let listener = ports.webhooks.listen()?;
        let address = listener.local_addr()?;
        journal_check.pass("ok");
        shutdown_check.pass("ok");
        tracing::info!(%address, admin = %admin.address(), journal = %journal.recovery.journal_id, "ready");
        Ok(Self {
            config,
            address,
            listener,
            keys,
            ingest: observe(ingest),
            appender: journal.appender,
            publisher,
            shutdown_check,
            journal_check,
            admin,
        })
    }

    /// Where webhooks are answered; of use where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the probes and metrics are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Serves until a signal asks for the end (`Ok`), the journal is poisoned or the listener stops on its own (`Err`).
    pub async fn run(self, signals: Signals) -> Result<(), AppError> {
        let (close, closed) = oneshot::channel::<()>();
        let closing = async move {
            // An error means that the sender is gone, which is the end as well.
            let _ = closed.await;
        };
        let running = self.beside(close, |listener, ingest| {
            tokio::spawn(ingest::serve(listener, ingest, closing))
        });
        running.until_the_end(signals).await
    }

    /// Everything beside the server that `serve` starts on the open port.
    fn beside(
        self,
        close: oneshot::Sender<()>,
        serve: impl FnOnce(TcpListener, Ingest) -> JoinHandle<io::Result<()>>,
    ) -> Running {
        Running {
            server: serve(self.listener, self.ingest.clone()),
            close,
            shutdown: self.config.shutdown,
            keys: self.keys,
            ingest: self.ingest,
            appender: self.appender,
            publisher: self.publisher,
            shutdown_check: self.shutdown_check,
            journal_check: self.journal_check,
            _admin: self.admin,
        }
    }
}

fn events(left: Option<u64>) -> String {
    left.map_or_else(
        || String::from("an unknown number of events"),
        |left| format!("{left} events"),
    )
}

async fn open_journal(
    config: &Config,
    metrics: &telemetry::Metrics,
) -> Result<journal::Journal, AppError> {
    let metrics = journal::Metrics::register(metrics.registry())?;
    let journal = config.journal.clone();
    // Recovery reads and syncs; the runtime's own threads stay free for the probes.
    #[allow(clippy::disallowed_methods, reason = "once, at the start")]
    tokio::task::spawn_blocking(move || journal::open(&journal, metrics))
        .await
        .map_err(io::Error::other)?
        .map_err(|source| AppError::Journal {
            path: config.journal.path.display().to_string(),
            source,
        })
}

fn start_publisher(
    config: &Config,
    metrics: &telemetry::Metrics,
    journal_id: String,
    reader: journal::Reader,
    truncator: journal::Truncator,
    checks: publish::Checks,
) -> Result<Publisher, AppError> {
    let metrics = publish::Metrics::register(metrics.registry())?;
    let publisher = publish::start(
        &config.publish(),
        journal_id,
        reader,
        truncator,
        metrics,
        checks,
    )?;
    Ok(publisher)
}

//! The relay as a whole. It starts against the flow of events and stops with it, so that no part runs without the parts it
//! hands events to.
//!
//! ```text
//! start: ports ─► admin (probes answer) ─► journal (recovery) ─► publisher ─► listener ─► ready
//! stop:  Serving ─signal─► Unready ─readiness_delay─► Closing ─requests answered─► Draining ─► exit 0
//!           └─the journal is poisoned, or the listener has ended─────────────────────► Draining ─► exit 1
//! ```
//!
//! Draining publishes until the journal is empty, `drain_deadline` has passed or another signal comes, then writes the final
//! checkpoint. With `ack = "kafka"` the requests are what must be drained: Closing may take all of that time.

mod account;
mod drain;
mod error;
pub mod fd_limit;
mod ports;
mod reload;
mod run;
mod setup;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::account::Account;
use self::reload::{Reloader, Reloads};
use self::run::Relay;
use self::setup::setup;
use self::watch::WatchedFiles;
use crate::admin;
use crate::config::{Config, ReloadMetrics};
use crate::ingest::{self, Ingest};
use crate::journal;
use crate::publish::{self, Ack, Publisher};
use crate::readiness::{CheckKind, Readiness};
use crate::signal::Signals;
use crate::telemetry;

pub use account::Summary;
pub use drain::{Drain, DrainProgress};
pub use error::AppError;
pub use ports::{BindError, NamedAddress, Ports};
pub use reload::ConfigFile;

/// What an operator should know who has no journal and no topic of dead letters either.
pub const NO_DEAD_LETTER_TOPIC: &str = "kafka.dead_letter_topic is not set: with ack = \"kafka\", events that Kafka refuses for good \
    and bodies that are not JSON are answered 503, until their senders give up";

/// The relay, started; its webhook port is open, and requests wait there until [`App::run`].
pub struct App {
    address: SocketAddr,
    listener: TcpListener,
    config: Config,
    relay: Relay,
}

impl App {
    /// Builds everything on `ports`, in order; on error, dropping what was built undoes it. If the configuration is in a `file`, it
    /// is read again when that changes.
    ///
    /// `observe` may wrap the ingest side before it serves: the `dev` command watches signatures through it.
    pub async fn start(
        mut config: Config,
        file: Option<ConfigFile>,
        ports: Ports,
        observe: impl FnOnce(Ingest) -> Ingest,
    ) -> Result<Self, AppError> {
        config.listen.max_connections = fd_limit::connections(config.listen.max_connections);
        let metrics = telemetry::Metrics::new()?;
        let readiness = Readiness::new();
        let process_check = readiness.check("process", CheckKind::Gating, "starting");
        let journal_check = readiness.check("journal", CheckKind::Gating, "recovering");
        // A full journal stays ready and answers 503 itself.
        let room_check = readiness.check("journal-room", CheckKind::Informational, "recovering");
        let publish_checks = publish::Checks::add(&readiness);
        // Before any file is read: a change in between then counts as one.
        let (path, file) = file.map(|file| (file.path, file.watched)).unzip();
        let files = WatchedFiles::new(&config, file);
        let token = config.admin.token.as_ref();
        let admin = admin::serve(
            ports.admin,
            token,
            setup(&config),
            readiness.clone(),
            metrics.clone(),
        )?;

        let journal_metrics = journal::Metrics::register(metrics.registry())?;
        let journal = open_journal(&config, journal_metrics.clone()).await?;
        room_check.pass("ok");
        journal
            .appender
            .report_room(Box::new(move |room| match room {
                Ok(words) => room_check.pass(words),
                Err(words) => room_check.fail(words),
            }));
        journal.appender.set_patience(config.listen.commit_timeout);
        let journal_id = journal.recovery.journal_id;
        let ingest = Ingest::new(
            &config.listen,
            &config.source,
            journal.appender.clone(),
            ingest::Metrics::register(metrics.registry())?,
        )?
        .reporting(&readiness);
        let ingest = match config.ack {
            Ack::Disk => remember(ingest, config.journal.path.clone()).await?,
            Ack::Kafka => ingest,
        };
        if config.ack == Ack::Kafka && config.kafka.dead_letter_topic.is_none() {
            tracing::warn!("{NO_DEAD_LETTER_TOPIC}");
        }
        let publisher = start_publisher(
            &config,
            &metrics,
            journal_id.clone(),
            journal.reader,
            journal.truncator,
            publish_checks,
        )?;
        let listener = ports.webhooks.listen()?;
        let address = listener.local_addr()?;
        journal_check.pass("ok");
        process_check.pass("ok");
        let reload_metrics = ReloadMetrics::register(metrics.registry())?;
        let account = Account::new(ingest.clone(), journal_metrics.clone(), publisher.metrics());
        tracing::info!(%address, admin = %admin.address(), journal = %journal_id, "ready");
        let (ingest, admin) = (observe(ingest), Arc::new(admin));
        let reloads = Reloads {
            reloader: Reloader::new(config.clone(), path, reload_metrics, &readiness),
            files,
            certificate_fault: None,
            ingest: ingest.clone(),
            publisher: publisher.control(),
            admin: Arc::clone(&admin),
        };
        Ok(Self {
            address,
            listener,
            relay: Relay {
                ack: config.ack,
                shutdown: config.shutdown.clone(),
                reloads: Some(reloads.start()?),
                ingest,
                appender: journal.appender,
                journal_metrics,
                readiness,
                publisher,
                account,
                process_check,
                journal_check,
                admin,
            },
            config,
        })
    }

    /// The webhooks' address, with the port that the system chose if port 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin listener's address, with the port that the system chose if port 0 was configured.
    pub fn admin_address(&self) -> SocketAddr {
        self.relay.admin.address()
    }

    /// The configuration at the start.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The state of the journal.
    pub fn journal(&self) -> Option<journal::Snapshot> {
        self.relay.journal_metrics.snapshot()
    }

    /// Serves until a signal asks for the end (`Ok`), the journal is poisoned or the listener ends on its own (`Err`).
    pub async fn run(self, signals: Signals) -> (Summary, Result<(), AppError>) {
        let (close, closed) = oneshot::channel();
        let closing = async move {
            // Nothing is ever sent: dropping the sender is the signal.
            let _ = closed.await;
        };
        let ingest = self.relay.ingest.clone();
        let server = tokio::spawn(ingest::serve(self.listener, ingest, closing));
        self.relay.run(server, close, signals).await
    }
}

async fn open_journal(
    config: &Config,
    metrics: journal::Metrics,
) -> Result<journal::Journal, AppError> {
    if config.ack == Ack::Kafka {
        let in_flight = config.listen.max_in_flight.as_u64();
        let limits = journal::memory::Limits {
            // The rest is for bodies that arrive: while this is used up, they are refused as what they are, an event too many,
            // instead of cutting each other off.
            budget: in_flight - in_flight / 8,
            patience: config.listen.commit_timeout,
        };
        return Ok(journal::open_in_memory(limits, &metrics));
    }
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

/// Reads what duplicates are known of, beside the journal, which is locked.
async fn remember(ingest: Ingest, folder: PathBuf) -> io::Result<Ingest> {
    #[allow(clippy::disallowed_methods, reason = "once, at the start")]
    let ingest = tokio::task::spawn_blocking(move || ingest.remembering(&folder));
    ingest.await.map_err(io::Error::other)?
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

//! Why the relay could not start, or ended without being asked to.

use std::io;

use super::BindError;
use crate::admin;
use crate::ingest;
use crate::journal;
use crate::publish;

/// Why the relay could not start, or ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A port is taken, or this process may not bind it.
    #[error("{0}; is another process there, or the port below 1024?")]
    Bind(BindError),
    /// The journal cannot be opened; nothing was accepted.
    #[error("cannot open the journal at {path}")]
    Journal {
        /// `journal.path`.
        path: String,
        /// The reason, with its remedy.
        #[source]
        source: journal::OpenError,
    },
    /// A source's keys cannot be read: the configuration is wrong.
    #[error("cannot set up the sources")]
    Ingest(#[from] ingest::IngestError),
    /// The admin listener's token cannot be read, or its thread cannot start.
    #[error("cannot start the admin listener")]
    Admin(#[from] admin::AdminError),
    /// librdkafka refused to make a producer.
    #[error("cannot start the publisher")]
    Publish(#[from] publish::StartError),
    /// A metric was registered twice: a bug in ringback.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The runtime, a thread or the signal handlers.
    #[error("cannot start")]
    Io(#[from] io::Error),
    /// The webhook listener returned or panicked although no signal asked for it; nothing acknowledged is lost.
    #[error(
        "the webhook listener has ended ({reason}); {} stay on disk for the next start",
        events(*.left)
    )]
    Listener {
        /// Its error.
        reason: String,
        /// Events not yet published; `None` if the publisher did not end in time to count them.
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
        /// Events not yet published; `None` if the publisher did not end in time to count them.
        left: Option<u64>,
    },
}

fn events(left: Option<u64>) -> String {
    left.map_or_else(
        || String::from("an unknown number of events"),
        |left| format!("{left} events"),
    )
}

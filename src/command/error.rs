//! Why a command ended without success, and its exit code.

use std::io;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::init::InitError;
use super::prove::ProveError;
use super::send::SendError;
use super::sender::SenderError;
use super::verify::CaptureError;
use crate::admin::AdminError;
use crate::app::{AppError, BindError};
use crate::config::ConfigError;
use crate::journal::inspect::InspectError;
use crate::publish::{PropertyError, ReplayError};
use crate::telemetry::LevelError;

/// Failed while running.
const EXIT_FAILED: u8 = 1;
/// The command line is wrong; clap's own code too.
pub(super) const EXIT_USAGE: u8 = 2;
/// The configuration is wrong: EX_CONFIG of BSD's sysexits.h.
const EXIT_CONFIGURATION: u8 = 78;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    #[error(transparent)]
    Level(#[from] LevelError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Init(#[from] InitError),
    #[error("no configuration is given: {}", remedy(*found, .instead))]
    NoConfiguration {
        /// A file that is there, if one is.
        found: Option<&'static str>,
        /// What else would do, or nothing.
        instead: &'static str,
    },
    #[error(
        "--forward {0} is dev's own webhook port, so each event would come back for ever: give the URL of your handler"
    )]
    ForwardLoop(String),
    #[error(
        "--require-signature needs the key: set RETELL_API_KEY to the API key that signs the webhooks"
    )]
    NoKey,
    #[error("{0} and {1} both take port {2}; give each option another port, or 0 for a free one")]
    SamePort(&'static str, &'static str, u16),
    #[error("{0}; take other ports with these options, 0 for free ones")]
    Ports(BindError),
    #[error("cannot create the recording {file}: name a new file, in a folder that exists")]
    Record {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Prove(#[from] ProveError),
    #[error(transparent)]
    Sender(#[from] SenderError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("events that were not answered {expected}: {others} of {sent}")]
    OtherAnswers {
        others: u64,
        sent: u64,
        expected: &'static str,
    },
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("the request is not authentic; the output says why")]
    NotAuthentic,
    #[error("cannot start the embedded Kafka")]
    EmbeddedKafka(#[from] rdkafka::error::KafkaError),
    #[error("cannot look into the journal at {path}")]
    Inspect {
        path: String,
        #[source]
        source: InspectError,
    },
    #[error("{places} places in the journal cannot be read; whether they are damaged is not known")]
    Unreadable { places: usize },
    #[error(
        "a running ringback holds the journal at {path} and publishes it itself; stop it first"
    )]
    JournalHeld { path: String },
    #[error(
        "ack is \"kafka\" in {config}, so there is no journal; give the folder of one with --path, if another configuration has left it"
    )]
    NoJournal { config: String },
    /// A drain ended before the journal was empty. `left` is a number or says that it is not known.
    #[error("events left in the journal: {left}{reasons}; run the drain again to publish them")]
    EventsLeft { left: String, reasons: String },
    #[error("cannot publish what is set aside at {path}")]
    SetAside {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{segments} set aside beside the journal (unreadable-….segment) could not be published whole and stay; drain again \
         after the disk is repaired or a better copy is in place, or delete what you can do without"
    )]
    SetAsideLeft { segments: String },
    #[error("cannot list the dead letters in {path}")]
    DeadLetters {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("damaged dead letters: {0}")]
    DamagedDeadLetters(usize),
    #[error("dead letters not replayed: {0}")]
    NotReplayed(usize),
    #[error("findings that would stop or refuse events: {errors}")]
    Unhealthy { errors: usize },
    #[error("kafka.client.{0}")]
    Property(#[from] PropertyError),
    #[error("cannot replay")]
    Replay(#[from] ReplayError),
    /// The runtime, a thread or a temporary folder.
    #[error("cannot start")]
    Io(#[from] io::Error),
    #[error("cannot write the manual pages to {folder}; name a folder with ringback man DIR")]
    Man {
        folder: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

fn remedy(found: Option<&str>, instead: &str) -> String {
    match found {
        Some(file) => format!("to use the one that is here, add --config {file}"),
        None => format!(
            "name the file with --config FILE{instead}; ringback init writes one, ringback dev needs none, and \
             config/ringback.toml shows every key"
        ),
    }
}

/// A configuration that is where most are.
pub(super) fn found_configuration() -> Option<&'static str> {
    USUAL.into_iter().find(|path| Path::new(path).exists())
}

/// Where a configuration is found most often.
const USUAL: [&str; 2] = ["ringback.toml", "/etc/ringback/ringback.toml"];

impl CommandError {
    /// What `error` means if nothing but the configuration, or the request to verify, is missing.
    pub(super) fn of_usage(error: &clap::Error) -> Option<Self> {
        let (ErrorKind::MissingRequiredArgument, ContextValue::Strings(missing)) =
            (error.kind(), error.get(ContextKind::InvalidArg)?)
        else {
            return None;
        };
        let [missing] = missing.as_slice() else {
            return None;
        };
        let instead = match missing.as_str() {
            "--request <FILE>" => return Some(CaptureError::NoRequest.into()),
            other if !other.contains("--config") => return None,
            with_path if with_path.contains("--path") => {
                " or RINGBACK_CONFIG, or the journal's folder with --path DIR"
            }
            with_kafka if with_kafka.contains("--bootstrap") => {
                ", or only Kafka's brokers with --bootstrap SERVERS"
            }
            _ => " or RINGBACK_CONFIG",
        };
        let found = found_configuration();
        Some(Self::NoConfiguration { found, instead })
    }
}

impl CommandError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Sender(error) if error.is_usage() => EXIT_USAGE,
            Self::Configuration(_)
            | Self::Sender(_)
            | Self::NoJournal { .. }
            | Self::Level(_)
            | Self::Property(_)
            | Self::App(AppError::Ingest(_) | AppError::Admin(AdminError::Token(_)))
            | Self::Prove(ProveError::Key(_) | ProveError::Sign(_))
            | Self::Replay(ReplayError::Property(_)) => EXIT_CONFIGURATION,
            Self::Send(SendError::Unreachable { .. }) => EXIT_FAILED,
            Self::NoKey
            | Self::NoConfiguration { .. }
            | Self::ForwardLoop(_)
            | Self::SamePort(..)
            | Self::Capture(_)
            | Self::Send(_) => EXIT_USAGE,
            Self::Prove(error) if error.is_usage() => EXIT_USAGE,
            Self::Init(error) if error.is_usage() => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }

    /// Adds the journal's folder to an error.
    pub(super) fn inspect(path: &Path) -> impl Fn(InspectError) -> Self + use<> {
        let absolute = std::path::absolute(path).ok();
        let path = match absolute.filter(|_| path.is_relative()) {
            Some(absolute) => format!(
                "{} (a relative path, {}, counts from the folder in which the command runs)",
                absolute.display(),
                path.display()
            ),
            None => path.display().to_string(),
        };
        move |source| Self::Inspect {
            path: path.clone(),
            source,
        }
    }

    /// Adds the folder of dead letters to an error.
    pub(super) fn dead_letters(folder: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = folder.display().to_string();
        move |source| Self::DeadLetters {
            path: path.clone(),
            source,
        }
    }

    /// Adds the journal's folder, or a segment's file, to an error.
    pub(super) fn set_aside(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.display().to_string();
        move |source| Self::SetAside {
            path: path.clone(),
            source,
        }
    }
}

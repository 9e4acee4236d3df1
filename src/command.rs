//! The command line: one module a command.

pub mod check;
pub mod dead_letter;
pub mod dev;
pub mod journal;
mod place;
mod progress;
pub mod prove;
mod render;
pub mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::AppError;
use crate::config::ConfigError;
use crate::journal::inspect::InspectError;
use crate::publish::ReplayError;
use crate::telemetry::{self, LevelError, chain};

/// EX_CONFIG of BSD's sysexits.h: the configuration will not do.
const EXIT_CONFIGURATION: u8 = 78;
/// Failed while running.
const EXIT_FAILED: u8 = 1;
/// The command line itself is wrong (clap's own code too).
const EXIT_USAGE: u8 = 2;

/// Answers webhooks at once and puts them through to Kafka: a 2xx means the event is on disk, synced.
#[derive(Debug, Parser)]
#[command(name = "ringback", version, propagate_version = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  ringback dev                                     try it: nothing to install
  ringback check --config ringback.toml            is this configuration good?
  ringback serve --config ringback.toml            the relay
  ringback journal status --config ringback.toml   what its journal holds
  ringback dead-letter list --config ringback.toml what Kafka refused for good
  ringback prove --config ringback.toml            does it lose anything?

Exit codes: 0 ended as asked, 1 failed while running, 2 wrong usage, 78 bad configuration.
RINGBACK_LOG sets the log level (error, warn, info, debug, trace); logs are JSON where standard error is no terminal.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay
    Serve(serve::Arguments),
    /// Run relay, embedded Kafka and journal on this machine, and show each event as it arrives in the topic
    Dev(dev::Arguments),
    /// Read the configuration as `serve` would and print it, secrets redacted; bind nothing
    Check(check::Arguments),
    /// Look into a journal, running or stopped; publish one that was left behind
    Journal(journal::Arguments),
    /// What Kafka refused for good: list it, put it through after the mend
    DeadLetter(dead_letter::Arguments),
    /// Send signed events to a running relay, read the topic, and print what was lost, reordered or changed
    Prove(Box<prove::Arguments>),
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Exit 78: nothing was started.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// Exit 78: `RINGBACK_LOG` is no level.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// Exit 1, or 78 where the fault is the configuration's after all (a key that cannot be read).
    #[error(transparent)]
    App(#[from] AppError),
    /// Exit 2: `dev --require-signature` has nothing to check against.
    #[error(
        "--require-signature needs the key: set RETELL_API_KEY to the API key that signs the webhooks"
    )]
    NoKey,
    /// Exit 1: another process has the port.
    #[error("cannot listen on {address}: take another port with {option}, 0 for a free one")]
    Port {
        /// What was asked for.
        address: std::net::SocketAddr,
        /// The option that chooses another.
        option: &'static str,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Exit 1: the promise is broken or could not be put to the test; 2 where the command line is the fault.
    #[error(transparent)]
    Prove(#[from] prove::ProveError),
    /// Exit 1: the embedded Kafka of `dev`.
    #[error("cannot start the embedded Kafka")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// Exit 1: there is no journal, or it cannot be read.
    #[error("cannot look into the journal at {path}")]
    Inspect {
        /// The folder.
        path: String,
        /// What stood in the way, with its remedy.
        #[source]
        source: InspectError,
    },
    /// Exit 1: the disk did not give everything.
    #[error(
        "places in the journal that cannot be read: {places}; what is in them is not known to be damaged"
    )]
    Unreadable {
        /// How many.
        places: usize,
    },
    /// Exit 1: a relay publishes its journal itself.
    #[error(
        "a running ringback holds the journal at {path} and publishes it itself; stop that one first"
    )]
    Held {
        /// The folder.
        path: String,
    },
    /// Exit 1: a drain that ended with something left.
    #[error("events left in the journal: {left}{trouble}")]
    Left {
        /// How many, in words.
        left: String,
        /// What is wrong with Kafka, as far as it is known.
        trouble: String,
    },
    /// Exit 1: segments that are set aside cannot be looked at, copied or removed.
    #[error("cannot publish what is set aside at {path}")]
    SetAside {
        /// The journal's folder or the segment.
        path: String,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Exit 1: some segments that are set aside still cannot be read, or published whole.
    #[error(
        "{left} set aside beside the journal (unreadable-….segment) could not be published whole and stay; drain again \
         when the disk is well"
    )]
    SetAsideLeft {
        /// How many.
        left: usize,
    },
    /// Exit 1: the folder of dead letters cannot be read.
    #[error("cannot list the dead letters in {path}")]
    DeadLetters {
        /// The folder.
        path: String,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Exit 1: files that are no letters any more.
    #[error("dead letters that are damaged: {letters}")]
    DamagedLetters {
        /// How many.
        letters: usize,
    },
    /// Exit 1: not all letters went through.
    #[error("dead letters not replayed: {letters}")]
    Stayed {
        /// How many.
        letters: usize,
    },
    /// Exit 1, or 78 where a property will not do.
    #[error("cannot replay")]
    Replay(#[from] ReplayError),
    /// Exit 1: the runtime or a temporary folder.
    #[error("cannot start")]
    Io(#[from] std::io::Error),
    /// Exit 1: standard output is full or gone.
    #[error("cannot write the output")]
    Output(#[source] std::io::Error),
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_)
            | Self::Level(_)
            | Self::App(AppError::Ingest(_))
            | Self::Replay(ReplayError::Property(_)) => EXIT_CONFIGURATION,
            Self::NoKey => EXIT_USAGE,
            Self::Prove(error) if error.is_usage() => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }
}

/// Runs the command that `arguments` (program name first) ask for; errors go to standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are "errors" to clap, with standard output and success; a closed pipe is nobody's fault.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match dispatch(&arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: &Command) -> Result<(), CommandError> {
    telemetry::check_level()?;
    match command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Journal(arguments) => journal::run(arguments),
        Command::DeadLetter(arguments) => dead_letter::run(arguments),
        Command::Prove(arguments) => prove::run(arguments),
    }
}

/// What is wrong, then why, a line each where they are many.
fn report(error: &dyn std::error::Error) {
    for line in chain(error).lines() {
        anstream::eprintln!("{}error:{} {line}", ERROR.render(), ERROR.render_reset());
    }
}

/// What became of printing: a reader that has seen enough (`head`) is no error.
fn ended(outcome: std::io::Result<()>) -> Result<(), CommandError> {
    match outcome {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CommandError::Output(error))
        }
        _ => Ok(()),
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// What a help ends with, and its subcommands'.
    fn endings(command: &clap::Command) -> Vec<String> {
        let own = command.get_after_help().map(ToString::to_string);
        let below = command.get_subcommands().flat_map(endings);
        own.into_iter().chain(below).collect()
    }

    #[test]
    fn help_is_wrapped_by_the_terminal_and_not_by_hand() {
        let endings = endings(&Arguments::command());
        assert!(endings.len() > 8, "{endings:#?}");
        for line in endings.iter().flat_map(|text| text.lines()) {
            if line.starts_with("  ") {
                assert!(line.chars().count() <= 80, "an example too wide: {line}");
            } else {
                let whole = line.is_empty() || line.ends_with(['.', ':']);
                assert!(whole, "no whole paragraph: {line}");
            }
        }
    }
}

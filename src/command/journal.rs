//! `ringback journal`: looks into a journal, running or stopped, and publishes one that was left behind.

mod drain;
mod dump;
mod report;
mod status;

use super::CommandError;

/// The journal's commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback journal status --config /etc/ringback.toml
  ringback journal dump --path /var/lib/ringback --unpublished
  ringback journal drain --config ringback.toml --path /mnt/replica-2

status and dump change nothing and may be used beside a running relay. docs/operations.md has the procedures.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What a journal holds and whether it is sound
    Status(status::Arguments),
    /// The events in a journal, one a line
    Dump(dump::Arguments),
    /// Publish what a stopped journal still holds, until it is empty
    Drain(drain::Arguments),
}

/// Runs the one that was asked for.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    match &arguments.command {
        Command::Status(arguments) => status::run(arguments),
        Command::Dump(arguments) => dump::run(arguments),
        Command::Drain(arguments) => drain::run(arguments),
    }
}

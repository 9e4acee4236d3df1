//! `ringback journal`: inspects a journal, running or stopped, and publishes one that a removed relay has left.

mod drain;
mod dump;
mod report;
mod status;

use super::CommandError;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback journal status --config /etc/ringback/ringback.toml
  ringback journal dump --path /var/lib/ringback --unpublished
  ringback journal drain --config ringback.toml --path /mnt/replica-2

status and dump change nothing and work beside a running relay. docs/operations.md has the procedures.")]
pub struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, clap::Subcommand)]
enum JournalCommand {
    /// Print what a journal holds and whether it is sound
    Status(status::StatusArgs),
    /// Print the events in a journal, one per line
    Dump(dump::DumpArgs),
    /// Publish what the journal of a stopped relay still holds, until it is empty
    Drain(drain::DrainArgs),
}

pub fn run(arguments: &JournalArgs) -> Result<(), CommandError> {
    match &arguments.command {
        JournalCommand::Status(arguments) => status::run(arguments),
        JournalCommand::Dump(arguments) => dump::run(arguments),
        JournalCommand::Drain(arguments) => drain::run(arguments),
    }
}

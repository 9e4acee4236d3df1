//! `ringback dead-letter`: what Kafka refused for good, and putting it through after the mend.

mod list;
mod replay;

use super::CommandError;

/// The dead letters' commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback dead-letter list --config /etc/ringback.toml
  ringback dead-letter replay --config /etc/ringback.toml --all

Both may be used beside a running relay. docs/operations.md has the procedure.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The dead letters beside a journal, one a line
    List(list::Arguments),
    /// Put dead letters through, after what they were refused for is mended
    Replay(replay::Arguments),
}

/// Runs the one that was asked for.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    match &arguments.command {
        Command::List(arguments) => list::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
    }
}

/// The letters' files in this folder, in position order.
fn letters(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>, CommandError> {
    crate::publish::letters(folder).map_err(|source| CommandError::DeadLetters {
        path: folder.display().to_string(),
        source,
    })
}

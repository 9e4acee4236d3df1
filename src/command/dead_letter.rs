//! `ringback dead-letter`: lists the events that were set aside, and publishes them.

mod list;
mod replay;

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::CommandError;
use crate::publish::DeadLetterError;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback dead-letter list --config /etc/ringback/ringback.toml
  ringback dead-letter replay --config /etc/ringback/ringback.toml --all

Both work beside a running relay. docs/operations.md has the procedure.")]
pub struct DeadLetterArgs {
    #[command(subcommand)]
    command: DeadLetterCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DeadLetterCommand {
    /// List the dead letters of a journal, one per line
    List(list::ListArgs),
    /// Publish dead letters, to their topic after the fix or to another one
    Replay(replay::ReplayArgs),
}

pub fn run(arguments: &DeadLetterArgs) -> Result<(), CommandError> {
    match &arguments.command {
        DeadLetterCommand::List(arguments) => list::run(arguments),
        DeadLetterCommand::Replay(arguments) => replay::run(arguments),
    }
}

/// The files of dead letters in this folder, in position order.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    crate::publish::dead_letter_files(folder).map_err(CommandError::dead_letters(folder))
}

/// `file`, if it can be opened at once: a pipe waits for whoever writes into it.
fn regular(file: &Path) -> Result<&Path, DeadLetterError> {
    if fs::metadata(file)?.is_file() {
        return Ok(file);
    }
    let error = io::Error::other("it is not a regular file; move it out of this folder");
    Err(error.into())
}

//! `ringback completions`: what a shell has to know to complete ringback's command line.

use std::io::Write as _;

use clap_complete::{Shell, generate};

use super::{CommandError, printed};

/// For which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(ringback completions bash)            for this shell
  ringback completions bash > /etc/bash_completion.d/ringback
  ringback completions zsh > \"${fpath[1]}/_ringback\"
  ringback completions fish > ~/.config/fish/completions/ringback.fish

The folder must exist: mkdir -p makes it.
The Debian package has those of bash, zsh and fish already.")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script for `command`, which is ringback's whole command line.
pub fn run(arguments: &CompletionsArgs, mut command: clap::Command) -> Result<(), CommandError> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    generate(arguments.shell, &mut command, name, &mut script);
    printed(std::io::stdout().write_all(&script))
}

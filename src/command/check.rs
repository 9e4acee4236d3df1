//! `ringback check`: is this configuration good?

use std::io::Write as _;
use std::path::PathBuf;

use crate::config::{Config, Environment, Purpose};

use super::CommandError;

/// Reads what `serve` would read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback check --config config/ringback.toml
  ringback check --config ringback.toml && systemctl restart ringback

It tries neither the journal's folder nor a port nor a broker: a start may still fail there.
Exit codes: 0 good, 78 bad (each fault with its key, its line or variable, and what would do).")]
pub struct Arguments {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: PathBuf,
}

/// Prints the effective configuration with secrets redacted; binds nothing, creates nothing.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = Config::load(
        &arguments.config,
        &Environment::of_process(),
        Purpose::Relay,
    )?;
    let mut out = anstream::stdout();
    write!(out, "{}", config.show())?;
    Ok(out.flush()?)
}

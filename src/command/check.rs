//! `ringback check`: is this configuration valid?

use std::io::Write as _;
use std::path::PathBuf;

use crate::config::{Config, Environment, Purpose};

use super::CommandError;

/// Which configuration to check.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback check --config config/ringback.toml
  ringback check --config ringback.toml && systemctl restart ringback

It opens neither the journal nor a port and connects to no broker, so `serve` may still fail at those.
Exit codes: 0 valid, 78 invalid (every mistake with its key, its line or variable, and a remedy).")]
pub struct Arguments {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: PathBuf,
}

/// Prints the effective configuration without secrets. Binds no port and creates nothing.
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

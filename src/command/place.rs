//! Where the journal is that a command is about: by configuration, or by its folder.

use std::path::{Path, PathBuf};

use crate::config::{Config, Environment, Purpose};
use crate::journal::inspect::{Folder, InspectError, Inspection};

use super::CommandError;

/// For commands that only look.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Place {
    /// The relay's configuration file (TOML), of which journal.path counts
    #[arg(long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: Option<PathBuf>,
    /// The journal's folder, instead of the configured one
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl Place {
    /// The journal's folder; the configuration is not even read where the folder is given.
    pub fn path(&self) -> Result<PathBuf, CommandError> {
        match (&self.path, &self.config) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(config)) => {
                let config = Config::load(config, &Environment::of_process(), Purpose::Journal)?;
                Ok(config.journal.path)
            }
            // The command line is refused before that.
            (None, None) => Ok(journal_default()),
        }
    }
}

/// For commands that publish.
#[derive(Debug, clap::Args)]
pub struct Configured {
    /// The relay's configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: PathBuf,
    /// Another journal's folder instead of the configured one; its dead letters lie in it
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl Configured {
    /// The configuration, with the other folder where one is given.
    pub fn load(&self) -> Result<Config, CommandError> {
        let environment = Environment::of_process();
        let mut config = Config::load(&self.config, &environment, Purpose::Publish)?;
        if let Some(path) = &self.path {
            config.journal.path.clone_from(path);
        }
        Ok(config)
    }
}

/// What is in the folder; an error says why it holds no journal.
pub fn inspect(path: &Path) -> Result<Inspection<Folder>, CommandError> {
    Folder::open(path)
        .and_then(Inspection::open)
        .map_err(failed(path))
}

/// As [`CommandError`], with the folder.
pub fn failed(path: &Path) -> impl Fn(InspectError) -> CommandError + use<> {
    let path = path.display().to_string();
    move |source| CommandError::Inspect {
        path: path.clone(),
        source,
    }
}

fn journal_default() -> PathBuf {
    crate::journal::Config::default().path
}

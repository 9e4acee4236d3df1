//! Arguments that name a journal: by the relay's configuration, or by its folder.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use super::{CommandError, load};
use crate::config::{Config, Purpose};
use crate::journal::inspect::{Folder, Inspection};
use crate::publish::Ack;

/// For commands that only read.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub struct JournalPath {
    /// The relay's configuration file (TOML); its journal.path is used
    #[arg(short, long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: Option<PathBuf>,
    /// The journal's folder, instead of the configured one
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl JournalPath {
    /// The journal's folder. If `--path` is given, the configuration is not even read.
    pub fn resolve(&self) -> Result<PathBuf, CommandError> {
        self.configured().map(|(path, _)| path)
    }

    /// The journal's folder, and the configuration's `journal.budget` if it was read.
    pub fn configured(&self) -> Result<(PathBuf, Option<ByteSize>), CommandError> {
        match (&self.path, &self.config) {
            (Some(path), _) => Ok((path.clone(), None)),
            (None, Some(config)) => {
                let loaded = load(config, Purpose::Journal)?;
                if loaded.ack == Ack::Kafka {
                    return Err(no_journal(config));
                }
                let journal = loaded.journal;
                Ok((journal.path, Some(journal.budget)))
            }
            // clap requires one of the two.
            (None, None) => Ok((crate::journal::Config::default().path, None)),
        }
    }
}

/// For commands that publish.
#[derive(Debug, clap::Args)]
pub struct ConfiguredJournal {
    /// The relay's configuration file (TOML)
    #[arg(short, long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: PathBuf,
    /// Another journal's folder instead of the configured one, with the dead letters in it
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl ConfiguredJournal {
    /// The configuration, with `--path` as the journal's folder if it is given.
    pub fn load(&self) -> Result<Config, CommandError> {
        let mut config = load(&self.config, Purpose::Publish)?;
        if let Some(path) = &self.path {
            config.journal.path.clone_from(path);
            // Whatever the relay does now, what lies there was left by one with a journal on disk.
            config.ack = Ack::Disk;
        } else if config.ack == Ack::Kafka {
            return Err(no_journal(&self.config));
        }
        Ok(config)
    }
}

fn no_journal(config: &Path) -> CommandError {
    let config = config.display().to_string();
    CommandError::NoJournal { config }
}

/// Opens the folder for reading; fails if it holds no journal.
pub fn inspect(path: &Path) -> Result<Inspection<Folder>, CommandError> {
    Folder::open(path)
        .and_then(Inspection::open)
        .map_err(CommandError::inspect(path))
}

//! Putting dead letters through after the mend, beside a running relay or without one.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{Letter, LetterError};
use super::producer::{Courier, Label, REPLAYED, SendError};
use crate::publish::kafka::cloudevents::{Blame, blame};
use crate::publish::{Config, PropertyError};

/// Why nothing can be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A property that would break an invariant.
    #[error("kafka.client.{0}")]
    Property(#[from] PropertyError),
    /// Another replay is at work on the same letters.
    #[error("another replay is at work on these dead letters; wait for its end")]
    Busy,
    /// The folder is not to be had.
    #[error("cannot open the folder of dead letters")]
    Io(#[from] io::Error),
}

/// Why a letter stays.
#[derive(Debug, thiserror::Error)]
pub enum StayError {
    /// It is damaged, or cannot be read.
    #[error(transparent)]
    Letter(#[from] LetterError),
    /// An old file, and nothing else tells the journal's id.
    #[error("the id of its journal is not known: replay it beside the journal")]
    NoJournal,
    /// Kafka did not take it.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Kafka has it, but the file is still there: a further replay would send it again.
    #[error("Kafka has it, but its file cannot be removed: remove it by hand")]
    Remove(#[source] io::Error),
}

impl StayError {
    /// True where the next letter would fare the same: Kafka is away, or refuses whatever it is.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Letter(_) | Self::NoJournal => false,
            Self::Send(SendError::Refused(code)) => !matches!(blame(*code, true), Blame::Record(_)),
            Self::Send(_) | Self::Remove(_) => true,
        }
    }
}

/// A replay, the only one in its folder.
pub struct Replay {
    folder: PathBuf,
    /// The open folder, locked.
    directory: File,
    courier: Courier,
    patience: Duration,
}

impl Replay {
    /// Makes ready for the letters of `config`; connects to nothing. Each letter waits for `patience` at most.
    pub fn new(config: &Config, topic: &str, patience: Duration) -> Result<Self, ReplayError> {
        let properties = config.properties()?;
        let directory = File::open(&config.dead_letter_path)?;
        match directory.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ReplayError::Busy),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self {
            folder: config.dead_letter_path.clone(),
            directory,
            courier: Courier::new(properties, topic),
            patience,
        })
    }

    /// The letters' folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts one through; its file is removed, durably, only after Kafka has acknowledged it. `journal_id` is for old
    /// files, which do not tell it.
    /// True with it if its record got the present time, because Kafka would refuse or delete it with its event's own.
    pub fn replay(
        &mut self,
        file: &Path,
        journal_id: Option<&str>,
    ) -> Result<(Letter, bool), StayError> {
        let letter = Letter::read(file)?;
        let event = letter.event()?;
        let journal_id = letter.journal_id.as_deref().or(journal_id);
        let label = Label {
            journal_id: journal_id.ok_or(StayError::NoJournal)?,
            position: letter.position,
            says: REPLAYED,
        };
        let restamped = self.courier.send(&event, &label, self.patience)?;
        let removed = fs::remove_file(file).and_then(|()| self.directory.sync_all());
        removed.map_err(StayError::Remove)?;
        Ok((letter, restamped))
    }
}

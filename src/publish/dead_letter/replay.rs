//! Publishes dead letters after the cause is fixed, beside a running relay or without one.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::file::{DeadLetterError, DeadLetterFile};
use crate::log_throttle::LogThrottle;
use crate::publish::kafka::credentials::Credentials;
use crate::publish::kafka::dead_letter_producer::{
    DeadLetterProducer, Provenance, REPLAYED, SendError,
};
use crate::publish::{Config, LOG_INTERVAL, PropertyError, Topics};

/// Why no replay can start.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A property would break an invariant.
    #[error("kafka.client.{0}")]
    Property(#[from] PropertyError),
    /// Another process replays the same dead letters.
    #[error("another replay of these dead letters is running; wait until it ends")]
    Busy,
    /// The folder cannot be opened or locked.
    #[error("cannot open the folder of dead letters")]
    Io(#[from] io::Error),
}

/// Why one dead letter was not replayed, or its file not removed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayFileError {
    /// The file is damaged or cannot be read.
    #[error(transparent)]
    File(#[from] DeadLetterError),
    /// The file is of the first format, and the caller does not know the journal's id either.
    #[error("the id of its journal is not known: replay it beside the journal")]
    NoJournal,
    /// Kafka did not take it.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Kafka has it, but the file still exists: another replay would send it again.
    #[error("Kafka has it, but its file cannot be removed: remove it by hand")]
    Remove(#[source] io::Error),
}

impl ReplayFileError {
    /// True if the next dead letter would fail in the same way: Kafka is away, or refuses every record.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::File(_) | Self::NoJournal => false,
            Self::Send(error) => error.concerns_all(),
            Self::Remove(_) => true,
        }
    }
}

/// A replay, the only one in its folder.
pub struct Replay {
    folder: PathBuf,
    /// The open folder, locked.
    directory: File,
    credentials: Arc<Credentials>,
    topics: Topics,
    /// The topic of all, whatever `topics` says.
    topic: Option<String>,
    /// By their topics.
    producers: BTreeMap<String, DeadLetterProducer>,
    timeout: Duration,
}

impl Replay {
    /// Locks the folder; connects to nothing. Each dead letter goes to `topic` or, without one, to its event's, and waits up to
    /// `timeout` for its acknowledgement.
    pub fn new(
        config: &Config,
        topic: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, ReplayError> {
        let credentials = Credentials::of(config, Arc::new(LogThrottle::new(LOG_INTERVAL)))?;
        let directory = File::open(&config.dead_letter_path)?;
        match directory.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ReplayError::Busy),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self {
            folder: config.dead_letter_path.clone(),
            directory,
            credentials: Arc::new(credentials),
            topics: config.topics(),
            topic: topic.map(str::to_owned),
            producers: BTreeMap::new(),
            timeout,
        })
    }

    /// The folder of the dead letters.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Publishes the dead letter in `file`, and removes the file, durably, once Kafka has acknowledged it. `journal_id` is for
    /// files of the first format, which do not have it.
    ///
    /// Returns the dead letter, its topic, and true if it was published with the present time because Kafka would refuse or delete it with
    /// its event's own.
    pub fn replay(
        &mut self,
        file: &Path,
        journal_id: Option<&str>,
    ) -> Result<(DeadLetterFile, String, bool), ReplayFileError> {
        let dead_letter = DeadLetterFile::read(file)?;
        let event = dead_letter.event()?;
        let journal_id = dead_letter.journal_id.as_deref().or(journal_id);
        let provenance = Provenance {
            journal_id: journal_id.ok_or(ReplayFileError::NoJournal)?,
            position: dead_letter.position,
            header: REPLAYED,
        };
        let usual = self.topics.of(event.source, event.kind);
        let topic = self.topic.as_deref();
        let topic = topic.unwrap_or_else(|| self.topics.name(usual)).to_owned();
        let producer = self.producers.entry(topic.clone());
        let producer =
            producer.or_insert_with(|| DeadLetterProducer::new(&self.credentials, &topic));
        let is_restamped = producer.send(&event, &provenance, self.timeout)?;
        let removed = fs::remove_file(file).and_then(|()| self.directory.sync_all());
        removed.map_err(ReplayFileError::Remove)?;
        Ok((dead_letter, topic, is_restamped))
    }
}

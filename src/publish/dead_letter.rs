//! Writes records that Kafka refuses for good, and those whose bodies are not JSON, to a topic, or else to a file beside the
//! journal, synced before the watermark passes them. Beside a journal in memory there are no files, and what goes to the topic goes
//! another way.

mod file;
mod replay;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decide::blame::Reason;
use super::env::DeadLetterPlace;
use super::kafka::credentials::Credentials;
use super::kafka::dead_letter_topic::DeadLetterTopic;
use super::{Ack, Config};
use crate::journal::disk::filesystem::File as _;

pub use self::file::{
    DeadLetterError, DeadLetterFile, dead_letter_bytes, dead_letter_files, dead_letter_position,
    move_dead_letters,
};
pub use replay::{Replay, ReplayError, ReplayFileError};

/// The beginning of a file's name while it is being written.
const UNFINISHED: &str = ".unfinished-";

/// Where dead letters go.
pub(super) struct DeadLetters {
    /// `None` beside a journal in memory.
    folder: Option<PathBuf>,
    /// `None` beside a journal in memory too: there [`DeadLetterSender`](super::kafka::dead_letter_sender::DeadLetterSender) has it.
    topic: Option<DeadLetterTopic>,
    bytes: u64,
}

impl DeadLetters {
    /// Counts the files that exist, and removes what a killed process left unfinished.
    pub(super) fn open(config: &Config, credentials: Arc<Credentials>) -> io::Result<Self> {
        let is_on_disk = config.ack == Ack::Disk;
        // Beside a journal in memory the sender of dead letters has the topic.
        let topic = config.kafka.dead_letter_topic.clone();
        let topic = topic.filter(|_| is_on_disk);
        let mut dead_letters = Self {
            folder: is_on_disk.then(|| config.dead_letter_path.clone()),
            topic: topic.map(|name| DeadLetterTopic::new(name, credentials)),
            bytes: 0,
        };
        dead_letters.remove_unfinished()?;
        dead_letters.recount()?;
        Ok(dead_letters)
    }

    /// The size of all files, which counts against the journal's budget.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts that size again, since a replay or an operator removes files; true if it has changed.
    pub(super) fn recount(&mut self) -> io::Result<bool> {
        let bytes = self.folder.as_deref().map_or(Ok(0), dead_letter_bytes)?;
        Ok(std::mem::replace(&mut self.bytes, bytes) != bytes)
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Writes `payload` (envelope and body); it is durable when this returns `Ok`, unless it is nowhere. If there is a topic,
    /// blocks for up to 12 s.
    pub(super) fn write(
        &mut self,
        journal_id: &str,
        position: u64,
        reason: Reason,
        payload: &[u8],
    ) -> io::Result<DeadLetterPlace> {
        if let Some(topic) = &mut self.topic
            && topic.send(payload, journal_id, position, reason.label())
        {
            return Ok(DeadLetterPlace::Topic(topic.name().to_owned()));
        }
        let Some(folder) = self.folder.clone() else {
            return Ok(DeadLetterPlace::Nowhere);
        };
        self.write_file(&folder, journal_id, position, reason, payload)
            .map(DeadLetterPlace::File)
    }

    fn write_file(
        &mut self,
        folder: &Path,
        journal_id: &str,
        position: u64,
        reason: Reason,
        payload: &[u8],
    ) -> io::Result<PathBuf> {
        if !folder.exists() {
            // As the journal's own folder: bodies are private.
            let mut private = DirBuilder::new();
            private.recursive(true).mode(0o700).create(folder)?;
            if let Some(parent) = folder.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        let (line, body_start) = self::file::head(position, reason, journal_id, payload)?;
        // A position names one record only within one journal.
        let path = self::file::path_for(folder, position, journal_id);
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder)?;
        writeln!(file, "{line}")?;
        file.write_all(&payload[body_start..])?;
        file.as_file().sync_all()?;
        let length = file.as_file().metadata()?.len();
        // If the same record comes again, for example after a crash before the checkpoint, it replaces its file.
        let replaced = fs::symlink_metadata(&path).map_or(0, |old| old.len());
        let file = file.persist(&path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()?;
        // Also checks that the file system has not shut down: the folder may be a mount of its own.
        file.sync()?;
        self.bytes = self.bytes.saturating_sub(replaced) + length;
        Ok(path)
    }
}

#[cfg(test)]
mod tests;

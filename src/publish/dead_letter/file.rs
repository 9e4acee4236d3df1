//! A dead letter's file: one line of JSON, then the body, byte for byte.
//!
//! ```text
//! <folder>/<position, 20 digits>.event
//! {"position":7,"reason":"too_large","envelope":"<hex>","journal":"<32 hex digits>","crc32c":123}
//! <body>
//! ```
//!
//! The checksum is CRC-32C over envelope and body. Older files have neither it nor the journal's id. If a file that is not this
//! journal's, or not known to be, has the name already, for example after the loss of an empty journal's checkpoint, the name is
//! `<position>-<journal's id>.event`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crc32c::{crc32c, crc32c_append};
use serde::{Deserialize, Serialize};

use crate::event::{DecodeError, Event};
use crate::publish::decide::blame::Reason;

const SUFFIX: &str = ".event";

/// A dead letter as its file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterFile {
    /// The event's position in the journal.
    pub position: u64,
    /// Why Kafka refused it, as the metric's label.
    pub reason: String,
    /// The journal's id; `None` in older files.
    pub journal_id: Option<String>,
    payload: Vec<u8>,
}

/// Why a file is not read as a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// The file cannot be read; it may have been replayed and removed since it was listed.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// The file is cut short, or ringback did not write it.
    #[error("its first line is damaged")]
    Head(#[source] Option<serde_json::Error>),
    /// The name and the first line have different positions: the file was renamed or damaged.
    #[error("its name does not have its position, which is {0}")]
    Name(u64),
    /// The bytes are not those that were written.
    #[error("its bytes are damaged: the checksum does not match")]
    Checksum,
    /// A newer ringback wrote it, or it never was an event: it can be kept but not replayed.
    #[error("it holds no event that this ringback can read")]
    Event(#[from] DecodeError),
}

#[derive(Serialize, Deserialize)]
struct Head {
    position: u64,
    reason: String,
    envelope: String,
    #[serde(default)]
    journal: Option<String>,
    #[serde(default)]
    crc32c: Option<u32>,
}

impl DeadLetterFile {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, DeadLetterError> {
        // A pipe would wait for whoever writes into it.
        if !fs::metadata(path)?.is_file() {
            let error = "it is not a regular file; move it out of this folder";
            return Err(io::Error::other(error).into());
        }
        let content = fs::read(path)?;
        let line = content.iter().position(|byte| *byte == b'\n');
        let (line, body) = content.split_at(line.ok_or(DeadLetterError::Head(None))?);
        let head: Head =
            serde_json::from_slice(line).map_err(|error| DeadLetterError::Head(Some(error)))?;
        let body = &body[1..];
        let mut payload = hex::decode(&head.envelope).map_err(|_| DeadLetterError::Head(None))?;
        let crc = crc32c_append(crc32c(&payload), body);
        if head.crc32c.is_some_and(|written| written != crc) {
            return Err(DeadLetterError::Checksum);
        }
        if dead_letter_position(path) != Some(head.position) {
            return Err(DeadLetterError::Name(head.position));
        }
        payload.extend_from_slice(body);
        Ok(Self {
            position: head.position,
            reason: head.reason,
            journal_id: head.journal,
            payload,
        })
    }

    /// The event, with its body.
    pub fn event(&self) -> Result<Event<'_>, DeadLetterError> {
        Ok(Event::decode(&self.payload)?)
    }
}

/// The file's first line without its line break, and where the body begins in `payload`.
pub(super) fn head(
    position: u64,
    reason: Reason,
    journal_id: &str,
    payload: &[u8],
) -> io::Result<(String, usize)> {
    let body = Event::decode(payload).map_or(0, |event| event.body.len());
    let start = payload.len() - body;
    let head = Head {
        position,
        reason: reason.label().to_owned(),
        envelope: hex::encode(&payload[..start]),
        journal: Some(journal_id.to_owned()),
        crc32c: Some(crc32c(payload)),
    };
    Ok((serde_json::to_string(&head)?, start))
}

/// Where the dead letter of this position and journal is to be written. It replaces only an earlier file of its own: not one of
/// another journal, and none of which that cannot be known (damaged, unreadable, or without a journal's id).
pub(super) fn path_for(folder: &Path, position: u64, journal_id: &str) -> PathBuf {
    let path = folder.join(name(position));
    let is_free = match DeadLetterFile::read(&path) {
        Ok(old) => old.journal_id.as_deref() == Some(journal_id),
        Err(DeadLetterError::Io(error)) => error.kind() == io::ErrorKind::NotFound,
        Err(_) => false,
    };
    if is_free {
        path
    } else {
        folder.join(name_with_journal(position, journal_id))
    }
}

/// Moves all dead letters from one folder to another, which must exist, on the same file system. None replaces one that is
/// not its own.
pub fn move_dead_letters(from: &Path, to: &Path) -> io::Result<()> {
    for file in dead_letter_files(from)? {
        let dead_letter = DeadLetterFile::read(&file).map_err(io::Error::other)?;
        let journal_id = dead_letter.journal_id.unwrap_or_default();
        fs::rename(&file, path_for(to, dead_letter.position, &journal_id))?;
    }
    Ok(())
}

/// The file's name for this position.
pub(super) fn name(position: u64) -> String {
    format!("{position:020}{SUFFIX}")
}

/// The file's name for this position if a dead letter of another journal has the usual name.
pub(super) fn name_with_journal(position: u64, journal_id: &str) -> String {
    format!("{position:020}-{journal_id}{SUFFIX}")
}

/// The position in a dead letter's file name; `None` for every other file.
pub fn dead_letter_position(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let number = name.split_once('-').map_or(name, |(number, _)| number);
    number.parse().ok()
}

/// The files of all dead letters, in position order; none if the folder does not exist.
pub fn dead_letter_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        files.extend(dead_letter_position(&path).map(|position| (position, path)));
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// The size of all dead letters, in bytes, which counts against the journal's budget.
pub fn dead_letter_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for path in dead_letter_files(folder)? {
        // Of a link itself: what it leads to, if anything, is not in this folder.
        match fs::symlink_metadata(&path) {
            Ok(metadata) => bytes += metadata.len(),
            // It was replayed since the folder was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

//! A dead letter's file: one line of JSON, then the body, byte for byte.
//!
//! ```text
//! <folder>/<position, 20 digits>.event
//! {"position":7,"reason":"too_large","envelope":"<hex>","journal":"<32 hex digits>","crc32c":123}
//! <body>
//! ```
//!
//! The checksum is CRC-32C over envelope and body. Older files have neither it nor the
//! journal's id. Where a letter of another journal has the name, as after the loss of a checkpoint with nothing left in the
//! journal, the name is `<position>-<journal's id>.event`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crc32c::{crc32c, crc32c_append};
use serde::{Deserialize, Serialize};

use crate::event::{DecodeError, Event};

const SUFFIX: &str = ".event";

/// An event that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its position in the journal.
    pub position: u64,
    /// Why Kafka refused it, as the metric's label.
    pub reason: String,
    /// The journal's id; `None` in older files.
    pub journal_id: Option<String>,
    payload: Vec<u8>,
}

/// Why a file is no letter.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The file cannot be read; somebody may have replayed it just now.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// Cut short, or not written by ringback.
    #[error("its first line is damaged")]
    Head(#[source] Option<serde_json::Error>),
    /// The name and the first line give different positions: it was renamed or damaged.
    #[error("its name does not have its position, which is {0}")]
    Name(u64),
    /// Its bytes are not those that were written.
    #[error("its bytes are damaged: the checksum is another")]
    Checksum,
    /// Written by a newer ringback, or never an event: it can be kept, not replayed.
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

impl Letter {
    /// Reads a file back and checks it.
    pub fn read(path: &Path) -> Result<Self, LetterError> {
        let content = fs::read(path)?;
        let line = content.iter().position(|byte| *byte == b'\n');
        let (line, body) = content.split_at(line.ok_or(LetterError::Head(None))?);
        let head: Head =
            serde_json::from_slice(line).map_err(|error| LetterError::Head(Some(error)))?;
        let body = &body[1..];
        let mut payload = hex::decode(&head.envelope).map_err(|_| LetterError::Head(None))?;
        let crc = crc32c_append(crc32c(&payload), body);
        if head.crc32c.is_some_and(|written| written != crc) {
            return Err(LetterError::Checksum);
        }
        if letter_position(path) != Some(head.position) {
            return Err(LetterError::Name(head.position));
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
    pub fn event(&self) -> Result<Event<'_>, LetterError> {
        Ok(Event::decode(&self.payload)?)
    }
}

/// A letter's first line without its end, and where the body begins in `payload`.
pub(super) fn head(
    position: u64,
    reason: &str,
    journal_id: &str,
    payload: &[u8],
) -> io::Result<(String, usize)> {
    let body = Event::decode(payload).map_or(0, |event| event.body.len());
    let start = payload.len() - body;
    let head = Head {
        position,
        reason: reason.to_owned(),
        envelope: hex::encode(&payload[..start]),
        journal: Some(journal_id.to_owned()),
        crc32c: Some(crc32c(payload)),
    };
    Ok((serde_json::to_string(&head)?, start))
}

/// The file's name for this position.
pub(super) fn name(position: u64) -> String {
    format!("{position:020}{SUFFIX}")
}

/// The same where a letter of another journal has that name.
pub(super) fn name_with_journal(position: u64, journal_id: &str) -> String {
    format!("{position:020}-{journal_id}{SUFFIX}")
}

/// The position in a letter's name; `None` for every other file.
pub fn letter_position(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let number = name.split_once('-').map_or(name, |(number, _)| number);
    number.parse().ok()
}

/// Every letter's file, in position order; none where there is no folder.
pub fn letters(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        files.extend(letter_position(&path).map(|position| (position, path)));
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Bytes of all letters, which count against the journal's budget.
pub fn letter_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for path in letters(folder)? {
        match fs::metadata(&path) {
            Ok(metadata) => bytes += metadata.len(),
            // Replayed since the folder was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

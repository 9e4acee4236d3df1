//! What can go wrong, one enum an operation.

use std::io;
use std::time::Instant;

use super::disk::filesystem::FolderError;

/// Why a journal cannot be opened; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is not to be had.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Written by another version of the format: publish it with the ringback that wrote it.
    #[error(
        "{file} has format version {version}, this ringback reads {}",
        super::format::segment::VERSION
    )]
    Version {
        /// The segment's name.
        file: String,
        /// Its version.
        version: u32,
    },
    /// Two journals' files in one folder: take the one apart that does not belong.
    #[error("{file} belongs to another journal; one folder holds one journal")]
    Foreign {
        /// The segment's name.
        file: String,
    },
    /// The disk does not do what recovery needs.
    #[error("cannot {operation}")]
    Io {
        /// What was tried, with the file's name.
        operation: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}

/// Why a record was not taken, or was taken and will never be synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The budget or the disk is used up: refuse until there is room, which comes by itself.
    #[error("journal is full")]
    Full,
    /// A write or a sync has failed: refuse for good, the process is about to end.
    #[error("journal is poisoned")]
    Poisoned,
    /// The writer is behind by its whole queue: refuse for a moment.
    #[error("journal queue is full")]
    Overloaded,
    /// The journal is closed.
    #[error("journal is closed")]
    Closed,
}

/// Why the reader has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A place cannot be read at present: its records are waited for, and nothing behind it is read.
    #[error("cannot read {file} at {offset}")]
    Unreadable {
        /// The segment's name.
        file: String,
        /// In bytes.
        offset: u64,
        /// The operating system's reason.
        #[source]
        source: io::Error,
        /// When it was found unreadable first.
        since: Instant,
        /// When the next try is due; until then this error is only repeated.
        retry_at: Instant,
    },
    /// The disk does not do what reading needs; worth another try after a pause.
    #[error("cannot read {file} at {offset}")]
    Io {
        /// The segment's name.
        file: String,
        /// In bytes.
        offset: u64,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}

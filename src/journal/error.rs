//! Errors, one enum for each operation.

use std::io;
use std::time::Instant;

use super::disk::real::FolderError;
use super::format::segment::{HeaderError, name};

/// Why a journal cannot be opened. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A segment has another format version: publish it with the ringback that wrote it.
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
    /// A segment has another one's name: it was renamed, or two were exchanged. Give it its own name again.
    #[error(
        "{file} holds the segment {own_name}; give it that name again, or move it out of the folder"
    )]
    Misnamed {
        /// The file's name.
        file: String,
        /// The name that its header stands for.
        own_name: String,
    },
    /// A segment belongs to another journal: move it to a folder of its own.
    #[error("{file} belongs to another journal; one folder holds one journal")]
    Foreign {
        /// The segment's name.
        file: String,
    },
    /// Two segments' headers are intact and cannot both be this journal's: the files are of two copies of it, such as a backup
    /// and what was written since.
    #[error(
        "{later} begins at position {first} and {earlier} at position {earlier_first}, so they are of two copies of one journal; move one copy's files out of the folder"
    )]
    Contradiction {
        /// The name of the segment with the smaller number.
        earlier: String,
        /// Its first position.
        earlier_first: u64,
        /// The name of the segment with the larger number.
        later: String,
        /// Its first position.
        first: u64,
    },
    /// A segment's header states what no journal writes, under a right checksum.
    #[error(
        "{file} states positions that no journal can have ({first} after {previous_end}); move it out of the folder"
    )]
    Impossible {
        /// The segment's name.
        file: String,
        /// Its first position.
        first: u64,
        /// One past the last position of the segment before.
        previous_end: u64,
    },
    /// An operation of the disk failed.
    #[error("cannot {operation}")]
    Io {
        /// The operation, with the file's name.
        operation: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// The error if the first bytes of this segment are no header that this ringback can go on with; `None` if they are merely
    /// not sound.
    pub(super) fn of_header(sequence: u64, error: &HeaderError) -> Option<Self> {
        match *error {
            HeaderError::Version(version) => Some(Self::Version {
                file: name(sequence),
                version,
            }),
            HeaderError::Misnamed(own) => Some(Self::Misnamed {
                file: name(sequence),
                own_name: name(own),
            }),
            HeaderError::Invalid => None,
        }
    }
}

/// The error of an operation on a file.
pub(super) fn failed(operation: &str) -> impl Fn(io::Error) -> OpenError + use<> {
    let operation = operation.to_owned();
    move |source| OpenError::Io {
        operation: operation.clone(),
        source,
    }
}

/// Why a record was refused, or was queued and will never be synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The budget or the disk is used up. Appends are accepted again once there is room.
    #[error("journal is full")]
    Full,
    /// A write or sync has failed. The journal accepts nothing more, and the process is about to end.
    #[error("journal is poisoned")]
    Poisoned,
    /// The queue is full, and has room again after the next commit; or it is so long that Kafka could not acknowledge the record
    /// in time.
    #[error("journal queue is full")]
    Overloaded,
    /// Kafka refuses the record for good, and no topic takes it as a dead letter. Only a journal in memory refuses in this way.
    #[error(
        "Kafka refuses the record for good, and there is no topic of dead letters that takes it"
    )]
    Refused,
    /// The journal is closed.
    #[error("journal is closed")]
    Closed,
}

/// Why the reader returns no record.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A place cannot be read at present. The reader waits for its records and reads nothing after it.
    #[error("cannot read {file} at {offset}")]
    Unreadable {
        /// The segment's name.
        file: String,
        /// In bytes.
        offset: u64,
        /// The operating system's reason.
        #[source]
        source: io::Error,
        /// When reading it failed first.
        since: Instant,
        /// When the next attempt is due. Until then every call returns this error.
        retry_at: Instant,
    },
    /// An operation other than reading a place failed. Try again after a pause.
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
